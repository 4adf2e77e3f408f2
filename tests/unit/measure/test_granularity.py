"""Granularity: grains by hand, NaN, and what must not change it."""

import numpy as np
import pytest
from measuring import odd_shapes
from patching import disc, patches_of, plane_of

from cellseg.columns.granularity import COLUMNS
from cellseg.measure.granularity import measure_granularity


def granularity(labels, image, **options):
    patches = patches_of(labels)
    return measure_granularity(patches, plane_of(image, patches), **options)


def test_keys_are_the_columns():
    assert list(granularity(disc(5), disc(5))) == [column.name for column in COLUMNS]
    assert all(len(values) == 0 for values in granularity(disc(5) * 0, disc(5)).values())


@pytest.mark.parametrize("radius", [0, 1, 2, 3])
def test_a_grain_is_taken_by_the_erosion_of_its_size(radius):
    labels = disc(20)
    y, x = np.abs(np.mgrid[: labels.shape[0], : labels.shape[1]] - labels.shape[0] // 2)
    got = granularity(labels, np.where(y + x <= radius, 200, 10))  # a diamond: s erosions by a cross leave r - s of it

    assert [got[f"granularity_{s}"][0] for s in range(1, 17)] == [float(s == radius + 1) for s in range(1, 17)]


def test_grains_of_two_sizes_share_the_signal():
    labels = disc(20)
    image = np.full(labels.shape, 10)
    image[20, 20:25] = image[30, 30] = 110
    image[21:25, 20:25] = 110
    got = granularity(labels, image)

    assert got["granularity_1"][0] == pytest.approx(1 / 26)
    assert got["granularity_3"][0] == pytest.approx(25 / 26)


def test_a_ramp_along_a_line_goes_pixel_by_pixel():
    labels = np.pad(np.ones((1, 12), np.uint32), 2)
    got = granularity(labels, np.broadcast_to(np.arange(16), labels.shape))

    # the brightest s pixels, which end with the cell, stand s - 1 erosions: each size takes one of the 11 levels
    assert [got[f"granularity_{s}"][0] for s in range(1, 17)] == [s / 66 if s < 12 else 0 for s in range(1, 17)]


def test_grains_of_one_count_are_seen_beside_the_brightest():
    labels = np.pad(np.ones((300, 300), np.uint32), 2)
    image = np.zeros(labels.shape, int)
    image[2:302, 2:152] = 65535  # a half that 16 erosions do not reach through, at the cell's edge
    image[100, 250] = 1
    image[200:202, 250] = 65535
    got = granularity(labels, image)

    whole = 65535 * 45_002 + 1
    assert got["granularity_1"][0] == (2 * 65535 + 1) / whole
    assert sum(got[f"granularity_{s}"][0] for s in range(2, 17)) == 0


def test_pieces_are_grains_that_nothing_takes():
    labels = np.pad(np.ones((5, 9), np.uint32), 2)
    labels[:, 6] = 0
    image = np.where(np.arange(labels.shape[1]) > 6, 50, 10) + np.zeros_like(labels)
    image[4, 8] = 90
    got = granularity(labels, image)

    # 20 pixels rise by 40 and stay, one of them by 40 more
    assert got["granularity_1"][0] == 40 / 840
    assert sum(got[f"granularity_{s}"][0] for s in range(2, 17)) == 0


def test_fewer_scales_are_the_first_ones():
    labels = odd_shapes(seed=4)
    image = np.random.default_rng(3).integers(0, 256, labels.shape)
    every, some = granularity(labels, image), granularity(labels, image, n_scales=3)

    assert list(some) == list(every)[:3]
    for name, values in some.items():
        np.testing.assert_array_equal(values, every[name], err_msg=name)


def test_a_cell_does_not_depend_on_its_batch():
    labels = odd_shapes(seed=4)
    image = np.random.default_rng(3).integers(0, 65536, labels.shape)
    every = granularity(labels, image)
    for at, value in enumerate(np.unique(labels)[1:]):
        alone = granularity(labels * (labels == value), image)
        for name, values in every.items():
            np.testing.assert_array_equal(alone[name][0], values[at], err_msg=name)


def test_one_pixel_has_no_grains():
    assert np.isnan(granularity(np.pad(np.ones((1, 1), np.uint32), 2), np.full((5, 5), 9))["granularity_1"][0])


def test_flat_cells_have_no_grains():
    assert all(np.isnan(values).all() for values in granularity(disc(4), np.full((30, 30), 9)).values())


@pytest.mark.parametrize("turn", [np.rot90, np.flipud, np.transpose])
def test_turned_cells_are_the_same(turn):
    labels = odd_shapes(seed=4)
    image = np.random.default_rng(3).integers(0, 4096, labels.shape)
    before = granularity(labels, image)
    after = granularity(np.ascontiguousarray(turn(labels)), np.ascontiguousarray(turn(image)))
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values, err_msg=name)


def test_neither_a_constant_nor_what_lies_around_matters():
    labels = odd_shapes(seed=4)
    image = np.random.default_rng(3).integers(0, 256, labels.shape)
    elsewhere = np.where(labels > 0, image + 1000, 65535)
    for name, values in granularity(labels, image).items():
        np.testing.assert_array_equal(granularity(labels, elsewhere)[name], values, err_msg=name)


def test_shares_are_of_one_whole():
    labels = odd_shapes(seed=4)
    image = np.random.default_rng(3).integers(0, 65536, labels.shape)
    total = sum(granularity(labels, image).values())
    assert np.nanmax(total) <= 1 + 1e-12 and np.nanmin(total) >= 0
