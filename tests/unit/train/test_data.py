"""Crops: right boxes, masks and classes; kinds and classes drawn evenly; each augmentation switched by its setting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from training import PLAIN, disc_image

from cellseg.errors import LabelError
from cellseg.network_config import AugmentSettings
from cellseg.train.data import CropSettings, cut_fields, draw_crop, sampling_weights
from cellseg.train.transforms import jitter_appearance

STILL = PLAIN.model_copy(update={"scale_spread": 0.0, "stretch": 0.0, "rotation": "none", "flips": False})
CROP = CropSettings(side_px=64, diameter_px=18.0)


def test_crop_shows_objects_where_their_masks_are() -> None:
    crop = draw_crop(disc_image(0), CROP, STILL, np.random.default_rng(0))
    assert crop.pixels.shape == (64, 64, 3)
    assert len(crop.boxes) >= 2
    inside, outside = crop.masks.any(0).astype(bool), ~crop.masks.any(0).astype(bool)
    assert crop.pixels[inside].mean() > 3 * crop.pixels[outside].mean()
    for box, mask in zip(crop.boxes, crop.masks, strict=True):
        ys, xs = np.nonzero(mask)
        assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def test_crop_scales_the_typical_object_to_the_networks_size() -> None:
    image = disc_image(0, side=256)
    sizes = []
    for seed in range(10):
        crop = draw_crop(image, replace(CROP, side_px=128, diameter_px=36.0), STILL, np.random.default_rng(seed))
        areas = [m.sum() for m, b in zip(crop.masks, crop.boxes, strict=True) if b.min() > 0 and b.max() < 128]
        sizes += [2 * np.sqrt(area / np.pi) for area in areas]
    assert np.median(sizes) == pytest.approx(36.0, rel=0.05)


def test_slivers_are_no_objects() -> None:
    image = disc_image(0)
    full = np.median(np.bincount(image.labels.ravel())[1:])
    for seed in range(20):
        crop = draw_crop(image, replace(CROP, min_share=0.25), STILL, np.random.default_rng(seed))
        assert all(mask.sum() >= min(0.2 * full, 100) for mask in crop.masks)


@pytest.mark.parametrize("rotation", ["none", "right_angles", "any"])
def test_rotation_is_a_setting(rotation: str) -> None:
    image = disc_image(0)
    image.labels[:] = 0
    image.labels[40:44, 20:70] = 1
    augment = STILL.model_copy(update={"rotation": rotation})
    crops = [draw_crop(image, replace(CROP, min_share=0.0), augment, np.random.default_rng(s)) for s in range(30)]
    wide = [box[2] - box[0] > box[3] - box[1] for crop in crops for box in crop.boxes]
    thick = [min(box[2] - box[0], box[3] - box[1]) > 14 for crop in crops for box in crop.boxes]
    assert (all(wide), any(thick)) == (rotation == "none", rotation == "any")


def test_the_same_numbers_give_the_same_crop() -> None:
    one, two = (draw_crop(disc_image(0), CROP, AugmentSettings(), np.random.default_rng([1, 2])) for _ in range(2))
    assert np.array_equal(one.pixels, two.pixels)
    assert np.array_equal(one.masks, two.masks)


@pytest.mark.parametrize("stain", ["fluorescence", "he"])
def test_without_augmentation_colours_stay(stain: str) -> None:
    pixels = np.random.default_rng(0).random((16, 16, 3), np.float32)
    shown = jitter_appearance(pixels, stain, PLAIN, np.random.default_rng(0))
    assert np.abs(shown - pixels).max() < 1e-5


@pytest.mark.parametrize("name", ["intensity", "stain", "blur", "noise", "jpeg", "inversion", "gray"])
def test_each_augmentation_does_something(name: str) -> None:
    pixels = np.random.default_rng(0).random((16, 16, 3), np.float32)
    augment = PLAIN.model_copy(update={name: 1.0})
    shown = [jitter_appearance(pixels, "he", augment, np.random.default_rng(s)) for s in range(20)]
    assert max(np.abs(image - pixels).max() for image in shown) > 0.02
    assert all(image.min() >= 0 and image.max() <= 1 for image in shown)


def test_kinds_are_drawn_by_their_weight_whatever_their_number() -> None:
    images = [disc_image(s, kind="a") for s in range(6)] + [disc_image(9, kind="b")]
    weights = sampling_weights(images, {"b": 3.0})
    assert weights[-1] == pytest.approx(0.75)
    assert weights.sum() == pytest.approx(1.0)


def test_classes_of_a_kind_are_drawn_evenly() -> None:
    common = [replace(disc_image(s), classes={}) for s in range(9)]
    rare = replace(disc_image(9), classes={int(i): 2 for i in np.unique(disc_image(9).labels) if i})
    assert sampling_weights([*common, rare], {})[-1] == pytest.approx(0.5)


def test_rare_class_of_an_image_is_looked_at_as_often_as_the_common_one() -> None:
    image = disc_image(0, side=256)
    ids = [int(i) for i in np.unique(image.labels) if i]
    image = replace(image, classes={i: 1 + (i == ids[0]) for i in ids})
    rng = np.random.default_rng(0)
    shown = [2 in draw_crop(image, CROP, STILL, rng).classes for _ in range(60)]
    # by pixels alone it would be in about 1 of 10 crops
    assert np.mean(shown) > 0.3


def test_nothing_labelled_is_refused() -> None:
    image = disc_image(0)
    image.labels[:] = 0
    with pytest.raises(LabelError, match="no labelled object"):
        sampling_weights([image], {})


def test_large_images_are_cut_into_fields_that_cover_them() -> None:
    image = disc_image(0, side=200)
    assert cut_fields(image, 150) == [image]
    fields = cut_fields(image, 64)
    assert len(fields) == 16
    assert sum(field.labels.size for field in fields) == image.labels.size
    assert max(max(field.labels.shape) for field in fields) <= 64
