"""Label images with their pixels for the benchmarks of measuring: synthetic nuclei, and real ones laid side by side."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cellseg.preprocess.recipe import Recipe

SPACING_PX = 34
STAIN_MATRIX = ((0.650, 0.704, 0.286), (0.072, 0.990, 0.105), (0.268, 0.570, 0.776))


def synthetic_labels(n_cells: int, seed: int = 0) -> NDArray[np.uint32]:
    """A square field of `n_cells` turned ellipses (mean area about 450 px) that do not touch, ids in raster order."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(n_cells)))
    labels = np.zeros((side * SPACING_PX, side * SPACING_PX), np.uint32)
    y, x = np.mgrid[: SPACING_PX - 1, : SPACING_PX - 1] - SPACING_PX / 2
    for cell in range(n_cells):
        row, column = divmod(cell, side)
        (a, b), angle = rng.uniform(8.5, 15.5, 2), rng.uniform(0, np.pi)
        u, v = y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)
        y0, x0 = row * SPACING_PX, column * SPACING_PX
        box = labels[y0 : y0 + SPACING_PX - 1, x0 : x0 + SPACING_PX - 1]
        box[(u / a) ** 2 + (v / b) ** 2 <= 1] = cell + 1
    return labels


def synthetic_pixels(labels: NDArray[np.uint32], seed: int = 0) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: cells darker than their surroundings, each with its own level, waves and noise."""
    rng = np.random.default_rng(seed)
    level = rng.integers(50, 120, int(labels.max()) + 1)
    level[0] = 210
    wave = 12 * np.sin(np.arange(labels.shape[1]) / 5) * np.cos(np.arange(labels.shape[0]) / 7)[:, None]
    base = (level[labels] + wave).astype(np.float32)
    noise = rng.standard_normal(labels.shape, np.float32) * 4
    return np.stack([np.clip(base + noise + shift, 0, 255).astype(np.uint8) for shift in (0, -20, 15)], axis=2)


def real_field(data: Path, n_cells: int) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    """Labels and gray pixels of fluorescence images of dsb2018, one below the other, until there are so many nuclei."""
    folder = data / "dsb2018"
    with (folder / "index.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "fluorescence" and row["width_px"] == "256"]
    parts, grays, count = [], [], 0
    for row in sorted(rows, key=lambda row: row["id"]):
        path = folder / row["split"] / f"{row['id']}.png"
        labels = cv2.imread(str(path.with_name(f"{row['id']}_labels.png")), cv2.IMREAD_UNCHANGED).astype(np.uint32)
        parts.append(np.where(labels > 0, labels + np.uint32(count), 0).astype(np.uint32))
        grays.append(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))
        count += int(labels.max())
        if count >= n_cells:
            break
    return np.concatenate(parts), np.concatenate(grays)[..., None]


def recipe_of(pixels: NDArray[np.uint8]) -> Recipe:
    """A recipe for the benchmark's images: H&E where there is colour."""
    n = pixels.shape[2]
    rgb = n == 3
    return Recipe(
        height_px=pixels.shape[0], width_px=pixels.shape[1],
        channel_names=("red", "green", "blue") if rgb else ("gray",),
        dtype="uint8", is_rgb=rgb, mpp=0.5, mpp_source="benchmark", stain="he" if rgb else "fluorescence", channel=None,
        background=(240.0,) * n, low=(0.0,) * n, high=(255.0,) * n, gray_low=0.0, gray_high=255.0, gray_contrast=160.0,
        gamma=1.0, stain_names=("hematoxylin", "eosin", "residual") if rgb else (),
        stain_matrix=STAIN_MATRIX if rgb else (),
        dark_eosin_share=0.0,
        tissue_block_px=32, assessable=True, notes=(),
    )  # fmt: skip
