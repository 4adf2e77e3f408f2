"""Areas, overlay and polygons of a map: what is drawn is what the map says."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rasterio.features import rasterize
from shapely.geometry import shape

from cellseg.io.class_map import NO_CLASS, cut_tiles, write_class_map
from cellseg.io.slide import open_slide
from cellseg.stages import tissue_report
from cellseg.stages.preprocess import preprocess_slide
from cellseg.stages.results import MapFiles
from cellseg.stages.tissue_report import finish_map

NAMES = ("stroma", "gland", "tumor")


def a_map(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = np.kron(rng.integers(0, 3, (8, 12)), np.ones((5, 5))).astype(np.uint8)
    values[:5, :10] = NO_CLASS
    # an island with a hole
    values[10:25, 30:45], values[13:20, 33:40] = 1, 2
    return values


def finish(folder: Path, values: np.ndarray, *, scale: float = 1.0, max_px: int = 4096) -> tuple[MapFiles, list[dict]]:
    height, width = round(values.shape[0] / scale), round(values.shape[1] / scale)
    image = folder / "slide.png"
    cv2.imwrite(str(image), np.full((height, width, 3), 210, np.uint8))
    recipe = preprocess_slide(image, folder / "recipe", stain="he", mpp=0.5)
    files = MapFiles(folder / "map.ome.tif")
    size = {"height_px": values.shape[0], "width_px": values.shape[1]}
    write_class_map(files.map, cut_tiles([values], **size), mpp=0.5 / scale, names=NAMES, **size)
    with open_slide(image) as slide:
        return files, finish_map(files, slide, replace(recipe), max_px=max_px)


@pytest.mark.parametrize("scale", [1.0, 0.5, 2.0])
def test_polygons_drawn_back_are_the_map(tmp_path: Path, scale: float) -> None:
    values = a_map()
    files, _ = finish(tmp_path, values, scale=scale)
    found = json.loads(files.polygons.read_text())
    assert found["properties"]["traced_um_per_px"] == pytest.approx(0.5 / scale)
    pairs = []
    for feature in found["features"]:
        assert feature["properties"]["objectType"] == "annotation"
        outline = shape(feature["geometry"])
        assert outline.is_valid
        pairs.append((outline, NAMES.index(feature["properties"]["classification"]["name"])))
    transform = (1 / scale, 0, 0, 0, 1 / scale, 0)
    again = rasterize(pairs, values.shape, fill=NO_CLASS, transform=tuple(transform), dtype=np.uint8)
    assert np.array_equal(again, values)
    assert any(outline.interiors for outline, _ in pairs)


def test_areas_add_up(tmp_path: Path) -> None:
    values = a_map()
    _, areas = finish(tmp_path, values, scale=0.5)
    assert [row["tissue"] for row in areas] == list(NAMES)
    for number, row in enumerate(areas):
        n = int((values == number).sum())
        assert row["area_mm2"] == pytest.approx(n * 1.0**2 / 1e6)
        assert row["share"] == pytest.approx(n / (values != NO_CLASS).sum(), abs=1e-6)


def test_a_map_of_nothing_has_no_polygons_and_no_area(tmp_path: Path) -> None:
    files, areas = finish(tmp_path, np.full((20, 30), NO_CLASS, np.uint8))
    assert json.loads(files.polygons.read_text())["features"] == []
    assert [row["area_mm2"] for row in areas] == [0, 0, 0] and [row["share"] for row in areas] == [0, 0, 0]


def test_large_maps_are_traced_reduced_and_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.kron(a_map(), np.ones((4, 4), np.uint8)).astype(np.uint8)
    monkeypatch.setattr(tissue_report, "MAX_TRACED_MPX", values.size / 1e6 / 10)
    monkeypatch.setattr(tissue_report, "_STRIP_PX", 16)
    files, _ = finish(tmp_path, values)
    found = json.loads(files.polygons.read_text())
    assert found["properties"]["traced_um_per_px"] == pytest.approx(0.5 * 4)
    total = sum(shape(feature["geometry"]).area for feature in found["features"])
    assert total == pytest.approx((values != NO_CLASS).sum())


@pytest.mark.parametrize("max_px", [40, 4096])
def test_the_picture_shows_slide_and_tissues_at_any_size(tmp_path: Path, max_px: int) -> None:
    files, _ = finish(tmp_path, np.kron(a_map(), np.ones((8, 8), np.uint8)).astype(np.uint8), max_px=max_px)
    picture = cv2.imread(str(files.overlay))
    assert picture.shape[1] >= min(max_px, 480)
    colours = {tuple(pixel[::-1]) for pixel in picture.reshape(-1, 3)[::3]}
    assert {tuple(int(v) for v in c) for c in colours} & {(0, 158, 115)}
