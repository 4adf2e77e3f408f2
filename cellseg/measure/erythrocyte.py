"""Form of red cells and how their stain is shared out from centre to rim. Floor 3: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.contour import STAIRS_VARIANCE_PX2, longest, smooth_contours, trace_contours
from cellseg.measure.inner_distance import square_depths
from cellseg.measure.moments import scaled_covariance
from cellseg.measure.patches import Patches

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MIN_SPICULE_HEIGHT = 0.05
"""Of the mean radius; how far a spicule rises above the higher one of the valleys beside it."""
MIN_SPICULE_HEIGHT_PX = 1.0
"""px; the pixels' stairs rise less."""
MAX_SPICULE_WIDTH = 0.2
"""Of the outline's length; a spicule is narrower than that at half its height. The ends of an ellipse have 0.25."""
N_RINGS = 8
N_OUTER_RINGS = 4
"""Rings that the rim is looked for in: half the way to the centre."""
PALE_BELOW = 0.8
"""Of the rim's density; what is less dense is pale."""
_EXACT_SIDE_PX = 1024
"""Boxes up to this side have second moments whose products fit in int64."""


def measure_erythrocyte_shape(patches: Patches) -> dict[str, Floats]:
    """Shape factors and spicules of red cells.

    The circular and the elliptical shape factor tell discocytes from sickle cells (Delgado-Font et al. 2020, Med Biol
    Eng Comput 58:1265). Spicules are narrow peaks of the distance from the outline's centroid. The outline is that of
    the largest piece, holes filled, smoothed by a Gaussian of 1 px^2 along its length; what needs it is NaN where it
    has fewer than 12 corners or is narrower than 1.5 px in the mean.

    Parameters
    ----------
    patches : Patches
        n cells.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        `erythrocyte_circular_shape_factor`, `erythrocyte_elliptical_shape_factor`, `erythrocyte_spicule_count`,
        `erythrocyte_spicule_height` and `erythrocyte_spicule_spacing_cv`.
    """
    traced = trace_contours(patches)
    smooth = smooth_contours(traced, np.full(len(traced), STAIRS_VARIANCE_PX2))
    seen = traced.measurable
    length = np.where(seen, smooth.lengths_px, 1.0)
    count, height, spacing = _spicules(smooth.points, smooth.starts, longest(smooth.starts))
    return {
        "erythrocyte_circular_shape_factor": np.where(
            seen, np.minimum(4 * np.pi * smooth.areas_px2 / np.square(length), 1.0), np.nan
        ),
        "erythrocyte_elliptical_shape_factor": _axis_ratio(patches),
        "erythrocyte_spicule_count": np.where(seen, count, np.nan),
        "erythrocyte_spicule_height": np.where(seen, height, np.nan),
        "erythrocyte_spicule_spacing_cv": np.where(seen, spacing, np.nan),
    }


def measure_erythrocyte_rings(
    patches: Patches, values: NDArray[np.uint16], *, n_levels: int, dark: bool
) -> dict[str, Floats]:
    """Pallor, target and radial profile of red cells, all relative to the rim.

    Eight rings of equal width by distance to the edge, over that of the deepest pixel. Values are turned into densities
    first: of gray, where cells are dark, into the optical density against the brightest level,
    log10(n_levels / (value + 1)); of stains the density is the value itself. The rim is the densest of the four outer
    rings; everything is in parts of its density, so that the strength of the stain drops out.

    Parameters
    ----------
    patches : Patches
        n cells.
    values : (m,) ndarray of uint16
        Counts of the patches' pixels, 0 to `n_levels` - 1.
    n_levels : int
        Levels that a count may have.
    dark : bool
        True where dense cells have low values (gray, channels of transmitted light), False where they have high ones
        (stains' optical densities).

    Returns
    -------
    dict of str to (n,) ndarray of float64
        `erythrocyte_pallor_area_share`, `erythrocyte_pallor_depth`, `erythrocyte_pallor_offset`,
        `erythrocyte_target_index` and `erythrocyte_ring_1` (centre) to `erythrocyte_ring_8` (edge). NaN where the rim
        has no density or the cell is too narrow for one (less than 3 px); a ring also where it has no pixel; the offset
        also without pale pixels.
    """
    levels = np.arange(n_levels)
    density = np.log10(n_levels / (levels + 1.0)) if dark else levels.astype(np.float64)
    table = _rings(
        patches.mask, values, patches.starts, patches.widths, patches.n_pixels, square_depths(patches), density
    )
    names = ("pallor_area_share", "pallor_depth", "pallor_offset", "target_index")
    rings = tuple(f"ring_{ring}" for ring in range(1, N_RINGS + 1))
    return {f"erythrocyte_{name}": table[:, i].copy() for i, name in enumerate((*names, *rings))}


def _axis_ratio(patches: Patches) -> Floats:
    """Short over long axis of the ellipse of the same second moments; NaN for a single pixel."""
    n, sy, sx, syy, sxx, sxy = _moments(patches.mask, patches.starts, patches.widths).T
    large = np.maximum(patches.heights, patches.widths) > _EXACT_SIDE_PX
    yy, xx = scaled_covariance(n, sy, sy, syy, large=large), scaled_covariance(n, sx, sx, sxx, large=large)
    yx = scaled_covariance(n, sy, sx, sxy, large=large)
    root = np.hypot(yy - xx, 2 * yx)
    wide = yy + xx + root
    ratio = np.sqrt(np.maximum(yy + xx - root, 0.0) / np.where(wide > 0, wide, 1.0))
    return np.where(wide > 0, ratio, np.nan)


@njit(nogil=True, cache=True)
def _moments(mask: NDArray[np.uint8], starts: Ints, widths: Ints) -> Ints:
    n_cells = len(widths)
    sums = np.zeros((n_cells, 6), np.int64)
    for cell in range(n_cells):
        width = widths[cell]
        for y in range((starts[cell + 1] - starts[cell]) // width):
            row = mask[starts[cell] + y * width : starts[cell] + (y + 1) * width]
            n, sum_x, sum_xx = 0, 0, 0
            for x in range(width):
                n += row[x]
                sum_x += row[x] * x
                sum_xx += row[x] * x * x
            sums[cell, 0] += n
            sums[cell, 1] += n * y
            sums[cell, 2] += sum_x
            sums[cell, 3] += n * y * y
            sums[cell, 4] += sum_xx
            sums[cell, 5] += y * sum_x
    return sums


@njit(nogil=True, cache=True)
def _distances(outline: Floats, place: Floats, radius: Floats) -> tuple[float, float]:
    """Place along the outline and distance from its centroid of each corner; returns its length and mean radius."""
    n = len(outline)
    length, cy, cx = 0.0, 0.0, 0.0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        side = np.sqrt((outline[j, 0] - outline[i, 0]) ** 2 + (outline[j, 1] - outline[i, 1]) ** 2)
        place[i] = length
        length += side
        cy += side * (outline[i, 0] + outline[j, 0])
        cx += side * (outline[i, 1] + outline[j, 1])
    if length == 0:
        return 0.0, 0.0
    cy, cx = cy / (2 * length), cx / (2 * length)
    mean = 0.0
    for i in range(n):
        radius[i] = np.sqrt((outline[i, 0] - cy) ** 2 + (outline[i, 1] - cx) ** 2)
    for i in range(n):
        after = place[i + 1] if i + 1 < n else length
        mean += (after - place[i]) * (radius[i] + radius[i + 1 if i + 1 < n else 0]) / (2 * length)
    return length, mean


@njit(nogil=True, cache=True)
def _extremes(radius: Floats, least: float, peaks: Ints, valleys: Ints) -> int:
    """Corners where the radius is highest and lowest in turn; each is at least `least` from the next. Returns pairs.

    The first valley is the lowest corner; peak k lies between valleys k and k + 1 (the last before the first again).
    """
    n = len(radius)
    lowest = 0
    for i in range(n):
        if radius[i] < radius[lowest]:
            lowest = i
    size, rising, best = 0, True, lowest
    valleys[0] = lowest
    for step in range(1, n + 1):
        i = (lowest + step) % n
        if rising:
            if radius[i] > radius[best]:
                best = i
            elif radius[best] - radius[i] >= least and radius[best] - radius[valleys[size]] >= least:
                peaks[size] = best
                size += 1
                rising, best = False, i
            elif radius[i] < radius[valleys[size]]:
                valleys[size] = best = i
        elif radius[i] < radius[best]:
            best = i
        elif radius[i] - radius[best] >= least:
            valleys[size] = best
            rising, best = True, i
    return size


@njit(nogil=True, cache=True)
def _slope(radius: Floats, place: Floats, length: float, peak: int, level: float, way: int) -> float:
    """Length of the outline from a peak on, forwards or backwards, until the radius falls below a level."""
    n = len(radius)
    total = 0.0
    i = peak
    for _ in range(n):
        j = (i + way) % n
        side = (place[j] - place[i]) * way
        if side < 0:
            side += length
        if radius[j] < level:
            return float(total + side * (radius[i] - level) / (radius[i] - radius[j]))
        total += side
        i = j
    return total


@njit(nogil=True, cache=True)
def _spicules(points: Floats, starts: Ints, room: int) -> tuple[Floats, Floats, Floats]:
    """Number of spicules, their mean height over the mean radius, and spread of their gaps over the mean gap."""
    n_cells = len(starts) - 1
    count, height, spacing = np.zeros(n_cells), np.full(n_cells, np.nan), np.full(n_cells, np.nan)
    place, radius, tips = np.empty(room), np.empty(room), np.empty(room)
    peaks, valleys = np.empty(room + 1, np.int64), np.empty(room + 1, np.int64)
    for cell in range(n_cells):
        outline = points[starts[cell] : starts[cell + 1]]
        n = len(outline)
        length, mean = _distances(outline, place, radius)
        if length == 0:
            continue
        least = max(MIN_SPICULE_HEIGHT * mean, MIN_SPICULE_HEIGHT_PX)
        n_peaks = _extremes(radius[:n], least, peaks, valleys)
        n_tips, heights = 0, 0.0
        for k in range(n_peaks):
            after = valleys[k + 1] if k + 1 < n_peaks else valleys[0]
            peak = peaks[k]
            rise = radius[peak] - max(radius[valleys[k]], radius[after])
            if rise < least:
                continue
            half = radius[peak] - rise / 2
            ahead = _slope(radius[:n], place, length, peak, half, 1)
            behind = _slope(radius[:n], place, length, peak, half, -1)
            if ahead + behind <= MAX_SPICULE_WIDTH * length:
                tips[n_tips] = place[peak] + (ahead - behind) / 2
                n_tips += 1
                heights += rise / mean
        count[cell] = n_tips
        if n_tips:
            height[cell] = heights / n_tips
        if n_tips > 1:
            squares = 0.0
            for k in range(n_tips):
                gap = tips[k + 1] - tips[k] if k + 1 < n_tips else tips[0] - tips[k]
                gap += length if gap <= 0 else 0.0
                squares += (gap * n_tips / length - 1) ** 2
            spacing[cell] = np.sqrt(squares / n_tips)
    return count, height, spacing


@njit(nogil=True, cache=True)
def _profile(total: Floats, count: Ints, out: Floats) -> int:
    """Means of the rings over that of the rim, from the centre on; returns the rim, -1 where it has no density."""
    rim, densest = -1, 0.0
    for ring in range(N_RINGS):
        out[ring] = total[ring] / count[ring] if count[ring] else np.nan
        if ring >= N_RINGS - N_OUTER_RINGS and count[ring] and out[ring] > densest:
            rim, densest = ring, out[ring]
    for ring in range(N_RINGS):
        out[ring] = out[ring] / densest if rim >= 0 else np.nan
    return rim


@njit(nogil=True, cache=True)
def _rings(
    mask: NDArray[np.uint8], values: NDArray[np.uint16], starts: Ints, widths: Ints, n_pixels: Ints,
    squares: NDArray[np.int32], density: Floats,
) -> Floats:  # fmt: skip
    n_cells = len(widths)
    table = np.full((n_cells, 4 + N_RINGS), np.nan)
    total, count = np.empty(N_RINGS), np.empty(N_RINGS, np.int64)
    deepest = 0
    for i in range(len(squares)):
        deepest = max(deepest, squares[i])
    ring_of = np.empty(deepest + 1, np.int64)
    for cell in range(n_cells):
        start, width, n = starts[cell], widths[cell], n_pixels[cell]
        size = starts[cell + 1] - start
        inside, counts, depths = mask[start : start + size], values[start : start + size], squares[start : start + size]
        high = 0
        for i in range(size):
            high = max(high, depths[i])
        reach = np.sqrt(np.float64(high)) - 0.5
        for square in range(1, high + 1):
            # half a pixel less: from the pixel's centre to the edge
            part = (np.sqrt(np.float64(square)) - 0.5) / reach
            ring_of[square] = min(int(N_RINGS * (1 - part)), N_RINGS - 1)
        total[:], count[:] = 0.0, 0
        for i in range(size):
            if inside[i]:
                ring = ring_of[depths[i]]
                total[ring] += density[counts[i]]
                count[ring] += 1
        profile = table[cell, 4:]
        rim = _profile(total, count, profile)
        if rim < 0:
            continue
        limit = PALE_BELOW * total[rim] / count[rim]
        n_pale, pale_y, pale_x, sum_y, sum_x = 0, 0, 0, 0, 0
        for i in range(size):
            if inside[i]:
                y, x = i // width, i % width
                sum_y, sum_x = sum_y + y, sum_x + x
                if ring_of[depths[i]] < rim and density[counts[i]] < limit:
                    n_pale, pale_y, pale_x = n_pale + 1, pale_y + y, pale_x + x
        table[cell, 0] = n_pale / n
        palest = 1.0
        for ring in range(rim):
            if profile[ring] < palest:
                palest = profile[ring]
        table[cell, 1] = 1 - palest
        if n_pale:
            off_y, off_x = pale_y / n_pale - sum_y / n, pale_x / n_pale - sum_x / n
            table[cell, 2] = np.sqrt((off_y * off_y + off_x * off_x) * np.pi / n)
        table[cell, 3] = min(profile[0], 1.0) - palest
    return table
