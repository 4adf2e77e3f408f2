"""Symmetries of shapes that have them, and by hand of some that don't."""

import numpy as np
import pytest
from patching import disc, ellipse, patches_of, ring, star

from cellseg.measure.symmetry import measure_symmetry


def symmetry_of(mask):
    got = measure_symmetry(patches_of(np.asarray(mask)))
    return got["symmetry_mirror"][0], got["symmetry_rotation_180"][0]


@pytest.mark.parametrize(
    "mask",
    [[[1]], np.ones((1, 8)), np.eye(7), np.ones((6, 6)), np.ones((5, 12)), disc(9), ring(9, 4), ellipse(20, 9)],
)
def test_shapes_as_symmetric_as_the_lattice(mask):
    assert symmetry_of(mask) == pytest.approx((1, 1), abs=1e-12)


@pytest.mark.parametrize("angle", [0.2, 0.5, 1.0])
def test_a_turned_ellipse_is_symmetric_but_for_its_edge(angle):
    mirror, rotation = symmetry_of(ellipse(40, 20, angle))

    # centres of the edge's pixels fall between pixels: a fraction of an edge of 194 px out of 2,513
    assert 0.97 < mirror <= 1
    assert rotation == pytest.approx(1, abs=1e-12)


def test_an_isosceles_triangle_is_its_mirror_image_but_not_its_half_turn():
    rows = np.arange(40)
    triangle = (abs(np.arange(-39, 40)) * 2 <= rows[:, None]).astype(int)

    mirror, rotation = symmetry_of(triangle)

    assert mirror == pytest.approx(1, abs=1e-12)
    # a triangle and its half turn about the centroid share a hexagon of 2/3 of its area
    assert rotation == pytest.approx(2 / 3, abs=0.02)


def test_a_parallelogram_is_its_half_turn_but_not_its_mirror_image():
    slanted = np.array([[int(y <= x < y + 40) for x in range(60)] for y in range(20)])

    mirror, rotation = symmetry_of(slanted)

    assert rotation == pytest.approx(1, abs=1e-12)
    assert mirror < 0.9


def test_an_l_by_hand():
    # centroid (2/3, 1/3): a pixel's half-turned centre lies at (4/3, 2/3) less the pixel
    _, rotation = symmetry_of([[1, 0], [1, 1]])

    # weights of the four lattice points around: rows 1 and 2 (2/3, 1/3), columns 0 and 1 (1/3, 2/3)
    def pairs(y, x):
        cell = {(0, 0), (1, 0), (1, 1)}
        return sum((y - a, x - b) in cell for a, b in cell)

    expected = 2 / 3 * (pairs(1, 0) / 3 + 2 * pairs(1, 1) / 3) + 1 / 3 * (pairs(2, 0) / 3 + 2 * pairs(2, 1) / 3)
    assert rotation == pytest.approx(expected / 3, rel=1e-12)


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("flip", [False, True])
def test_turned_and_flipped(turn, flip):
    mask = star(17, 0.2, 3)
    mask[10:14, 20:30] = 0
    other = np.rot90(mask[::-1] if flip else mask, turn)

    assert symmetry_of(other) == pytest.approx(symmetry_of(mask), rel=1e-9)


def test_a_cell_of_thousands_of_pixels_width():
    wide = np.ones((1500, 3001), int)

    assert symmetry_of(wide) == pytest.approx((1, 1), abs=1e-9)


def test_no_cells():
    got = measure_symmetry(patches_of(np.zeros((3, 3), int)))

    assert [values.shape for values in got.values()] == [(0,), (0,)]
