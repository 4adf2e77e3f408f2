"""Fractal dimensions of the outlines of cells, by counting boxes and by stepping along with rulers. Floor 3."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.contour import Contours

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MIN_SIZES = 3
"""Sizes of boxes or rulers below which no slope is taken."""


def measure_fractals(contours: Contours) -> dict[str, Floats]:
    """Fractal dimensions of each traced outline: near 1 for smooth ones, towards 2 for ragged ones.

    `fractal_dimension_box`: less the slope of log number over log size (least squares) of the boxes of 1, 2, 4, ... px,
    up to half the outline's longer side, that hold corners of it. Numbers are means over the four lattices that
    begin in a corner of the outline's box, so that turning by 90 degrees changes nothing.

    `fractal_dimension_perimeter`: 1 less the slope of log length over log ruler (Mandelbrot 1967, Science 156:636). The
    rulers span 2, 3, 4, 6, 8, 12, ... corners, up to an eighth of them; each is laid from every corner. Street, Wolberg
    & Mangasarian's (1993, Proc SPIE 1905:861) fractal dimension is this less 1.

    Parameters
    ----------
    contours : Contours
        n traced outlines (not smoothed).

    Returns
    -------
    dict of str to (n,) ndarray of float64
        NaN where there are fewer than 3 sizes: outlines less than 8 px long, of fewer than 32 corners.
    """
    box = _box_dimensions(contours.points, contours.starts)
    return {"fractal_dimension_box": box, "fractal_dimension_perimeter": _rulers(contours.points, contours.starts)}


@njit(nogil=True, cache=True)
def _slope(x: Floats, y: Floats, n: int) -> float:
    """Of the line of least squares through n points; x not all the same."""
    mean_x, mean_y = 0.0, 0.0
    for i in range(n):
        mean_x += x[i] / n
        mean_y += y[i] / n
    xx, xy = 0.0, 0.0
    for i in range(n):
        xx += (x[i] - mean_x) ** 2
        xy += (x[i] - mean_x) * (y[i] - mean_y)
    return xy / xx


@njit(nogil=True, cache=True)
def _count_boxes(
    ys: Ints, xs: Ints, n: int, n_sizes: int, width: int, seen: Ints, mark: int, keep: Ints, counts: Ints
) -> int:
    """Add the numbers of boxes of one lattice to `counts`; returns the last mark left in `seen`."""
    for i in range(n):
        keep[0, i], keep[1, i] = ys[i], xs[i]
    for size in range(n_sizes):
        mark += 1
        left = 0
        for i in range(n):
            # coordinates are in half px: the boxes of 1 px are 2 wide
            y, x = keep[0, i] >> 1, keep[1, i] >> 1
            at = y * width + x
            # written in any case, kept by moving on: no branch to guess
            keep[0, left], keep[1, left] = y, x
            left += seen[at] != mark
            seen[at] = mark
        n = left
        counts[size] += n
    return mark


@njit(nogil=True, cache=True)
def _box_dimensions(points: Floats, starts: Ints) -> Floats:
    n = len(starts) - 1
    out = np.full(n, np.nan)
    longest, room = 1, 1
    sides = np.empty((n, 4), np.int64)
    for cell in range(n):
        y0, x0, y1, x1 = np.inf, np.inf, -np.inf, -np.inf
        # corners lie at whole or half px
        for i in range(starts[cell], starts[cell + 1]):
            y0, y1 = min(y0, points[i, 0]), max(y1, points[i, 0])
            x0, x1 = min(x0, points[i, 1]), max(x1, points[i, 1])
        sides[cell, 0], sides[cell, 1] = int(2 * y0), int(2 * x0)
        sides[cell, 2], sides[cell, 3] = int(2 * (y1 - y0)), int(2 * (x1 - x0))
        longest = max(longest, starts[cell + 1] - starts[cell])
        room = max(room, (sides[cell, 2] // 2 + 1) * (sides[cell, 3] // 2 + 1))
    seen, mark = np.zeros(room, np.int64), 0
    ys, xs, keep = np.empty(longest, np.int64), np.empty(longest, np.int64), np.empty((2, longest), np.int64)
    counts, logs = np.zeros(64, np.int64), np.arange(64) * np.log(2.0)
    logs_n = np.empty(64)
    for cell in range(n):
        height, width = sides[cell, 2], sides[cell, 3]
        n_sizes = 0
        while 2 * (2 << n_sizes) <= max(height, width):
            n_sizes += 1
        if n_sizes < MIN_SIZES:
            continue
        counts[:n_sizes] = 0
        size = starts[cell + 1] - starts[cell]
        for lattice in range(4):
            for i in range(size):
                at = starts[cell] + i
                y, x = int(2 * points[at, 0]) - sides[cell, 0], int(2 * points[at, 1]) - sides[cell, 1]
                ys[i] = height - y if lattice & 1 else y
                xs[i] = width - x if lattice & 2 else x
            mark = _count_boxes(ys, xs, size, n_sizes, width // 2 + 1, seen, mark, keep, counts)
        logs_n[:n_sizes] = np.log(counts[:n_sizes] / 4)
        out[cell] = -_slope(logs, logs_n, n_sizes)
    return out


@njit(nogil=True, cache=True)
def _rulers(points: Floats, starts: Ints) -> Floats:
    n = len(starts) - 1
    out = np.full(n, np.nan)
    longest = 1
    for cell in range(n):
        longest = max(longest, starts[cell + 1] - starts[cell])
    # the beginning once more behind the end, for rulers laid across it
    ys, xs, steps = np.empty(longest + longest // 8), np.empty(longest + longest // 8), np.empty(longest)
    logs, logs_n = np.empty(128), np.empty(128)
    for cell in range(n):
        begin = starts[cell]
        size = starts[cell + 1] - begin
        for i in range(size + size // 8):
            at = begin + (i if i < size else i - size)
            ys[i], xs[i] = points[at, 0], points[at, 1]
        n_sizes, span = 0, 2
        while 8 * span <= size:
            for i in range(size):
                steps[i] = np.sqrt((ys[i + span] - ys[i]) ** 2 + (xs[i + span] - xs[i]) ** 2)
            total = 0.0
            for i in range(size):
                total += steps[i]
            logs[n_sizes], logs_n[n_sizes] = np.log(total / size), np.log(total / span)
            n_sizes += 1
            # 2, 3, 4, 6, 8, 12, ...
            span += span // 2 if span & (span - 1) == 0 else span // 3
        if n_sizes >= MIN_SIZES:
            out[cell] = 1 - _slope(logs, logs_n, n_sizes)
    return out
