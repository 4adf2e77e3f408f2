"""Clumps of chromatin, how they lie against the nuclear envelope, and nucleoli. Floor 3: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.inner_distance import square_depths
from cellseg.measure.patches import Patches

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.uint8]
MIN_CLUMP_UM2 = 0.25
"""um2; smaller groups of dense pixels are not counted as clumps."""
OUTER_PART = 0.25
"""Of the greatest depth; pixels no deeper than that, and those of the outline, are near the envelope."""
NUCLEOLUS_UM2 = (0.8, 12.0)
"""um2; areas that a nucleolus may have."""
NUCLEOLUS_CONTRAST = 0.3
"""Of the nucleus's mean; a nucleolus is denser or paler than the mean by at least that."""
MIN_NUCLEOLUS_FILL = 0.6
"""Of the ellipse in its box; a nucleolus fills at least that much of it."""
MAX_NUCLEOLUS_ASPECT = 2.0
"""Long over short side of its box that a nucleolus has at most."""
_STEPS = 4096
"""Steps of a nucleus's histogram at most."""


def measure_chromatin(patches: Patches, values: NDArray[np.uint16], *, mpp: float) -> dict[str, Floats]:
    """The columns of family `chromatin` of each nucleus, for a plane in which dense chromatin is high.

    Dense chromatin is what lies above Otsu's threshold of the nucleus's own values (Otsu 1979, IEEE Trans Syst Man
    Cybern 9:62; values in at most 4,096 steps). Otsu splits every nucleus, also one without clumps: see the contrast.
    Nucleoli are looked for in the mean of 3 x 3 pixels of the nucleus: 8-connected groups denser (or paler) than the
    nucleus's mean by 30 % of it or more, of 0.8 to 12 um2, that do not touch the envelope, fill 60 % of the ellipse in
    their box or more, and whose box is no longer than twice its width.

    Parameters
    ----------
    patches : Patches
        n nuclei.
    values : (m,) ndarray of uint16
        Counts of the patches' pixels, proportional to density.
    mpp : float
        Microns per pixel.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        See `cellseg.columns.chromatin`. What rests on clumps is NaN where all pixels have the same value.
    """
    squares = square_depths(patches)
    clumps = _clumps(
        patches.mask, values, patches.starts, patches.widths, patches.n_pixels, squares,
        MIN_CLUMP_UM2 / mpp**2,
    )  # fmt: skip
    low, high = NUCLEOLUS_UM2[0] / mpp**2, NUCLEOLUS_UM2[1] / mpp**2
    dark, bright = _spots(patches.mask, values, patches.starts, patches.widths, patches.n_pixels, low, high)
    return {
        "chromatin_clump_count": clumps[0],
        "chromatin_heterochromatin_share": clumps[1],
        "chromatin_clump_contrast": clumps[2],
        "chromatin_largest_clump_um2": clumps[3] * mpp**2,
        "chromatin_margination": clumps[4],
        "chromatin_boundary_share": clumps[5],
        "chromatin_edge_correlation": clumps[6],
        "chromatin_dark_nucleolus_count": dark[0],
        "chromatin_dark_nucleolus_area_um2": dark[1] * mpp**2,
        "chromatin_bright_nucleolus_count": bright[0],
        "chromatin_bright_nucleolus_area_um2": bright[1] * mpp**2,
    }


@njit(nogil=True, cache=True)
def _otsu(counts: Ints, n_steps: int) -> tuple[int, float, float]:
    """The last step of the paler class, and the means of both in steps; the histogram has two filled steps at least."""
    n, total = 0, 0
    for step in range(n_steps):
        n += counts[step]
        total += counts[step] * step
    below, sum_below, best, at = 0, 0, -1.0, 0
    mean_below, mean_above = 0.0, 0.0
    for step in range(n_steps - 1):
        if counts[step] == 0:
            continue
        below += counts[step]
        sum_below += counts[step] * step
        if below == n:
            break
        low, high = sum_below / below, (total - sum_below) / (n - below)
        between = float(below) * float(n - below) * (high - low) ** 2
        if between > best:
            best, at, mean_below, mean_above = between, step, low, high
    return at, mean_below, mean_above


@njit(nogil=True, cache=True)
def _split(inside: Mask, counts: NDArray[np.uint16], n: int, histogram: Ints) -> tuple[int, int, int, float]:
    """Least value, shift from values above it to steps, last step of the paler class (-1: flat), and contrast."""
    low, high, total = np.int64(1 << 16), np.int64(-1), np.int64(0)
    for i in range(len(inside)):
        if inside[i]:
            count = np.int64(counts[i])
            low, high, total = min(low, count), max(high, count), total + count
    if low == high:
        return int(low), 0, -1, np.nan
    shift = 0
    while (high - low) >> shift >= _STEPS:
        shift += 1
    for i in range(len(inside)):
        if inside[i]:
            histogram[(np.int64(counts[i]) - low) >> shift] += 1
    n_steps = ((high - low) >> shift) + 1
    threshold, below, above = _otsu(histogram, n_steps)
    histogram[:n_steps] = 0
    return int(low), shift, threshold, (above - below) * (1 << shift) * n / total


@njit(nogil=True, cache=True)
def _fill(marks: Mask, start: int, width: int, stack: Ints) -> int:
    """Take the 8-connected group of a marked pixel off the marks and list its pixels in `stack`; returns their number.

    The marks' outermost rows and columns are 0.
    """
    marks[start] = 0
    stack[0] = start
    size, done = 1, 0
    while done < size:
        at = stack[done]
        done += 1
        for row in range(at - width, at + width + 1, width):
            for near in range(row - 1, row + 2):
                if marks[near]:
                    marks[near] = 0
                    stack[size] = near
                    size += 1
    return size


@njit(nogil=True, cache=True)
def _edge_correlation(inside: Mask, counts: NDArray[np.uint16], depths: NDArray[np.int32], n: int) -> float:
    """Pearson's correlation of value and distance to the edge; NaN where either is the same everywhere."""
    mean_v, mean_d = 0.0, 0.0
    for i in range(len(inside)):
        if inside[i]:
            mean_v += counts[i]
            mean_d += np.sqrt(np.float64(depths[i]))
    mean_v, mean_d = mean_v / n, mean_d / n
    vv, dd, vd = 0.0, 0.0, 0.0
    for i in range(len(inside)):
        if inside[i]:
            v, d = counts[i] - mean_v, np.sqrt(np.float64(depths[i])) - mean_d
            vv += v * v
            dd += d * d
            vd += v * d
    if vv * dd <= 1e-18 * n * n:
        return np.nan
    return float(min(max(vd / np.sqrt(vv * dd), -1.0), 1.0))


@njit(nogil=True, cache=True)
def _clumps(
    mask: Mask, values: NDArray[np.uint16], starts: Ints, widths: Ints, n_pixels: Ints, squares: NDArray[np.int32],
    least_px: float,
) -> Floats:  # fmt: skip
    """Clumps, their share, contrast, largest (px), margination, share of the boundary; correlation with depth."""
    n_cells = len(widths)
    table = np.full((7, n_cells), np.nan)
    room = 1
    for cell in range(n_cells):
        room = max(room, starts[cell + 1] - starts[cell])
    histogram, stack, all_marks = np.zeros(_STEPS, np.int64), np.empty(room, np.int64), np.zeros(room, np.uint8)
    for cell in range(n_cells):
        start, width, n = starts[cell], widths[cell], n_pixels[cell]
        size = starts[cell + 1] - start
        inside, counts, depths = mask[start : start + size], values[start : start + size], squares[start : start + size]
        marks = all_marks[:size]
        low, shift, threshold, contrast = _split(inside, counts, n, histogram)
        if threshold < 0:
            continue
        deepest = 0
        for i in range(size):
            deepest = max(deepest, depths[i])
        # depths from the pixel's centre to the edge; the outline's pixels are near it in the smallest nucleus too
        outer = max((0.5 + OUTER_PART * (np.sqrt(np.float64(deepest)) - 0.5)) ** 2, 1.0)
        dense, near, dense_near, rim, dense_rim = 0, 0, 0, 0, 0
        for i in range(size):
            if inside[i] == 0:
                continue
            mark = (np.int64(counts[i]) - low) >> shift > threshold
            marks[i] = mark
            dense += mark
            if depths[i] <= outer:
                near, dense_near = near + 1, dense_near + mark
            if depths[i] == 1:
                rim, dense_rim = rim + 1, dense_rim + mark
        n_clumps, largest = 0, 0
        for i in range(size):
            if marks[i]:
                area = _fill(marks, i, width, stack)
                n_clumps += area >= least_px
                largest = max(largest, area)
        table[0, cell], table[1, cell], table[3, cell] = n_clumps, dense / n, largest
        table[2, cell] = contrast
        table[4, cell] = (dense_near / dense) / (near / n)
        table[5, cell] = dense_rim / rim
        table[6, cell] = _edge_correlation(inside, counts, depths, n)
    return table


@njit(nogil=True, cache=True)
def _smooth(inside: Mask, counts: NDArray[np.uint16], width: int, rows: Ints, sums: Ints, ns: Ints) -> None:
    """Sum and number of the cell's pixels in the 3 x 3 around each; `rows` holds sums and numbers of 3 in a row."""
    size = len(inside)
    rows[0], rows[size - 1] = 0, 0
    for i in range(1, size - 1):
        # the number stands in the upper bits: 9 pixels of 16 bits fit below
        rows[i] = (
            np.int64(inside[i - 1]) * (counts[i - 1] + (1 << 24))
            + np.int64(inside[i]) * (counts[i] + (1 << 24))
            + np.int64(inside[i + 1]) * (counts[i + 1] + (1 << 24))
        )
    for i in range(width, size - width):
        both = rows[i - width] + rows[i] + rows[i + width]
        sums[i], ns[i] = both & ((1 << 24) - 1), both >> 24


@njit(nogil=True, cache=True)
def _is_spot(group: Ints, width: int, low: float, high: float) -> bool:
    """Whether a group of pixels has the area and the form of a nucleolus."""
    n = len(group)
    if n < low or n > high:
        return False
    top, bottom, left, right = group[0] // width, group[0] // width, width, 0
    for at in group:
        y, x = at // width, at % width
        top, bottom, left, right = min(top, y), max(bottom, y), min(left, x), max(right, x)
    tall, wide = bottom - top + 1, right - left + 1
    if max(tall, wide) > MAX_NUCLEOLUS_ASPECT * min(tall, wide):
        return False
    return bool(n >= MIN_NUCLEOLUS_FILL * np.pi / 4 * tall * wide)


@njit(nogil=True, cache=True)
def _spots(
    mask: Mask, values: NDArray[np.uint16], starts: Ints, widths: Ints, n_pixels: Ints, low: float, high: float
) -> tuple[Floats, Floats]:
    """Number and area (px) of dark and of bright nucleoli."""
    n_cells = len(widths)
    dark, bright = np.zeros((2, n_cells)), np.zeros((2, n_cells))
    room = 1
    for cell in range(n_cells):
        room = max(room, starts[cell + 1] - starts[cell])
    rows, sums, ns = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    stack, all_marks = np.empty(room, np.int64), np.zeros(room, np.uint8)
    for cell in range(n_cells):
        start, width, n = starts[cell], widths[cell], n_pixels[cell]
        size = starts[cell + 1] - start
        inside, counts, marks = mask[start : start + size], values[start : start + size], all_marks[:size]
        total = 0
        for i in range(size):
            total += np.int64(inside[i]) * counts[i]
        mean = total / n
        _smooth(inside, counts, width, rows, sums, ns)
        for sign, out in ((1, dark), (-1, bright)):
            limit = mean * (1 + sign * NUCLEOLUS_CONTRAST)
            for i in range(width, size - width):
                marks[i] = inside[i] and sign * sums[i] > sign * limit * ns[i]
            for i in range(width, size - width):
                if marks[i]:
                    group = stack[: _fill(marks, i, width, stack)]
                    touches = False
                    for at in group:
                        touches |= inside[at - 1] & inside[at + 1] & inside[at - width] & inside[at + width] == 0
                    if not touches and _is_spot(group, width, low, high):
                        out[0, cell] += 1
                        out[1, cell] += len(group)
    return dark, bright
