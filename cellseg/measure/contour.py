"""The outer outline of each cell as a polygon, and the same polygon without the pixels' stairs. Floor 3.

The polygon's corners are the middles of the pixels' edges that part the cell from what is around it. Against a polygon
through the centres of boundary pixels it loses no half pixel all around, encloses an area also where the cell is one
pixel wide, and never meets itself; its hull is the one that convex area and Feret diameters are taken from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.patches import Patches

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MIN_POINTS = 12
"""Corners of an outline below which there is too little of it to measure: a square of 3 px has 12."""
MIN_WIDTH_PX = 1.5
"""px; outlines with less area than this times half their length are those of lines and dots."""
STAIRS_VARIANCE_PX2 = 1.0
"""px^2; variance of the Gaussian that outlines are smoothed with."""
_STEP_PX2 = 0.4
"""px^2; variance of one step of smoothing. At 0.5 px^2 zigzags of the shortest sides would no longer fade."""


@dataclass(frozen=True)
class Contours:
    """The outlines of n cells, k corners in all.

    Attributes
    ----------
    points : (k, 2) ndarray of float64
        y and x of the corners in px of the cell's patch, pixel centres at whole numbers; one closed polygon a cell,
        clockwise as the image is seen (y down), from the left edge of the first pixel in raster order.
    starts : (n + 1,) ndarray of int64
        Where each outline begins in `points`.
    areas_px2, lengths_px : (n,) ndarray of float64
        Area within each polygon and length of its sides.
    """

    points: Floats
    starts: Ints
    areas_px2: Floats
    lengths_px: Floats

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def measurable(self) -> NDArray[np.bool_]:
        """(n,) bool: 12 corners or more, and wider than 1.5 px in the mean (area over half the length)."""
        return np.asarray((np.diff(self.starts) >= MIN_POINTS) & (2 * self.areas_px2 >= MIN_WIDTH_PX * self.lengths_px))


def trace_contours(patches: Patches) -> Contours:
    """The outer outline of each cell's largest piece.

    Pieces are 8-connected. Largest is the piece whose outline encloses the most pixels, those of its holes included;
    of several the first in raster order. The edges between cell and surroundings are followed with the cell on the
    right-hand side until the first edge comes back, so that each edge is met once (border following as in Rosenfeld
    1970, J ACM 17:146, on edges instead of pixels).

    Parameters
    ----------
    patches : Patches
        n cells.

    Returns
    -------
    Contours
        Of n outlines, each of 4 corners at least. Made once for the same patches, not to be written to.
    """
    if "contours" not in patches.made:
        patches.made["contours"] = _trace_contours(patches)
    traced: Contours = patches.made["contours"]
    return traced


def _trace_contours(patches: Patches) -> Contours:
    n_edges, n_left = _count_edges(patches.mask, patches.starts, patches.widths)
    points = np.empty((int(n_edges.sum()), 2), np.float64)
    starts = _trace(patches.mask, patches.starts, patches.widths, n_left, points)
    points = points[: starts[-1]]
    areas, lengths = _sizes(points, starts)
    return Contours(points, starts, areas, lengths)


def smooth_contours(contours: Contours, variance_px2: Floats) -> Contours:
    """Outlines convolved along their length with a Gaussian, so that the pixels' stairs don't count.

    Each corner moves by steps of diffusion over the arc length of the traced polygon, and all are then scaled about
    their mean so that a circle of the same length keeps its radius: exp((2 pi / length)^2 variance / 2). It depends on
    neither starting point nor direction (scale space of curves: Mokhtarian & Mackworth 1986, IEEE TPAMI 8:34).

    Parameters
    ----------
    contours : Contours
        n traced outlines.
    variance_px2 : (n,) ndarray of float64
        Variance of the Gaussian, px^2, > 0.

    Returns
    -------
    Contours
        With the same number of corners.
    """
    points = np.empty_like(contours.points)
    _smooth(contours.points, contours.starts, contours.lengths_px, variance_px2, points)
    areas, lengths = _sizes(points, contours.starts)
    return Contours(points, contours.starts, areas, lengths)


def longest(starts: Ints) -> int:
    """Corners of the longest outline, 1 at least: what a buffer has to hold."""
    return int(np.diff(starts).max(initial=1))


@njit(nogil=True, cache=True)
def _count_edges(mask: NDArray[np.uint8], starts: Ints, widths: Ints) -> tuple[Ints, Ints]:
    """Edges of each cell, all around and on the left of pixels."""
    n = len(widths)
    n_edges, n_left = np.empty(n, np.int64), np.empty(n, np.int64)
    for cell in range(n):
        patch, width = mask[starts[cell] : starts[cell + 1]], widths[cell]
        # the first and the last pixel are margin
        here, left, above = patch[width:], patch[width - 1 : -1], patch[:-width]
        across, down = 0, 0
        for i in range(len(here)):
            across += here[i] ^ left[i]
            down += here[i] ^ above[i]
        n_edges[cell], n_left[cell] = across + down, across // 2
    return n_edges, n_left


@njit(nogil=True, cache=True)
def _follow(
    patch: NDArray[np.uint8], width: int, start: int, seen: NDArray[np.uint8], out: Floats, ahead: Ints
) -> tuple[int, int, int]:
    """Corners, left edges and enclosed pixels (less than 0: a hole) of the outline from a pixel's left edge on."""
    at, heading, n, n_left, area = start, 0, 0, 0, 0
    y, x = start // width, start % width
    while True:
        if heading == 0:
            seen[at] = 1
            n_left += 1
            area -= x
            out[n, 0], out[n, 1] = y, x - 0.5
        elif heading == 1:
            out[n, 0], out[n, 1] = y - 0.5, x
        elif heading == 2:
            area += x + 1
            out[n, 0], out[n, 1] = y, x + 0.5
        else:
            out[n, 0], out[n, 1] = y + 0.5, x
        n += 1
        on = at + ahead[heading]
        to_the_left = (heading + 3) & 3
        if patch[on + ahead[to_the_left]]:
            at = on + ahead[to_the_left]
            # one step ahead and one to the left: both coordinates change
            y += -1 if heading == 0 or heading == 1 else 1
            x += 1 if heading == 1 or heading == 2 else -1
            heading = to_the_left
        elif patch[on]:
            at = on
            y += (heading == 2) - (heading == 0)
            x += (heading == 1) - (heading == 3)
        else:
            heading = (heading + 1) & 3
        if at == start and heading == 0:
            return n, n_left, area


@njit(nogil=True, cache=True)
def _trace(mask: NDArray[np.uint8], starts: Ints, widths: Ints, n_left: Ints, points: Floats) -> Ints:
    n = len(widths)
    out = np.zeros(n + 1, np.int64)
    room = 1
    for cell in range(n):
        room = max(room, starts[cell + 1] - starts[cell])
    seen, ahead = np.zeros(room, np.uint8), np.empty(4, np.int64)
    for cell in range(n):
        patch, width = mask[starts[cell] : starts[cell + 1]], widths[cell]
        ahead[0], ahead[1], ahead[2], ahead[3] = -width, 1, width, -1
        at = 0
        while patch[at] == 0:
            at += 1
        begin = out[cell]
        size, n_met, largest = _follow(patch, width, at, seen, points[begin:], ahead)
        if n_met < n_left[cell]:
            # holes or more pieces: follow each edge that was not met yet
            for i in range(at + 1, len(patch)):
                if patch[i] and not patch[i - 1] and not seen[i]:
                    more, _, area = _follow(patch, width, i, seen, points[begin + size :], ahead)
                    if area > largest:
                        points[begin : begin + more] = points[begin + size : begin + size + more].copy()
                        size, largest = more, area
        seen[: len(patch)] = 0
        out[cell + 1] = begin + size
    return out


@njit(nogil=True, cache=True)
def _sizes(points: Floats, starts: Ints) -> tuple[Floats, Floats]:
    """Area within each polygon (positive: clockwise as seen) and length of its sides."""
    n = len(starts) - 1
    areas, lengths = np.empty(n, np.float64), np.empty(n, np.float64)
    for cell in range(n):
        begin, end = starts[cell], starts[cell + 1]
        # coordinates from a corner: small products, no cancelling
        y0, x0 = points[begin, 0], points[begin, 1]
        before_y, before_x = points[end - 1, 0] - y0, points[end - 1, 1] - x0
        twice, length = 0.0, 0.0
        for i in range(begin, end):
            y, x = points[i, 0] - y0, points[i, 1] - x0
            twice += before_x * y - x * before_y
            length += np.sqrt((y - before_y) ** 2 + (x - before_x) ** 2)
            before_y, before_x = y, x
        areas[cell], lengths[cell] = twice / 2, length
    return areas, lengths


@njit(nogil=True, cache=True)
def _diffuse(line: Floats, other: Floats, n: int, to_next: Floats, to_last: Floats, n_steps: int) -> Floats:
    """One coordinate after some steps; both buffers hold the n values from 1 on, closed by a copy at each end."""
    for _ in range(n_steps):
        line[0], line[n + 1] = line[n], line[1]
        for i in range(1, n + 1):
            # this order of sums is the same from either direction
            other[i] = line[i] + (to_next[i] * (line[i + 1] - line[i]) + to_last[i] * (line[i - 1] - line[i]))
        line, other = other, line
    return line


@njit(nogil=True, cache=True)
def _smooth(points: Floats, starts: Ints, lengths: Floats, variances: Floats, out: Floats) -> None:
    room = 1
    for cell in range(len(lengths)):
        room = max(room, starts[cell + 1] - starts[cell])
    side, to_next, to_last = np.empty(room + 2), np.empty(room + 2), np.empty(room + 2)
    line, other = np.empty(room + 2), np.empty(room + 2)
    for cell in range(len(lengths)):
        begin = starts[cell]
        n = starts[cell + 1] - begin
        n_steps = int(np.ceil(variances[cell] / _STEP_PX2))
        rate = variances[cell] / n_steps / 2
        scale = np.exp((2 * np.pi / lengths[cell]) ** 2 * variances[cell] / 2)
        for i in range(n):
            j = begin + (i + 1 if i + 1 < n else 0)
            side[i + 1] = np.sqrt(
                (points[j, 0] - points[begin + i, 0]) ** 2 + (points[j, 1] - points[begin + i, 1]) ** 2
            )
        side[0] = side[n]
        for i in range(1, n + 1):
            # rate over side and over the mean of both sides, with one division for the two
            share = 2 * rate / (side[i] * side[i - 1] * (side[i] + side[i - 1]))
            to_next[i], to_last[i] = share * side[i - 1], share * side[i]
        for axis in range(2):
            mean = 0.0
            for i in range(n):
                line[i + 1] = points[begin + i, axis]
                mean += (side[i + 1] + side[i]) * line[i + 1]
            mean /= 2 * lengths[cell]
            done = _diffuse(line, other, n, to_next, to_last, n_steps)
            for i in range(n):
                out[begin + i, axis] = mean + scale * (done[i + 1] - mean)
