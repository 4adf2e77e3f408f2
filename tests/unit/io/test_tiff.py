"""TIFF in every shape that microscopes write: windows against the whole array, and what is refused."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellseg.errors import ImageError
from cellseg.io.segments import SegmentCache
from cellseg.io.slide import open_slide
from cellseg.types import Window

HEIGHT, WIDTH = 150, 201


def gradient(channels: int = 3, dtype: str = "uint8", height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Smooth, different in every channel, so that lossy codecs stay near and mixed-up channels do not."""
    y, x = np.mgrid[:height, :width]
    planes = [(y * (c + 1) + x * 2 + 40 * c) % 200 + 20 for c in range(channels)]
    pixels = np.stack(planes, axis=-1)
    return (pixels * (257 if dtype == "uint16" else 1)).astype(dtype)


GRAY, RGB = gradient(1)[..., 0], gradient(3)
GRAY16, RGB16 = gradient(1, "uint16")[..., 0], gradient(3, "uint16")
RGBA = np.dstack([RGB, np.full((HEIGHT, WIDTH), 77, np.uint8)])
NOISE = np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
PLAIN = {"metadata": None}
TILED = {"tile": (64, 48), **PLAIN}

RGB_STRIPS = {"photometric": "rgb", "metadata": None}
RGB_TILED = {"photometric": "rgb", **TILED}
PLANAR = {"photometric": "rgb", "planarconfig": "separate"}
ALPHA = {"extrasamples": ["unassalpha"], **PLAIN}

LOSSLESS = {
    "gray strips": (GRAY, {"rowsperstrip": 16, **PLAIN}),
    "gray one strip": (GRAY, {"rowsperstrip": HEIGHT, **PLAIN}),
    "rgb strips": (RGB, {"rowsperstrip": 7, **RGB_STRIPS}),
    "rgb lzw strips": (RGB, {"rowsperstrip": 7, "compression": "lzw", **RGB_STRIPS}),
    "rgb lzw predictor": (RGB, {"compression": "lzw", "predictor": 2, **RGB_TILED}),
    "rgb lzw one strip": (RGB, {"rowsperstrip": HEIGHT, "compression": "lzw", **RGB_STRIPS}),
    "rgb tiled": (RGB, RGB_TILED),
    "rgb deflate": (NOISE, {"compression": "zlib", **RGB_TILED}),
    "rgb zstd": (RGB, {"compression": "zstd", **RGB_TILED}),
    "rgb packbits": (RGB, {"compression": "packbits", "rowsperstrip": 8, **RGB_STRIPS}),
    "rgb jpeg2000": (RGB, {"compression": "jpeg2000", **RGB_TILED}),
    "rgb16 strips": (RGB16, {"rowsperstrip": 20, **RGB_STRIPS}),
    "rgb16 deflate": (RGB16, {"compression": "zlib", **RGB_TILED}),
    "gray16 big endian": (GRAY16, {"byteorder": ">", "rowsperstrip": 16, **PLAIN}),
    "gray16 big endian lzw": (GRAY16, {"byteorder": ">", "compression": "lzw", **TILED}),
    "rgb16 big endian predictor": (RGB16, {"byteorder": ">", "compression": "zlib", "predictor": 2, **RGB_TILED}),
    "bigtiff": (RGB, {"bigtiff": True, **RGB_TILED}),
    "bigtiff big endian": (RGB16, {"bigtiff": True, "byteorder": ">", **RGB_TILED}),
    "planar strips": (np.moveaxis(RGB, -1, 0), {"rowsperstrip": 16, **PLANAR, **PLAIN}),
    "planar tiled": (np.moveaxis(RGB16, -1, 0), {"compression": "lzw", **PLANAR, **TILED}),
    "rgba": (RGBA, {"photometric": "rgb", "rowsperstrip": 16, **ALPHA}),
    "rgba planar": (np.moveaxis(RGBA, -1, 0), {**PLANAR, **ALPHA}),
    "gray alpha": (np.dstack([GRAY, GRAY // 2]), {"photometric": "minisblack", "planarconfig": "contig", **ALPHA}),
}  # fmt: skip


def expected_of(array: np.ndarray, name: str) -> np.ndarray:
    if "planar" in name:
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 2:
        return array[:, :, None]
    return array[:, :, :1] if array.shape[2] == 2 else array[:, :, :3]


def windows_of(height: int, width: int) -> list[Window]:
    rng = np.random.default_rng(5)
    ys, xs = np.sort(rng.integers(0, height + 1, (12, 2))), np.sort(rng.integers(0, width + 1, (12, 2)))
    random = [Window(int(y[0]), int(y[1]), int(x[0]), int(x[1])) for y, x in zip(ys, xs, strict=True)]
    return [Window(0, height, 0, width), Window(0, 1, 0, 1), Window(height - 1, height, width - 1, width), *random]


def assert_reads(path: Path, whole: np.ndarray) -> None:
    with open_slide(path) as slide:
        assert (slide.height, slide.width, len(slide.channel_names)) == whole.shape
        assert slide.dtype == whole.dtype
        for window in windows_of(slide.height, slide.width):
            pixels = slide.read(window)
            assert pixels.flags["C_CONTIGUOUS"] and pixels.dtype.isnative
            np.testing.assert_array_equal(pixels, whole[window.y0 : window.y1, window.x0 : window.x1], str(window))


@pytest.mark.parametrize("name", LOSSLESS)
def test_windows_of_every_lossless_kind(tmp_path: Path, name: str) -> None:
    array, how = LOSSLESS[name]
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, array, **how)
    assert_reads(path, expected_of(array, name))


@pytest.mark.parametrize("name", ["gray16 big endian", "rgb lzw strips", "planar tiled"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_window(tmp_path: Path, name: str, data: st.DataObject) -> None:
    array, how = LOSSLESS[name]
    path = tmp_path / "image.tif"
    if not path.exists():
        tifffile.imwrite(path, array, **how)
    y0, x0 = data.draw(st.integers(0, HEIGHT)), data.draw(st.integers(0, WIDTH))
    window = Window(y0, data.draw(st.integers(y0, HEIGHT)), x0, data.draw(st.integers(x0, WIDTH)))
    with open_slide(path) as slide:
        np.testing.assert_array_equal(
            slide.read(window), expected_of(array, name)[window.y0 : window.y1, x0 : window.x1]
        )


@pytest.mark.parametrize("how", [{"tile": (64, 48)}, {"rowsperstrip": 16}])
@pytest.mark.parametrize("array", [RGB, GRAY])
def test_jpeg_tiles_are_near_and_tiling_changes_nothing(tmp_path: Path, array: np.ndarray, how: dict) -> None:
    path = tmp_path / "image.tif"
    photometric = "rgb" if array.ndim == 3 else "minisblack"
    tifffile.imwrite(path, array, compression="jpeg", compressionargs={"level": 95}, photometric=photometric, **how)
    whole = tifffile.imread(path).reshape(HEIGHT, WIDTH, -1)
    assert np.abs(whole.astype(int) - array.reshape(whole.shape)).mean() < 5
    assert_reads(path, whole)


def test_min_is_white_is_inverted(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "w.tif", GRAY, photometric="miniswhite", metadata=None)
    assert_reads(tmp_path / "w.tif", 255 - GRAY[:, :, None])


def test_palette_becomes_rgb(tmp_path: Path) -> None:
    table = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "p.tif", GRAY, photometric="palette", colormap=table * 257, metadata=None)
    assert_reads(tmp_path / "p.tif", table.T.astype(np.uint8)[GRAY])
    with open_slide(tmp_path / "p.tif") as slide:
        assert slide.is_rgb and slide.channel_names == ("red", "green", "blue")


def test_ome_channels_in_pages_keep_their_names(tmp_path: Path) -> None:
    path, stack = tmp_path / "multi.ome.tif", np.moveaxis(gradient(4, "uint16"), -1, 0)
    meta = {
        "axes": "CYX",
        "Channel": {"Name": ["DAPI", "CD3", "CD8", "DAPI"]},
        "PhysicalSizeX": 0.65,
        "PhysicalSizeY": 0.65,
    }
    tifffile.imwrite(path, stack, ome=True, photometric="minisblack", metadata=meta, tile=(64, 64), compression="zlib")
    assert_reads(path, np.moveaxis(stack, 0, -1))
    with open_slide(path) as slide:
        assert slide.channel_names == ("DAPI", "CD3", "CD8", "DAPI_4")
        assert not slide.is_rgb
        assert slide.pixel_size is not None and slide.pixel_size.mpp == 0.65


def test_ome_channels_within_pixels(tmp_path: Path) -> None:
    path, array = tmp_path / "contig.ome.tif", gradient(5)
    tifffile.imwrite(path, array, ome=True, photometric="minisblack", planarconfig="contig", metadata={"axes": "YXC"})
    assert_reads(path, array)


def test_imagej_channels(tmp_path: Path) -> None:
    path, stack = tmp_path / "ij.tif", np.moveaxis(gradient(3, "uint16"), -1, 0)
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "CYX", "unit": "um"}, resolution=(4, 4))
    assert_reads(path, np.moveaxis(stack, 0, -1))
    with open_slide(path) as slide:
        assert slide.pixel_size is not None and slide.pixel_size.mpp == 0.25


@pytest.mark.parametrize(("axes", "word"), [("ZYX", "focus"), ("TYX", "time")])
def test_stacks_are_refused_with_what_to_export(tmp_path: Path, axes: str, word: str) -> None:
    tifffile.imwrite(
        tmp_path / "s.ome.tif", np.stack([GRAY] * 4), ome=True, photometric="minisblack", metadata={"axes": axes}
    )
    with pytest.raises(ImageError, match=f"4 {word}.*export one"):
        open_slide(tmp_path / "s.ome.tif")


def test_pages_that_nothing_names_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "n.tif") as tiff:
        for _ in range(3):
            tiff.write(GRAY, metadata=None)
    with pytest.raises(ImageError, match="3 pages that nothing tells apart"):
        open_slide(tmp_path / "n.tif")


def test_pyramid_in_subifds(tmp_path: Path) -> None:
    path, array = tmp_path / "pyramid.ome.tif", gradient(3, height=512, width=640)
    with tifffile.TiffWriter(path, ome=True) as tiff:
        tiff.write(array, subifds=2, tile=(64, 64), photometric="rgb", metadata={"axes": "YXS"})
        tiff.write(array[::2, ::2], subfiletype=1, tile=(64, 64), photometric="rgb")
        tiff.write(array[::4, ::4], subfiletype=1, tile=(64, 64), photometric="rgb")
    with open_slide(path) as slide:
        assert [(level.height, level.width, level.downsample) for level in slide.levels] == [
            (512, 640, 1.0), (256, 320, 2.0), (128, 160, 4.0),
        ]  # fmt: skip
        np.testing.assert_array_equal(slide.read(Window(3, 100, 7, 150), level=2), array[::4, ::4][3:100, 7:150])


def test_pyramid_in_pages_without_label_and_macro(tmp_path: Path) -> None:
    path, array = tmp_path / "pages.tif", gradient(3, height=512, width=640)
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(array, tile=(64, 64), photometric="rgb", metadata=None)
        tiff.write(array[::2, ::2], tile=(64, 64), photometric="rgb", subfiletype=1, metadata=None)
        tiff.write(gradient(3, height=100, width=90), photometric="rgb", subfiletype=1, metadata=None)
        tiff.write(gradient(3, height=128, width=160), photometric="rgb", subfiletype=9, metadata=None)
    with open_slide(path) as slide:
        assert [(level.height, level.width) for level in slide.levels] == [(512, 640), (256, 320)]


def test_aperio_pyramid(tmp_path: Path) -> None:
    path, array = tmp_path / "a.svs", gradient(3, height=512, width=640)
    text = "Aperio Image Library v11.2.1 \n640x512 (64x64) JPEG/RGB Q=90|AppMag = 20|MPP = 0.4990"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(array, tile=(64, 64), photometric="rgb", metadata=None, description=text)
        tiff.write(array[::8, ::8], photometric="rgb", metadata=None, description="Aperio thumbnail")
        tiff.write(array[::4, ::4], tile=(64, 64), photometric="rgb", metadata=None, description="Aperio Image Library")
        tiff.write(
            gradient(3, height=60, width=80),
            photometric="rgb",
            subfiletype=1,
            metadata=None,
            description="Aperio label 80x60",
        )
        tiff.write(
            gradient(3, height=64, width=80),
            photometric="rgb",
            subfiletype=9,
            metadata=None,
            description="Aperio macro 80x64",
        )
    with open_slide(path) as slide:
        assert [(level.height, level.width) for level in slide.levels] == [(512, 640), (128, 160)]
        assert slide.pixel_size is not None and slide.pixel_size.mpp == 0.499
        assert "Aperio" in slide.format


def test_a_larger_second_image_is_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "t.tif") as tiff:
        tiff.write(GRAY[:20, :20], metadata=None)
        tiff.write(GRAY, metadata=None)
    with pytest.raises(ImageError, match="not the largest"):
        open_slide(tmp_path / "t.tif")


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint32", "int16", "int8", "bool"])
def test_other_types_are_refused_with_the_cure(tmp_path: Path, dtype: str) -> None:
    tifffile.imwrite(tmp_path / "t.tif", GRAY.astype(dtype), metadata=None)
    with pytest.raises(ImageError, match=r"expected 8-bit or 16-bit.*save it as 16-bit") as caught:
        open_slide(tmp_path / "t.tif")
    assert "NaN;" not in str(caught.value)


def test_float_with_nan_says_so(tmp_path: Path) -> None:
    array = GRAY.astype(np.float32)
    array[100, 100] = np.nan
    tifffile.imwrite(tmp_path / "t.tif", array, metadata=None)
    with pytest.raises(ImageError, match="float32 pixels with NaN"):
        open_slide(tmp_path / "t.tif")


def test_cmyk_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "c.tif", RGBA, photometric="separated", metadata=None)
    with pytest.raises(ImageError, match=r"SEPARATED.*save it as RGB"):
        open_slide(tmp_path / "c.tif")


@pytest.mark.parametrize("name", ["rgb strips", "rgb deflate", "rgb lzw one strip", "bigtiff", "planar tiled"])
@pytest.mark.parametrize("share", [0.0005, 0.01, 0.3, 0.7, 0.95, 0.999])
def test_truncation_is_an_error_never_pixels(tmp_path: Path, name: str, share: float) -> None:
    array, how = LOSSLESS[name]
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, array, **how)
    size = path.stat().st_size
    os.truncate(path, int(size * share))
    with pytest.raises(ImageError) as caught, open_slide(path) as slide:
        slide.read(Window(0, slide.height, 0, slide.width))
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_truncated_jpeg_tile_within_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, NOISE, compression="jpeg", photometric="rgb", tile=(64, 64), metadata=None)
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages[0].dataoffsets[5], tiff.pages[0].databytecounts[5]
    data = bytearray(path.read_bytes())
    data[offset + count // 2 : offset + count] = bytes(count - count // 2)
    path.write_bytes(data)
    with open_slide(path) as slide:
        slide.read(Window(0, 64, 0, 64))
        with pytest.raises(ImageError, match=r"tile 5.*truncated JPEG"):
            slide.read(Window(64, 128, 64, 128))


def test_damaged_deflate_tile_names_it(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, NOISE, compression="zlib", photometric="rgb", **TILED)
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    data = bytearray(path.read_bytes())
    data[offset + 10 : offset + count] = bytes(count - 10)
    path.write_bytes(data)
    with open_slide(path) as slide, pytest.raises(ImageError, match="tile 0 cannot be decoded"):
        slide.read(Window(0, 10, 0, 10))


@pytest.mark.parametrize("name", ["rgb lzw strips", "rgb tiled", "bigtiff"])
def test_flipped_bytes_never_crash_otherwise(tmp_path: Path, name: str) -> None:
    array, how = LOSSLESS[name]
    path, rng = tmp_path / "image.tif", np.random.default_rng(8)
    tifffile.imwrite(path, array, **how)
    whole, refused = path.read_bytes(), 0
    for _ in range(120):
        data = bytearray(whole)
        for at in rng.integers(0, 400, 2):
            data[at] = rng.integers(256)
        path.write_bytes(data)
        try:
            with open_slide(path, max_decoded_mpx=5) as slide:
                slide.read(Window(0, min(slide.height, 200), 0, min(slide.width, 200)))
        except ImageError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 10


def test_a_strip_that_would_decode_to_too_much_is_refused_before(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tif"
    tifffile.imwrite(path, np.zeros((2000, 2000), np.uint8), compression="zlib", rowsperstrip=2000, metadata=None)
    with pytest.raises(ImageError, match=r"4 Mpx.*input\.max_decoded_mpx is 3;"):
        open_slide(path, max_decoded_mpx=3)
    with open_slide(path, max_decoded_mpx=5) as slide:
        assert slide.read(Window(0, 1, 0, 1)).shape == (1, 1, 1)
    tifffile.imwrite(path, np.zeros((2000, 2000), np.uint8), rowsperstrip=2000, metadata=None)
    with open_slide(path, max_decoded_mpx=3) as slide:
        assert slide.read(Window(5, 6, 0, 2000)).shape == (1, 2000, 1), "an uncompressed strip is read by rows"


def test_tiles_that_a_scanner_left_out_are_white(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    tiles = (tile for tile in [RGB[:64, :64], None, None, RGB[64:128, 64:128]])
    tifffile.imwrite(
        path,
        tiles,
        shape=(128, 128, 3),
        dtype="uint8",
        tile=(64, 64),
        photometric="rgb",
        compression="zlib",
        metadata=None,
    )
    with open_slide(path) as slide:
        pixels = slide.read(Window(0, 128, 0, 128))
    assert (pixels[:64, 64:] == 255).all()
    np.testing.assert_array_equal(pixels[64:, 64:], RGB[64:128, 64:128])


@pytest.mark.parametrize("name", ["rgb deflate", "rgb lzw one strip", "gray16 big endian"])
def test_threads_read_the_same(tmp_path: Path, name: str) -> None:
    array, how = LOSSLESS[name]
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, array, **how)
    whole, windows = expected_of(array, name), windows_of(HEIGHT, WIDTH) * 8
    with open_slide(path) as slide, ThreadPoolExecutor(8) as pool:
        for window, pixels in zip(windows, pool.map(slide.read, windows), strict=True):
            np.testing.assert_array_equal(pixels, whole[window.y0 : window.y1, window.x0 : window.x1])


def test_cache_is_bounded_and_decodes_once() -> None:
    cache, decoded, lock = SegmentCache(250), [], threading.Lock()

    def decode(key: int) -> np.ndarray:
        with lock:
            decoded.append(key)
        return np.full(100, key, np.uint8)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: cache.get((0, i % 2), lambda: decode(i % 2)), range(64)))
    assert sorted(decoded) == [0, 1]
    cache.get((0, 2), lambda: decode(2))
    cache.get((0, 2), lambda: decode(2))
    assert decoded.count(2) == 1
    assert cache.held_bytes <= 250
    cache.get((0, 3), lambda: np.zeros(1000, np.uint8))
    assert cache.held_bytes == 1000, "one segment is always held, however large"


def test_windows_outside_are_a_bug(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "t.tif", GRAY, metadata=None)
    with open_slide(tmp_path / "t.tif") as slide:
        with pytest.raises(ValueError, match="leaves level 0"):
            slide.read(Window(0, HEIGHT + 1, 0, 10))
        with pytest.raises(ValueError, match="level 1 of 1"):
            slide.read(Window(0, 1, 0, 1), level=1)


def test_real_aperio_slide() -> None:
    path = Path(os.environ.get("CELLSEG_DATA", "../shared/data")) / "slides" / "CMU-1-Small-Region.svs"
    if not path.is_file():
        pytest.skip(f"no {path}: set CELLSEG_DATA to the folder of labelled images")
    with open_slide(path) as slide:
        assert (slide.height, slide.width, slide.is_rgb, len(slide.levels)) == (2967, 2220, True, 1)
        assert slide.pixel_size == (0.499, "Aperio MPP")
        whole = tifffile.imread(path)
        for window in (Window(0, 300, 0, 300), Window(2500, 2967, 1900, 2220), Window(100, 101, 0, 2220)):
            np.testing.assert_array_equal(slide.read(window), whole[window.y0 : window.y1, window.x0 : window.x1])
