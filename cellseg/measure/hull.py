"""The convex hull of each cell and what is read off it: convex area and Feret diameters. Floor 3.

The hull is that of the midpoints of the pixels' edges. All of it is in integers (coordinates doubled, so that
midpoints are whole), hence exact: no tolerance, no dependence on where the cell lies.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


def measure_hulls(
    first: NDArray[np.int32], last: NDArray[np.int32], row_starts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Convex area and Feret diameters of cells from the ends of their rows.

    Parameters
    ----------
    first, last : (rows,) ndarray of int32
        First and last column of the cell in each row of its box, px; -1 where a row is empty.
    row_starts : (n + 1,) ndarray of int64
        Where each cell's rows begin in `first` and `last`.

    Returns
    -------
    convex_pixels : (n,) ndarray of int64
        Pixels whose centre lies in or on the hull.
    feret_px : (n, 2) ndarray of float64
        Greatest and least caliper distance over the hull, px (Feret 1930); by rotating calipers
        (Shamos 1978; Toussaint 1983).
    """
    convex, feret = _hulls(first, last, row_starts)
    return convex, feret


@njit(nogil=True, cache=True)
def _push(chain_y: NDArray[np.int64], chain_x: NDArray[np.int64], size: int, y: int, x: int) -> int:
    """Put a point below the others onto the chain that bulges towards small x; returns the chain's new size."""
    if size and chain_y[size - 1] == y:
        if chain_x[size - 1] <= x:
            return size
        size -= 1
    while size >= 2:
        ay, ax = chain_y[size - 2], chain_x[size - 2]
        if (chain_y[size - 1] - ay) * (x - ax) > (chain_x[size - 1] - ax) * (y - ay):
            break
        size -= 1
    chain_y[size], chain_x[size] = y, x
    return size + 1


@njit(nogil=True, cache=True)
def _chain(ends: NDArray[np.int32], sign: int, chain_y: NDArray[np.int64], chain_x: NDArray[np.int64]) -> int:
    """One side of the hull from the top down; `sign` -1 mirrors the right side so that it is a left one."""
    size = 0
    for row in range(len(ends)):
        if ends[row] < 0:
            continue
        x = sign * 2 * np.int64(ends[row])
        size = _push(chain_y, chain_x, size, 2 * row - 1, x)
        size = _push(chain_y, chain_x, size, 2 * row, x - 1)
        size = _push(chain_y, chain_x, size, 2 * row + 1, x)
    return size


@njit(nogil=True, cache=True)
def _leftmost(chain_y: NDArray[np.int64], chain_x: NDArray[np.int64], at: int, y: int) -> int:
    """The least whole pixel column in the hull on the doubled line y: the quotient rounded up."""
    dy = chain_y[at + 1] - chain_y[at]
    over = chain_x[at] * dy + (y - chain_y[at]) * (chain_x[at + 1] - chain_x[at])
    return int(-((-over) // (2 * dy)))


@njit(nogil=True, cache=True)
def _convex_pixels(
    left_y: NDArray[np.int64],
    left_x: NDArray[np.int64],
    right_y: NDArray[np.int64],
    right_x: NDArray[np.int64],
    n_rows: int,
) -> int:
    """Pixel centres in or on the hull between its two sides."""
    i, j, total = 0, 0, 0
    for row in range(n_rows):
        y = 2 * row
        while left_y[i + 1] < y:
            i += 1
        while right_y[j + 1] < y:
            j += 1
        total += 1 - _leftmost(right_y, right_x, j, y) - _leftmost(left_y, left_x, i, y)
    return total


@njit(nogil=True, cache=True)
def _calipers(ys: NDArray[np.int64], xs: NDArray[np.int64], size: int) -> tuple[int, float]:
    """Squared diameter and width of a strictly convex polygon, in its own units."""
    diameter, width = 0, np.inf
    far = 1
    for i in range(size):
        j = i + 1 if i + 1 < size else 0
        ey, ex = ys[j] - ys[i], xs[j] - xs[i]
        reach = abs(ex * (ys[far] - ys[i]) - ey * (xs[far] - xs[i]))
        while True:
            after = far + 1 if far + 1 < size else 0
            further = abs(ex * (ys[after] - ys[i]) - ey * (xs[after] - xs[i]))
            if further <= reach:
                break
            far, reach = after, further
        diameter = max(diameter, (ys[far] - ys[i]) ** 2 + (xs[far] - xs[i]) ** 2)
        diameter = max(diameter, (ys[far] - ys[j]) ** 2 + (xs[far] - xs[j]) ** 2)
        width = min(width, reach / np.sqrt(np.float64(ey * ey + ex * ex)))
    return diameter, width


@njit(nogil=True, cache=True)
def _polygon(
    left_y: NDArray[np.int64],
    left_x: NDArray[np.int64],
    n_left: int,
    right_y: NDArray[np.int64],
    right_x: NDArray[np.int64],
    n_right: int,
) -> int:
    """Put the right side, from the bottom up, behind the left one; returns the number of vertices."""
    size = n_left
    for k in range(n_right - 1, -1, -1):
        y, x = right_y[k], -right_x[k]
        if (y == left_y[n_left - 1] and x == left_x[n_left - 1]) or (y == left_y[0] and x == left_x[0]):
            continue
        left_y[size], left_x[size] = y, x
        size += 1
    return size


@njit(nogil=True, cache=True)
def _hulls(
    first: NDArray[np.int32], last: NDArray[np.int32], row_starts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    n = len(row_starts) - 1
    convex = np.empty(n, np.int64)
    feret = np.empty((n, 2), np.float64)
    room = 2
    for cell in range(n):
        room = max(room, 6 * (row_starts[cell + 1] - row_starts[cell]))
    left_y, left_x = np.empty(room, np.int64), np.empty(room, np.int64)
    right_y, right_x = np.empty(room, np.int64), np.empty(room, np.int64)
    for cell in range(n):
        rows = slice(row_starts[cell], row_starts[cell + 1])
        n_left = _chain(first[rows], 1, left_y, left_x)
        n_right = _chain(last[rows], -1, right_y, right_x)
        convex[cell] = _convex_pixels(left_y, left_x, right_y, right_x, row_starts[cell + 1] - row_starts[cell])
        size = _polygon(left_y, left_x, n_left, right_y, right_x, n_right)
        diameter, width = _calipers(left_y, left_x, size)
        feret[cell, 0] = np.sqrt(np.float64(diameter)) / 2
        feret[cell, 1] = width / 2
    return convex, feret
