"""Ensembles of decision trees as plain arrays, and their sums. Floor 3: arrays only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray


@dataclass(frozen=True)
class TreeEnsemble:
    """The nodes of all trees behind each other; what a cell gets is `bias` and the value of one leaf of each tree.

    Attributes
    ----------
    roots : (t,) ndarray of int32
        First node of each tree.
    feature : (m,) ndarray of int32
        Which feature a node asks for; -1 in leaves.
    threshold : (m,) ndarray of float64
        Values up to it go left.
    missing_left : (m,) ndarray of bool
        Where NaN goes.
    left, right : (m,) ndarray of int32
        Nodes that follow.
    value : (m,) ndarray of float64
        Of leaves, the learning rate in it.
    bias : float
        What the sum starts from.
    """

    roots: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    missing_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[np.float64]
    bias: float


def evaluate_trees(trees: TreeEnsemble, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums (n,) of the leaves that the rows of `matrix` (n, p) float64 end in; each row's is independent of others."""
    return np.asarray(
        _evaluate(
            np.ascontiguousarray(matrix, np.float64), trees.roots, trees.feature, trees.threshold, trees.missing_left,
            trees.left, trees.right, trees.value, trees.bias,
        )
    )  # fmt: skip


@njit(nogil=True, cache=True)
def _evaluate(
    matrix: NDArray[np.float64], roots: NDArray[np.int32], feature: NDArray[np.int32], threshold: NDArray[np.float64],
    missing_left: NDArray[np.bool_], left: NDArray[np.int32], right: NDArray[np.int32], value: NDArray[np.float64],
    bias: float,
) -> NDArray[np.float64]:  # fmt: skip
    out = np.empty(matrix.shape[0])
    for row in range(matrix.shape[0]):
        total = bias
        for tree in range(roots.shape[0]):
            node = roots[tree]
            while feature[node] >= 0:
                x = matrix[row, feature[node]]
                goes_left = missing_left[node] if np.isnan(x) else x <= threshold[node]
                node = left[node] if goes_left else right[node]
            total += value[node]
        out[row] = total
    return out
