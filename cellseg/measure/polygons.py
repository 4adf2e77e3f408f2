"""Outlines of cells as polygons: along the edges of their pixels, or simplified. Floor 3: arrays in, arrays out.

A cell's exact outline is the edge between its pixels and all others. Pixels that touch at a corner alone are parted
there, so that no ring touches itself and every polygon is valid (OGC Simple Features), as QuPath and GIS want it: a
cell of several pieces, also of pieces that meet at a corner, is a multipolygon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.patches import Patches
from cellseg.measure.simplify import Ints, simplify_rings

_DONE, _PASSED = 2, 4
"""Bits of a pixel beside its mask: its upper edge was walked; the walk at hand came through its upper left corner."""


@dataclass(frozen=True)
class Outlines:
    """The outlines of n cells, flat: each level says where the parts of the next one begin.

    Attributes
    ----------
    points : (p, 2) ndarray of int64
        x and y of the corners in half pixels, 0 at the image's upper left corner: 3 is 1.5 px. A ring's first corner
        is not repeated at its end.
    rings : (r + 1,) ndarray of int64
        First point of each ring. Outer rings have a positive area in x and y (clockwise on the screen), holes a
        negative one.
    polygons : (q + 1,) ndarray of int64
        First ring of each polygon, its outer one; the others are its holes.
    cells : (n + 1,) ndarray of int64
        First polygon of each cell.
    """

    points: Ints
    rings: Ints
    polygons: Ints
    cells: Ints

    def __len__(self) -> int:
        return len(self.cells) - 1


def trace_outlines(patches: Patches, *, tolerance_px: float = 0.0, y0: int = 0, x0: int = 0) -> Outlines:
    """The outlines of some cells; exact ones have whole coordinates.

    Parameters
    ----------
    patches : Patches
        The cells. None give no points.
    tolerance_px : float
        0 for exact outlines, else within what they are simplified, px; see `simplify_rings`.
    y0, x0 : int
        Where the window that the patches were cut from begins in the image, px.
    """
    walked = _walk_cells(patches.mask.copy(), patches.starts, patches.heights, patches.widths)
    x, y, rings, polygons, cells = _nest(*walked)
    if tolerance_px > 0:
        x, y, rings = simplify_rings(x, y, rings, polygons, cells, tolerance_px)
    n_points = np.diff(rings[polygons[cells]])
    origins = 2 * (patches.origins[:, ::-1] + np.array([x0, y0]))
    return Outlines(np.stack([x, y], axis=1) + np.repeat(origins, n_points, axis=0), rings, polygons, cells)


@njit(nogil=True, cache=True)
def _count_edges(mask: NDArray[np.uint8], starts: Ints, widths: Ints) -> int:
    """Edges between pixels in and out of the cells."""
    n = 0
    for cell in range(len(widths)):
        stride = widths[cell]
        for at in range(starts[cell] + stride, starts[cell + 1]):
            n += (mask[at] != mask[at - 1]) + (mask[at] != mask[at - stride])
    return n


@njit(nogil=True, cache=True)
def _walk_cells(
    mask: NDArray[np.uint8], starts: Ints, heights: Ints, widths: Ints
) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """X and y of all rings (half px of the patch), where rings begin, where cells' rings begin, doubled ring areas."""
    n_edges = _count_edges(mask, starts, widths)
    x, y = np.empty(n_edges, np.int64), np.empty(n_edges, np.int64)
    stack = np.empty((n_edges + 1, 2), np.int64)
    rings, areas = np.zeros(n_edges // 4 + 1, np.int64), np.empty(n_edges // 4 + 1, np.int64)
    cell_rings = np.zeros(len(heights) + 1, np.int64)
    n_rings = 0
    for cell in range(len(heights)):
        patch = mask[starts[cell] : starts[cell + 1]].reshape(heights[cell], widths[cell])
        for i in range(1, heights[cell] - 1):
            for j in range(1, widths[cell] - 1):
                if patch[i, j] & 3 == 1 and patch[i - 1, j] & 1 == 0:
                    n_rings = _walk(patch, i, j, stack, x, y, rings, areas, n_rings)
        cell_rings[cell + 1] = n_rings
    n = rings[n_rings]
    return x[:n], y[:n], rings[: n_rings + 1], cell_rings, areas[:n_rings]


@njit(nogil=True, cache=True)
def _walk(
    patch: NDArray[np.uint8], i: int, j: int, stack: Ints,
    x: Ints, y: Ints, rings: Ints, areas: Ints, n_rings: int,
) -> int:  # fmt: skip
    """Follow the edges from the upper one of a pixel, the cell on the right hand, until they come back to it.

    (i, j) is the upper left corner of pixel (i, j). Where the walk comes through a corner for the second time, the loop
    that it has made there is a ring of its own. Returns the number of rings so far.
    """
    first_i, first_j, way, depth = i, j, 0, 0
    while True:
        across = patch[i, j] & 1 == patch[i - 1, j - 1] & 1 and patch[i, j - 1] & 1 == patch[i - 1, j] & 1
        if across and patch[i, j] & _PASSED:
            start = depth - 1
            while stack[start, 0] != i or stack[start, 1] != j:
                start -= 1
            n_rings = _keep_ring(patch, stack, start, depth, x, y, rings, areas, n_rings)
            depth = start + 1
        else:
            if across:
                patch[i, j] |= _PASSED
            stack[depth, 0], stack[depth, 1] = i, j
            depth += 1
        inner, outer = 1, 0
        while inner == 1 and outer == 0:
            if way == 0:
                patch[i, j] |= _DONE
                j += 1
                inner, outer = patch[i, j] & 1, patch[i - 1, j] & 1
            elif way == 1:
                i += 1
                inner, outer = patch[i, j - 1] & 1, patch[i, j] & 1
            elif way == 2:
                j -= 1
                inner, outer = patch[i - 1, j - 1] & 1, patch[i, j - 1] & 1
            else:
                i -= 1
                inner, outer = patch[i - 1, j] & 1, patch[i - 1, j - 1] & 1
        way = (way + 1) % 4 if inner == 0 else (way + 3) % 4
        if way == 0 and i == first_i and j == first_j:
            return int(_keep_ring(patch, stack, 0, depth, x, y, rings, areas, n_rings))


@njit(nogil=True, cache=True)
def _keep_ring(
    patch: NDArray[np.uint8], stack: Ints, start: int, stop: int,
    x: Ints, y: Ints, rings: Ints, areas: Ints, n_rings: int,
) -> int:  # fmt: skip
    """Write a part of the stack down as a ring and forget that the walk came through its corners."""
    at, area = rings[n_rings], 0
    before_i, before_j = stack[stop - 1, 0], stack[stop - 1, 1]
    for k in range(start, stop):
        i, j = stack[k, 0], stack[k, 1]
        patch[i, j] &= 255 - _PASSED
        x[at], y[at] = 2 * j, 2 * i
        at += 1
        area += before_j * i - j * before_i
        before_i, before_j = i, j
    rings[n_rings + 1], areas[n_rings] = at, area
    return n_rings + 1


@njit(nogil=True, cache=True)
def _nest(x: Ints, y: Ints, rings: Ints, cell_rings: Ints, areas: Ints) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """The rings of each cell sorted by polygon, the outer one first; where rings, polygons and cells begin."""
    n_rings, n_outer = len(areas), int((areas > 0).sum())
    order, polygons = np.empty(n_rings, np.int64), np.zeros(n_outer + 1, np.int64)
    cells, owner, at = np.zeros(len(cell_rings), np.int64), np.empty(n_rings, np.int64), np.empty(n_outer, np.int64)
    n = 0
    for cell in range(len(cells) - 1):
        first, last, n_before = cell_rings[cell], cell_rings[cell + 1], n
        for ring in range(first, last):
            if areas[ring] > 0:
                owner[ring] = n
                n += 1
        cells[cell + 1] = n
        for ring in range(first, last):
            if areas[ring] < 0:
                owner[ring] = n_before if n == n_before + 1 else owner[_around(x, y, rings, areas, ring, first, last)]
            polygons[owner[ring] + 1] += 1
    for polygon in range(n_outer):
        polygons[polygon + 1] += polygons[polygon]
        at[polygon] = polygons[polygon] + 1
    for ring in range(n_rings):
        if areas[ring] > 0:
            order[polygons[owner[ring]]] = ring
        else:
            order[at[owner[ring]]] = ring
            at[owner[ring]] += 1
    return *_sorted_rings(x, y, rings, order), polygons, cells


@njit(nogil=True, cache=True)
def _sorted_rings(x: Ints, y: Ints, rings: Ints, order: Ints) -> tuple[Ints, Ints, Ints]:
    out_x, out_y, starts = np.empty_like(x), np.empty_like(y), np.zeros_like(rings)
    at = 0
    for place, ring in enumerate(order):
        n = rings[ring + 1] - rings[ring]
        out_x[at : at + n], out_y[at : at + n] = x[rings[ring] : rings[ring + 1]], y[rings[ring] : rings[ring + 1]]
        at += n
        starts[place + 1] = at
    return out_x, out_y, starts


@njit(nogil=True, cache=True)
def _around(x: Ints, y: Ints, rings: Ints, areas: Ints, hole: int, first: int, last: int) -> int:
    """The outer ring of the piece that a hole is in: the smallest around the pixel above the hole's uppermost edge."""
    top = rings[hole]
    for k in range(rings[hole], rings[hole + 1]):
        if y[k] < y[top] or (y[k] == y[top] and x[k] < x[top]):
            top = k
    at_x, at_y = x[top] + 1, y[top] - 1
    best = -1
    for ring in range(first, last):
        if areas[ring] <= 0 or (best >= 0 and areas[ring] >= areas[best]):
            continue
        inside, before = False, rings[ring + 1] - 1
        for k in range(rings[ring], rings[ring + 1]):
            # upright edges on the left
            if x[k] == x[before] and x[k] < at_x and (y[k] < at_y) != (y[before] < at_y):
                inside = not inside
            before = k
        if inside:
            best = ring
    return best
