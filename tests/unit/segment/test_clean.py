"""Distance, opening and holes on shapes drawn by hand, and what the landscape is made of."""

from __future__ import annotations

import numpy as np
import pytest
from fields import ellipses
from scipy import ndimage

from cellseg.config import ThresholdSettings
from cellseg.segment.basins import squared_distance
from cellseg.segment.clean import DEPTH_STEPS, clean_foreground, context_px, fill_holes, joining, landscape, open_mask
from cellseg.segment.threshold import Threshold

THRESHOLD = Threshold(1000.0, 200.0, 5.0, found=True)


def _drawn(text: str) -> np.ndarray:
    return np.array([[character == "#" for character in row.strip()] for row in text.split()], np.uint8)


def _disc(radius: float, side: int = 31) -> np.ndarray:
    middle = side // 2
    return (ellipses((side, side), np.array([[middle, middle]]), np.array([[radius, radius]])) > 0).astype(np.uint8)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cap", [1, 3, 7, 40])
def test_squared_distance_is_exact_up_to_its_cap(seed: int, cap: int) -> None:
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.standard_normal((50, 63)), 1 + seed) > -0.05
    truth = ndimage.distance_transform_edt(mask) ** 2
    assert np.array_equal(squared_distance(mask, cap), np.minimum(np.rint(truth), cap * cap))


def test_squared_distance_does_not_take_the_rim_for_background() -> None:
    assert (squared_distance(np.ones((5, 6), bool), 4) == 16).all()
    assert not squared_distance(np.zeros((5, 6), bool), 4).any()
    strip = np.ones((1, 5), bool)
    strip[0, 0] = False
    assert squared_distance(strip, 3).tolist() == [[0, 1, 4, 9, 9]]


def test_round_hole_is_filled() -> None:
    ring = _disc(10) & (1 - _disc(4))
    assert np.array_equal(fill_holes(ring, 9, min_roundness=0.6), _disc(10))


def test_hole_longer_than_the_bound_is_not() -> None:
    ring = _disc(10) & (1 - _disc(4))  # 9 px across
    assert np.array_equal(fill_holes(ring, 8, min_roundness=0.6), ring)
    assert np.array_equal(fill_holes(ring, 0, min_roundness=0.6), ring)


def test_hollow_sided_gap_between_cells_stays() -> None:
    y, x = np.mgrid[:40, :40]
    # four discs that overlap a little, as far apart as 18 px of radius 9.5: the astroid between them is closed
    mask = np.zeros((40, 40), np.uint8)
    for middle in ((10, 10), (10, 28), (28, 10), (28, 28)):
        mask[np.hypot(y - middle[0], x - middle[1]) <= 9.5] = 1
    pieces, _ = ndimage.label(1 - mask)
    gap = pieces == pieces[19, 19]
    assert not gap[0].any()
    assert np.array_equal(fill_holes(mask, 20, min_roundness=0.6), mask)
    assert fill_holes(mask, 20, min_roundness=0.2)[gap].all()


def test_background_at_the_rim_is_no_hole() -> None:
    mask = _drawn("""
        ######
        ######
        #.####
        ######
        .#####
        ###.##
    """)
    filled = fill_holes(mask, 3, min_roundness=0.6)
    assert filled[2, 1] == 1
    assert filled[4, 0] == filled[5, 3] == 0


def test_hole_that_opens_at_a_corner_alone_is_closed() -> None:
    mask = _drawn("""
        .....
        .###.
        .#.#.
        .##..
        .....
    """)
    assert fill_holes(mask, 1, min_roundness=0.6)[2, 2] == 1


def test_mask_of_one_kind_is_left_alone() -> None:
    for mask in (np.zeros((4, 5), np.uint8), np.ones((4, 5), np.uint8), np.ones((1, 1), np.uint8)):
        assert np.array_equal(fill_holes(mask, 4, min_roundness=0.6), mask)
        assert np.array_equal(open_mask(mask, 2), mask)


def test_opening_cuts_a_thin_bridge_and_drops_specks() -> None:
    mask = _drawn("""
        ..............
        .####....####.
        .####....####.
        .############.
        .####....####.
        .............#
    """)
    opened = _drawn("""
        ..............
        .####....####.
        .####....####.
        .####....####.
        .####....####.
        ..............
    """)
    assert np.array_equal(open_mask(mask, 1), opened)
    assert np.array_equal(open_mask(mask, 0), mask)


@pytest.mark.parametrize("radius_px", [1, 2, 3])
def test_opening_keeps_what_the_disc_fits_into(radius_px: int) -> None:
    reach = np.arange(-radius_px, radius_px + 1)
    disc = reach[:, None] ** 2 + reach**2 <= radius_px * (radius_px + 1)
    mask = ndimage.gaussian_filter(np.random.default_rng(radius_px).standard_normal((40, 40)), 2) > 0
    # scipy takes what is outside for background when it erodes; padding with foreground undoes that
    padded = np.pad(mask, 8, constant_values=True)
    eroded = ndimage.binary_erosion(padded, disc)[8:-8, 8:-8]
    assert np.array_equal(open_mask(mask.astype(np.uint8), radius_px), ndimage.binary_dilation(eroded, disc))


def test_cell_cut_by_the_rim_is_not_eroded_there() -> None:
    mask = np.ones((3, 8), np.uint8)
    assert open_mask(mask, 2).all()


def test_cleaning_opens_before_it_fills() -> None:
    ring = _disc(10) & (1 - _disc(2))
    speck = ring.copy()
    speck[15, 15] = 1  # in the hole: opened away, then the hole is round
    settings = ThresholdSettings(open_um=1.0, max_hole_um=8.0)
    assert np.array_equal(clean_foreground(speck, settings, mpp=1.0), open_mask(_disc(10), 1))


def test_distance_landscape_is_depth() -> None:
    mask, signal = _disc(9), np.full((31, 31), 1500, np.uint16)
    heights = landscape(mask, signal, THRESHOLD, ThresholdSettings(max_radius_um=6.0), mpp=1.0)
    depth = np.minimum(ndimage.distance_transform_edt(mask), 6.0)
    assert heights.dtype == np.uint16
    assert np.array_equal(heights, np.rint(depth * DEPTH_STEPS))


def test_intensity_and_mixed_landscapes() -> None:
    mask = _disc(5)
    signal = np.random.default_rng(0).integers(900, 4000, mask.shape).astype(np.uint16)
    over = np.where(mask, np.maximum(signal.astype(int) - 1000, 1), 0)
    intensity, mixed = (
        landscape(mask, signal, THRESHOLD, ThresholdSettings(split=split), mpp=1.0) for split in ("intensity", "mixed")
    )
    assert np.array_equal(intensity, over)
    expected = np.floor(np.sqrt(np.rint(ndimage.distance_transform_edt(mask) * DEPTH_STEPS) * over))
    assert np.array_equal(mixed, expected)


@pytest.mark.parametrize("split", ["none", "distance", "intensity", "mixed"])
def test_landscape_stands_on_the_foreground_and_nowhere_else(split: str) -> None:
    mask = (np.random.default_rng(1).random((20, 20)) < 0.5).astype(np.uint8)
    signal = np.full(mask.shape, 1000, np.uint16)  # at the threshold: a filled hole may even be under it
    heights = landscape(mask, signal, THRESHOLD, ThresholdSettings(split=split), mpp=1.0)
    assert np.array_equal(heights > 0, mask > 0)


def test_flat_landscape_without_splitting() -> None:
    mask = _disc(5)
    signal = np.full(mask.shape, 3000, np.uint16)
    assert np.array_equal(landscape(mask, signal, THRESHOLD, ThresholdSettings(split="none"), mpp=1.0), mask)


def test_deepest_landscape_fits_its_type() -> None:
    mask, signal = np.ones((3, 3), np.uint8), np.full((3, 3), 4095, np.uint16)
    settings = ThresholdSettings(max_radius_um=200.0)
    for split, top in (("distance", 1000 * DEPTH_STEPS), ("mixed", int((1000 * DEPTH_STEPS * 3095) ** 0.5))):
        heights = landscape(mask, signal, THRESHOLD, settings.model_copy(update={"split": split}), mpp=0.1)
        assert (heights == top).all()


def test_joining_is_in_um_where_depth_is_the_landscape() -> None:
    settings = ThresholdSettings(split_depth_um=0.5, split_depth_fraction=0.08)
    assert joining(settings, mpp=0.25) == (2 * DEPTH_STEPS, 80)
    assert joining(settings.model_copy(update={"split": "intensity"}), mpp=0.25) == (1, 80)
    assert joining(settings.model_copy(update={"split_depth_um": 0.0}), mpp=0.25) == (1, 80)


def test_context_holds_every_step() -> None:
    settings = ThresholdSettings(smooth_um=0.5, open_um=1.0, max_hole_um=4.0, max_radius_um=10.0)
    # 3 sigma of 1 px, twice an opening of 2 px, a hole of 8 px, a depth of 20 px, and a rim
    assert context_px(settings, 0.5) >= 3 + 4 + 8 + 20 + 1
    local = settings.model_copy(update={"method": "local", "block_um": 40.0})
    assert context_px(local, 0.5) == context_px(settings, 0.5) + 40
