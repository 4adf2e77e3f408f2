"""From log-odds to probabilities that hold on groups never seen, and how far to trust them. Floor 4: arrays only."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellseg.classify.calibration import Calibration
from cellseg.train.grouped import even_weights


class ConformalScores(NamedTuple):
    """Nonconformity of cells of one class (rising, float64), and what each counts (sums to 1; every group alike)."""

    scores: NDArray[np.float64]
    weights: NDArray[np.float64]


def fit_calibration(
    margin: NDArray[np.float64],
    abnormal: NDArray[np.bool_],
    groups: NDArray[np.str_],
    kind: Literal["platt", "isotonic"],
) -> Calibration:
    """Probabilities at equal odds of both classes, from margins of cells whose group was left out.

    Both classes count alike, and in each the groups that have it. A margin that ranks cells no better than chance is
    taken for none: every probability is 1/2.

    Parameters
    ----------
    margin : (n,) ndarray of float64
        Log-odds; NaN (never left out) is not looked at.
    abnormal : (n,) ndarray of bool
        The truth; both must be there among the finite margins.
    groups : (n,) ndarray of str
        Patient or slide.
    kind : {"platt", "isotonic"}
        A sigmoid a * margin + b (Platt 1999, Advances in Large Margin Classifiers: 61), or the rising staircase nearest
        in squares, linear between its steps (Zadrozny & Elkan 2002, KDD: 694).
    """
    known = np.isfinite(margin)
    margin, abnormal, groups = margin[known], abnormal[known], groups[known]
    weights = even_weights(abnormal, groups)
    return _isotonic(margin, abnormal, weights) if kind == "isotonic" else _platt(margin, abnormal, weights)


def _softened(abnormal: NDArray[np.bool_]) -> tuple[float, float]:
    """Platt's targets of healthy and abnormal cells: inside of 0 and 1, so that perfect margins stay finite."""
    n_abnormal = int(abnormal.sum())
    return 1.0 / (abnormal.size - n_abnormal + 2), (n_abnormal + 1.0) / (n_abnormal + 2)


def _platt(margin: NDArray[np.float64], abnormal: NDArray[np.bool_], weights: NDArray[np.float64]) -> Calibration:
    from sklearn.linear_model import LogisticRegression

    target = np.where(abnormal, *reversed(_softened(abnormal)))
    centre = float(margin @ weights / weights.sum())
    spread = float(np.sqrt((margin - centre) ** 2 @ weights / weights.sum()))
    if not spread:
        return Calibration(kind="platt", a=0.0, b=0.0)
    # a target between 0 and 1 is that much of an abnormal cell and the rest of a healthy one
    doubled = np.tile((margin - centre) / spread, 2)[:, None]
    sides = np.repeat([1, 0], margin.size)
    counts = np.concatenate([target, 1 - target]) * np.tile(weights, 2) * margin.size
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(doubled, sides, sample_weight=counts)
    slope, offset = float(fit.coef_[0, 0]) / spread, float(fit.intercept_[0])
    if slope <= 0:
        return Calibration(kind="platt", a=0.0, b=0.0)
    return Calibration(kind="platt", a=slope, b=offset - slope * centre)


def _isotonic(margin: NDArray[np.float64], abnormal: NDArray[np.bool_], weights: NDArray[np.float64]) -> Calibration:
    from sklearn.isotonic import IsotonicRegression

    low, high = _softened(abnormal)
    fit = IsotonicRegression(y_min=low, y_max=high).fit(margin, abnormal.astype(np.float64), sample_weight=weights)
    return Calibration(
        kind="isotonic",
        x=np.asarray(fit.X_thresholds_, np.float64),
        y=np.asarray(fit.y_thresholds_, np.float64),
    )


def nonconformity(
    probability: NDArray[np.float64], abnormal: NDArray[np.bool_], groups: NDArray[np.str_]
) -> tuple[ConformalScores, ConformalScores]:
    """One minus the probability of the true class, of healthy and of abnormal cells.

    Split-conformal prediction by class (Vovk 2012, ACML: 475) with cells that come in groups: each group counts alike
    (Dunn, Wasserman & Ramdas 2023, JASA 118:2491).

    Parameters
    ----------
    probability : (n,) ndarray of float64
        Of being abnormal, by a model and a calibration that knew nothing of the cell's group; NaN is not looked at.
    abnormal : (n,) ndarray of bool
        The truth.
    groups : (n,) ndarray of str
        Patient or slide.
    """
    known = np.isfinite(probability)
    wrong = np.where(abnormal, 1 - probability, probability)
    weights = np.zeros(probability.size)
    weights[known] = even_weights(abnormal[known], groups[known])
    out = []
    for side in (False, True):
        rows = np.flatnonzero(known & (abnormal == side))
        rows = rows[np.argsort(wrong[rows], kind="stable")]
        out.append(ConformalScores(wrong[rows], weights[rows]))
    return out[0], out[1]
