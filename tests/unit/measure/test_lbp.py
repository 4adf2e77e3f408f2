"""Local binary patterns: by hand, NaN, turns, brightness."""

import numpy as np
import pytest
from measuring import odd_shapes
from patching import patches_of, plane_of

from cellseg.columns.lbp import COLUMNS
from cellseg.measure.lbp import measure_lbp


def lbp(labels, image):
    patches = patches_of(labels)
    return measure_lbp(patches, plane_of(image, patches))


def block(side):
    return np.pad(np.ones((side, side), np.uint32), 2)


def test_keys_are_the_columns():
    assert list(lbp(block(3), block(3))) == [column.name for column in COLUMNS]
    assert all(len(values) == 0 for values in lbp(block(3) * 0, block(3)).values())


@pytest.mark.parametrize(
    ("around", "pattern"),
    [(0, 0), (9, 8), ([9, 9, 9, 0, 0, 0, 0, 0], 3), ([9, 0, 9, 0, 9, 0, 9, 0], 9)],
)
def test_one_pixel_by_hand(around, pattern):
    image = np.full((7, 7), 5)
    # anticlockwise from the right
    places = [(3, 4), (2, 4), (2, 3), (2, 2), (3, 2), (4, 2), (4, 3), (4, 4)]
    for place, value in zip(places, np.broadcast_to(around, 8), strict=True):
        image[place] = value
    got = lbp(block(3), image)

    assert got[f"lbp_{pattern}"][0] == 1
    assert str(got["lbp_entropy_bits"][0]) == "0.0"  # not -0.0


def test_entropy_of_two_patterns_by_hand():
    image = np.full((7, 8), 5)
    image[3, 4] = 9  # brighter than all around it; seen from the pixel beside it, one point of the eight
    labels = np.pad(np.ones((3, 4), np.uint32), 2)
    got = lbp(labels, image)

    assert got["lbp_0"][0] == got["lbp_8"][0] == 0.5
    assert got["lbp_entropy_bits"][0] == 1


def test_what_lies_around_does_not_matter():
    labels = odd_shapes(seed=9)
    image = np.random.default_rng(2).integers(0, 256, labels.shape)
    for name, values in lbp(labels, np.where(labels > 0, image, 65535)).items():
        np.testing.assert_array_equal(lbp(labels, image)[name], values, err_msg=name)


def test_flat_cells_have_all_points_alike():
    assert lbp(block(6), np.full((10, 10), 77))["lbp_8"][0] == 1


def test_cells_without_inner_pixels_have_none():
    assert all(np.isnan(values).all() for values in lbp(block(2), block(2)).values())


@pytest.mark.parametrize("turn", [np.rot90, np.flipud, np.transpose])
def test_turned_cells_are_the_same(turn):
    labels = odd_shapes(seed=9)
    image = np.random.default_rng(2).integers(0, 65536, labels.shape)
    before = lbp(labels, image)
    after = lbp(np.ascontiguousarray(turn(labels)), np.ascontiguousarray(turn(image)))
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values, err_msg=name)


def test_shares_add_up_and_brightness_does_not_matter():
    labels = odd_shapes(seed=9)
    image = np.random.default_rng(2).integers(0, 256, labels.shape)
    got = lbp(labels, image)
    total = sum(got[f"lbp_{k}"] for k in range(10))

    assert np.allclose(total[~np.isnan(total)], 1)
    for name, values in lbp(labels, 3 * image + 50).items():
        np.testing.assert_array_equal(got[name], values, err_msg=name)
