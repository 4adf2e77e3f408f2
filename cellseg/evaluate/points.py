"""Cells against truth that is one point a cell: which points have a cell of their own. Floor 3: arrays only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cellseg.errors import TableError
from cellseg.types import Labels


@dataclass(frozen=True)
class PointCounts:
    """Points by what lies under them; counts add up over images."""

    n_points: int
    n_alone: int
    """points in a cell that holds no second point."""
    n_shared: int
    """points in a cell with others."""
    n_outside: int
    """points in no cell."""

    def shares(self) -> dict[str, float]:
        """Fractions of the points, and their number; NaN where there are none."""
        whole = self.n_points or float("nan")
        return {
            "n_points": float(self.n_points),
            "alone": self.n_alone / whole,
            "shared": self.n_shared / whole,
            "outside": self.n_outside / whole,
        }


def count_points(labels: Labels, points_px: NDArray[np.float64]) -> PointCounts:
    """How many points have a cell of their own, share one, or lie in none.

    Parameters
    ----------
    labels : (H, W) ndarray of uint32
        Label image, 0 = background.
    points_px : (N, 2) ndarray of float
        y and x of each point, px, from the centre of the first pixel; rounded to the nearest pixel. Points on the
        image's very edge (up to half a pixel outside) count for the pixel beside them.

    Raises
    ------
    TableError
        If a point lies outside the image: points and labels are not of one image, or x and y are swapped.
    """
    at = np.rint(points_px).astype(np.int64).reshape(-1, 2)
    last = np.array(labels.shape) - 1
    outside = (at < -1) | (at > last + 1)
    if outside.any():
        worst = points_px[outside.any(axis=1)][0]
        raise TableError(
            f"a point at y {worst[0]:g}, x {worst[1]:g} is outside the image of {labels.shape[0]} x {labels.shape[1]} "
            "px; check that points and labels belong together and that y and x are not swapped"
        )
    at = np.clip(at, 0, last)
    ids = labels[at[:, 0], at[:, 1]]
    _, group, sizes = np.unique(ids, return_inverse=True, return_counts=True)
    in_cell = ids > 0
    alone = in_cell & (sizes[group] == 1) if ids.size else in_cell
    n_alone, n_inside = int(alone.sum()), int(in_cell.sum())
    return PointCounts(ids.size, n_alone, n_inside - n_alone, ids.size - n_inside)


def add_counts(parts: list[PointCounts]) -> PointCounts:
    """The counts of all images together."""
    return PointCounts(
        sum(p.n_points for p in parts),
        sum(p.n_alone for p in parts),
        sum(p.n_shared for p in parts),
        sum(p.n_outside for p in parts),
    )
