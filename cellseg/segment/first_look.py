"""Whether cells have the size that was expected of them, and the scale that suits them. Floor 3: arrays and numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_CELLS = 10
"""Fewer cells tell no size."""
_MIN_FEW = 3
_ROUNDS = 2
_FARTHEST = 4.0


@dataclass(frozen=True)
class Glance:
    """The cells seen at one scale: diameters of discs of their areas (n,), px of the slide, and scores (n,)."""

    diameters_px: NDArray[np.float64]
    scores: NDArray[np.float64]

    @property
    def size_px(self) -> float | None:
        """The diameter that half of the cells' area lies above, so that specks do not count; None without cells."""
        if not len(self.diameters_px):
            return None
        rising = np.sort(self.diameters_px)
        covered = np.cumsum(rising**2)
        return float(rising[np.searchsorted(covered, covered[-1] / 2)])

    @property
    def score(self) -> float:
        """Sum of the scores: how much the network recognises."""
        return float(self.scores.sum())


@dataclass(frozen=True)
class Look:
    """What the first look found: the factor on the scale, and each (factor, glance) that led to it, the first first."""

    factor: float
    glances: tuple[tuple[float, Glance], ...]
    expected_px: float
    agrees: bool | None

    def record(self) -> dict[str, Any]:
        """Plain values for labels.json; `agrees` is null where too few cells were found to tell."""
        tried = [
            {
                "factor": round(factor, 4),
                "n_cells": len(seen.scores),
                "diameter_px": None if seen.size_px is None else round(seen.size_px, 2),
                "sum_of_scores": round(seen.score, 2),
            }
            for factor, seen in self.glances
        ]
        return {"looked": True, "agrees": self.agrees, "factor": round(self.factor, 4), "tried": tried}


def find_scale(
    glance: Callable[[float], Glance],
    *,
    expected_px: float,
    tolerance: float,
    may_follow: bool,
    limits: tuple[float, float] = (0.0, np.inf),
) -> Look:
    """The factor on the scale at which cells have the size that the network knows.

    Where at least ten cells are found and their size is off by more than `tolerance`, the scale follows it, up to
    twice and within a quarter to four times. Where fewer are found, and they do not fit, double and half the scale are
    tried as well, and the one is kept at which the network recognises the most (sum of scores) that fits that scale;
    from there the scale follows three cells and more.

    Parameters
    ----------
    glance : callable
        What is seen at a factor on the scale.
    expected_px : float
        Diameter of the typical cell, px of the slide, that the factor 1 stands for.
    may_follow : bool
        False: only compare.
    limits : (float, float)
        The least and the greatest factor.
    """
    low, high = max(1 / _FARTHEST, limits[0]), min(_FARTHEST, limits[1])
    seen = {1.0: glance(1.0)}
    factor, least = 1.0, MIN_CELLS
    if may_follow and not _tells(seen[1.0], MIN_CELLS):
        least = _MIN_FEW
        if not (_tells(seen[1.0], least) and agree(seen[1.0].size_px or 0.0, expected_px, tolerance)):
            seen |= {other: glance(other) for other in (2.0, 0.5) if low <= other <= high}
            factor = max(seen, key=lambda tried: _fitting(seen[tried], expected_px / tried))
    for _ in range(_ROUNDS if may_follow else 0):
        now = seen[factor]
        if now.size_px is None or not _tells(now, least) or agree(now.size_px, expected_px / factor, tolerance):
            break
        better = float(np.clip(round(expected_px / now.size_px, 4), low, high))
        if better in seen:
            break
        seen[better] = glance(better)
        if seen[better].score < now.score / 2:
            break  # what was followed were no cells
        factor = better
    last = seen[factor]
    agrees = None
    if last.size_px is not None and _tells(last, MIN_CELLS):
        agrees = agree(last.size_px, expected_px, tolerance)
    return Look(factor, tuple(seen.items()), expected_px, agrees)


def _tells(seen: Glance, least: int) -> bool:
    """Whether there are enough cells to tell a size."""
    return len(seen.scores) >= least


def _fitting(seen: Glance, suits_px: float) -> float:
    """The sum of scores, less where the cells are not of the size that the scale suits: looking closer finds more."""
    if seen.size_px is None:
        return 0.0
    return float(seen.score / (1 + 4 * np.log2(seen.size_px / suits_px) ** 2))


def agree(found_px: float, expected_px: float, tolerance: float) -> bool:
    """Whether two sizes differ by no more than the ratio `tolerance`."""
    return bool(1 / tolerance <= found_px / expected_px <= tolerance)
