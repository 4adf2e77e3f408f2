"""Labelled cells in; reference, held-out predictions and figures out."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import typer
from asserts import assert_table
from cell_tables import measured, recipe, write_measured
from typer.testing import CliRunner

from cellseg.classify_config import ClassifySettings, ExcludeSettings, ReferenceSettings
from cellseg.columns.labels import LABEL_COLUMNS
from cellseg.columns.predictions import REFERENCE_PREDICTION_COLUMNS
from cellseg.commands.train_reference import register
from cellseg.errors import ConfigError, TableError
from cellseg.evaluate.verdict import verdict_figures
from cellseg.io.table import TableWriter, read_table, schema_of
from cellseg.stages.classify import classify_cells, read_reference
from cellseg.stages.judged_cells import read_predictions
from cellseg.stages.train_classifier import LabelledTables
from cellseg.stages.train_reference import ReferenceRequest, format_reference, train_reference
from cellseg.stages.training_cells import ClassTable

SAMPLES = ["a1", "a2", "b1", "c1", "d1"]
FEATURES = ("area_um2", "solidity", "eccentricity")
SETTINGS = ReferenceSettings(features=FEATURES)
EXCLUDE = ExcludeSettings(min_focus_fraction=0)
N, N_BAD = 80, 20
"""Labelled cells a sample, the first of them abnormal."""


def areas(sample, *, healthy=60.0, abnormal=120.0):
    rng = np.random.default_rng(SAMPLES.index(sample))
    return np.where(np.arange(N) < N_BAD, abnormal, healthy) + rng.normal(0, 8, N)


def write_slides(folder, *, border=(), **changed):
    """Measurements of `SAMPLES` whose abnormal cells are larger; `changed`: sample -> areas."""
    for number, sample in enumerate(SAMPLES):
        touches = [(sample, cell) in border for cell in range(1, N + 1)]
        table = measured(
            N, sample=sample, seed=number, area_um2=changed.get(sample, areas(sample)), touches_border=touches
        )
        write_measured(folder / "samples" / sample / "measure" / "measurements.parquet", table)
    return folder


def write_labels(path, *, group=lambda sample: sample[0], samples=SAMPLES, cells=range(1, N + 1), bad=N_BAD):
    schema = schema_of(LABEL_COLUMNS)
    rows = [(sample, cell) for sample in samples for cell in cells]
    data = {
        "sample": [sample for sample, _ in rows],
        "cell_id": [cell for _, cell in rows],
        "class": ["bad" if cell <= bad else "good" for _, cell in rows],
        "abnormal": [cell <= bad for _, cell in rows],
        "group": [group(sample) for sample, _ in rows],
        "source": ["x.csv"] * len(rows),
    }
    with TableWriter(path, LABEL_COLUMNS) as writer:
        writer.write(pa.table({f.name: pa.array(data[f.name], f.type) for f in schema}, schema=schema))
    return path


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = write_slides(tmp_path_factory.mktemp("run"), border=[("a1", 1), ("c1", N)])
    return folder, write_labels(folder / "labelled.parquet")


def request(slides, out, **options):
    folder, labels = slides
    return ReferenceRequest(LabelledTables((folder,), labels, EXCLUDE), out, **{"settings": SETTINGS} | options)


def predictions(folder, name="r"):
    return read_table(folder / f"{name}.predictions.parquet").to_pandas()


def test_writes_a_reference_that_judges_slides(slides, tmp_path):
    out = tmp_path / "r.json"
    record = train_reference(request(slides, out, command="cellseg train reference"))
    assert json.loads(out.read_text()) == record
    assert record["n_cells"] == 5 * (N - N_BAD) - 1
    assert record["samples"] == {
        "a": {"n_cells": 120},
        "b": {"n_cells": 60},
        "c": {"n_cells": 59},
        "d": {"n_cells": 60},
    }
    assert record["n_excluded"] == 2
    assert record["settings"] == {
        "reference": SETTINGS.model_dump(mode="json"),
        "exclude": EXCLUDE.model_dump(mode="json"),
    }
    fit = read_reference(out)
    assert set(fit.features) == {"nucleus_area_um2", "nucleus_solidity", "nucleus_eccentricity"}
    assert fit.parted_by == "samples"
    # of 299 healthy cells around 60 um2; the hundred around 120 shaped nothing
    assert fit.features["nucleus_area_um2"].median == pytest.approx(60, abs=2)
    assert fit.features["nucleus_area_um2"].high < 85

    slide = slides[0] / "samples/b1/measure/measurements.parquet"
    settings = ClassifySettings(rules=(), reference=SETTINGS, exclude=EXCLUDE)
    classify_cells(slide, tmp_path / "v.parquet", reference=out, recipe=recipe(), settings=settings)
    verdicts = assert_table(tmp_path / "v.parquet").to_pandas()
    called = verdicts["status"] == "abnormal"
    assert called[:N_BAD].mean() > 0.9 and called[N_BAD:].mean() < 0.1
    assert verdicts["reasons"][0].startswith("nucleus_area_um2 1")


def test_predictions_are_ranked_by_score_and_called_by_status(slides, tmp_path):
    train_reference(request(slides, tmp_path / "r.json"))
    path = tmp_path / "r.predictions.parquet"
    assert read_table(path).schema == schema_of(REFERENCE_PREDICTION_COLUMNS)
    table = predictions(tmp_path)
    keys = list(zip(table["sample"], table["cell_id"], strict=True))
    assert keys == sorted(keys) and len(keys) == 5 * N - 2 and ("a1", 1) not in keys
    assert set(table["scored_by"]) == {"reference"}
    assert set(table["status"]) <= {"healthy", "uncertain", "abnormal"}
    cells = read_predictions(path).data.cells
    np.testing.assert_array_equal(cells.score, table["abnormal_score"])
    np.testing.assert_array_equal(cells.probability, table["abnormal_probability"])
    np.testing.assert_array_equal(cells.called, table["status"] == "abnormal")
    assert verdict_figures(cells)["auroc"] > 0.95


def test_figures_are_those_of_the_predictions(slides, tmp_path):
    record = train_reference(request(slides, tmp_path / "r.json"))
    table = predictions(tmp_path)
    assert list(record["held_out_figures"]) == ["a", "b", "c", "d"]
    for name, told in record["held_out_figures"].items():
        own = table[table["group"] == name]
        bad, good = own[own["abnormal"]], own[~own["abnormal"]]
        called = own[own["status"] == "abnormal"]
        higher = bad["abnormal_score"].to_numpy()[:, None] > good["abnormal_score"].to_numpy()
        assert told == pytest.approx(
            {
                "n_cells": len(own),
                "n_abnormal": len(bad),
                "auroc": higher.mean(),
                "healthy_with_p_under_0.05": (good["healthy_p_value"] <= 0.05).mean(),
                "called_abnormal": len(called) / len(own),
                "false_discoveries": (~called["abnormal"]).mean(),
            },
            abs=1e-3,
        )
    text = format_reference(record)
    assert "299 healthy cells, 3 features, score covariance" in text
    assert "mean AUROC of 4 groups 0.9" in text or "mean AUROC of 4 groups 1.0" in text


def test_a_slides_calls_are_made_of_its_own_cells(slides, tmp_path):
    # the two slides of one group are abnormal to different degrees, and so are their bounds
    changed = {"a1": areas("a1", abnormal=78.0), "a2": areas("a2", healthy=66.0)}
    other = write_slides(tmp_path / "run", **changed)
    settings = SETTINGS.model_copy(update={"abnormal_fdr": 0.1})
    train_reference(request((other, slides[1]), tmp_path / "r.json", settings=settings))
    for _, own in predictions(tmp_path).groupby("sample"):
        p = own["healthy_p_value"].to_numpy()
        for bound, said in ((0.1, ["abnormal"]), (0.2, ["abnormal", "uncertain"])):
            under = [x for x in p if x <= bound * (p <= x).sum() / p.size]
            expected = p <= max(under, default=-1)
            np.testing.assert_array_equal(own["status"].isin(said), expected)


def test_healthy_cells_of_a_held_out_group_shape_nothing_of_its_fold(slides, tmp_path):
    train_reference(request(slides, tmp_path / "before.json"))
    # wild values of all kinds, so that median, spread, covariance and held-out scores would all tell
    wild = np.where(np.arange(N) < N_BAD, areas("b1"), np.linspace(20, 400, N))
    other = write_slides(tmp_path / "run", border=[("a1", 1), ("c1", N)], b1=wild)
    train_reference(request((other, slides[1]), tmp_path / "after.json"))
    before, after = predictions(tmp_path, "before"), predictions(tmp_path, "after")
    own_abnormal = (before["group"] == "b") & before["abnormal"]
    assert own_abnormal.sum() == N_BAD
    for name in ("abnormal_score", "healthy_p_value"):
        np.testing.assert_array_equal(before[name][own_abnormal], after[name][own_abnormal])
        for group in "acd":
            theirs = before["group"] == group
            assert (before[name][theirs] != after[name][theirs]).mean() > 0.5
    assert (
        json.loads((tmp_path / "before.json").read_text())["features"]
        != json.loads((tmp_path / "after.json").read_text())["features"]
    )


def test_abnormal_cells_shape_nothing_at_all(slides, tmp_path):
    before = train_reference(request(slides, tmp_path / "before.json"))
    changed = {sample: areas(sample, abnormal=300.0) for sample in SAMPLES}
    other = write_slides(tmp_path / "run", border=[("a1", 1), ("c1", N)], **changed)
    after = train_reference(request((other, slides[1]), tmp_path / "after.json"))
    for name in ("features", "score", "held_out", "n_cells"):
        assert before[name] == after[name]
    one, two = predictions(tmp_path, "before"), predictions(tmp_path, "after")
    for name in ("abnormal_score", "healthy_p_value"):
        np.testing.assert_array_equal(one[name][~one["abnormal"]], two[name][~one["abnormal"]])


def test_no_test_gives_the_same_reference_alone(slides, tmp_path):
    tested = train_reference(request(slides, tmp_path / "tested.json"))
    plain = train_reference(request(slides, tmp_path / "plain.json", test=False))
    assert not (tmp_path / "plain.predictions.parquet").exists()
    tested.pop("held_out_figures")
    assert plain == tested
    assert "group" not in format_reference(plain)


def test_the_same_bytes_from_any_order_of_tables(slides, tmp_path):
    folder, labels = slides
    paths = sorted(folder.glob("samples/*/measure/measurements.parquet"))
    for name, order in (("one", paths), ("two", paths[::-1])):
        source = LabelledTables(tuple(order), labels, EXCLUDE)
        train_reference(ReferenceRequest(source, tmp_path / name / "r.json", SETTINGS))
    for file in ("r.json", "r.predictions.parquet"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_groups_that_are_only_fitted_on_are_never_tested(slides, tmp_path):
    record = train_reference(request(slides, tmp_path / "r.json", train_only_groups=("a",)))
    assert list(record["held_out_figures"]) == ["b", "c", "d"]
    assert set(predictions(tmp_path)["group"]) == {"b", "c", "d"}
    assert record["samples"]["a"] == {"n_cells": 120}


def test_labels_without_an_abnormal_cell_are_enough(slides, tmp_path):
    labels = write_labels(tmp_path / "l.parquet", cells=range(N_BAD + 1, N + 1))
    record = train_reference(request((slides[0], labels), tmp_path / "r.json"))
    assert {one["auroc"] for one in record["held_out_figures"].values()} == {None}
    assert all(one["false_discoveries"] in (None, 1) for one in record["held_out_figures"].values())
    assert "mean AUROC" not in format_reference(record)
    assert " - " in format_reference(record)


def test_cells_that_could_not_be_measured_are_uncertain(slides, tmp_path):
    folder, labels = slides
    tables = [read_table(path) for path in sorted(folder.glob("samples/*/measure/measurements.parquet"))]
    at = tables[2].schema.get_field_index("nucleus_area_um2")
    lost = pc.if_else(pc.equal(tables[2]["cell_id"], 70), None, tables[2]["nucleus_area_um2"])
    tables[2] = tables[2].set_column(at, tables[2].schema.field(at), lost)
    path = write_measured(tmp_path / "all.parquet", *tables)
    settings = ReferenceSettings(features=("area_um2",))
    off = EXCLUDE.model_copy(update={"min_area_um2": 0})
    train_reference(ReferenceRequest(LabelledTables((path,), labels, off), tmp_path / "r.json", settings))
    table = predictions(tmp_path).set_index(["sample", "cell_id"])
    row = table.loc[("b1", 70)]
    assert row["status"] == "uncertain"
    assert np.isnan([row["abnormal_score"], row["healthy_p_value"], row["abnormal_probability"]]).all()
    assert table["abnormal_score"].isna().sum() == 1


def test_features_that_some_table_lacks_are_named(slides, tmp_path):
    folder, labels = slides
    paths = sorted(folder.glob("samples/*/measure/measurements.parquet"))
    paths[0] = write_measured(tmp_path / "lacking.parquet", read_table(paths[0]).drop_columns(["nucleus_solidity"]))
    settings = ReferenceSettings(features=("shape",))
    source = LabelledTables(tuple(paths), labels, EXCLUDE)
    record = train_reference(ReferenceRequest(source, tmp_path / "r.json", settings, test=False))
    assert "nucleus_solidity" not in record["features"]
    assert record["features_left_out"]["nucleus_solidity"] == "not measured in every table"


class TestRefusals:
    def test_cells_without_groups(self, slides, tmp_path):
        labels = write_labels(tmp_path / "l.parquet", group=lambda _: "")
        with pytest.raises(ConfigError, match=r"400 of 400|398 of 398"):
            train_reference(request((slides[0], labels), tmp_path / "r.json"))
        record = train_reference(request((slides[0], labels), tmp_path / "r.json", independent_rows=True))
        assert list(record["held_out_figures"]) == ["all"]
        assert record["held_out_figures"]["all"]["n_cells"] == 398

    def test_one_group(self, slides, tmp_path):
        labels = write_labels(tmp_path / "l.parquet", group=lambda _: "one")
        with pytest.raises(ConfigError, match="1 group of cells to leave out"):
            train_reference(request((slides[0], labels), tmp_path / "r.json"))

    def test_an_unknown_group_to_fit_on_alone(self, slides, tmp_path):
        with pytest.raises(ConfigError, match="names 'z'"):
            train_reference(request(slides, tmp_path / "r.json", train_only_groups=("z",)))

    def test_another_suffix_before_anything_is_read(self, tmp_path):
        with pytest.raises(ConfigError, match=r"r\.safetensors: a reference is written to a name that ends in \.json"):
            train_reference(request((tmp_path, tmp_path / "none.parquet"), tmp_path / "r.safetensors"))

    def test_too_few_healthy_cells(self, slides, tmp_path):
        labels = write_labels(tmp_path / "l.parquet", cells=range(N_BAD - 5, N_BAD + 9))
        with pytest.raises(ConfigError, match="the 40 healthy cells make no reference: 40 cells, 50 needed"):
            train_reference(request((slides[0], labels), tmp_path / "r.json"))
        assert not (tmp_path / "r.json").exists()

    def test_too_few_without_one_group_says_which(self, slides, tmp_path):
        labels = write_labels(tmp_path / "l.parquet", cells=range(N_BAD - 5, N_BAD + 13))
        with pytest.raises(ConfigError, match=r"without group a, the 36 healthy cells .* 36 cells, 50 needed"):
            train_reference(request((slides[0], labels), tmp_path / "r.json"))
        assert train_reference(request((slides[0], labels), tmp_path / "r.json", test=False))["n_cells"] == 60

    def test_features_that_are_not_there(self, slides, tmp_path):
        with pytest.raises(ConfigError, match="features names 'areola'"):
            train_reference(request(slides, tmp_path / "r.json", settings=ReferenceSettings(features=("areola",))))

    def test_labelled_cells_without_measurements(self, slides, tmp_path):
        labels = write_labels(tmp_path / "l.parquet", samples=[*SAMPLES, "z1"])
        with pytest.raises(TableError, match="80 of 480 labelled cells have no measurements"):
            train_reference(request((slides[0], labels), tmp_path / "r.json"))


def class_table(path, *, n=150, n_bad=50):
    rng = np.random.default_rng(0)
    lines = [f"{'M' if at < n_bad else 'B'},{at % 5},{rng.normal(5 * (at < n_bad))},{rng.normal()}" for at in range(n)]
    path.write_text("\n".join(["kind,who,size,other", *lines]) + "\n")
    return path


def test_independent_rows_are_parted_in_ten(tmp_path):
    source = ClassTable(class_table(tmp_path / "t.csv"), "kind", ("M",))
    settings = ReferenceSettings(features=("*",))
    done = []
    asked = ReferenceRequest(source, tmp_path / "r.json", settings, independent_rows=True)
    record = train_reference(asked, progress=lambda *at: done.append(at))
    assert done == [(at, 10) for at in range(1, 11)]
    assert record["held_out"]["parted_by"] == "cells"
    assert record["samples"] == {"": {"n_cells": 100}}
    table = predictions(tmp_path)
    assert table["cell_id"].tolist() == list(range(1, 151))
    assert set(table["group"]) == {"all"}
    assert record["held_out_figures"]["all"]["auroc"] > 0.95
    assert "who" in record["features"]


def test_a_draw_of_the_healthy_cells_is_fitted(tmp_path):
    source = ClassTable(class_table(tmp_path / "t.csv", n=450), "kind", ("M",), group_column="who")
    settings = ReferenceSettings(features=("size", "other"), max_fit_cells=100)
    record = train_reference(ReferenceRequest(source, tmp_path / "r.json", settings))
    assert record["n_cells"] == 100
    assert record["held_out_figures"]["0"]["n_cells"] == 90


def test_a_draw_takes_groups_alike(slides, tmp_path):
    # a has 119 healthy cells that can be judged, the others sixty or so
    settings = SETTINGS.model_copy(update={"max_fit_cells": 100, "score": "nearest", "n_nearest": 1})
    record = train_reference(request(slides, tmp_path / "r.json", settings=settings, test=False))
    table = [read_table(slides[0] / f"samples/{name}/measure/measurements.parquet") for name in SAMPLES]
    areas_of = {name: t["nucleus_area_um2"].to_numpy() for name, t in zip(SAMPLES, table, strict=True)}
    area = record["features"]["nucleus_area_um2"]
    at = record["feature_order"].index("nucleus_area_um2")
    found = [cell[at] * area["mad"] + area["median"] for cell in record["score"]["cells"]]
    groups = {}
    for sample, values in areas_of.items():
        near = np.abs(np.subtract.outer(found, values[N_BAD:])).min(axis=1) < 1e-4
        groups[sample[0]] = groups.get(sample[0], 0) + int(near.sum())
    assert groups == {"a": 25, "b": 25, "c": 25, "d": 25}


@pytest.fixture
def app():
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    return app


def test_command_fits_and_prints(slides, tmp_path, app):
    folder, labels = slides
    out = tmp_path / "r.json"
    settings = json.dumps({"features": FEATURES, "score": "isolation_forest", "n_trees": 20})
    line = ["reference", "--data", str(folder), "--labels", str(labels), "-o", str(out), "--settings", settings]
    line += ["--exclude", json.dumps({"min_focus_fraction": 0}), "--stain", "giemsa", "--train-only", "a, b"]
    done = CliRunner().invoke(app, line, catch_exceptions=False)
    assert done.exit_code == 0
    assert "299 healthy cells, 3 features, score isolation_forest" in done.stdout
    assert "mean AUROC of 2 groups" in done.stdout
    assert "--reference" in done.stdout
    assert read_reference(out).stain == "giemsa"
    assert set(predictions(tmp_path)["group"]) == {"c", "d"}


def test_command_takes_one_table(tmp_path, app):
    path = class_table(tmp_path / "t.csv")
    line = [
        "reference",
        "--table",
        str(path),
        "--class-column",
        "kind",
        "--abnormal",
        "M",
        "-o",
        str(tmp_path / "r.json"),
    ]
    line += ["--settings", json.dumps({"features": ["size", "other"]})]
    with pytest.raises(ConfigError, match="150 of 150 cells have no group"):
        CliRunner().invoke(app, line, catch_exceptions=False)
    done = CliRunner().invoke(app, [*line, "--group-column", "who"], catch_exceptions=False)
    assert "100 healthy cells, 2 features, score covariance" in done.stdout
    assert "mean AUROC of 5 groups" in done.stdout
    done = CliRunner().invoke(app, [*line, "--independent-rows", "--no-test"], catch_exceptions=False)
    assert "AUROC" not in done.stdout
    with pytest.raises(ConfigError, match="nothing to train on"):
        CliRunner().invoke(app, ["reference", "-o", "r.json"], catch_exceptions=False)
