"""Labelled images and small networks that the tests of training use."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from fields import discs, fluorescence_look

from cellseg.network_config import AugmentSettings, MaskRcnnTrainSettings, SegNetTrainSettings
from cellseg.segment.architecture import Architecture
from cellseg.train.data import TrainingImage, median_diameter_px

SMALL = Architecture(diameter_px=28.0, pyramid_channels=32, box_units=64, mask_channels=16, mask_layers=1)
PLAIN = AugmentSettings(
    intensity=0, stain=0, blur=0, noise=0, jpeg=0, inversion=0, gray=0, scale_spread=0.1, rotation="right_angles"
)
"""Flips, quarter turns and little else."""
QUICK = MaskRcnnTrainSettings(
    steps=4, batch=2, warmup_steps=1, crop_px=64, learning_rate=1e-3, validate_every=2, ema=0.5, augment=PLAIN
)

QUICK_TISSUE = SegNetTrainSettings(
    steps=4, batch=2, warmup_steps=1, crop_px=64, learning_rate=1e-3, validate_every=2, ema=0.5, augment=PLAIN,
    architecture={"width": 0.0625},
)  # fmt: skip


def striped_tissue(seed: int, *, side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (side, side, 3) of two tissues, purple in blobs on pink, and the class of each pixel, 0 or 1."""
    rng = np.random.default_rng(seed)
    rough = cv2.GaussianBlur(rng.standard_normal((side, side)), (0, 0), side / 8)
    classes = (rough > np.median(rough)).astype(np.uint8)
    colours = np.array([[230, 150, 200], [120, 60, 160]])[classes] + rng.normal(0, 8, (side, side, 3))
    return np.clip(colours, 0, 255).astype(np.uint8), classes


def write_masked(folder: Path, name: str, *, seed: int = 0) -> np.ndarray:
    """images/`name`.png and masks/`name`.png in the folder; the classes."""
    pixels, classes = striped_tissue(seed)
    for part, values in (("images", pixels[:, :, ::-1]), ("masks", classes)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / part / f"{name}.png"), values)
    return classes


def disc_image(seed: int, *, name: str | None = None, side: int = 96, kind: str = "fluorescence") -> TrainingImage:
    """Bright discs on a dark ground, as a network is fed."""
    labels = discs((side, side), radius_px=9.0, spacing_px=26, seed=seed)
    pixels = np.repeat(fluorescence_look(labels, seed=seed), 3, axis=2)
    dense = labels.astype(np.int32)
    return TrainingImage(name or f"disc{seed}", pixels, dense, "fluorescence", kind, median_diameter_px(dense))


def write_pair(folder: Path, name: str, *, seed: int = 0, side: int = 96) -> np.ndarray:
    """`name`.png and `name`_labels.png of a gray image in the folder; the labels."""
    image = disc_image(seed, side=side)
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.png"), image.pixels[:, :, 0])
    cv2.imwrite(str(folder / f"{name}_labels.png"), image.labels.astype(np.uint16))
    return image.labels
