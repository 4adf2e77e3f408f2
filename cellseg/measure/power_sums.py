"""Sums of powers of coordinates over each cell's pixels: what all moments are made of. Floor 3: arrays in, arrays out.

Coordinates are px from the middle pixel of the cell's patch, so that powers stay small. A row's run of pixels from a to
b adds S_p(b + 1) - S_p(a) for each power p, where S_p(k) is the sum of x^p from 0 to k - 1 (and, for negative k, minus
the sum from k to -1): a cell of 24 rows takes 24 steps and not one a pixel. Sums are whole numbers, exact up to 2^53.
"""

from __future__ import annotations

from math import comb

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.patches import Patches


def sum_powers(patches: Patches, order: int) -> NDArray[np.float64]:
    """Sums of y^p x^q over each cell's pixels for p + q <= order.

    Parameters
    ----------
    patches : Patches
        n cells.
    order : int
        Greatest p + q.

    Returns
    -------
    (n, order + 1, order + 1) ndarray of float64
        Entry [i, p, q]; 0 where p + q > order. y and x are px from row `heights // 2`, column `widths // 2` of the
        patch.
    """
    half = int(patches.widths.max(initial=1)) // 2 + 2
    return np.asarray(
        _sum_powers(patches.mask, patches.starts, patches.heights, patches.widths, _prefix_sums(half, order), half)
    )


def sum_weighted_powers(patches: Patches, values: NDArray[np.uint16], order: int) -> NDArray[np.float64]:
    """Sums of v y^p x^q over each cell's pixels for p + q <= order, v being the counts (m,) of a plane.

    Returned as by `sum_powers`.
    """
    half = int(patches.widths.max(initial=1)) // 2 + 2
    powers = np.arange(-half, half + 1, dtype=np.float64)[:, None] ** np.arange(order + 1)
    return np.asarray(
        _sum_weighted(patches.mask, values, patches.starts, patches.heights, patches.widths, powers, half)
    )


def shift_powers(
    sums: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The same sums in coordinates ((y' - y) / scale, (x' - x) / scale), by the binomial theorem.

    Parameters
    ----------
    sums : (n, k + 1, k + 1) ndarray of float64
        Of p + q <= k.
    y, x, scale : (n,) ndarray of float64
        The new origin, px from the old one, and the new unit, px, > 0.
    """
    order = sums.shape[1] - 1
    binomials = np.array([[comb(p, i) for i in range(order + 1)] for p in range(order + 1)], np.float64)
    return np.asarray(_shift(sums, y, x, scale, binomials))


def middles(patches: Patches) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of each patch's middle pixel, from which `sum_powers` counts."""
    return patches.heights // 2, patches.widths // 2


def _prefix_sums(half: int, order: int) -> NDArray[np.float64]:
    """S_p(k) for k from -half to half (rows) and p from 0 to order (columns)."""
    powers = np.arange(-half, half, dtype=np.float64)[:, None] ** np.arange(order + 1)
    upwards = np.cumsum(powers[half:], axis=0)
    downwards = -np.cumsum(powers[:half][::-1], axis=0)[::-1]
    return np.ascontiguousarray(np.concatenate([downwards, np.zeros((1, order + 1)), upwards]))


@njit(nogil=True, cache=True)
def _add_row(out: NDArray[np.float64], row: NDArray[np.float64], y: float, order: int) -> None:
    """Count a row's sums of powers of x to all powers of y."""
    power = 1.0
    for p in range(order + 1):
        for q in range(order + 1 - p):
            out[p, q] += power * row[q]
        power *= y


@njit(nogil=True, cache=True)
def _sum_powers(
    mask: NDArray[np.uint8],
    starts: NDArray[np.int64],
    heights: NDArray[np.int64],
    widths: NDArray[np.int64],
    prefix: NDArray[np.float64],
    half: int,
) -> NDArray[np.float64]:
    order = prefix.shape[1] - 1
    out = np.zeros((len(heights), order + 1, order + 1), np.float64)
    row = np.zeros(order + 1, np.float64)
    for cell in range(len(heights)):
        width = widths[cell]
        zero = half - width // 2
        for y in range(1, heights[cell] - 1):
            at = starts[cell] + y * width
            line = mask[at : at + width]
            row[:] = 0.0
            some, x = False, 1
            while x < width:
                while x < width and line[x] == 0:
                    x += 1
                if x == width:
                    break
                first = x
                while line[x]:
                    x += 1
                some = True
                for q in range(order + 1):
                    row[q] += prefix[zero + x, q] - prefix[zero + first, q]
            if some:
                _add_row(out[cell], row, float(y - heights[cell] // 2), order)
    return out


@njit(nogil=True, cache=True)
def _sum_weighted(
    mask: NDArray[np.uint8],
    values: NDArray[np.uint16],
    starts: NDArray[np.int64],
    heights: NDArray[np.int64],
    widths: NDArray[np.int64],
    powers: NDArray[np.float64],
    half: int,
) -> NDArray[np.float64]:
    order = powers.shape[1] - 1
    out = np.zeros((len(heights), order + 1, order + 1), np.float64)
    row = np.zeros(order + 1, np.float64)
    for cell in range(len(heights)):
        width = widths[cell]
        zero = half - width // 2
        for y in range(1, heights[cell] - 1):
            at = starts[cell] + y * width
            row[:] = 0.0
            some = False
            for x in range(1, width - 1):
                if mask[at + x]:
                    some = True
                    value = np.float64(values[at + x])
                    for q in range(order + 1):
                        row[q] += value * powers[zero + x, q]
            if some:
                _add_row(out[cell], row, float(y - heights[cell] // 2), order)
    return out


@njit(nogil=True, cache=True)
def _shift(
    sums: NDArray[np.float64],
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    scale: NDArray[np.float64],
    binomials: NDArray[np.float64],
) -> NDArray[np.float64]:
    n, size = sums.shape[0], sums.shape[1]
    out = sums.copy()
    for cell in range(n):
        table = out[cell]
        # from the highest power down: each needs the lower ones as they were
        for p in range(size):
            for q in range(size - 1 - p, 0, -1):
                power, total = 1.0, 0.0
                for i in range(q, -1, -1):
                    total += binomials[q, i] * power * table[p, i]
                    power *= -x[cell]
                table[p, q] = total
        for q in range(size):
            for p in range(size - 1 - q, 0, -1):
                power, total = 1.0, 0.0
                for i in range(p, -1, -1):
                    total += binomials[p, i] * power * table[i, q]
                    power *= -y[cell]
                table[p, q] = total
        unit = 1.0 / scale[cell]
        down = 1.0
        for p in range(size):
            along = down
            for q in range(size - p):
                table[p, q] *= along
                along *= unit
            down *= unit
    return out
