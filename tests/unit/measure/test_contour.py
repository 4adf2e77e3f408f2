"""Outlines by hand, whatever the cell; smoothing keeps circles and takes the stairs away."""

import numpy as np
import pytest
from patching import disc, ellipse, patches_of, ring, star

from cellseg.measure.contour import Contours, smooth_contours, trace_contours


def outline_of(mask):
    """The corners, y and x in px of the mask itself."""
    contours = trace_contours(patches_of(np.asarray(mask)))
    first = np.argwhere(mask)
    return contours.points + first.min(axis=0) - 1, contours


def test_one_pixel_is_a_diamond_from_its_left_clockwise():
    points, contours = outline_of([[1]])

    assert points.tolist() == [[0, -0.5], [-0.5, 0], [0, 0.5], [0.5, 0]]
    assert contours.areas_px2 == 0.5
    assert contours.lengths_px == pytest.approx(2 * np.sqrt(2))
    assert not contours.measurable[0]


def test_pixels_that_touch_in_a_corner_are_one_piece():
    points, contours = outline_of([[1, 0], [0, 1]])

    expected = [[0, -0.5], [-0.5, 0], [0, 0.5], [0.5, 1], [1, 1.5], [1.5, 1], [1, 0.5], [0.5, 0]]
    assert points.tolist() == expected
    assert contours.areas_px2 == 1.5  # two diamonds and what joins them


@pytest.mark.parametrize(("height", "width"), [(3, 3), (2, 7), (20, 11)])
def test_rectangle(height, width):
    points, contours = outline_of(np.ones((height, width)))

    assert len(points) == 2 * (height + width)
    assert contours.areas_px2 == height * width - 0.5  # the corners are cut off
    assert contours.lengths_px == pytest.approx(2 * (height + width - 2) + 2 * np.sqrt(2))


@pytest.mark.parametrize(
    ("mask", "measurable"),
    [
        (np.ones((1, 40)), False),
        (np.eye(30), False),
        (np.kron(np.eye(9), [[1, 1]]), False),
        (np.ones((2, 2)), False),  # 8 corners
        (np.ones((3, 3)), True),
        (np.ones((2, 7)), True),
        (ring(9, 8), True),  # a closed line encloses an area
    ],
)
def test_dots_and_lines_are_not_measurable(mask, measurable):
    assert trace_contours(patches_of(mask)).measurable.tolist() == [measurable]


def test_the_outline_is_that_of_the_piece_that_encloses_most_and_passes_holes_by():
    mask = np.zeros((20, 30), int)
    mask[0, :9] = 1  # met first, 9 px
    mask[3:12, 2:12] = 1
    mask[4:11, 3:11] = 0  # 34 px around 56
    mask[6:8, 5:8] = 1  # within the hole
    mask[5:13, 15:22] = 1  # more pixels, but encloses 56 only
    alone = np.zeros_like(mask)
    alone[3:12, 2:12] = 1

    got, contours = outline_of(mask)
    want, _ = outline_of(alone)

    assert got.tolist() == want.tolist()
    assert contours.areas_px2 == 9 * 10 - 0.5


def test_the_last_of_many_pieces_may_be_the_largest():
    mask = np.zeros((30, 9), int)
    mask[0, 0] = mask[2:4, 3:5] = mask[6, 2:8] = 1
    mask[10:20, 1:8] = 1

    points, contours = outline_of(mask)

    assert contours.areas_px2 == 70 - 0.5
    assert points[0].tolist() == [10, 0.5]
    # a second cell of the same form in the same batch
    twice = trace_contours(patches_of(np.hstack([mask, 2 * mask])))
    assert twice.points.tolist() == 2 * contours.points.tolist()


def test_outlines_do_not_depend_on_what_else_is_in_the_batch():
    labels = np.zeros((60, 200), int)
    for k, shape in enumerate((disc(20), star(15, 0.3, 5), ring(12, 5), np.eye(9)), start=1):
        labels[2 : 2 + len(shape), 48 * (k - 1) : 48 * (k - 1) + shape.shape[1]][shape > 0] = k
    contours = trace_contours(patches_of(labels))

    for k in range(4):
        alone = trace_contours(patches_of(labels == k + 1))
        assert np.array_equal(contours.points[contours.starts[k] : contours.starts[k + 1]], alone.points)


def test_no_cells():
    contours = trace_contours(patches_of(np.zeros((5, 5), int)))
    smooth = smooth_contours(contours, np.ones(0))

    assert len(contours) == len(smooth) == len(contours.points) == len(smooth.points) == 0
    assert contours.measurable.tolist() == []


@pytest.mark.parametrize(("radius", "tolerance"), [(6, 0.02), (12.5, 0.01), (40, 0.01), (200, 0.01)])
def test_a_smoothed_disc_has_the_length_of_the_circle(radius, tolerance):
    traced = trace_contours(patches_of(disc(radius)))
    smooth = smooth_contours(traced, np.ones(1))

    assert traced.lengths_px[0] > 1.04 * 2 * np.pi * radius  # stairs
    assert smooth.lengths_px[0] == pytest.approx(2 * np.pi * radius, rel=tolerance)
    # smoothing and scaling keep the size to the second order
    assert smooth.areas_px2[0] == pytest.approx(traced.areas_px2[0], rel=0.02)


def test_a_polygon_on_a_circle_keeps_its_radius_at_any_variance():
    angle = np.arange(80) * 2 * np.pi / 80
    points = 5 + 12 * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    side = 24 * np.sin(np.pi / 80)
    circle = Contours(points, np.array([0, 80]), np.array([1.0]), np.array([80 * side]))

    for variance in (0.3, 1, 12, 60):
        got = smooth_contours(circle, np.array([float(variance)])).points - 5
        # steps of diffusion are a Gaussian up to the fourth power of step over wavelength
        assert np.hypot(*got.T) == pytest.approx(12, rel=1e-3)


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("flip", [False, True])
def test_turned_and_flipped_cells_have_turned_and_flipped_outlines(turn, flip):
    mask = ellipse(13.3, 7.1, 0.4)
    mask[4:9, 12:14] = 0
    mask = np.trim_zeros(mask)
    other = np.rot90(mask[:, ::-1] if flip else mask, turn)

    def corners(m):
        traced = trace_contours(patches_of(m))
        y, x = smooth_contours(traced, np.full(1, 4.0)).points.T
        middle = (np.array(patches_of(m).heights[0]) - 1) / 2, (patches_of(m).widths[0] - 1) / 2
        z = (x - middle[1]) - 1j * (y - middle[0])
        return traced, z

    traced, z = corners(mask)
    again, w = corners(other)
    expected = (-z.conj() if flip else z) * 1j**turn

    assert again.areas_px2[0] == traced.areas_px2[0]
    assert again.lengths_px[0] == pytest.approx(traced.lengths_px[0], rel=1e-12)
    assert abs(w[:, None] - expected).min(axis=0).max() < 1e-9
