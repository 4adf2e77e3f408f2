"""The twenty features of the Herlev Pap-smear data: nucleus and cytoplasm of each cell. Floor 3."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.contour import STAIRS_VARIANCE_PX2, smooth_contours, trace_contours
from cellseg.measure.enclosing import enclose_cells
from cellseg.measure.patches import Patches

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.uint8]
EXTREMUM_RADIUS_PX = 3
"""px; a maximum is the highest, a minimum the lowest value so far around."""


def measure_herlev20(
    nucleus: Patches,
    cytoplasm: Patches,
    nucleus_values: NDArray[np.uint16],
    cytoplasm_values: NDArray[np.uint16],
    *,
    scale: float,
    mpp: float,
) -> dict[str, Floats]:
    """The twenty features of each cell (Jantzen, Norup, Dounias, Bjerregaard 2005, Proc NiSIS: Pap-smear benchmark).

    Areas, brightness and extrema of the cytoplasm are those of its own pixels; its diameters, elongation, roundness
    and perimeter are those of the whole cell, nucleus and cytoplasm together, for it lies around the nucleus.

    Parameters
    ----------
    nucleus, cytoplasm : Patches
        Nuclei of n cells and, in the same order and cut out of the same window, their cytoplasm.
    nucleus_values, cytoplasm_values : (m,), (k,) ndarray of uint16
        Gray of the pixels of both.
    scale : float
        A count stands for `count * scale` gray levels.
    mpp : float
        Microns per pixel.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        See `cellseg.columns.herlev`. Perimeters are NaN where the outline has fewer than 12 corners or is narrower
        than 1.5 px in the mean.
    """
    cell = join_patches(nucleus, cytoplasm)
    inner, outer = _diameters(nucleus), _diameters(cell)
    n_nucleus, n_cytoplasm = nucleus.n_pixels, cytoplasm.n_pixels
    here = _centroids(nucleus.mask, nucleus.starts, nucleus.widths) + nucleus.origins
    there = _centroids(cell.mask, cell.starts, cell.widths) + cell.origins
    bright_n, n_max, n_min = _grays(nucleus, nucleus_values)
    bright_c, c_max, c_min = _grays(cytoplasm, cytoplasm_values)
    columns = {
        "nucleus_area_um2": n_nucleus * mpp**2,
        "cytoplasm_area_um2": n_cytoplasm * mpp**2,
        "nucleus_cell_ratio": n_nucleus / (n_nucleus + n_cytoplasm),
        "nucleus_brightness": bright_n * scale,
        "cytoplasm_brightness": bright_c * scale,
        "nucleus_shortest_diameter_um": inner[0] * mpp,
        "nucleus_longest_diameter_um": inner[1] * mpp,
        "nucleus_elongation": inner[0] / inner[1],
        "nucleus_roundness": np.minimum(n_nucleus / (np.pi / 4 * np.square(inner[1])), 1.0),
        "cytoplasm_shortest_diameter_um": outer[0] * mpp,
        "cytoplasm_longest_diameter_um": outer[1] * mpp,
        "cytoplasm_elongation": outer[0] / outer[1],
        "cytoplasm_roundness": np.minimum(cell.n_pixels / (np.pi / 4 * np.square(outer[1])), 1.0),
        "nucleus_perimeter_um": _perimeters(nucleus) * mpp,
        "cytoplasm_perimeter_um": _perimeters(cell) * mpp,
        "nucleus_position": 2 * np.hypot(*(here - there).T) / outer[1],
        "nucleus_maxima": n_max,
        "nucleus_minima": n_min,
        "cytoplasm_maxima": c_max,
        "cytoplasm_minima": c_min,
    }
    return {f"herlev20_{name}": column for name, column in columns.items()}


def join_patches(first: Patches, second: Patches) -> Patches:
    """The patches of n cells that are made of two parts.

    Parameters
    ----------
    first, second : Patches
        The parts of the cells, in the same order and cut out of the same window.

    Returns
    -------
    Patches
        Of pixels that lie in either part.
    """
    ends = np.maximum(
        first.origins + np.stack([first.heights, first.widths], axis=1),
        second.origins + np.stack([second.heights, second.widths], axis=1),
    )
    origins = np.minimum(first.origins, second.origins)
    heights, widths = np.ascontiguousarray((ends - origins).T)
    starts = np.concatenate([[0], np.cumsum(heights * widths)]).astype(np.int64)
    mask = np.zeros(int(starts[-1]), np.uint8)
    for part in (first, second):
        _lay(part.mask, part.starts, part.widths, part.origins - origins, starts, widths, mask)
    return Patches(mask, starts, heights, widths, _count(mask, starts), origins)


def _diameters(patches: Patches) -> tuple[Floats, Floats]:
    """Diameters, px, of the largest circle in each cell (no longer than the other) and of the smallest around it."""
    deepest = _deepest(patches.mask, patches.starts, patches.heights, patches.widths)
    around = 2 * enclose_cells(patches, corners=True)[:, 2]
    return np.minimum(2 * np.sqrt(deepest.astype(np.float64)), around), around


def _perimeters(patches: Patches) -> Floats:
    """Lengths of the smoothed outlines, px."""
    traced = trace_contours(patches)
    smooth = smooth_contours(traced, np.full(len(traced), STAIRS_VARIANCE_PX2))
    return np.where(traced.measurable, smooth.lengths_px, np.nan)


def _grays(patches: Patches, values: NDArray[np.uint16]) -> tuple[Floats, Floats, Floats]:
    """Mean count, number of maxima and number of minima."""
    total, maxima, minima = _extrema(
        patches.mask, values, patches.starts, patches.heights, patches.widths, _neighbours(EXTREMUM_RADIUS_PX)
    )
    return total / patches.n_pixels, maxima, minima


def _neighbours(radius: int) -> Ints:
    """(k, 2): steps in y and x to the pixels within a radius, the nearest first."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1].reshape(2, -1)
    far = y * y + x * x
    order = np.argsort(far, kind="stable")
    near = order[(far[order] > 0) & (far[order] <= radius * radius)]
    return np.asarray(np.stack([y, x], axis=1)[near])


@njit(nogil=True, cache=True)
def _lay(mask: Mask, starts: Ints, widths: Ints, offsets: Ints, to: Ints, to_widths: Ints, out: Mask) -> None:
    for cell in range(len(widths)):
        width, to_width = widths[cell], to_widths[cell]
        for y in range((starts[cell + 1] - starts[cell]) // width):
            row = mask[starts[cell] + y * width : starts[cell] + (y + 1) * width]
            at = to[cell] + (y + offsets[cell, 0]) * to_width + offsets[cell, 1]
            line = out[at : at + width]
            for x in range(width):
                line[x] |= row[x]


@njit(nogil=True, cache=True)
def _count(mask: Mask, starts: Ints) -> Ints:
    out = np.zeros(len(starts) - 1, np.int64)
    for cell in range(len(out)):
        n = 0
        for i in range(starts[cell], starts[cell + 1]):
            n += mask[i]
        out[cell] = n
    return out


@njit(nogil=True, cache=True)
def _deepest(mask: Mask, starts: Ints, heights: Ints, widths: Ints) -> Ints:
    """Greatest squared distance, px^2, from a pixel of each cell to the nearest pixel outside of it."""
    n_cells, room = len(heights), 1
    for cell in range(n_cells):
        room = max(room, starts[cell + 1] - starts[cell])
    out, all_near = np.zeros(n_cells, np.int64), np.empty(room, np.int32)
    for cell in range(n_cells):
        height, width = heights[cell], widths[cell]
        patch, near = mask[starts[cell] : starts[cell + 1]], all_near[: starts[cell + 1] - starts[cell]]
        near[:width] = 0
        for i in range(width, len(near)):
            near[i] = (near[i - width] + 1) * patch[i]
        for i in range(len(near) - width - 1, -1, -1):
            near[i] = min(near[i], near[i + width] + 1)
        deepest = 1
        for turn in range(height - 2):
            # from the middle outwards: the deepest pixel is met early
            y = (height - 1) // 2 + ((turn + 1) // 2 if turn % 2 else -(turn // 2))
            row = near[y * width : (y + 1) * width]
            for x in range(1, width - 1):
                # no deeper than the column's own distance: most pixels need no look at others
                best, step = row[x] * row[x], 1
                while best > deepest and step * step < best:
                    beside = min(row[x - step], row[x + step])
                    best = min(best, step * step + beside * beside)
                    step += 1
                deepest = max(deepest, best)
        out[cell] = deepest
    return out


@njit(nogil=True, cache=True)
def _centroids(mask: Mask, starts: Ints, widths: Ints) -> Floats:
    """Y and x, px of the patch."""
    out = np.empty((len(widths), 2))
    for cell in range(len(widths)):
        width = widths[cell]
        n, sum_y, sum_x = 0, 0, 0
        for y in range((starts[cell + 1] - starts[cell]) // width):
            row = mask[starts[cell] + y * width : starts[cell] + (y + 1) * width]
            in_row, along = 0, 0
            for x in range(width):
                in_row += row[x]
                along += row[x] * x
            n, sum_y, sum_x = n + in_row, sum_y + y * in_row, sum_x + along
        out[cell, 0], out[cell, 1] = sum_y / n, sum_x / n
    return out


@njit(nogil=True, cache=True)
def _peaks(padded: NDArray[np.int32], wide: int, steps: Ints, marks: NDArray[np.bool_]) -> int:
    """Pixels with none higher within reach, but some lower; what is less than 0 is not there."""
    rim = 2 * wide
    size = len(padded) - 2 * rim
    here = padded[rim : rim + size]
    marks = marks[:size]
    for i in range(size):
        marks[i] = here[i] >= 0
    for k in range(8):
        # the eight neighbours without branches: few pixels are left for the rest
        other = padded[rim + steps[k] : rim + steps[k] + size]
        for i in range(size):
            marks[i] &= here[i] >= other[i]
    n = 0
    for i in range(size):
        if not marks[i]:
            continue
        value, lower, highest = here[i], False, True
        for k in range(len(steps)):
            other_value = padded[rim + i + steps[k]]
            if other_value > value:
                highest = False
                break
            lower |= 0 <= other_value < value
        n += highest and lower
    return n


@njit(nogil=True, cache=True)
def _extrema(
    mask: Mask, values: NDArray[np.uint16], starts: Ints, heights: Ints, widths: Ints, near: Ints
) -> tuple[Floats, Floats, Floats]:
    """Sum of the counts, number of maxima and of minima of each cell."""
    n_cells = len(widths)
    total, maxima, minima = np.zeros(n_cells), np.zeros(n_cells), np.zeros(n_cells)
    reach, room = near.max(), 1
    for cell in range(n_cells):
        room = max(room, (heights[cell] + 2 * reach) * (widths[cell] + 2 * reach))
    all_up, all_down, marks = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.bool_)
    for cell in range(n_cells):
        height, width = heights[cell], widths[cell]
        wide = width + 2 * reach
        up, down = all_up[: (height + 2 * reach) * wide], all_down[: (height + 2 * reach) * wide]
        up[:], down[:] = -1, -1
        sum_counts = np.int64(0)
        for y in range(height):
            at, to = starts[cell] + y * width, (y + reach) * wide + reach
            inside, counts = mask[at : at + width], values[at : at + width]
            high, low = up[to : to + width], down[to : to + width]
            for x in range(width):
                part, count = np.int32(inside[x]), np.int32(counts[x])
                high[x] = (count + 1) * part - 1
                low[x] = (65536 - count) * part - 1
                sum_counts += count * part
        steps = near[:, 0] * wide + near[:, 1]
        total[cell] = sum_counts
        maxima[cell], minima[cell] = _peaks(up, wide, steps, marks), _peaks(down, wide, steps, marks)
    return total, maxima, minima
