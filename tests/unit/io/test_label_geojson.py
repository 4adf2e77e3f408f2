"""Points and outlines that QuPath draws, with their classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cellseg.errors import LabelError
from cellseg.io.cells_geojson import cell_uuid
from cellseg.io.label_geojson import read_geojson_marks

SQUARE = [[[1, 1], [4, 1], [4, 3], [1, 3], [1, 1]]]


def feature(kind: str, places: Any, name: Any = None, **more: Any) -> dict[str, Any]:
    properties = {} if name is None else {"classification": name if isinstance(name, dict) else {"name": name}}
    properties |= more.pop("properties", {})
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": places}, "properties": properties, **more}


def write(path: Path, *features: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_points_lie_half_a_pixel_off_and_take_their_class(tmp_path: Path) -> None:
    derived = {"names": ["Tumor", "Positive"]}
    (marks,) = read_geojson_marks(
        write(
            tmp_path / "a.geojson",
            feature("Point", [10.5, 3.5], "Tumor"),
            feature("MultiPoint", [[1, 2], [3, 4, 0]], derived),
            feature("Point", [0, 0]),
            feature("Point", [0, 0], "uncertain"),
        )
    )
    assert marks.points_px.tolist() == [[3, 10], [1.5, 0.5], [3.5, 2.5], [-0.5, -0.5], [-0.5, -0.5]]  # type: ignore[union-attr]
    assert marks.classes.tolist() == ["Tumor", "Tumor: Positive", "Tumor: Positive", "", ""]


def test_outlines_with_the_ids_of_our_export(tmp_path: Path) -> None:
    detection = {"objectType": "detection"}
    (marks,) = read_geojson_marks(
        write(
            tmp_path / "a.json",
            feature("Polygon", SQUARE, "b", id=cell_uuid("S", 77), properties=detection),
            feature("Polygon", SQUARE, "b", id="0f8fad5b-d9cb-469f-a165-70867728950e", properties=detection),
            feature("MultiPolygon", [SQUARE], "b", properties=detection | {"measurements": {"cell_id": 5.0}}),
            feature("Polygon", SQUARE, "b", properties=detection | {"measurements": [{"name": "cell_id", "value": 6}]}),
            feature("Polygon", SQUARE, "Region", properties={"objectType": "annotation"}),
        )
    )
    assert marks.cell_ids.tolist() == [77, 0, 5, 6, 0]  # type: ignore[union-attr]
    assert marks.one_cell.tolist() == [True] * 4 + [False]  # type: ignore[union-attr]
    assert marks.classes.tolist() == ["b"] * 4 + [""]
    assert marks.polygons is not None and len(marks.polygons.features) == 6


def test_regions_count_where_no_cell_is_drawn(tmp_path: Path) -> None:
    (marks,) = read_geojson_marks(write(tmp_path / "a.geojson", feature("Polygon", SQUARE, "b")))
    assert (marks.classes.tolist(), marks.one_cell.tolist()) == (["b"], [False])  # type: ignore[union-attr]


def test_points_and_outlines_are_marks_of_their_own(tmp_path: Path) -> None:
    points, outlines = read_geojson_marks(
        write(tmp_path / "a.geojson", feature("Polygon", SQUARE, "b"), feature("Point", [1, 1], "a"))
    )
    assert (points.classes.tolist(), outlines.classes.tolist()) == (["a"], ["b"])
    with pytest.raises(ValueError, match="not taken apart"):
        outlines.take(points.classes == "a")


def test_no_features_no_marks(tmp_path: Path) -> None:
    assert read_geojson_marks(write(tmp_path / "a.geojson")) == ()


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (feature("LineString", [[0, 0], [1, 1]], "a"), "feature 0 is a LineString; expected points or polygons"),
        (feature("Point", [1], "a"), "feature 0: coordinates that are no point"),
        (feature("MultiPoint", None, "a"), "feature 0: coordinates that are no point"),
        (feature("Point", ["x", 1], "a"), "no point"),
        (feature("Polygon", [[[0, 0]]], "a"), "no polygon"),
    ],
)
def test_faults_name_the_feature(tmp_path: Path, found: dict[str, Any], said: str) -> None:
    with pytest.raises(LabelError, match=said):
        read_geojson_marks(write(tmp_path / "a.geojson", found))
