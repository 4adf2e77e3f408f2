"""Outlines of cells with fewer corners, no farther from the exact ones than asked for. Floor 3: arrays in, arrays out.

A simplified outline has its corners in the middles of the exact one's pixel edges (at their ends where the tolerance is
too small to cut a corner of a pixel). Each point of the exact outline is nearer than the tolerance to the side that
stands for it. The middle of a pixel is half a pixel or more from the exact outline, so that with a tolerance of up to
0.5 px none changes sides: drawn again, such an outline gives the same pixels.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Ints = NDArray[np.int64]
DRAWN_ALIKE_PX = 0.5
"""px; outlines simplified within this give the same pixels when they are drawn again."""
_CUT_PX = 0.36
"""px; from here on a corner of a pixel may be cut: the line between the middles of two edges is sqrt(2) / 4 px off."""
_LOOK_AHEAD = 6
"""Steps that a side may be too far off before its reach is taken for settled."""
_MAX_CORNERS = 2048
"""Corners of a simplified cell up to which its sides are compared two by two; larger ones stay exact."""


def simplify_rings(
    x: Ints, y: Ints, rings: Ints, polygons: Ints, cells: Ints, tolerance_px: float
) -> tuple[Ints, Ints, Ints]:
    """The same rings with fewer corners.

    A cell keeps its exact outline where simplified rings would cross, touch or leave their place in one another, where
    its area would change by more than tolerance times length, where no corner is saved, or over 2,048 corners.

    Parameters
    ----------
    x, y : (p,) ndarray of int64
        Corners of exact outlines, half px.
    rings, polygons, cells : (r + 1,), (q + 1,), (n + 1,) ndarray of int64
        As in `Outlines`.
    tolerance_px : float
        px, > 0 (Douglas & Peucker 1973, Cartographica 10:112).

    Returns
    -------
    x, y : (p2,) ndarray of int64
        Corners, half px.
    rings : (r + 1,) ndarray of int64
        First corner of each ring.
    """
    simpler = _simplify(x, y, rings, polygons, cells, 2.0 * tolerance_px, tolerance_px >= _CUT_PX)
    return simpler[0], simpler[1], simpler[2]


@njit(nogil=True, cache=True)
def _simplify(
    x: Ints, y: Ints, rings: Ints, polygons: Ints, cells: Ints, tolerance: float, cut: bool
) -> tuple[Ints, Ints, Ints]:
    """`tolerance` in half px; `cut`: corners of pixels may be cut."""
    out_x, out_y, out_rings = np.empty_like(x), np.empty_like(y), np.zeros_like(rings)
    longest = 0
    for ring in range(len(rings) - 1):
        longest = max(longest, _length(x, y, rings[ring], rings[ring + 1]))
    ways, chosen = np.empty((4, longest + 1), np.int64), np.empty(longest + 1, np.int64)
    n = 0
    for cell in range(len(cells) - 1):
        first, last = polygons[cells[cell]], polygons[cells[cell + 1]]
        n_exact = rings[last] - rings[first]
        before, saved = n, True
        for ring in range(first, last):
            n_steps = _prepare(x, y, rings[ring], rings[ring + 1], cut, ways)
            n_kept = _choose(ways, n_steps, tolerance, chosen)
            # a ring never has fewer than 3 corners; a cell never more than it had
            if n_kept < 3 or n - before + n_kept >= n_exact:
                saved = False
                break
            for k in chosen[:n_kept]:
                out_x[n], out_y[n] = ways[0, k], ways[1, k]
                n += 1
            out_rings[ring + 1] = n
        if not (saved and _is_sound(x, y, rings, out_x, out_y, out_rings, polygons, cells, cell, tolerance)):
            out_x[before : before + n_exact] = x[rings[first] : rings[last]]
            out_y[before : before + n_exact] = y[rings[first] : rings[last]]
            for ring in range(first, last):
                out_rings[ring + 1] = out_rings[ring] + rings[ring + 1] - rings[ring]
            n = before + n_exact
    return out_x[:n].copy(), out_y[:n].copy(), out_rings


@njit(nogil=True, cache=True)
def _length(x: Ints, y: Ints, start: int, stop: int) -> int:
    """Pixel edges of an exact ring."""
    length, before = 0, stop - 1
    for k in range(start, stop):
        length += abs(x[k] - x[before]) + abs(y[k] - y[before])
        before = k
    return length // 2


@njit(nogil=True, cache=True)
def _prepare(x: Ints, y: Ints, start: int, stop: int, cut: bool, ways: Ints) -> int:
    """What may be a corner (rows 0, 1: x, y) and what must be near (rows 2, 3): of a side from i to j, i + 1 to j.

    The first step stands at the end once more. Returns the number of steps.
    """
    n = 0
    for k in range(start, stop):
        after = k + 1 if k + 1 < stop else start
        if not cut:
            ways[0, n], ways[1, n] = x[k], y[k]
            n += 1
            continue
        dx, dy = np.sign(x[after] - x[k]), np.sign(y[after] - y[k])
        for step in range((abs(x[after] - x[k]) + abs(y[after] - y[k])) // 2):
            ways[2, n], ways[3, n] = x[k] + 2 * step * dx, y[k] + 2 * step * dy
            ways[0, n], ways[1, n] = ways[2, n] + dx, ways[3, n] + dy
            n += 1
    if not cut:
        ways[2, :n], ways[3, :n] = ways[0, :n], ways[1, :n]
    for row in range(4):
        ways[row, n] = ways[row, 0]
    return n


@njit(nogil=True, cache=True)
def _choose(ways: Ints, n: int, tolerance: float, chosen: Ints) -> int:
    """Corners from the first one on, each the farthest that a side may reach; returns their number."""
    n_chosen, i = 0, 0
    while i < n:
        chosen[n_chosen] = i
        n_chosen += 1
        reach, j = i + 1, i + 2
        while j <= n and j - reach <= _LOOK_AHEAD:
            if _is_near(ways, i, j, tolerance):
                reach = j
            j += 1
        i = reach
    return n_chosen


@njit(nogil=True, cache=True)
def _is_near(ways: Ints, i: int, j: int, tolerance: float) -> bool:
    """Whether all of the exact outline from i to j is nearer to the side between them than the tolerance."""
    k = i + 1
    while k <= j and _off(ways, 2, k, i, j) < tolerance * tolerance:
        k += 1
    return k > j


@njit(nogil=True, cache=True)
def _off(ways: Ints, row: int, k: int, i: int, j: int) -> float:
    """Squared distance of a point to the side from corner i to corner j."""
    dx, dy = ways[0, j] - ways[0, i], ways[1, j] - ways[1, i]
    px, py = ways[row, k] - ways[0, i], ways[row + 1, k] - ways[1, i]
    along, length = px * dx + py * dy, dx * dx + dy * dy
    if along <= 0:
        return float(px * px + py * py)
    if along >= length:
        return float((px - dx) ** 2 + (py - dy) ** 2)
    across = float(px * dy - py * dx)
    return float(across * across / length)


@njit(nogil=True, cache=True)
def _is_sound(
    x: Ints, y: Ints, rings: Ints, new_x: Ints, new_y: Ints, new_rings: Ints,
    polygons: Ints, cells: Ints, cell: int, tolerance: float,
) -> bool:  # fmt: skip
    """Whether a cell's simplified rings make valid polygons of about the same area."""
    first, last = polygons[cells[cell]], polygons[cells[cell + 1]]
    if new_rings[last] - new_rings[first] > _MAX_CORNERS:
        return False
    change, length = 0, 0.0
    for ring in range(first, last):
        area = _doubled_area(new_x, new_y, new_rings[ring], new_rings[ring + 1])
        exact = _doubled_area(x, y, rings[ring], rings[ring + 1])
        if area == 0 or (area > 0) != (exact > 0):
            return False
        change += area - exact
        before = new_rings[ring + 1] - 1
        for k in range(new_rings[ring], new_rings[ring + 1]):
            length += np.sqrt(float((new_x[k] - new_x[before]) ** 2 + (new_y[k] - new_y[before]) ** 2))
            before = k
    if abs(change) > 2 * tolerance * length or _meets_itself(new_x, new_y, new_rings, first, last):
        return False
    return bool(last == first + 1 or _is_nested(new_x, new_y, new_rings, polygons, cells[cell], cells[cell + 1]))


@njit(nogil=True, cache=True)
def _doubled_area(x: Ints, y: Ints, start: int, stop: int) -> int:
    area, before = 0, stop - 1
    for k in range(start, stop):
        area += x[before] * y[k] - x[k] * y[before]
        before = k
    return area


@njit(nogil=True, cache=True)
def _turn(ax: int, ay: int, bx: int, by: int, cx: int, cy: int) -> int:
    """1 or -1: on which side of the line from a to b c lies; 0 on it."""
    return int(np.sign((bx - ax) * (cy - ay) - (by - ay) * (cx - ax)))


@njit(nogil=True, cache=True)
def _meets_itself(x: Ints, y: Ints, rings: Ints, first: int, last: int) -> bool:
    """Whether two sides of these rings have a point in common, other than neighbours the corner between them."""
    for ring in range(first, last):
        for k in range(rings[ring], rings[ring + 1]):
            a, b = k, k + 1 if k + 1 < rings[ring + 1] else rings[ring]
            for other in range(ring, last):
                for m in range(k + 1 if other == ring else rings[other], rings[other + 1]):
                    c, d = m, m + 1 if m + 1 < rings[other + 1] else rings[other]
                    if max(x[a], x[b]) < min(x[c], x[d]) or max(x[c], x[d]) < min(x[a], x[b]):
                        continue
                    if max(y[a], y[b]) < min(y[c], y[d]) or max(y[c], y[d]) < min(y[a], y[b]):
                        continue
                    if b == c or a == d:
                        # neighbours: only a side that runs back over the other one is a fault
                        p, q, r = (a, b, d) if b == c else (c, d, b)
                        back = (x[p] - x[q]) * (x[r] - x[q]) + (y[p] - y[q]) * (y[r] - y[q]) > 0
                        if back and _turn(x[p], y[p], x[q], y[q], x[r], y[r]) == 0:
                            return True
                        continue
                    one = _turn(x[a], y[a], x[b], y[b], x[c], y[c]) * _turn(x[a], y[a], x[b], y[b], x[d], y[d])
                    two = _turn(x[c], y[c], x[d], y[d], x[a], y[a]) * _turn(x[c], y[c], x[d], y[d], x[b], y[b])
                    if one <= 0 and two <= 0:
                        return True
    return False


@njit(nogil=True, cache=True)
def _is_nested(x: Ints, y: Ints, rings: Ints, polygons: Ints, first: int, last: int) -> bool:
    """Whether rings that do not meet lie in one another as polygons with holes do.

    Outer rings lie in an even number of others, holes in an odd number and in their own outer ring.
    """
    for polygon in range(first, last):
        for ring in range(polygons[polygon], polygons[polygon + 1]):
            is_hole = ring != polygons[polygon]
            depth = 0
            for other in range(polygons[first], polygons[last]):
                if other != ring:
                    depth += _holds(x, y, rings[other], rings[other + 1], x[rings[ring]], y[rings[ring]])
            own = polygons[polygon]
            at = rings[ring]
            if depth % 2 != is_hole or (is_hole and not _holds(x, y, rings[own], rings[own + 1], x[at], y[at])):
                return False
    return True


@njit(nogil=True, cache=True)
def _holds(x: Ints, y: Ints, start: int, stop: int, at_x: int, at_y: int) -> bool:
    """Whether a point that is on no side lies in the ring."""
    inside, before = False, stop - 1
    for k in range(start, stop):
        if (y[k] <= at_y) != (y[before] <= at_y):
            side = _turn(x[before], y[before], x[k], y[k], at_x, at_y)
            inside ^= (side > 0) == (y[k] > y[before])
        before = k
    return inside
