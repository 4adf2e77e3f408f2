"""What a network sees: colours by the recipe, and one grid of pixels whatever the window."""

from __future__ import annotations

from dataclasses import replace

import cv2
import fields
import numpy as np
import pytest
from measuring import recipe_for

from cellseg.errors import ConfigError
from cellseg.segment.scale import GRID_PX, View, network_pixels
from cellseg.types import Window

SHAPE = (211, 307)
PIXELS = fields.he_look(fields.blobs(SHAPE, seed=3), seed=3)
WHOLE = Window(0, SHAPE[0], 0, SHAPE[1])
SCALES = pytest.mark.parametrize("scale", [0.13, 0.5, 0.79, 1.0, 1.37, 3.0])


def _read(window: Window) -> np.ndarray:
    assert window == window.clip(*SHAPE), f"{window} leaves the slide"
    assert window.height > 0 and window.width > 0
    return PIXELS[window.y0 : window.y1, window.x0 : window.x1]


@SCALES
def test_every_window_sees_the_same_pixels(scale: float) -> None:
    view = View(scale, *SHAPE)
    whole, frame = view.look(_read, WHOLE), view.patch(WHOLE)
    assert whole.shape == (frame.height, frame.width, 3)
    for window in (Window(0, 40, 0, 50), Window(37, 101, 113, 270), Window(150, 211, 200, 307), Window(80, 81, 90, 91)):
        patch = view.patch(window)
        assert patch == patch.clip(frame.y1, frame.x1)
        assert all(side % GRID_PX == 0 for side in patch)
        rows, columns = patch.inside(frame)
        assert np.array_equal(view.look(_read, window), whole[rows, columns])


@SCALES
def test_pixels_are_those_of_plain_resampling(scale: float) -> None:
    height, width = (int(side * scale) for side in SHAPE)
    ours = View(scale, *SHAPE).look(_read, WHOLE)[:height, :width].astype(int)
    matrix = np.array([[1 / scale, 0, 0.5 / scale - 0.5], [0, 1 / scale, 0.5 / scale - 0.5]])
    source = cv2.GaussianBlur(PIXELS, (0, 0), 0.35 / scale) if scale < 0.8 else PIXELS
    theirs = cv2.warpAffine(
        source, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    ).astype(int)
    # OpenCV places a sample to 1/32 px: 1/64 px off on a slope of up to 200 gray levels a pixel
    assert np.abs(ours - theirs).max() <= 4
    assert np.abs(ours - theirs).mean() < 0.5


def test_scale_one_is_the_image_and_black_beyond_it() -> None:
    seen = View(1.0, *SHAPE).look(_read, WHOLE)
    assert seen.shape == (224, 320, 3)
    assert np.array_equal(seen[: SHAPE[0], : SHAPE[1]], PIXELS)
    assert not seen[SHAPE[0] :].any() and not seen[:, SHAPE[1] :].any()


def test_a_slide_of_one_pixel() -> None:
    for scale in (0.1, 1.0, 5.0):
        seen = View(scale, 1, 1).look(lambda w: np.full((w.height, w.width, 3), 77, np.uint8), Window(0, 1, 0, 1))
        assert seen.shape == (GRID_PX, GRID_PX, 3)
        assert set(np.unique(seen)) <= {0, 77}


def test_boxes_come_back_to_the_slide() -> None:
    view = View(0.5, *SHAPE)
    patch = view.patch(Window(100, 180, 150, 250))
    boxes = view.to_slide(np.array([[0, 0, 10, 20]], np.float32), patch)
    assert np.array_equal(boxes[0], [2 * patch.x0, 2 * patch.y0, 2 * patch.x0 + 20, 2 * patch.y0 + 40])


def test_colour_stays_and_is_brought_to_8_bits() -> None:
    assert np.array_equal(network_pixels(PIXELS, recipe_for(PIXELS)), PIXELS)
    deep = PIXELS.astype(np.uint16) * 257
    assert np.array_equal(network_pixels(deep, recipe_for(deep)), PIXELS)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_fluorescence_is_gray_between_its_percentiles(dtype: type) -> None:
    top = np.iinfo(dtype).max
    pixels = np.zeros((1, 5, 2), dtype)
    pixels[0, :, 1] = [0, top * 0.1, top * 0.3, top * 0.5, top]
    recipe = replace(
        recipe_for(pixels, names=("FITC", "DAPI")),
        low=(0.0, top * 0.1),
        high=(1.0, top * 0.5),
        gamma=0.5,
        channel="DAPI",
    )
    seen = network_pixels(pixels, recipe)
    # the levels themselves are whole numbers: 10 % of 255 is 25.5
    assert np.abs(seen[0, :, 0].astype(int) - [0, 0, 128, 255, 255]).max() <= 2
    assert (seen == seen[:, :, :1]).all() and seen.dtype == np.uint8 and seen.shape == (1, 5, 3)
    assert not network_pixels(pixels, recipe, "FITC").any()
    with pytest.raises(ConfigError, match="Cy5"):
        network_pixels(pixels, recipe, "Cy5")


def test_one_channel_of_another_stain_is_stretched_too() -> None:
    pixels = np.array([[[1000], [3000], [2000]]], np.uint16)
    recipe = replace(recipe_for(pixels), stain="brightfield", low=(1000.0,), high=(3000.0,))
    assert network_pixels(pixels, recipe)[0, :, 0].tolist() == [0, 255, 128]


def test_colour_fluorescence_is_the_gray_of_its_colours() -> None:
    pixels = np.zeros((1, 3, 3), np.uint8)
    pixels[0, :, 2] = [0, 50, 200]
    recipe = replace(recipe_for(pixels), stain="fluorescence", gray_low=0.0, gray_high=200 * 0.0721)
    seen = network_pixels(pixels, recipe)[0, :, 0].astype(int)
    # 0.0721 of the range is 232 counts of 4095: steps of one gray level
    assert np.abs(seen - [0, 64, 255]).max() <= 2


def test_of_hdab_only_the_hematoxylin_is_shown() -> None:
    """Brown, however dark, is glass; the counterstain is blue and darker where there is more of it."""
    dyes = ((0.650, 0.704, 0.286), (0.268, 0.570, 0.776), (0.711, 0.424, 0.561))
    recipe = recipe_for(np.full((4, 4, 3), 255, np.uint8))
    recipe = replace(
        recipe, stain="hdab", stain_names=("hematoxylin", "dab", "residual"), stain_matrix=dyes, background=(255.0,) * 3
    )
    amounts = np.array([[0, 0], [0, 1.0], [0.2, 1.0], [0.4, 0]])
    pixels = np.round(256 * 10 ** -(amounts @ np.array(dyes[:2])) - 1).clip(0, 255).astype(np.uint8)[None]
    glass, brown, both, blue = network_pixels(pixels, recipe)[0].astype(int)
    assert glass.min() > 250 and brown.min() > 240
    assert both[2] > both[0] and blue[2] > blue[0] and (blue < both).all()
