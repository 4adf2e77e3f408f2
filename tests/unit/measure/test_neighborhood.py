"""Nearest neighbours and densities against a k-d tree, a lattice and counted areas."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from cellseg.columns.neighborhood import COLUMNS
from cellseg.measure.neighborhood import disc_in_image, measure_neighborhoods, radius_text
from cellseg.measure.point_bins import count_within, nearest_points


def scattered(n, height, width, seed=0, clusters=0):
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 1, (n, 2)) * [height - 1, width - 1]
    if clusters:
        middles = rng.uniform(0.1, 0.9, (clusters, 2)) * [height, width]
        points = middles[rng.integers(0, clusters, n)] + rng.normal(0, 2, (n, 2))
    return np.clip(points, 0, [height - 1, width - 1])


@pytest.mark.parametrize(("n", "clusters"), [(2, 0), (3, 0), (50, 0), (2000, 0), (1000, 3), (7, 2)])
@pytest.mark.parametrize(("height", "width"), [(300, 500), (3, 2000), (900, 1)])
def test_equal_a_kd_tree(n, clusters, height, width):
    points = scattered(n, height, width, clusters=clusters)
    tree = cKDTree(points)
    size = {"height_px": height, "width_px": width}

    expected = tree.query(points, k=2)[0][:, 1]
    assert np.allclose(nearest_points(points, 1, **size)[1][:, 0], expected, rtol=1e-12)
    for radius in (0.4, 7.0, 61.3, 5000.0):
        assert np.array_equal(
            count_within(points, radius, **size), tree.query_ball_point(points, radius, return_length=True) - 1
        )


def test_alone_and_empty():
    got = measure_neighborhoods(np.array([[3.0, 4.0]]), height_px=10, width_px=10, mpp=0.5, radius_um=1.0)
    assert np.isnan(got["nearest_neighbor_um"][0]) and got["density_per_mm2"][0] == 0

    got = measure_neighborhoods(np.empty((0, 2)), height_px=10, width_px=10, mpp=0.5, radius_um=1.0)
    assert all(column.shape == (0,) for column in got.values())


def test_one_place_twice_is_distance_zero():
    points = np.array([[3.0, 4.0], [3.0, 4.0], [8.0, 4.0]])

    assert nearest_points(points, 1, height_px=10, width_px=10)[1][:, 0].tolist() == [0, 0, 5]


def test_lattice_has_its_density_even_in_the_corner():
    points = np.mgrid[2:1000:5, 2:1000:5].reshape(2, -1).T.astype(float)
    got = measure_neighborhoods(points, height_px=1000, width_px=1000, mpp=0.4, radius_um=60.0)

    assert np.allclose(got["nearest_neighbor_um"], 2.0)
    # the cell itself does not count: 1 / (pi r^2 / 4) short at the corner, and lattice points come in steps
    assert np.allclose(got["density_per_mm2"], 1 / 0.002**2, rtol=0.03)


@pytest.mark.parametrize("radius", [0.7, 5.0, 12.0, 60.0, 500.0])
def test_disc_in_image_equals_a_fine_count(radius):
    height, width = 40, 60
    points = np.array([[0.0, 0.0], [39.0, 59.0], [20.0, 30.0], [3.3, 30.0], [11.0, 55.5]])
    step = 0.05
    y, x = np.meshgrid(np.arange(-0.5, height - 0.5, step) + step / 2, np.arange(-0.5, width - 0.5, step) + step / 2)
    counted = [(np.hypot(y - py, x - px) <= radius).sum() * step**2 for py, px in points]

    got = disc_in_image(points, radius, height_px=height, width_px=width)

    # counting squares of `step` errs by a fraction of the arc's length * step
    assert np.allclose(got, counted, atol=step * max(radius, 1) * 0.3)


def test_disc_far_from_the_edges_is_whole():
    got = disc_in_image(np.array([[50.0, 50.0]]), 10.0, height_px=101, width_px=101)

    assert got[0] == pytest.approx(100 * np.pi, rel=1e-14)


SIZE = {"height_px": 300, "width_px": 300}


def test_columns_are_those_that_are_defined():
    got = measure_neighborhoods(scattered(20, 300, 300), **SIZE, mpp=0.5, radius_um=20.0, radii_um=(25.0, 2.5, 100))
    names = [column.name for column in COLUMNS if column.family == "neighborhood"]
    at = names.index("density_{radius}um_per_mm2")
    names[at : at + 1] = [f"density_{radius}um_per_mm2" for radius in ("25", "2p5", "100")]

    assert list(got) == names
    assert all(column.dtype == np.float64 and column.shape == (20,) for column in got.values())


def test_radius_text():
    assert [radius_text(radius) for radius in (25, 25.0, 2.5, 1000, 0.125)] == ["25", "25", "2p5", "1000", "0p125"]


@pytest.mark.parametrize("n", range(1, 8))
def test_neighbours_that_are_not_there_are_nan(n):
    points = np.array([[10.0 * i, 7.0 * i] for i in range(n)]).reshape(n, 2)
    got = measure_neighborhoods(points, **SIZE, mpp=1.0, radius_um=5.0, radii_um=(25.0,))

    for k, name in enumerate(["nearest_neighbor_um", *(f"nearest_{k}_um" for k in range(2, 6))], start=1):
        assert set(np.isnan(got[name])) == {n <= k}
    assert np.isnan(got["nearest_mean_um"]).all() == (n <= 5)
    assert np.isnan(got["neighbor_angle_rad"]).all() == (n <= 2)
    assert np.isnan(got["local_clustering"]).all()  # nobody within 5 um
    assert not any(np.isinf(column).any() for column in got.values())


def test_angle_of_the_two_nearest():
    points = np.array([[50.0, 50.0], [50.0, 60.0], [39.0, 50.0], [50.0, 90.0]])
    got = measure_neighborhoods(points, **SIZE, mpp=1.0, radius_um=50.0)["neighbor_angle_rad"]

    assert got[0] == pytest.approx(np.pi / 2)
    assert got[3] == pytest.approx(0)

    same = np.array([[50.0, 50.0], [50.0, 50.0], [39.0, 50.0]])
    got = measure_neighborhoods(same, **SIZE, mpp=1.0, radius_um=50.0)["neighbor_angle_rad"]
    assert np.isnan(got[:2]).all() and got[2] == 0

    line = np.array([[50.0, 40.0], [50.0, 50.0], [50.0, 61.0]])
    assert measure_neighborhoods(line, **SIZE, mpp=1.0, radius_um=50.0)["neighbor_angle_rad"][1] == np.pi


def test_clustering_by_hand():
    points = np.array([[100.0, 100.0], [100.0, 104.0], [100.0, 110.0]])
    got = measure_neighborhoods(points, **SIZE, mpp=0.5, radius_um=10.0)

    # two others within 10 um of the first: expected distance 0.5 / sqrt(2 / (100 pi))
    assert got["local_clustering"][0] == pytest.approx(2 * 2.0 * np.sqrt(2 / (100 * np.pi)))


TURNS = {
    "down": lambda p: np.stack([299 - p[:, 0], p[:, 1]], axis=1),
    "right": lambda p: np.stack([p[:, 0], 299 - p[:, 1]], axis=1),
    "rot90": lambda p: np.stack([299 - p[:, 1], p[:, 0]], axis=1),
    "shuffled": lambda p: p,
}


@pytest.mark.parametrize("turn", TURNS)
def test_same_when_turned_flipped_or_renamed(turn):
    points = scattered(400, 300, 300, seed=1)
    order = np.random.default_rng(0).permutation(400) if turn == "shuffled" else np.arange(400)
    settings = {"mpp": 0.5, "radius_um": 20.0, "radii_um": (7.5, 60.0)}
    expected = measure_neighborhoods(points, **SIZE, **settings)
    got = measure_neighborhoods(TURNS[turn](points)[order], **SIZE, **settings)

    # coordinates from the other edge are rounded anew
    assert all(np.allclose(got[name], expected[name][order], rtol=1e-9, equal_nan=True) for name in got)


def test_same_anywhere_away_from_the_border():
    points = scattered(100, 100, 100) + 100
    settings = {"mpp": 0.5, "radius_um": 20.0, "radii_um": (7.5, 25.0)}
    expected = measure_neighborhoods(points, **SIZE, **settings)
    got = measure_neighborhoods(points + np.array([23, -41]), **SIZE, **settings)

    assert all(np.allclose(got[name], expected[name], rtol=1e-9) for name in got)


def test_pixel_size_scales_lengths_and_densities():
    points = scattered(300, 300, 300)
    fine = measure_neighborhoods(points, **SIZE, mpp=0.25, radius_um=10.0)
    coarse = measure_neighborhoods(points, **SIZE, mpp=0.5, radius_um=20.0)

    for name in fine:
        factor = 2.0 if "nearest" in name else 0.25 if "density" in name else 1.0
        assert np.allclose(coarse[name], factor * fine[name], rtol=1e-12, equal_nan=True)
