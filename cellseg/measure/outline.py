"""Form of the outline of each cell: hull, concavities, radii, roughness, curvature, fractals, symmetry. Floor 3.

Hull, concavities, radii and roughness are those of the outline smoothed by a Gaussian of 1 px along its length: of a
disc drawn in pixels it has the length to about 1 %, of a convex cell the convexity to about as much.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.contour import STAIRS_VARIANCE_PX2, longest, smooth_contours, trace_contours
from cellseg.measure.curvature import measure_curvature
from cellseg.measure.fractal import measure_fractals
from cellseg.measure.patches import Patches
from cellseg.measure.symmetry import measure_symmetry

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MIN_DEPTH_PX = 1.25
"""px below the hull's edge from which on a concavity counts; stairs of convex forms and steps of 1 px are less deep."""
_TOUCHING_PX = 0.25
"""px; where the outline comes back to its hull this near a concavity ends: a flat side may have several."""
_MOST_ASIDE = 64
"""Corners to either side that a parabola is laid through: the time grows no faster than the outline."""
ROUGHNESS_PARTS = {"fine": 16, "medium": 8, "coarse": 4}
"""Window of the smoothed self, as a part of the outline's corners."""


def measure_outline(patches: Patches, *, mpp: float) -> dict[str, Floats]:
    """The columns of family `outline` of each cell.

    The outline is that of `trace_contours`: of the largest piece, holes filled. NaN where it has fewer than 12 corners
    or is narrower than 1.5 px in the mean (dots and lines), but for the symmetries, which are of the pixels themselves.

    Parameters
    ----------
    patches : Patches
        n cells.
    mpp : float
        Microns per pixel.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        Column name to values, units in the names.
    """
    traced = trace_contours(patches)
    smooth = smooth_contours(traced, np.full(len(traced), STAIRS_VARIANCE_PX2))
    room = longest(smooth.starts)
    hulls = _hulls(smooth.points, smooth.starts, room)
    radii = _radii(smooth.points, smooth.starts)
    rough = _roughness(smooth.points, smooth.starts, np.array(tuple(ROUGHNESS_PARTS.values())), room)
    columns = {
        "outline_length_um": smooth.lengths_px * mpp,
        "hull_perimeter_um": hulls[0] * mpp,
        "convexity": _ratios(hulls[0], smooth.lengths_px),
        "concavity_count": hulls[2],
        "concavity_depth_max_um": hulls[3] * mpp,
        "concavity_depth_mean_um": hulls[4] * mpp,
        "concavity_area_share": np.maximum(1 - _ratios(smooth.areas_px2, hulls[1]), 0.0),
        "concavity_largest_share": _ratios(hulls[5], hulls[1]),
        "radius_mean_um": radii[0] * mpp,
        "radius_sd_um": radii[1] * mpp,
        "radius_ratio": _ratios(radii[2], radii[3]),
        **{f"roughness_{name}": _ratios(rough[at], radii[0]) for at, name in enumerate(ROUGHNESS_PARTS)},
        **measure_curvature(traced, mpp=mpp),
        **measure_fractals(traced),
    }
    measurable = traced.measurable
    return {name: np.where(measurable, values, np.nan) for name, values in columns.items()} | measure_symmetry(patches)


def _ratios(above: Floats, below: Floats) -> Floats:
    """Quotients, at most 1; NaN where there is nothing to divide by."""
    some = below > 0
    return np.where(some, np.minimum(above / np.where(some, below, 1.0), 1.0), np.nan)


@njit(nogil=True, cache=True)
def _side(points: Floats, a: int, b: int, c: int) -> float:
    """Twice the area of a triangle of corners, positive where the way turns as the outline of a convex cell does."""
    ay, ax = points[a, 0], points[a, 1]
    return float((points[b, 1] - ax) * (points[c, 0] - ay) - (points[b, 0] - ay) * (points[c, 1] - ax))


@njit(nogil=True, cache=True)
def _hull(points: Floats, deque: Ints) -> tuple[int, int]:
    """First and behind last place of the hull's corners in `deque` (Melkman 1987, Inf Process Lett 25:11)."""
    n = len(points)
    second, third = 1, 2
    while third < n and _side(points, 0, second, third) == 0:
        second, third = third, third + 1
    if third == n:
        return 0, 0
    low, high = n, n + 3
    deque[low] = deque[high] = third
    deque[low + 1], deque[low + 2] = 0, second
    if _side(points, 0, second, third) < 0:
        deque[low + 1], deque[low + 2] = second, 0
    for i in range(third + 1, n):
        if _side(points, deque[high - 1], deque[high], i) > 0 and _side(points, deque[low], deque[low + 1], i) > 0:
            continue
        while high - low > 1 and _side(points, deque[high - 1], deque[high], i) <= 0:
            high -= 1
        while high - low > 1 and _side(points, deque[low], deque[low + 1], i) <= 0:
            low += 1
        low, high = low - 1, high + 1
        deque[low] = deque[high] = i
    return low, high


@njit(nogil=True, cache=True)
def _dips(points: Floats, a: int, b: int, edge: float) -> tuple[int, float, float, float]:
    """Concavities between two corners of the hull: number, greatest depth, sum of depths, greatest area."""
    n = len(points)
    along_y, along_x = (points[b, 0] - points[a, 0]) / edge, (points[b, 1] - points[a, 1]) / edge
    count, greatest, total, largest = 0, 0.0, 0.0, 0.0
    dip, area, depth, way = 0.0, 0.0, 0.0, 0.0
    i = a
    while i != b:
        i = i + 1 if i + 1 < n else 0
        y, x = points[i, 0] - points[a, 0], points[i, 1] - points[a, 1]
        before, last = depth, way
        depth, way = along_x * y - along_y * x, along_x * x + along_y * y
        dip, area = max(dip, depth), area + (before + depth) * (way - last) / 2
        if depth < _TOUCHING_PX or i == b:
            if dip > MIN_DEPTH_PX:
                count, total = count + 1, total + dip
                greatest, largest = max(greatest, dip), max(largest, area)
            dip, area = 0.0, 0.0
    return count, greatest, total, largest


@njit(nogil=True, cache=True)
def _hulls(points: Floats, starts: Ints, room: int) -> Floats:
    """(6, n): perimeter and area of the hull; number, greatest and mean depth and greatest area of concavities."""
    n = len(starts) - 1
    table = np.zeros((6, n), np.float64)
    deque = np.empty(2 * room + 4, np.int64)
    for cell in range(n):
        outline = points[starts[cell] : starts[cell + 1]]
        low, high = _hull(outline, deque)
        depths = 0.0
        for at in range(low, high):
            a, b = deque[at], deque[at + 1]
            edge = np.sqrt((outline[b, 0] - outline[a, 0]) ** 2 + (outline[b, 1] - outline[a, 1]) ** 2)
            table[0, cell] += edge
            table[1, cell] += _side(outline, deque[low], a, b) / 2
            if edge == 0 or b == a + 1:
                continue
            count, greatest, total, largest = _dips(outline, a, b, edge)
            table[2, cell] += count
            table[3, cell] = max(table[3, cell], greatest)
            depths += total
            table[5, cell] = max(table[5, cell], largest)
        if table[2, cell] > 0:
            table[4, cell] = depths / table[2, cell]
    return table


@njit(nogil=True, cache=True)
def _centroid(points: Floats) -> tuple[float, float]:
    """Centroid of the area within a polygon; the mean of its corners where it has none."""
    n = len(points)
    y0, x0 = points[0, 0], points[0, 1]
    twice, sum_y, sum_x, mean_y, mean_x = 0.0, 0.0, 0.0, 0.0, 0.0
    before_y, before_x = points[n - 1, 0] - y0, points[n - 1, 1] - x0
    for i in range(n):
        y, x = points[i, 0] - y0, points[i, 1] - x0
        cross = before_x * y - x * before_y
        twice += cross
        sum_y, sum_x = sum_y + cross * (y + before_y), sum_x + cross * (x + before_x)
        mean_y, mean_x = mean_y + y / n, mean_x + x / n
        before_y, before_x = y, x
    if twice <= 0:
        return y0 + mean_y, x0 + mean_x
    return y0 + sum_y / (3 * twice), x0 + sum_x / (3 * twice)


@njit(nogil=True, cache=True)
def _radii(points: Floats, starts: Ints) -> Floats:
    """(4, n): mean and sd over the length, least and greatest distance of the outline from its centroid."""
    n = len(starts) - 1
    table = np.zeros((4, n), np.float64)
    for cell in range(n):
        outline = points[starts[cell] : starts[cell + 1]]
        size = len(outline)
        cy, cx = _centroid(outline)
        least, greatest, length, total, square = np.inf, 0.0, 0.0, 0.0, 0.0
        y, x = outline[size - 1, 0], outline[size - 1, 1]
        radius = np.sqrt((y - cy) ** 2 + (x - cx) ** 2)
        shift = radius
        for i in range(size):
            side = np.sqrt((outline[i, 0] - y) ** 2 + (outline[i, 1] - x) ** 2)
            y, x = outline[i, 0], outline[i, 1]
            before, radius = radius, np.sqrt((y - cy) ** 2 + (x - cx) ** 2)
            least, greatest = min(least, radius), max(greatest, radius)
            length += side
            # each side by its ends, from a radius of the outline: no cancelling
            total += side * (before + radius - 2 * shift) / 2
            square += side * ((before - shift) ** 2 + (radius - shift) ** 2) / 2
        if length > 0:
            mean = total / length
            table[0, cell] = shift + mean
            table[1, cell] = np.sqrt(max(square / length - mean * mean, 0.0))
        table[2, cell], table[3, cell] = least, greatest
    return table


@njit(nogil=True, cache=True)
def _roughness(points: Floats, starts: Ints, parts: Ints, room: int) -> Floats:
    """(parts, n): mean distance across the outline from its local parabola; NaN where a window has less than 5 corners.

    Windows are of one corner and, on either side, of half a part of the outline's corners.
    """
    n = len(starts) - 1
    out = np.full((len(parts), n), np.nan)
    ys, xs = np.empty(2 * room + 2), np.empty(2 * room + 2)
    off_y, off_x = np.empty(room), np.empty(room)
    across_y, across_x = np.empty(room), np.empty(room)
    for cell in range(n):
        outline = points[starts[cell] : starts[cell + 1]]
        size = len(outline)
        for i in range(size):
            a, b = i - 1 if i else size - 1, i + 1 if i + 1 < size else 0
            y, x = outline[b, 0] - outline[a, 0], outline[b, 1] - outline[a, 1]
            along = max(np.sqrt(y * y + x * x), 1e-12)
            across_y[i], across_x[i] = x / along, -y / along
        for at in range(len(parts)):
            half = size // (2 * parts[at])
            if half < 2:
                continue
            for i in range(size):
                ys[i + half], xs[i + half] = outline[i, 0], outline[i, 1]
            for line in (ys, xs):
                line[:half] = line[size : size + half]
                line[size + half : size + 2 * half] = line[half : 2 * half]
            _depart(ys, half, off_y[:size])
            _depart(xs, half, off_x[:size])
            total = 0.0
            for i in range(size):
                total += abs(off_y[i] * across_y[i] + off_x[i] * across_x[i])
            out[at, cell] = total / size
    return out


@njit(nogil=True, cache=True)
def _depart(line: Floats, half: int, out: Floats) -> None:
    """Values less the middles of the parabolas of least squares through those up to `half` places to either side.

    Weights as in Savitzky & Golay 1964. Of wide windows every second, third, ... value is taken, always at even steps.
    """
    n = len(out)
    step = (half + _MOST_ASIDE - 1) // _MOST_ASIDE
    m = half // step
    scale = float((2 * m - 1) * (2 * m + 1) * (2 * m + 3))
    top = 3.0 * (3 * m * m + 3 * m - 1)
    weight = 1 - top / scale
    for i in range(n):
        out[i] = weight * line[i + half]
    for j in range(1, m + 1):
        weight = (top - 15.0 * j * j) / scale
        low, high = half - j * step, half + j * step
        before, after = line[low : low + n], line[high : high + n]
        for i in range(n):
            out[i] -= weight * (before[i] + after[i])
