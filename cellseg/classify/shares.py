"""The share of abnormal cells and how well it is known when cells are alike in places. Floor 3: arrays in, figures out.

Cells of one field, slide or patient resemble each other, so that many of them say less than as many independent ones.
How much less is the design effect: how many times greater the variance of the share is than that of independent cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

FIELD_SIDES_UM = (2000.0, 1400.0, 1000.0, 700.0, 500.0, 350.0, 250.0, 180.0, 125.0, 90.0, 60.0, 45.0, 30.0)
"""Sides of the square blocks that cells of an image are grouped by, um; the first that gives `MIN_FIELDS` is taken."""
MIN_FIELDS = 10
"""Blocks with cells that an image should have. Wide blocks count best what is alike over long distances, and ten of
them are enough for Student's t to make up for their number."""
LEVEL = 0.95
_RESAMPLES = 2000
_NUMBERS = 1_000_000
"""Draws of clusters held at once: 24 MB."""


@dataclass(frozen=True)
class Share:
    """A share with its 95 % interval.

    `n_clusters` is how many clusters had a cell, `design_effect` (>= 1) what their likeness costs; NaN with one
    cluster, and where all cells are the same, because then nothing tells it. All NaN without cells.
    """

    share: float
    low: float
    high: float
    n_clusters: int
    design_effect: float


def group_into_fields(y_um: NDArray[np.float64], x_um: NDArray[np.float64]) -> tuple[NDArray[np.int64], float]:
    """Square blocks that cells lie in, counted from the image's corner, as wide as leaves `MIN_FIELDS` with cells.

    Parameters
    ----------
    y_um, x_um : (n,) ndarray of float64
        Centroids, um.

    Returns
    -------
    field : (n,) ndarray of int64
        The block of each cell, 0, 1, ... in raster order of the blocks with cells.
    side_um : float
        The first of `FIELD_SIDES_UM` at which cells lie in `MIN_FIELDS` blocks or more, the last where none does; NaN
        without cells.
    """
    if not y_um.size:
        return np.zeros(0, np.int64), float("nan")
    for side_um in FIELD_SIDES_UM:
        rows, columns = (np.floor(at / side_um).astype(np.int64) for at in (y_um, x_um))
        blocks, field = np.unique(rows * (columns.max() - columns.min() + 1) + columns, return_inverse=True)
        if blocks.size >= MIN_FIELDS:
            break
    return field.astype(np.int64), side_um


def estimate_share(n_abnormal: NDArray[np.int64], n_decided: NDArray[np.int64], *, seed: int = 0) -> Share:
    """The share of abnormal cells of all clusters together, with an interval that counts cells as clustered.

    The interval is Wilson's with the effective number of cells (their number over the design effect) and the quantile
    of Student's t for the number of clusters. The design effect is the greater of two: that of a bootstrap over
    clusters, and that of the intracluster correlation, which holds up better where few clusters have abnormal cells.
    Limits of the percentile and BCa bootstraps were tried instead: with ten clusters they are too narrow, and where no
    cell is abnormal they are empty. One cluster tells no likeness: the interval is Wilson's for independent cells.

    Parameters
    ----------
    n_abnormal, n_decided : (g,) ndarray of int64
        Abnormal and decided cells of each cluster; those without decided cells count for nothing.
    seed : int
        Of the bootstrap; the same seed gives the same figures.

    References
    ----------
    Wilson 1927, J Am Stat Assoc 22:209; Franco et al. 2019, J Surv Stat Methodol 7:334 (his interval with an effective
    number); Korn & Graubard 1998, Surv Methodol 24:193 (with few clusters); Efron 1979, Ann Stat 7:1 (bootstrap).
    """
    there = n_decided > 0
    abnormal, decided = n_abnormal[there].astype(np.float64), n_decided[there].astype(np.float64)
    nan = float("nan")
    if not decided.size:
        return Share(nan, nan, nan, 0, nan)
    share, n_clusters, effect = float(abnormal.sum() / decided.sum()), decided.size, nan
    quantile = float(ndtri(0.5 + LEVEL / 2))
    if n_clusters > 1:
        quantile = float(stdtrit(n_clusters - 1, 0.5 + LEVEL / 2))
        if 0 < share < 1:
            effect = max(_bootstrap_effect(abnormal, decided, seed), _correlation_effect(abnormal, decided))
    low, high = _wilson(share, decided.sum() / (1.0 if np.isnan(effect) else effect), quantile)
    return Share(share, low, high, n_clusters, effect)


def wilson_interval(n_abnormal: int, n_decided: int) -> tuple[float, float]:
    """The 95 % interval of a share when cells are independent (Wilson 1927, J Am Stat Assoc 22:209); NaN of none."""
    if not n_decided:
        return float("nan"), float("nan")
    return _wilson(n_abnormal / n_decided, n_decided, float(ndtri(0.5 + LEVEL / 2)))


def _wilson(share: float, n: float, quantile: float) -> tuple[float, float]:
    prior = quantile**2 / n
    half = quantile * np.sqrt(share * (1 - share) / n + prior / (4 * n))
    ends = ((share + prior / 2 + sign * half) / (1 + prior) for sign in (-1, 1))
    low, high = (min(max(float(end), 0.0), 1.0) for end in ends)
    return low, high


def _bootstrap_effect(abnormal: NDArray[np.float64], decided: NDArray[np.float64], seed: int) -> float:
    """Variance of the share over draws of as many clusters with replacement, over that of independent cells."""
    rng = np.random.default_rng(seed)
    n_clusters, share = decided.size, abnormal.sum() / decided.sum()
    shares = np.empty(_RESAMPLES)
    at_once = max(_NUMBERS // n_clusters, 1)
    for first in range(0, _RESAMPLES, at_once):
        drawn = rng.integers(0, n_clusters, (min(at_once, _RESAMPLES - first), n_clusters))
        shares[first : first + at_once] = abnormal[drawn].sum(axis=1) / decided[drawn].sum(axis=1)
    variance = shares.var() * n_clusters / (n_clusters - 1)
    return float(variance * decided.sum() / (share * (1 - share)))


def _correlation_effect(abnormal: NDArray[np.float64], decided: NDArray[np.float64]) -> float:
    """1 + (m - 1) rho: rho (>= 0) of the analysis of variance, m the cells in the cluster of the average cell.

    Donner 1986, Int Stat Rev 54:67; Kish 1965, Survey Sampling, for the design effect.
    """
    n_cells, n_clusters = decided.sum(), decided.size
    if n_cells == n_clusters:
        return 1.0
    shares, share = abnormal / decided, abnormal.sum() / decided.sum()
    between = (decided * (shares - share) ** 2).sum() / (n_clusters - 1)
    within = (decided * shares * (1 - shares)).sum() / (n_cells - n_clusters)
    own = (decided**2).sum() / n_cells
    typical = (n_cells - own) / (n_clusters - 1)
    rho = (between - within) / (between + (typical - 1) * within)
    return float(1 + (own - 1) * max(rho, 0.0))
