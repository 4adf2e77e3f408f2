"""Counts of tiles add up to those of the whole."""

from __future__ import annotations

import numpy as np
import pytest

from cellseg.preprocess.histogram import (
    SlideCounts,
    add_tile,
    block_areas,
    block_sum,
    count_levels,
    count_tile,
    gradient,
    level_quantile,
)
from cellseg.tiles import TileGrid


def _counts(pixels: np.ndarray, gray: np.ndarray, tile_px: int) -> SlideCounts:
    height, width, n = pixels.shape
    slide = SlideCounts.empty(height, width, n, 255, block_px=7, thumbnail_px=5, sample_px=3)
    for tile in TileGrid(height, width, tile_px, context_px=1).tiles():
        read = tile.read
        window = np.s_[read.y0 : read.y1, read.x0 : read.x1]
        add_tile(slide, count_tile(pixels[window], np.ascontiguousarray(gray[window]), read, tile.core, slide))
    return slide


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 53, 3), dtype=np.uint8)


def test_counts_of_the_whole_by_numpy(pixels: np.ndarray) -> None:
    gray = pixels[:, :, 1].astype(np.uint16) * 16
    counts = _counts(pixels, gray, 64)
    for channel in range(3):
        assert np.array_equal(counts.levels[channel], np.bincount(pixels[:, :, channel].ravel(), minlength=256))
    assert np.array_equal(counts.gray, np.bincount(gray.ravel(), minlength=4096))
    assert np.array_equal(counts.block_sums[1, 2], pixels[7:14, 14:21].sum(axis=(0, 1)))
    assert np.array_equal(counts.block_sums[-1, -1], pixels[35:, 49:].sum(axis=(0, 1)))
    assert np.array_equal(counts.thumbnail.sum(axis=(0, 1)), pixels.sum(axis=(0, 1)))
    assert np.array_equal(np.concatenate(counts.samples), pixels[::3, ::3].reshape(-1, 3))


@pytest.mark.parametrize("tile_px", [1, 6, 16, 33])
def test_tiles_add_up_to_the_whole(pixels: np.ndarray, tile_px: int) -> None:
    gray = pixels[:, :, 0].astype(np.uint16) * 16
    whole, tiled = _counts(pixels, gray, 64), _counts(pixels, gray, tile_px)
    for name in ("levels", "gray", "block_sums", "block_gradient", "thumbnail"):
        assert np.array_equal(getattr(tiled, name), getattr(whole, name)), name
    ordered = [
        samples[np.lexsort(samples.T)] for samples in (np.concatenate(counts.samples) for counts in (whole, tiled))
    ]
    assert np.array_equal(*ordered)


def test_block_sums_of_a_window_that_starts_inside_a_block() -> None:
    sums = block_sum(np.ones((4, 5, 1), np.uint8), 3, 6, 4)[:, :, 0]
    assert sums.tolist() == [[1 * 2, 1 * 3], [3 * 2, 3 * 3]]


def test_gradient_of_a_slope_and_of_nothing() -> None:
    # a slope of 3 counts a pixel: Sobel sums 8 x 3
    ramp = np.tile((np.arange(9) * 3).astype(np.uint16), (6, 1))
    assert (gradient(ramp)[:, 1:-1] == 24).all()
    assert (gradient(np.ascontiguousarray(ramp.T))[1:-1] == 24).all()
    assert not gradient(np.full((5, 5), 4095, np.uint16)).any()


def test_levels_of_a_plane() -> None:
    plane = np.array([[0, 2, 2], [4, 2, 0]], np.uint16)
    assert count_levels(plane, 5).tolist() == [2, 0, 3, 0, 1]


def test_areas_of_blocks_add_up_to_the_slide() -> None:
    assert block_areas(7, 5, 3).tolist() == [[9, 6], [9, 6], [3, 2]]


def test_quantile_is_the_level_that_enough_pixels_do_not_exceed() -> None:
    histogram = np.array([0, 5, 0, 4, 1])
    expected = {0.0: 1, 0.1: 1, 0.5: 1, 0.51: 3, 0.9: 3, 0.91: 4, 1.0: 4}
    assert {share: level_quantile(histogram, share) for share in expected} == expected
    assert level_quantile(np.zeros(5, int), 0.5) == 0


def test_tile_of_one_pixel_is_counted() -> None:
    pixels = np.array([[[7, 8, 9]]], np.uint8)
    slide = _counts(pixels, np.array([[5]], np.uint16), 64)
    assert slide.block_sums.tolist() == [[[7, 8, 9]]]
    assert slide.gray[5] == 1
