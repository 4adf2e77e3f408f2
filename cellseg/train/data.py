"""Training images in memory and the crops that a step sees. Floor 4: arrays only, no torch, no files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cellseg.errors import LabelError
from cellseg.network_config import AugmentSettings
from cellseg.train.transforms import jitter_appearance
from cellseg.types import Stain

Float = NDArray[np.float32]


@dataclass(frozen=True)
class TrainingImage:
    """One labelled image.

    pixels : (H, W, 3) ndarray of uint8, as the network is fed (`segment.scale.network_pixels`).
    labels : (H, W) ndarray of int32, 0 = background.
    classes : class number from 1 of every label id; ids that are not named have class 1.
    diameter_px : median over the objects of 2 * sqrt(area / pi).
    """

    name: str
    pixels: NDArray[np.uint8]
    labels: NDArray[np.int32]
    stain: Stain
    kind: str
    diameter_px: float
    classes: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class CropSettings:
    """How crops are cut.

    side_px : px of the network. diameter_px : what the image's typical object is scaled to, px of the network.
    min_px : objects of which fewer pixels are left are no objects of the crop. min_share : nor are those of which less
    than this fraction is left, unless that is 100 px.
    """

    side_px: int = 256
    diameter_px: float = 34.0
    min_px: int = 10
    min_share: float = 0.08


@dataclass(frozen=True)
class Crop:
    """One sample of a step: pixels (S, S, 3) float32 0..1 and objects: boxes (N, 4), classes (N,), masks (N, S, S)."""

    pixels: Float
    boxes: Float
    classes: NDArray[np.int64]
    masks: NDArray[np.uint8]
    name: str


def median_diameter_px(labels: NDArray[np.int32]) -> float:
    """Median over the objects of the diameter of a disc of their area, px; 0.0 without objects."""
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return float(np.median(2 * np.sqrt(areas / np.pi))) if len(areas) else 0.0


def sampling_weights(images: Sequence[TrainingImage], kind_weights: Mapping[str, float]) -> NDArray[np.float64]:
    """Probability (N,) of each image: that of its kind, shared out evenly among the classes that the kind has.

    Parameters
    ----------
    kind_weights : mapping of str to float
        How often each kind is drawn; 1 where a kind is not named. Within a class of a kind, images go by the root of
        the number of their objects.
    """
    names = sorted({number for image in images for number in _object_classes(image)})
    objects = np.array([[_object_classes(image).get(name, 0) for name in names] for image in images], np.float64) ** 0.5
    weights = np.zeros(len(images))
    for kind in sorted({image.kind for image in images}):
        own = np.array([image.kind == kind for image in images])
        share = objects * own[:, None]
        there = share.sum(axis=0) > 0
        if there.any():
            weights += kind_weights.get(kind, 1.0) * (share[:, there] / share[:, there].sum(axis=0)).mean(axis=1)
    if weights.sum() <= 0:
        raise LabelError(
            f"{len(images)} training images: no labelled object in a kind that is drawn; look at the labels and at "
            "kind_weights"
        )
    return np.asarray(weights / weights.sum(), np.float64)


def _object_classes(image: TrainingImage) -> dict[int, int]:
    """Number of objects of each class."""
    ids = np.unique(image.labels)
    return dict(Counter(image.classes.get(int(number), 1) for number in ids[ids > 0]))


def draw_crop(image: TrainingImage, settings: CropSettings, augment: AugmentSettings, rng: np.random.Generator) -> Crop:
    """A random crop: scaled so that the typical object has the network's size give or take, turned, recoloured."""
    matrix = _random_view(image, settings, augment, rng)
    side = settings.side_px
    fill = _fill(image, rng)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    # what is shrunk is smoothed first, as resampling by area does
    source = cv2.GaussianBlur(image.pixels, (0, 0), 0.35 / scale) if scale < 0.8 else image.pixels
    pixels = cv2.warpAffine(
        source, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=fill
    )
    labels = cv2.warpAffine(
        image.labels.astype(np.float64), matrix, (side, side), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT
    ).astype(np.int32)
    boxes, ids, masks = _objects(labels, image.labels, scale, settings)
    classes = np.array([image.classes.get(int(i), 1) for i in ids], np.int64)
    coloured = jitter_appearance(pixels.astype(np.float32) / 255, image.stain, augment, rng)
    return Crop(coloured, boxes, classes, masks, image.name)


def _random_view(
    image: TrainingImage, settings: CropSettings, augment: AugmentSettings, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(2, 3) affine matrix from image to crop pixels."""
    scale = np.exp(rng.normal(0, augment.scale_spread)) * settings.diameter_px / max(image.diameter_px, 1.0)
    scale = float(np.clip(scale, 0.15, 6.0))
    angle = _angle(augment, rng)
    stretch = np.exp(rng.normal(0, augment.stretch))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    flip = np.diag([1.0 if rng.random() < 0.5 or not augment.flips else -1.0, 1.0])
    linear = scale * turn @ np.diag([stretch, 1 / stretch]) @ flip
    height, width = image.labels.shape
    focus = _focus_on(image, rng)
    # keep the crop inside the image where the image is large enough
    reach = settings.side_px / (2 * scale)
    for axis, extent in enumerate((width, height)):
        around = focus[axis] + rng.uniform(-0.4, 0.4) * 2 * reach
        focus[axis] = extent / 2 if extent <= 2 * reach else np.clip(around, reach * 0.95, extent - reach * 0.95)
    shift = settings.side_px / 2 - linear @ focus
    if any(extent <= 2 * reach for extent in (width, height)):
        shift += rng.uniform(-0.15, 0.15, 2) * settings.side_px
    return np.concatenate([linear, shift[:, None]], axis=1)


def _angle(augment: AugmentSettings, rng: np.random.Generator) -> float:
    """How far the crop is turned, rad."""
    if augment.rotation == "none":
        return 0.0
    if augment.rotation == "any" and rng.random() < 0.5:
        return float(rng.uniform(0, 2 * np.pi))
    return float(rng.integers(4) * np.pi / 2)


def _focus_on(image: TrainingImage, rng: np.random.Generator) -> NDArray[np.float64]:
    """(x, y) that the crop is centred on: mostly a pixel of an object, so that sparse images do not teach emptiness.

    Where an image has several classes, each is as likely, so that rare ones are not drowned.
    """
    height, width = image.labels.shape
    inside = np.flatnonzero(_wanted(image, rng)) if rng.random() < 0.85 else np.zeros(0, np.int64)
    if len(inside) == 0:
        return np.array([rng.uniform(0, width), rng.uniform(0, height)])
    y, x = divmod(int(rng.choice(inside)), width)
    return np.array([x, y], np.float64)


def _wanted(image: TrainingImage, rng: np.random.Generator) -> NDArray[Any]:
    """Where the objects are, or those of one class drawn at random; (H, W), not 0 there."""
    classes = sorted(_object_classes(image)) if len(set(image.classes.values())) > 1 else []
    if len(classes) < 2:
        return image.labels
    chosen = int(rng.choice(classes))
    ids = [number for number in np.unique(image.labels) if number and image.classes.get(int(number), 1) == chosen]
    return np.isin(image.labels, ids)


def _fill(image: TrainingImage, rng: np.random.Generator) -> tuple[float, float, float]:
    """What lies beyond the image's border: black, or the level of its background."""
    if rng.random() < 0.5:
        return (0.0, 0.0, 0.0)
    level = np.percentile(image.pixels[::4, ::4].reshape(-1, 3), 10 if image.stain == "fluorescence" else 90, axis=0)
    return (float(level[0]), float(level[1]), float(level[2]))


def _objects(
    labels: NDArray[np.int32], whole: NDArray[np.int32], scale: float, settings: CropSettings
) -> tuple[Float, NDArray[np.int64], NDArray[np.uint8]]:
    """Boxes, ids and masks of the objects of a crop; slivers of cells cut by its border are left out."""
    ids, counts = np.unique(labels, return_counts=True)
    full = np.bincount(whole.ravel(), minlength=int(ids[-1]) + 1)[ids] * scale**2
    kept = (ids > 0) & (counts >= settings.min_px) & (counts >= np.minimum(settings.min_share * full, 100))
    ids = ids[kept]
    side = labels.shape[0]
    masks = (labels[None] == ids[:, None, None]).astype(np.uint8)
    rows, columns = masks.any(2), masks.any(1)
    boxes = (
        np.stack(
            [columns.argmax(1), rows.argmax(1), side - columns[:, ::-1].argmax(1), side - rows[:, ::-1].argmax(1)],
            axis=1,
        )
        .astype(np.float32)
        .reshape(-1, 4)
    )
    wide = (boxes[:, 2] - boxes[:, 0] >= 2) & (boxes[:, 3] - boxes[:, 1] >= 2)
    return boxes[wide], ids[wide].astype(np.int64), masks[wide]


def cut_fields(image: TrainingImage, side_px: int) -> list[TrainingImage]:
    """The image, or its `field_slices`, so that a crop is quickly cut."""
    parts = field_slices(image.labels.shape, side_px)
    if len(parts) == 1:
        return [image]
    return [replace(image, pixels=image.pixels[own].copy(), labels=image.labels[own].copy()) for own in parts]


def field_slices(shape: tuple[int, ...], side_px: int) -> list[tuple[slice, slice]]:
    """Equal parts of at most `side_px` a side of an image of (H, W); the whole unless it is half as large again."""
    height, width = shape
    rows, columns = (1 if side <= 1.5 * side_px else -(-side // side_px) for side in (height, width))
    return [
        (
            slice(height * row // rows, height * (row + 1) // rows),
            slice(width * column // columns, width * (column + 1) // columns),
        )
        for row, column in np.ndindex(rows, columns)
    ]
