"""From log-odds to probabilities, at any share of abnormal cells. Floor 3: arrays only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Floats = NDArray[np.float64]
_EDGE = 1e-9


@dataclass(frozen=True)
class Calibration:
    """How a margin becomes a probability at equal odds of both classes.

    `platt`: sigmoid of a * margin + b (Platt 1999, Advances in Large Margin Classifiers: 61). `isotonic`: linear
    between the knots (`x`, `y`), flat outside of them (Zadrozny & Elkan 2002, KDD: 694).
    """

    kind: Literal["platt", "isotonic"]
    a: float = 1.0
    b: float = 0.0
    x: Floats = field(default_factory=lambda: np.empty(0))
    y: Floats = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        if self.kind not in ("platt", "isotonic"):
            raise ValueError(f"calibration of kind {self.kind!r}; expected platt or isotonic")
        if self.kind == "isotonic" and not (
            self.x.size and self.x.shape == self.y.shape and (np.diff(self.x) >= 0).all()
        ):
            raise ValueError("isotonic calibration without rising knots")


def calibrate(calibration: Calibration, margin: Floats, prior: float = 0.5) -> Floats:
    """Probability (n,) of being abnormal, where a share `prior` of the cells is; NaN where the margin (n,) is."""
    if calibration.kind == "platt":
        probability = expit(calibration.a * margin + calibration.b)
    else:
        probability = np.where(np.isnan(margin), np.nan, np.interp(margin, calibration.x, calibration.y))
    return shift_prior(np.asarray(probability, np.float64), 0.5, prior)


def shift_prior(probability: Floats, old: float, new: float) -> Floats:
    """The probabilities (n,) that hold for a share `old` of abnormal cells, for a share `new` of them.

    Saerens, Latinne & Decaestecker 2002, Neural Comput 14:21.
    """
    if old == new:
        return probability
    return np.asarray(expit(logit(np.clip(probability, _EDGE, 1 - _EDGE)) + logit(new) - logit(old)), np.float64)


def estimate_share(probability: Floats, *, low: float = 0.01, high: float = 0.99) -> float:
    """The share of abnormal cells that best explains probabilities (n,) at equal odds, within [`low`, `high`].

    It is the share that the EM steps of Saerens, Latinne & Decaestecker 2002, Neural Comput 14:21, run into, found at
    once: the likelihood of a share s is the product of s p + (1 - s) (1 - p), whose logarithm is concave in s. NaN is
    not looked at; 0.5 without cells, and where no probability tells the classes apart.

    Examples
    --------
    >>> round(estimate_share(np.array([0.99, 0.01, 0.01, 0.01])), 2)
    0.24
    """
    known = np.clip(probability[np.isfinite(probability)], _EDGE, 1 - _EDGE)
    lean = 2 * known - 1
    if not lean.any():
        return 0.5

    def slope(share: float) -> float:
        return float((lean / (1 - known + share * lean)).sum())

    if slope(low) <= 0:
        return low
    if slope(high) >= 0:
        return high
    from scipy.optimize import brentq  # a quarter of a second that most commands do without

    return float(brentq(slope, low, high, xtol=1e-12))
