"""From scores to p-values, and from a slide's p-values to calls. Floor 3: arrays only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellseg.classify_config import ReferenceSettings

Floats = NDArray[np.float64]
_DECIMALS = 6
_TOP = 1000
_BELOW = 1000


@dataclass(frozen=True)
class HeldOut:
    """Scores of healthy cells by references that had not seen their sample, and what lies beyond each.

    `scores` (k,) rise; `beyond` (k,) is the p-value of a cell just over each of them. Of many cells the highest scores
    are all kept, of the others some: p-values between two kept scores are those of the lower, never too small.
    """

    scores: Floats
    beyond: Floats

    def __post_init__(self) -> None:
        if self.scores.shape != self.beyond.shape or self.scores.ndim != 1:
            raise ValueError(f"held-out scores of shape {self.scores.shape} with p-values of {self.beyond.shape}")
        if not np.isfinite(self.scores).all() or not ((self.beyond > 0) & (self.beyond <= 1)).all():
            raise ValueError("held-out scores that are no numbers, or p-values out of 0 to 1")
        if (np.diff(self.scores) <= 0).any() or (np.diff(self.beyond) > 0).any():
            raise ValueError("held-out scores that do not rise, or p-values that do not fall")

    def p_values(self, scores: Floats) -> Floats:
        """Of the hypothesis that a cell is healthy (n,): the share of healthy cells as strange; NaN where the score is.

        Conformal p-values: (1 + cells with this score or more) / (1 + all) (Bates et al. 2023, Ann Stat 51:149), the
        held-out cells weighted so that samples count alike.
        """
        at = np.searchsorted(self.scores, scores, side="left")
        return np.where(np.isnan(scores), np.nan, np.concatenate([[1.0], self.beyond])[at])

    def score_at(self, p_value: float) -> float:
        """The score that cells must exceed for a p-value of at most this; infinite where none has it."""
        at = np.flatnonzero(self.beyond <= p_value)
        return float(self.scores[at[0]]) if at.size else float("inf")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"scores": self.scores.tolist(), "p_values_beyond": self.beyond.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> HeldOut:
        """What `to_dict` wrote."""
        return cls(np.array(values["scores"], np.float64), np.array(values["p_values_beyond"], np.float64))


def summarize_held_out(scores: Floats, groups: NDArray[np.int64]) -> HeldOut:
    """What p-values come from: scores (n,) of healthy cells whose samples (n,) count alike; NaN is not looked at."""
    known = ~np.isnan(scores)
    scores, groups = np.round(scores[known], _DECIMALS), groups[known]
    if not scores.size:
        return HeldOut(np.empty(0), np.empty(0))
    _, code, n_of = np.unique(groups, return_inverse=True, return_counts=True)
    weight = 1.0 / (n_of[code] * n_of.size)
    values, at = np.unique(scores, return_inverse=True)
    mass = np.bincount(at, weight)
    over = np.maximum(1.0 - np.cumsum(mass), 0.0)
    over[-1] = 0.0
    beyond = (1 + over * scores.size) / (1 + scores.size)
    keep = np.arange(values.size)
    if values.size > _TOP + _BELOW:
        lower = np.linspace(0, values.size - _TOP - 1, _BELOW).astype(np.int64)
        keep = np.concatenate([np.unique(lower), keep[-_TOP:]])
    return HeldOut(values[keep], np.round(beyond[keep], 9))


@dataclass(frozen=True)
class SlideCalls:
    """How p-values of one slide are read: cells at or under `abnormal_at` are abnormal, under `uncertain_at` uncertain.

    `p_values` (k,) rise and `probability` (k,) is that of being abnormal at each, 1 - local false discovery rate,
    which holds up to the next.
    """

    abnormal_at: float
    uncertain_at: float
    p_values: Floats
    probability: Floats

    def probabilities(self, p_values: Floats) -> Floats:
        """Of being abnormal, (n,); NaN where the p-value is, and where the slide had none."""
        if not self.p_values.size:
            return np.full(p_values.shape, np.nan)
        at = np.clip(np.searchsorted(self.p_values, p_values, side="left"), 0, self.p_values.size - 1)
        return np.where(np.isnan(p_values), np.nan, self.probability[at])


def call_slide(p_values: Floats, settings: ReferenceSettings) -> SlideCalls:
    """How the p-values (n,) of a slide's cells that can be judged are read; NaN is not looked at.

    With `decide: fdr` the bounds are those of Benjamini & Hochberg 1995, J R Stat Soc B 57:289, which hold for
    conformal p-values (Bates et al. 2023, Ann Stat 51:149).
    """
    known = np.sort(p_values[~np.isnan(p_values)])
    at, probability = _local(known)
    if settings.decide == "p_value":
        return SlideCalls(settings.abnormal_p, settings.uncertain_p, at, probability)
    bounds = [_step_up(known, fdr) for fdr in (settings.abnormal_fdr, settings.uncertain_fdr)]
    return SlideCalls(bounds[0], bounds[1], at, probability)


def _step_up(rising: Floats, fdr: float) -> float:
    """The largest p-value that is called at this false discovery rate; -1 where none is."""
    # sums of weights are a few roundings off
    called = rising[_adjusted(rising) <= fdr + 1e-12]
    return float(called[-1]) if called.size else -1.0


def _adjusted(rising: Floats) -> Floats:
    """Rising p-values adjusted to false discovery rates (Benjamini & Hochberg 1995, J R Stat Soc B 57:289)."""
    scaled = rising * (rising.size / np.arange(1, rising.size + 1))
    return np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)


def _local(rising: Floats) -> tuple[Floats, Floats]:
    """Distinct p-values and 1 - local false discovery rate at each, falling.

    The rate is pi0 / f: f the falling density nearest to the p-values (Grenander 1956, Skand Aktuarietidskr 39:125),
    the falling fit to the steps of their distribution; pi0, the share of healthy cells, by those over 1/2 (Storey 2002,
    J R Stat Soc B 64:479).
    """
    from scipy.optimize import isotonic_regression  # a quarter of a second that most commands do without

    if not rising.size:
        return np.empty(0), np.empty(0)
    values, counts = np.unique(rising, return_counts=True)
    reached = np.cumsum(counts) / rising.size
    healthy = min(1.0, ((rising > 0.5).sum() + 1) / (0.5 * rising.size))
    x, y = np.concatenate([[0.0], values]), np.concatenate([[0.0], reached])
    if x[-1] < 1:
        x, y = np.append(x, 1.0), np.append(y, 1.0)
    wide = np.diff(x)
    density = isotonic_regression(np.diff(y) / wide, weights=wide, increasing=False).x[: values.size]
    return values, np.round(np.clip(1 - healthy / np.maximum(density, 1e-12), 0.0, 1.0), _DECIMALS)
