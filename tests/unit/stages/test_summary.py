"""summary.csv against hand-made counts, and slides.tsv for every fate that a sample can meet."""

from __future__ import annotations

import csv
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cell_tables import mapped, measured, recipe, write_measured

from cellseg.classify.shares import FIELD_SIDES_UM, MIN_FIELDS
from cellseg.classify_config import ClassifySettings, Rule
from cellseg.cohort_columns import (
    LEDGER_COLUMNS,
    PATIENT_SUMMARY_COLUMNS,
    SLIDE_SUMMARY_COLUMNS,
    SUMMARY_COLUMNS,
    SUMMARY_FLAGS,
    TISSUE_SUMMARY_COLUMNS,
    WDBC_COLUMNS,
)
from cellseg.errors import TableError
from cellseg.io.atomic import write_json
from cellseg.io.table import read_schema
from cellseg.measure.wdbc import FEATURES
from cellseg.stages.classify import classify_cells
from cellseg.stages.ledger import check_results, read_ledger
from cellseg.stages.outcome import Failure, read_failure, write_failure
from cellseg.stages.results import STAGE_OUTPUTS, TISSUE_MAP, MapFiles, sample_folder, stage_log, stage_outputs
from cellseg.stages.summary import summarize_cohort
from cellseg.stages.tables import write_tables

SETTINGS = ClassifySettings(
    rules=[Rule(column="area_um2", above=100), Rule(column="solidity", below=0.1, status="uncertain")]
)


def finish(results, sample, table, *, assessable=True, reasons=()):
    """A sample's folder as the stages leave it."""
    folder = sample_folder(results, sample)
    slide = recipe(assessable=assessable)
    write_json(folder / "segment/recipe.json", slide.to_dict())
    write_json(folder / "segment/quality.json", {"tissue_area_mm2": 0.25, "reasons": list(reasons)})
    write_json(folder / "segment/labels.json", {"contrast_enough": False})
    path = write_measured(folder / "measure/measurements.parquet", table)
    classify_cells(path, folder / "classify/verdicts.parquet", reference=None, recipe=slide, settings=SETTINGS)
    write_tables(path, folder / "classify/verdicts.parquet", folder)
    for stage in STAGE_OUTPUTS:
        for output in stage_outputs(results, sample, stage):
            if not output.exists():
                output.parent.mkdir(parents=True, exist_ok=True)
                output.write_bytes(b"x")


def sheet_of(folder, *names):
    lines = ["sample\tpath\tpatient\tgroup", *(f"{name}\t{name}.png\tp {name}\ttest" for name in names)]
    path = folder / "samples.tsv"
    path.write_text("\n".join(lines) + "\n")
    return path


def read_csv(path, delimiter=","):
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


def test_counts_shares_density_and_medians_by_hand(tmp_path, results):
    areas = np.array([9.0, 50, 60, 70, 80, 150, 160, 55, 65, 75])
    border = np.zeros(10, bool)
    border[9] = True
    solidity = np.full(10, 0.9)
    solidity[7] = 0.05
    finish(results, "A", measured(10, area_um2=areas, touches_border=border, solidity=solidity))
    summarize_cohort(results, sheet_of(tmp_path, "A"))
    (row,) = read_csv(results / "summary.csv")
    assert list(row) == [column.name for column in SUMMARY_COLUMNS]
    counts = {name: int(row[f"n_{name}"]) for name in ("cells", "healthy", "abnormal", "uncertain", "excluded")}
    assert counts == {"cells": 10, "healthy": 5, "abnormal": 2, "uncertain": 1, "excluded": 2}
    assert float(row["share_abnormal"]) == pytest.approx(2 / 7, abs=1e-6)
    assert float(row["share_uncertain"]) == pytest.approx(1 / 8)
    assert float(row["cells_per_mm2"]) == 40.0
    assert row["judged_by"] == "rules"
    assert float(row["median_area_um2"]) == 67.5  # of 50 55 60 65 70 80 150 160
    assert row["median_abnormal_score"] == ""
    assert (row["sample"], row["patient"], row["group"], row["stain"], float(row["mpp"])) == (
        "A",
        "p A",
        "test",
        "he",
        0.5,
    )


def give_map(results, sample, **areas_mm2):
    """The record of the sample's tissue map."""
    areas = [{"tissue": name.replace("_", " "), "area_mm2": area, "share": 0.0} for name, area in areas_mm2.items()]
    write_json(MapFiles(sample_folder(results, sample) / TISSUE_MAP).record, {"areas": areas})


TISSUES = ["stroma"] * 4 + ["high grade"] * 5 + [""]
NAMES = ("stroma", "high grade", "fat")


def test_each_tissue_has_its_counts_area_and_share_by_hand(tmp_path, results):
    areas = np.array([9.0, 50, 60, 150, 150, 160, 170, 55, 65, 75])
    finish(results, "A", mapped(measured(10, area_um2=areas, solidity=np.full(10, 0.9)), TISSUES, names=NAMES))
    give_map(results, "A", stroma=0.3, high_grade=0.1, fat=0.0)
    summarize_cohort(results, sheet_of(tmp_path, "A"))
    rows = read_csv(results / "summary_tissue.csv")
    assert list(rows[0]) == [column.name for column in TISSUE_SUMMARY_COLUMNS]
    assert [row["tissue"] for row in rows] == [*NAMES, ""]
    assert {(row["sample"], row["patient"], row["group"]) for row in rows} == {("A", "p A", "test")}
    assert [row["area_mm2"] for row in rows] == ["0.3", "0.1", "0", ""]
    assert [row["area_share"] for row in rows] == ["0.75", "0.25", "0", ""]
    counts = [[int(row[f"n_{n}"]) for n in ("cells", "healthy", "abnormal", "uncertain", "excluded")] for row in rows]
    assert counts == [[4, 2, 1, 0, 1], [5, 2, 3, 0, 0], [0] * 5, [1, 1, 0, 0, 0]]
    assert [row["cells_per_mm2"] for row in rows] == ["13.333333", "50", "", ""]
    assert [row["share_abnormal"] for row in rows] == ["0.333333", "0.6", "", "0"]
    assert float(rows[1]["share_abnormal_low"]) == pytest.approx(wilson(3, 5)[0], abs=6e-7)
    # the rows part the sample's cells
    (whole,) = read_csv(results / "summary.csv")
    for name in ("n_cells", "n_healthy", "n_abnormal", "n_uncertain", "n_excluded"):
        assert sum(int(row[name]) for row in rows) == int(whole[name])


def test_no_row_for_no_tissue_where_every_cell_lies_in_one(tmp_path, results):
    finish(results, "A", mapped(measured(3), ["stroma"] * 3))
    give_map(results, "A", stroma=0.3, gland=0.0)
    summarize_cohort(results, sheet_of(tmp_path, "A"))
    assert [row["tissue"] for row in read_csv(results / "summary_tissue.csv")] == ["stroma", "gland"]


def test_a_header_only_without_maps_and_with_one_of_an_earlier_run(tmp_path, results):
    finish(results, "A", measured(3))
    finish(results, "B", measured(3))
    give_map(results, "B", stroma=0.3)
    summarize_cohort(results, sheet_of(tmp_path, "A", "B"))
    header = ",".join(column.name for column in TISSUE_SUMMARY_COLUMNS)
    assert (results / "summary_tissue.csv").read_text() == header + "\n"


def with_wdbc10(table, **values):
    """The same cells with the ten features of the Wisconsin table: a ramp each, `values` in place of some."""
    for at, name in enumerate(FEATURES):
        column = values.get(name, np.linspace(at, at + 1, table.num_rows))
        table = table.append_column(f"nucleus_{name}", pa.array(column, pa.float64()))
    return table


def test_the_thirty_figures_of_wdbc10_by_hand(tmp_path, results):
    border = np.array([False] * 5 + [True])
    areas = np.array([1.0, 2, 3, 4, np.nan, 900])
    table = with_wdbc10(measured(6, touches_border=border), wdbc10_area_um2=areas)
    finish(results, "a", table)
    finish(results, "b", measured(3, sample="b"))  # measured without them: no row

    summarize_cohort(results, sheet_of(tmp_path, "a", "b"))
    rows = read_csv(results / "summary_wdbc10.csv")

    assert [row["sample"] for row in rows] == ["a"]
    assert list(rows[0]) == [column.name for column in WDBC_COLUMNS] and len(rows[0]) == 34
    assert rows[0]["n_cells"] == "5"  # the one that the border cuts does not count
    assert float(rows[0]["wdbc10_area_um2_mean"]) == 2.5
    assert float(rows[0]["wdbc10_area_um2_worst"]) == 3.0
    expected = np.std([1, 2, 3, 4], ddof=1) / 2
    assert float(rows[0]["wdbc10_area_um2_standard_error"]) == pytest.approx(expected, abs=1e-6)


def test_failed_samples_have_no_tissues(tmp_path, results):
    finish(results, "good", mapped(measured(3), ["gland"] * 3))
    finish(results, "bad", mapped(measured(3), ["gland"] * 3))
    for name in ("good", "bad"):
        give_map(results, name, stroma=0.3, gland=0.1)
    write_failure(stage_outputs(results, "bad", "overlay"), Failure("bad", "overlay", "cannot read"))
    summarize_cohort(results, sheet_of(tmp_path, "good", "bad"))
    assert [row["sample"] for row in read_csv(results / "summary_tissue.csv")] == ["good", "good"]


def wilson(k, n, z=1.959963984540054):
    """Wilson 1927, written out."""
    p, f = k / n, z * z / n
    half = z * math.sqrt(p * (1 - p) / n + f / (4 * n))
    return (p + f / 2 - half) / (1 + f), (p + f / 2 + half) / (1 + f)


def give(results, sample, **values):
    """Columns put into a sample's cells.parquet, in place of those of the same name."""
    path = sample_folder(results, sample) / "cells.parquet"
    table = pq.read_table(path)
    for name, column in values.items():
        at = table.schema.get_field_index(name)
        table = table.append_column(name, pa.array(column)) if at < 0 else table.set_column(at, name, pa.array(column))
    pq.write_table(table, path)


def test_cells_that_are_alike_in_places_widen_the_interval(tmp_path, results):
    # 25 cells in each of 16 blocks; of A all cells of four blocks are abnormal, of B seven in each
    block, within = np.divmod(np.arange(400), 25)
    at = {
        "centroid_y_um": 90.0 * (block // 4) + 5 + within % 5,
        "centroid_x_um": 90.0 * (block % 4) + 5 + within // 5,
    }
    for sample, abnormal in (("A", block % 4 == 0), ("B", within % 4 == 0)):
        finish(results, sample, measured(400, sample=sample, area_um2=np.where(abnormal, 150.0, 60.0), **at))
    summarize_cohort(results, sheet_of(tmp_path, "A", "B"))
    patchy, even = read_csv(results / "summary.csv")
    assert (patchy["n_fields"], patchy["field_side_um"]) == ("16", "90")
    assert [row["share_abnormal"] for row in (patchy, even)] == ["0.25", "0.28"]
    # blocks all of one kind: 400 cells say as much as 16 (times 16 / 15, which the bootstrap finds within its scatter)
    assert float(patchy["design_effect"]) == pytest.approx(25 * 16 / 15, rel=0.1)
    assert float(even["design_effect"]) == 1.0
    for row, k in ((patchy, 100), (even, 112)):
        ends = [float(row[f"share_abnormal_wilson_{end}"]) for end in ("low", "high")]
        assert ends == pytest.approx(wilson(k, 400), abs=6e-7)
        assert float(row["share_abnormal_low"]) < ends[0] and ends[1] < float(row["share_abnormal_high"])
    assert float(patchy["share_abnormal_high"]) - float(patchy["share_abnormal_low"]) > 0.4
    assert float(even["share_abnormal_high"]) - float(even["share_abnormal_low"]) < 0.11


def test_flags_are_counted_and_those_that_no_one_looked_at_are_empty(tmp_path, results):
    finish(results, "A", measured(8, touches_border=np.arange(8) < 3))
    path = sample_folder(results, "A") / "cells.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns([name for name in table.column_names if name in list(SUMMARY_FLAGS)[2:]]), path)
    summarize_cohort(results, sheet_of(tmp_path, "A"))
    (row,) = read_csv(results / "summary.csv")
    assert [row[f"n_{name}"] for name in SUMMARY_FLAGS] == ["3", "0", "", "", "", ""]
    assert row["n_excluded"] == "3"
    flags = {name: np.arange(8) < at for at, name in enumerate(SUMMARY_FLAGS)}
    give(results, "A", **flags)
    summarize_cohort(results, sheet_of(tmp_path, "A"))
    (row,) = read_csv(results / "summary.csv")
    assert [row[f"n_{name}"] for name in SUMMARY_FLAGS] == ["0", "1", "2", "3", "4", "5"]


def test_shares_with_and_without_the_excluded(tmp_path, results):
    # 3 at the border of 10; of the other 7 one abnormal and one left open
    areas, solidity = np.full(10, 60.0), np.full(10, 0.9)
    areas[9], solidity[8] = 150, 0.05
    finish(results, "A", measured(10, touches_border=np.arange(10) < 3, area_um2=areas, solidity=solidity))
    sheet = sheet_of(tmp_path, "A")
    nan = float("nan")
    names = ("share_abnormal_without_excluded", "share_abnormal_with_excluded", "mean_abnormal_probability")
    if "abnormal_probability" in read_schema(sample_folder(results, "A") / "cells.parquet").names:
        give(results, "A", abnormal_probability=np.full(10, nan))
    summarize_cohort(results, sheet)
    (row,) = read_csv(results / "summary.csv")
    assert (row["n_healthy"], row["n_abnormal"], row["n_uncertain"], row["n_excluded"]) == ("5", "1", "1", "3")
    assert row["share_excluded"] == "0.3"
    assert (row["share_abnormal_least"], row["share_abnormal_most"]) == ("0.111111", "0.444444")  # of 9
    assert [row[name] for name in names] == [""] * 3
    assert row["judged_by"] == "rules"
    # two excluded cells are called, one has no probability; of the others two are called, one has none
    called = np.isin(np.arange(10), [0, 1, 8, 9])
    give(results, "A", abnormal_probability=[0.9, 0.8, nan, 0.5, 0.1, 0.1, 0.1, nan, 0.6, 0.8], called_abnormal=called)
    summarize_cohort(results, sheet)
    (row,) = read_csv(results / "summary.csv")
    assert [float(row[name]) for name in names] == pytest.approx([2 / 6, 4 / 8, 2.2 / 6], abs=6e-7)
    assert row["share_abnormal"] == "0.166667"  # verdicts are as they were


NAN = float("nan")


@pytest.mark.parametrize(
    ("columns", "judge"),
    [
        ({}, "rules"),
        ({"scored_by": ["reference"] * 3, "healthy_p_value": [0.5] * 3}, "reference"),
        ({"scored_by": ["model", "", ""], "healthy_p_value": [NAN] * 3}, "model"),
        ({"scored_by": ["model"] * 3, "healthy_p_value": [0.5, NAN, NAN]}, "model and reference"),
        ({"status": ["uncertain"] * 3}, "nothing"),
        ({"status": ["excluded", "healthy", "healthy"], "scored_by": ["model", "", ""]}, "rules"),
        ({"status": ["excluded"] * 3, "scored_by": ["model"] * 3}, ""),
    ],
)
def test_what_verdicts_rest_on(tmp_path, results, columns, judge):
    finish(results, "A", measured(3))
    give(results, "A", **columns)
    summarize_cohort(results, sheet_of(tmp_path, "A"))
    (row,) = read_csv(results / "summary.csv")
    assert row["judged_by"] == judge


def test_slides_and_patients_have_no_rows_without_names(tmp_path, results):
    finish(results, "A", measured(3))
    path = tmp_path / "samples.tsv"
    path.write_text("sample\tpath\tpatient\tslide\nA\tA.png\n")
    summarize_cohort(results, path)
    for name, columns in (("slide", SLIDE_SUMMARY_COLUMNS), ("patient", PATIENT_SUMMARY_COLUMNS)):
        text = (results / f"summary_{name}.csv").read_text()
        assert text == ",".join(column.name for column in columns) + "\n"


def test_slides_and_patients_of_the_sheet_with_a_failed_sample(tmp_path, results):
    rows = [("a1", "P", "S1"), ("a2", "P", "S1"), ("b1", "P", "S2"), ("b2", "P", "S2"), ("c", "", ""), ("d", "Q", "")]
    for sample, n in (("a1", 4), ("a2", 6), ("b1", 5), ("b2", 3), ("c", 2), ("d", 2)):
        finish(results, sample, measured(n, sample=sample, area_um2=np.where(np.arange(n) < 2, 150.0, 60.0)))
    for sample in ("b2", "d"):
        write_failure(stage_outputs(results, sample, "overlay"), Failure(sample, "overlay", "cannot read"))
    path = tmp_path / "samples.tsv"
    lines = [f"{sample}\t{sample}.png\t{patient}\t{slide}" for sample, patient, slide in rows]
    path.write_text("\n".join(["sample\tpath\tpatient\tslide", *lines]) + "\n")
    summarize_cohort(results, path)
    slides, patients = read_csv(results / "summary_slide.csv"), read_csv(results / "summary_patient.csv")
    names = ("n_samples", "n_failed", "n_cells", "n_healthy", "n_abnormal", "clusters", "n_clusters")
    assert {(row["patient"], row["slide"]): tuple(row[name] for name in names) for row in slides} == {
        ("P", "S1"): ("2", "0", "10", "6", "4", "images", "2"),
        ("P", "S2"): ("1", "1", "5", "3", "2", "fields", "1"),
        ("", "c"): ("1", "0", "2", "0", "2", "fields", "1"),
        ("Q", "d"): ("0", "1", "0", "0", "0", "", "0"),
    }
    assert {row["patient"]: (row["n_slides"], *(row[name] for name in names)) for row in patients} == {
        "P": ("2", "3", "1", "15", "9", "6", "slides", "2"),
        "Q": ("0", "0", "1", "0", "0", "0", "", "0"),
    }
    assert [row["share_abnormal"] for row in patients] == ["0.4", ""]


def test_a_slide_without_cells_is_done(tmp_path, results):
    finish(results, "A", measured(0))
    (row,) = summarize_cohort(results, sheet_of(tmp_path, "A"))
    assert (row.outcome, row.n_cells) == ("done", 0)
    assert "nothing stands out" in row.reason
    (summary,) = read_csv(results / "summary.csv")
    assert (summary["n_cells"], summary["share_abnormal"], summary["cells_per_mm2"]) == ("0", "", "0")


def test_every_fate_has_its_row_in_the_order_of_the_sheet(tmp_path, results):
    finish(results, "good", measured(5))
    finish(results, "black", measured(0), assessable=False, reasons=["0.990 of the pixels are black (limit 0.95)"])
    finish(results, "bad", measured(5))
    stages = ["measure", "classify", "tables", "overlay"]
    outputs = [path for stage in stages for path in stage_outputs(results, "bad", stage)]
    write_failure(outputs, Failure("bad", "measure", "labels are\tcut"))
    finish(results, "killed", measured(5))
    stage_outputs(results, "killed", "overlay")[1].unlink()
    log = stage_log(results, "killed", "overlay")
    log.parent.mkdir(parents=True)
    log.write_text("started\nMemoryError: no room\n\n")
    rows = summarize_cohort(results, sheet_of(tmp_path, "bad", "good", "killed", "black", "never"))
    assert [(r.sample, r.outcome, r.stage) for r in rows] == [
        ("bad", "failed", "measure"), ("good", "done", ""), ("killed", "failed", "overlay"),
        ("black", "unassessable", "preprocess"), ("never", "failed", "preprocess"),
    ]  # fmt: skip
    reasons = {row.sample: row.reason for row in rows}
    assert reasons["killed"] == "no features.png: its log ends with: MemoryError: no room"
    assert reasons["black"] == "0.990 of the pixels are black (limit 0.95)"
    assert "left no log" in reasons["never"]
    assert [row["sample"] for row in read_csv(results / "summary.csv")] == ["good", "black"]
    written = read_csv(results / "slides.tsv", "\t")
    assert list(written[0]) == [column.name for column in LEDGER_COLUMNS]
    assert [row["n_cells"] for row in written] == ["", "5", "", "0", ""]
    assert read_ledger(results)[1:] == rows[1:]


def test_check_names_the_failed_and_takes_only_their_placeholders_away(tmp_path, results):
    finish(results, "good", measured(5))
    finish(results, "bad", measured(5))
    outputs = stage_outputs(results, "bad", "overlay")
    write_failure(outputs, Failure("bad", "overlay", "cannot read"))
    summarize_cohort(results, sheet_of(tmp_path, "good", "bad"))
    (failed,) = check_results(results)
    assert (failed.sample, failed.stage, failed.reason) == ("bad", "overlay", "cannot read")
    assert not any(path.exists() for path in outputs)
    kept = [path for stage in STAGE_OUTPUTS if stage != "overlay" for path in stage_outputs(results, "bad", stage)]
    assert all(path.exists() and read_failure(path) is None for path in kept)
    assert all(path.exists() for path in stage_outputs(results, "good", "overlay"))


def test_check_finds_nothing_where_nothing_failed(tmp_path, results):
    finish(results, "good", measured(5))
    summarize_cohort(results, sheet_of(tmp_path, "good"))
    assert check_results(results) == []


@pytest.mark.parametrize("text", [None, "", "a\tb\n", "sample\toutcome\tstage\treason\tn_cells\tpath\nA\tdone\n"])
def test_a_missing_or_foreign_ledger_is_an_error(results, text):
    results.mkdir()
    if text is not None:
        (results / "slides.tsv").write_text(text)
    with pytest.raises(TableError, match="cellseg summary"):
        check_results(results)


def test_cohort_columns_are_documented_once():
    tables = (SUMMARY_COLUMNS, TISSUE_SUMMARY_COLUMNS, WDBC_COLUMNS, SLIDE_SUMMARY_COLUMNS, PATIENT_SUMMARY_COLUMNS)
    for columns in (*tables, LEDGER_COLUMNS):
        assert len({column.name for column in columns}) == len(columns)
        assert all(column.meaning for column in columns)


def test_the_sides_of_fields_are_those_that_the_columns_name():
    (text,) = (column.meaning for column in SUMMARY_COLUMNS if column.name == "field_side_um")
    sides = [f"{side:g}" for side in FIELD_SIDES_UM]
    assert f"{', '.join(sides[:-1])} and {sides[-1]} um" in text and MIN_FIELDS == 10
