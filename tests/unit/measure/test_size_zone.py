"""Zones: flat cells, boards, spirals, combs, turns and mirrors."""

import numpy as np
import pytest
from patching import disc, patches_of, plane_of, ring

from cellseg.columns.ibsi import SIZE_ZONE
from cellseg.measure.ibsi import population_variance
from cellseg.measure.size_zone import measure_size_zone


def measured(labels, image, *, levels=32):
    """Features of the cells of an image that holds gray levels already."""
    patches = patches_of(labels)
    quantized = (plane_of(image, patches) * patches.mask).astype(np.uint8 if levels < 256 else np.uint16)
    return {
        key.removeprefix("glszm_"): column
        for key, column in measure_size_zone(patches, quantized, levels=levels).items()
    }


def test_names_are_those_of_the_columns():
    patches = patches_of(disc(3))
    got = measure_size_zone(patches, patches.mask, levels=2)
    assert list(got) == [column.name for column in SIZE_ZONE] and len(got) == 16


@pytest.mark.parametrize("labels", [np.ones((1, 1)), np.ones((1, 12)), disc(8), ring(9, 7), np.eye(6)])
def test_flat_cell_is_one_zone(labels):
    got = measured(labels, np.ones(labels.shape, int))
    n = int(labels.sum())
    expected = {"small_zone_emphasis": 1 / n**2, "large_zone_emphasis": n**2, "zone_percentage": 1 / n,
                "low_grey_level_zone_emphasis": 1, "high_grey_level_zone_emphasis": 1,
                "small_zone_low_grey_level_emphasis": 1 / n**2, "small_zone_high_grey_level_emphasis": 1 / n**2,
                "large_zone_low_grey_level_emphasis": n**2, "large_zone_high_grey_level_emphasis": n**2,
                "grey_level_variance": 0, "zone_size_variance": 0, "zone_size_entropy": 0}  # fmt: skip
    for key, column in got.items():
        assert column[0] == expected.get(key, 1), key


def test_fields_of_a_board_touch_at_corners():
    board = np.indices((6, 6)).sum(0) % 2 + 1
    got = measured(np.ones((6, 6)), board)
    assert got["zone_percentage"][0] == 2 / 36
    assert got["large_zone_emphasis"][0] == 18**2
    assert got["zone_size_entropy"][0] == 1


def test_zones_that_meet_late_are_one():
    """A comb, its mirror image and a spiral: arms that are joined in the last row only."""
    comb = np.full((7, 9), 2)
    comb[:-1, 1::2] = 1
    spiral = np.array([[2, 2, 2, 2, 2, 2], [2, 1, 1, 1, 1, 2], [2, 1, 2, 2, 1, 2],
                       [2, 1, 2, 1, 1, 2], [2, 1, 2, 2, 2, 2], [1, 1, 1, 1, 1, 1]])  # fmt: skip
    for image, twos, ones in ((comb, 1, 4), (spiral, 1, 1)):
        for turned in (image, image[::-1], image.T, image.T[::-1], image[::-1, ::-1]):
            got = measured(np.ones(turned.shape), turned)
            n = twos + ones
            assert got["zone_percentage"][0] == n / image.size
            assert got["high_grey_level_zone_emphasis"][0] == (4 * twos + ones) / n


def test_the_background_does_not_join():
    """Neither over a hole, nor through the neighbour of the same level."""
    labels = np.array([[1, 1, 0, 1, 2, 2]])
    got = measured(labels, np.full(labels.shape, 4))
    assert got["zone_percentage"].tolist() == [2 / 3, 1 / 2]
    assert got["large_zone_emphasis"].tolist() == [(4 + 1) / 2, 4]


def test_a_cell_does_not_know_its_batch():
    rng = np.random.default_rng(0)
    labels = np.kron(np.arange(1, 10).reshape(3, 3), np.ones((9, 11), int)) * (rng.random((27, 33)) < 0.8)
    image = rng.integers(1, 4, labels.shape)
    got = measured(labels, image)
    for cell in range(1, 10):
        alone = measured(labels == cell, image)
        for key, column in got.items():
            assert column[cell - 1] == alone[key][0], key


def test_turned_and_mirrored_cells_give_the_same_bits():
    labels = ring(14, 5)
    labels[5:9, 8:30] = 0
    image = np.random.default_rng(0).integers(1, 5, labels.shape)
    expected = measured(labels, image)
    for turn in (np.rot90, np.flipud, np.fliplr, np.transpose):
        got = measured(np.ascontiguousarray(turn(labels)), turn(image))
        for key, column in expected.items():
            assert np.array_equal(got[key], column), key


def test_very_large_cell_does_not_overflow():
    image = np.full((1500, 1500), 256)
    got = measured(np.ones(image.shape), image, levels=256)
    assert got["large_zone_high_grey_level_emphasis"][0] == 65_536 * 2_250_000**2
    image[:, ::3], image[:, 1::3] = 1, 2
    got = measured(np.ones(image.shape), image, levels=256)
    assert got["zone_percentage"][0] == 1500 / 2_250_000
    assert got["large_zone_emphasis"][0] == 1500**2


def test_as_many_sizes_as_there_can_be():
    """Pieces of 1, 2, 3 ... pixels of one cell: each size once."""
    k = 40
    image, labels = np.ones((2 * k, k), int), np.zeros((2 * k, k), int)
    for size in range(1, k + 1):
        labels[2 * size - 2, :size] = 1
    got = measured(labels, image)
    assert got["zone_percentage"][0] == 2 / (k + 1)
    assert got["zone_size_entropy"][0] == pytest.approx(np.log2(k), rel=1e-12)
    assert got["normalised_zone_size_non_uniformity"][0] == pytest.approx(1 / k, rel=1e-12)


def test_empty():
    got = measured(np.zeros((5, 5)), np.zeros((5, 5)))
    assert len(got) == 16 and all(column.shape == (0,) and column.dtype == np.float64 for column in got.values())


def test_variance_of_sums_that_do_not_fit_in_int64():
    """Half of 4 million sizes are 0, half are 100,000."""
    assert population_variance(4_000_000, 2 * 10**11, 2 * 10**16) == pytest.approx(2.5e9, rel=1e-12)
    assert population_variance(3, 6, 14) == 2 / 3
