"""The table of labelled cells: from points, rows, outlines and decisions, of one slide or of a run."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import fields
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
from polygon_files import read_plainly, write_slide

from cellseg.classify_config import LabelSettings
from cellseg.errors import CellsegError, ConfigError, LabelError, TableError
from cellseg.io.cell_labels import read_labelled
from cellseg.io.cells_geojson import cell_uuid
from cellseg.io.labels import write_labels
from cellseg.io.samples import Sample
from cellseg.polygon_config import PolygonSettings
from cellseg.stages.label_cells import LabelOptions, LabelReport, format_report, label_cells, write_report
from cellseg.stages.label_sources import find_cells, sheet_groups
from cellseg.stages.outcome import Failure, write_failure
from cellseg.stages.polygons import write_polygons

NUMBERS = np.array([[1, 1, 0, 2, 2], [1, 1, 0, 2, 2], [0, 0, 0, 0, 0], [0, 0, 0, 3, 0]], np.uint32)
SETTINGS = LabelSettings(
    names={"0": "normal", "8": "burr"}, healthy=("normal",), abnormal=("burr", "oval"), ignored=("10",)
)


def options(**more: Any) -> LabelOptions:
    return LabelOptions(settings=SETTINGS, **more)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The results of samples A, B, C, each with three cells."""
    for name in "ABC":
        path = tmp_path / "results" / "samples" / name / "segment" / "labels.ome.tif"
        path.parent.mkdir(parents=True)
        write_labels(path, [NUMBERS], height_px=4, width_px=5, mpp=0.5)
        ids = pa.table({"cell_id": pa.array([1, 2, 3], pa.uint32())})
        pq.write_table(ids, path.parent / "instances.parquet")
    return tmp_path / "results"


def rows(table: Path) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in read_labelled(table).to_pylist()]


def test_points_of_a_run_by_sample_name(run: Path, tmp_path: Path) -> None:
    # A: cell 1 has two points of a class, cell 2 two of different ones, one in no cell; B: an ignored class
    write(tmp_path / "points" / "A.txt", "0 0 8\n1 1 8\n3 0 0\n4 1 8\n2 2 0\n")
    write(tmp_path / "points" / "B_points.csv", "x,y,class\n3,3,0\n0,0,10\n4,0,\n")
    out = tmp_path / "labelled.parquet"
    report = label_cells(run, [tmp_path / "points"], out, options=options(groups={"A": "p1", "X": "p2"}))
    assert rows(out) == [("A", 1, "burr", True, "p1", "A.txt"), ("B", 3, "normal", False, "", "B_points.csv")]
    a, b = report.samples
    assert (a.n_marks, a.n_matched, a.n_outside, a.n_cells, a.n_shared, a.n_ambiguous) == (5, 4, 1, 2, 2, 1)
    assert (a.n_healthy, a.n_abnormal, a.n_ignored, a.classes) == (0, 1, 0, {"burr": 1})
    assert (b.n_marks, b.n_undecided, b.n_matched, b.n_ignored, b.classes) == (3, 1, 2, 1, {"10": 1, "normal": 1})
    assert report.total()["n_marks"] == 8
    assert report.class_marks == {"10": 1, "burr": 3, "normal": 3}
    assert report.class_cells() == {"10": 1, "burr": 1, "normal": 1}
    assert (report.groups, report.n_unmarked) == ({"": 1, "p1": 1}, 1)


def test_counts_add_up(run: Path, tmp_path: Path) -> None:
    write(tmp_path / "A.txt", "0 0 8\n1 1 8\n3 0 0\n4 1 8\n2 2 0\n3 3 10\n")
    report = label_cells(run, [tmp_path / "A.txt"], tmp_path / "l.csv", options=options())
    total = report.total()
    assert total["n_matched"] + total["n_outside"] + total["n_undecided"] == total["n_marks"]
    assert total["n_healthy"] + total["n_abnormal"] + total["n_ignored"] + total["n_ambiguous"] == total["n_cells"]


def test_points_beside_cells_with_a_tolerance(run: Path, tmp_path: Path) -> None:
    points = write(tmp_path / "A.csv", "x,y,class\n3,2,burr\n")
    assert label_cells(run, [points], tmp_path / "l.csv", options=options(tolerance_um=0.4)).total()["n_near"] == 0
    # 1 px of 0.5 um above cell 3, and as far below cell 2
    assert label_cells(run, [points], tmp_path / "l.csv", options=options(tolerance_um=0.5)).total()["n_near"] == 0
    points = write(tmp_path / "A.csv", "x,y,class\n2,3,burr\n")
    report = label_cells(run, [points], tmp_path / "l.csv", options=options(tolerance_um=0.5))
    assert (report.total()["n_near"], report.total()["n_outside"]) == (1, 0)
    assert rows(tmp_path / "l.csv")[0][:3] == ("A", 3, "burr")


def test_a_tolerance_needs_a_pixel_size(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "s_labels.tif", NUMBERS)
    points = write(tmp_path / "s.csv", "x,y,class\n2,3,burr\n")
    with pytest.raises(ConfigError, match=r"s_labels.tif: no pixel size.*--mpp"):
        label_cells(tmp_path / "s_labels.tif", [points], tmp_path / "l.csv", options=options(tolerance_um=1))
    label_cells(tmp_path / "s_labels.tif", [points], tmp_path / "l.csv", options=options(tolerance_um=1, mpp=1))
    assert rows(tmp_path / "l.csv")[0][:2] == ("s", 3)


def test_rows_of_many_samples_with_groups_of_their_own(run: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "t.csv", "sample,cell_id,class,group\nB,3,oval,q\nA,2,0,\nA,1,8,q\n")
    label_cells(run, [source], tmp_path / "l.parquet", options=options(groups={"A": "p"}))
    assert rows(tmp_path / "l.parquet") == [
        ("A", 1, "burr", True, "q", "t.csv"), ("A", 2, "normal", False, "p", "t.csv"),
        ("B", 3, "oval", True, "q", "t.csv"),
    ]  # fmt: skip


def test_a_cell_of_two_groups_is_an_error(run: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "t.csv", "sample,cell_id,class,group\nA,2,0,p\nA,2,0,q\n")
    with pytest.raises(TableError, match=r"sample A: cell 2 is of several groups \(p, q\)"):
        label_cells(run, [source], tmp_path / "l.csv", options=options())


def test_sources_join_and_the_first_is_named(run: Path, tmp_path: Path) -> None:
    review = write(tmp_path / "review.csv", "sample,cell_id,decision,time\nA,1,abnormal,2\nA,1,healthy,1\nA,2,skip,1\n")
    points = write(tmp_path / "A.txt", "0 0 abnormal\n3 3 8\n")
    report = label_cells(run, [review, points], tmp_path / "l.csv", options=options())
    assert rows(tmp_path / "l.csv") == [
        ("A", 1, "abnormal", True, "", "review.csv"), ("A", 3, "burr", True, "", "A.txt"),
    ]  # fmt: skip
    assert (report.total()["n_shared"], report.total()["n_undecided"]) == (1, 1)


def test_marks_with_one_name_for_a_code_and_a_class_agree(run: Path, tmp_path: Path) -> None:
    write(tmp_path / "A.txt", "0 0 8\n1 1 burr\n")
    report = label_cells(run, [tmp_path / "A.txt"], tmp_path / "l.csv", options=options())
    assert (report.total()["n_ambiguous"], rows(tmp_path / "l.csv")[0][2]) == (0, "burr")


def square(name: str, y: float, x: float, side: float, **more: Any) -> dict[str, Any]:
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    properties = {"classification": {"name": name}, "objectType": "detection"}
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties, **more}


def test_geojson_of_a_sample(run: Path, tmp_path: Path) -> None:
    features = [square("burr", 0, 0, 2, id=cell_uuid("B", 1)), square("normal", 3, 3, 1), square("", 0, 3, 2)]
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [3.2, 1.9]}, "properties": {}}
    point["properties"] = {"classification": {"name": "oval"}}
    path = tmp_path / "B.geojson.gz"
    path.write_bytes(gzip.compress(json.dumps([*features, point]).encode()))
    report = label_cells(run, [path], tmp_path / "l.csv", options=options())
    assert [row[:3] for row in rows(tmp_path / "l.csv")] == [("B", 1, "burr"), ("B", 2, "oval"), ("B", 3, "normal")]
    assert (report.total()["n_marks"], report.total()["n_undecided"]) == (4, 1)


@pytest.mark.parametrize("keep_ids", [True, False])
def test_our_own_export_labels_the_cells_that_it_was_made_of(tmp_path: Path, keep_ids: bool) -> None:
    slide = write_slide(tmp_path / "slide", fields.touching_pairs())
    export = tmp_path / "a slide.geojson"
    write_polygons(slide.labels, slide.cells, export, settings=PolygonSettings())
    if not keep_ids:
        found = read_plainly(export)
        for feature in found:
            del feature["id"], feature["properties"]["measurements"]
        export.write_text(json.dumps(found))
    settings = LabelSettings(ignored=("excluded",))
    report = label_cells(
        slide.labels, [export], tmp_path / "l.csv", options=LabelOptions(settings=settings), sample="a slide"
    )
    cells = pq.read_table(slide.cells, columns=["cell_id", "status"]).to_pylist()
    judged = [(cell["cell_id"], cell["status"]) for cell in cells if cell["status"] in ("healthy", "abnormal")]
    assert [(row[1], row[2]) for row in rows(tmp_path / "l.csv")] == judged
    assert report.total()["n_undecided"] == sum(cell["status"] == "uncertain" for cell in cells)


def test_a_slide_that_failed_loses_its_marks_and_not_the_batch(run: Path, tmp_path: Path) -> None:
    write_failure([run / "samples" / "A" / "segment" / "labels.ome.tif"], Failure("A", "segment", "no contrast"))
    for name in "AB":
        write(tmp_path / "points" / f"{name}.txt", "0 0 8\n")
    report = label_cells(run, [tmp_path / "points"], tmp_path / "l.csv", options=options())
    assert [row[0] for row in rows(tmp_path / "l.csv")] == ["B"]
    assert report.samples[0].failed == "segment: no contrast"
    assert (report.samples[0].n_outside, report.total()["n_marks"]) == (1, 2)
    assert format_report(report).endswith("A failed at segment: no contrast")


def test_no_marks_are_an_empty_table(run: Path, tmp_path: Path) -> None:
    report = label_cells(run, [write(tmp_path / "A.txt", "")], tmp_path / "l.parquet", options=options())
    assert (rows(tmp_path / "l.parquet"), report.sides, report.total()["n_cells"]) == ([], {}, 0)
    assert "1 samples with marks" in format_report(report)


def test_the_same_input_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    write(tmp_path / "A.txt", "0 0 8\n3 3 0\n")
    written = []
    for name in ("a.parquet", "b.parquet"):
        label_cells(run, [tmp_path / "A.txt"], tmp_path / name, options=options())
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]


def test_rows_of_a_table_of_cells_without_label_images(tmp_path: Path) -> None:
    cells = pa.table({"sample": ["A", "A", "B"], "cell_id": pa.array([1, 5, 2], pa.uint32()), "area_um2": [1.0, 2, 3]})
    pq.write_table(cells, tmp_path / "cells.parquet")
    source = write(tmp_path / "t.csv", "sample,cell_id,class\nB,2,8\nA,5,0\n")
    label_cells(tmp_path / "cells.parquet", [source], tmp_path / "l.csv", options=options())
    assert [row[:3] for row in rows(tmp_path / "l.csv")] == [("A", 5, "normal"), ("B", 2, "burr")]
    with pytest.raises(ConfigError, match="there is only a table of cells"):
        label_cells(
            tmp_path / "cells.parquet", [write(tmp_path / "A.txt", "0 0 8")], tmp_path / "l.csv", options=options()
        )
    assert find_cells(tmp_path / "cells.parquet", "S")["S"].ids.tolist() == [1, 5, 2]  # type: ignore[union-attr]


def test_rows_on_a_label_image_without_tables(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "slide.ome.tif", NUMBERS)
    source = write(tmp_path / "t.csv", "cell_id,class\n3,8\n")
    label_cells(tmp_path / "slide.ome.tif", [source], tmp_path / "l.csv", options=options(), sample="mine")
    assert rows(tmp_path / "l.csv")[0][:3] == ("mine", 3, "burr")
    with pytest.raises(TableError, match=r"t.csv: 1 of 2 cells of sample slide are not among its 3 cells.*cell_id 4"):
        write(source, "cell_id,class\n3,8\n4,8\n")
        label_cells(tmp_path / "slide.ome.tif", [source], tmp_path / "l.csv", options=options())


def test_a_folder_of_label_images_with_points_among_them(tmp_path: Path) -> None:
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}_labels.tif", NUMBERS)
        tifffile.imwrite(tmp_path / f"{name}.tif", NUMBERS)
        write(tmp_path / f"{name}_points.csv", "x,y,class\n0,0,8\n")
    label_cells(tmp_path, [tmp_path], tmp_path / "out" / "l.csv", options=options())
    assert [row[:2] for row in rows(tmp_path / "out" / "l.csv")] == [("a", 1), ("b", 1)]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("D.txt", "0 0 8\n", "D.txt: named after no sample.*known are A, B, C"),
        ("t.csv", "sample,cell_id,class\nA,1,8\nD,1,8\n", r"t.csv: 1 samples are unknown \('D'\); known are A, B, C"),
        ("t.csv", "sample,cell_id,class\nA,9,8\n", "not among its 3 cells, the first is cell_id 9"),
        ("A.txt", "0 4 8\n9 9 8\n", r"A.txt: sample A: 1 of 2 points are outside.*y 9, x 9"),
        ("A.csv", "x,y\n0,0\n", "A.csv: no column class"),
        ("A.txt", "0 0 7\n1 1 8\n", r"nothing is said of '7'; .*'7' \(1\), 'burr' \(1\)"),
        ("A.geojson", "{", "A.geojson"),
    ],
)
def test_faults_of_sources(run: Path, tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(CellsegError, match=said):
        label_cells(run, [write(tmp_path / name, text)], tmp_path / "l.csv", options=options())
    assert not (tmp_path / "l.csv").exists()


def test_what_is_not_there(run: Path, tmp_path: Path) -> None:
    points = write(tmp_path / "A.txt", "0 0 8\n")
    with pytest.raises(ConfigError, match=r"none: no such file or folder"):
        label_cells(tmp_path / "none", [points], tmp_path / "l.csv", options=options())
    with pytest.raises(ConfigError, match=r"none.csv: no such file or folder"):
        label_cells(run, [tmp_path / "none.csv"], tmp_path / "l.csv", options=options())
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no label images"):
        label_cells(tmp_path / "empty", [points], tmp_path / "l.csv", options=options())
    with pytest.raises(ConfigError, match="no file whose name ends in"):
        label_cells(run, [tmp_path / "empty"], tmp_path / "l.csv", options=options())
    (run / "samples" / "A" / "segment" / "labels.ome.tif").write_bytes(b"no image")
    with pytest.raises(LabelError):
        label_cells(run, [points], tmp_path / "l.csv", options=options())


def test_the_results_folder_may_be_its_samples(run: Path) -> None:
    assert find_cells(run).keys() == find_cells(run / "samples").keys() == {"A", "B", "C"}


def test_the_report_as_json_and_text(run: Path, tmp_path: Path) -> None:
    write(tmp_path / "A.txt", "0 0 8\n3 3 10\n2 2 0\n")
    report: LabelReport = label_cells(run, [tmp_path / "A.txt"], tmp_path / "l.csv", options=options(groups={"A": "p"}))
    write_report(tmp_path / "r.json", report)
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["classes"] == {
        "10": {"side": "ignored", "n_marks": 1, "n_cells": 1}, "burr": {"side": "abnormal", "n_marks": 1, "n_cells": 1},
        "normal": {"side": "healthy", "n_marks": 1, "n_cells": 0},
    }  # fmt: skip
    assert found["samples"]["A"]["n_outside"] == found["total"]["n_outside"] == 1
    assert (found["groups"], found["n_samples"], found["n_samples_without_marks"]) == ({"p": 1}, 1, 2)
    text = format_report(report)
    assert "3 marks: 2 in a cell (0 of them beside it), 1 in none, 0 undecided" in text
    assert "1 cells labelled: 0 healthy, 1 abnormal, in 1 groups (0 cells without a group)" in text
    assert "burr    abnormal       1      1" in text


def test_groups_of_a_sheet_are_patients_else_slides() -> None:
    path = Path("a.png")
    samples = [
        Sample(sample="A", path=path, patient="p", slide="s"), Sample(sample="B", path=path, slide="s"),
        Sample(sample="C", path=path),
    ]  # fmt: skip
    assert sheet_groups(samples) == {"A": "p", "B": "s"}
