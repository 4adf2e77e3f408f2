"""CIELAB and saturation in whole numbers: as near to scikit-image's as their steps allow."""

from __future__ import annotations

import numpy as np
import pytest
from measuring import recipe_for
from skimage.color import rgb2hsv, rgb2lab

from cellseg.preprocess.colour import COLOUR_PLANES, colour_planes, render_colours


def _pixels(dtype: type, seed: int = 0) -> np.ndarray:
    """Colours of all kinds, (256, 272, 3): random ones, dark ones, grays, and the corners of the cube."""
    rng = np.random.default_rng(seed)
    top = int(np.iinfo(dtype).max)
    pixels = rng.integers(0, top, (256, 272, 3), endpoint=True)
    pixels[:, 256:262] = rng.integers(0, top // 16, (256, 6, 3))
    pixels[:, 262:270] = np.linspace(0, top, 256).astype(int)[:, None, None]
    pixels[:8, 270] = np.array(np.unravel_index(np.arange(8), (2, 2, 2))).T * top
    return pixels.astype(dtype)


def _by_skimage(pixels: np.ndarray) -> np.ndarray:
    # as floats of the type's whole range, which is what scikit-image makes of 8 bits too
    share = pixels / np.iinfo(pixels.dtype).max
    return np.dstack([rgb2lab(share), rgb2hsv(share)[..., 1]])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_planes_are_scikit_images_within_half_a_step(dtype: type) -> None:
    pixels = _pixels(dtype)
    counts, expected = render_colours(pixels), _by_skimage(pixels)
    # beside half a step of rounding: their white differs from the sum of their matrix by 2e-5 (0.005 in a* and b*), and
    # the cube root is interpolated (0.002)
    slack = {"lab_l": 0.001, "lab_a": 0.006, "lab_b": 0.006, "hsv_saturation": 1e-9}
    assert counts.dtype == np.uint16
    for plane in COLOUR_PLANES:
        got = counts[..., plane.channel] * plane.scale + plane.offset
        assert np.abs(got - expected[..., plane.channel]).max() <= plane.scale / 2 + slack[plane.name], plane.name


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_one_plane_is_the_same_alone_and_among_the_others(dtype: type) -> None:
    pixels = _pixels(dtype, 1)
    together = render_colours(pixels)
    for plane in COLOUR_PLANES:
        assert np.array_equal(plane.render(pixels), together[..., plane.channel])


def test_black_white_and_grays() -> None:
    levels = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    light, a, b, saturation = np.moveaxis(render_colours(levels)[0], -1, 0)
    assert light[0] == 0
    assert light[255] == 4095
    assert (np.diff(light.astype(int)) > 0).all()
    for plane, counts in ((COLOUR_PLANES[1], a), (COLOUR_PLANES[2], b)):
        assert (counts * plane.scale + plane.offset == 0).all()
    assert not saturation.any()


def test_pure_red() -> None:
    counts = render_colours(np.array([[[255, 0, 0]]], np.uint8))[0, 0]
    got = [count * plane.scale + plane.offset for count, plane in zip(counts, COLOUR_PLANES, strict=True)]
    # the values that tables of sRGB's primaries give under D65
    assert np.allclose(got, [53.24, 80.09, 67.20, 1.0], atol=0.04)


def test_saturation_is_rounded_exactly() -> None:
    most, least = (grid.ravel() for grid in np.mgrid[:256, :256])
    most, least = most[most >= least], least[most >= least]
    pixels = np.stack([least, most, least], axis=1).astype(np.uint8)[None]
    got = render_colours(pixels)[0, :, 3]
    exact = np.divide(4095.0 * (most - least), most, out=np.zeros(len(most)), where=most > 0)
    assert np.abs(got - exact).max() <= 0.5 + 1e-9


def test_same_bytes_wherever_the_window_lies() -> None:
    pixels = _pixels(np.uint8, 2)
    whole = render_colours(pixels)
    assert np.array_equal(render_colours(pixels[10:20, 30:50]), whole[10:20, 30:50])
    assert np.array_equal(render_colours(pixels[:, ::-1]), whole[:, ::-1])


def test_known_counts() -> None:
    """The bytes themselves: if a machine or a version of numpy gives others, this is where it shows."""
    pixels = np.array([[[128, 64, 160], [230, 180, 200], [20, 10, 40], [255, 255, 254]]], np.uint8)
    assert render_colours(pixels)[0].tolist() == [
        [1607, 2753, 1391, 2457],
        [3204, 2387, 1998, 890],
        [192, 2236, 1765, 3071],
        [4094, 2045, 2056, 16],
    ]


def test_only_colour_has_colour_planes() -> None:
    assert [plane.name for plane in colour_planes(recipe_for(np.zeros((4, 4, 3), np.uint8)))] == [
        "lab_l", "lab_a", "lab_b", "hsv_saturation",
    ]  # fmt: skip
    assert colour_planes(recipe_for(np.zeros((4, 4, 3), np.uint16))) == COLOUR_PLANES
    assert colour_planes(recipe_for(np.zeros((4, 4, 1), np.uint8))) == ()


def test_no_pixels() -> None:
    assert render_colours(np.empty((0, 5, 3), np.uint8)).shape == (0, 5, 4)
    assert COLOUR_PLANES[1].render(np.empty((1, 0, 3), np.uint8)).shape == (1, 0)
