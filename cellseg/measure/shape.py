"""Size and form of each cell from its pixels. Floor 3: arrays in, arrays out.

The kernel reads each cell's box once and keeps whole numbers in coordinates of that box, so that a cell has the same
figures wherever it lies and however the image was cut.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.hull import measure_hulls
from cellseg.measure.moments import scaled_covariance
from cellseg.types import Labels

_EXACT_SIDE_PX = 1024
"""Boxes up to this side have second moments whose products fit in int64."""


class RowScan(NamedTuple):
    """What the pixels of n cells say, in coordinates of each cell's own box.

    `sums` is (n, 6) int64: pixels, sums of y, x, y*y, x*x, y*x. `runs` is (n, 4) int64: runs of the cell's pixels along
    rows, columns, and both diagonals. `first`, `last` and `row_starts` are as in `measure_hulls`.
    """

    sums: NDArray[np.int64]
    runs: NDArray[np.int64]
    first: NDArray[np.int32]
    last: NDArray[np.int32]
    row_starts: NDArray[np.int64]


def scan_rows(labels: Labels, ids: Labels, boxes: NDArray[np.int64]) -> RowScan:
    """Integer sums over the pixels of each cell.

    Parameters
    ----------
    labels : (H, W) ndarray of uint32
        A window that holds the cells whole.
    ids : (n,) ndarray of uint32
        The cells.
    boxes : (n, 4) ndarray of int64
        y0, y1, x0, x1 of each cell in the window, px.
    """
    row_starts = np.concatenate([[0], np.cumsum(boxes[:, 1] - boxes[:, 0])]).astype(np.int64)
    first = np.empty(row_starts[-1], np.int32)
    last = np.empty(row_starts[-1], np.int32)
    sums, runs = _scan_rows(labels, ids, np.ascontiguousarray(boxes), row_starts, first, last)
    return RowScan(sums, runs, first, last, row_starts)


def measure_shapes(labels: Labels, ids: Labels, boxes: NDArray[np.int64], *, mpp: float) -> dict[str, NDArray[Any]]:
    """The columns of family `shape` of each cell.

    Equal to scikit-image's `regionprops`: the same Crofton perimeter (4 directions), ellipse of second moments, convex
    area (hull of edge midpoints) and special case of orientation (-pi/4 where no axis is longer). The Feret diameters
    are those of the hull itself. `aspect_ratio` is NaN where the minor axis is 0 (one pixel, straight lines of
    one pixel's width); all other columns are finite for every cell.

    Parameters
    ----------
    labels : (H, W) ndarray of uint32
        A window that holds the cells whole.
    ids : (n,) ndarray of uint32
        The cells.
    boxes : (n, 4) ndarray of int64
        y0, y1, x0, x1 of each cell in the window, px.
    mpp : float
        Microns per pixel.

    Returns
    -------
    dict of str to (n,) ndarray
        Column name to values, units in the names.
    """
    scan = scan_rows(labels, ids, boxes)
    convex, feret_px = measure_hulls(scan.first, scan.last, scan.row_starts)
    n = scan.sums[:, 0]
    perimeter_px = crofton_perimeter_px(scan.runs)
    circularity = np.minimum(4 * np.pi * n / np.square(perimeter_px), 1.0)
    box_pixels = (boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2])
    return {
        "n_pixels": n,
        "area_um2": n * mpp**2,
        "perimeter_um": perimeter_px * mpp,
        "equivalent_diameter_um": np.sqrt(4 * n / np.pi) * mpp,
        **_ellipses(scan.sums, boxes, mpp),
        "max_feret_um": feret_px[:, 0] * mpp,
        "min_feret_um": feret_px[:, 1] * mpp,
        "convex_area_um2": convex * mpp**2,
        "solidity": n / convex,
        "extent": n / box_pixels,
        "circularity": circularity,
    }


def crofton_perimeter_px(runs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Length of the outline from the number of runs along rows, columns and diagonals, px.

    Crofton's formula over 4 directions (Legland, Kieu, Devaux 2007, Image Anal Stereol 26:83): runs, that is half
    the crossings, weighted by the spacing of the lines of their direction.
    """
    straight, diagonal = runs[:, 0] + runs[:, 1], runs[:, 2] + runs[:, 3]
    return np.asarray(np.pi / 4 * (straight + diagonal / np.sqrt(2.0)))


def _ellipses(sums: NDArray[np.int64], boxes: NDArray[np.int64], mpp: float) -> dict[str, NDArray[np.float64]]:
    """Axes, eccentricity and orientation of the ellipse of the same second moments (Hu 1962)."""
    large = np.maximum(boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]) > _EXACT_SIDE_PX
    n, sy, sx, syy, sxx, sxy = sums.T
    yy, xx = scaled_covariance(n, sy, sy, syy, large=large), scaled_covariance(n, sx, sx, sxx, large=large)
    yx = scaled_covariance(n, sy, sx, sxy, large=large)
    root = np.hypot(yy - xx, 2 * yx)
    major = 4 * np.sqrt((yy + xx + root) / 2) / n
    minor = 4 * np.sqrt(np.maximum(yy + xx - root, 0.0) / 2) / n
    with np.errstate(invalid="ignore", divide="ignore"):
        eccentricity = np.sqrt(np.maximum(1 - np.square(minor / major), 0.0))
        aspect = np.where(minor > 0, major / minor, np.nan)
    orientation = np.where(yy == xx, np.where(yx > 0, np.pi / 4, -np.pi / 4), 0.5 * np.arctan2(2 * yx, yy - xx))
    return {
        "major_axis_um": major * mpp,
        "minor_axis_um": minor * mpp,
        "orientation_rad": orientation,
        "eccentricity": np.where(major > 0, eccentricity, 0.0),
        "aspect_ratio": aspect,
    }


@njit(nogil=True, cache=True)
def _scan_row(width: int, row: NDArray[np.uint8], above: NDArray[np.uint8]) -> tuple[int, int, int, int, int, int]:
    """Pixels, first and last column, and runs that begin in a row; `row` and `above` are 0/1, 0 at both ends."""
    low, high = 1, width
    while row[low] == 0:
        low += 1
    while row[high] == 0:
        high -= 1
    straight_y, straight_x, down, up = 0, 0, 0, 0
    for x in range(low, high + 1):
        straight_x += row[x] & (row[x - 1] ^ 1)
        straight_y += row[x] & (above[x] ^ 1)
        down += row[x] & (above[x - 1] ^ 1)
        up += row[x] & (above[x + 1] ^ 1)
    return low - 1, high - 1, straight_x, straight_y, down, up


@njit(nogil=True, cache=True)
def _scan_rows(
    labels: Labels,
    ids: Labels,
    boxes: NDArray[np.int64],
    row_starts: NDArray[np.int64],
    first: NDArray[np.int32],
    last: NDArray[np.int32],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    n_cells = len(ids)
    sums, runs = np.zeros((n_cells, 6), np.int64), np.zeros((n_cells, 4), np.int64)
    widest = 0
    for cell in range(n_cells):
        widest = max(widest, boxes[cell, 3] - boxes[cell, 2])
    rows = np.zeros((2, widest + 2), np.uint8)
    for cell in range(n_cells):
        value, y0, x0, x1 = ids[cell], boxes[cell, 0], boxes[cell, 2], boxes[cell, 3]
        width = x1 - x0
        rows[:, : width + 2] = 0
        for y in range(boxes[cell, 1] - y0):
            line, row, above = labels[y0 + y, x0:x1], rows[y & 1], rows[1 - (y & 1)]
            n = 0
            for x in range(width):
                inside = line[x] == value
                row[x + 1] = inside
                n += inside
            at = row_starts[cell] + y
            first[at] = last[at] = -1
            if n == 0:
                continue
            low, high, along, down, falling, rising = _scan_row(width, row, above)
            first[at], last[at] = low, high
            runs[cell, 0] += along
            runs[cell, 1] += down
            runs[cell, 2] += falling
            runs[cell, 3] += rising
            sum_x, sum_xx = 0, 0
            if n == high - low + 1:
                sum_x = n * (low + high) // 2
                # sum of squares up to high less that up to low - 1
                sum_xx = (high * (high + 1) * (2 * high + 1) - (low - 1) * low * (2 * low - 1)) // 6
            else:
                for x in range(low, high + 1):
                    sum_x += x * row[x + 1]
                    sum_xx += x * x * row[x + 1]
            sums[cell, 0] += n
            sums[cell, 1] += n * y
            sums[cell, 2] += sum_x
            sums[cell, 3] += n * y * y
            sums[cell, 4] += sum_xx
            sums[cell, 5] += y * sum_x
    return sums, runs
