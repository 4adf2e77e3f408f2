"""Quality figures of images whose sharpness, black and saturation are known, and the rules on them."""

from __future__ import annotations

import numpy as np
import pytest

from cellseg.preprocess.quality import extreme_fractions, focus_per_um, gray_contrast, judge_quality
from cellseg.preprocess_config import QualitySettings

GOOD = {"stain": "he", "focus": 0.1, "black": 0.0, "saturated": 0.0, "side_um": 100.0}


def _levels(*channels: dict[int, int]) -> np.ndarray:
    out = np.zeros((len(channels), 256), np.int64)
    for row, channel in zip(out, channels, strict=True):
        for level, n in channel.items():
            row[level] = n
    return out


def test_good_slide_has_nothing_against_it() -> None:
    assert judge_quality(**GOOD, settings=QualitySettings()) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"side_um": 1.9}, "1.90 um"),
        ({"black": 0.96}, "0.960 of the pixels are black (limit 0.95)"),
        ({"stain": "fluorescence", "saturated": 0.51}, "0.510 of the pixels are saturated"),
        ({"focus": 0.019}, "focus 0.0190"),
    ],
)
def test_each_rule_says_what_is_wrong(change: dict[str, object], words: str) -> None:
    (reason,) = judge_quality(**(GOOD | change), settings=QualitySettings(min_focus=0.02))
    assert words in reason


@pytest.mark.parametrize(
    "change",
    [
        {"side_um": 2.0},
        {"black": 0.95},
        {"saturated": 1.0},  # glass is white
        {"stain": "fluorescence", "black": 1.0},  # the background of fluorescence is black
        {"stain": "fluorescence", "saturated": 0.5},
        {"focus": 0.02},
    ],
)
def test_limits_themselves_pass(change: dict[str, object]) -> None:
    assert judge_quality(**(GOOD | change), settings=QualitySettings(min_focus=0.02)) == ()


def test_all_reasons_are_given_at_once() -> None:
    reasons = judge_quality(
        stain="he", focus=0.0, black=1.0, saturated=0.0, side_um=1.0, settings=QualitySettings(min_focus=0.02)
    )
    assert len(reasons) == 3


def test_black_is_dark_in_every_channel_and_saturated_in_any() -> None:
    # black is the lowest 1/64 of the range, levels 0 to 3
    levels = _levels({3: 6, 255: 4}, {0: 2, 4: 8}, {0: 10})
    assert extreme_fractions(levels) == (0.2, 0.4)


def test_no_pixels_are_neither() -> None:
    assert extreme_fractions(_levels({})) == (0.0, 0.0)


def test_contrast_is_between_the_outer_hundredths() -> None:
    gray = np.zeros(4096, np.int64)
    gray[[100, 1000, 3000, 4000]] = 1, 499, 499, 1  # the two outliers are a thousandth each
    assert gray_contrast(gray, 255) == pytest.approx(2000 * 255 / 4095)
    assert gray_contrast(np.zeros(4096, np.int64), 255) == 0


def test_focus_is_slope_over_contrast_per_um() -> None:
    # a slope of 10 counts a pixel (Sobel weighs it 8 times), contrast 200 counts, 0.5 um a pixel: 10 / 200 / 0.5
    assert focus_per_um(np.full((4, 4), 80.0), 200.0, np.ones((4, 4), bool), mpp=0.5) == pytest.approx(0.1)


def test_focus_asks_tissue_only_and_is_zero_where_flat() -> None:
    means = np.zeros((4, 4))
    means[0, 0] = 1000
    tissue = np.ones((4, 4), bool)
    tissue[0, 0] = False
    assert focus_per_um(means, 100.0, tissue, mpp=1.0) == 0
    assert focus_per_um(means, 0.0, ~tissue, mpp=1.0) == 0
    assert focus_per_um(means, 100.0, np.zeros((4, 4), bool), mpp=1.0) == 0
