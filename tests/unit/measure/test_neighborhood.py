"""Nearest neighbours and densities against a k-d tree, a lattice and counted areas."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from cellseg.measure.neighborhood import disc_in_image, measure_neighborhoods, nearest_distances
from cellseg.measure.point_bins import count_within


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
    assert np.allclose(nearest_distances(points, **size), expected, rtol=1e-12)
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

    assert nearest_distances(points, height_px=10, width_px=10).tolist() == [0, 0, 5]


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
