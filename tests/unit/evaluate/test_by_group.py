"""Rows of groups, over groups and of classes."""

import numpy as np
import pytest

from cellseg.evaluate.by_group import (
    Draws,
    GroupedCells,
    WeakBounds,
    class_rows,
    figure_row,
    group_rows,
    mean_row,
    worst_row,
)
from cellseg.evaluate.verdict import FIGURES, judge_cells

DRAWS = Draws(50)


def grouped(rows):
    """Cells of rows (group, sample, class, status, probability); the class normal is healthy."""
    groups, samples, classes, status, probability = zip(*rows, strict=True)
    abnormal = np.array(classes) != "normal"
    cells = judge_cells(abnormal, np.array(status), np.zeros(len(rows)), np.array(probability, float))
    return GroupedCells(cells, np.array(groups), np.array(samples), np.array(classes))


GOOD = [
    ("a", "a1", "normal", "healthy", 0.1), ("a", "a1", "burr", "abnormal", 0.9),
    ("a", "a2", "normal", "healthy", 0.2), ("a", "a2", "burr", "abnormal", 0.8),
]  # fmt: skip
BAD = [
    ("b", "b1", "normal", "abnormal", 0.7), ("b", "b1", "burr", "uncertain", 0.6),
    ("b", "b1", "disc", "healthy", 0.3), ("b", "b1", "normal", "healthy", 0.4),
]  # fmt: skip
ALONE = [("c", "c1", "burr", "abnormal", 0.9), ("c", "c2", "burr", "excluded", 0.1)]


def test_a_row_a_group_with_intervals_over_its_samples_or_cells():
    a, b, c = group_rows(grouped(BAD + GOOD + ALONE), DRAWS)
    assert [row["group"] for row in (a, b, c)] == ["a", "b", "c"]
    assert [row["interval_over"] for row in (a, b, c)] == ["samples", "cells", "samples"]
    assert (a["auroc"], a["balanced_accuracy"], a["n_samples"], a["n_excluded"]) == (1.0, 1.0, 2, 0)
    # abnormal 0.6, 0.3 against healthy 0.7, 0.4: one of four pairs in order
    assert (b["auroc"], b["sensitivity"], b["specificity"]) == (0.25, 0.5, 0.5)
    assert b["share_uncertain"] == 0.25
    assert b["coverage"] == 0.5
    assert np.isnan(c["auroc"])
    assert (c["n_cells"], c["n_excluded"], c["sensitivity"]) == (1, 1, 1.0)


def test_the_mean_counts_groups_alike_and_leaves_out_those_without_the_figure():
    rows = group_rows(grouped(GOOD * 20 + BAD + ALONE), DRAWS)
    mean = mean_row(rows, DRAWS)
    assert mean["auroc"] == pytest.approx((1 + 0.25) / 2)
    assert mean["sensitivity"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert (mean["auroc_low"], mean["auroc_high"]) == (0.25, 1.0)
    assert (mean["n_groups"], mean["n_cells"], mean["n_excluded"]) == (3, 85, 1)


def test_the_worst_group_of_each_figure_is_named():
    worst = worst_row(group_rows(grouped(GOOD + BAD + ALONE), DRAWS))
    assert (worst["auroc"], worst["auroc_group"]) == (0.25, "b")
    # more is worse
    assert (worst["share_uncertain"], worst["share_uncertain_group"]) == (0.25, "b")
    assert (worst["brier_group"], worst["ece_group"]) == ("b", "b")
    worst = worst_row(group_rows(grouped(ALONE), DRAWS))
    assert np.isnan(worst["auroc"])
    assert worst["auroc_group"] == ""


def test_all_cells_as_one_with_intervals_over_groups():
    row = figure_row(grouped(GOOD + BAD), "all cells", DRAWS)
    assert row["interval_over"] == "groups"
    assert row["n_cells"] == 8
    assert row["auroc_low"] < row["auroc"] < row["auroc_high"]
    assert {f"{name}_low" for name in FIGURES} <= row.keys()


def test_classes_against_the_healthy_cells():
    normal, burr, disc = class_rows(grouped(GOOD + BAD + ALONE), DRAWS)
    assert [row["class"] for row in (normal, burr, disc)] == ["normal", "burr", "disc"]
    assert [row["side"] for row in (normal, burr, disc)] == ["healthy", "abnormal", "abnormal"]
    # healthy cells say 0.1, 0.2, 0.7, 0.4; burr 0.9, 0.8, 0.6, 0.9
    assert burr["auroc"] == pytest.approx(15 / 16)
    # of its own group: a 1.0 (two cells), b 0.5 (one cell); c has no healthy cell
    assert burr["auroc_in_groups"] == pytest.approx(2.5 / 3)
    assert (burr["n_cells"], burr["n_excluded"], burr["n_groups"], burr["called_right"]) == (4, 1, 3, 1.0)
    assert burr["share_uncertain"] == 0.25
    assert (disc["auroc"], disc["called_right"], disc["interval_over"]) == (0.5, 0.0, "cells")
    assert normal["called_right"] == 0.75
    assert np.isnan(normal["auroc"])
    assert (burr["interval_over"], normal["coverage"], disc["coverage"]) == ("groups", 0.75, 0.0)


def test_weak_classes_are_those_under_a_bound():
    data = grouped(GOOD + BAD)
    assert [row["weak"] for row in class_rows(data, DRAWS)] == [False, False, True]
    assert [row["weak"] for row in class_rows(data, DRAWS, WeakBounds(0.8, 0.5))] == [True, False, True]
    assert [row["weak"] for row in class_rows(data, DRAWS, WeakBounds(0.0, 0.95))] == [False, True, True]


def test_classes_without_judged_cells_or_names():
    only_excluded = grouped([*GOOD, ("a", "a1", "disc", "excluded", 0.5)])
    disc = class_rows(only_excluded, DRAWS)[-1]
    assert (disc["class"], disc["n_cells"], disc["n_excluded"], disc["weak"]) == ("disc", 0, 1, False)
    assert np.isnan(disc["auroc"]) and np.isnan(disc["called_right"])
    data = grouped(GOOD)
    nameless = GroupedCells(data.cells, data.groups, data.samples, np.full(4, ""))
    assert class_rows(nameless, DRAWS) == []
