"""The smallest circle around each cell, and the points that it hangs on. Floor 3: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.patches import Patches


def enclose_cells(patches: Patches, *, corners: bool) -> NDArray[np.float64]:
    """The smallest circle around each cell's pixels.

    By the algorithm of Chrystal (1885) on the convex hull: from one of its sides, the vertex that sees the side under
    the smallest angle; the circle is found when no angle of that triangle is obtuse, else the search goes on from the
    side opposite to the obtuse one (Skyum 1991, Inf Process Lett 37:121).

    Parameters
    ----------
    patches : Patches
        n cells.
    corners : bool
        Around the pixels' corners, that is the whole pixels; else around their centres.

    Returns
    -------
    (n, 3) ndarray of float64
        y and x of the centre, px of the patch (0 is the centre of its first pixel), and the radius, px; the radius of
        a single pixel's centre is 0.
    """
    return np.asarray(_enclose(patches.mask, patches.starts, patches.heights, patches.widths, int(corners)))


@njit(nogil=True, cache=True)
def _turns(py: NDArray[np.int64], px: NDArray[np.int64], size: int, y: int, x: int) -> bool:
    ay, ax, by, bx = py[size - 2], px[size - 2], py[size - 1], px[size - 1]
    return bool((bx - ax) * (y - ay) - (by - ay) * (x - ax) < 0)


@njit(nogil=True, cache=True)
def hull_of_rows(
    mask: NDArray[np.uint8], height: int, width: int, half: int, py: NDArray[np.int64], px: NDArray[np.int64]
) -> int:
    """The convex hull of a cell's pixel centres (`half` 0) or corners (1), doubled px of the patch; its size.

    `mask` is one patch, `py` and `px` take the vertices: room for 4 `height` + 4 points. No three lie on a line.
    """
    size = 0
    for y in range(1, height - 1):  # the left side, downwards
        line = mask[y * width : (y + 1) * width]
        x = 1
        while x < width and line[x] == 0:
            x += 1
        if x == width:
            continue
        for step in range(-half, half + 1, 2):
            py[size], px[size] = 2 * y + step, 2 * x - half
            while size >= 2 and not _turns(py, px, size, py[size], px[size]):
                py[size - 1], px[size - 1] = py[size], px[size]
                size -= 1
            size += 1
    bottom = size
    for y in range(height - 2, 0, -1):  # the right side, upwards
        line = mask[y * width : (y + 1) * width]
        x = width - 1
        while x >= 0 and line[x] == 0:
            x -= 1
        if x < 0:
            continue
        for step in range(half, -half - 1, -2):
            ny, nx = 2 * y + step, 2 * x + half
            if ny == py[size - 1] and nx == px[size - 1]:
                continue
            while size > bottom and not _turns(py, px, size, ny, nx):
                size -= 1
            py[size], px[size] = ny, nx
            size += 1
    if size > 1 and py[size - 1] == py[0] and px[size - 1] == px[0]:
        size -= 1
    while size > 2 and not _turns(py, px, size, py[0], px[0]):
        size -= 1
    return size


@njit(nogil=True, cache=True)
def _obtuse(ay: float, ax: float, by: float, bx: float, cy: float, cx: float) -> bool:
    """Whether the angle at b is greater than a right one."""
    return (ay - by) * (cy - by) + (ax - bx) * (cx - bx) < 0


@njit(nogil=True, cache=True)
def circle_of_hull(py: NDArray[np.int64], px: NDArray[np.int64], size: int) -> tuple[float, float, float]:
    """Centre y, x and radius of the smallest circle around a convex hull, in its own units."""
    if size == 1:
        return float(py[0]), float(px[0]), 0.0
    a, b = 0, 1
    for _ in range(2 * size):
        ay, ax, by, bx = float(py[a]), float(px[a]), float(py[b]), float(px[b])
        best, vertex = -np.inf, -1
        for i in range(size):  # the smallest angle has the greatest cotangent
            if i in (a, b):
                continue
            dot = (ay - py[i]) * (by - py[i]) + (ax - px[i]) * (bx - px[i])
            cross = abs((ax - px[i]) * (by - py[i]) - (ay - py[i]) * (bx - px[i]))
            cotangent = dot / cross if cross > 0 else -np.inf
            if cotangent > best:
                best, vertex = cotangent, i
        if vertex < 0 or best <= 0:
            return (ay + by) / 2, (ax + bx) / 2, float(np.hypot(ay - by, ax - bx)) / 2
        vy, vx = float(py[vertex]), float(px[vertex])
        if _obtuse(by, bx, ay, ax, vy, vx):
            a = vertex
        elif _obtuse(ay, ax, by, bx, vy, vx):
            b = vertex
        else:
            break
    y, x, radius = _through(ay, ax, by, bx, vy, vx)
    return y, x, radius


@njit(nogil=True, cache=True)
def _through(ay: float, ax: float, by: float, bx: float, cy: float, cx: float) -> tuple[float, float, float]:
    """The circle through three points."""
    uy, ux, vy, vx = by - ay, bx - ax, cy - ay, cx - ax
    twice = 2 * (uy * vx - ux * vy)
    u, v = uy * uy + ux * ux, vy * vy + vx * vx
    y, x = (vx * u - ux * v) / twice, (uy * v - vy * u) / twice
    return ay + y, ax + x, float(np.hypot(y, x))


@njit(nogil=True, cache=True)
def _enclose(
    mask: NDArray[np.uint8],
    starts: NDArray[np.int64],
    heights: NDArray[np.int64],
    widths: NDArray[np.int64],
    half: int,
) -> NDArray[np.float64]:
    out = np.empty((len(heights), 3), np.float64)
    room = 4 * (heights.max() if len(heights) else 1) + 4
    py, px = np.empty(room, np.int64), np.empty(room, np.int64)
    for cell in range(len(heights)):
        patch = mask[starts[cell] : starts[cell + 1]]
        size = hull_of_rows(patch, heights[cell], widths[cell], half, py, px)
        y, x, radius = circle_of_hull(py, px, size)
        out[cell, 0], out[cell, 1], out[cell, 2] = y / 2, x / 2, radius / 2
    return out
