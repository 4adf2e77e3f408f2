"""PNG and JPEG: depth, palettes, alpha, truncation at many places, and images that would decode to too much."""

import io
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from cellseg.errors import ImageError
from cellseg.io.raster import jpeg_frame
from cellseg.io.slide import open_slide
from cellseg.types import Window

RNG = np.random.default_rng(11)
NOISE = RNG.integers(0, 256, (90, 121, 3), dtype=np.uint8)
SMOOTH = np.asarray(Image.fromarray(NOISE[:12, :15]).resize((121, 90), Image.Resampling.BICUBIC))


def read_whole(path: Path) -> np.ndarray:
    with open_slide(path) as slide:
        whole = slide.read(Window(0, slide.height, 0, slide.width))
        part = Window(3, 50, 7, 100)
        np.testing.assert_array_equal(slide.read(part), whole[3:50, 7:100])
        assert whole.dtype == slide.dtype and whole.shape[2] == len(slide.channel_names)
    return whole


def test_png_rgb_gray_and_alpha(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(NOISE).save(path)
    np.testing.assert_array_equal(read_whole(path), NOISE)
    Image.fromarray(NOISE[..., 0]).save(path)
    np.testing.assert_array_equal(read_whole(path), NOISE[..., :1])
    Image.fromarray(np.dstack([NOISE, NOISE[..., 0]])).save(path)
    np.testing.assert_array_equal(read_whole(path), NOISE)
    Image.fromarray(NOISE[..., :2].copy(), "LA").save(path)
    np.testing.assert_array_equal(read_whole(path), NOISE[..., :1])


@pytest.mark.parametrize("channels", [1, 3])
def test_png_keeps_16_bit(tmp_path: Path, channels: int) -> None:
    pixels = RNG.integers(0, 65536, (60, 110, channels), dtype=np.uint16)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels.squeeze()))
    np.testing.assert_array_equal(read_whole(tmp_path / "a.png"), pixels)


def test_png_palette_and_bilevel(tmp_path: Path) -> None:
    image = Image.fromarray(NOISE).quantize(16)
    image.save(tmp_path / "p.png")
    np.testing.assert_array_equal(read_whole(tmp_path / "p.png"), np.asarray(image.convert("RGB")))
    image.save(tmp_path / "t.png", transparency=3)
    np.testing.assert_array_equal(read_whole(tmp_path / "t.png"), np.asarray(image.convert("RGB")))
    Image.fromarray(NOISE[..., 0] > 99).save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_whole(tmp_path / "b.png")[..., 0], np.where(NOISE[..., 0] > 99, 255, 0))


@pytest.mark.parametrize("kwargs", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg_as_pillow_reads_it(tmp_path: Path, kwargs: dict) -> None:
    Image.fromarray(SMOOTH).save(tmp_path / "a.jpg", quality=90, **kwargs)
    np.testing.assert_array_equal(read_whole(tmp_path / "a.jpg"), np.asarray(Image.open(tmp_path / "a.jpg")))


def test_exif_orientation_is_not_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(SMOOTH).save(tmp_path / "a.jpg", exif=exif)
    assert read_whole(tmp_path / "a.jpg").shape == SMOOTH.shape


def test_cmyk_jpeg_is_refused(tmp_path: Path) -> None:
    Image.fromarray(SMOOTH).convert("CMYK").save(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match=r"4 components.*save it as RGB"):
        open_slide(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("share", [0.01, 0.03, 0.2, 0.5, 0.8, 0.98, 0.9999])
def test_truncation_is_an_error_never_gray(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(NOISE).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match=r"truncated|without a header"):
        open_slide(path)


def test_a_thumbnail_in_exif_does_not_hide_truncation(tmp_path: Path) -> None:
    thumb, whole = io.BytesIO(), io.BytesIO()
    Image.fromarray(SMOOTH[:20, :20]).save(thumb, "JPEG")
    Image.fromarray(NOISE).save(whole, "JPEG")
    app1 = b"\xff\xe1" + struct.pack(">H", len(thumb.getvalue()) + 2) + thumb.getvalue()
    data = whole.getvalue()[:2] + app1 + whole.getvalue()[2:]
    (tmp_path / "a.jpg").write_bytes(data)
    np.testing.assert_array_equal(read_whole(tmp_path / "a.jpg"), np.asarray(Image.open(whole)))
    (tmp_path / "a.jpg").write_bytes(data[:-300])
    with pytest.raises(ImageError, match="truncated JPEG"):
        open_slide(tmp_path / "a.jpg")


def test_damaged_png_data_is_an_error(tmp_path: Path) -> None:
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[len(data) // 2] ^= 255
    (tmp_path / "a.png").write_bytes(data)
    with open_slide(tmp_path / "a.png") as slide, pytest.raises(ImageError, match="damaged"):
        slide.read(Window(0, 1, 0, 1))


def png_of_size(height: int, width: int) -> bytes:
    """A PNG that says it is so large; its data is not there."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ]
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_bombs_are_refused_before_decoding(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of_size(60_000, 50_000))
    with pytest.raises(ImageError, match=r"3000 Mpx.*input\.max_decoded_mpx is 500; "):
        open_slide(tmp_path / "a.png")
    Image.fromarray(NOISE).save(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match=r"input\.max_decoded_mpx is 0\.01;"):
        open_slide(tmp_path / "a.jpg", max_decoded_mpx=0.01)


def test_zero_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_of_size(0, 5))
    with pytest.raises(ImageError, match="0 x 5 px"):
        open_slide(tmp_path / "a.png")


def test_one_pixel(tmp_path: Path) -> None:
    Image.fromarray(NOISE[:1, :1]).save(tmp_path / "a.png")
    with open_slide(tmp_path / "a.png") as slide:
        assert slide.read(Window(0, 1, 0, 1)).tolist() == [[NOISE[0, 0].tolist()]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.tif", b"", "empty"),
        ("text.png", b"sample\tpath\n", "not an image that can be read"),
        ("gif.png", b"GIF89a\0\0\0\0", "expected PNG, JPEG, TIFF"),
        ("head.tif", b"II*\0\x08\0\0\0", "a TIFF without pixels"),
        ("short.tif", b"II*\0", "truncated or damaged TIFF"),
        ("sig.png", b"\x89PNG\r\n\x1a\n", "truncated PNG"),
        ("soi.jpg", b"\xff\xd8\xff", "truncated JPEG"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        open_slide(tmp_path / name)
    assert "\n" not in str(caught.value) and name in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none\.png: cannot be read .*check the path"):
        open_slide(tmp_path / "none.png")
    with pytest.raises(ImageError, match="a folder"):
        open_slide(tmp_path)


def test_the_name_does_not_decide_the_format(tmp_path: Path) -> None:
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_whole(tmp_path / "a.tif"), NOISE)


def test_jpeg_frame_needs_a_scan() -> None:
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, "JPEG")
    frame = jpeg_frame(buffer.getvalue())
    assert frame is not None and frame[:4] == (90, 121, 3, 8)
    assert buffer.getvalue()[frame[4] : frame[4] + 2] == b"\xff\xda"
    assert jpeg_frame(buffer.getvalue()[: frame[4]]) is None
