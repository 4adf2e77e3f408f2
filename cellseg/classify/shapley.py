"""What each feature contributed to a cell's log-odds: exact Shapley values against one healthy cell. Floor 3.

The worth of a set of features is the margin of a cell that has these features of its own and the others of the median
healthy cell (Lundberg et al. 2020, Nat Mach Intell 2:56, interventional, one background sample).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.classify.trees import TreeEnsemble

Floats = NDArray[np.float64]


def shapley_trees(trees: TreeEnsemble, matrix: Floats, background: Floats) -> Floats:
    """Shapley values (n, p) of the trees' sum for rows of `matrix` (n, p) against `background` (p,).

    They add up to the row's sum less that of the background. NaN is a value like others: not measured.

    Raises
    ------
    ValueError
        If the trees ask for more features than there are.
    """
    if min(matrix.shape[1], background.size) < trees.n_features:
        raise ValueError(f"a matrix of {matrix.shape[1]} features for trees that ask for {trees.n_features}")
    depth = _deepest(trees.roots, trees.feature, trees.left, trees.right)
    factorials = np.cumprod(np.concatenate([[1.0], np.arange(1.0, depth + 2)]))
    return np.asarray(
        _shapley(
            np.ascontiguousarray(matrix, np.float64), np.asarray(background, np.float64), trees.roots, trees.feature,
            trees.threshold, trees.missing_left, trees.left, trees.right, trees.value, depth, factorials,
        )
    )  # fmt: skip


@njit(nogil=True, cache=True)
def _deepest(
    roots: NDArray[np.int32], feature: NDArray[np.int32], left: NDArray[np.int32], right: NDArray[np.int32]
) -> int:
    """Nodes on the longest way from a root to a leaf."""
    most = 1
    stack, levels = np.empty(len(feature) + 1, np.int32), np.empty(len(feature) + 1, np.int64)
    for tree in range(len(roots)):
        top = 1
        stack[0], levels[0] = roots[tree], 1
        while top:
            top -= 1
            node, level = stack[top], levels[top]
            most = max(most, level)
            if feature[node] >= 0:
                stack[top], levels[top] = left[node], level + 1
                stack[top + 1], levels[top + 1] = right[node], level + 1
                top += 2
    return most


@njit(nogil=True, cache=True)
def _goes_left(x: float, threshold: float, missing_left: bool) -> bool:
    return missing_left if np.isnan(x) else x <= threshold


@njit(nogil=True, cache=True)
def _credit(
    out: Floats, path: NDArray[np.int32], n_path: int, side: NDArray[np.int8], n_cell: int, n_back: int, value: float,
    factorials: Floats,
) -> None:  # fmt: skip
    """Share a leaf's value out over the features that only one of cell and background reaches it by."""
    for k in range(n_path):
        if side[path[k]] == 1:
            out[path[k]] += factorials[n_cell - 1] * factorials[n_back] / factorials[n_cell + n_back] * value
        else:
            out[path[k]] -= factorials[n_cell] * factorials[n_back - 1] / factorials[n_cell + n_back] * value


@njit(nogil=True, cache=True)
def _shapley(
    matrix: Floats, background: Floats, roots: NDArray[np.int32], feature: NDArray[np.int32], threshold: Floats,
    missing_left: NDArray[np.bool_], left: NDArray[np.int32], right: NDArray[np.int32], value: Floats, depth: int,
    factorials: Floats,
) -> Floats:  # fmt: skip
    """Walk each tree along all ways that the cell or the background takes at the nodes.

    A way's features are those where only the cell (side 1) or only the background (side 2) goes along; a feature that
    met one side goes on with it. A leaf with s features of the cell and b of the background gives each of the former
    (s - 1)! b! / (s + b)! of its value and takes s! (b - 1)! / (s + b)! from each of the latter.
    """
    out = np.zeros(matrix.shape)
    side = np.zeros(matrix.shape[1], np.int8)
    path = np.empty(depth + 1, np.int32)
    stack, stage = np.empty(depth + 2, np.int32), np.empty(depth + 2, np.int8)
    added = np.empty(depth + 2, np.int8)
    for row in range(matrix.shape[0]):
        for tree in range(roots.shape[0]):
            top, n_path, n_cell, n_back = 0, 0, 0, 0
            stack[0], stage[0], added[0] = roots[tree], 0, 0
            while top >= 0:
                node = stack[top]
                f = feature[node]
                if f < 0:
                    _credit(out[row], path, n_path, side, n_cell, n_back, value[node], factorials)
                    top -= 1
                    continue
                if added[top]:
                    # back from a branch that had made its feature one side's
                    n_path -= 1
                    if side[f] == 1:
                        n_cell -= 1
                    else:
                        n_back -= 1
                    side[f] = 0
                    added[top] = 0
                if stage[top] == 2:
                    top -= 1
                    continue
                way_left = stage[top] == 0
                stage[top] += 1
                cell_goes = _goes_left(matrix[row, f], threshold[node], missing_left[node]) == way_left
                back_goes = _goes_left(background[f], threshold[node], missing_left[node]) == way_left
                if side[f] == 1:
                    back_goes = False
                    if not cell_goes:
                        continue
                elif side[f] == 2:
                    if not back_goes:
                        continue
                elif cell_goes != back_goes:
                    side[f] = 1 if cell_goes else 2
                    if cell_goes:
                        n_cell += 1
                    else:
                        n_back += 1
                    path[n_path] = f
                    n_path += 1
                    added[top] = 1
                elif not cell_goes:
                    continue
                top += 1
                stack[top] = left[node] if way_left else right[node]
                stage[top], added[top] = 0, 0
    return out
