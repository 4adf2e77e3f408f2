"""Whether a probability means what it says: bins, expected calibration error, Brier score. Floor 3: arrays only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellseg.evaluate.clustered import Units, draw_counts, percentile_interval

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
N_BINS = 10


@dataclass(frozen=True)
class CalibrationCurve:
    """Cells in bins of probability, empty bins left out; all arrays (k,).

    `low`, `high` are the bin's edges, `n_cells` and `n_abnormal` what lies in it, `mean_probability` what was promised
    and `share_abnormal` what came, with the 95 % interval `share_low`, `share_high` (NaN for one unit).
    """

    low: Floats
    high: Floats
    n_cells: NDArray[np.int64]
    n_abnormal: NDArray[np.int64]
    mean_probability: Floats
    share_abnormal: Floats
    share_low: Floats
    share_high: Floats


def equal_width_edges(n_bins: int = N_BINS) -> Floats:
    """Edges (n_bins + 1,) of bins of one width from 0 to 1."""
    return np.linspace(0, 1, n_bins + 1)


def equal_count_edges(probability: Floats, n_bins: int = N_BINS) -> Floats:
    """Edges from 0 to 1 of bins with about as many cells each; fewer bins where many cells share one probability.

    Parameters
    ----------
    probability : (n,) ndarray of float64
        NaN is left out; without any there is one bin from 0 to 1.
    """
    known = probability[np.isfinite(probability)]
    if not known.size:
        return np.array([0.0, 1.0])
    inner = np.quantile(known, np.arange(1, n_bins) / n_bins)
    return np.unique(np.concatenate([[0.0], inner, [1.0]]))


def bin_of(probability: Floats, edges: Floats) -> NDArray[np.int64]:
    """Bin of each probability, (n,) int64; a probability on an edge is in the bin under it."""
    return np.searchsorted(edges[1:-1], probability, side="left").astype(np.int64)


def bin_errors(
    n_abnormal: Floats, n_healthy: Floats, p_abnormal: Floats, p_healthy: Floats, *, balanced: bool = False
) -> Floats:
    """Expected calibration error of sums over bins: mean of |promised - true share|, weighted by cells.

    Naeini, Cooper & Hauskrecht 2015, AAAI: 2901.

    Parameters
    ----------
    n_abnormal, n_healthy : (..., k) ndarray of float64
        Cells of both kinds in each of k bins.
    p_abnormal, p_healthy : (..., k) ndarray of float64
        Sum of their probabilities of being abnormal.
    balanced : bool
        True: both kinds count alike in sum, as probabilities at equal odds of both have it; NaN where one is missing.

    Returns
    -------
    (...) ndarray of float64
        NaN without cells.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        if not balanced:
            apart = np.abs(n_abnormal - p_abnormal - p_healthy).sum(axis=-1)
            return np.asarray(apart / (n_abnormal + n_healthy).sum(axis=-1), np.float64)
        of_abnormal = (n_abnormal - p_abnormal) / n_abnormal.sum(axis=-1, keepdims=True)
        of_healthy = p_healthy / n_healthy.sum(axis=-1, keepdims=True)
        return np.asarray(np.abs(of_abnormal - of_healthy).sum(axis=-1) / 2, np.float64)


def expected_calibration_error(
    probability: Floats, abnormal: Bools, edges: Floats | None = None, *, balanced: bool = False
) -> float:
    """Mean distance of promised and true share of abnormal cells over bins, weighted by cells; NaN without cells.

    Parameters
    ----------
    probability : (n,) ndarray of float64
        Of being abnormal; NaN is left out.
    abnormal : (n,) ndarray of bool
        The truth.
    edges : (k + 1,) ndarray of float64, optional
        Bins; default: ten of one width.
    balanced : bool
        As of `bin_errors`.
    """
    edges = equal_width_edges() if edges is None else edges
    known = np.isfinite(probability)
    probability, abnormal = probability[known], abnormal[known]
    at, k = bin_of(probability, edges), edges.size - 1
    ones = np.ones(probability.size)
    sums: list[Floats] = [
        np.asarray(np.bincount(at[side], weight[side], k), np.float64)
        for weight in (ones, probability)
        for side in (abnormal, ~abnormal)
    ]
    return float(bin_errors(*sums, balanced=balanced))


def brier_terms(probability: Floats, abnormal: Bools) -> Floats:
    """Squared distance of each probability from the truth (0 or 1); the Brier score is their mean.

    Brier 1950, Mon Weather Rev 78:1.
    """
    return np.asarray((probability - abnormal) ** 2, np.float64)


def log_loss_terms(probability: Floats, abnormal: Bools) -> Floats:
    """Minus the natural logarithm of what was said of the truth; 0 and 1 count as 2.2e-16 within, to stay finite."""
    eps = np.finfo(np.float64).eps
    said = np.clip(np.where(abnormal, probability, 1 - probability), eps, 1 - eps)
    return np.asarray(-np.log(said), np.float64)


def calibration_curve(
    probability: Floats, abnormal: Bools, units: Units, edges: Floats, *, n_draws: int = 1000, seed: int = 0
) -> CalibrationCurve:
    """What was promised and what came in each bin, with intervals over units drawn with replacement.

    Parameters
    ----------
    probability : (n,) ndarray of float64
        Of being abnormal; NaN is left out.
    abnormal : (n,) ndarray of bool
        The truth.
    units : Units
        Of these cells.
    edges : (k + 1,) ndarray of float64
        Bins.
    n_draws, seed : int
        Of the bootstrap.
    """
    known = np.isfinite(probability)
    probability, abnormal, code = probability[known], abnormal[known], units.code[known]
    k = edges.size - 1
    at = bin_of(probability, edges)
    n_cells, n_abnormal = np.bincount(at, minlength=k), np.bincount(at[abnormal], minlength=k)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, share = np.bincount(at, probability, minlength=k) / n_cells, n_abnormal / n_cells
    place = code * k + at
    all_of_unit, of_unit = (
        np.asarray(np.bincount(rows, minlength=units.n_units * k).reshape(units.n_units, k), np.float64)
        for rows in (place, place[abnormal])
    )
    shares = np.full((n_draws, k), np.nan)
    if units.n_units > 1:
        start = 0
        for counts in draw_counts(units.n_units, n_draws, seed):
            with np.errstate(invalid="ignore", divide="ignore"):
                shares[start : start + len(counts)] = (counts @ of_unit) / (counts @ all_of_unit)
            start += len(counts)
    intervals = np.array([percentile_interval(shares[:, j]) for j in range(k)]).reshape(k, 2)
    full = n_cells > 0
    return CalibrationCurve(
        edges[:-1][full], edges[1:][full], n_cells[full].astype(np.int64), n_abnormal[full].astype(np.int64),
        mean[full], share[full], intervals[full, 0], intervals[full, 1],
    )  # fmt: skip
