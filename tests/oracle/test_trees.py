"""Trees as arrays against scikit-learn, Shapley values against all subsets of features."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from cellseg.classify.shapley import shapley_trees
from cellseg.classify.trees import evaluate_trees
from cellseg.train.tree_arrays import tree_ensemble


def fitted(n_features=5, *, missing=0.15, trees=12, seed=0):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(600, n_features))
    matrix[rng.random(matrix.shape) < missing] = np.nan
    abnormal = np.nan_to_num(matrix[:, 0]) * np.nan_to_num(matrix[:, 1]) + np.nan_to_num(matrix[:, 2], nan=1.0) > 0.2
    fit = HistGradientBoostingClassifier(
        max_iter=trees, max_leaf_nodes=9, min_samples_leaf=5, early_stopping=False, random_state=seed
    ).fit(matrix, abnormal)
    return fit, matrix


@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_sums_are_scikit_learns(missing):
    fit, matrix = fitted(missing=missing)
    trees = tree_ensemble(fit)
    assert trees.roots.size == 12
    # the same leaves, summed in the same order
    np.testing.assert_allclose(evaluate_trees(trees, matrix), fit.decision_function(matrix), rtol=0, atol=1e-12)


def test_a_cell_is_the_same_in_any_company():
    fit, matrix = fitted()
    trees = tree_ensemble(fit)
    alone = np.concatenate([evaluate_trees(trees, matrix[i : i + 1]) for i in range(50)])
    assert np.array_equal(alone, evaluate_trees(trees, matrix)[:50])


@pytest.mark.parametrize("unknown", [False, True])
def test_shapley_values_are_those_of_all_subsets(unknown):
    fit, matrix = fitted(n_features=5)
    trees = tree_ensemble(fit)
    background = np.array([0.1, -0.2, np.nan if unknown else 0.3, 0.0, 0.5])
    found = shapley_trees(trees, matrix[:20], background)
    p = matrix.shape[1]
    for row in range(20):
        worth = {}
        for size in range(p + 1):
            for chosen in combinations(range(p), size):
                mixed = background.copy()
                mixed[list(chosen)] = matrix[row, list(chosen)]
                worth[chosen] = evaluate_trees(trees, mixed[None])[0]
        for feature in range(p):
            others = [f for f in range(p) if f != feature]
            expected = sum(
                factorial(size) * factorial(p - size - 1) / factorial(p)
                * (worth[tuple(sorted((*chosen, feature)))] - worth[chosen])
                for size in range(p)
                for chosen in combinations(others, size)
            )  # fmt: skip
            # sums of 32 terms
            assert found[row, feature] == pytest.approx(expected, abs=1e-10)


def test_shapley_values_add_up():
    fit, matrix = fitted(n_features=12, trees=40, seed=3)
    trees = tree_ensemble(fit)
    background = np.zeros(12)
    found = shapley_trees(trees, matrix, background)
    whole = evaluate_trees(trees, matrix) - evaluate_trees(trees, background[None])
    np.testing.assert_allclose(found.sum(axis=1), whole, rtol=0, atol=1e-10)
