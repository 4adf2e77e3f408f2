"""How close each cell's neighbours are. Floor 3: arrays in, arrays out.

Centroids are sorted into square bins; a cell looks into the bins around its own. All centroids of the slide are
needed at once (16 bytes a cell).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

_POINTS_PER_BIN = 2.0
_MAX_BINS = 4_000_000


def measure_neighborhoods(
    centroids_px: NDArray[np.float64], *, height_px: int, width_px: int, mpp: float, radius_um: float
) -> dict[str, NDArray[np.float64]]:
    """The columns of family `neighborhood` for all cells of a slide.

    Density is the number of other centroids no further than the radius, divided by the area of the part of that disc
    that lies in the image (closed form, see `disc_in_image`).

    Parameters
    ----------
    centroids_px : (n, 2) ndarray of float64
        y and x, px; 0 is the centre of the first pixel.
    height_px, width_px : int
        Size of the image.
    mpp : float
        Microns per pixel.
    radius_um : float
        Radius of the disc.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        `nearest_neighbor_um` (NaN for a lone cell) and `density_per_mm2`.
    """
    radius_px = radius_um / mpp
    nearest_px = nearest_distances(centroids_px, height_px=height_px, width_px=width_px)
    counts = count_within(centroids_px, radius_px, height_px=height_px, width_px=width_px)
    area_mm2 = disc_in_image(centroids_px, radius_px, height_px=height_px, width_px=width_px) * (mpp * 1e-3) ** 2
    return {"nearest_neighbor_um": nearest_px * mpp, "density_per_mm2": counts / area_mm2}


def nearest_distances(centroids_px: NDArray[np.float64], *, height_px: int, width_px: int) -> NDArray[np.float64]:
    """(n,) float64: distance from each point to the nearest other one, px; NaN where there is no other."""
    n = len(centroids_px)
    if n < 2:
        return np.full(n, np.nan)
    side = max(np.sqrt(height_px * width_px * _POINTS_PER_BIN / n), 1.0)
    side = _at_least(side, height_px, width_px)
    return np.asarray(_nearest(*_bin_points(centroids_px, side, height_px, width_px), side))


def count_within(
    centroids_px: NDArray[np.float64], radius_px: float, *, height_px: int, width_px: int
) -> NDArray[np.int64]:
    """(n,) int64: number of other points no further than `radius_px` from each."""
    # a hair wider than the radius: rounding must not put a point at that very distance two bins away
    side = _at_least(max(radius_px * (1 + 1e-9), 1.0), height_px, width_px)
    return np.asarray(_count(*_bin_points(centroids_px, side, height_px, width_px), radius_px))


def disc_in_image(
    centroids_px: NDArray[np.float64], radius_px: float, *, height_px: int, width_px: int
) -> NDArray[np.float64]:
    """Area of the disc around each point that lies in the image, px^2: the sum of four quarter discs cut at the edges.

    The image reaches from -0.5 to its size - 0.5, the outer edges of its pixels.
    """
    y, x = centroids_px.T
    up, down, left, right = y + 0.5, height_px - 0.5 - y, x + 0.5, width_px - 0.5 - x
    return np.asarray(sum(_quarter(a, b, radius_px) for a in (up, down) for b in (left, right)))


def _quarter(a: NDArray[np.float64], b: NDArray[np.float64], r: float) -> NDArray[np.float64]:
    """Area of the quarter disc of radius r within the rectangle of sides a and b at its corner."""
    whole = a * a + b * b <= r * r
    a, b = np.minimum(a, r), np.minimum(b, r)
    cut = a * np.sqrt(r * r - a * a) + b * np.sqrt(r * r - b * b) + r * r * (np.arcsin(a / r) - np.arccos(b / r))
    return np.where(whole, a * b, cut / 2)


def _at_least(side: float, height_px: int, width_px: int) -> float:
    """A bin side that makes no more than `_MAX_BINS` bins."""
    return float(max(side, np.sqrt(height_px * width_px / _MAX_BINS), (height_px + width_px) / _MAX_BINS))


def _bin_points(points: NDArray[np.float64], side: float, height_px: int, width_px: int) -> tuple[Any, ...]:
    """Points sorted by bin, their rows in the input, where each bin begins, and the number of bins in a line."""
    n_columns = int(width_px / side) + 1
    n_bins = (int(height_px / side) + 1) * n_columns
    bins = (points / side).astype(np.int64)
    flat = bins[:, 0] * n_columns + bins[:, 1]
    order = np.argsort(flat, kind="stable")
    starts = np.searchsorted(flat[order], np.arange(n_bins + 1)).astype(np.int64)
    return np.ascontiguousarray(points[order]), bins[order], order, starts, n_columns


@njit(nogil=True, cache=True)
def _least_square(
    points: NDArray[np.float64], starts: NDArray[np.int64], i: int, low_bin: int, high_bin: int, best: float
) -> float:
    """The least squared distance from point i to the points of consecutive bins, if less than `best`."""
    y, x = points[i, 0], points[i, 1]
    for j in range(starts[low_bin], starts[high_bin + 1]):
        square = (points[j, 0] - y) ** 2 + (points[j, 1] - x) ** 2
        if square < best and j != i:
            best = square
    return best


@njit(nogil=True, cache=True)
def _nearest(
    points: NDArray[np.float64],
    bins: NDArray[np.int64],
    order: NDArray[np.int64],
    starts: NDArray[np.int64],
    n_columns: int,
    side: float,
) -> NDArray[np.float64]:
    """Rings of bins around each point, until the ring is further away than the best point so far."""
    n_rows = (len(starts) - 1) // n_columns
    out = np.empty(len(points), np.float64)
    for i in range(len(points)):
        by, bx = bins[i, 0], bins[i, 1]
        best, ring = np.inf, 0
        while ring <= max(n_rows, n_columns) and not (ring > 1 and best <= ((ring - 1) * side) ** 2):
            left, right = max(bx - ring, 0), min(bx + ring, n_columns - 1)
            for row in range(max(by - ring, 0), min(by + ring, n_rows - 1) + 1):
                line = row * n_columns
                if abs(row - by) == ring:
                    best = _least_square(points, starts, i, line + left, line + right, best)
                    continue
                if bx - ring >= 0:
                    best = _least_square(points, starts, i, line + left, line + left, best)
                if bx + ring < n_columns:
                    best = _least_square(points, starts, i, line + right, line + right, best)
            ring += 1
        out[order[i]] = np.sqrt(best)
    return out


@njit(nogil=True, cache=True)
def _count(
    points: NDArray[np.float64],
    bins: NDArray[np.int64],
    order: NDArray[np.int64],
    starts: NDArray[np.int64],
    n_columns: int,
    radius: float,
) -> NDArray[np.int64]:
    """Points within `radius` of each; bins are no smaller than it, so that the 9 around a point hold them all."""
    n_rows = (len(starts) - 1) // n_columns
    out = np.empty(len(points), np.int64)
    for i in range(len(points)):
        y, x = points[i, 0], points[i, 1]
        by, bx = bins[i, 0], bins[i, 1]
        count = -1  # itself
        for row in range(max(by - 1, 0), min(by + 1, n_rows - 1) + 1):
            line = row * n_columns
            for j in range(starts[line + max(bx - 1, 0)], starts[line + min(bx + 1, n_columns - 1) + 1]):
                count += (points[j, 0] - y) ** 2 + (points[j, 1] - x) ** 2 <= radius * radius
        out[order[i]] = count
    return out
