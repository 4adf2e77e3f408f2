"""What a ranking of cells would reach if their labels said nothing. Floor 3: arrays only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from cellseg.evaluate.clustered import Floats, percentile_interval


class Permuted(NamedTuple):
    """Mean AUROC of groups as it is (`observed`) and with labels shuffled: mean, 95 % interval, and p-value.

    The p-value is the share of shuffles, itself counted among them, that do as well (Phipson & Smyth 2010, Stat Appl
    Genet Mol Biol 9:39).
    """

    observed: float
    mean: float
    low: float
    high: float
    p_value: float


def permuted_auroc(
    score: Floats, abnormal: NDArray[np.bool_], groups: NDArray[np.str_], n: int = 1000, seed: int = 0
) -> Permuted:
    """What the mean AUROC of groups would be if labels said nothing: they are shuffled inside of each group, n times.

    It is that of the groups' means, since over cells of all groups together a score that only knows the group would
    still do better than 0.5. The models that gave the scores stay as they are.

    Parameters
    ----------
    score : (m,) ndarray of float64
        Higher is more abnormal; NaN is left out.
    abnormal : (m,) ndarray of bool
        The truth.
    groups : (m,) ndarray of str
        Patient or slide; those with one class are left out. All NaN where none is left.
    n, seed : int
        Shuffles and their seed.
    """
    rng = np.random.default_rng(seed)
    shuffled, observed = [], []
    known = np.isfinite(score)
    for group in np.unique(groups):
        rows = known & (groups == group)
        n_positive, n_cells = int(abnormal[rows].sum()), int(rows.sum())
        if not 0 < n_positive < n_cells:
            continue
        ranks = rankdata(score[rows])
        sums = np.array([rng.permutation(ranks)[:n_positive].sum() for _ in range(n)])
        sums = np.append(sums, ranks[abnormal[rows]].sum())
        areas = (sums - n_positive * (n_positive + 1) / 2) / (n_positive * (n_cells - n_positive))
        shuffled.append(areas[:-1])
        observed.append(areas[-1])
    if not observed:
        return Permuted(*[float("nan")] * 5)
    real, means = float(np.mean(observed)), np.mean(shuffled, axis=0)
    as_good = int((means >= real - 1e-12).sum())
    return Permuted(real, float(means.mean()), *percentile_interval(means), (as_good + 1) / (n + 1))
