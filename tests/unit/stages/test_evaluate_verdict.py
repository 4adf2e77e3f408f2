"""`cellseg evaluate verdict`: rows, text, JSON and pictures, from a table, from results, and from label images."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cellseg.commands.evaluate import app
from cellseg.errors import ConfigError
from cellseg.evaluate.by_group import Draws, WeakBounds
from cellseg.evaluate.verdict import FIGURES
from cellseg.stages.evaluate import write_rows
from cellseg.stages.evaluate_verdict import evaluate_verdict, format_verdict, report_rows, report_verdict
from cellseg.stages.judged_cells import VerdictCase, read_predictions
from cellseg.stages.simulate import simulate_sample
from cellseg.stages.verdict_pictures import write_verdict_plots

PICTURES = {"calibration.png", "classes.png", "curves.png", "probabilities.png"}


def predictions(path, n=600, groups="abc", seed=0, **columns):
    """Cells of slides with four fields each; burr cells are told well, discs badly."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["normal", "burr", "disc"], n, p=[0.5, 0.3, 0.2])
    abnormal = kind != "normal"
    margin = rng.normal(np.select([kind == "normal", kind == "burr"], [-1.5, 2.0], -0.9), 1)
    group = rng.choice(list(groups), n)
    probability = 1 / (1 + np.exp(-margin))
    status = np.select([probability < 0.3, probability > 0.7], ["healthy", "abnormal"], "uncertain")
    table = {
        "sample": np.char.add(group, rng.integers(0, 4, n).astype(str)), "cell_id": np.arange(1, n + 1),
        "group": group, "class": kind, "abnormal": abnormal, "abnormal_probability": probability,
        "abnormal_score": margin, "status": np.where(rng.random(n) < 0.05, "excluded", status),
    }  # fmt: skip
    pq.write_table(pa.table({name: pa.array(value) for name, value in (table | columns).items()}), path)
    return path


def test_a_report_has_groups_whole_mean_worst_and_classes(tmp_path):
    table = read_predictions(predictions(tmp_path / "p.parquet"))
    report = report_verdict(table, draws=Draws(40))
    assert [row["group"] for row in report.groups] == ["a", "b", "c"]
    assert report.mean["auroc"] == pytest.approx(np.mean([row["auroc"] for row in report.groups]))
    assert report.worst["auroc"] == min(row["auroc"] for row in report.groups)
    assert report.whole["n_cells"] + report.whole["n_excluded"] == 600
    assert [row["class"] for row in report.classes] == ["normal", "burr", "disc"]
    assert [row["weak"] for row in report.classes] == [False, False, True]
    assert report.permuted.low < 0.5 < report.permuted.high < report.permuted.observed
    assert report.curve.n_cells.sum() == report.whole["n_cells"]
    # probabilities over- or understate nothing much here, and the sets hold most of the truth
    assert report.whole["coverage"] > 0.85


def test_rows_for_json(tmp_path):
    report = report_verdict(read_predictions(predictions(tmp_path / "p.parquet")), draws=Draws(20))
    rows = report_rows(report)
    parts = [row["part"] for row in rows]
    assert parts == ["group"] * 3 + ["all", "mean", "worst"] + ["class"] * 3 + ["bin"] * 10 + ["shuffled"]
    write_rows(tmp_path / "rows.json", rows)
    read = json.loads((tmp_path / "rows.json").read_text())
    assert read[5]["auroc_group"] in "abc"
    assert (read[6]["class"], read[6]["auroc"], read[6]["weak"]) == ("normal", None, False)
    assert read[8]["weak_under_called_right"] == 0.7
    assert sum(row["n_cells"] for row in read if row["part"] == "bin") == read[3]["n_cells"]
    assert set(FIGURES) <= read[0].keys()


def test_the_text_shows_all_of_it(tmp_path):
    table = read_predictions(predictions(tmp_path / "p.parquet"))
    text = format_verdict(report_verdict(table, draws=Draws(20), bounds=WeakBounds(0.65, 0.75)))
    tables = text.split("\n\n")
    assert [part.split("\n")[0] for part in tables[:3]] == [
        "Ranking and default decision", "Uncertain cells and coverage of the truth", "Calibration",
    ]  # fmt: skip
    ranking = [line.split() for line in tables[0].split("\n")]
    assert ranking[1][:5] == ["group", "n_cells", "n_abnormal", "n_excluded", "auroc"]
    assert {"sens@95spec", "balanced_acc", "specificity"} <= set(ranking[1])
    assert [line[0] for line in ranking[2:]] == ["a", "b", "c", "all", "mean", "worst"]
    assert ranking[-1][-1] in "abc"
    assert "Classes (weak: under 0.65 called right, or AUROC under 0.75)" in text
    (disc,) = [line for line in tables[3].split("\n") if line.startswith("disc")]
    assert disc.endswith("groups  weak")
    assert "with labels shuffled inside of groups 0." in tables[-1]


def test_one_group_has_no_mean_and_no_worst(tmp_path):
    report = report_verdict(read_predictions(predictions(tmp_path / "p.parquet", groups="a")), draws=Draws(10))
    assert report.mean is report.worst is None
    text = format_verdict(report)
    assert "mean of groups" not in text
    assert "all cells" not in text
    assert [row["part"] for row in report_rows(report)][:2] == ["group", "class"]


def test_a_class_that_is_missing_is_a_dash(tmp_path):
    path = predictions(tmp_path / "p.parquet", abnormal=np.ones(600, bool), **{"class": np.full(600, "burr")})
    text = format_verdict(report_verdict(read_predictions(path), draws=Draws(10)))
    assert "nothing to shuffle" in text
    line = text.split("\n")[2].split()
    assert line[4] == "-"


def test_pictures_repeat_byte_for_byte(tmp_path):
    table = read_predictions(predictions(tmp_path / "p.parquet"))
    report = report_verdict(table, draws=Draws(10))
    paths = write_verdict_plots(tmp_path / "one", table, report)
    assert {path.name for path in paths} == PICTURES
    write_verdict_plots(tmp_path / "two", table, report)
    for path in paths:
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


@pytest.mark.parametrize("what", ["no probability", "no class", "one class", "all excluded"])
def test_pictures_of_what_lacks_something(tmp_path, what):
    columns = {
        "no probability": {"abnormal_probability": np.full(40, np.nan)},
        "no class": {"class": np.full(40, "")},
        "one class": {"abnormal": np.ones(40, bool), "class": np.full(40, "burr")},
        "all excluded": {"status": np.full(40, "excluded")},
    }[what]
    table = read_predictions(predictions(tmp_path / "p.parquet", 40, **columns))
    paths = write_verdict_plots(tmp_path, table, report_verdict(table, draws=Draws(10)))
    assert {path.name for path in paths} == PICTURES - ({"classes.png"} if what == "no class" else set())


def invoke(*arguments):
    return CliRunner().invoke(app, ["verdict", *map(str, arguments), "--draws", "20"])


def test_the_command_reads_a_table(tmp_path):
    path = predictions(tmp_path / "p.parquet")
    done = invoke(path, "--json", tmp_path / "o.json", "--plots", tmp_path / "plots", "--weak", "0.1", "0.2")
    assert done.exit_code == 0, done.output
    assert "worst group" in done.output
    assert "under 0.1 called right, or AUROC under 0.2" in done.output
    assert {path.name for path in (tmp_path / "plots").iterdir()} == PICTURES
    first = json.loads((tmp_path / "o.json").read_text())[0]
    invoke(path, "--json", tmp_path / "o.json", "--threshold", "0.9")
    stricter = json.loads((tmp_path / "o.json").read_text())[0]
    assert stricter["specificity"] > first["specificity"]
    assert stricter["auroc"] == first["auroc"]


def test_the_command_reads_results_and_labels(tmp_path):
    table = pq.read_table(predictions(tmp_path / "p.parquet"))
    table = table.set_column(1, "cell_id", table["cell_id"].cast(pa.uint32())).append_column(
        "source", pa.array(["f"] * 600)
    )
    labels = table.select(["sample", "cell_id", "class", "abnormal", "group", "source"])
    pq.write_table(labels, tmp_path / "labelled.parquet")
    for sample in set(table["sample"].to_pylist()):
        folder = tmp_path / "results" / "samples" / sample
        folder.mkdir(parents=True)
        own = table.filter(pa.compute.equal(table["sample"], sample))
        pq.write_table(
            own.select(["cell_id", "status", "abnormal_probability", "abnormal_score"]), folder / "cells.parquet"
        )
    done = invoke("--cells", tmp_path / "results", "--truth", tmp_path / "labelled.parquet")
    assert done.exit_code == 0, done.output
    of_table = invoke(tmp_path / "p.parquet").output
    assert "mean of groups" in of_table
    # cells come in another order, and ties are none: every figure is the same, and so is every interval over groups
    assert done.output.split("\n\n")[1] == of_table.split("\n\n")[1]


def test_the_command_says_what_to_give(tmp_path):
    for arguments in ((), ("a.csv", "b.tif"), ("--cells", "r"), ("a.csv", "--cells", "r", "--truth", "t")):
        done = invoke(*arguments)
        assert isinstance(done.exception, ConfigError), arguments
        assert "give PREDICTIONS" in str(done.exception)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return simulate_sample(tmp_path_factory.mktemp("simulated"), "mixed", kind="mixed", seed=3, size_px=256)


def write_cells(path, truth_table, wrong):
    lines = truth_table.read_text().splitlines()[1:]
    abnormal = np.array([line.endswith("true") for line in lines]) ^ wrong
    table = {
        "cell_id": pa.array(range(1, len(lines) + 1), pa.uint32()),
        "status": pa.array(np.where(abnormal, "abnormal", "healthy").tolist()),
        "abnormal_score": pa.array(abnormal.astype(float)),
    }
    pq.write_table(pa.table(table), path)
    return abnormal


def test_verdicts_against_truth(sample, tmp_path):
    cells = tmp_path / "cells.parquet"
    write_cells(cells, sample.truth_table, wrong=False)
    case = VerdictCase(cells, sample.truth_labels, sample.truth_labels, sample.truth_table)
    (row,) = evaluate_verdict([case], n_draws=20)
    assert (row["auroc"], row["balanced_accuracy"], row["interval_over"]) == (1.0, 1.0, "cells")
    assert (row["n_abnormal"], row["n_images"]) == (sample.n_abnormal, 1)
    write_cells(cells, sample.truth_table, wrong=True)
    (row,) = evaluate_verdict([case, case], n_draws=20)
    assert (row["auroc"], row["sensitivity"], row["interval_over"], row["n_images"]) == (0.0, 0.0, "images", 2)


def test_the_command_reads_label_images(sample, tmp_path):
    write_cells(tmp_path / "cells.parquet", sample.truth_table, wrong=False)
    files = sample.truth_labels, sample.truth_labels, sample.truth_table
    done = invoke(tmp_path / "cells.parquet", *files, "--json", tmp_path / "o.json")
    assert done.exit_code == 0, done.output
    row = json.loads((tmp_path / "o.json").read_text())[0]
    assert (row["group"], row["auroc"], row["interval_over"]) == ("all", 1.0, "cells")
