"""Intervals of figures of cells that come in clusters: whole groups are drawn, not cells. Floor 3: arrays only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Level = Literal["groups", "samples", "cells"]
_CHUNK = 2_000_000
"""Numbers that one array of drawn counts may hold, so that memory stays bounded for any number of cells."""


class Units(NamedTuple):
    """What a bootstrap draws: `code` (n,) int64, the unit 0..n_units - 1 of each cell; `over` says what a unit is."""

    code: Ints
    n_units: int
    over: Level


def find_units(groups: NDArray[np.str_], samples: NDArray[np.str_]) -> Units:
    """Groups where there are two or more; in one group its samples (fields); in one sample its cells.

    Cells of one slide share stain and focus, and those of one field their neighbours, so that cells drawn one by one
    would promise more than a new slide keeps (Field & Welsh 2007, J R Stat Soc B 69:369).

    Parameters
    ----------
    groups, samples : (n,) ndarray of str
        Patient or slide, and sample, of each cell. May be empty: no units.
    """
    for names, over in ((groups, "groups"), (samples, "samples")):
        known, code = np.unique(names, return_inverse=True)
        if known.size > 1:
            return Units(code.astype(np.int64), int(known.size), "groups" if over == "groups" else "samples")
    return Units(np.arange(groups.size, dtype=np.int64), int(groups.size), "cells")


def draw_counts(n_units: int, n_draws: int, seed: int, *, width: int = 0) -> Iterator[Floats]:
    """How often each unit is in each bootstrap draw of n_units with replacement: parts of (n_draws, n_units) float64.

    Efron 1979, Ann Stat 7:1.

    Parameters
    ----------
    n_units, n_draws, seed : int
        The same seed draws the same, whatever the size of the parts.
    width : int
        Numbers per draw that whoever uses a part will hold, where these are more than n_units.
    """
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // max(n_units, width, 1))
    for start in range(0, n_draws, step):
        rows = min(step, n_draws - start)
        drawn = rng.integers(0, n_units, (rows, n_units)) + np.arange(rows)[:, None] * n_units
        yield np.bincount(drawn.ravel(), minlength=rows * n_units).reshape(rows, n_units).astype(np.float64)


def percentile_interval(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """The central part of the draws of a figure, those that are NaN left out; NaN where none is left.

    Parameters
    ----------
    values : (n_draws,) ndarray of float64
        The figure in each draw.
    level : float
        Fraction of the draws that lie inside.
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def mean_of_draws(values: Floats, *, n_draws: int, seed: int) -> Floats:
    """Means of one figure over groups drawn with replacement, (n_draws,) float64; groups without it (NaN) left out.

    Parameters
    ----------
    values : (n_groups,) ndarray of float64
        The figure of each group.
    """
    known = values[np.isfinite(values)]
    if known.size < 2:
        return np.full(n_draws, np.nan)
    return np.concatenate([part @ known / known.size for part in draw_counts(known.size, n_draws, seed)])


def nan_mean(values: Floats) -> float:
    """Mean of what is no NaN; NaN where there is nothing."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
