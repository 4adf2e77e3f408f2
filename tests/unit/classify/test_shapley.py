"""Shapley values by hand, on trees with known games."""

from __future__ import annotations

import numpy as np
import pytest

from cellseg.classify.shapley import shapley_trees
from cellseg.classify.trees import TreeEnsemble

NAN = float("nan")


def chain(features, *, value=6.0):
    """`value` where each of these features in turn is over 0, else 0: a tree of one leaf that counts. NaN goes left."""
    n = len(features)
    size = 2 * n + 1
    feature, value_of = np.full(size, -1, np.int32), np.zeros(size)
    left, right = np.zeros(size, np.int32), np.zeros(size, np.int32)
    for depth, one in enumerate(features):
        feature[2 * depth], left[2 * depth], right[2 * depth] = one, 2 * depth + 1, 2 * depth + 2
    value_of[-1] = value
    missing_left = feature >= 0
    return TreeEnsemble(np.zeros(1, np.int32), feature, np.zeros(size), missing_left, left, right, value_of, 1.0)


def test_one_split_gives_all_to_its_feature():
    found = shapley_trees(chain([1]), np.array([[5.0, 2.0, 5.0], [5.0, -1.0, 5.0]]), np.array([-1.0, -1.0, -1.0]))
    assert found.tolist() == [[0.0, 6.0, 0.0], [0.0, 0.0, 0.0]]


def test_features_that_are_needed_together_share_alike():
    # neither alone moves the sum
    found = shapley_trees(chain([0, 1, 2]), np.ones((1, 3)), -np.ones(3))
    assert found[0].tolist() == pytest.approx([2.0, 2.0, 2.0])


def test_features_that_are_enough_alone_by_hand():
    # background reaches the leaf by 1 and 2, the cell by 0: worth 6 of {0} alone, 0 else; orders with 0 first are 1/3
    found = shapley_trees(chain([0, 1, 2]), np.array([[1.0, -1.0, -1.0]]), np.array([-1.0, 1.0, 1.0]))
    assert found[0].tolist() == pytest.approx([2.0, -1.0, -1.0])


def test_a_feature_asked_twice_counts_once():
    found = shapley_trees(chain([0, 1, 0]), np.ones((1, 2)), -np.ones(2))
    assert found[0].tolist() == pytest.approx([3.0, 3.0])


def test_missing_values_are_values():
    # NaN goes to the leaf that counts nothing, on either side
    assert shapley_trees(chain([0]), np.array([[1.0]]), np.array([NAN])).tolist() == [[6.0]]
    assert shapley_trees(chain([0]), np.array([[NAN]]), np.array([1.0])).tolist() == [[-6.0]]
    assert shapley_trees(chain([0]), np.array([[NAN]]), np.array([NAN])).tolist() == [[0.0]]


def test_one_cell_does_not_touch_the_next():
    cells = np.random.default_rng(0).normal(size=(30, 3))
    background = np.array([-1.0, 1.0, -1.0])
    alone = np.concatenate([shapley_trees(chain([0, 1, 2]), cell[None], background) for cell in cells])
    assert np.array_equal(alone, shapley_trees(chain([0, 1, 2]), cells, background))


def test_long_ways_keep_their_precision():
    # 40 features on one way: 1 / 40 each
    found = shapley_trees(chain(range(40), value=40.0), np.ones((1, 40)), -np.ones(40))
    np.testing.assert_allclose(found, 1.0, rtol=1e-12)


def test_no_cells_and_too_few_features():
    assert shapley_trees(chain([0]), np.empty((0, 1)), np.zeros(1)).shape == (0, 1)
    with pytest.raises(ValueError, match="1 features for trees that ask for 3"):
        shapley_trees(chain([0, 2]), np.zeros((1, 1)), np.zeros(1))
