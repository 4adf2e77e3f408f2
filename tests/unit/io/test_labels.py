"""Label images: same labels same bytes, readable by others, whatever others wrote readable here."""

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import skimage.io
import tifffile
from PIL import Image

from cellseg.errors import LabelError
from cellseg.io.labels import (
    PART_PX,
    STRIP_PX,
    encode_parts,
    encode_strip,
    is_bigtiff,
    open_labels,
    reduced_shapes,
    write_labels,
)
from cellseg.types import Window

RNG = np.random.default_rng(2)


def blocks(height: int, width: int) -> np.ndarray:
    small = RNG.integers(0, 2**32, (height // 16 + 1, width // 16 + 1), dtype=np.uint32)
    return np.kron(small, np.ones((16, 16), np.uint32))[:height, :width]


def strips_of(labels: np.ndarray) -> Iterator[np.ndarray]:
    return (labels[y : y + STRIP_PX] for y in range(0, len(labels), STRIP_PX))


def write(path: Path, labels: np.ndarray, mpp: float = 0.499) -> None:
    write_labels(path, strips_of(labels), height_px=labels.shape[0], width_px=labels.shape[1], mpp=mpp)


@pytest.mark.parametrize("shape", [(1, 1), (512, 512), (513, 511), (1300, 700), (40, 1537)])
def test_round_trip_here_and_elsewhere(tmp_path: Path, shape: tuple[int, int]) -> None:
    path, labels = tmp_path / "l.ome.tif", blocks(*shape)
    labels[-1, -1] = 2**32 - 1
    write(path, labels)
    np.testing.assert_array_equal(tifffile.imread(path), labels)
    np.testing.assert_array_equal(skimage.io.imread(path), labels)
    with open_labels(path) as image:
        assert (image.height, image.width, image.mpp) == (*shape, 0.499)
        whole = image.read(Window(0, *shape[:1], 0, shape[1]))
        assert whole.dtype == np.uint32
        np.testing.assert_array_equal(whole, labels)
        part = Window(shape[0] // 3, shape[0], shape[1] // 3, shape[1] - shape[1] // 5)
        np.testing.assert_array_equal(image.read(part), labels[part.y0 : part.y1, part.x0 : part.x1])


@pytest.mark.parametrize("shape", [(1025, 3), (2049, 600), (4097, 9000)])
def test_large_images_have_a_pyramid_of_every_fourth_label(tmp_path: Path, shape: tuple[int, int]) -> None:
    path, labels = tmp_path / "l.ome.tif", blocks(*shape)
    write(path, labels)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome and len(tiff.pages) == 1
        levels = [level.asarray() for level in tiff.series[0].levels]
    assert [level.shape for level in levels[1:]] == reduced_shapes(*shape) != []
    assert max(levels[-1].shape) <= 1024 < max(levels[-2].shape)
    for number, level in enumerate(levels):
        np.testing.assert_array_equal(level.reshape(reduced_shapes(*shape)[number - 1] if number else shape), labels)
        labels = labels[::4, ::4]


def test_strips_encoded_before_give_the_same_bytes(tmp_path: Path) -> None:
    labels = blocks(2100, 1300)
    write(tmp_path / "a.ome.tif", labels)
    encoded = [encode_strip(strip) for strip in strips_of(labels)]
    write_labels(tmp_path / "b.ome.tif", encoded, height_px=2100, width_px=1300, mpp=0.499)
    assert (tmp_path / "a.ome.tif").read_bytes() == (tmp_path / "b.ome.tif").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"a.ome.tif", "b.ome.tif"}


@pytest.mark.parametrize("width", [PART_PX - 3, PART_PX, 2 * PART_PX + 1])
def test_a_strip_encoded_in_parts_is_the_strip(width: int) -> None:
    strip = blocks(37, width)
    whole, parts = encode_strip(strip), encode_parts(strip[:, x : x + PART_PX] for x in range(0, width, PART_PX))
    assert parts[:2] == whole[:2]
    np.testing.assert_array_equal(parts.reduced, whole.reduced)


def test_it_is_a_tiled_ome_tiff_with_pixel_size(tmp_path: Path) -> None:
    write(tmp_path / "l.ome.tif", blocks(600, 700), mpp=0.25)
    with tifffile.TiffFile(tmp_path / "l.ome.tif") as tiff:
        page = tiff.pages[0]
        assert tiff.is_ome and tiff.series[0].axes == "YX"
        assert page.is_tiled and (page.tilelength, page.tilewidth) == (512, 512) and page.dtype == np.uint32
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeY"], pixels["PhysicalSizeXUnit"]) == (0.25, 0.25, "µm")
    assert (pixels["SizeX"], pixels["SizeY"], pixels["Type"]) == (700, 600, "uint32")


def test_same_labels_same_bytes_in_another_process(tmp_path: Path) -> None:
    labels = blocks(600, 1100)
    write(tmp_path / "a.ome.tif", labels)
    np.save(tmp_path / "labels.npy", labels)
    code = (
        "import numpy as np; from pathlib import Path; from cellseg.io.labels import write_labels; "
        f"p = Path({str(tmp_path)!r}); l = np.load(p / 'labels.npy'); "
        "write_labels(p / 'b.ome.tif', iter([l[:512], l[512:]]), height_px=600, width_px=1100, mpp=0.499)"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"}
    )
    assert (tmp_path / "a.ome.tif").read_bytes() == (tmp_path / "b.ome.tif").read_bytes()


def test_never_the_whole_image_in_memory(tmp_path: Path) -> None:
    height, width = 40 * STRIP_PX, 2048

    def strips() -> Iterator[np.ndarray]:
        for i in range(40):
            yield np.full((STRIP_PX, width), i, np.uint32)

    tracemalloc.start()
    write_labels(tmp_path / "l.ome.tif", strips(), height_px=height, width_px=width, mpp=0.5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < height * width * 4 / 8, f"peak {peak / 2**20:.0f} MiB of {height * width * 4 / 2**20:.0f}"


def test_bigtiff_goes_by_shape() -> None:
    assert not is_bigtiff(32_000, 32_000)
    assert is_bigtiff(33_000, 33_000)


@pytest.mark.parametrize(
    ("strips", "message"),
    [
        ([np.zeros((512, 100), np.uint32)], "512 rows of labels were given, expected 600"),
        (
            [np.zeros((512, 100), np.uint32), np.zeros((88, 100), np.uint32), np.zeros((1, 100), np.uint32)],
            "more strips than the 600 rows",
        ),
        ([np.zeros((512, 101), np.uint32)], "expected \\(512, 100\\)"),
        ([np.zeros((300, 100), np.uint32)], "expected \\(512, 100\\)"),
        ([np.zeros((512, 100), np.uint16)], "uint16"),
    ],
)
def test_strips_that_do_not_fit_leave_no_file(tmp_path: Path, strips: list[np.ndarray], message: str) -> None:
    with pytest.raises(LabelError, match=message):
        write_labels(tmp_path / "l.ome.tif", strips, height_px=600, width_px=100, mpp=0.5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32"])
@pytest.mark.parametrize("how", [{}, {"tile": (64, 64), "compression": "zlib"}, {"byteorder": ">"}])
def test_other_tools_label_images(tmp_path: Path, dtype: str, how: dict) -> None:
    labels = RNG.integers(0, 200, (90, 130)).astype(dtype)
    tifffile.imwrite(tmp_path / "l.tif", labels, **how)
    with open_labels(tmp_path / "l.tif") as image:
        assert image.mpp is None
        read = image.read(Window(5, 90, 3, 130))
    assert read.dtype == np.uint32
    np.testing.assert_array_equal(read, labels[5:90, 3:130])


def test_png_labels(tmp_path: Path) -> None:
    labels = RNG.integers(0, 60_000, (40, 50)).astype(np.uint16)
    (tmp_path / "l.png").write_bytes(imagecodecs.png_encode(labels))
    with open_labels(tmp_path / "l.png") as image:
        np.testing.assert_array_equal(image.read(Window(0, 40, 1, 50)), labels[:, 1:])


def test_negative_labels_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "l.tif", np.full((9, 9), -1, np.int32))
    with open_labels(tmp_path / "l.tif") as image, pytest.raises(LabelError, match="negative label"):
        image.read(Window(0, 9, 0, 9))


def test_what_is_no_label_image_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "f.tif", np.zeros((9, 9), np.float32))
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((9, 9, 3), np.uint8), photometric="rgb")
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "rgb.png")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "gray.jpg")
    for name in ("f.tif", "rgb.tif", "rgb.png", "gray.jpg"):
        with pytest.raises(LabelError, match=r"expected one plane of whole numbers.*save the labels as 32-bit TIFF"):
            open_labels(tmp_path / name)
    with pytest.raises(LabelError, match="cannot be read"):
        open_labels(tmp_path / "none.tif")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.4, 0.9, 0.9999])
def test_truncated_labels_are_an_error(tmp_path: Path, share: float) -> None:
    path = tmp_path / "l.ome.tif"
    write(path, blocks(600, 700))
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(LabelError), open_labels(path) as image:
        image.read(Window(0, image.height, 0, image.width))
