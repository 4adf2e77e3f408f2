"""Trees as arrays against scikit-learn's own predictions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from cellseg.classify.trees import evaluate_trees
from cellseg.errors import ModelError
from cellseg.train.tree_arrays import tree_ensemble


def cells(n_features=5, *, missing=0.15, seed=0):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(600, n_features))
    matrix[rng.random(matrix.shape) < missing] = np.nan
    abnormal = np.nan_to_num(matrix[:, 0]) * np.nan_to_num(matrix[:, 1]) + np.nan_to_num(matrix[:, 2], nan=1.0) > 0.2
    return matrix, abnormal


def fitted(**changes):
    matrix, abnormal = cells(**changes)
    fit = HistGradientBoostingClassifier(
        max_iter=12, max_leaf_nodes=9, min_samples_leaf=5, early_stopping=False, random_state=0
    ).fit(matrix, abnormal)
    return fit, matrix


@pytest.mark.parametrize("missing", [0.0, 0.15])
def test_sums_are_scikit_learns(missing):
    fit, matrix = fitted(missing=missing)
    trees = tree_ensemble(fit)
    assert trees.roots.size == 12
    # the same leaves, summed in the same order
    np.testing.assert_allclose(evaluate_trees(trees, matrix), fit.decision_function(matrix), rtol=0, atol=1e-12)


def test_missing_values_that_training_never_saw():
    fit, matrix = fitted(missing=0.0)
    few = matrix.copy()
    few[::3, 1] = np.nan
    np.testing.assert_allclose(
        evaluate_trees(tree_ensemble(fit), few), fit.decision_function(few), rtol=0, atol=1e-12
    )  # fmt: skip


def beside(thresholds):
    """Values at thresholds, and the next ones in float64 and in float32, and half-way between those."""
    single = thresholds.astype(np.float32)
    around = [np.nextafter(single, np.float32(side)).astype(np.float64) for side in (-np.inf, np.inf)]
    values = [thresholds, single.astype(np.float64), *around]
    values += [(single.astype(np.float64) + one) / 2 for one in around]
    every = np.concatenate(values)
    return np.unique(np.concatenate([every, np.nextafter(every, -np.inf), np.nextafter(every, np.inf)]))


def test_histogram_trees_compare_float64():
    fit, matrix = fitted(missing=0.0)
    trees = tree_ensemble(fit)
    for feature in np.unique(trees.feature[trees.feature >= 0]).tolist():
        values = beside(trees.threshold[trees.feature == feature])
        probe = np.tile(matrix[:1], (values.size, 1))
        probe[:, feature] = values
        np.testing.assert_allclose(evaluate_trees(trees, probe), fit.decision_function(probe), rtol=0, atol=1e-12)


def test_a_cell_is_the_same_in_any_company():
    fit, matrix = fitted()
    trees = tree_ensemble(fit)
    alone = np.concatenate([evaluate_trees(trees, matrix[i : i + 1]) for i in range(50)])
    assert np.array_equal(alone, evaluate_trees(trees, matrix)[:50])


class TestRefused:
    def test_three_classes(self):
        matrix, _ = cells(missing=0.0)
        three = np.arange(len(matrix)) % 3
        fit = HistGradientBoostingClassifier(max_iter=2).fit(matrix, three)
        with pytest.raises(ModelError, match="trees of 3 classes; expected two"):
            tree_ensemble(fit)

    def test_categories(self):
        matrix, abnormal = cells(missing=0.0)
        matrix[:, 0] = np.arange(len(matrix)) % 7
        abnormal = abnormal ^ np.isin(matrix[:, 0], [1, 4])
        fit = HistGradientBoostingClassifier(max_iter=5, categorical_features=[0]).fit(matrix, abnormal)
        with pytest.raises(ModelError, match="split by categories"):
            tree_ensemble(fit)
