"""A model that judges by values relative to the slide, from training to the verdicts of a slide."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from asserts import nan_as_none
from cell_tables import measured, recipe, write_measured

from cellseg.classify.supervised import predict_probability
from cellseg.classify_config import (
    ClassifySettings,
    ExcludeSettings,
    ModelSettings,
    ReferenceSettings,
    TrainClassifierSettings,
)
from cellseg.columns.labels import LABEL_COLUMNS
from cellseg.io.table import TableWriter, read_table, schema_of
from cellseg.stages.classifier_model import read_classifier
from cellseg.stages.classify import classify_cells
from cellseg.stages.train_classifier import ClassifierRequest, LabelledTables, train_classifier
from cellseg.stages.training_cells import read_training_cells

EXCLUDE = ExcludeSettings(min_focus_fraction=0)
SAMPLES = ("a1", "b1", "c1", "d1")
N = 60


def settings(kind, model):
    return TrainClassifierSettings(
        model=model, features=("area_um2", "solidity", "nucleus_intensity_gray_mean"), relative=kind, trees=20,
        min_leaf_cells=5, feature_share=1.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Slides whose cells differ in size by slide; a third is abnormal: larger by a fifth. Three touch the border."""
    folder = tmp_path_factory.mktemp("run")
    rows = []
    for number, sample in enumerate(SAMPLES):
        rng = np.random.default_rng(number)
        area = (50 + 10 * number) * (1 + 0.2 * (np.arange(N) % 3 == 0) + rng.normal(0, 0.08, N))
        area[5] = np.nan
        border = np.arange(N) > N - 4
        table = measured(N, sample=sample, seed=number, area_um2=area, touches_border=border)
        write_measured(folder / "samples" / sample / "measure" / "measurements.parquet", table)
        # not every cell is labelled
        rows += [(sample, i + 1, "bad" if i % 3 == 0 else "good", i % 3 == 0, sample[0], "x") for i in range(N - 10)]
    schema = schema_of(LABEL_COLUMNS)
    columns = dict(
        zip(("sample", "cell_id", "class", "abnormal", "group", "source"), zip(*rows, strict=True), strict=True)
    )
    with TableWriter(folder / "labelled.parquet", LABEL_COLUMNS) as writer:
        writer.write(pa.table({f.name: pa.array(columns[f.name], f.type) for f in schema}, schema=schema))
    return folder


def trained(slides, out, kind, model="both"):
    source = LabelledTables((slides,), slides / "labelled.parquet", EXCLUDE)
    train_classifier(ClassifierRequest(source, out, settings(kind, model), test=False, leaks=False))
    return read_classifier(out)


def verdicts(path, model, out, **options):
    asked = ClassifySettings(
        rules=(), exclude=EXCLUDE, reference=ReferenceSettings(enabled=False),
        model=ModelSettings(weights=str(model), **options),
    )  # fmt: skip
    classify_cells(path, out, reference=None, recipe=recipe(), settings=asked)
    return nan_as_none(read_table(out).to_pydict())


@pytest.mark.parametrize("kind", ["slide", "normal"])
@pytest.mark.parametrize("model", ["logistic", "boosting"])
def test_a_slide_is_judged_as_it_was_trained_on(slides, tmp_path, kind, model):
    made = trained(slides, tmp_path / "m.safetensors", kind, model)
    read = read_training_cells([slides], slides / "labelled.parquet", settings(kind, model), EXCLUDE)
    cells = read.cells
    columns = [cells.names.index(one.name) + one.relative * len(cells.names) for one in made.features]
    rows = np.arange(cells.abnormal.size)
    expected = predict_probability(made, cells.seen(rows, cells.travel_of(rows))[:, columns])
    for sample in SAMPLES:
        path = slides / "samples" / sample / "measure" / "measurements.parquet"
        said = verdicts(path, tmp_path / "m.safetensors", tmp_path / "v.parquet")
        own = read.sample == sample
        found = [said["abnormal_probability"][cell_id - 1] for cell_id in read.cell_id[own].tolist()]
        # written with six decimals
        assert found == pytest.approx(expected[own].tolist(), abs=1e-6)
        assert len(set(found)) > 2


@pytest.mark.parametrize("share", ["model", "slide"])
def test_row_groups_do_not_matter(slides, tmp_path, share):
    trained(slides, tmp_path / "m.safetensors", "normal")
    table = read_table(slides / "samples/b1/measure/measurements.parquet")
    one = write_measured(tmp_path / "one.parquet", table)
    many = write_measured(tmp_path / "many.parquet", *(table.slice(at, 7) for at in range(0, N, 7)))
    first, second = (
        verdicts(path, tmp_path / "m.safetensors", tmp_path / "v.parquet", share=share) for path in (one, many)
    )
    assert first == second
    assert {"healthy", "abnormal"} <= set(first["status"])


def test_the_share_of_abnormal_cells_is_estimated_by_what_the_model_sees(slides, tmp_path):
    trained(slides, tmp_path / "m.safetensors", "normal", "logistic")
    path = slides / "samples/b1/measure/measurements.parquet"
    said = verdicts(path, tmp_path / "m.safetensors", tmp_path / "v.parquet", share="slide")
    probability = np.array(said["abnormal_probability"])
    # the score is the log-odds at equal odds, the rest is the share's
    odds = np.exp(-np.array(said["abnormal_score"])) * probability / (1 - probability)
    judged = np.array(said["status"]) != "excluded"
    # the best share is the mean of the probabilities that it leads to (Saerens et al. 2002)
    assert probability[judged].mean() == pytest.approx(np.median(odds / (1 + odds)), abs=0.005)


def test_order_of_cells_does_not_matter(slides, tmp_path):
    trained(slides, tmp_path / "m.safetensors", "normal")
    table = read_table(slides / "samples/b1/measure/measurements.parquet")
    order = np.random.default_rng(0).permutation(N)
    one = write_measured(tmp_path / "one.parquet", table)
    other = write_measured(tmp_path / "other.parquet", table.take(order))
    first, second = (verdicts(path, tmp_path / "m.safetensors", tmp_path / "v.parquet") for path in (one, other))
    for name in ("abnormal_probability", "reasons"):
        assert [first[name][row] for row in order.tolist()] == second[name]


def test_reasons_quote_the_value_in_its_unit_against_the_slide(slides, tmp_path):
    made = trained(slides, tmp_path / "m.safetensors", "normal", "logistic")
    said = verdicts(
        slides / "samples/d1/measure/measurements.parquet", tmp_path / "m.safetensors", tmp_path / "v.parquet"
    )
    told = [text for text, status in zip(said["reason_1"], said["status"], strict=True) if status == "abnormal"]
    # healthy cells of this slide are about 80 um2 large, those of all slides 50 to 80
    found = [
        re.fullmatch(r"nucleus_area_um2 (\S+) um2 \(healthy (\S+)-(\S+) on this slide, high\)", text) for text in told
    ]
    assert any(found), told
    for match in filter(None, found):
        value, low, high = map(float, match.groups())
        assert 55 < low < 80 < high < value
    assert not any("relative to the slide" in text for text in said["reasons"])
    assert made.features[0].healthy_low < 60


def test_a_slide_of_too_few_cells_is_judged_by_values_as_measured(slides, tmp_path):
    trained(slides, tmp_path / "m.safetensors", "normal", "boosting")
    few = write_measured(tmp_path / "few.parquet", measured(4, seed=9))
    said = verdicts(few, tmp_path / "m.safetensors", tmp_path / "v.parquet")
    assert None not in said["abnormal_probability"]
    none = write_measured(tmp_path / "none.parquet", measured(0))
    assert verdicts(none, tmp_path / "m.safetensors", tmp_path / "v.parquet")["status"] == []


def test_cells_that_cannot_be_judged_shape_no_frame(slides, tmp_path):
    trained(slides, tmp_path / "m.safetensors", "slide")
    table = read_table(slides / "samples/b1/measure/measurements.parquet")
    areas = table["nucleus_area_um2"].to_numpy().copy()
    areas[N - 3 :] = 1e5
    at = table.schema.get_field_index("nucleus_area_um2")
    one = write_measured(tmp_path / "one.parquet", table)
    other = write_measured(tmp_path / "other.parquet", table.set_column(at, "nucleus_area_um2", pa.array(areas)))
    first, second = (verdicts(path, tmp_path / "m.safetensors", tmp_path / "v.parquet") for path in (one, other))
    assert first["abnormal_probability"][: N - 3] == second["abnormal_probability"][: N - 3]
    assert first["abnormal_probability"][N - 3 :] != second["abnormal_probability"][N - 3 :]
