"""Class maps: the same values the same bytes, names and pixel size in the file, read by others too."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile

from cellseg.errors import LabelError
from cellseg.io.class_map import NO_CLASS, cut_tiles, open_class_map, write_class_map
from cellseg.types import Window

NAMES = ("stroma", "Drüse & <Lumen>", "tumour \u2265 2")
RNG = np.random.default_rng(5)


def blocks(height: int, width: int) -> np.ndarray:
    small = RNG.choice(np.array([0, 1, 2, NO_CLASS], np.uint8), (height // 16 + 1, width // 16 + 1))
    return np.kron(small, np.ones((16, 16), np.uint8))[:height, :width]


def strips(values: np.ndarray, rows: int) -> list[np.ndarray]:
    return [values[y : y + rows] for y in range(0, len(values), rows)]


def write(path: Path, values: np.ndarray, rows: int = 200, mpp: float = 1.4) -> None:
    height, width = values.shape
    tiles = cut_tiles(strips(values, rows), height_px=height, width_px=width)
    write_class_map(path, tiles, height_px=height, width_px=width, mpp=mpp, names=NAMES)


@pytest.mark.parametrize("shape", [(1, 1), (512, 512), (513, 511), (1300, 700), (40, 1537)])
def test_round_trip_here_and_elsewhere(tmp_path: Path, shape: tuple[int, int]) -> None:
    values = blocks(*shape)
    write(tmp_path / "m.ome.tif", values)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "m.ome.tif"), values)
    with open_class_map(tmp_path / "m.ome.tif") as found:
        assert (found.height, found.width, found.mpp, found.names) == (*shape, 1.4, NAMES)
        np.testing.assert_array_equal(found.read(Window(0, shape[0], 0, shape[1])), values)
        part = Window(shape[0] // 3, shape[0], shape[1] // 3, shape[1] - shape[1] // 5)
        np.testing.assert_array_equal(found.read(part), values[part.y0 : part.y1, part.x0 : part.x1])


def test_bytes_do_not_depend_on_the_strips(tmp_path: Path) -> None:
    values = blocks(1300, 700)
    write(tmp_path / "a.ome.tif", values, rows=64)
    write(tmp_path / "b.ome.tif", values, rows=1024)
    assert (tmp_path / "a.ome.tif").read_bytes() == (tmp_path / "b.ome.tif").read_bytes()


def test_it_is_a_tiled_ome_tiff_whose_parts_stand_in_the_schemas_order(tmp_path: Path) -> None:
    write(tmp_path / "m.ome.tif", blocks(600, 700), mpp=1 / 3)
    with tifffile.TiffFile(tmp_path / "m.ome.tif") as tiff:
        page = tiff.pages[0]
        assert tiff.is_ome and tiff.series[0].axes == "YX"
        assert (page.tilelength, page.tilewidth, page.dtype) == (512, 512, np.uint8)
        ome = tifffile.xml2dict(tiff.ome_metadata)["OME"]
        root = ElementTree.fromstring(tiff.ome_metadata)
    order = [[node.tag.split("}")[1] for node in parent] for parent in (root, root[0])]
    assert order == [["Image", "StructuredAnnotations"], ["Pixels", "AnnotationRef"]]
    annotation = ome["StructuredAnnotations"]["MapAnnotation"]
    assert annotation["ID"] == ome["Image"]["AnnotationRef"]["ID"]
    assert (ome["Image"]["Pixels"]["PhysicalSizeX"], ome["Image"]["Pixels"]["Type"]) == (1 / 3, "uint8")


def test_a_large_pixel_size_is_kept(tmp_path: Path) -> None:
    write(tmp_path / "m.ome.tif", blocks(10, 10), mpp=37.5)
    with open_class_map(tmp_path / "m.ome.tif") as found:
        assert found.mpp == 37.5


@pytest.mark.parametrize("rows", [9, 11])
def test_strips_that_do_not_make_up_the_map(rows: int) -> None:
    with pytest.raises(LabelError, match="expected"):
        list(cut_tiles([np.zeros((rows, 8), np.uint8)], height_px=10, width_px=8))


@pytest.mark.parametrize(
    "tiles", [[], [np.zeros((512, 512), np.uint8)] * 2, [np.zeros((512, 512), np.int64)], [np.zeros((8, 8), np.uint8)]]
)
def test_tiles_that_do_not_make_up_the_map_leave_no_file(tmp_path: Path, tiles: list[np.ndarray]) -> None:
    with pytest.raises(LabelError, match="expected"):
        write_class_map(tmp_path / "m.ome.tif", tiles, height_px=8, width_px=8, mpp=1.0, names=NAMES)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("names", [(), ("a", "a"), ("a", ""), tuple(map(str, range(251)))])
def test_names_that_are_none(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(LabelError, match="names of classes"):
        write_class_map(tmp_path / "m.ome.tif", [], height_px=8, width_px=8, mpp=1.0, names=names)


def test_what_is_no_class_map(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "plain.tif", np.zeros((8, 8), np.uint8))
    tifffile.imwrite(tmp_path / "deep.tif", np.zeros((8, 8), np.uint16))
    (tmp_path / "text.tif").write_text("no image")
    for name, said in (("plain", "names no classes"), ("deep", "uint16"), ("text", "text.tif"), ("none", "none.tif")):
        with pytest.raises(LabelError, match=said):
            open_class_map(tmp_path / f"{name}.tif")


def test_damaged_map(tmp_path: Path) -> None:
    path = tmp_path / "m.ome.tif"
    write(path, RNG.integers(0, 3, (600, 600)).astype(np.uint8))
    content = bytearray(path.read_bytes())
    content[-2000:] = bytes(2000)
    path.write_bytes(content)
    with pytest.raises(LabelError, match=r"m\.ome\.tif"), open_class_map(path) as found:
        found.read(Window(0, 600, 0, 600))
