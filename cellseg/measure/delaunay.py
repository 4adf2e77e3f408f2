"""How each cell lies among its Delaunay neighbours, and its Voronoi region. Floor 3: arrays in, arrays out.

The graph is that of `cell_graph.py`: neighbours are cells whose Voronoi regions share an edge of positive length.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.cell_graph import SAME, CellGraph, build_graph, edges_by_place

_EDGE_COLUMNS = tuple(f"delaunay_edge_{statistic}_um" for statistic in ("mean", "median", "sd", "min", "max"))
_AREA_COLUMNS = tuple(f"delaunay_triangle_area_{statistic}_um2" for statistic in ("mean", "min", "max"))
_REGION_COLUMNS = {
    "voronoi_area_um2": 2, "voronoi_perimeter_um": 1, "voronoi_max_distance_um": 1, "voronoi_offset_um": 1,
    "voronoi_circularity": 0,
}  # fmt: skip
"""Power of the unit of length."""


def measure_delaunay(
    centroids_px: NDArray[np.float64],
    *,
    height_px: int,
    width_px: int,
    mpp: float,
    max_edge_um: float,
    graph: CellGraph | None = None,
) -> dict[str, NDArray[np.float64]]:
    """The columns of family `delaunay` for all cells of a slide.

    Cells with the same centroid share a place of the graph and all its figures but those of the Voronoi region, which
    is no one's own. Edges of the outermost cells may be long: they span whatever is not convex in the tissue.

    Parameters
    ----------
    centroids_px : (n, 2) ndarray of float64
        y and x, px; 0 is the centre of the first pixel; n >= 0.
    height_px, width_px : int
        Size of the image.
    mpp : float
        Microns per pixel.
    max_edge_um : float
        Longer edges count neither for `delaunay_clustering` nor for `delaunay_component_size`.
    graph : CellGraph, optional
        Of these centroids, if it is at hand.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        All NaN where the slide has fewer than three cells or all on one line.
    """
    graph = build_graph(centroids_px) if graph is None else graph
    n = len(graph)
    own = np.bincount(graph.place_of, minlength=n)
    starts, edge_of = edges_by_place(graph.ends, n)
    lengths = graph.lengths
    links = _measure_links(starts, edge_of, graph.sides, lengths, graph.areas)
    low, high = -0.5 - graph.middle, np.array([height_px, width_px]) - 0.5 - graph.middle
    inside = ((graph.centres >= low) & (graph.centres <= high)).all(axis=1)
    regions = _measure_regions(graph.places, starts, edge_of, graph.sides, graph.centres, inside)
    regions[own > 1] = np.nan
    del starts, edge_of
    near = graph.ends[lengths <= max_edge_um / mpp * (1 + SAME)]
    roots = _components(near, n)
    sizes = np.bincount(roots, weights=own, minlength=n)[roots].astype(np.float64)
    sizes[np.isnan(links[:, 0])] = np.nan
    triangles, degrees = _count_triangles(near, n)
    pairs = degrees * (degrees - 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        clustering = np.where(degrees > 1, 2 * triangles / pairs, np.nan)
    units = {"delaunay_degree": 1.0} | dict.fromkeys(_EDGE_COLUMNS, mpp) | dict.fromkeys(_AREA_COLUMNS, mpp**2)
    by_place = {name: links[:, at] * unit for at, (name, unit) in enumerate(units.items())}
    by_place |= {"delaunay_clustering": clustering, "delaunay_component_size": sizes}
    by_place |= {name: regions[:, at] * mpp**power for at, (name, power) in enumerate(_REGION_COLUMNS.items())}
    return {name: values[graph.place_of] for name, values in by_place.items()}


@njit(nogil=True, cache=True)
def _measure_links(
    starts: NDArray[np.int64],
    edge_of: NDArray[np.int32],
    sides: NDArray[np.int32],
    lengths: NDArray[np.float64],
    areas: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(n, 9): degree; mean, median, sd, min, max of edge lengths; mean, min, max of areas of faces."""
    n = len(starts) - 1
    out = np.full((n, 9), np.nan)
    most = 0
    for place in range(n):
        most = max(most, starts[place + 1] - starts[place])
    own = np.empty(most, np.float64)
    for place in range(n):
        degree = starts[place + 1] - starts[place]
        if degree == 0:
            continue
        area, least, largest, n_faces = 0.0, np.inf, 0.0, 0
        for at in range(degree):
            e = edge_of[starts[place] + at]
            face = sides[e, 0] if e >= 0 else sides[~e, 1]  # each face is at the left of one edge
            own[at] = lengths[max(e, ~e)]
            if face >= 0:
                area += areas[face]
                least, largest = min(least, areas[face]), max(largest, areas[face])
                n_faces += 1
        sorted_own = np.sort(own[:degree])
        mean = sorted_own.sum() / degree
        median = (sorted_own[(degree - 1) // 2] + sorted_own[degree // 2]) / 2
        out[place, 0], out[place, 1], out[place, 2] = degree, mean, median
        if degree > 1:
            out[place, 3] = np.sqrt(((sorted_own - mean) ** 2).sum() / (degree - 1))
        out[place, 4], out[place, 5] = sorted_own[0], sorted_own[degree - 1]
        if n_faces:
            out[place, 6], out[place, 7], out[place, 8] = area / n_faces, least, largest
    return out


@njit(nogil=True, cache=True)
def _measure_regions(
    places: NDArray[np.float64],
    starts: NDArray[np.int64],
    edge_of: NDArray[np.int32],
    sides: NDArray[np.int32],
    centres: NDArray[np.float64],
    inside: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """(n, 5) area, perimeter, diameter, offset, circularity of each Voronoi region; NaN unless closed and in the image.

    The region is the sum of the triangles from the place to the Voronoi edge of each neighbour.
    """
    n = len(places)
    out = np.full((n, 5), np.nan)
    for place in range(n):
        y, x = places[place, 0], places[place, 1]
        area, perimeter, sum_y, sum_x, square = 0.0, 0.0, 0.0, 0.0, 0.0
        closed = starts[place + 1] > starts[place]
        for at in range(starts[place], starts[place + 1]):
            e = edge_of[at]
            left, right = (sides[e, 0], sides[e, 1]) if e >= 0 else (sides[~e, 1], sides[~e, 0])
            if left < 0 or right < 0 or not inside[left]:
                closed = False
                break
            ly, lx = centres[left, 0] - y, centres[left, 1] - x
            ry, rx = centres[right, 0] - y, centres[right, 1] - x
            part = (ry * lx - rx * ly) / 2
            area += part
            perimeter += np.sqrt((ly - ry) ** 2 + (lx - rx) ** 2)
            sum_y += part * (ly + ry) / 3
            sum_x += part * (lx + rx) / 3
            for before in range(starts[place], at):
                e = edge_of[before]
                other = sides[e, 0] if e >= 0 else sides[~e, 1]
                square = max(square, (centres[other, 0] - y - ly) ** 2 + (centres[other, 1] - x - lx) ** 2)
        if closed and area > 0:
            out[place, 0], out[place, 1], out[place, 2] = area, perimeter, np.sqrt(square)
            out[place, 3] = np.sqrt(sum_y**2 + sum_x**2) / area
            out[place, 4] = min(4 * np.pi * area / perimeter**2, 1.0)
    return out


@njit(nogil=True, cache=True)
def _components(ends: NDArray[np.int32], n: int) -> NDArray[np.int32]:
    """The lowest place that each place is joined to by edges."""
    parents = np.arange(n).astype(np.int32)
    for e in range(len(ends)):
        a, b = ends[e, 0], ends[e, 1]
        while parents[a] != a:
            parents[a] = parents[parents[a]]
            a = parents[a]
        while parents[b] != b:
            parents[b] = parents[parents[b]]
            b = parents[b]
        parents[max(a, b)] = min(a, b)
    for i in range(n):
        parents[i] = parents[parents[i]]  # parents are never higher, and are settled before
    return parents


@njit(nogil=True, cache=True)
def _count_triangles(ends: NDArray[np.int32], n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of joined neighbours and neighbours of each place.

    Edges are walked from the end of fewer neighbours, so that a place with very many costs no more than others.
    """
    degrees, counts = np.zeros(n, np.int64), np.zeros(n, np.int64)
    for e in range(len(ends)):
        degrees[ends[e, 0]] += 1
        degrees[ends[e, 1]] += 1
    starts = np.zeros(n + 2, np.int64)
    forward = ends.copy()
    for e in range(len(ends)):
        a, b = ends[e, 0], ends[e, 1]
        if (degrees[b], b) < (degrees[a], a):
            forward[e, 0], forward[e, 1] = b, a
        starts[forward[e, 0] + 2] += 1
    starts = np.cumsum(starts)
    targets = np.empty(len(ends), np.int32)
    for e in range(len(ends)):
        a = forward[e, 0]
        targets[starts[a + 1]] = forward[e, 1]
        starts[a + 1] += 1
    mark = np.full(n, -1, np.int32)
    for a in range(n):
        for i in range(starts[a], starts[a + 1]):
            mark[targets[i]] = a
        for i in range(starts[a], starts[a + 1]):
            b = targets[i]
            for j in range(starts[b], starts[b + 1]):
                c = targets[j]
                if mark[c] == a:
                    counts[a] += 1
                    counts[b] += 1
                    counts[c] += 1
    return counts, degrees
