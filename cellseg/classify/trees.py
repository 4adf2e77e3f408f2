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

    def __post_init__(self) -> None:
        nodes = (self.feature, self.threshold, self.missing_left, self.left, self.right, self.value)
        if any(array.ndim != 1 or array.size != self.feature.size for array in nodes):
            raise ValueError("trees whose arrays of nodes differ in length")
        inner = np.flatnonzero(self.feature >= 0)
        # children come behind their parent: the kernels stay inside of the arrays and come to an end
        for child in (self.left[inner], self.right[inner]):
            if ((child <= inner) | (child >= self.feature.size)).any():
                raise ValueError("trees with a node that does not come behind its parent")
        if ((self.roots < 0) | (self.roots >= self.feature.size)).any():
            raise ValueError("trees with a root that is no node")

    @property
    def n_features(self) -> int:
        """Features that a matrix must have at least."""
        return int(self.feature.max(initial=-1)) + 1


def evaluate_trees(trees: TreeEnsemble, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums (n,) of the leaves that the rows of `matrix` (n, p) float64 end in; each row's is independent of others.

    Raises
    ------
    ValueError
        If the trees ask for more features than there are.
    """
    if matrix.shape[1] < trees.n_features:
        raise ValueError(f"a matrix of {matrix.shape[1]} features for trees that ask for {trees.n_features}")
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
