"""Where a plane lies in each cell: weighted centroid, greatest value, weighted Hu moments. Floor 3.

Moments are taken about the middle of the cell's box, in half pixels: whole numbers, so that a flat cell has no
displacement at all, and a turned one the same invariants.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.moments import scaled_covariance
from cellseg.measure.patches import Patches

_INT64 = 9e18


def describe_places(
    patches: Patches, values: NDArray[np.uint16], *, scale: float, mpp: float
) -> dict[str, NDArray[np.float64]]:
    """Displacement of the weighted centroid, distance of the greatest value, weighted Hu moments of each cell.

    Places are weighted with counts and told from the cell's centroid, y down and x to the right. The place of the
    greatest value is the mean of all pixels that have it. Hu moments are those of scikit-image (Hu 1962, IRE Trans Inf
    Theory 8:179): weights in the plane's unit, normalised by their sum.

    Parameters
    ----------
    patches : Patches
        n cells.
    values : (m,) ndarray of uint16
        Counts of the plane in the patches.
    scale : float
        What one count is in the plane's unit.
    mpp : float
        Microns per pixel.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        `mass_displacement_um`, `weighted_centroid_y_um`, `weighted_centroid_x_um`, `max_distance_um`,
        `weighted_hu_1` to `weighted_hu_7`. All but `max_distance_um` are NaN where all counts are 0.
    """
    whole, third, peak = _sum_places(patches.mask, values, patches.starts, patches.heights, patches.widths)
    n = patches.n_pixels
    sum_y, sum_x, m00, m01, m10, m02, m11, m20 = whole.T
    lit = m00 > 0
    mass = np.where(lit, m00, 1)
    reach = np.maximum(patches.heights, patches.widths)
    large = n.astype(np.float64) ** 2 * 65535 * reach > _INT64
    # half of a pixel is one step of the coordinates
    unit = np.where(lit, mpp / 2, np.nan)
    y = scaled_covariance(n, sum_y, m00, m10, large=large) / (n * mass.astype(np.float64)) * unit
    x = scaled_covariance(n, sum_x, m00, m01, large=large) / (n * mass.astype(np.float64)) * unit
    peak_n, peak_y, peak_x = peak.T
    shift_y, shift_x = (n * peak_y - peak_n * sum_y) / (n * peak_n), (n * peak_x - peak_n * sum_x) / (n * peak_n)
    out = {
        "mass_displacement_um": np.hypot(y, x),
        "weighted_centroid_y_um": y,
        "weighted_centroid_x_um": x,
        "max_distance_um": np.hypot(shift_y, shift_x) * (mpp / 2),
    }
    central = _central(np.stack([m01, m10, m02, m11, m20]) / mass, third.T / mass)
    return out | _hu(central, np.where(lit, mass * scale, np.nan))


def _central(raw: NDArray[np.float64], third: NDArray[np.float64]) -> NDArray[np.float64]:
    """Central moments 02, 11, 20, 03, 12, 21, 30 (y before x), px, of raw ones that are divided by the mass."""
    x, y, xx, xy, yy = raw
    xxx, yxx, yyx, yyy = third
    return np.stack(
        [
            (xx - x * x) / 4,
            (xy - x * y) / 4,
            (yy - y * y) / 4,
            (xxx - 3 * x * xx + 2 * x**3) / 8,
            (yxx - 2 * x * xy - y * xx + 2 * x * x * y) / 8,
            (yyx - 2 * y * xy - x * yy + 2 * y * y * x) / 8,
            (yyy - 3 * y * yy + 2 * y**3) / 8,
        ]
    )


def _hu(central: NDArray[np.float64], mass: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Hu's seven invariants; an order p + q is normalised by mass^(1 + (p + q) / 2)."""
    n02, n11, n20 = central[:3] / mass
    n03, n12, n21, n30 = central[3:] / mass**1.5
    a, b, c, d = n30 + n12, n21 + n03, n30 - 3 * n12, 3 * n21 - n03
    difference = n20 - n02
    invariants = (
        n20 + n02,
        difference**2 + 4 * n11**2,
        c**2 + d**2,
        a**2 + b**2,
        c * a * (a**2 - 3 * b**2) + d * b * (3 * a**2 - b**2),
        difference * (a**2 - b**2) + 4 * n11 * a * b,
        d * a * (a**2 - 3 * b**2) - c * b * (3 * a**2 - b**2),
    )
    return {f"weighted_hu_{k}": invariant for k, invariant in enumerate(invariants, 1)}


@njit(nogil=True, cache=True)
def _sum_places(
    mask: NDArray[np.uint8],
    values: NDArray[np.uint16],
    starts: NDArray[np.int64],
    heights: NDArray[np.int64],
    widths: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Moments of each patch's plane about its middle, in half pixels; number and sums of places of the greatest value.

    The first: sums of y and x over the cell; moments 00, 01, 10, 02, 11, 20 of the plane, y before x. The second: 03,
    12, 21, 30, whole numbers too as long as they are below 2^53.
    """
    whole, third = np.zeros((len(widths), 8), np.int64), np.zeros((len(widths), 4), np.float64)
    peak = np.zeros((len(widths), 3), np.int64)
    for cell in range(len(widths)):
        height, width = heights[cell], widths[cell]
        inside, plane = mask[starts[cell] : starts[cell + 1]], values[starts[cell] : starts[cell + 1]]
        sums, cubes, top, best = whole[cell], third[cell], peak[cell], np.int64(-1)
        at = 0
        for row in range(height):
            y = 2 * row - height + 1
            n, s, v0, v1, v2, v3 = np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0)
            highest = np.int64(0)
            x = 1 - width
            for i in range(at, at + width):
                here = np.int64(inside[i])
                level = np.int64(plane[i]) * here
                first = level * x
                second = first * x
                n += here
                s += here * x
                v0 += level
                v1 += first
                v2 += second
                v3 += second * x
                highest = max(highest, level)
                x += 2
            sums[0] += n * y
            sums[1] += s
            sums[2] += v0
            sums[3] += v1
            sums[4] += v0 * y
            sums[5] += v2
            sums[6] += v1 * y
            sums[7] += v0 * y * y
            part = np.float64(y)
            cubes[0] += np.float64(v3)
            cubes[1] += np.float64(v2) * part
            cubes[2] += np.float64(v1) * part * part
            cubes[3] += np.float64(v0) * part * part * part
            if highest >= best and n > 0:
                _add_peak(inside[at : at + width], plane[at : at + width], highest, y, top, highest > best)
                best = highest
            at += width
    return whole, third, peak


@njit(nogil=True, cache=True)
def _add_peak(
    inside: NDArray[np.uint8], plane: NDArray[np.uint16], level: int, y: int, top: NDArray[np.int64], anew: bool
) -> None:
    """Add the places in one row of a cell's greatest value so far; `anew`: those of lesser ones are let go."""
    n, total = np.int64(0), np.int64(0)
    for i in range(len(inside)):
        hit = np.int64(inside[i]) & np.int64(plane[i] == level)
        n += hit
        total += hit * (2 * i - len(inside) + 1)
    if anew:
        top[:] = 0
    top[0] += n
    top[1] += n * y
    top[2] += total
