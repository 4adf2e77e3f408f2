"""Pictures around cells by hand: copies, means, mirrors, brightness."""

from __future__ import annotations

import numpy as np
import pytest

from cellseg.measure.crops import CropField, cut_crops, network_name, see_gray


def image(height=40, width=50, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def box(*values):
    return np.array([values], np.int64)


class TestCut:
    def test_at_the_images_own_scale_it_is_a_copy(self):
        pixels = image()
        (crop,) = cut_crops(pixels, box(12, 20, 22, 30), CropField(8, 0.5), mpp=0.5)
        assert np.array_equal(crop, pixels[12:20, 22:30])

    def test_twice_as_coarse_it_is_means_of_four(self):
        pixels = image()
        (crop,) = cut_crops(pixels, box(16, 20, 20, 28), CropField(4, 1.0), mpp=0.5)
        means = pixels[14:22, 20:28].reshape(4, 2, 4, 2, 3).mean(axis=(1, 3))
        assert np.array_equal(crop, np.floor(means + 0.5))

    def test_a_fraction_of_a_pixel_counts_as_that(self):
        pixels = np.zeros((9, 9, 1), np.uint8)
        pixels[4, 4] = 200
        # pictures of 1.5 px a pixel around (4.5, 4.5): the middle one lies from 3.75 to 5.25
        (crop,) = cut_crops(pixels, box(4, 5, 4, 5), CropField(3, 0.75), mpp=0.5)
        assert crop[1, 1, 0] == round(200 / 1.5**2)
        assert crop.sum() == crop[1, 1, 0]

    def test_finer_than_the_image_each_pixel_is_as_wide_as_one_of_the_image(self):
        pixels = np.zeros((9, 9, 1), np.uint8)
        pixels[:, 4:] = 100
        (crop,) = cut_crops(pixels, box(4, 4, 4, 4), CropField(4, 0.25), mpp=0.5)
        # middles at 3.25, 3.75, 4.25, 4.75: of widths of one, 0, 1/4, 3/4 and all lie at 4 or beyond
        assert crop[0, :, 0].tolist() == [0, 25, 75, 100]

    def test_beyond_the_border_it_is_mirrored(self):
        pixels = image()
        (crop,) = cut_crops(pixels, box(0, 2, 0, 2), CropField(6, 0.5), mpp=0.5)
        assert np.array_equal(crop, np.pad(pixels, ((2, 0), (2, 0), (0, 0)), mode="symmetric")[:6, :6])

    def test_a_window_with_its_reach_gives_what_the_image_gives(self):
        pixels, field, mpp = image(200, 200), CropField(16, 0.25), 0.19
        where = box(90, 107, 100, 112)
        reach = field.reach_px(mpp)
        window = pixels[90 - reach : 107 + reach, 100 - reach : 112 + reach]
        inside = where - np.array([90 - reach] * 2 + [100 - reach] * 2)
        assert np.array_equal(cut_crops(window, inside, field, mpp=mpp), cut_crops(pixels, where, field, mpp=mpp))

    def test_16_bits_become_8(self):
        pixels = np.full((9, 9, 1), 65535, np.uint16)
        assert (cut_crops(pixels, box(2, 6, 2, 6), CropField(4, 0.5), mpp=0.5) == 255).all()

    def test_no_cells(self):
        assert cut_crops(image(), np.zeros((0, 4), np.int64), CropField(8, 0.5), mpp=0.5).shape == (0, 8, 8, 3)


class TestGray:
    def test_brightness_and_exposure_change_nothing(self):
        crops = np.random.default_rng(1).integers(60, 250, (3, 16, 16, 3)).astype(np.float64)
        crops = np.repeat(crops.mean(axis=3, keepdims=True), 3, axis=3)
        full, dim = (see_gray(np.round(crops * factor).astype(np.uint8)) for factor in (1.0, 0.5))
        # half the light adds the same density everywhere; 8 bits of it are steps of up to 1/60 of the 1.4 OD seen
        assert np.abs(full - dim).max() < 0.07

    def test_quantiles_go_to_minus_one_and_one(self):
        crops = np.tile(np.linspace(20, 250, 400).astype(np.uint8).reshape(1, 20, 20, 1), (1, 1, 1, 1))
        seen = np.sort(see_gray(crops).ravel())
        assert seen[20] == pytest.approx(-1, abs=0.06) and seen[379] == pytest.approx(1, abs=0.06)

    def test_an_even_picture_stays_even(self):
        seen = see_gray(np.full((1, 8, 8, 3), 180, np.uint8))
        assert np.isfinite(seen).all() and np.ptp(seen) == 0


@pytest.mark.parametrize(
    ("given", "name"),
    [("redcell_look", "redcell_look"), ("a/b/Net-2.safetensors", "net_2"), ("ü.safetensors", "network")],
)
def test_names_are_words_of_columns(given, name):
    assert network_name(given) == name
