"""Which cells of a slide are next to each other: their Delaunay graph. Floor 3: arrays in, arrays out.

Points on one circle, as in a lattice, have several Delaunay triangulations, but one Voronoi diagram (Aurenhammer 1991,
ACM Comput Surv 23:345). Two cells are therefore neighbours here where their Voronoi regions share an edge of
positive length, and triangles whose corners lie on one circle count as one face: so the graph does not depend on the
order of the cells, nor on how the image is turned.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

SAME = 1e-9
"""Sine of an angle below which it is none: centroids are known no better than to 1e-9 of their distances."""


@dataclass(frozen=True)
class CellGraph:
    """The Delaunay graph of n cells at m <= n places; e edges, f faces.

    Attributes
    ----------
    places : (m, 2) ndarray of float64
        Distinct centroids, y and x, px, sorted; relative to `middle`.
    middle : (2,) ndarray of float64
        The middle of their bounding box, px.
    place_of : (n,) ndarray of int32
        The place of each cell.
    ends : (e, 2) ndarray of int32
        Two places whose Voronoi regions share an edge of positive length.
    sides : (e, 2) ndarray of int32
        The faces at the left and the right of each edge; -1 beyond the hull.
    centres : (f, 2) ndarray of float64
        Centre of the circle through the corners of each face, which is a Voronoi vertex; relative to `middle`, px.
    areas : (f,) ndarray of float64
        Area of each face, px^2.
    """

    places: NDArray[np.float64]
    middle: NDArray[np.float64]
    place_of: NDArray[np.int32]
    ends: NDArray[np.int32]
    sides: NDArray[np.int32]
    centres: NDArray[np.float64]
    areas: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.places)

    @property
    def lengths(self) -> NDArray[np.float64]:
        """(e,) float64: length of each edge, px."""
        a, b = self.places[self.ends[:, 0]], self.places[self.ends[:, 1]]
        return np.asarray(np.hypot(*(a - b).T))


def build_graph(centroids_px: NDArray[np.float64]) -> CellGraph:
    """The Delaunay graph of all cells of a slide.

    Cells with the same centroid (a ring around a disc) are one place of the graph. Fewer than three places, or places
    on one line, have no edges.

    Parameters
    ----------
    centroids_px : (n, 2) ndarray of float64
        y and x, px; n >= 0.
    """
    order = np.lexsort((centroids_px[:, 1], centroids_px[:, 0]))
    points = centroids_px[order]
    first = np.concatenate([[True], (points[1:] != points[:-1]).any(axis=1)])[: len(points)]
    place_of = np.empty(len(points), np.int32)
    place_of[order] = np.cumsum(first) - 1
    points = points[first]
    middle = (points.min(axis=0) + points.max(axis=0)) / 2 if len(points) else np.zeros(2)
    points -= middle
    triangles, across, twins = _triangulate(points)
    if len(twins):
        place_of = _merged(points, place_of, twins)
    faces = _join_cocircular(points, triangles, across)
    n_faces = int(faces.max(initial=-1)) + 1
    ends, sides = _edges(triangles, across, faces)
    centres, areas = _circles(points, triangles, faces, n_faces)
    return CellGraph(points, middle, place_of, ends, sides, centres, areas)


def delaunay_edges(
    centroids_px: NDArray[np.float64], *, max_edge_px: float = np.inf, graph: CellGraph | None = None
) -> NDArray[np.int32]:
    """Pairs of cells that are neighbours.

    Parameters
    ----------
    centroids_px : (n, 2) ndarray of float64
        y and x, px; n >= 0.
    max_edge_px : float
        Neighbours farther apart are left out, px.
    graph : CellGraph, optional
        Of these centroids, if it is at hand.

    Returns
    -------
    (e, 2) ndarray of int32
        Rows of `centroids_px`, the lower one first, sorted; cells with the same centroid are neighbours of each other
        and have the same neighbours.
    """
    graph = build_graph(centroids_px) if graph is None else graph
    ends = graph.ends[graph.lengths <= max_edge_px * (1 + SAME)]
    cells = np.argsort(graph.place_of, kind="stable").astype(np.int32)
    starts = np.searchsorted(graph.place_of[cells], np.arange(len(graph.places) + 1)).astype(np.int64)
    pairs = _pairs_of_cells(ends, cells, starts)
    return np.asarray(pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))])


def _triangulate(points: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Triangles (t, 3), the triangle across from each corner (t, 3), and points too near to another one (c, 2).

    Corners go round so that the cross product of two sides in (y, x) is positive. Flat triangles at the hull, which
    rounding makes of points on one line, are taken off.
    """
    from scipy.spatial import Delaunay, QhullError  # a fifth of a second that most commands do without

    none = np.empty((0, 3), np.int32)
    if len(points) < 3:
        return none, none, np.empty((0, 2), np.int32)
    try:
        found = Delaunay(points)
    except QhullError:  # all on one line
        return none, none, np.empty((0, 2), np.int32)
    triangles, across = found.simplices.copy(), found.neighbors.copy()
    twins = found.coplanar[:, [0, 2]].copy()
    del found
    kept = _orient(points, triangles, across)
    numbers = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
    across = across[kept]
    return triangles[kept], np.where(across >= 0, numbers[across], -1).astype(np.int32), twins


def _merged(points: NDArray[np.float64], place_of: NDArray[np.int32], twins: NDArray[np.int32]) -> NDArray[np.int32]:
    """Cells of places that cannot be told from another one belong to that one."""
    to = np.arange(len(points), dtype=np.int32)
    to[twins[:, 0]] = twins[:, 1]
    return to[place_of]


@njit(nogil=True, cache=True)
def _corner(points: NDArray[np.float64], p: int, a: int, b: int) -> tuple[float, float, float]:
    """Cross and dot product of the sides from p to a and to b, and the product of their lengths."""
    ay, ax = points[a, 0] - points[p, 0], points[a, 1] - points[p, 1]
    by, bx = points[b, 0] - points[p, 0], points[b, 1] - points[p, 1]
    return ay * bx - ax * by, ay * by + ax * bx, np.sqrt((ay * ay + ax * ax) * (by * by + bx * bx))


@njit(nogil=True, cache=True)
def _orient(points: NDArray[np.float64], triangles: NDArray[np.int32], across: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Turn all triangles the same way round; False for flat ones at the hull, peeled off from outside."""
    n = len(triangles)
    kept, flat = np.ones(n, np.bool_), np.zeros(n, np.bool_)
    for t in range(n):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        cross, _, size = _corner(points, a, b, c)
        if cross < 0:
            triangles[t, 1], triangles[t, 2] = c, b
            across[t, 1], across[t, 2] = across[t, 2], across[t, 1]
        # the least of the three sines is that of the corner with the longest sides
        for p, q, r in ((a, b, c), (b, c, a), (c, a, b)):
            size = max(size, _corner(points, p, q, r)[2])
        flat[t] = abs(cross) <= SAME * size
    stack = [t for t in range(n) if flat[t] and across[t].min() < 0]
    while len(stack):
        t = stack.pop()
        if not kept[t]:
            continue
        kept[t] = False
        for k in range(3):
            u = across[t, k]
            if u >= 0 and flat[u] and kept[u]:
                stack.append(u)
    return kept


@njit(nogil=True, cache=True)
def _root(parents: NDArray[np.int32], i: int) -> int:
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = int(parents[i])
    return i


@njit(nogil=True, cache=True)
def _join_cocircular(
    points: NDArray[np.float64], triangles: NDArray[np.int32], across: NDArray[np.int32]
) -> NDArray[np.int32]:
    """The face of each triangle: one for all triangles whose corners lie on one circle.

    The corners of two triangles with a common side lie on one circle where the angles opposite to it sum to pi.
    """
    n = len(triangles)
    parents = np.arange(n).astype(np.int32)
    for t in range(n):
        for k in range(3):
            u = across[t, k]
            if u <= t:
                continue
            a, b = triangles[t, (k + 1) % 3], triangles[t, (k + 2) % 3]
            q = triangles[u].sum() - a - b
            cross, dot, size = _corner(points, triangles[t, k], a, b)
            cross_2, dot_2, size_2 = _corner(points, q, b, a)
            if cross * dot_2 + cross_2 * dot <= SAME * size * size_2:
                parents[_root(parents, t)] = _root(parents, u)
    faces, count = np.full(n, -1, np.int32), 0
    for t in range(n):
        root = _root(parents, t)
        if faces[root] < 0:
            faces[root] = count
            count += 1
        faces[t] = faces[root]
    return faces


@njit(nogil=True, cache=True)
def _edges(
    triangles: NDArray[np.int32], across: NDArray[np.int32], faces: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Sides of triangles that part two faces, or a face from the outside: their ends and the faces."""
    count = 0
    for t in range(len(triangles)):
        for k in range(3):
            u = across[t, k]
            count += u < 0 or (u > t and faces[u] != faces[t])
    ends, sides = np.empty((count, 2), np.int32), np.empty((count, 2), np.int32)
    at = 0
    for t in range(len(triangles)):
        for k in range(3):
            u = across[t, k]
            if u < 0 or (u > t and faces[u] != faces[t]):
                ends[at, 0], ends[at, 1] = triangles[t, (k + 1) % 3], triangles[t, (k + 2) % 3]
                sides[at, 0], sides[at, 1] = faces[t], faces[u] if u >= 0 else -1
                at += 1
    return ends, sides


@njit(nogil=True, cache=True)
def _circles(
    points: NDArray[np.float64], triangles: NDArray[np.int32], faces: NDArray[np.int32], n_faces: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centre of the circle of each face, from its largest triangle, and area of the face."""
    centres, areas, largest = np.full((n_faces, 2), np.nan), np.zeros(n_faces), np.zeros(n_faces)
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        cross = abs(_corner(points, a, b, c)[0])
        face = faces[t]
        areas[face] += cross / 2
        if cross <= largest[face]:
            continue
        largest[face] = cross
        by, bx = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1]
        cy, cx = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1]
        double = 2 * (by * cx - bx * cy)
        bb, cc = by * by + bx * bx, cy * cy + cx * cx
        centres[face, 0] = points[a, 0] + (cx * bb - bx * cc) / double
        centres[face, 1] = points[a, 1] + (by * cc - cy * bb) / double
    return centres, areas


@njit(nogil=True, cache=True)
def edges_by_place(ends: NDArray[np.int32], n: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Where the edges of each of n places begin (n + 1,), and those edges (2 e,): `~e` where it is the second end."""
    starts = np.zeros(n + 2, np.int64)
    for e in range(len(ends)):
        starts[ends[e, 0] + 2] += 1
        starts[ends[e, 1] + 2] += 1
    starts = np.cumsum(starts)
    edge_of = np.empty(2 * len(ends), np.int32)
    for e in range(len(ends)):
        for side in range(2):
            place = ends[e, side]
            edge_of[starts[place + 1]] = ~e if side else e
            starts[place + 1] += 1
    return starts[: n + 1], edge_of


@njit(nogil=True, cache=True)
def _pairs_of_cells(ends: NDArray[np.int32], cells: NDArray[np.int32], starts: NDArray[np.int64]) -> NDArray[np.int32]:
    """Every cell of a place with every cell of a neighbouring place and of its own; the lower row first."""
    count = 0
    for place in range(len(starts) - 1):
        own = starts[place + 1] - starts[place]
        count += own * (own - 1) // 2
    for e in range(len(ends)):
        a, b = ends[e, 0], ends[e, 1]
        count += (starts[a + 1] - starts[a]) * (starts[b + 1] - starts[b])
    out = np.empty((count, 2), np.int32)
    at = 0
    for place in range(len(starts) - 1):
        for i in range(starts[place], starts[place + 1]):
            for j in range(i + 1, starts[place + 1]):
                out[at, 0], out[at, 1] = cells[i], cells[j]
                at += 1
    for e in range(len(ends)):
        a, b = ends[e, 0], ends[e, 1]
        for i in range(starts[a], starts[a + 1]):
            for j in range(starts[b], starts[b + 1]):
                out[at, 0], out[at, 1] = min(cells[i], cells[j]), max(cells[i], cells[j])
                at += 1
    return out
