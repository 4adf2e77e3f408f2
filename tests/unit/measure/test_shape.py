"""Closed forms: a pixel, lines, squares, discs; and what is never infinite."""

import numpy as np
import pytest

from cellseg.measure.boxes import scan_cells
from cellseg.measure.shape import measure_shapes


def shape_of(mask, mpp=1.0):
    """The columns of a single cell as plain numbers."""
    labels = np.pad(np.asarray(mask), 1).astype(np.uint32)
    cells = scan_cells(labels)
    return {k: v[0].item() for k, v in measure_shapes(labels, cells.ids, cells.boxes, mpp=mpp).items()}


def disc(radius):
    size = int(radius) + 1
    y, x = np.mgrid[-size : size + 1, -size : size + 1]
    return y**2 + x**2 <= radius**2


def test_one_pixel():
    got = shape_of([[1]])

    assert got["n_pixels"] == got["convex_area_um2"] == 1
    assert got["solidity"] == got["extent"] == got["circularity"] == 1
    assert got["major_axis_um"] == got["minor_axis_um"] == got["eccentricity"] == 0
    assert np.isnan(got["aspect_ratio"])
    assert got["max_feret_um"] == 1
    assert got["min_feret_um"] == pytest.approx(np.sqrt(0.5))  # across the diamond of its edges' midpoints
    # one run in each of 4 directions
    assert got["perimeter_um"] == pytest.approx(np.pi / 2 * (1 + np.sqrt(0.5)))


@pytest.mark.parametrize(
    ("mask", "angle"),
    [(np.ones((1, 9)), np.pi / 2), (np.ones((9, 1)), 0), (np.eye(9), np.pi / 4), (np.eye(9)[::-1], -np.pi / 4)],
)
def test_lines_have_no_minor_axis_and_their_own_direction(mask, angle):
    got = shape_of(mask)

    assert got["minor_axis_um"] == 0 and got["eccentricity"] == 1
    assert np.isnan(got["aspect_ratio"])
    assert got["orientation_rad"] == pytest.approx(angle)
    assert sum(np.isnan(value) for value in got.values()) == 1


@pytest.mark.parametrize("side", [2, 5, 20, 1500])
def test_square(side):
    got = shape_of(np.ones((side, side)), mpp=0.5)

    assert got["area_um2"] == side**2 / 4
    assert got["solidity"] == got["extent"] == 1
    axis = 0.5 * 4 * np.sqrt((side**2 - 1) / 12)  # variance of 0..side-1
    assert got["major_axis_um"] == pytest.approx(axis) and got["minor_axis_um"] == pytest.approx(axis)
    assert got["orientation_rad"] == -np.pi / 4  # no axis is longer
    # the hull is an octagon: the square with its corners cut at the edges' midpoints
    assert got["max_feret_um"] == pytest.approx(0.5 * np.hypot(side, side - 1))
    assert got["min_feret_um"] == pytest.approx(0.5 * min(side, (2 * side - 1) / np.sqrt(2)))
    assert got["aspect_ratio"] == pytest.approx(1)


@pytest.mark.parametrize("radius", [8.3, 15.2, 40.4])
def test_disc(radius):
    got = shape_of(disc(radius), mpp=2.0)

    # a digital disc's outline wavers by about half a pixel: relative errors fall with 1 / radius
    near = pytest.approx
    assert got["area_um2"] == near(4 * np.pi * radius**2, rel=0.5 / radius)
    assert got["perimeter_um"] == near(4 * np.pi * radius, rel=0.5 / radius)
    assert got["equivalent_diameter_um"] == near(4 * radius, rel=0.5 / radius)
    assert got["major_axis_um"] == near(4 * radius, rel=0.5 / radius)
    assert got["max_feret_um"] == near(4 * radius, rel=1 / radius)
    assert got["min_feret_um"] == near(4 * radius, rel=1 / radius)
    assert got["eccentricity"] == near(0, abs=1e-6)
    assert got["circularity"] > 0.95


def test_ellipse_turned():
    y, x = np.mgrid[-60:61, -60:61]
    angle = 0.6  # from the downward axis towards the right
    along, across = y * np.cos(angle) + x * np.sin(angle), -y * np.sin(angle) + x * np.cos(angle)
    got = shape_of((along / 50) ** 2 + (across / 20) ** 2 <= 1)

    assert got["orientation_rad"] == pytest.approx(angle, abs=0.005)
    assert got["major_axis_um"] == pytest.approx(100, rel=0.01)
    assert got["minor_axis_um"] == pytest.approx(40, rel=0.01)
    assert got["aspect_ratio"] == pytest.approx(2.5, rel=0.01)
    assert got["eccentricity"] == pytest.approx(np.sqrt(1 - 0.4**2), rel=0.005)


def test_pieces_of_one_id_are_one_cell_with_empty_rows_between():
    got = shape_of([[1, 1], [0, 0], [0, 0], [1, 1]])

    assert got["n_pixels"] == 4 and got["convex_area_um2"] == 8
    assert got["max_feret_um"] == pytest.approx(np.sqrt(17))


def test_a_cells_neighbours_do_not_count():
    labels = np.zeros((12, 12), np.uint32)
    labels[2:8, 2:7] = 1
    alone = scan_cells(labels)
    before = measure_shapes(labels, alone.ids, alone.boxes, mpp=1.0)
    crowded = labels.copy()
    crowded[labels == 0] = 2
    after = measure_shapes(crowded, alone.ids, alone.boxes, mpp=1.0)

    assert all(np.array_equal(before[name], after[name]) for name in before)
