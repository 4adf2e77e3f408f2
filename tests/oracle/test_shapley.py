"""Shapley values against their definition: all subsets of features."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from cellseg.classify.calibration import Calibration
from cellseg.classify.shapley import shapley_trees
from cellseg.classify.supervised import Classifier, LinearMember, ModelFeature, TreeMember, explain, predict_margin
from cellseg.classify.trees import evaluate_trees
from cellseg.train.tree_arrays import tree_ensemble

NAN = float("nan")


def fitted(n_features=5, *, trees=12, leaves=9, seed=0):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(600, n_features))
    matrix[rng.random(matrix.shape) < 0.15] = NAN
    abnormal = np.nan_to_num(matrix[:, 0]) * np.nan_to_num(matrix[:, 1]) + np.nan_to_num(matrix[:, 2], nan=1.0) > 0.2
    fit = HistGradientBoostingClassifier(
        max_iter=trees, max_leaf_nodes=leaves, min_samples_leaf=5, early_stopping=False, random_state=seed
    ).fit(matrix, abnormal)
    return tree_ensemble(fit), matrix, abnormal


def by_all_subsets(margin, cell, background):
    """The definition: the mean over all orders of what a feature adds, each set of features evaluated by `margin`."""
    p = cell.size
    subsets = [chosen for size in range(p + 1) for chosen in combinations(range(p), size)]
    mixed = np.tile(background, (len(subsets), 1))
    for row, chosen in enumerate(subsets):
        mixed[row, list(chosen)] = cell[list(chosen)]
    worth = dict(zip(subsets, margin(mixed).tolist(), strict=True))
    return [
        sum(
            factorial(len(chosen)) * factorial(p - len(chosen) - 1) / factorial(p)
            * (worth[tuple(sorted((*chosen, feature)))] - worth[chosen])
            for chosen in subsets if feature not in chosen
        )
        for feature in range(p)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "background",
    [[0.1, -0.2, 0.3, 0.0, 0.5], [0.1, -0.2, NAN, 0.0, 0.5], [NAN] * 5],
    ids=["measured", "one missing", "all missing"],
)
@pytest.mark.parametrize("leaves", [2, 9, 31])
def test_trees(background, leaves):
    trees, matrix, _ = fitted(leaves=leaves)
    background = np.array(background)
    found = shapley_trees(trees, matrix[:25], background)
    for row in range(25):
        expected = by_all_subsets(lambda mixed: evaluate_trees(trees, mixed), matrix[row], background)
        # sums of 32 terms over 12 trees
        np.testing.assert_allclose(found[row], expected, rtol=0, atol=1e-10)


def test_deep_trees_that_ask_a_feature_often():
    _, matrix, abnormal = fitted(n_features=4)
    fit = HistGradientBoostingClassifier(
        max_iter=5, max_leaf_nodes=60, max_depth=14, min_samples_leaf=2, early_stopping=False, random_state=0
    ).fit(matrix, abnormal)
    trees, background = tree_ensemble(fit), np.array([0.0, NAN, -0.5, 0.5])
    found = shapley_trees(trees, matrix[:25], background)
    for row in range(25):
        expected = by_all_subsets(lambda mixed: evaluate_trees(trees, mixed), matrix[row], background)
        np.testing.assert_allclose(found[row], expected, rtol=0, atol=1e-10)


def test_whole_models():
    # clipped and filled lines, and trees; the median healthy cell lacks a feature
    trees, matrix, _ = fitted()
    rng = np.random.default_rng(1)
    line = LinearMember(rng.normal(size=5), np.full(5, 0.3), rng.normal(size=5), rng.normal(size=5), 0.7, 2.0)
    background = np.array([0.1, NAN, 0.3, 0.0, -0.5])
    model = Classifier(
        features=tuple(
            ModelFeature(f"f{at}", relative=False, healthy_median=value, healthy_low=-1.0, healthy_high=1.0)
            for at, value in enumerate(background.tolist())
        ),
        members=(line, TreeMember(trees)), member_weights=np.array([0.4, 0.6]), calibration=Calibration("platt"),
        prior=0.5, threshold=0.5, conformal_healthy=np.empty(0), conformal_healthy_weights=np.empty(0),
        conformal_abnormal=np.empty(0), conformal_abnormal_weights=np.empty(0), stain="he", classes={}, story={},
    )  # fmt: skip
    found = explain(model, matrix[:25])
    for row in range(25):
        expected = by_all_subsets(lambda mixed: predict_margin(model, mixed), matrix[row], background)
        np.testing.assert_allclose(found[row], expected, rtol=0, atol=1e-10)


def test_they_add_up():
    trees, matrix, _ = fitted(n_features=12, trees=40, leaves=15, seed=3)
    background = np.zeros(12)
    found = shapley_trees(trees, matrix, background)
    whole = evaluate_trees(trees, matrix) - evaluate_trees(trees, background[None])
    np.testing.assert_allclose(found.sum(axis=1), whole, rtol=0, atol=1e-10)
