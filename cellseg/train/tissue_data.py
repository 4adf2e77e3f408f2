"""Images with a class in every pixel, and the crops that a step sees. Floor 4: arrays only, no torch, no files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from cellseg.errors import LabelError
from cellseg.network_config import AugmentSettings
from cellseg.segment.tissue_architecture import UNLABELLED
from cellseg.train.data import field_slices
from cellseg.train.transforms import jitter_appearance
from cellseg.types import Stain

Float = NDArray[np.float32]
ClassMap = NDArray[np.uint8]


@dataclass(frozen=True)
class TissueImage:
    """One image whose pixels have classes.

    pixels : (H, W, 3) ndarray of uint8, as the network is fed (`segment.scale.network_pixels`), at its scale.
    classes : (H, W) ndarray of uint8, class number from 0; `UNLABELLED` where nothing is known.
    group : the case that it is of; intervals and splits go by cases.
    """

    name: str
    pixels: NDArray[np.uint8]
    classes: ClassMap
    stain: Stain
    kind: str
    group: str


@dataclass(frozen=True)
class TissueCrop:
    """One sample of a step: pixels (S, S, 3) float32, 0..1, and classes (S, S) uint8."""

    pixels: Float
    classes: ClassMap
    name: str


def pixel_counts(images: Sequence[TissueImage], n_classes: int) -> NDArray[np.int64]:
    """Pixels (N, K) of each class in each image."""
    counts = [np.bincount(image.classes.ravel(), minlength=256)[:n_classes] for image in images]
    return np.array(counts, np.int64).reshape(len(images), n_classes)


def median_frequency_weights(counts: NDArray[np.int64]) -> Float:
    """Weight (K,) of each class: the median of the classes' frequencies over its own (Eigen and Fergus 2015, ICCV).

    The frequency of a class is its share of the pixels of those images that have it. A class that no image has gets
    weight 0.

    Parameters
    ----------
    counts : (N, K) ndarray
        From `pixel_counts`.
    """
    there = counts > 0
    whole = (counts.sum(axis=1, keepdims=True) * there).sum(axis=0)
    frequency = counts.sum(axis=0) / np.maximum(whole, 1)
    known = frequency > 0
    if not known.any():
        raise LabelError(f"{len(counts)} training images: no pixel has a class; look at the labels")
    weights = np.zeros(len(frequency))
    weights[known] = np.median(frequency[known]) / frequency[known]
    return weights.astype(np.float32)


def sampling_weights(images: Sequence[TissueImage], n_classes: int) -> NDArray[np.float64]:
    """Probability (N,) of each image: classes by the root of their images, in a class cases by the root of theirs.

    The class of an image is here the rarest one in it, counted in images; one without classes is never drawn.
    """
    has = pixel_counts(images, n_classes) > 0
    rarity = has.sum(axis=0)
    rarest = np.where(has.any(axis=1), np.where(has, rarity, len(images) + 1).argmin(axis=1), -1)
    weights = np.zeros(len(images))
    for number in np.unique(rarest[rarest >= 0]):
        own = np.flatnonzero(rarest == number)
        groups = np.array([images[int(i)].group for i in own])
        _, at, counts = np.unique(groups, return_inverse=True, return_counts=True)
        within = (counts**0.5 / (counts**0.5).sum())[at] / counts[at]
        weights[own] = len(own) ** 0.5 * within
    return np.asarray(weights / weights.sum(), np.float64)


def draw_tissue_crop(
    image: TissueImage, side_px: int, augment: AugmentSettings, rng: np.random.Generator
) -> TissueCrop:
    """A random crop (side_px, side_px): scaled, turned, mirrored, recoloured; mirrored on beyond the image's border.

    One that would show nothing with a class is drawn again, around a pixel that has one.
    """
    size = (side_px, side_px)

    def classes_in(matrix: NDArray[np.float64]) -> ClassMap:
        seen = cv2.warpAffine(image.classes, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(seen, np.uint8)

    matrix = _random_view(image.classes.shape, side_px, augment, rng)
    classes = classes_in(matrix)
    if (classes == UNLABELLED).all():
        known = np.flatnonzero(image.classes != UNLABELLED)
        row, column = divmod(int(known[rng.integers(len(known))]), image.classes.shape[1])
        matrix = _random_view(image.classes.shape, side_px, augment, rng, around=(row, column))
        classes = classes_in(matrix)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    # what is shrunk is smoothed first, as resampling by area does
    source = cv2.GaussianBlur(image.pixels, (0, 0), 0.35 / scale) if scale < 0.8 else image.pixels
    pixels = cv2.warpAffine(source, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    coloured = jitter_appearance(pixels.astype(np.float32) / 255, image.stain, augment, rng)
    return TissueCrop(coloured, classes, image.name)


def _random_view(
    shape: tuple[int, ...],
    side_px: int,
    augment: AugmentSettings,
    rng: np.random.Generator,
    around: tuple[int, int] | None = None,
) -> NDArray[np.float64]:
    """(2, 3) affine matrix from image to crop pixels; `around` (y, x) lies within it, if given."""
    height, width = shape
    scale = float(np.exp(np.clip(rng.normal(0, augment.scale_spread), -1, 1)))
    angle = 0.0
    if augment.rotation == "any" and rng.random() < 0.5:
        angle = float(rng.uniform(0, 2 * np.pi))
    elif augment.rotation != "none":
        angle = float(rng.integers(4) * np.pi / 2)
    stretch = np.exp(rng.normal(0, augment.stretch))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    flip = np.diag([1.0 if rng.random() < 0.5 or not augment.flips else -1.0, 1.0])
    linear = scale * turn @ np.diag([stretch, 1 / stretch]) @ flip
    reach = side_px / (2 * scale)
    focus = np.array([
        rng.uniform(reach, extent - reach) if extent > 2 * reach else extent / 2 + rng.uniform(-0.1, 0.1) * extent
        for extent in (width, height)
    ])  # fmt: skip
    if around is not None:
        # half as far as the crop reaches: inside it however it is turned
        focus = np.array([around[1], around[0]]) + 0.5 + rng.uniform(-0.5, 0.5, 2) * reach
    shift = (side_px - 1) / 2 - linear @ (focus - 0.5)
    return np.concatenate([linear, shift[:, None]], axis=1)


def cut_fields(image: TissueImage, side_px: int) -> list[TissueImage]:
    """The image, or those of its `field_slices` that have a class, so that a crop is quickly cut."""
    parts = field_slices(image.classes.shape, side_px)
    if len(parts) == 1:
        return [image]
    return [
        replace(image, pixels=image.pixels[own].copy(), classes=image.classes[own].copy())
        for own in parts
        if (image.classes[own] != UNLABELLED).any()
    ]
