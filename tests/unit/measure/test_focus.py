"""Edge sharpness on ramps and steps whose gradient is known."""

import numpy as np
import pytest
from measuring import recipe_for
from scipy import ndimage

from cellseg.measure.boxes import scan_cells
from cellseg.measure.focus import measure_edge_sharpness
from cellseg.measure.patches import cut_patches, cut_pixels
from cellseg.preprocess.normalize import gray_plane


def sharpness(labels, pixels, *, mpp=1.0, contrast=100.0):
    cells = scan_cells(labels)
    plane = gray_plane(recipe_for(pixels))
    patches = cut_patches(labels, cells.ids, cells.boxes, cells.n_pixels)
    return measure_edge_sharpness(
        labels, cells.ids, cells.boxes, patches, cut_pixels(pixels, patches), gray=plane, contrast=contrast, mpp=mpp
    )


def square(size=20):
    labels = np.zeros((size, size), np.uint32)
    labels[6:13, 6:13] = 1
    return labels


def test_ramp_of_four_levels_a_pixel():
    pixels = np.broadcast_to(np.arange(20, dtype=np.uint8) * 4, (20, 20))[..., None]

    # gray is held in steps of 255 / 4095 levels: 4 levels a pixel are exact to 0.03
    assert sharpness(square(), pixels, mpp=0.5, contrast=80.0)[0] == pytest.approx(4 / 80 / 0.5, abs=2e-3)


def test_mean_over_the_outline_only():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (20, 20, 1)).astype(np.uint8)
    labels = square()
    gray = gray_plane(recipe_for(pixels)).render(pixels).astype(float) * 255 / 4095
    slope = np.hypot(ndimage.sobel(gray, 0), ndimage.sobel(gray, 1)) / 8
    outline = (labels == 1) & ~ndimage.binary_erosion(labels == 1)

    assert sharpness(labels, pixels)[0] == pytest.approx(slope[outline].mean() / 100, rel=1e-12)
    inside = pixels.copy()
    inside[9, 9] ^= 255  # two pixels within the outline: out of reach of its 3 x 3 windows
    assert sharpness(labels, inside)[0] == sharpness(labels, pixels)[0]


def test_image_border_goes_on_and_is_no_outline():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (8, 9, 1)).astype(np.uint8)
    labels = np.zeros((8, 9), np.uint32)
    labels[:, :4] = 5  # cut by three sides of the image: its outline is column 3
    gray = gray_plane(recipe_for(pixels)).render(pixels).astype(float) * 255 / 4095
    slope = np.hypot(ndimage.sobel(gray, 0, mode="nearest"), ndimage.sobel(gray, 1, mode="nearest")) / 8

    assert sharpness(labels, pixels)[0] == pytest.approx(slope[:, 3].mean() / 100, rel=1e-12)


def test_blur_lowers_it():
    labels = square()
    sharp = np.where(labels == 1, 40, 200).astype(np.uint8)
    soft = ndimage.gaussian_filter(sharp.astype(float), 2).astype(np.uint8)

    assert sharpness(labels, soft[..., None])[0] < 0.7 * sharpness(labels, sharp[..., None])[0]


def test_not_measurable_is_nan():
    pixels = np.zeros((20, 20, 1), np.uint8)

    assert np.isnan(sharpness(square(), pixels, contrast=0.0)).all()
    assert np.isnan(sharpness(np.ones((20, 20), np.uint32), pixels)).all()
    assert sharpness(np.zeros((20, 20), np.uint32), pixels).shape == (0,)


def test_ragged_outlines_longer_than_their_box():
    labels = np.zeros((41, 41), np.uint32)
    labels[1:-1:2, 1:-1] = 1
    labels[1:-1, 1] = 1  # a comb: nearly every pixel is outline, many more than the box's sides
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (41, 41, 1)).astype(np.uint8)
    gray = gray_plane(recipe_for(pixels)).render(pixels).astype(float) * 255 / 4095
    slope = np.hypot(ndimage.sobel(gray, 0), ndimage.sobel(gray, 1)) / 8
    outline = (labels == 1) & ~ndimage.binary_erosion(labels == 1)

    assert sharpness(labels, pixels)[0] == pytest.approx(slope[outline].mean() / 100, rel=1e-12)
