"""The ten nuclear features of Street, Wolberg and Mangasarian, and their thirty summaries of a sample. Floor 3.

The paper reads them off an active contour. Here the contour is the cell's traced outline with the pixels' stairs
smoothed off, and what the paper does at each of the contour's points is done all along the outline, weighted by
length: the figures depend on no starting point, and not on the number of pixels either, save for the stairs.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.contour import STAIRS_VARIANCE_PX2, longest, smooth_contours, trace_contours
from cellseg.measure.moments import scaled_covariance
from cellseg.measure.patches import Patches

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FEATURES = (
    "wdbc10_radius_um", "wdbc10_texture", "wdbc10_perimeter_um", "wdbc10_area_um2", "wdbc10_smoothness",
    "wdbc10_compactness", "wdbc10_concavity", "wdbc10_concave_points", "wdbc10_symmetry", "wdbc10_fractal_dimension",
)  # fmt: skip
"""In the order of the Wisconsin table."""
SUMMARIES = ("mean", "standard_error", "worst")
"""In the order of the Wisconsin table: first all means, then all standard errors, then all worst."""
N_WORST = 3
"""Cells whose greatest values make the `worst` of a sample."""
CONTOUR_POINTS = 24
"""Points of the contour: neighbours are a 24th of the outline apart."""
CONCAVE_FROM = 0.01
"""Parts of a chord that the outline lies inside of it from which on a point counts as concave."""
RULER_POINTS = (32, 16, 8, 4)
"""Rulers of the coastline: the outline's length over so many."""
N_CHORDS = 256
"""Directions in which the longest chord through the centroid is looked for, half a step off the axes."""
N_PERPENDICULARS = 32
"""Perpendiculars to the longest chord."""
_TIE = 1e-9
"""Of the longest chord's length; chords that differ by less are equally long."""
_EXACT_PIXELS = 46_000
"""Up to this many 16-bit pixels the products of the variance fit in int64."""


def measure_wdbc10(patches: Patches, values: NDArray[np.uint16], *, n_levels: int, mpp: float) -> dict[str, Floats]:
    """The ten features of each nucleus (Street, Wolberg, Mangasarian 1993, Proc SPIE 1905:861).

    The outline is that of the largest piece, holes filled, smoothed by a Gaussian of 1 px^2 along its length. All but
    the texture are NaN where it has fewer than 12 corners or is narrower than 1.5 px in the mean (dots and lines).

    Parameters
    ----------
    patches : Patches
        n cells.
    values : (m,) ndarray of uint16
        Gray of the patches' pixels, 0 to `n_levels` - 1.
    n_levels : int
        Gray levels; the texture is in 255ths of their range, whatever their number.
    mpp : float
        Microns per pixel.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        Keys of `FEATURES`.
    """
    traced = trace_contours(patches)
    smooth = smooth_contours(traced, np.full(len(traced), STAIRS_VARIANCE_PX2))
    room = longest(smooth.starts)
    radius, smoothness, concavity, concave_points, fractal = _along(smooth.points, smooth.starts, room)
    area, length = smooth.areas_px2, smooth.lengths_px
    round_area = 4 * np.pi * area
    compactness = np.square(length) / np.where(round_area > 0, round_area, 1.0) - 1
    columns = {
        "wdbc10_radius_um": radius * mpp,
        "wdbc10_texture": _grey_spread(patches, values) * (255 / (n_levels - 1)),
        "wdbc10_perimeter_um": length * mpp,
        "wdbc10_area_um2": area * mpp**2,
        "wdbc10_smoothness": smoothness,
        "wdbc10_compactness": compactness,
        "wdbc10_concavity": concavity,
        "wdbc10_concave_points": concave_points,
        "wdbc10_symmetry": _symmetry(smooth.points, smooth.starts, _rays()),
        "wdbc10_fractal_dimension": fractal,
    }
    seen = traced.measurable
    return {name: column if name == FEATURES[1] else np.where(seen, column, np.nan) for name, column in columns.items()}


def summarize_wdbc10(columns: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """The thirty figures of a sample in the order of the Wisconsin table, from the ten features of its cells.

    Of each feature the mean, its standard error (sample standard deviation over the root of the number of cells) and
    the worst: the mean of the three greatest values. Cells in which a feature is NaN are left out of its figures.

    Parameters
    ----------
    columns : Mapping of str to (n,) ndarray of float64
        The ten columns of `FEATURES`, of the cells that are to count.

    Returns
    -------
    dict of str to float
        `{feature}_{mean, standard_error, worst}`; NaN where no cell is left, the standard error with fewer than two,
        the worst with fewer than three.
    """
    kept = {name: np.sort(columns[name][np.isfinite(columns[name])]) for name in FEATURES}
    return {f"{name}_{summary}": _summarize(kept[name], summary) for summary in SUMMARIES for name in FEATURES}


def _summarize(values: Floats, summary: str) -> float:
    """One figure of sorted values."""
    if summary == "mean":
        return float(values.mean()) if len(values) else np.nan
    if summary == "worst":
        return float(values[-N_WORST:].mean()) if len(values) >= N_WORST else np.nan
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan


def _grey_spread(patches: Patches, values: NDArray[np.uint16]) -> Floats:
    """Standard deviation of each cell's counts, population form."""
    sums = _sum_values(patches.mask, values, patches.starts)
    n = patches.n_pixels
    variance = scaled_covariance(n, sums[0], sums[0], sums[1], large=n > _EXACT_PIXELS)
    return np.asarray(np.sqrt(variance) / n)


@njit(nogil=True, cache=True)
def _sum_values(mask: NDArray[np.uint8], values: NDArray[np.uint16], starts: Ints) -> Ints:
    n = len(starts) - 1
    sums = np.zeros((2, n), np.int64)
    for cell in range(n):
        total, squares = np.int64(0), np.int64(0)
        inside, counts = mask[starts[cell] : starts[cell + 1]], values[starts[cell] : starts[cell + 1]]
        for i in range(len(inside)):
            count = np.int64(counts[i]) * inside[i]
            total += count
            squares += count * count
        sums[0, cell], sums[1, cell] = total, squares
    return sums


@njit(nogil=True, cache=True)
def _measure_sides(points: Floats, side: Floats, weight: Floats) -> float:
    """Length of the side after each corner and the length that belongs to each; returns the whole length."""
    n = len(points)
    length = 0.0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        side[i] = np.sqrt((points[j, 0] - points[i, 0]) ** 2 + (points[j, 1] - points[i, 1]) ** 2)
        length += side[i]
    for i in range(n):
        weight[i] = (side[i] + side[i - 1]) / (2 * length)
    return length


@njit(nogil=True, cache=True)
def _walk(points: Floats, side: Floats, step: float, out: Floats) -> None:
    """The points of the outline that lie `step` px behind each corner along it."""
    n = len(points)
    at, gone = 0, 0.0  # the side that the point is on, and its length up to that side from corner i on
    for i in range(n):
        while gone + side[at] < step:
            gone += side[at]
            at = at + 1 if at + 1 < n else 0
        part = (step - gone) / side[at] if side[at] > 0 else 0.0
        after = at + 1 if at + 1 < n else 0
        out[i, 0] = points[at, 0] + part * (points[after, 0] - points[at, 0])
        out[i, 1] = points[at, 1] + part * (points[after, 1] - points[at, 1])
        gone -= side[i]


@njit(nogil=True, cache=True)
def _along(points: Floats, starts: Ints, room: int) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Mean radius (px), smoothness, concavity, share of concave points and coastline dimension less 1."""
    n_cells = len(starts) - 1
    table = np.zeros((5, n_cells), np.float64)
    side, weight = np.empty(room), np.empty(room)
    ahead, behind = np.empty((room, 2)), np.empty((room, 2))
    for cell in range(n_cells):
        outline = points[starts[cell] : starts[cell + 1]]
        n = len(outline)
        length = _measure_sides(outline, side[:n], weight[:n])
        if length == 0:
            continue
        table[0, cell], table[1, cell] = _radii(outline, side[:n], weight[:n], length, ahead, behind)
        table[2, cell], table[3, cell] = _hollows(outline, weight[:n], ahead, behind)
        table[4, cell] = _coastline(outline, side[:n], weight[:n], length, ahead, behind)
    return table[0], table[1], table[2], table[3], table[4]


@njit(nogil=True, cache=True)
def _radii(
    outline: Floats, side: Floats, weight: Floats, length: float, ahead: Floats, behind: Floats
) -> tuple[float, float]:
    """Mean distance from the outline's centroid; mean difference of a radius to its neighbours' mean, in steps."""
    n = len(outline)
    cy, cx = 0.0, 0.0
    for i in range(n):
        cy += weight[i] * outline[i, 0]
        cx += weight[i] * outline[i, 1]
    step = length / CONTOUR_POINTS
    _walk(outline, side, step, ahead[:n])
    _walk(outline, side, length - step, behind[:n])
    radius, rough = 0.0, 0.0
    for i in range(n):
        here = np.sqrt((outline[i, 0] - cy) ** 2 + (outline[i, 1] - cx) ** 2)
        after = np.sqrt((ahead[i, 0] - cy) ** 2 + (ahead[i, 1] - cx) ** 2)
        before = np.sqrt((behind[i, 0] - cy) ** 2 + (behind[i, 1] - cx) ** 2)
        radius += weight[i] * here
        rough += weight[i] * abs(here - (after + before) / 2)
    return radius, rough / step


@njit(nogil=True, cache=True)
def _hollows(outline: Floats, weight: Floats, ahead: Floats, behind: Floats) -> tuple[float, float]:
    """Sum of depths inside of the chords between each point's neighbours, in chords; share of concave points."""
    n = len(outline)
    depth, share = 0.0, 0.0
    for i in range(n):
        dy, dx = ahead[i, 0] - behind[i, 0], ahead[i, 1] - behind[i, 1]
        chord = np.sqrt(dy * dy + dx * dx)
        if chord == 0:
            continue
        # the cell lies on the right-hand side of the outline as the image is seen
        inside = (dx * (outline[i, 0] - behind[i, 0]) - dy * (outline[i, 1] - behind[i, 1])) / (chord * chord)
        if inside > CONCAVE_FROM:
            share += weight[i]
            depth += weight[i] * inside
    return CONTOUR_POINTS * depth, share


@njit(nogil=True, cache=True)
def _coastline(outline: Floats, side: Floats, weight: Floats, length: float, ahead: Floats, behind: Floats) -> float:
    """Downward slope of the logarithm of the length over that of the ruler."""
    n = len(outline)
    n_rulers = len(RULER_POINTS)
    mean_x, top, bottom = 0.0, 0.0, 0.0
    for k in range(n_rulers):
        mean_x -= np.log(RULER_POINTS[k]) / n_rulers
    for k in range(n_rulers):
        step = length / RULER_POINTS[k]
        _walk(outline, side, step, ahead[:n])
        _walk(outline, side, length - step, behind[:n])
        chord = 0.0
        for i in range(n):
            y, x = outline[i, 0], outline[i, 1]
            to = np.sqrt((ahead[i, 0] - y) ** 2 + (ahead[i, 1] - x) ** 2)
            fro = np.sqrt((behind[i, 0] - y) ** 2 + (behind[i, 1] - x) ** 2)
            chord += weight[i] * (to + fro) / 2
        if chord == 0:
            return 0.0
        x, y = -np.log(RULER_POINTS[k]) - mean_x, np.log(chord / step)
        top += x * y
        bottom += x * x
    return -top / bottom


def _rays() -> Floats:
    """(2 * N_CHORDS, 2): sine and cosine of the rays from the centroid, half a step off the axes."""
    turn = (np.arange(2 * N_CHORDS) + 0.5) * np.pi / N_CHORDS
    return np.stack([np.sin(turn), np.cos(turn)], axis=1)


@njit(nogil=True, cache=True)
def _reach(outline: Floats, rays: Floats, cy: float, cx: float, out: Floats) -> None:
    """Distance from the centroid to where the outline meets each ray farthest out; 0 where it does not."""
    n, n_rays = len(outline), len(rays)
    out[:] = 0.0
    by, bx = outline[n - 1, 0] - cy, outline[n - 1, 1] - cx
    scale = n_rays / (2 * np.pi)
    before = np.arctan2(by, bx) * scale - 0.5
    for i in range(n):
        y, x = outline[i, 0] - cy, outline[i, 1] - cx
        turn = np.arctan2(y, x) * scale - 0.5
        low, high = min(before, turn), max(before, turn)
        if high - low > n_rays / 2:
            low, high = high, low + n_rays
        cross = bx * y - by * x
        for k in range(int(np.ceil(low)), int(np.floor(high)) + 1):
            ray = k % n_rays
            across = rays[ray, 1] * (y - by) - rays[ray, 0] * (x - bx)
            if across != 0:
                out[ray] = max(out[ray], cross / across)
        by, bx, before = y, x, turn


@njit(nogil=True, cache=True)
def _lopsided(outline: Floats, cy: float, cx: float, sine: float, cosine: float, low: Floats, high: Floats) -> float:
    """Difference of the perpendiculars on both sides of an axis over their mean."""
    n = len(outline)
    first, last = np.inf, -np.inf
    for i in range(n):
        along = (outline[i, 0] - cy) * sine + (outline[i, 1] - cx) * cosine
        first, last = min(first, along), max(last, along)
    step = (last - first) / N_PERPENDICULARS
    if step == 0:
        return 0.0
    low[:], high[:] = np.inf, -np.inf
    y, x = outline[n - 1, 0] - cy, outline[n - 1, 1] - cx
    place, beside = (y * sine + x * cosine - first) / step - 0.5, y * cosine - x * sine
    for i in range(n):
        y, x = outline[i, 0] - cy, outline[i, 1] - cx
        place_i, beside_i = (y * sine + x * cosine - first) / step - 0.5, y * cosine - x * sine
        for k in range(int(np.ceil(min(place, place_i))), int(np.floor(max(place, place_i))) + 1):
            if 0 <= k < N_PERPENDICULARS and place_i != place:
                at = beside + (k - place) / (place_i - place) * (beside_i - beside)
                low[k], high[k] = min(low[k], at), max(high[k], at)
        place, beside = place_i, beside_i
    difference, total = 0.0, 0.0
    for k in range(N_PERPENDICULARS):
        if high[k] >= low[k]:
            difference += abs(high[k] + low[k])
            total += high[k] - low[k]
    return 2 * difference / total if total > 0 else 0.0


@njit(nogil=True, cache=True)
def _symmetry(points: Floats, starts: Ints, rays: Floats) -> Floats:
    n_cells = len(starts) - 1
    out = np.zeros(n_cells, np.float64)
    reach, low, high = np.empty(2 * N_CHORDS), np.empty(N_PERPENDICULARS), np.empty(N_PERPENDICULARS)
    for cell in range(n_cells):
        outline = points[starts[cell] : starts[cell + 1]]
        n = len(outline)
        cy, cx, length = 0.0, 0.0, 0.0
        for i in range(n):
            j = i + 1 if i + 1 < n else 0
            side = np.sqrt((outline[j, 0] - outline[i, 0]) ** 2 + (outline[j, 1] - outline[i, 1]) ** 2)
            cy += side * (outline[i, 0] + outline[j, 0])
            cx += side * (outline[i, 1] + outline[j, 1])
            length += 2 * side
        if length == 0:
            continue
        cy, cx = cy / length, cx / length
        _reach(outline, rays, cy, cx, reach)
        longest_chord = 0.0
        for k in range(N_CHORDS):
            longest_chord = max(longest_chord, reach[k] + reach[k + N_CHORDS])
        best = np.inf
        for k in range(N_CHORDS):
            if reach[k] + reach[k + N_CHORDS] >= longest_chord * (1 - _TIE):
                best = min(best, _lopsided(outline, cy, cx, rays[k, 0], rays[k, 1], low, high))
        out[cell] = best
    return out
