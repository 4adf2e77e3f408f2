"""Neighbours, graph, regions, contrast and variation against scipy, networkx and plain loops."""

from collections import Counter

import numpy as np
import pytest
from scipy.spatial import Delaunay, Voronoi, cKDTree, distance

from cellseg.measure.cell_graph import delaunay_edges
from cellseg.measure.contrast import measure_contrast, measure_pleomorphism
from cellseg.measure.delaunay import measure_delaunay
from cellseg.measure.neighborhood import measure_neighborhoods
from cellseg.measure.point_bins import count_within, nearest_points

HEIGHT, WIDTH, MPP = 400, 700, 0.5
SIZE = {"height_px": HEIGHT, "width_px": WIDTH}
# sums of a few squares of numbers below 1e3 px, then a root: a few times 1e-16 each
CLOSE = {"rtol": 1e-9, "atol": 1e-9, "equal_nan": True}


def scattered(n, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (n, 2)) * [HEIGHT - 1, WIDTH - 1]


def crowded(n, seed=0):
    rng = np.random.default_rng(seed)
    middles = rng.uniform(0.2, 0.8, (4, 2)) * [HEIGHT, WIDTH]
    return np.clip(middles[rng.integers(0, 4, n)] + rng.normal(0, 3, (n, 2)), 0, [HEIGHT - 1, WIDTH - 1])


@pytest.mark.parametrize("points", [scattered(3000), crowded(2000), scattered(7), scattered(6)])
def test_k_nearest_equal_a_kd_tree(points):
    got = measure_neighborhoods(points, **SIZE, mpp=MPP, radius_um=20.0)
    found, rows = cKDTree(points).query(points, k=6)

    for k, name in enumerate(["nearest_neighbor_um", *(f"nearest_{k}_um" for k in range(2, 6))], start=1):
        assert np.allclose(got[name], found[:, k] * MPP, **CLOSE)
    assert np.allclose(got["nearest_mean_um"], found[:, 1:].mean(axis=1) * MPP, **CLOSE)
    a, b = points[rows[:, 1]] - points, points[rows[:, 2]] - points
    cosine = (a * b).sum(axis=1) / (np.hypot(*a.T) * np.hypot(*b.T))
    # the arc cosine of the oracle loses half the digits near 0 and pi
    assert np.allclose(got["neighbor_angle_rad"], np.arccos(np.clip(cosine, -1, 1)), atol=1e-6)


def test_ties_go_to_the_lower_row_as_in_a_stable_sort():
    points = np.random.default_rng(3).permutation(np.mgrid[0:120:6, 0:120:6].reshape(2, -1).T.astype(float))
    squares = distance.cdist(points, points, "sqeuclidean")
    np.fill_diagonal(squares, np.inf)

    rows, found = nearest_points(points, 5, height_px=120, width_px=120)

    expected = np.argsort(squares, axis=1, kind="stable")[:, :5]
    assert np.array_equal(rows, expected)
    assert np.array_equal(found, np.sqrt(np.take_along_axis(squares, expected, axis=1)))


@pytest.mark.parametrize("radius", [0.5, 3.0, 17.3, 100.0, 1000.0])
@pytest.mark.parametrize("points", [scattered(2000), crowded(2000), np.mgrid[0:400:5, 0:700:5].reshape(2, -1).T * 1.0])
def test_counts_equal_a_kd_tree(points, radius):
    expected = cKDTree(points).query_ball_point(points, radius, return_length=True) - 1

    assert np.array_equal(count_within(points, radius, **SIZE), expected)


def test_clark_evans_at_random_and_in_a_triangular_lattice():
    points = scattered(4000)
    got = measure_neighborhoods(points, **SIZE, mpp=MPP, radius_um=30.0)["local_clustering"]
    inner = ((points > 60) & (points < [HEIGHT - 60, WIDTH - 60])).all(axis=1)
    # the ratio of one cell has a standard deviation of about 0.55: 0.01 on the mean of 2,500
    assert got[inner].mean() == pytest.approx(1, abs=0.04)

    y, x = np.mgrid[0:90, 0:60]
    lattice = np.stack([y * np.sqrt(3) * 2, (x + 0.5 * (y % 2)) * 4], axis=-1).reshape(-1, 2)
    got = measure_neighborhoods(lattice, height_px=320, width_px=260, mpp=1.0, radius_um=60.0)["local_clustering"]
    # lattice points within a disc come in steps
    assert got[len(got) // 2 + 30] == pytest.approx(2.149, rel=0.02)


def edges_of(points):
    triangles = Delaunay(points).simplices
    pairs = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [0, 2]]]), axis=1)
    return np.unique(pairs, axis=0)


@pytest.mark.parametrize("points", [scattered(1500), crowded(800), scattered(3), scattered(10)])
def test_edges_equal_qhull(points):
    assert np.array_equal(delaunay_edges(points), edges_of(points))


def test_edges_and_triangles_of_each_cell_equal_plain_loops():
    points = scattered(400, seed=5)
    got = measure_delaunay(points, **SIZE, mpp=MPP, max_edge_um=20.0)
    triangles = Delaunay(points).simplices
    a, b, c = (points[triangles[:, k]] for k in range(3))
    areas = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2 * MPP**2
    pairs = edges_of(points)
    for cell in range(len(points)):
        ends = pairs[(pairs == cell).any(axis=1)].sum(axis=1) - cell
        lengths = np.hypot(*(points[ends] - points[cell]).T) * MPP
        own = areas[(triangles == cell).any(axis=1)]
        expected = {
            "delaunay_degree": len(ends),
            "delaunay_edge_mean_um": lengths.mean(),
            "delaunay_edge_median_um": np.median(lengths),
            "delaunay_edge_sd_um": lengths.std(ddof=1),
            "delaunay_edge_min_um": lengths.min(),
            "delaunay_edge_max_um": lengths.max(),
            "delaunay_triangle_area_mean_um2": own.mean(),
            "delaunay_triangle_area_min_um2": own.min(),
            "delaunay_triangle_area_max_um2": own.max(),
        }
        assert {name: got[name][cell] for name in expected} == pytest.approx(expected, rel=1e-9)


def polygon(corners):
    y, x = corners.T
    cross = y * np.roll(x, -1) - x * np.roll(y, -1)
    area = cross.sum() / 2
    middle = np.array([((v + np.roll(v, -1)) * cross).sum() for v in (y, x)]) / (6 * area)
    return abs(area), np.hypot(*(corners - np.roll(corners, -1, axis=0)).T).sum(), middle


def test_regions_equal_qhulls_voronoi():
    points = scattered(600, seed=2)
    got = measure_delaunay(points, **SIZE, mpp=MPP, max_edge_um=20.0)
    found = Voronoi(points)
    n_open = 0
    for cell, region in enumerate(found.point_region):
        corners = found.vertices[[v for v in found.regions[region] if v >= 0]]
        within = ((corners >= -0.5) & (corners <= np.array([HEIGHT, WIDTH]) - 0.5)).all()
        if -1 in found.regions[region] or not within:
            n_open += 1
            assert all(np.isnan(got[name][cell]) for name in got if name.startswith("voronoi"))
            continue
        area, perimeter, middle = polygon(corners)
        # circle centres of thin triangles lose some digits, in both
        assert got["voronoi_area_um2"][cell] == pytest.approx(area * MPP**2, rel=1e-7)
        assert got["voronoi_perimeter_um"][cell] == pytest.approx(perimeter * MPP, rel=1e-7)
        assert got["voronoi_max_distance_um"][cell] == pytest.approx(distance.pdist(corners).max() * MPP, rel=1e-7)
        assert got["voronoi_offset_um"][cell] == pytest.approx(np.hypot(*(middle - points[cell])) * MPP, abs=1e-6)
        assert got["voronoi_circularity"][cell] == pytest.approx(4 * np.pi * area / perimeter**2, rel=1e-7)
    assert 20 < n_open < 200


@pytest.mark.parametrize("max_edge_um", [3.0, 8.0, 12.0, 1000.0])
def test_clustering_and_components_equal_networkx(max_edge_um):
    networkx = pytest.importorskip("networkx")
    points = scattered(900, seed=4)
    got = measure_delaunay(points, **SIZE, mpp=MPP, max_edge_um=max_edge_um)
    graph = networkx.Graph()
    graph.add_nodes_from(range(len(points)))
    pairs = edges_of(points)
    graph.add_edges_from(pairs[np.hypot(*(points[pairs[:, 0]] - points[pairs[:, 1]]).T) * MPP <= max_edge_um].tolist())

    clustering = np.array([networkx.clustering(graph, cell) if graph.degree(cell) > 1 else np.nan for cell in graph])
    assert np.allclose(got["delaunay_clustering"], clustering, **CLOSE)
    sizes = {cell: len(part) for part in networkx.connected_components(graph) for cell in part}
    assert got["delaunay_component_size"].tolist() == [sizes[cell] for cell in range(len(points))]


@pytest.mark.parametrize("n", [500, 30])
def test_contrast_equals_plain_loops(n):
    rng = np.random.default_rng(7)
    points = scattered(n, seed=7)
    values = np.where(rng.uniform(size=n) < 0.1, np.nan, rng.lognormal(4, 0.5, n))
    pairs = delaunay_edges(points, max_edge_px=30.0)
    near = [set() for _ in range(n)]
    for a, b in pairs:
        near[a].add(b)
        near[b].add(a)

    got = measure_contrast({"area_um2": values}, pairs)["contrast_area_um2"]

    for cell in range(n):
        around = near[cell].union(*(near[other] for other in near[cell])) - {cell}
        there = np.array([values[other] for other in around if not np.isnan(values[other])])
        expected = np.nan
        if len(there) >= 5:
            median = np.median(there)
            expected = (values[cell] - median) / (1.482602218505602 * np.median(np.abs(there - median)))
        assert got[cell] == pytest.approx(expected, rel=1e-9, nan_ok=True)


def test_pleomorphism_equals_plain_loops():
    rng = np.random.default_rng(8)
    n, radius_um = 500, 22.0
    points = scattered(n, seed=8)
    features = {
        "area_um2": rng.lognormal(4, 0.5, n),
        "circularity": rng.uniform(0.4, 1, n),
        "eccentricity": rng.uniform(0, 1, n),
        "orientation_rad": rng.uniform(-np.pi / 2, np.pi / 2, n),
        "od_mean": np.where(rng.uniform(size=n) < 0.2, np.nan, rng.normal(0.6, 0.1, n)),
    }
    got = measure_pleomorphism(points, features, **SIZE, mpp=MPP, radius_um=radius_um)
    near = distance.cdist(points, points) * MPP <= radius_um
    for cell in range(n):
        area, circularity, eccentricity, turned, od = (values[near[cell]] for values in features.values())
        od = od[~np.isnan(od)]
        expected = {
            "pleomorphism_area_cv": area.std(ddof=1) / area.mean(),
            "pleomorphism_area_max_ratio": area.max() / np.median(area),
            "pleomorphism_circularity_sd": circularity.std(ddof=1),
            "pleomorphism_eccentricity_sd": eccentricity.std(ddof=1),
            "pleomorphism_elongation_sd": (1 - np.sqrt(1 - eccentricity**2)).std(ddof=1),
            "pleomorphism_od_cv": od.std(ddof=1) / od.mean() if len(od) >= 5 else np.nan,
        }
        shares = np.array([*Counter(np.rint(np.degrees(turned) / 15).astype(int) % 12).values()]) / len(turned)
        expected["pleomorphism_orientation_entropy_bits"] = -(shares * np.log2(shares)).sum()
        if len(area) < 5:
            expected = dict.fromkeys(expected, np.nan)
        assert got["pleomorphism_n_cells"][cell] == len(area)
        assert {name: got[name][cell] for name in expected} == pytest.approx(expected, rel=1e-9, nan_ok=True)
