"""What the tests of measuring share: recipes, odd shapes, files on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import tifffile
from fields import Labels
from numpy.typing import NDArray
from scipy import ndimage

from cellseg.io.labels import write_labels
from cellseg.measure_config import MeasureSettings
from cellseg.preprocess.recipe import Recipe
from cellseg.stages.measure import measure_cells

STAINS = {
    "hematoxylin": (0.650, 0.704, 0.286),
    "eosin": (0.072, 0.990, 0.105),
    "residual": (0.268, 0.570, 0.776),
}


def recipe_for(pixels: NDArray[np.integer], *, mpp: float = 1.0, contrast: float = 100.0, names=None) -> Recipe:
    """A recipe for an image: H&E where it has three channels, else fluorescence."""
    height, width, n = pixels.shape
    rgb = n == 3
    top = float(np.iinfo(pixels.dtype).max)
    return Recipe(
        height_px=height, width_px=width, channel_names=names or (("red", "green", "blue") if rgb else ("gray",)),
        dtype=pixels.dtype.name, is_rgb=rgb, mpp=mpp, mpp_source="test", stain="he" if rgb else "fluorescence",
        channel=None, background=(240.0,) * n, low=(0.0,) * n, high=(top,) * n, gray_low=0.0, gray_high=top,
        gray_contrast=contrast, gamma=1.0, stain_names=tuple(STAINS) if rgb else (),
        stain_matrix=tuple(STAINS.values()) if rgb else (), tissue_block_px=16, assessable=True, notes=(),
        dark_eosin_share=0.0,
    )  # fmt: skip


def odd_shapes(shape: tuple[int, int] = (192, 224), *, seed: int = 0, sigma_px: float = 4.0) -> Labels:
    """Ragged, hollow, bent, touching and border-cut pieces of a random field, down to single pixels; ids have gaps."""
    rng = np.random.default_rng(seed)
    wave = ndimage.gaussian_filter(rng.standard_normal(shape), sigma_px)
    coarse = ndimage.label(wave > 0.4 * wave.std(), np.ones((3, 3)))[0].astype(np.uint32)
    fine = ndimage.label(ndimage.gaussian_filter(rng.standard_normal(shape), 0.8) < -0.6, np.ones((3, 3)))[0]
    labels = np.where(coarse > 0, 3 * coarse, 0)
    return np.where((labels == 0) & (fine > 0), 3 * fine + 10_000, labels).astype(np.uint32)


def write_pair(folder: Path, pixels: NDArray[np.integer], labels: Labels, *, mpp: float = 1.0) -> tuple[Path, Path]:
    """The image as TIFF and its label image as this package writes it."""
    image, label_file = folder / "image.tif", folder / "labels.ome.tif"
    if pixels.shape[2] in (1, 3):
        tifffile.imwrite(image, pixels.squeeze(), photometric="rgb" if pixels.shape[2] == 3 else "minisblack")
    strips = (labels[y : y + 512] for y in range(0, len(labels), 512))
    write_labels(label_file, strips, height_px=labels.shape[0], width_px=labels.shape[1], mpp=mpp)
    return image, label_file


def measured_bytes(image: Path, labels: Path, out: Path, recipe: Recipe, **options) -> bytes:
    """The file that `measure_cells` writes."""
    settings = options.pop("settings", MeasureSettings())
    measure_cells(image, labels, out, recipe=recipe, settings=settings, sample="s1", **options)
    return out.read_bytes()


def read_columns(path: Path) -> dict[str, NDArray]:
    """The columns of a Parquet file as arrays."""
    return {name: column.to_numpy() for name, column in zip(*_named(pq.read_table(path)), strict=True)}


def _named(table):
    return table.column_names, table.columns
