"""Run lengths: flat squares, stripes, lines, holes, turns and mirrors."""

import numpy as np
import pytest
from patching import disc, patches_of, plane_of, ring

from cellseg.columns.ibsi import RUN_LENGTH
from cellseg.measure.grey_levels import quantize
from cellseg.measure.run_length import measure_run_length


def measured(labels, image, *, levels=32):
    """Features of the cells of an image that holds gray levels already."""
    patches = patches_of(labels)
    quantized = (plane_of(image, patches) * patches.mask).astype(np.uint8 if levels < 256 else np.uint16)
    return {
        key.removeprefix("glrlm_"): column
        for key, column in measure_run_length(patches, quantized, levels=levels).items()
    }


def test_names_are_those_of_the_columns():
    patches = patches_of(disc(3))
    got = measure_run_length(patches, patches.mask, levels=2)
    assert list(got) == [column.name for column in RUN_LENGTH] and len(got) == 16


def test_one_pixel_is_four_runs_of_one():
    got = measured(np.array([[1]]), np.array([[1]]))
    for key, column in got.items():
        expected = 0 if "variance" in key or "entropy" in key else 4 if key.endswith("_non_uniformity") else 1
        assert column[0] == (1 if key.startswith("normalised") else expected), key


def test_flat_square():
    """k runs of k across, as many down, and along each diagonal 2 of each shorter length and one of k."""
    k = 7
    got = measured(np.ones((k, k)), np.ones((k, k), int))
    lengths = np.array([k] * 2 * k + 2 * ([*range(1, k)] * 2 + [k]))
    n = len(lengths)
    of_length = np.bincount(lengths)[1:]
    p = of_length / n
    assert got["run_percentage"][0] == n / (4 * k * k)
    assert got["long_runs_emphasis"][0] == (lengths**2).sum() / n
    assert got["short_runs_emphasis"][0] == pytest.approx((1 / lengths**2).sum() / n)
    assert got["grey_level_non_uniformity"][0] == n and got["normalised_grey_level_non_uniformity"][0] == 1
    assert got["run_length_non_uniformity"][0] == (of_length**2).sum() / n
    assert got["run_length_variance"][0] == pytest.approx(lengths.var(), rel=1e-12)
    assert got["grey_level_variance"][0] == 0
    assert got["run_entropy"][0] == pytest.approx(-(p * np.log2(p)).sum(), rel=1e-12)


def test_stripes():
    """Six columns of levels 1 and 3, four rows: down 6 runs of 4, all others of 1."""
    image = np.broadcast_to([1, 3, 1, 3, 1, 3], (4, 6))
    got = measured(np.ones((4, 6)), image)
    n = 6 + 3 * 24
    assert got["run_percentage"][0] == n / 96
    assert got["long_runs_emphasis"][0] == (6 * 16 + 72) / n
    assert got["high_grey_level_run_emphasis"][0] == 5
    assert got["low_grey_level_run_emphasis"][0] == pytest.approx(5 / 9)
    assert got["long_run_high_grey_level_emphasis"][0] == 5 * (6 * 16 + 72) / n
    assert got["short_run_low_grey_level_emphasis"][0] == pytest.approx(5 / 9 * (6 / 16 + 72) / n)
    assert got["grey_level_variance"][0] == 1


def test_line_of_one_pixel_width():
    across = measured(np.ones((1, 9)), np.full((1, 9), 2))
    assert across["run_percentage"][0] == (1 + 27) / 36
    down = measured(np.ones((9, 1)), np.full((9, 1), 2))
    slanted = measured(np.eye(9), np.full((9, 9), 2))
    for key, column in across.items():
        assert column[0] == down[key][0] == slanted[key][0], key


def test_a_hole_and_a_neighbour_end_a_run():
    labels = np.array([[1, 1, 0, 1, 1, 2, 2]])
    got = measured(labels, np.full(labels.shape, 5))
    assert got["run_percentage"][0] == (2 + 12) / 16
    assert got["long_runs_emphasis"].tolist() == [(2 * 4 + 12) / 14, (4 + 6) / 7]


def test_the_row_before_is_not_the_cell_before():
    """The second cell lies where the first one's runs were counted."""
    labels = np.zeros((30, 30))
    labels[:, :10] = 1
    labels[2:4, 15:20] = 2
    image = np.full(labels.shape, 3)
    got = measured(labels, image)
    for cell in (1, 2):
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
    got = measured(np.ones((1, 70_000)), np.full((1, 70_000), 256), levels=256)
    n = 1 + 3 * 70_000
    assert got["long_run_high_grey_level_emphasis"][0] == pytest.approx(65_536 * (70_000**2 + 3 * 70_000) / n)
    assert got["run_entropy"][0] == pytest.approx(-np.log2(210_000 / n) * 210_000 / n + np.log2(n) / n, rel=1e-9)
    assert got["run_length_variance"][0] == pytest.approx((70_000 - 1) ** 2 * (n - 1) / n**2, rel=1e-9)


def test_levels_of_pixels():
    """All that is measured of quantized pixels is finite, at any number of levels."""
    labels = disc(9)
    image = np.random.default_rng(1).integers(0, 65_536, labels.shape)
    patches = patches_of(labels)
    for levels in (2, 32, 256):
        quantized = quantize(patches, plane_of(image, patches), n_levels_in=65_536, levels=levels)
        got = measure_run_length(patches, quantized, levels=levels)
        assert all(np.isfinite(column).all() for column in got.values())


def test_empty():
    got = measured(np.zeros((5, 5)), np.zeros((5, 5)))
    assert len(got) == 16 and all(column.shape == (0,) and column.dtype == np.float64 for column in got.values())
