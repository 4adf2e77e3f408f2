"""Values relative to a slide in training: what they restore, and that a left-out group has no part in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cellseg.classify.travel import relate, slide_frame
from cellseg.classify_config import TrainClassifierSettings
from cellseg.evaluate.verdict import auroc
from cellseg.train.classifier import evaluate_left_out, fit_classifier
from cellseg.train.leaks import group_columns
from cellseg.train.margins import SlideCells, TrainingCells, fit_margins, left_out_margins, splits_of

TREES = TrainClassifierSettings(model="boosting", trees=40, min_leaf_cells=10, feature_share=1.0, max_folds=5)
LINEAR = TREES.model_copy(update={"model": "logistic"})
FEW, MOST = [0.1, 0.4] * 5, [0.1, 0.75] * 5


def batch(kind, shares, *, n_cells=60, share=0.2, seed=0):
    """Slides with these shares of abnormal cells, each with an offset and a gain of its own on all of six features.

    Abnormal cells are odd: off by 2.5 in every feature, up or down.
    """
    rng = np.random.default_rng(seed)
    values, abnormal = [], []
    for part in shares:
        odd = np.arange(n_cells) < round(part * n_cells)
        cells = rng.normal(size=(n_cells, 6))
        cells[odd] += 2.5 * rng.choice([-1, 1], size=(odd.sum(), 6))
        values.append(cells * np.exp(rng.normal(0, 0.4, 6)) + rng.normal(0, 1.5, 6))
        abnormal.append(odd)
    of = np.repeat(np.arange(len(shares)), n_cells)
    truth = np.concatenate(abnormal)
    return TrainingCells(
        np.concatenate(values), truth, np.array([f"g{i:02}" for i in of]), np.where(truth, "odd", "plain"),
        tuple(f"f{i}" for i in range(6)), slides=None if kind == "none" else SlideCells(kind, share, tuple(values), of),
    )  # fmt: skip


def left_out_auroc(cells):
    splits = splits_of(cells, np.arange(cells.abnormal.size), TREES, 5)
    made = fit_margins(cells, [split.train for split in splits], TREES)
    return auroc(left_out_margins(cells, splits, made), cells.abnormal)


class TestBatch:
    def test_values_against_normal_cells_restore_what_offset_and_gain_take(self):
        assert left_out_auroc(batch("none", FEW)) < 0.88
        assert left_out_auroc(batch("normal", FEW)) > 0.96

    def test_a_slide_that_is_mostly_abnormal_is_no_reference(self):
        every, normal = (left_out_auroc(batch(kind, MOST)) for kind in ("slide", "normal"))
        assert normal > every + 0.03


def changed(cells, rows, *, values):
    """The same, with other labels of these cells, or other values of them and their slides."""
    if not values:
        return replace(cells, abnormal=np.where(rows, ~cells.abnormal, cells.abnormal))
    slides = tuple(
        own * 3 - 5 if rows[cells.slides.of == at].any() else own for at, own in enumerate(cells.slides.values)
    )
    matrix = np.where(rows[:, None], cells.matrix * 3 - 5, cells.matrix)
    return replace(cells, matrix=matrix, slides=replace(cells.slides, values=slides))


@pytest.mark.parametrize("values", [False, True])
def test_a_left_out_group_shapes_no_travel_of_its_fold(values):
    cells = batch("normal", FEW[:4])
    rows = cells.groups == "g01"
    other = changed(cells, rows, values=values)
    train = np.flatnonzero(~rows)
    one, two = (fit_margins(each, [train], LINEAR)[train.tobytes()] for each in (cells, other))
    assert one.travel.columns == two.travel.columns
    np.testing.assert_array_equal(one.travel.centre, two.travel.centre)
    np.testing.assert_array_equal(one.travel.scale, two.travel.scale)
    np.testing.assert_array_equal(one.seen(cells, train), two.seen(other, train))
    np.testing.assert_array_equal(one.margin(cells, train), two.margin(other, train))
    # a fit on all rows does know it
    every = np.arange(rows.size)
    one, two = (fit_margins(each, [every], LINEAR)[every.tobytes()] for each in (cells, other))
    assert (one.travel.centre != two.travel.centre).any()


def test_labels_of_a_group_have_no_part_in_what_is_said_of_it():
    cells = batch("normal", FEW[:4])
    rows = cells.groups == "g01"
    before = evaluate_left_out(cells, LINEAR)
    after = evaluate_left_out(changed(cells, rows, values=False), LINEAR)
    for name in ("margin", "probability", "plausible"):
        assert (getattr(before, name)[rows] == getattr(after, name)[rows]).all()
        assert (getattr(before, name)[~rows] != getattr(after, name)[~rows]).any()


def test_only_healthy_cells_trained_on_tell_what_is_healthy():
    cells = batch("normal", FEW[:4])
    rows = np.flatnonzero(cells.groups != "g02")
    healthy = cells.matrix[rows[~cells.abnormal[rows]]]
    np.testing.assert_allclose(cells.travel_of(rows).centre, np.median(healthy, axis=0))
    assert replace(cells, slides=None).travel_of(rows) is None


def test_seen_are_values_as_measured_and_against_their_own_slide():
    cells = batch("slide", FEW[:3])
    rows = np.array([170, 3, 61, 62])
    travel = cells.travel_of(np.arange(180))
    seen = cells.seen(rows, travel)
    np.testing.assert_array_equal(seen[:, :6], cells.matrix[rows])
    for at, row in enumerate(rows.tolist()):
        own = slide_frame(cells.slides.values[row // 60], travel)
        np.testing.assert_array_equal(seen[at, 6:], relate(cells.matrix[[row]], own)[0])
    np.testing.assert_array_equal(cells.take(rows).seen(np.arange(4), travel), seen)
    assert [cells.feature(column) for column in (0, 5, 6, 11)] == [
        ("f0", False), ("f5", False), ("f0", True), ("f5", True),
    ]  # fmt: skip


def test_columns_that_do_not_travel_have_no_relative_values():
    cells = batch("normal", FEW[:3])
    cells.matrix[:, 2] = 1.0
    seen = cells.seen(np.arange(180), cells.travel_of(np.arange(180)))
    assert np.isnan(seen[:, 8]).all()
    assert np.isfinite(seen[:, [6, 7, 9, 10, 11]]).all()
    model, _ = fit_classifier(cells, LINEAR)
    assert (model.names.count("f2"), model.names.count("f3")) == (0, 2)
    assert model.travel.columns == ("f0", "f1", "f3", "f4", "f5")


def test_healthy_intervals_are_of_what_the_model_sees():
    cells = batch("normal", FEW[:4])
    model, _ = fit_classifier(cells, LINEAR)
    healthy = cells.seen(np.flatnonzero(~cells.abnormal), model.travel)
    assert [feature.healthy_median for feature in model.features] == pytest.approx(np.median(healthy, axis=0).tolist())
    assert [feature.relative for feature in model.features] == [False] * 6 + [True] * 6


def test_slides_of_too_few_cells_are_told_by_values_as_measured():
    cells = batch("normal", FEW[:4])
    values = (cells.slides.values[0][:4], *cells.slides.values[1:])
    cells = replace(cells, slides=replace(cells.slides, values=values))
    model, out = fit_classifier(cells, LINEAR)
    assert np.isnan(cells.seen(np.arange(60), model.travel)[:, 6:]).all()
    assert np.isfinite(out.margin).all()


def test_values_as_measured_that_tell_the_group_do_not_once_they_are_relative():
    cells = batch("normal", FEW)
    offset = 40.0 * np.arange(10)[:, None]
    values = tuple(own + shift for own, shift in zip(cells.slides.values, offset, strict=True))
    cells = replace(cells, matrix=np.concatenate(values), slides=replace(cells.slides, values=values))
    found = [column.name for column in group_columns(cells, TREES)]
    assert sorted(found) == [f"f{i}" for i in range(6)]
    # against the cells of one slide alone they tell it as well
    lent = replace(cells.slides, values=(values[0],) * 10)
    found = [column.name for column in group_columns(replace(cells, slides=lent), TREES)]
    assert sorted(found) == sorted(f"f{i}{tail}" for i in range(6) for tail in ("", " relative to the slide"))
