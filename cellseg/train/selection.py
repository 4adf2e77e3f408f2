"""Which features a model may look at: those that were measured, and those that hold on every slide. Floor 4."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

_LEAST_CELLS = 5
"""Cells that a group needs of both classes to have a say."""


def usable_features(matrix: NDArray[np.float64], max_missing: float) -> NDArray[np.int64]:
    """The columns (rising, int64) that enough cells have, and that are not the same for all of them.

    Parameters
    ----------
    matrix : (n, p) ndarray of float64
        Features; NaN is not measured.
    max_missing : float
        Fraction of cells that may lack a column.
    """
    if not matrix.shape[0]:
        return np.empty(0, np.int64)
    known = np.isfinite(matrix)
    lowest = np.where(known, matrix, np.inf).min(axis=0)
    highest = np.where(known, matrix, -np.inf).max(axis=0)
    return np.flatnonzero((known.mean(axis=0) >= 1 - max_missing) & (lowest < highest))


def group_aurocs(
    matrix: NDArray[np.float64], abnormal: NDArray[np.bool_], groups: NDArray[np.str_]
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """How each feature alone ranks abnormal over healthy cells inside of each group: AUROC, ties one half.

    Parameters
    ----------
    matrix : (n, p) ndarray of float64
        Features; cells without one are left out of its figure.
    abnormal : (n,) ndarray of bool
        The truth.
    groups : (n,) ndarray of str
        Patient or slide.

    Returns
    -------
    auroc : (g, p) ndarray of float64
        NaN where a group has fewer than 5 cells of a class with the feature (Mann & Whitney 1947, Ann Math Stat 18:50).
    names : tuple of str
        The groups, sorted.
    """
    names = np.unique(groups)
    out = np.full((names.size, matrix.shape[1]), np.nan)
    for at, name in enumerate(names.tolist()):
        rows = groups == name
        if min(abnormal[rows].sum(), (~abnormal[rows]).sum()) >= _LEAST_CELLS:
            out[at] = _aurocs(matrix[rows], abnormal[rows])
    return out, tuple(names.tolist())


def _aurocs(matrix: NDArray[np.float64], abnormal: NDArray[np.bool_]) -> NDArray[np.float64]:
    known = np.isfinite(matrix)
    # what is missing ranks behind all that is known and leaves its ranks as they are
    ranks = np.where(known, rankdata(np.where(known, matrix, np.inf), axis=0), 0.0)
    n_abnormal = known[abnormal].sum(axis=0).astype(np.float64)
    n_healthy = known[~abnormal].sum(axis=0).astype(np.float64)
    n_abnormal[np.minimum(n_abnormal, n_healthy) < _LEAST_CELLS] = np.nan
    above = ranks[abnormal].sum(axis=0) - n_abnormal * (n_abnormal + 1) / 2
    return np.asarray(above / (n_abnormal * np.maximum(n_healthy, 1)), np.float64)


def stable_features(
    matrix: NDArray[np.float64], abnormal: NDArray[np.bool_], groups: NDArray[np.str_], *, share: float, strength: float
) -> NDArray[np.int64]:
    """The columns (rising, int64) that part abnormal from healthy cells in the same direction in most groups.

    A column is kept where at least `share` of the groups with both classes have an AUROC on one side of 0.5, and their
    mean is `strength` away from it. The strongest is kept in any case, and all of them where no group has both classes.

    Parameters
    ----------
    matrix : (n, p) ndarray of float64
        Features.
    abnormal : (n,) ndarray of bool
        The truth.
    groups : (n,) ndarray of str
        Patient or slide.
    share : float
        Fraction of groups that must agree.
    strength : float
        AUROC over 0.5, or under.
    """
    auroc, _ = group_aurocs(matrix, abnormal, groups)
    effect = auroc - 0.5
    known = np.isfinite(effect)
    n_groups = known.sum(axis=0)
    if not n_groups.any():
        return np.arange(matrix.shape[1])
    effect = np.where(known, effect, 0.0)
    mean = effect.sum(axis=0) / np.maximum(n_groups, 1)
    agree = (effect * np.sign(mean) > 0).sum(axis=0) / np.maximum(n_groups, 1)
    kept = (agree >= share) & (np.abs(mean) >= strength)
    kept[np.argmax(np.abs(mean))] = True
    return np.flatnonzero(kept)
