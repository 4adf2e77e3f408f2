"""Dependence counts: flat squares, boards, lines, holes, turns and mirrors."""

import numpy as np
import pytest
from patching import disc, patches_of, plane_of, ring

from cellseg.columns.ibsi import DEPENDENCE
from cellseg.measure.dependence import measure_dependence


def measured(labels, image, *, levels=32):
    """Features of the cells of an image that holds gray levels already."""
    patches = patches_of(labels)
    quantized = (plane_of(image, patches) * patches.mask).astype(np.uint8 if levels < 256 else np.uint16)
    return {
        key.removeprefix("ngldm_"): column
        for key, column in measure_dependence(patches, quantized, levels=levels).items()
    }


def test_names_are_those_of_the_columns():
    patches = patches_of(disc(3))
    got = measure_dependence(patches, patches.mask, levels=2)
    assert list(got) == [column.name for column in DEPENDENCE] and len(got) == 17


def test_one_pixel_depends_on_itself():
    for key, column in measured(np.array([[1]]), np.array([[1]])).items():
        assert column[0] == (0 if "variance" in key or "entropy" in key else 1), key


@pytest.mark.parametrize("level", [1, 3])
def test_flat_square(level):
    """4 corners have a count of 4, the 4 (k - 2) at the edge 6, the others 9."""
    k = 6
    got = measured(np.ones((k, k)), np.full((k, k), level))
    counts = np.repeat([4, 6, 9], [4, 4 * (k - 2), (k - 2) ** 2])
    p = np.bincount(counts)[[4, 6, 9]] / k**2
    assert got["high_dependence_emphasis"][0] == (counts**2).mean()
    assert got["low_dependence_emphasis"][0] == pytest.approx((1 / counts**2).mean())
    assert got["high_dependence_high_grey_level_emphasis"][0] == (counts**2).mean() * level**2
    assert got["low_dependence_low_grey_level_emphasis"][0] == pytest.approx((1 / counts**2).mean() / level**2)
    assert got["high_grey_level_count_emphasis"][0] == level**2
    assert got["grey_level_non_uniformity"][0] == k**2 and got["grey_level_variance"][0] == 0
    assert got["dependence_count_variance"][0] == pytest.approx(counts.var(), rel=1e-12)
    assert got["dependence_count_entropy"][0] == pytest.approx(-(p * np.log2(p)).sum(), rel=1e-12)
    assert got["dependence_count_energy"][0] == pytest.approx((p**2).sum(), rel=1e-12)
    assert got["dependence_count_percentage"][0] == 1


def test_board():
    """Inside a board a field has its 4 diagonal neighbours, and none of them in a line."""
    board = np.indices((9, 9)).sum(0) % 2 + 1
    labels = np.zeros((9, 9))
    labels[2:7, 2:7] = 1
    got = measured(labels, board)
    counts = np.full((5, 5), 5)
    counts[[0, -1]] = counts[:, [0, -1]] = 3
    counts[[0, 0, -1, -1], [0, -1, 0, -1]] = 2
    assert got["high_dependence_emphasis"][0] == (counts**2).mean()
    line = measured(np.ones((1, 8)), board[:1, :8])
    assert line["high_dependence_emphasis"][0] == 1


def test_what_lies_outside_does_not_count():
    """Neither a hole nor another cell of the same level."""
    labels = np.array([[1, 1, 1, 2], [1, 0, 1, 2], [1, 1, 1, 2]])
    got = measured(labels, np.full(labels.shape, 6))
    ring_counts = np.array([3, 4, 3, 4, 4, 3, 4, 3]) - np.array([0, 0] * 4)
    ring_counts = np.where(ring_counts == 4, 5, 3)
    assert got["high_dependence_emphasis"][0] == (ring_counts**2).mean()
    assert got["high_dependence_emphasis"][1] == (4 + 9 + 4) / 3


def test_turned_and_mirrored_cells_give_the_same_bits():
    labels = ring(14, 5)
    labels[5:9, 8:30] = 0
    image = np.random.default_rng(0).integers(1, 5, labels.shape)
    expected = measured(labels, image)
    for turn in (np.rot90, np.flipud, np.fliplr, np.transpose):
        got = measured(np.ascontiguousarray(turn(labels)), turn(image))
        for key, column in expected.items():
            assert np.array_equal(got[key], column), key


def test_a_cell_does_not_know_its_batch():
    rng = np.random.default_rng(0)
    labels = np.kron(np.arange(1, 10).reshape(3, 3), np.ones((9, 11), int)) * (rng.random((27, 33)) < 0.8)
    image = rng.integers(1, 4, labels.shape)
    got = measured(labels, image)
    for cell in range(1, 10):
        alone = measured(labels == cell, image)
        for key, column in got.items():
            assert column[cell - 1] == alone[key][0], key


def test_very_large_cell_does_not_overflow():
    k = 2000
    got = measured(np.ones((k, k)), np.full((k, k), 256), levels=256)
    squares = 4 * 16 + 4 * (k - 2) * 36 + (k - 2) ** 2 * 81
    assert got["high_dependence_high_grey_level_emphasis"][0] == 65_536 * squares / k**2
    assert got["grey_level_non_uniformity"][0] == k**2


def test_empty():
    got = measured(np.zeros((5, 5)), np.zeros((5, 5)))
    assert len(got) == 17 and all(column.shape == (0,) and column.dtype == np.float64 for column in got.values())
