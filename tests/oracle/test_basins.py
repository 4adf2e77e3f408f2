"""Basins against morphology: as many cells as h-maxima, one in each, and outlines of a plain watershed.

A basin stays a cell when its summit rises by at least `depth` over its highest pass. scikit-image's h-maxima are the
summits that rise by at least h too, so the two agree at h = depth, except where summits of equal height meet: those
are one cell here, and one h-maximum each there. Hence landscapes without ties are counted with `h_maxima` itself, and
landscapes with ties by its textbook form, the regional maxima of the reconstruction from `image - (h - 1)`: on
integers, a rise of less than h is one of h - 1 at the most.
"""

from __future__ import annotations

import numpy as np
import pytest
from asserts import assert_canonical_labels
from fields import touching_pairs
from scipy import ndimage
from skimage.morphology import h_maxima, local_maxima, reconstruction
from skimage.segmentation import watershed

from cellseg.segment.basins import Joining, find_basins, squared_distance
from cellseg.segment.seam import BasinJoiner
from cellseg.types import Window

EIGHT = np.ones((3, 3), bool)
DEPTH_STEPS = 64


def cells_of(height: np.ndarray, joining: Joining) -> np.ndarray:
    """Label image (H, W) uint32 of a landscape taken as one tile, ids in raster order of the first pixel."""
    rows, columns = height.shape
    basins = find_basins(height, (0, rows, 0, columns), origin=0, stride=columns, joining=joining)
    joiner = BasinJoiner(width_px=columns, joining=joining)
    joiner.add(Window(0, rows, 0, columns), basins)
    clusters = joiner.finish()
    ids = np.zeros(len(clusters.first) + 1, np.uint32)
    ids[np.argsort(clusters.first)] = np.arange(1, len(clusters.first) + 1)
    labels = ids[clusters.cell_of][basins.labels]
    assert np.array_equal(np.bincount(labels[labels > 0], minlength=1)[1:], clusters.count[np.argsort(clusters.first)])
    return labels


def _smooth(seed: int, shape: tuple[int, int] = (48, 48), *, sigma: float = 2.0) -> np.ndarray:
    return ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), sigma)


def _ranks(seed: int) -> np.ndarray:
    """A landscape (48, 48) uint16 in which no two pixels are equal."""
    wave = _smooth(seed)
    return (1 + np.argsort(np.argsort(wave, axis=None))).reshape(wave.shape).astype(np.uint16)


def _levels(seed: int, n_levels: int) -> np.ndarray:
    """A landscape of few levels, hence of plateaus and ties, on the whole array."""
    wave = _smooth(seed)
    return (1 + np.round((wave - wave.min()) / np.ptp(wave) * n_levels)).astype(np.uint16)


def _components(mask: np.ndarray) -> tuple[np.ndarray, int]:
    return ndimage.label(mask, EIGHT)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("h", [1, 20, 150, 600, 1500])
def test_as_many_cells_as_h_maxima_and_one_in_each(seed: int, h: int) -> None:
    height = _ranks(seed)
    markers, n = _components(h_maxima(height.astype(np.int32), h, footprint=EIGHT))
    labels = cells_of(height, Joining(h, 0))
    assert labels.max() == n
    at = markers > 0
    pairs = np.unique(np.stack([markers[at], labels[at]]), axis=1)
    assert pairs.shape[1] == n
    assert np.array_equal(np.unique(pairs[1]), np.arange(1, n + 1))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_levels", [3, 10, 40])
@pytest.mark.parametrize("h", [1, 2, 5, 13])
def test_ties_and_plateaus_are_one_summit(seed: int, n_levels: int, h: int) -> None:
    height = _levels(seed, n_levels).astype(float)
    lowered = reconstruction(height - (h - 1), height, footprint=EIGHT)
    markers, n = _components(local_maxima(lowered, connectivity=2, allow_borders=True))
    labels = cells_of(height.astype(np.uint16), Joining(h, 0))
    if np.unique(lowered).size > 1:  # a flat array has no maximum for skimage, and is one cell
        assert labels.max() == n
        summits = [np.argmax(np.where(labels == i, height, -1)) for i in range(1, n + 1)]
        assert np.array_equal(np.unique(markers.ravel()[summits]), np.arange(1, n + 1))
    else:
        assert labels.max() == 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("joining", [Joining(1, 0), Joining(30, 80), Joining(1, 300), Joining(2**16, 0)])
def test_ids_are_canonical_and_foreground_is_kept(seed: int, joining: Joining) -> None:
    height = np.where(_smooth(seed, sigma=1.5) > 0, _levels(seed + 100, 50), 0).astype(np.uint16)
    labels = cells_of(height, joining)
    assert_canonical_labels(labels)
    assert np.array_equal(labels > 0, height > 0)


@pytest.mark.parametrize("seed", range(3))
def test_without_splitting_cells_are_the_connected_pieces(seed: int) -> None:
    mask = _smooth(seed, sigma=1.5) > 0.02
    _, n = _components(mask)
    assert cells_of(mask.astype(np.uint16), Joining(1, 0)).max() == n


def test_permille_joins_by_the_summits_own_height() -> None:
    # summits 100 and 50 over a pass of 45: the lower rises by 5, a tenth of itself
    height = np.array([[10, 100, 60, 45, 50, 20]], np.uint16)
    assert cells_of(height, Joining(1, 99)).max() == 2
    assert cells_of(height, Joining(1, 100)).max() == 2  # not less than a tenth
    assert cells_of(height, Joining(1, 101)).max() == 1
    assert cells_of(height, Joining(5, 0)).max() == 2
    assert cells_of(height, Joining(6, 0)).max() == 1


def test_two_hills_by_hand() -> None:
    height = np.array([[3, 5, 3, 2, 3, 4, 0, 7]], np.uint16)
    assert cells_of(height, Joining(2, 0)).tolist() == [[1, 1, 1, 1, 2, 2, 0, 3]]
    assert cells_of(height, Joining(3, 0)).tolist() == [[1, 1, 1, 1, 1, 1, 0, 2]]


@pytest.mark.parametrize("gap_px", [-1.0, -3.0, -5.0])
def test_pairs_are_parted_like_a_watershed_from_the_same_markers(gap_px: float) -> None:
    truth = touching_pairs((192, 192), radius_px=10.0, gap_px=gap_px, spacing_px=48)
    mask = truth > 0
    height = np.round(np.sqrt(squared_distance(mask, 40)) * DEPTH_STEPS).astype(np.uint16)
    labels = cells_of(height, Joining(20, 0))
    markers, _ = _components(h_maxima(height.astype(np.int32), 20, footprint=EIGHT))
    theirs = watershed(-height.astype(np.int32), markers, mask=mask, connectivity=2)
    assert labels.max() == truth.max()
    for other in (truth, theirs):
        for cell in range(1, int(labels.max()) + 1):
            own = labels == cell
            rival = other == np.bincount(other[own]).argmax()
            # the seam between discs of 300 px is some 14 px long: two lines of it that differ leave 0.91
            assert (own & rival).sum() >= 0.9 * (own | rival).sum()
