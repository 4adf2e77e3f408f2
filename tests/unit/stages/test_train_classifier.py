"""Measurements and labels in; model, held-out predictions and report out."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pyarrow as pa
import pytest
import typer
from cell_tables import measured, write_measured
from typer.testing import CliRunner

from cellseg.classify.supervised import predict_probability
from cellseg.classify_config import ExcludeSettings, TrainClassifierSettings
from cellseg.columns.labels import LABEL_COLUMNS
from cellseg.columns.predictions import PREDICTION_COLUMNS
from cellseg.commands.train_classifier import register
from cellseg.errors import ConfigError, TableError
from cellseg.io.table import TableWriter, read_table, schema_of
from cellseg.stages.classifier_model import read_classifier
from cellseg.stages.classifier_report import format_report, without_nan
from cellseg.stages.outcome import Failure, write_failure
from cellseg.stages.train_classifier import ClassifierFiles, ClassifierRequest, LabelledTables, train_classifier
from cellseg.stages.training_cells import (
    ClassTable,
    choose_features,
    find_measurements,
    read_class_table,
    read_training_cells,
)

FAST = TrainClassifierSettings(
    model="logistic", features=("area_um2", "solidity", "eccentricity"), trees=10, min_leaf_cells=5
)
NO_EXCLUSION = ExcludeSettings(border=False, min_area_um2=0, min_focus_fraction=0, max_saturated_fraction=1)
N = 40


def write_labels(path, samples, *, group=lambda sample: sample[0], drop=(), **columns):
    """A row for each cell of each sample, the first half abnormal; `columns` put in place of whole columns."""
    schema = schema_of(LABEL_COLUMNS)
    rows = [(sample, cell) for sample in samples for cell in range(1, N + 1) if (sample, cell) not in drop]
    data = {
        "sample": [sample for sample, _ in rows],
        "cell_id": [cell for _, cell in rows],
        "class": ["bad" if cell <= N // 2 else "good" for _, cell in rows],
        "abnormal": [cell <= N // 2 for _, cell in rows],
        "group": [group(sample) for sample, _ in rows],
        "source": ["x.csv"] * len(rows),
    } | columns
    with TableWriter(path, LABEL_COLUMNS) as writer:
        writer.write(pa.table({f.name: pa.array(data[f.name], f.type) for f in schema}, schema=schema))
    return path


def write_slides(folder, samples, *, border=()):
    """Measurements whose abnormal cells are larger; `border` (sample, cell_id) touch it."""
    for number, sample in enumerate(samples):
        rng = np.random.default_rng(number)
        area = np.where(np.arange(N) < N // 2, 90.0, 60.0) + rng.normal(0, 8, N)
        touches = [(sample, cell) in border for cell in range(1, N + 1)]
        write_measured(
            folder / "samples" / sample / "measure" / "measurements.parquet",
            measured(N, sample=sample, seed=number, area_um2=area, touches_border=touches),
        )
    return folder


SAMPLES = ["a1", "a2", "b1", "c1", "d1"]


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    folder = write_slides(tmp_path_factory.mktemp("run"), SAMPLES, border=[("a1", 1), ("c1", 40)])
    return folder, write_labels(folder / "labelled.parquet", SAMPLES)


def request(slides, out, **options):
    settings = options.pop("settings", FAST)
    folder, labels = slides
    source = LabelledTables((folder,), labels, ExcludeSettings(min_focus_fraction=0))
    return ClassifierRequest(source, out, settings, **options)


def test_writes_model_predictions_and_report(slides, tmp_path):
    out = tmp_path / "model.safetensors"
    report = train_classifier(request(slides, out, permutations=3, command="cellseg train classifier"))
    files = ClassifierFiles(out)
    assert out.is_file()
    assert json.loads(files.report.read_text()) == report
    assert report["n_cells"] == 198
    assert report["n_excluded"] == 2
    assert report["groups"]["a"] == {"n_healthy": 40, "n_abnormal": 39}
    assert report["classes"]["bad"] == {"n_cells": 99, "abnormal": True}
    assert report["held_out"]["mean"]["auroc"] > 0.9
    assert list(report["held_out"]["groups"]) == ["a", "b", "c", "d"]
    assert report["settings"]["exclude"]["border"] is True
    predictions = read_table(files.predictions)
    assert predictions.schema == schema_of(PREDICTION_COLUMNS)
    keys = list(zip(predictions["sample"].to_pylist(), predictions["cell_id"].to_pylist(), strict=True))
    assert keys == sorted(keys)
    assert len(keys) == 198
    assert ("a1", 1) not in keys
    text = format_report(report)
    assert "198 cells, 99 abnormal, 4 groups, 3 features; 2 labelled cells cannot be judged" in text
    assert "labels shuffled 3 times" in text
    assert "called rightly, by class: " in text


def test_model_on_disk_says_what_it_learnt(slides, tmp_path):
    out = tmp_path / "model.safetensors"
    report = train_classifier(request(slides, out, stain="giemsa"))
    model = read_classifier(out)
    assert model.story == report
    assert model.stain == "giemsa"
    assert model.names == ("nucleus_area_um2", "nucleus_eccentricity", "nucleus_solidity")
    cells = read_training_cells([slides[0]], slides[1], FAST, ExcludeSettings(min_focus_fraction=0)).cells
    called = predict_probability(model, cells.matrix) > model.threshold
    assert (called == cells.abnormal).mean() > 0.9
    assert model.features[0].healthy_low < 60 < model.features[0].healthy_high < 90


def test_status_is_what_the_conformal_set_holds_alone(slides, tmp_path):
    settings = FAST.model_copy(update={"threshold": 0.9})
    train_classifier(request(slides, tmp_path / "m.safetensors", settings=settings, leaks=False))
    rows = read_table(tmp_path / "m.predictions.parquet").to_pylist()
    words = {(True, False, False): "healthy", (False, True, True): "abnormal"}
    for row in rows:
        said = (row["healthy_plausible"], row["abnormal_plausible"], row["abnormal_probability"] > 0.9)
        assert row["status"] == words.get(said, "uncertain")
    assert {row["status"] for row in rows} == {"healthy", "abnormal", "uncertain"}


def test_figures_are_those_of_the_predictions(slides, tmp_path):
    report = train_classifier(request(slides, tmp_path / "m.safetensors", leaks=False))
    rows = [row for row in read_table(tmp_path / "m.predictions.parquet").to_pylist() if row["group"] == "b"]
    bad = [row for row in rows if row["abnormal"]]
    good = [row for row in rows if not row["abnormal"]]
    sensitivity = np.mean([row["abnormal_probability"] > 0.5 for row in bad])
    specificity = np.mean([row["abnormal_probability"] <= 0.5 for row in good])
    covered = [row["abnormal_plausible" if row["abnormal"] else "healthy_plausible"] for row in rows]
    own = report["held_out"]["groups"]["b"]
    assert own["balanced_accuracy"] == pytest.approx((sensitivity + specificity) / 2)
    assert own["coverage"] == pytest.approx(np.mean(covered))
    pairs = [(a["abnormal_score"], b["abnormal_score"]) for a in bad for b in good]
    assert own["auroc"] == pytest.approx(np.mean([a > b for a, b in pairs]))
    worst = min(one["auroc"] for one in report["held_out"]["groups"].values())
    assert report["held_out"]["worst"]["auroc"] == worst


def test_same_bytes_from_any_order_and_number_of_workers(slides, tmp_path):
    folder, labels = slides
    tables = find_measurements([folder])
    settings = FAST.model_copy(update={"model": "both"})
    for name, paths, workers in (("one", tables, 1), ("two", tables[::-1], 3)):
        source = LabelledTables(tuple(paths), labels, ExcludeSettings(min_focus_fraction=0))
        train_classifier(ClassifierRequest(source, tmp_path / name / "m.safetensors", settings, workers=workers))
    for file in ("m.safetensors", "m.report.json", "m.predictions.parquet"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_cells_without_group_are_refused(slides, tmp_path):
    folder, _ = slides
    labels = write_labels(tmp_path / "labelled.parquet", SAMPLES, group=lambda _: "")
    with pytest.raises(ConfigError, match=r"no group.*cells_are_independent"):
        train_classifier(request((folder, labels), tmp_path / "m.safetensors"))
    independent = FAST.model_copy(update={"groups": "cells_are_independent"})
    report = train_classifier(request((folder, labels), tmp_path / "m.safetensors", settings=independent))
    assert "leaks" not in report
    assert list(report["held_out"]["groups"]) == ["all"]


def test_two_groups_give_a_model_and_a_note(slides, tmp_path):
    folder, _ = slides
    labels = write_labels(tmp_path / "labelled.parquet", ["a1", "b1"])
    report = train_classifier(request((folder, labels), tmp_path / "m.safetensors"))
    assert "held_out" not in report
    assert not (tmp_path / "m.predictions.parquet").exists()
    assert "note: two groups" in format_report(report)


def test_a_leak_is_reported(tmp_path):
    shares = {"a": 0.1, "b": 0.9, "c": 0.1, "d": 0.9, "e": 0.1, "f": 0.9}
    folder = tmp_path / "run"
    abnormal, samples = [], list(shares)
    for number, sample in enumerate(samples):
        rng = np.random.default_rng(number)
        abnormal += (np.arange(N) < N * shares[sample]).tolist()
        # brightness tells the slide and nothing of the cell; each slide its own
        plane = 100 + 37 * number % 11 + rng.normal(0, 0.01, N)
        write_measured(folder / f"{sample}.parquet", measured(N, sample=sample, seed=number, intensity_gray_mean=plane))
    labels = write_labels(tmp_path / "l.parquet", samples, abnormal=abnormal, **{"class": np.where(abnormal, "x", "y")})
    settings = FAST.model_copy(update={"model": "boosting", "features": ("solidity", "nucleus_intensity_gray_mean")})
    source = LabelledTables(tuple(folder.iterdir()), labels, NO_EXCLUSION)
    report = train_classifier(ClassifierRequest(source, tmp_path / "m.safetensors", settings))
    assert report["leaks"]["random_auroc"] > 0.8
    assert report["leaks"]["grouped_auroc"] < 0.6
    text = format_report(report)
    assert "WARNING: ranking all cells, AUROC is" in text
    assert "WARNING: column nucleus_intensity_gray_mean tells the group" in text


def test_lost_and_doubled_cells_are_refused(slides, tmp_path):
    folder, labels = slides
    more = write_labels(tmp_path / "more.parquet", [*SAMPLES, "z1"])
    with pytest.raises(
        TableError, match=r"40 of 240 labelled cells have no measurements \(first: sample 'z1', cell_id 1"
    ):
        train_classifier(request((folder, more), tmp_path / "m.safetensors"))
    copy = shutil.copy(find_measurements([folder])[0], tmp_path / "copy.parquet")
    source = LabelledTables((folder, copy), labels, NO_EXCLUSION)
    with pytest.raises(TableError, match="a cell stands twice"):
        train_classifier(ClassifierRequest(source, tmp_path / "m.safetensors", FAST))
    twice = write_labels(tmp_path / "twice.parquet", ["a1", "a1", "b1"])
    with pytest.raises(TableError, match="cell 1 of sample 'a1' has no class or two"):
        train_classifier(request((folder, twice), tmp_path / "m.safetensors"))
    none = write_labels(tmp_path / "none.parquet", [])
    with pytest.raises(TableError, match="no labelled cell"):
        train_classifier(request((folder, none), tmp_path / "m.safetensors"))
    with pytest.raises(ConfigError, match=r"ends in \.safetensors"):
        train_classifier(request(slides, tmp_path / "m.pkl"))


def test_unlabelled_cells_are_unknown(slides, tmp_path):
    folder, _ = slides
    labels = write_labels(tmp_path / "l.parquet", SAMPLES, drop={("a1", 3), ("b1", 39)})
    read = read_training_cells([folder], labels, FAST, NO_EXCLUSION)
    assert read.cell_id.size == 198
    assert ("a1", 3) not in set(zip(read.sample.tolist(), read.cell_id.tolist(), strict=True))


def test_failed_samples_are_left_out(tmp_path):
    folder = write_slides(tmp_path / "run", ["a1", "b1"])
    write_failure([folder / "samples/c1/measure/measurements.parquet"], Failure("c1", "segment", "no tissue"))
    assert [path.parts[-3] for path in find_measurements([folder])] == ["a1", "b1"]
    with pytest.raises(ConfigError, match="no measurements there"):
        find_measurements([tmp_path / "nothing"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no measurements there"):
        find_measurements([tmp_path / "empty"])


def test_features_by_name_pattern_and_family(slides):
    folder, _ = slides
    schema = read_table(find_measurements([folder])[0]).schema
    schema = schema.append(pa.field("appearance_redcell_look_logit", pa.float64()))

    def chosen(*features, without=()):
        settings = TrainClassifierSettings(features=features, without=without)
        return choose_features(schema, settings, "t")

    assert chosen("solidity", "area_um2") == ("nucleus_area_um2", "nucleus_solidity")
    assert chosen("*_gray_q05") == ("nucleus_intensity_gray_q05",)
    assert "density_25um_per_mm2" in chosen("neighborhood")
    assert chosen("neighborhood", without=("nearest*", "density*", "local*", "neighbor_angle_rad")) == ()
    every = chosen()
    assert "nucleus_area_um2" in every
    assert "edge_sharpness_per_um" in every
    for name in ("cell_id", "centroid_y_um", "bbox_y0_px", "score", "tissue_probability", "nucleus_orientation_rad"):
        assert name not in every
    # a network may have been trained on the very cells; by name it is taken at its word
    assert "appearance_redcell_look_logit" not in every
    assert chosen("appearance") == ("appearance_redcell_look_logit",)
    with pytest.raises(ConfigError, match="features names 'areola'"):
        chosen("areola")
    with pytest.raises(ConfigError, match="without names 'x'"):
        chosen(without=("x",))


def test_features_that_some_table_lacks_are_left_out_and_told(slides, tmp_path):
    folder, labels = slides
    paths = find_measurements([folder])
    lacking = read_table(paths[0]).drop_columns(["nucleus_solidity"])
    paths[0] = write_measured(tmp_path / "lacking.parquet", lacking)
    every = FAST.model_copy(update={"features": ("shape",)})
    read = read_training_cells(paths, labels, every, NO_EXCLUSION)
    assert "nucleus_solidity" not in read.cells.names
    assert read.missing == ("nucleus_solidity",)


def test_cells_without_label_tell_what_a_slide_looks_like(slides, tmp_path):
    folder, _ = slides
    labels = write_labels(tmp_path / "l.parquet", SAMPLES[1:], drop={("b1", cell) for cell in range(3, 41)})
    exclude = ExcludeSettings(min_focus_fraction=0)
    relative = FAST.model_copy(update={"relative": "normal", "relative_share": 0.3})
    read = read_training_cells([folder], labels, relative, exclude)
    # c1 has a cell at the border; a1 has no label
    assert [len(values) for values in read.cells.slides.values] == [40, 40, 39, 40]
    assert (read.cells.slides.kind, read.cells.slides.share) == ("normal", 0.3)
    assert read.cells.slides.of.tolist() == np.repeat([0, 1, 2, 3], [40, 2, 39, 40]).tolist()
    plain = read_training_cells([folder], labels, FAST, exclude)
    assert plain.cells.slides is None
    np.testing.assert_array_equal(read.cells.matrix, plain.cells.matrix)
    area = read.cells.names.index("nucleus_area_um2")
    path = folder / "samples/b1/measure/measurements.parquet"
    np.testing.assert_array_equal(read.cells.slides.values[1][:, area], read_table(path)["nucleus_area_um2"].to_numpy())


def test_cells_that_tell_of_a_large_slide_are_evenly_spaced_in_any_table(tmp_path):
    table = measured(1203, sample="a1")
    parts = [table.slice(700), table.slice(0, 700).take(np.arange(700)[::-1])]
    whole = write_measured(tmp_path / "one" / "a.parquet", table)
    two = [
        write_measured(tmp_path / "two" / f"{at}.parquet", part.slice(0, 9), part.slice(9))
        for at, part in enumerate(parts)
    ]
    labels = write_labels(tmp_path / "l.parquet", ["a1"])
    relative = FAST.model_copy(update={"relative": "slide"})
    one, other = (read_training_cells(paths, labels, relative, NO_EXCLUSION) for paths in ([whole], two))
    (values,) = one.cells.slides.values
    np.testing.assert_array_equal(values, other.cells.slides.values[0])
    drawn = table["nucleus_area_um2"].to_numpy()[np.linspace(0, 1202, 500).astype(int)]
    np.testing.assert_array_equal(values[:, one.cells.names.index("nucleus_area_um2")], drawn)


@pytest.mark.parametrize("kind", ["slide", "normal"])
def test_relative_values_are_written_into_model_and_story(slides, tmp_path, kind):
    settings = FAST.model_copy(update={"relative": kind, "features": ("area_um2", "solidity")})
    report = train_classifier(request(slides, tmp_path / "m.safetensors", settings=settings, permutations=1))
    model = read_classifier(tmp_path / "m.safetensors")
    assert report["settings"]["train"]["relative"] == kind
    assert [feature.relative for feature in model.features] == [False, False, True, True]
    assert (model.travel.kind, model.travel.columns) == (kind, ("nucleus_area_um2", "nucleus_solidity"))
    assert "note: 2 of 4 features are values against the cells of their sample" in format_report(report)
    assert report["held_out"]["mean"]["auroc"] > 0.9
    plain = train_classifier(request(slides, tmp_path / "p.safetensors"))
    assert "relative" not in plain["settings"]["train"]
    assert read_classifier(tmp_path / "p.safetensors").travel is None


def test_slides_of_too_few_cells_are_told(slides, tmp_path):
    folder = write_slides(tmp_path / "run", SAMPLES)
    write_measured(folder / "samples/a2/measure/measurements.parquet", measured(4, sample="a2"))
    labels = write_labels(tmp_path / "l.parquet", SAMPLES, drop={("a2", cell) for cell in range(5, 41)})
    settings = FAST.model_copy(update={"relative": "normal"})
    report = train_classifier(request((folder, labels), tmp_path / "m.safetensors", settings=settings, leaks=False))
    assert "4 cells have no such values: their samples have fewer than 5 of these" in report["notes"]


def test_relative_values_give_the_same_bytes_from_any_order_and_number_of_workers(slides, tmp_path):
    folder, labels = slides
    tables = find_measurements([folder])
    settings = FAST.model_copy(update={"model": "both", "relative": "normal"})
    for name, paths, workers in (("one", tables, 1), ("two", tables[::-1], 3)):
        source = LabelledTables(tuple(paths), labels, ExcludeSettings(min_focus_fraction=0))
        train_classifier(ClassifierRequest(source, tmp_path / name / "m.safetensors", settings, workers=workers))
    for file in ("m.safetensors", "m.report.json", "m.predictions.parquet"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_csv_tables_give_the_same_cells(slides, tmp_path):
    folder, labels = slides
    table = pa.concat_tables([read_table(path) for path in find_measurements([folder])])
    path = write_measured(tmp_path / "all.csv", table)
    one = read_training_cells([folder], labels, FAST, NO_EXCLUSION)
    two = read_training_cells([path], labels, FAST, NO_EXCLUSION)
    np.testing.assert_array_equal(one.cells.matrix, two.cells.matrix)
    assert one.cell_id.tolist() == two.cell_id.tolist()


def class_table(tmp_path, **columns):
    data = {"size": [1.0, 2.0, math.nan], "n": [3, 4, 5], "kind": ["M", "B", "B"], "who": [1, 1, 2]} | columns
    path = tmp_path / "table.csv"
    lines = [
        ",".join(data),
        *(",".join("" if v != v else str(v) for v in row) for row in zip(*data.values(), strict=True)),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_class_table_by_hand(tmp_path):
    read = read_class_table(
        ClassTable(class_table(tmp_path), "kind", ("M",), group_column="who"), TrainClassifierSettings()
    )
    assert read.cells.names == ("size", "n")
    np.testing.assert_array_equal(read.cells.matrix, [[1, 3], [2, 4], [math.nan, 5]])
    assert read.cells.abnormal.tolist() == [True, False, False]
    assert read.cells.groups.tolist() == ["1", "1", "2"]
    assert read.cell_id.tolist() == [1, 2, 3]
    chosen = TrainClassifierSettings(without=("n",))
    assert read_class_table(ClassTable(class_table(tmp_path), "kind", ("M",)), chosen).cells.names == ("size", "who")


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ({"class_column": "sort", "abnormal": ("M",)}, "no column 'sort'"),
        ({"class_column": "kind", "abnormal": ("malignant",)}, "of malignant it is not clear"),
        ({"class_column": "kind", "abnormal": ("M",), "healthy": ("C",)}, "of B it is not clear"),
        ({"class_column": "kind", "abnormal": ("M",), "healthy": ("M", "B")}, "name each once"),
    ],
)
def test_class_table_with_unclear_classes_is_refused(tmp_path, source, fault):
    with pytest.raises((ConfigError, TableError), match=fault):
        read_class_table(ClassTable(class_table(tmp_path), **source), TrainClassifierSettings())


def test_class_table_has_no_slides(tmp_path):
    source = ClassTable(class_table(tmp_path), "kind", ("M",))
    with pytest.raises(ConfigError, match="relative is 'slide', but a table of features and classes does not hold"):
        read_class_table(source, TrainClassifierSettings(relative="slide"))


def test_nan_has_no_word_in_json():
    assert without_nan({"a": [1.0, math.nan, (math.inf,)], 2: "x"}) == {"a": [1.0, None, [None]], "2": "x"}


@pytest.fixture
def app():
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    return app


def test_command_prints_the_report(slides, tmp_path, app):
    folder, labels = slides
    out = tmp_path / "m.safetensors"
    settings = json.dumps({"model": "logistic", "features": ["area_um2", "solidity"]})
    exclude = json.dumps({"min_focus_fraction": 0})
    line = ["classifier", "--data", str(folder), "--labels", str(labels), "-o", str(out), "--settings", settings]
    done = CliRunner().invoke(app, [*line, "--exclude", exclude, "--permute", "2"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "198 cells, 99 abnormal, 4 groups, 2 features" in done.stdout
    assert "leaks: AUROC" in done.stdout
    assert "labels shuffled 2 times" in done.stdout
    assert "classify.model.weights" in done.stdout
    assert read_classifier(out).story["settings"]["exclude"]["min_focus_fraction"] == 0


def test_command_takes_one_table(tmp_path, app):
    rng = np.random.default_rng(0)
    kinds = np.repeat(["M", "B"], 30)
    rows = [
        f"{kind},{value + 3 * (kind == 'M')}" for kind, value in zip(kinds.tolist(), rng.normal(size=60), strict=True)
    ]
    path = tmp_path / "t.csv"
    path.write_text("kind,size\n" + "\n".join(rows) + "\n")
    line = ["classifier", "--table", str(path), "--class-column", "kind", "--abnormal", "M"]
    line += ["-o", str(tmp_path / "m.safetensors")]
    with pytest.raises(ConfigError, match="60 of 60 cells have no group"):
        CliRunner().invoke(app, line, catch_exceptions=False)
    settings = json.dumps({"model": "logistic", "groups": "cells_are_independent", "random_folds": 5})
    done = CliRunner().invoke(app, [*line, "--settings", settings], catch_exceptions=False)
    assert "60 cells, 30 abnormal" in done.stdout
    with pytest.raises(ConfigError, match="nothing to train on"):
        CliRunner().invoke(app, [*line, "--labels", "x.parquet"], catch_exceptions=False)
