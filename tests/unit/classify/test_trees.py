"""Trees by hand: which leaf a value ends in, and arrays that are no trees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cellseg.classify.trees import TreeEnsemble, evaluate_trees

NAN = float("nan")


def two_trees(**changes):
    """A split of feature 0 at 1.5 into 1 and, by feature 1 at 0, into 10 and 100 (NaN left); and a leaf of 0.5."""
    made = TreeEnsemble(
        roots=np.array([0, 5], np.int32),
        feature=np.array([0, -1, 1, -1, -1, -1], np.int32),
        threshold=np.array([1.5, 0, 0.0, 0, 0, 0]),
        missing_left=np.array([False, False, True, False, False, False]),
        left=np.array([1, 0, 3, 0, 0, 0], np.int32),
        right=np.array([2, 0, 4, 0, 0, 0], np.int32),
        value=np.array([0, 1.0, 0, 10.0, 100.0, 0.5]),
        bias=-2.0,
    )
    return replace(made, **changes)


def test_sums_of_leaves_by_hand():
    cells = np.array([[1.5, 9.0], [np.nextafter(1.5, 2), 0.0], [2.0, 0.1], [NAN, 0.1], [NAN, NAN], [1.0, NAN]])
    # at the threshold goes left; NaN of feature 0 goes right, of feature 1 left
    assert evaluate_trees(two_trees(), cells).tolist() == [-0.5, 8.5, 98.5, 98.5, 8.5, -0.5]


def test_layout_of_the_matrix_does_not_matter():
    cells = np.asfortranarray(np.random.default_rng(0).normal(1.5, 1, (20, 2)))
    assert np.array_equal(evaluate_trees(two_trees(), cells), evaluate_trees(two_trees(), cells.copy("C")))
    assert evaluate_trees(two_trees(), np.array([[2, 1]])).tolist() == [98.5]


def test_no_cells_and_no_trees():
    assert evaluate_trees(two_trees(), np.empty((0, 2))).shape == (0,)
    none = TreeEnsemble(
        roots=np.empty(0, np.int32), feature=np.empty(0, np.int32), threshold=np.empty(0),
        missing_left=np.empty(0, bool), left=np.empty(0, np.int32), right=np.empty(0, np.int32), value=np.empty(0),
        bias=3.0,
    )  # fmt: skip
    assert none.n_features == 0
    assert evaluate_trees(none, np.zeros((2, 1))).tolist() == [3.0, 3.0]


def test_too_few_features_are_refused():
    assert two_trees().n_features == 2
    with pytest.raises(ValueError, match="1 features for trees that ask for 2"):
        evaluate_trees(two_trees(), np.zeros((3, 1)))


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("left", [0, 0, 3, 0, 0, 0], "behind its parent"),
        ("right", [2, 0, 1, 0, 0, 0], "behind its parent"),
        ("right", [6, 0, 4, 0, 0, 0], "behind its parent"),
        ("roots", [0, 6], "a root that is no node"),
        ("roots", [-1, 5], "a root that is no node"),
        ("left", [1, 0, 3], "differ in length"),
    ],
)
def test_arrays_that_are_no_trees_are_refused(name, values, words):
    # a kernel would run in circles or read outside of the arrays
    with pytest.raises(ValueError, match=words):
        two_trees(**{name: np.array(values, np.int32)})
