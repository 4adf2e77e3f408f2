"""Thresholds of histograms against scikit-image on the images themselves, and what foreground is."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.filters import threshold_li, threshold_multiotsu, threshold_otsu, threshold_triangle

from cellseg.config import ThresholdSettings
from cellseg.segment.threshold import (
    Threshold,
    count_steps,
    find_threshold,
    foreground,
    smooth_signal,
    smoothing_reach_px,
)

LEVELS = np.arange(4096)
BIN = 16  # counts of a bin of the coarse histograms of multiotsu and triangle
SEEDS = pytest.mark.parametrize("seed", range(6))


def _bimodal(seed: int) -> np.ndarray:
    """Counts (150, 150) uint16 of a large background and a smaller, wider foreground; 0 and 4095 are among them."""
    rng = np.random.default_rng(seed)
    low, high = rng.integers(500, 1000), rng.integers(2000, 3200)
    share = rng.uniform(0.05, 0.45)
    cell = rng.random((150, 150)) < share
    image = np.where(cell, rng.normal(high, 250, cell.shape), rng.normal(low, 120, cell.shape))
    image = np.clip(np.rint(image), 0, 4095).astype(np.uint16)
    image[0, :2] = 0, 4095  # so that bins over the image's range and over the type's are the same
    return image


def _histogram(image: np.ndarray) -> np.ndarray:
    return np.bincount(image.ravel(), minlength=4096).astype(np.int64)


def _found(image: np.ndarray, **settings: object) -> float:
    chosen = ThresholdSettings(**({"factor": 1.0} | settings))
    return find_threshold(_histogram(image), chosen, fixed_count=None).count


def _partings(image: np.ndarray, first: float, second: float) -> int:
    """Pixels on different sides of the two thresholds: 0 where they lie in the same gap of the histogram."""
    return int(((image > first) != (image > second)).sum())


@SEEDS
def test_otsu(seed: int) -> None:
    image = _bimodal(seed)
    # one bin a count on both sides: the same histogram, hence the same pixels
    theirs = threshold_otsu(image.astype(np.int64))
    assert _partings(image, _found(image, method="otsu"), theirs) == 0


@SEEDS
def test_li(seed: int) -> None:
    image = _bimodal(seed)
    # cross entropy is no invariant of the origin: ours counts from 1, theirs from the image's least, which is 0 here.
    # A shift by one of some 1000 moves the minimum by far less than one; both stop within half a count of it
    assert abs(_found(image, method="li") - threshold_li(image)) <= 2


@SEEDS
def test_li_is_a_minimum_of_cross_entropy(seed: int) -> None:
    image = _bimodal(seed)
    histogram, levels = _histogram(image), LEVELS + 1.0
    n, total = np.cumsum(histogram), np.cumsum(histogram * levels)
    inner = np.flatnonzero((n > 0) & (n < n[-1]))
    low, high = total[inner] / n[inner], (total[-1] - total[inner]) / (n[-1] - n[inner])
    entropy = -total[inner] * np.log(low) - (total[-1] - total[inner]) * np.log(high)
    found = _found(image, method="li")
    near = np.abs(inner - found) <= 3
    far = (np.abs(inner - found) > 3) & (np.abs(inner - found) < 100)
    assert entropy[near].min() <= entropy[far].min()


@SEEDS
def test_triangle(seed: int) -> None:
    image = _bimodal(seed)
    # both take 256 bins of 16 counts; theirs gives a bin's middle, ours the last count of it, and the two hold the
    # distance to slightly different lines (ours vertical, which is monotone in the perpendicular one)
    assert abs(_found(image, method="triangle") - threshold_triangle(image.astype(float), nbins=256)) <= 1.5 * BIN


@SEEDS
@pytest.mark.parametrize(("classes", "cut"), [(2, -1), (3, 0), (3, -1), (4, 1)])
def test_multiotsu(seed: int, classes: int, cut: int) -> None:
    image = _bimodal(seed)
    theirs = threshold_multiotsu(image.astype(float), classes=classes, nbins=128)[cut]
    # both on 128 bins, ours of 32 counts; theirs names the middle of a bin, ours its last count
    assert abs(_found(image, method="multiotsu", multiotsu_classes=classes, multiotsu_cut=cut) - theirs) <= 2 * BIN


def test_two_levels_are_parted_by_every_method() -> None:
    image = np.full((20, 20), 800, np.uint16)
    image[:5] = 2400
    for method in ("otsu", "li", "triangle", "multiotsu", "local"):
        assert 800 <= _found(image, method=method) < 2400, method


@pytest.mark.parametrize("method", ["otsu", "li", "triangle", "multiotsu", "local"])
@pytest.mark.parametrize("image", [np.zeros((0, 0), int), np.full((9, 9), 700), np.zeros((9, 9), int)])
def test_nothing_is_found_in_one_level_or_none(image: np.ndarray, method: str) -> None:
    found = find_threshold(_histogram(image), ThresholdSettings(method=method), fixed_count=None)
    assert not found.found
    assert not foreground(np.full((3, 3), 4095, np.uint16), found, ThresholdSettings(method=method), mpp=1.0).any()


def test_fixed_is_taken_as_it_is() -> None:
    found = find_threshold(_histogram(_bimodal(0)), ThresholdSettings(method="fixed", value=9), fixed_count=1234)
    assert (found.count, found.found) == (1234.0, True)
    # even where all is of one level
    assert find_threshold(
        _histogram(np.full((3, 3), 9)), ThresholdSettings(method="fixed", value=9), fixed_count=5
    ).found


def test_contrast_is_the_distance_of_the_means_in_deviations_of_the_background() -> None:
    image = np.repeat([990, 1010, 3000], [50, 50, 20])
    found = find_threshold(_histogram(image), ThresholdSettings(), fixed_count=None)
    assert found.background == 1000
    assert found.contrast == pytest.approx(2000 / 10)


def test_contrast_under_the_bound_finds_nothing() -> None:
    image = np.repeat([900, 1000, 1300], [100, 900, 1000])
    background = image[image < 1300]
    contrast = (1300 - background.mean()) / background.std()
    for bound, found in ((contrast - 0.01, True), (contrast + 0.01, False)):
        assert find_threshold(_histogram(image), ThresholdSettings(min_contrast=bound), fixed_count=None).found == found


def test_factor_moves_the_threshold_from_the_background() -> None:
    image = _bimodal(1)
    whole = find_threshold(_histogram(image), ThresholdSettings(factor=1.0), fixed_count=None)
    for factor in (0.0, 0.5, 1.5):
        moved = find_threshold(_histogram(image), ThresholdSettings(factor=factor), fixed_count=None)
        assert moved.count == pytest.approx(whole.background + factor * (whole.count - whole.background))
        assert moved.contrast == whole.contrast
    assert _found(image, method="local", factor=0.5) == whole.count


def test_foreground_is_what_is_greater() -> None:
    signal = np.array([[10, 11, 12]], np.uint16)
    mask = foreground(signal, Threshold(11.0, 0.0, 5.0, found=True), ThresholdSettings(), mpp=1.0)
    assert mask.dtype == np.uint8
    assert mask.tolist() == [[0, 0, 1]]


def test_local_by_a_plain_second_implementation() -> None:
    rng = np.random.default_rng(3)
    signal = rng.integers(0, 4096, (30, 34)).astype(np.uint16)
    settings = ThresholdSettings(method="local", block_um=8.0, local_offset=0.1, local_floor=0.4)
    threshold = Threshold(2000.0, 500.0, 5.0, found=True)
    padded = np.pad(signal.astype(int), 4, mode="reflect")
    expected = np.zeros(signal.shape, bool)
    for y, x in np.ndindex(signal.shape):
        mean = padded[y : y + 9, x : x + 9].mean()
        expected[y, x] = int(signal[y, x]) - 150 > mean and signal[y, x] > 500 + 0.4 * 1500
    assert np.array_equal(foreground(signal, threshold, settings, mpp=1.0), expected)


def test_smoothing_reaches_no_further_than_stated_and_keeps_a_flat_signal() -> None:
    for sigma in (0.4, 1.0, 2.5):
        spike = np.zeros((61, 61), np.uint16)
        spike[30, 30] = 4095
        reach = smoothing_reach_px(sigma)
        touched = np.argwhere(smooth_signal(spike, sigma))
        assert np.abs(touched - 30).max() <= reach
        assert (smooth_signal(np.full((20, 20), 1234, np.uint16), sigma) == 1234).all()


def test_smoothing_does_not_depend_on_where_the_window_lies() -> None:
    signal = np.random.default_rng(4).integers(0, 4096, (70, 90)).astype(np.uint16)
    whole, reach = smooth_signal(signal, 1.3), smoothing_reach_px(1.3)
    for y, x in ((0, 0), (7, 11), (13, 30)):
        part = smooth_signal(np.ascontiguousarray(signal[y : y + 40, x : x + 45]), 1.3)
        inside = np.s_[reach:-reach, reach:-reach]
        assert np.array_equal(part[inside], whole[y : y + 40, x : x + 45][inside])


def test_no_smoothing_is_the_signal_itself() -> None:
    signal = np.arange(12, dtype=np.uint16).reshape(3, 4)
    assert np.array_equal(smooth_signal(signal, 0.0), signal)
    assert smoothing_reach_px(0.0) == 0


def test_crowded_and_uneven_cells_are_told_from_noise() -> None:
    # no still background (contrast under the bound), but sides that lie far apart beside the noise between neighbours
    rng = np.random.default_rng(0)
    uneven = rng.uniform(400, 3600, (64, 64)).repeat(4, axis=0).repeat(4, axis=1)
    image = np.clip(uneven + rng.normal(0, 10, uneven.shape), 0, 4095).astype(np.uint16)
    noise = np.clip(rng.normal(2000, 300, uneven.shape), 0, 4095).astype(np.uint16)
    settings = ThresholdSettings(min_contrast=4.0)
    for pixels, expected in ((image, True), (noise, False)):
        steps = count_steps(pixels, np.ones(pixels.shape, np.bool_), 0, 0)
        assert not find_threshold(_histogram(pixels), settings, fixed_count=None).found
        assert find_threshold(_histogram(pixels), settings, fixed_count=None, steps=steps).found == expected


def test_steps_by_hand() -> None:
    signal = np.array([[1, 4, 4], [0, 0, 9]], np.uint16)
    where = np.ones((2, 3), np.bool_)
    assert np.flatnonzero(count_steps(signal, where, 0, 0)).tolist() == [0, 3, 9]
    assert count_steps(signal, where, 0, 0)[0] == 2
    assert count_steps(signal, where[:1, :1], 1, 1).sum() == count_steps(signal, where[:1, :1], 1, 1)[9] == 1
