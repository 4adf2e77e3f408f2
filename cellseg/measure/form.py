"""Radii inside of each cell, its holes, and the circle and rectangle around it. Floor 3: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.enclosing import circle_of_hull, hull_of_rows
from cellseg.measure.inner_distance import square_depths
from cellseg.measure.patches import Patches
from cellseg.measure.shape import crofton_perimeter_px

_SAME = 1e-12
"""Relative; areas that differ by less are the same but for rounding."""


def measure_form(patches: Patches, *, mpp: float) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
    """The columns of family `form`.

    Radii are those of CellProfiler's AreaShape (Stirling et al. 2021, BMC Bioinformatics 22:433): greatest, mean and
    median distance of the cell's pixels to the nearest pixel outside. The Euler number counts pieces less holes, pixels
    being joined over corners and holes not (Gray 1971, IEEE Trans Comput C-20:551), as scikit-image's `regionprops`.
    Circle and rectangle are the smallest around the whole pixels; the rectangle's sides lie along a side of the convex
    hull (Freeman & Shapira 1975, Commun ACM 18:409).

    Parameters
    ----------
    patches : Patches
        n cells.
    mpp : float
        Microns per pixel.

    Returns
    -------
    dict of str to (n,) ndarray
        float64, never NaN; `euler_number` is int64.
    """
    n = patches.n_pixels
    depth = _describe_depths(square_depths(patches), patches.mask, patches.starts, n)
    quads, runs, spread = _count_quads(patches.mask, patches.starts, patches.heights, patches.widths)
    around = _frame(patches.mask, patches.starts, patches.heights, patches.widths)
    perimeter_px = crofton_perimeter_px(runs)
    circle, long_side, short_side = around.T
    return {
        "max_radius_um": depth[:, 0] * mpp,
        "mean_radius_um": depth[:, 1] * mpp,
        "median_radius_um": depth[:, 2] * mpp,
        "euler_number": (quads[:, 0] - quads[:, 1] - 2 * quads[:, 2]) // 4,
        "bounding_box_area_um2": (patches.heights - 2) * (patches.widths - 2) * mpp**2,
        "form_factor": 4 * np.pi * n / np.square(perimeter_px),
        "compactness": np.square(perimeter_px) / (4 * np.pi * n),
        "moment_compactness": 2 * np.pi * spread / n,
        "enclosing_circle_radius_um": circle * mpp,
        "roundness": n / (np.pi * np.square(circle)),
        "min_rectangle_long_um": long_side * mpp,
        "min_rectangle_short_um": short_side * mpp,
        "rectangularity": n / (long_side * short_side),
        "elongation": 1 - short_side / long_side,
    }


@njit(nogil=True, cache=True)
def _describe_depths(
    squares: NDArray[np.int32], mask: NDArray[np.uint8], starts: NDArray[np.int64], n_pixels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Greatest, mean and median depth, px, from a histogram of their squares."""
    out = np.zeros((len(n_pixels), 3), np.float64)
    deepest = 0
    for i in range(len(squares)):
        deepest = max(deepest, squares[i])
    counts = np.zeros(deepest + 1, np.int64)
    for cell in range(len(n_pixels)):
        high = 0
        for i in range(starts[cell], starts[cell + 1]):
            if mask[i]:
                counts[squares[i]] += 1
                high = max(high, squares[i])
        n, seen, total, below = n_pixels[cell], 0, 0.0, -1.0
        for square in range(1, high + 1):
            if counts[square] == 0:
                continue
            root = np.sqrt(np.float64(square))
            total += counts[square] * root
            before = seen
            seen += counts[square]
            if before <= (n - 1) // 2 < seen:
                below = root
            if before <= n // 2 < seen:
                out[cell, 2] = (below + root) / 2
            counts[square] = 0
        out[cell, 0], out[cell, 1] = np.sqrt(np.float64(high)), total / n
    return out


@njit(nogil=True, cache=True)
def _read_kinds(kinds: NDArray[np.int64], quads: NDArray[np.int64], runs: NDArray[np.int64]) -> None:
    """Counts of the 16 kinds of squares of 2 x 2 px: bits 8 and 4 its upper pixels, 2 and 1 its lower ones."""
    for kind in range(1, 16):
        a, b, c, d = kind >> 3 & 1, kind >> 2 & 1, kind >> 1 & 1, kind & 1
        count = a + b + c + d
        quads[0] += kinds[kind] * (count == 1)
        quads[1] += kinds[kind] * (count == 3)
        quads[2] += kinds[kind] * (count == 2 and a == d)
        runs[0] += kinds[kind] * (d & (c ^ 1))
        runs[1] += kinds[kind] * (d & (b ^ 1))
        runs[2] += kinds[kind] * (d & (a ^ 1))
        runs[3] += kinds[kind] * (c & (b ^ 1))


@njit(nogil=True, cache=True)
def _count_quads(
    mask: NDArray[np.uint8], starts: NDArray[np.int64], heights: NDArray[np.int64], widths: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Squares of 2 x 2 px with one, with three, and with two opposite pixels of the cell; runs along rows, columns and
    diagonals; mean squared distance from the centroid, px^2.
    """  # noqa: D205
    n_cells = len(heights)
    quads, runs = np.zeros((n_cells, 3), np.int64), np.zeros((n_cells, 4), np.int64)
    spread = np.empty(n_cells, np.float64)
    kinds = np.empty(16, np.int64)
    for cell in range(n_cells):
        width = widths[cell]
        n, sy, sx, squares = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        kinds[:] = 0
        for y in range(1, heights[cell]):
            at = starts[cell] + y * width
            above, row = mask[at - width : at], mask[at : at + width]
            kind, n_row, x_row, xx_row = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
            for x in range(1, width):
                # the square's right column becomes the next one's left
                kind = (kind & 5) << 1 | np.int64(above[x]) << 2 | np.int64(row[x])
                kinds[kind] += 1
                inside = np.int64(row[x])
                n_row += inside
                x_row += inside * x
                xx_row += inside * x * x
            n += n_row
            sy += n_row * y
            sx += x_row
            squares += n_row * y * y + xx_row
        _read_kinds(kinds, quads[cell], runs[cell])
        mean_y, mean_x = sy / n, sx / n
        spread[cell] = max(squares / n - mean_y * mean_y - mean_x * mean_x, 0.0)
    return quads, runs, spread


@njit(nogil=True, cache=True)
def _rectangle(py: NDArray[np.int64], px: NDArray[np.int64], size: int) -> tuple[float, float]:
    """Long and short side of the smallest rectangle around a convex hull, in its own units."""
    best, long_side, short_side = np.inf, 0.0, 0.0
    for i in range(size):
        j = i + 1 if i + 1 < size else 0
        uy, ux = py[j] - py[i], px[j] - px[i]
        low, high, far = 0, 0, 0
        for k in range(size):
            vy, vx = py[k] - py[i], px[k] - px[i]
            along = uy * vy + ux * vx
            low, high = min(low, along), max(high, along)
            far = max(far, abs(uy * vx - ux * vy))
        area = np.float64(high - low) * np.float64(far) / np.float64(uy * uy + ux * ux)
        if area > best * (1 + _SAME):
            continue
        length = np.sqrt(np.float64(uy * uy + ux * ux))
        sides = np.float64(high - low) / length, np.float64(far) / length
        # of equally small ones the longest, whichever side of the hull comes first
        if area < best * (1 - _SAME) or max(sides) > long_side:
            best, long_side, short_side = area, max(sides), min(sides)
    return long_side, short_side


@njit(nogil=True, cache=True)
def _frame(
    mask: NDArray[np.uint8], starts: NDArray[np.int64], heights: NDArray[np.int64], widths: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Radius of the smallest circle, long and short side of the smallest rectangle, px."""
    out = np.empty((len(heights), 3), np.float64)
    room = 4 * (heights.max() if len(heights) else 1) + 4
    py, px = np.empty(room, np.int64), np.empty(room, np.int64)
    for cell in range(len(heights)):
        patch = mask[starts[cell] : starts[cell + 1]]
        size = hull_of_rows(patch, heights[cell], widths[cell], 1, py, px)
        _, _, radius = circle_of_hull(py, px, size)
        long_side, short_side = _rectangle(py, px, size)
        out[cell, 0], out[cell, 1], out[cell, 2] = radius / 2, long_side / 2, short_side / 2
    return out
