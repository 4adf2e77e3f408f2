"""Outlines against hand-made corners, shapely's validity and areas, and the labels that they give when drawn again."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import shapely
from fields import blobs, bricks, giant
from measuring import odd_shapes
from patching import disc, patches_of, ring, star
from polygon_files import drawn, shapes_of
from scipy import ndimage

from cellseg.measure.boxes import scan_cells
from cellseg.measure.polygons import trace_outlines
from cellseg.measure.simplify import DRAWN_ALIKE_PX, _is_sound

RNG = np.random.default_rng(0)
FIELDS = {
    "odd": odd_shapes((120, 130), seed=1),
    "sparse": (RNG.random((40, 50)) < 0.3).astype(np.uint32),
    "half": (RNG.random((40, 50)) < 0.5).astype(np.uint32),
    "dense": (RNG.random((40, 50)) < 0.8).astype(np.uint32),
    "three labels": RNG.integers(0, 4, (40, 50)).astype(np.uint32),
    "bricks": bricks((64, 80)),
    "blobs": blobs((128, 128)),
    "giant": giant((200, 210)),
}
each_field = pytest.mark.parametrize("labels", FIELDS.values(), ids=FIELDS)


def rings_of(labels):
    """The rings of each polygon of the only cell, in px."""
    outlines = trace_outlines(patches_of(np.array(labels)))
    assert len(outlines) == 1
    starts = outlines.polygons.tolist()
    rings = [outlines.points[a:b] / 2 for a, b in pairwise(outlines.rings)]
    polygons = [rings[a:b] for a, b in pairwise(starts)]
    return [[ring.astype(int).tolist() for ring in polygon] for polygon in polygons]


def test_one_pixel_is_a_square_from_its_upper_left_corner_clockwise():
    assert rings_of([[0, 0, 0], [0, 0, 1]]) == [[[[2, 1], [3, 1], [3, 2], [2, 2]]]]


def test_corners_on_a_straight_line_are_left_out():
    assert rings_of(np.ones((3, 5))) == [[[[0, 0], [5, 0], [5, 3], [0, 3]]]]
    assert len(rings_of([[1, 1, 1], [1, 0, 0]])[0][0]) == 6


def test_a_hole_runs_the_other_way():
    ((outer, hole),) = rings_of([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
    assert outer == [[0, 0], [3, 0], [3, 3], [0, 3]]
    assert sorted(hole) == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert shapely.LinearRing(outer).is_ccw and not shapely.LinearRing(hole).is_ccw


def test_pieces_that_meet_at_a_corner_are_two_polygons():
    assert rings_of([[1, 0], [0, 1]]) == [[[[0, 0], [1, 0], [1, 1], [0, 1]]], [[[1, 1], [2, 1], [2, 2], [1, 2]]]]


def test_a_hole_that_meets_the_outside_at_a_corner_is_a_hole():
    ((outer, hole),) = rings_of([[1, 1, 1], [1, 0, 1], [1, 1, 0]])
    assert outer == [[0, 0], [3, 0], [3, 2], [2, 2], [2, 3], [0, 3]]
    assert sorted(hole) == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_holes_that_meet_at_a_corner_are_two():
    labels = np.ones((4, 4), np.uint32)
    labels[1, 1] = labels[2, 2] = 0
    ((outer, *holes),) = rings_of(labels)
    assert len(outer) == 4
    assert sorted(map(sorted, holes)) == [[[1, 1], [1, 2], [2, 1], [2, 2]], [[2, 2], [2, 3], [3, 2], [3, 3]]]


def test_a_piece_in_a_hole_of_another_keeps_its_own_holes():
    labels = np.ones((9, 9), np.uint32)
    labels[1:8, 1:8] = 0
    labels[2:7, 2:7] = 1
    labels[4, 4] = 0
    polygons = rings_of(labels)
    assert [len(polygon) for polygon in polygons] == [2, 2]
    assert sorted(polygons[1][1]) == [[4, 4], [4, 5], [5, 4], [5, 5]]


@each_field
def test_exact_outlines_are_valid_whole_and_of_the_cells_area(labels):
    patches = patches_of(labels)
    outlines = trace_outlines(patches)
    shapes = shapes_of(outlines)
    assert not (outlines.points % 2).any()
    assert all(shape.is_valid for shape in shapes)
    assert np.array_equal(shapely.area(shapes), patches.n_pixels)
    assert np.array_equal(drawn(shapes, scan_cells(labels).ids, labels.shape), labels)
    for shape in shapes:
        for part in shapely.get_parts(shape):
            assert part.exterior.is_ccw and not any(hole.is_ccw for hole in part.interiors)


@each_field
@pytest.mark.parametrize("tolerance_px", [0.1, 0.3, 0.36, 0.4, 0.5, 0.75, 1, 2, 5])
def test_simplified_outlines_are_valid_near_and_no_longer(labels, tolerance_px):
    patches = patches_of(labels)
    exact = trace_outlines(patches)
    outlines = trace_outlines(patches, tolerance_px=tolerance_px)
    shapes = shapes_of(outlines)
    assert all(shape.is_valid for shape in shapes)
    assert len(outlines.points) <= len(exact.points)
    for shape, own, n_pixels in zip(shapes, shapes_of(exact), patches.n_pixels, strict=True):
        assert shapely.hausdorff_distance(shape.boundary, own.boundary) <= max(tolerance_px, 0) + 1e-9
        assert abs(shape.area - n_pixels) <= tolerance_px * shape.length * (1 + 1e-9)
    if tolerance_px <= DRAWN_ALIKE_PX:
        assert np.array_equal(drawn(shapes, scan_cells(labels).ids, labels.shape), labels)


def test_half_a_pixel_of_tolerance_saves_most_corners_of_round_cells():
    patches = patches_of(disc(20))
    assert len(trace_outlines(patches, tolerance_px=0.5).points) < 0.5 * len(trace_outlines(patches).points)


@pytest.mark.parametrize("shape", [disc(15), star(18, 0.4, 5), ring(14, 6)], ids=["disc", "star", "ring"])
def test_area_of_simplified_outlines_is_hardly_off(shape):
    patches = patches_of(shape)
    (outline,) = shapes_of(trace_outlines(patches, tolerance_px=0.5))
    # the lines run along the middles of edges: what is cut off at one corner is added at the next
    assert outline.area == pytest.approx(patches.n_pixels[0], rel=0.01)


def test_cells_that_would_cross_themselves_stay_exact():
    rng = np.random.default_rng(1)
    saved = 0
    for _ in range(120):
        wave = ndimage.gaussian_filter(rng.standard_normal((40, 44)), rng.choice([0.8, 1.2, 1.8, 2.5]))
        patches = patches_of(wave > 0)
        for tolerance_px in (2, 3):
            outlines = trace_outlines(patches, tolerance_px=tolerance_px)
            assert all(shape.is_valid for shape in shapes_of(outlines))
            saved += len(outlines.points) < len(trace_outlines(patches).points)
    assert saved > 20


def rings_as_arrays(*rings):
    """x, y and where rings begin, of rings of corners in half px."""
    x, y = np.concatenate([np.array(ring) for ring in rings]).T
    return x, y, np.cumsum([0, *map(len, rings)])


def box(x0, y0, x1, y1, *, hole=False):
    corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
    return corners[::-1] if hole else corners


@pytest.mark.parametrize(
    ("rings", "is_sound"),
    [
        ([box(0, 0, 38, 38), box(10, 10, 20, 20, hole=True)], True),
        ([box(0, 0, 36, 40), box(10, 10, 20, 20, hole=True)], True),
        ([box(0, 0, 34, 40), box(10, 10, 20, 20, hole=True)], False),  # the area changed too much
        ([box(0, 0, 38, 40), box(42, 10, 52, 20, hole=True)], False),  # the hole is outside
        ([box(0, 0, 40, 40), box(10, 10, 20, 20)], False),  # the hole is none
        ([box(0, 0, 40, 40), box(10, 10, 41, 20, hole=True)], False),  # crossing
        ([box(0, 0, 40, 40), box(10, 0, 20, 20, hole=True)], False),  # touching
        ([[[0, 0], [40, 0], [60, 0], [40, 0], [40, 40], [0, 40]], box(10, 10, 20, 20, hole=True)], False),  # back
    ],
)
def test_what_may_stand_for_a_square_with_a_hole(rings, is_sound):
    exact = rings_as_arrays(box(0, 0, 40, 40), box(10, 10, 20, 20, hole=True))
    polygons, cells = np.array([0, 2]), np.array([0, 1])
    assert _is_sound(*exact, *rings_as_arrays(*rings), polygons, cells, 0, 1.0) == is_sound


@each_field
@pytest.mark.parametrize("tolerance_px", [0, 0.5])
def test_outlines_know_nothing_of_window_batch_and_neighbours(labels, tolerance_px):
    whole = trace_outlines(patches_of(labels), tolerance_px=tolerance_px)
    ids = scan_cells(labels).ids
    for cell, value in list(enumerate(ids))[:: max(len(ids) // 7, 1)]:
        y, x = np.nonzero(labels == value)
        y0, x0 = max(y.min() - 2, 0), max(x.min() - 3, 0)
        window = np.where(labels == value, labels, 0)[y0 : y.max() + 2, x0 : x.max() + 2]
        alone = trace_outlines(patches_of(window), tolerance_px=tolerance_px, y0=int(y0), x0=int(x0))
        points = [whole.rings[whole.polygons[whole.cells[cell + k]]] for k in (0, 1)]
        assert np.array_equal(alone.points, whole.points[points[0] : points[1]])


def test_no_cells_give_no_points():
    for tolerance_px in (0, 0.5):
        outlines = trace_outlines(patches_of(np.zeros((5, 5))), tolerance_px=tolerance_px)
        assert len(outlines) == 0
        assert outlines.points.shape == (0, 2)
        assert outlines.rings.tolist() == outlines.polygons.tolist() == outlines.cells.tolist() == [0]


def test_a_cell_of_a_thousand_pixels_a_side():
    labels = np.ones((1200, 1100), np.uint32)
    labels[::2, 1::7] = 0
    patches = patches_of(labels)
    outlines = trace_outlines(patches, tolerance_px=0.5)
    # more corners than are compared two by two: exact
    assert np.array_equal(outlines.points, trace_outlines(patches).points)
    (shape,) = shapes_of(outlines)
    assert shape.area == patches.n_pixels[0]
