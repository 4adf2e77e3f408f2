"""Radii, holes, circle and rectangle: closed forms and scikit-image, scipy, OpenCV."""

import cv2
import numpy as np
import pytest
from measuring import odd_shapes
from patching import disc, ellipse, patches_of, ring
from scipy import ndimage
from skimage.measure import regionprops

from cellseg.columns.form import COLUMNS
from cellseg.measure.form import measure_form


def form(labels, mpp=1.0):
    return measure_form(patches_of(labels), mpp=mpp)


def one(labels, mpp=1.0):
    return {name: values[0] for name, values in form(labels, mpp).items()}


def square(side, pad=2):
    return np.pad(np.ones((side, side), np.uint32), pad)


def test_keys_are_the_columns():
    assert list(form(square(3))) == [column.name for column in COLUMNS]
    assert all(len(values) == 0 for values in form(np.zeros((5, 5), np.uint32)).values())


def test_a_square_by_hand():
    got = one(square(5), mpp=0.5)

    assert got["max_radius_um"] == 1.5  # the middle lies 3 px from the nearest pixel outside
    assert got["mean_radius_um"] == pytest.approx(0.5 * (16 * 1 + 8 * 2 + 3) / 25)
    assert got["median_radius_um"] == 0.5
    assert got["enclosing_circle_radius_um"] == pytest.approx(0.5 * 5 / np.sqrt(2))
    assert got["roundness"] == pytest.approx(2 / np.pi)
    assert (got["min_rectangle_long_um"], got["min_rectangle_short_um"]) == (2.5, 2.5)
    assert (got["rectangularity"], got["elongation"], got["euler_number"]) == (1.0, 0.0, 1)
    # 2 pi (5^2 - 1) / 12 * 2 / 25
    assert got["moment_compactness"] == pytest.approx(2 * np.pi * 2 * 24 / 12 / 25)
    assert got["compactness"] == pytest.approx(1 / got["form_factor"])


@pytest.mark.parametrize("radius", [10.0, 24.3])
def test_a_disc(radius):
    got = one(disc(radius))

    assert got["moment_compactness"] == pytest.approx(1, abs=0.01)
    assert got["compactness"] == pytest.approx(1, abs=0.07)
    assert got["form_factor"] == pytest.approx(1, abs=0.07)
    assert got["max_radius_um"] == pytest.approx(radius, abs=1)
    assert got["median_radius_um"] == pytest.approx((1 - np.sqrt(0.5)) * radius, abs=0.5)
    assert got["enclosing_circle_radius_um"] == pytest.approx(radius, abs=0.75)
    assert got["roundness"] > 0.85


def test_an_ellipse_lies_in_its_rectangle_however_it_is_turned():
    for angle in (0, 0.4, 1.1, np.pi / 2):
        got = one(ellipse(30, 12, angle))
        assert got["min_rectangle_long_um"] == pytest.approx(60, abs=2.5)
        assert got["min_rectangle_short_um"] == pytest.approx(24, abs=2)
        assert got["rectangularity"] == pytest.approx(np.pi / 4, abs=0.05)


def test_a_ring_has_a_hole_and_two_pieces_have_none():
    pieces = np.zeros((9, 9), np.uint32)
    pieces[1:3, 1:3] = pieces[5:7, 5:8] = 1

    assert one(ring(9, 4))["euler_number"] == 0
    assert one(pieces)["euler_number"] == 2
    assert one(np.eye(5, dtype=np.uint32))["euler_number"] == 1  # joined over corners


def test_one_pixel_and_a_line():
    pixel, line = one(square(1)), one(np.pad(np.ones((1, 7), np.uint32), 2))

    assert (pixel["max_radius_um"], pixel["median_radius_um"]) == (1.0, 1.0)
    assert pixel["enclosing_circle_radius_um"] == pytest.approx(np.sqrt(0.5))
    assert pixel["moment_compactness"] == 0.0
    assert (line["min_rectangle_long_um"], line["min_rectangle_short_um"]) == (7.0, 1.0)
    assert line["elongation"] == pytest.approx(6 / 7)
    assert all(np.isfinite(value) for value in (*pixel.values(), *line.values()))


def test_equals_scikit_image_scipy_and_opencv():
    labels = odd_shapes((220, 240), seed=4)
    patches, got = patches_of(labels), form(labels)
    for at, region in enumerate(regionprops(labels)):
        start, stop = patches.starts[at : at + 2]
        mask = patches.mask[start:stop].reshape(patches.heights[at], patches.widths[at])
        depth = ndimage.distance_transform_edt(mask)[mask > 0]
        second = region.moments_central[2, 0] + region.moments_central[0, 2]
        for name, expected in (
            ("max_radius_um", depth.max()), ("mean_radius_um", depth.mean()), ("median_radius_um", np.median(depth)),
            ("euler_number", region.euler_number), ("bounding_box_area_um2", region.area_bbox),
            ("form_factor", 4 * np.pi * region.area / region.perimeter_crofton**2),
            ("moment_compactness", 2 * np.pi * second / region.area**2),
            ("compactness", region.perimeter_crofton**2 / (4 * np.pi * region.area)),
        ):  # fmt: skip
            # the same roots and quotients in another order: the last bits
            assert got[name][at] == pytest.approx(expected, rel=1e-12, abs=1e-12), name
        corners = (np.argwhere(mask)[:, None] + [[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]]).reshape(-1, 2)
        _, sides, _ = cv2.minAreaRect(corners.astype(np.float32))
        area = got["min_rectangle_long_um"][at] * got["min_rectangle_short_um"][at]
        assert area == pytest.approx(sides[0] * sides[1], rel=1e-4)  # OpenCV calculates in float32


@pytest.mark.parametrize("turn", [np.rot90, np.flipud, np.transpose])
def test_turned_cells_have_the_same_form(turn):
    labels = odd_shapes(seed=7)
    before, after = form(labels), form(np.ascontiguousarray(turn(labels)))
    ids, turned = np.unique(labels)[1:], np.unique(turn(labels))[1:]

    assert np.array_equal(ids, turned)
    for name, values in before.items():
        np.testing.assert_allclose(after[name], values, rtol=1e-12, atol=1e-12, err_msg=name)


def test_pixel_size_scales_lengths_and_areas():
    labels = odd_shapes(seed=2)
    whole, half = form(labels), form(labels, mpp=0.5)
    for name, values in whole.items():
        power = 2 if name.endswith("_um2") else 1 if name.endswith("_um") else 0
        np.testing.assert_allclose(half[name], values * 0.5**power, rtol=1e-14, err_msg=name)
