"""Intervals by resampling images (or cells, where there is one image). Floor 3: arrays only."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Statistic = Callable[[NDArray[np.int64]], Mapping[str, float]]


def bootstrap_intervals(
    n_items: int, statistic: Statistic, *, level: float = 0.95, n_draws: int = 1000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap intervals (Efron 1979, Ann Stat 7:1) of every figure that `statistic` gives.

    Parameters
    ----------
    n_items : int
        Units that are drawn with replacement: images, or cells. Under 2 every interval is NaN.
    statistic : callable
        From an (n_items,) array of indices to named figures.
    level : float
        Fraction that the interval covers.
    n_draws, seed : int
        Number of resamplings; the same seed gives the same interval.
    """
    whole = statistic(np.arange(n_items))
    if n_items < 2:
        return {name: (float("nan"), float("nan")) for name in whole}
    rng = np.random.default_rng(seed)
    draws = [statistic(rng.integers(0, n_items, n_items)) for _ in range(n_draws)]
    tails = (0.5 - level / 2, 0.5 + level / 2)
    out = {}
    with warnings.catch_warnings():
        # a figure that is NaN in every draw has a NaN interval, which says enough
        warnings.simplefilter("ignore", RuntimeWarning)
        for name in whole:
            low, high = np.nanquantile([draw[name] for draw in draws], tails)
            out[name] = (float(low), float(high))
    return out
