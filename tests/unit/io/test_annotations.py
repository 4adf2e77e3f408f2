"""Outlines from GeoJSON and COCO become the pixels whose middles they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellseg.errors import LabelError
from cellseg.io.annotations import CocoImage, draw_coco, read_coco, read_geojson

SQUARE = [[1, 1], [4, 1], [4, 3], [1, 3], [1, 1]]
"""x 1 to 4, y 1 to 3: 2 rows of 3 pixels."""
BOX = np.zeros((6, 8), int)
BOX[1:3, 1:4] = 1


def feature(rings: Any, kind: str = "Polygon", name: str | None = None, **properties: Any) -> dict[str, Any]:
    named = {} if name is None else {"classification": {"name": name, "color": [1, 2, 3]}}
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": rings}, "properties": properties | named}


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


@pytest.mark.parametrize("wrapped", [lambda f: {"type": "FeatureCollection", "features": f}, lambda f: f])
def test_geojson_square_is_its_pixels(tmp_path: Path, wrapped: Any) -> None:
    found = read_geojson(write(tmp_path / "a.geojson", wrapped([feature([SQUARE], name="Tumor")])), 6, 8)
    assert np.array_equal(found.labels, BOX)
    assert found.names == {1: "Tumor"}


def test_geojson_holes_parts_and_overlaps(tmp_path: Path) -> None:
    frame = [[[0, 0], [6, 0], [6, 6], [0, 6], [0, 0]], [[1, 1], [5, 1], [5, 5], [1, 5], [1, 1]]]
    parts = [[[[6, 0], [7, 0], [7, 1], [6, 1]]], [[[7, 5], [8, 5], [8, 6], [7, 6]]]]
    small, large = [[[2, 2], [3, 2], [3, 3], [2, 3]]], [[[2, 2], [4, 2], [4, 4], [2, 4]]]
    features = [feature(frame), feature(parts, "MultiPolygon"), feature(small), feature(large)]
    found = read_geojson(write(tmp_path / "a.geojson", features), 6, 8)
    expected = [
        [1, 1, 1, 1, 1, 1, 2, 0],
        [1, 0, 0, 0, 0, 1, 0, 0],
        [1, 0, 3, 4, 0, 1, 0, 0],
        [1, 0, 4, 4, 0, 1, 0, 0],
        [1, 0, 0, 0, 0, 1, 0, 0],
        [1, 1, 1, 1, 1, 1, 0, 2],
    ]
    assert found.labels.tolist() == expected
    assert found.names == {1: "", 2: "", 3: "", 4: ""}


def test_regions_drawn_around_cells_are_no_cells(tmp_path: Path) -> None:
    around = [[[0, 0], [8, 0], [8, 6], [0, 6]]]
    features = [feature(around, objectType="annotation"), feature([SQUARE], objectType="detection")]
    assert np.array_equal(read_geojson(write(tmp_path / "a.geojson", features), 6, 8).labels, BOX)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([feature([1, 2], "Point")], "feature 0 is a Point; expected Polygon"),
        ([feature([[[90, 90], [95, 90], [95, 95]]])], "outside of the image of 8 x 6 px"),
        ([feature([["a", "b"]])], "coordinates that are no polygon"),
        ([feature([])], "coordinates that are no polygon"),
        ({"features": [{"a": 1}]}, "not GeoJSON features"),
        ({"type": "nothing"}, "not GeoJSON features"),
    ],
)
def test_faulty_geojson_is_refused(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        read_geojson(write(tmp_path / "a.geojson", value), 6, 8)


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_text("{")
    with pytest.raises(LabelError, match="not readable as JSON"):
        read_geojson(tmp_path / "a.geojson", 6, 8)


def coco(segmentation: Any, **more: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "a.png", "height": 6, "width": 8}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "segmentation": segmentation} | more],
        "categories": [{"id": 3, "name": "cell"}],
    }


PLAIN_RUNS = {"size": [6, 8], "counts": [7, 2, 4, 2, 4, 2, 27]}
"""The square by columns: 7 px before it, then 2 of every 6."""


@pytest.mark.parametrize("outline", [[[1, 1, 4, 1, 4, 3, 1, 3]], PLAIN_RUNS])
def test_coco_polygons_and_runs_are_their_pixels(tmp_path: Path, outline: Any) -> None:
    (image,) = read_coco(write(tmp_path / "a.json", coco(outline)))
    assert (image.file_name, image.height, image.width) == ("a.png", 6, 8)
    found = draw_coco(image, "a.json")
    assert np.array_equal(found.labels, BOX)
    assert found.names == {1: "cell"}


def pack(lengths: list[int]) -> str:
    """COCO's packing, written out by its definition."""
    text = ""
    for at, length in enumerate(lengths):
        value = length - lengths[at - 2] if at > 2 else length
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != (-1 if bits & 0x10 else 0)
            text += chr((bits | 0x20 if more else bits) + 48)
    return text


def test_packed_runs_are_unpacked() -> None:
    # by hand: 7, 2, 4; no difference three times; 23 over the one before the last, in two letters
    assert pack([7, 2, 4, 2, 4, 2, 27]) == "724000g0"
    for seed in range(20):
        rng = np.random.default_rng(seed)
        mask = rng.random((40, 50)) < rng.choice([0.001, 0.1, 0.5])
        flat = mask.T.ravel()
        edges = np.flatnonzero(np.diff(np.concatenate([[False], flat])))
        lengths = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
        entry = {"id": 1, "segmentation": {"size": [40, 50], "counts": pack(lengths)}}
        found = draw_coco(CocoImage("a.png", 40, 50, (("cell", entry),)), "a.json")
        assert np.array_equal(found.labels > 0, mask)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"segmentation": [[1, 2, 3, 4]]}, "a polygon of 4 numbers"),
        ({"segmentation": []}, "no segmentation; a box alone"),
        ({"segmentation": {"size": [6, 8], "counts": [1, 2]}}, r"run lengths of 3 px"),
        ({"segmentation": {"size": [6, 8], "counts": "o"}}, "damaged run lengths"),
        ({"segmentation": PLAIN_RUNS, "iscrowd": 1}, "a crowd"),
    ],
)
def test_faulty_coco_annotations_are_refused(annotation: dict[str, Any], message: str) -> None:
    with pytest.raises(LabelError, match=f"here: annotation 1 of a.png: {message}"):
        draw_coco(CocoImage("a.png", 6, 8, (("cell", {"id": 1} | annotation),)), "here")


@pytest.mark.parametrize("gone", ["images", "annotations", "categories"])
def test_faulty_coco_files_are_refused(tmp_path: Path, gone: str) -> None:
    value = coco(PLAIN_RUNS)
    del value[gone]
    with pytest.raises(LabelError, match="not COCO"):
        read_coco(write(tmp_path / "a.json", value))
    value = coco(PLAIN_RUNS)
    value["annotations"][0]["image_id"] = 8
    with pytest.raises(LabelError, match="not COCO"):
        read_coco(write(tmp_path / "a.json", value))
