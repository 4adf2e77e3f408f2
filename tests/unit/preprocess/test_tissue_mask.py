"""Blocks of tissue and the blocks around them."""

from __future__ import annotations

import numpy as np

from cellseg.preprocess.tissue_mask import TissueMask, find_tissue, whole_slide
from cellseg.types import Window


def test_one_stained_block_and_its_neighbours() -> None:
    stained = np.zeros((5, 6), bool)
    stained[2, 3] = True
    mask = find_tissue(stained, without=np.zeros_like(stained), block_px=8)
    expected = np.zeros((5, 6), bool)
    expected[1:4, 2:5] = True
    assert np.array_equal(mask.blocks, expected)


def test_what_something_covers_is_no_tissue_nor_is_what_lies_around_it() -> None:
    stained, covered = np.zeros((5, 9), bool), np.zeros((5, 9), bool)
    stained[2, 2:4] = True
    covered[:, 3:] = True
    mask = find_tissue(stained, without=covered, block_px=8)
    expected = np.zeros((5, 9), bool)
    expected[1:4, 1:3] = True
    assert np.array_equal(mask.blocks, expected)


def test_mask_by_pixel_window_and_point_agree() -> None:
    mask = TissueMask(np.random.default_rng(0).random((4, 5)) < 0.5, 3)
    whole = np.kron(mask.blocks, np.ones((3, 3), bool))[:11, :14]
    window = Window(2, 9, 1, 13)
    assert np.array_equal(mask.expand(window), whole[2:9, 1:13])
    y, x = np.mgrid[:11, :14].reshape(2, -1)
    assert np.array_equal(mask.at(y, x), whole.ravel())
    for y0 in range(0, 10):
        for x0 in range(0, 12):
            window = Window(y0, y0 + 1 + y0 % 3, x0, x0 + 2).clip(11, 14)
            assert mask.any_in(window) == mask.expand(window).any()


def test_whole_slide_covers_the_last_pixel() -> None:
    mask = whole_slide(17, 9, 8)
    assert mask.blocks.shape == (3, 2)
    assert mask.expand(Window(0, 17, 0, 9)).all()
