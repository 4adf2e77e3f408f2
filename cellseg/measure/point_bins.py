"""Points of a slide sorted into square bins, so that what is near a point is found without looking far. Floor 3."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

_MAX_BINS = 4_000_000


class PointBins(NamedTuple):
    """n points, bin after bin in raster order.

    Attributes
    ----------
    points : (n, 2) ndarray of float64
        y and x, px, sorted by bin; by row of the input within a bin.
    bins : (n, 2) ndarray of int32
        Row and column of each point's bin.
    order : (n,) ndarray of int64
        Row in the input of each point.
    starts : (n_bins + 1,) ndarray of int64
        Where each bin begins.
    n_columns : int
        Bins in a line.
    side : float
        Side of a bin, px.
    """

    points: NDArray[np.float64]
    bins: NDArray[np.int32]
    order: NDArray[np.int64]
    starts: NDArray[np.int64]
    n_columns: int
    side: float


def bin_points(points_px: NDArray[np.float64], side_px: float, *, height_px: int, width_px: int) -> PointBins:
    """Sort points into bins of `side_px`, or of the least side that makes no more than 4 million of them.

    Parameters
    ----------
    points_px : (n, 2) ndarray of float64
        y and x, px, within the image; n >= 0.
    side_px : float
        Side of a bin, px, > 0; 1 at least is taken.
    height_px, width_px : int
        Size of the image.
    """
    area_side = np.sqrt(height_px * width_px / _MAX_BINS)
    side = float(max(side_px, 1.0, area_side, (height_px + width_px) / _MAX_BINS))
    n_rows, n_columns = int(height_px / side) + 1, int(width_px / side) + 1
    bins = (points_px / side).astype(np.int32)
    flat = bins[:, 0].astype(np.int64) * n_columns + bins[:, 1]
    order = np.argsort(flat, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=n_rows * n_columns))]).astype(np.int64)
    return PointBins(np.ascontiguousarray(points_px[order]), bins[order], order, starts, n_columns, side)


def _spacious_side(points_px: NDArray[np.float64], height_px: int, width_px: int) -> float:
    """The side of bins that hold 2 points each where there are any: empty glass is left out, by a coarse look."""
    n = max(len(points_px), 1)
    cuts = int(np.clip(np.sqrt(n / 8), 1, 256))
    coarse = np.minimum((points_px * (cuts / np.array([height_px, width_px]))).astype(np.int32), cuts - 1)
    filled = np.count_nonzero(np.bincount(coarse[:, 0] * cuts + coarse[:, 1], minlength=1)) / cuts**2
    return float(np.sqrt(2.0 * height_px * width_px * filled / n))


def count_within(
    points_px: NDArray[np.float64], radius_px: float, *, height_px: int, width_px: int
) -> NDArray[np.int64]:
    """The number of other points no further than a radius from each.

    Parameters
    ----------
    points_px : (n, 2) ndarray of float64
        y and x, px; n >= 0.
    radius_px : float
        Radius of the disc, px, > 0.
    height_px, width_px : int
        Size of the image.

    Returns
    -------
    (n,) ndarray of int64
        Points at that very distance count.
    """
    side = max(radius_px / 8, _spacious_side(points_px, height_px, width_px))
    found = bin_points(points_px, side, height_px=height_px, width_px=width_px)
    return np.asarray(_count(found, radius_px))


@njit(nogil=True, cache=True)
def _count_run(found: PointBins, y: float, x: float, low: int, high: int, square: float) -> int:
    """Points of the bins `low` to `high` - 1 within the disc around a point."""
    count = 0
    for j in range(found.starts[low], found.starts[high]):
        count += (found.points[j, 0] - y) ** 2 + (found.points[j, 1] - x) ** 2 <= square
    return count


@njit(nogil=True, cache=True)
def _count(found: PointBins, radius: float) -> NDArray[np.int64]:
    """Line of bins by line of bins: those wholly in the disc are counted as a whole, those it cuts point by point."""
    side, n_columns, starts = found.side, found.n_columns, found.starts
    n_rows = (len(starts) - 1) // n_columns
    # a hair: rounding must not put a point at that very distance on the wrong side of a bin's edge
    outer, inner, square = radius * (1 + 1e-9), radius * (1 - 1e-9), radius * radius
    out = np.empty(len(found.points), np.int64)
    for i in range(len(found.points)):
        y, x = found.points[i, 0], found.points[i, 1]
        count = -1  # itself
        for row in range(max(int((y - outer) / side), 0), min(int((y + outer) / side), n_rows - 1) + 1):
            below, above = row * side - y, y - (row + 1) * side
            near = max(below, above, 0.0)
            reach = np.sqrt(max(outer * outer - near * near, 0.0))
            line = row * n_columns
            left, right = max(int((x - reach) / side), 0), min(int((x + reach) / side), n_columns - 1) + 1
            far = max(-below, -above)
            first, last = left, left
            if far < inner:
                within = np.sqrt(inner * inner - far * far)
                first = min(max(int(np.ceil((x - within) / side)), left), right)
                last = max(min(int(np.floor((x + within) / side)), right), first)
            count += _count_run(found, y, x, line + left, line + first, square)
            count += starts[line + last] - starts[line + first]
            count += _count_run(found, y, x, line + last, line + right, square)
        out[found.order[i]] = count
    return out


def nearest_points(
    points_px: NDArray[np.float64], k: int, *, height_px: int, width_px: int
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The k nearest other points of each point, nearest first; of equally near ones the lower row comes first.

    Parameters
    ----------
    points_px : (n, 2) ndarray of float64
        y and x, px; n >= 0.
    k : int
        How many, >= 1.
    height_px, width_px : int
        Size of the image.

    Returns
    -------
    rows : (n, k) ndarray of int32
        Rows of `points_px`; -1 where there are no more points.
    distances : (n, k) ndarray of float64
        Px; NaN where there are no more points.
    """
    side = _spacious_side(points_px, height_px, width_px)
    found = bin_points(points_px, side, height_px=height_px, width_px=width_px)
    rows, squares = _nearest(found, k)
    return rows, np.sqrt(squares, out=squares)


@njit(nogil=True, cache=True)
def _nearer(
    found: PointBins, i: int, bins: tuple[int, int], rows: NDArray[np.int32], best: NDArray[np.float64]
) -> None:
    """Put the points of consecutive bins into the list of the nearest to point i, which stays sorted."""
    y, x, k = found.points[i, 0], found.points[i, 1], len(best)
    for j in range(found.starts[bins[0]], found.starts[bins[1] + 1]):
        square = (found.points[j, 0] - y) ** 2 + (found.points[j, 1] - x) ** 2
        if square > best[k - 1] or j == i:
            continue
        row = found.order[j]
        at = k
        while at > 0 and (square < best[at - 1] or (square == best[at - 1] and row < rows[at - 1])):
            at -= 1
        for move in range(k - 1, at, -1):
            best[move], rows[move] = best[move - 1], rows[move - 1]
        if at < k:
            best[at], rows[at] = square, row


@njit(nogil=True, cache=True)
def _nearest(found: PointBins, k: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Rings of bins around each point, until the ring is further away than the last of the best so far."""
    n, n_columns = len(found.points), found.n_columns
    n_rows = (len(found.starts) - 1) // n_columns
    side = found.side * (1 - 1e-9)  # rounding must not leave out a ring
    rows, squares = np.empty((n, k), np.int32), np.empty((n, k), np.float64)
    near, best = np.empty(k, np.int32), np.empty(k, np.float64)
    for i in range(n):
        by, bx = int(found.bins[i, 0]), int(found.bins[i, 1])
        near[:], best[:] = n, np.inf
        ring = 0
        while ring <= max(n_rows, n_columns) and not (ring > 1 and best[k - 1] < ((ring - 1) * side) ** 2):
            left, right = max(bx - ring, 0), min(bx + ring, n_columns - 1)
            for row in range(max(by - ring, 0), min(by + ring, n_rows - 1) + 1):
                line = row * n_columns
                if abs(row - by) == ring:
                    _nearer(found, i, (line + left, line + right), near, best)
                    continue
                if bx - ring >= 0:
                    _nearer(found, i, (line + left, line + left), near, best)
                if bx + ring < n_columns:
                    _nearer(found, i, (line + right, line + right), near, best)
            ring += 1
        at = found.order[i]
        for place in range(k):
            there = best[place] < np.inf
            rows[at, place] = near[place] if there else -1
            squares[at, place] = best[place] if there else np.nan
    return rows, squares
