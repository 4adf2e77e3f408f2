"""The graph of neighbours and Voronoi's regions: lattices, hexagons, odd cases, invariance."""

import numpy as np
import pytest

from cellseg.columns.neighborhood import COLUMNS
from cellseg.measure.cell_graph import build_graph, delaunay_edges
from cellseg.measure.delaunay import measure_delaunay

NAMES = [column.name for column in COLUMNS if column.family == "delaunay"]
SIDE = 300
SETTINGS = {"height_px": SIDE, "width_px": SIDE, "mpp": 0.5, "max_edge_um": 20.0}


def scattered(n, seed=0, side=SIDE):
    return np.random.default_rng(seed).uniform(0, side - 1, (n, 2))


def lattice(n_rows, n_columns, step):
    return np.mgrid[0:n_rows, 0:n_columns].reshape(2, -1).T * float(step) + step


def test_columns_are_those_that_are_defined():
    got = measure_delaunay(scattered(30), **SETTINGS)

    assert list(got) == NAMES
    assert all(column.dtype == np.float64 and column.shape == (30,) for column in got.values())


def test_square_lattice_has_four_neighbours_and_no_diagonals():
    points = lattice(7, 9, 20)
    got = measure_delaunay(points, **SETTINGS)
    inner = ((points > 20) & (points < [140, 180])).all(axis=1)

    assert set(got["delaunay_degree"][inner]) == {4} and set(got["delaunay_degree"]) == {2, 3, 4}
    for name in ("mean", "median", "min", "max"):
        assert np.allclose(got[f"delaunay_edge_{name}_um"], 10)
    assert np.allclose(got["delaunay_edge_sd_um"], 0)
    for name in ("mean", "min", "max"):  # four corners on one circle: the square is one face
        assert np.allclose(got[f"delaunay_triangle_area_{name}_um2"], 100)
    assert np.array_equal(got["delaunay_clustering"], np.zeros(63))
    assert set(got["delaunay_component_size"]) == {63}
    assert np.array_equal(np.isnan(got["voronoi_area_um2"]), ~inner)
    assert np.allclose(got["voronoi_area_um2"][inner], 100)
    assert np.allclose(got["voronoi_perimeter_um"][inner], 40)
    assert np.allclose(got["voronoi_max_distance_um"][inner], 10 * np.sqrt(2))
    assert np.allclose(got["voronoi_offset_um"][inner], 0, atol=1e-9)
    assert np.allclose(got["voronoi_circularity"][inner], np.pi / 4)


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_turned_lattice_is_a_lattice(share):
    points = lattice(7, 7, 20)[np.random.default_rng(1).uniform(size=49) < share]
    expected, edges = measure_delaunay(points, **SETTINGS), delaunay_edges(points)
    for angle in np.linspace(0.01, 1.5, 40):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turned = (points - 20) @ turn + 1000
        got = measure_delaunay(turned, **SETTINGS)

        # its border is a line but for rounding: no thin triangles there
        assert np.array_equal(delaunay_edges(turned), edges)
        for name in NAMES:
            if not name.startswith("voronoi"):
                assert np.allclose(got[name], expected[name], rtol=1e-9, atol=1e-9, equal_nan=True)


def test_edges_as_long_as_the_limit_join():
    points = lattice(4, 4, 7)
    got = measure_delaunay(points, **SETTINGS | {"mpp": 0.1, "max_edge_um": 0.7})

    assert 0.7 / 0.1 < 7
    assert set(got["delaunay_component_size"]) == {16}


def test_triangular_lattice_has_six():
    y, x = np.mgrid[0:9, 0:9]
    points = np.stack([20 + y * 20 * np.sqrt(0.75), 20 + (x + 0.5 * (y % 2)) * 20], axis=-1).reshape(-1, 2)
    got = measure_delaunay(points, **SETTINGS)

    assert got["delaunay_degree"][40] == 6
    assert got["delaunay_clustering"][40] == pytest.approx(6 / 15)
    assert got["delaunay_triangle_area_mean_um2"][40] == pytest.approx(np.sqrt(3) / 4 * 100)
    assert got["voronoi_area_um2"][40] == pytest.approx(np.sqrt(3) / 2 * 100)
    assert got["voronoi_perimeter_um"][40] == pytest.approx(6 * 10 / np.sqrt(3))
    assert got["voronoi_circularity"][40] == pytest.approx(np.pi / (2 * np.sqrt(3)))


def test_regular_polygon_is_one_face():
    angle = np.arange(12) * np.pi / 6 + 0.1
    circle = np.stack([150 + 50 * np.sin(angle), 150 + 50 * np.cos(angle)], axis=1)
    got = measure_delaunay(circle, **SETTINGS)

    assert np.array_equal(got["delaunay_degree"], np.full(12, 2))
    assert np.allclose(got["delaunay_triangle_area_mean_um2"], 12 / 2 * 25**2 * np.sin(np.pi / 6))

    with_hub = measure_delaunay(np.vstack([circle, [[150.0, 150.0]]]), **SETTINGS)
    assert with_hub["delaunay_degree"].tolist() == [3] * 12 + [12]
    assert with_hub["voronoi_area_um2"][12] == pytest.approx(12 * 12.5**2 * np.tan(np.pi / 12))


@pytest.mark.parametrize(
    "points",
    [
        np.empty((0, 2)),
        np.array([[5.0, 5.0]]),
        np.array([[5.0, 5.0], [9.0, 5.0]]),
        np.array([[5.0, 5.0], [9.0, 5.0], [5.0, 5.0]]),
        np.full((6, 2), 7.0),
        np.stack([np.arange(40.0), np.full(40, 3.0)], axis=1),
        np.stack([np.arange(40.0) / 3, np.arange(40.0) / 7], axis=1),
    ],
)
def test_no_triangle_is_nan(points):
    got = measure_delaunay(points, **SETTINGS)

    assert all(column.shape == (len(points),) and np.isnan(column).all() for column in got.values())
    if len(np.unique(points, axis=0)) == len(points):
        assert delaunay_edges(points).shape == (0, 2)


def test_three_cells_are_a_triangle():
    got = measure_delaunay(np.array([[0.0, 0.0], [0.0, 40.0], [30.0, 0.0]]), **SETTINGS | {"max_edge_um": 16.0})

    assert got["delaunay_degree"].tolist() == [2, 2, 2]
    assert got["delaunay_edge_max_um"].tolist() == [20, 25, 25]
    assert got["delaunay_triangle_area_mean_um2"].tolist() == [150, 150, 150]
    assert got["delaunay_component_size"].tolist() == [2, 1, 2]
    assert np.isnan(got["delaunay_clustering"]).all() and np.isnan(got["voronoi_area_um2"]).all()


def test_ring_around_a_disc_shares_its_place():
    points = scattered(60, seed=3)
    alone = measure_delaunay(points, **SETTINGS)
    disc = int(np.flatnonzero(~np.isnan(alone["voronoi_area_um2"]))[3])
    twice = np.vstack([points, points[[disc]], points[[disc]]])
    got = measure_delaunay(twice, **SETTINGS)

    for name in NAMES:
        if name.startswith("voronoi"):
            assert np.isnan(got[name][[disc, 60, 61]]).all()
            rest = np.delete(np.arange(60), disc)
            assert np.array_equal(got[name][rest], alone[name][rest], equal_nan=True)
        elif name != "delaunay_component_size":
            assert np.array_equal(got[name][:60], alone[name], equal_nan=True)
            assert np.array_equal(got[name][[60, 61]], alone[name][[disc, disc]], equal_nan=True)
    sizes, before = got["delaunay_component_size"], alone["delaunay_component_size"]
    assert sizes[disc] == sizes[60] == sizes[61] == before[disc] + 2

    edges = {tuple(pair) for pair in delaunay_edges(twice).tolist()}
    assert {(disc, 60), (disc, 61), (60, 61)} <= edges
    beside = {a + b - disc for a, b in delaunay_edges(points).tolist() if disc in (a, b)}
    assert all((other, twin) in edges for other in beside for twin in (60, 61))


def test_edges_can_be_limited():
    points = lattice(3, 3, 20)

    assert len(delaunay_edges(points)) == 12
    assert len(delaunay_edges(points, max_edge_px=20.0)) == 12
    assert delaunay_edges(points, max_edge_px=19.9).shape == (0, 2)


def test_regions_that_leave_the_image_are_nan():
    points = np.array([[50.0, 50.0], [20.0, 50.0], [80.0, 50.0], [50.0, 20.0], [50.0, 80.0]])
    whole = measure_delaunay(points, height_px=101, width_px=101, mpp=1.0, max_edge_um=50.0)
    cut = measure_delaunay(points, height_px=101, width_px=65, mpp=1.0, max_edge_um=50.0)

    assert whole["voronoi_area_um2"][0] == pytest.approx(900) and np.isnan(whole["voronoi_area_um2"][1:]).all()
    assert np.isnan(cut["voronoi_area_um2"]).all()
    assert whole["delaunay_degree"].tolist() == cut["delaunay_degree"].tolist() == [4, 3, 3, 3, 3]


POINTS = {
    "scattered": scattered(500, seed=1),
    "lattice": lattice(12, 13, 20),
    "shifted lattice": lattice(12, 13, 20) / 3 + 1 / 7,
    "whole numbers": np.unique(np.round(scattered(700, seed=2) / 10), axis=0) * 10,
    "lattice with gaps": lattice(14, 14, 20)[np.random.default_rng(0).uniform(size=196) < 0.8],
}
TURNS = {
    "down": lambda p: np.stack([SIDE - 1 - p[:, 0], p[:, 1]], axis=1),
    "right": lambda p: np.stack([p[:, 0], SIDE - 1 - p[:, 1]], axis=1),
    "rot90": lambda p: np.stack([SIDE - 1 - p[:, 1], p[:, 0]], axis=1),
    "transposed": lambda p: p[:, ::-1].copy(),
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("points", POINTS.values(), ids=POINTS)
def test_same_when_turned_or_flipped(points, turn):
    expected, got = measure_delaunay(points, **SETTINGS), measure_delaunay(TURNS[turn](points), **SETTINGS)

    # circle centres of thin triangles at the hull lose digits
    for name in NAMES:
        assert np.allclose(got[name], expected[name], rtol=1e-7, atol=1e-7, equal_nan=True)
    assert np.array_equal(delaunay_edges(points), delaunay_edges(TURNS[turn](points)))


@pytest.mark.parametrize("points", POINTS.values(), ids=POINTS)
def test_same_bytes_in_any_order(points):
    order = np.random.default_rng(5).permutation(len(points))
    expected, got = measure_delaunay(points, **SETTINGS), measure_delaunay(points[order], **SETTINGS)

    assert all(np.array_equal(got[name], expected[name][order], equal_nan=True) for name in NAMES)


@pytest.mark.parametrize("points", POINTS.values(), ids=POINTS)
def test_same_anywhere_in_an_image(points):
    size = {"height_px": 1000, "width_px": 1000}
    expected = measure_delaunay(points + 300, **SETTINGS | size)
    got = measure_delaunay(points + np.array([213, 371]), **SETTINGS | size)

    # the corners of open regions may lie anywhere
    closed = ~np.isnan(expected["voronoi_area_um2"]) & ~np.isnan(got["voronoi_area_um2"])
    assert closed.sum() > 0.5 * len(points)
    for name in NAMES:
        rows = closed if name.startswith("voronoi") else slice(None)
        assert np.allclose(got[name][rows], expected[name][rows], rtol=1e-7, atol=1e-7, equal_nan=True)


def test_pixel_size_scales_lengths_and_areas():
    points = scattered(300)
    fine = measure_delaunay(points, **SETTINGS)
    coarse = measure_delaunay(points, **SETTINGS | {"mpp": 1.0, "max_edge_um": 40.0})

    for name in NAMES:
        factor = 4 if name.endswith("_um2") else 2 if name.endswith("_um") else 1
        assert np.allclose(coarse[name], factor * fine[name], rtol=1e-12, equal_nan=True)


def test_regions_and_faces_fill_the_plane():
    points = scattered(2000, seed=9)
    graph = build_graph(points)
    n_hull = (graph.sides < 0).any(axis=1).sum()

    # Euler: edges of a triangulation, and the convex hull's area by its outline
    assert len(graph.ends) == 3 * len(points) - 3 - n_hull
    assert len(graph.areas) == 2 * len(points) - 2 - n_hull
    hull = graph.ends[(graph.sides < 0).any(axis=1)]
    a, b = graph.places[hull[:, 0]], graph.places[hull[:, 1]]
    assert graph.areas.sum() == pytest.approx(np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2, rel=1e-9)


def test_points_that_nearly_coincide_are_finite():
    points = scattered(200, seed=4)
    points[1] = points[0] + [1e-12, 0]
    points[3] = points[2] + [0, 1e-9]
    points[5] = points[4] + 1e-6
    got = measure_delaunay(points, **SETTINGS)

    assert not any(np.isinf(column).any() for column in got.values())
    assert not np.isnan(got["delaunay_degree"]).any()
