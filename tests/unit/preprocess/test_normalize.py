"""Planes and the signal of segmentation: thresholds fall where the user says, densities are those of the paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fields import HEMATOXYLIN
from measuring import recipe_for
from skimage.color import separate_stains

from cellseg.errors import ConfigError
from cellseg.preprocess.normalize import (
    OD_SCALE,
    SIGNAL_MAX,
    gray_plane,
    measured_stains,
    segmentation_signal,
    stain_plane,
)
from cellseg.preprocess.recipe import Recipe
from cellseg.preprocess.stain import ruifrok_vectors

DARK_AND_BRIGHT = pytest.mark.parametrize("foreground", ["dark", "bright"])


def _levels(dtype: type, n_channels: int = 1) -> np.ndarray:
    """Every gray level of a type once, (1, n, C)."""
    return np.repeat(np.arange(np.iinfo(dtype).max + 1).astype(dtype)[None, :, None], n_channels, axis=2)


def _beyond(levels: np.ndarray, value: float, foreground: str) -> np.ndarray:
    return levels < value if foreground == "dark" else levels > value


def _he_recipe(pixels: np.ndarray, *, background: float = 255.0) -> Recipe:
    names, matrix = ruifrok_vectors("he")
    return replace(recipe_for(pixels), stain_names=names, stain_matrix=matrix, background=(background,) * 3)


@DARK_AND_BRIGHT
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("value", [0, 1, 148.5, 149, 254, 255, 30_000, 65_534, 65_535])
def test_fixed_threshold_parts_one_channel_exactly(dtype: type, value: float, foreground: str) -> None:
    levels = _levels(dtype)
    recipe = replace(recipe_for(levels), stain="brightfield")
    signal, count = segmentation_signal(recipe, "gray", foreground).part_at(value)
    assert np.array_equal(signal.plane.render(levels)[0] > count, _beyond(levels[0, :, 0], value, foreground))


@pytest.mark.parametrize("value", [3, 100, 149, 5_000, 9_000, 20_000])
def test_fixed_threshold_parts_fluorescence_exactly_whatever_its_scaling(value: int) -> None:
    levels = _levels(np.uint16)
    recipe = replace(recipe_for(levels), low=(100.0,), high=(9_000.0,), gamma=0.75)
    signal, count = segmentation_signal(recipe, "auto", "auto").part_at(value)
    assert np.array_equal(signal.plane.render(levels)[0] > count, levels[0, :, 0] > value)


@DARK_AND_BRIGHT
def test_fixed_threshold_parts_neutral_colour_exactly(foreground: str) -> None:
    levels = _levels(np.uint8, 3)
    recipe = replace(recipe_for(levels), stain="brightfield")
    for value in range(256):
        signal, count = segmentation_signal(recipe, "gray", foreground).part_at(value)
        assert np.array_equal(signal.plane.render(levels)[0] > count, _beyond(levels[0, :, 0], value, foreground))


def test_parting_keeps_the_order_of_gray_levels() -> None:
    levels = _levels(np.uint16)
    recipe = replace(recipe_for(levels), stain="brightfield")
    signal, _ = segmentation_signal(recipe, "gray", "dark").part_at(149)
    assert (np.diff(signal.plane.render(levels)[0].astype(int)) <= 0).all()


def test_gray_of_colour_by_bt709() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    plane = gray_plane(recipe_for(pixels))
    # half a count of 255/4095, and the table's rounding, 3 x 2**-13 counts
    expected = pixels @ np.array([0.2125, 0.7154, 0.0721])
    assert np.abs(plane.render(pixels) * plane.scale - expected).max() <= 0.501 * plane.scale


def test_gray_of_several_channels_is_the_named_one_or_the_first() -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (5, 6, 2), dtype=np.uint8)
    recipe = replace(recipe_for(pixels, names=("DAPI", "GFP")), low=(0.0,) * 2, high=(255.0,) * 2)
    for channel, index in ((None, 0), ("GFP", 1)):
        plane = gray_plane(replace(recipe, channel=channel))
        assert np.abs(plane.render(pixels) * plane.scale - pixels[..., index]).max() <= 0.501 * plane.scale


def test_density_is_that_of_separate_stains() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    recipe = _he_recipe(pixels)
    # the other implementation takes transmission in 0..1; ours is (level + 1) / (background + 1), so that level 0 is
    # finite. Fed with that, and with logarithms to base 10 in place of base 1e-6, the two are the same formula
    transmission = (pixels + 1.0) / 256.0
    theirs = separate_stains(transmission, np.linalg.inv(np.array(recipe.stain_matrix))) * (
        -np.log(1e-6) / np.log(10.0)
    )
    for index, name in enumerate(("hematoxylin", "eosin")):
        plane = stain_plane(recipe, name)
        ours = plane.render(pixels) * plane.scale
        # quantised to 0.001 OD; the sum of three table entries adds 3 x 2**-13 counts
        assert np.abs(ours - np.clip(theirs[..., index], 0, SIGNAL_MAX * OD_SCALE)).max() <= 0.501 * OD_SCALE


def test_known_amounts_of_stain_come_back() -> None:
    amounts = np.linspace(0, 1.5, 40)
    pixels = 65535.0 * 10.0 ** -(amounts[:, None] * HEMATOXYLIN)
    pixels = np.rint(pixels).astype(np.uint16)[None]
    recipe = _he_recipe(pixels, background=65535.0)
    hematoxylin, eosin = (plane.render(pixels)[0] * plane.scale for plane in measured_stains(recipe))
    # 0.65, 0.704, 0.286 is of length 1.0 to three digits, hence 0.1 %, and 0.5 counts; 16 bit adds nothing
    assert np.abs(hematoxylin - amounts).max() <= 0.001 + 0.001 * amounts.max()
    assert eosin.max() <= 0.002


def test_background_has_no_density() -> None:
    pixels = np.full((2, 2, 3), 231, np.uint8)
    recipe = _he_recipe(pixels, background=231.0)
    assert not any(plane.render(pixels).any() for plane in measured_stains(recipe))


def test_residual_is_not_measured() -> None:
    recipe = _he_recipe(np.zeros((1, 1, 3), np.uint8))
    assert [plane.name for plane in measured_stains(recipe)] == ["od_hematoxylin", "od_eosin"]
    assert measured_stains(recipe_for(np.zeros((1, 1, 1), np.uint8))) == ()


@pytest.mark.parametrize(
    ("stain", "n_channels", "channel", "dark"),
    [
        ("he", 3, "hematoxylin", False),
        ("fluorescence", 1, "gray", False),
        ("brightfield", 1, "gray", True),
        ("brightfield", 3, "gray", True),
    ],
)
def test_auto_channel_goes_by_the_stain(stain: str, n_channels: int, channel: str, dark: bool) -> None:
    recipe = replace(recipe_for(np.zeros((1, 1, n_channels), np.uint8)), stain=stain)
    signal = segmentation_signal(recipe, "auto", "auto")
    assert (signal.channel, signal.dark) == (channel, dark)


def test_sheet_channel_wins_over_the_stain() -> None:
    recipe = replace(recipe_for(np.zeros((1, 1, 3), np.uint8)), channel="green")
    assert segmentation_signal(recipe, "auto", "auto").channel == "green"
    pixels = np.array([[[9, 200, 9], [200, 9, 200]]], np.uint8)
    signal = segmentation_signal(recipe, "auto", "auto").plane.render(pixels)[0]
    assert signal[1] > signal[0]  # cells are high, and of a stained slide darker


def test_dark_signal_is_the_bright_one_turned() -> None:
    levels = _levels(np.uint8)
    recipe = replace(recipe_for(levels), stain="brightfield")
    bright, dark = (
        segmentation_signal(recipe, "gray", way).plane.render(levels)[0].astype(int) for way in ("bright", "dark")
    )
    # both round half a count
    assert np.abs(bright + dark - SIGNAL_MAX).max() <= 1
    assert (np.diff(bright) > 0).all()


@pytest.mark.parametrize("stain", ["fluorescence", "brightfield"])
@DARK_AND_BRIGHT
def test_count_and_gray_level_are_inverse(stain: str, foreground: str) -> None:
    recipe = replace(recipe_for(np.zeros((1, 1, 1), np.uint8)), stain=stain, low=(20.0,), high=(220.0,), gamma=0.75)
    signal = segmentation_signal(recipe, "gray", foreground)
    for level in (30, 100, 149, 210):
        # half a count of 1/4095 of the range, steepened by the power's slope, 4/3 at the most
        assert signal.to_native(signal.to_count(level)) == pytest.approx(level, abs=255 / 4095)


def test_fluorescence_is_scaled_between_its_percentiles() -> None:
    levels = _levels(np.uint16)
    recipe = replace(recipe_for(levels), low=(1_000.0,), high=(3_000.0,), gamma=0.5)
    counts = segmentation_signal(recipe, "auto", "auto").plane.render(levels)[0]
    assert (counts[:1_001] == 0).all()
    assert (counts[3_000:] == SIGNAL_MAX).all()
    assert counts[1_500] == round(0.25**0.5 * SIGNAL_MAX)


def test_unknown_channel_is_told_what_there_is() -> None:
    recipe = recipe_for(np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(ConfigError, match="violet") as error:
        segmentation_signal(recipe, "violet", "auto")
    assert "hematoxylin" in str(error.value)
    assert "red, green, blue" in str(error.value)


def test_dark_foreground_of_a_stain_is_refused() -> None:
    with pytest.raises(ConfigError, match="more stain"):
        segmentation_signal(recipe_for(np.zeros((1, 1, 3), np.uint8)), "hematoxylin", "dark")
