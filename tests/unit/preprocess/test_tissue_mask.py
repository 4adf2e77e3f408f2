"""Blocks of tissue and the blocks around them."""

from __future__ import annotations

import numpy as np

from cellseg.preprocess.tissue_mask import TissueMask, find_tissue, whole_slide
from cellseg.types import Window


def _means(shape: tuple[int, int], *, glass: float = 240.0) -> np.ndarray:
    return np.full((*shape, 3), glass)


def test_one_stained_block_and_its_neighbours() -> None:
    means = _means((5, 6))
    means[2, 3] = 150
    mask = find_tissue(means, (240.0,) * 3, min_od=0.02, block_px=8)
    expected = np.zeros((5, 6), bool)
    expected[1:4, 2:5] = True
    assert np.array_equal(mask.blocks, expected)


def test_density_must_exceed_the_bound() -> None:
    # (241 / 231) is 0.0184 OD, (241 / 230) is 0.0203
    for level, is_tissue in ((230.0, False), (229.0, True)):
        mask = find_tissue(_means((1, 1), glass=level), (240.0,) * 3, min_od=0.02, block_px=8)
        assert mask.blocks[0, 0] == is_tissue


def test_glass_has_no_tissue_and_any_colour_of_glass_is_glass() -> None:
    means = np.tile(np.array([240.0, 232.0, 221.0]), (3, 3, 1))
    assert not find_tissue(means, (240.0, 232.0, 221.0), min_od=0.02, block_px=8).blocks.any()


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
