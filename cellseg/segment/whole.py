"""Thresholding of an image that is in memory: the chain of the tiles with one tile. Floor 3: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cellseg.config import ThresholdSettings
from cellseg.preprocess.normalize import SIGNAL_MAX, segmentation_signal
from cellseg.preprocess.recipe import Recipe
from cellseg.segment.basins import find_basins
from cellseg.segment.clean import clean_foreground, joining, landscape, size_faults
from cellseg.segment.seam import BasinJoiner, number_cells
from cellseg.segment.threshold import count_steps, find_threshold, foreground, smooth_signal
from cellseg.types import Labels, Pixels, Window


def segment_pixels(
    pixels: Pixels,
    *,
    recipe: Recipe,
    settings: ThresholdSettings,
    tissue: NDArray[np.bool_] | None = None,
    reach: NDArray[np.bool_] | None = None,
) -> Labels:
    """The label image of pixels in memory: what `cellseg segment` writes for the same slide, pixel for pixel.

    Parameters
    ----------
    pixels : (H, W, C) ndarray of uint8 or uint16
        The whole image.
    recipe : Recipe
        How to look at it; its `mpp` turns the lengths of `settings` into pixels.
    tissue : (H, W) ndarray of bool, optional
        Where there is tissue: it limits the histogram, and cells whose summit lies elsewhere are dropped.
    reach : (H, W) ndarray of bool, optional
        Where a cell may reach: tissue and some blocks around it; everywhere if not given.

    Returns
    -------
    (H, W) ndarray of uint32
        Ids 1..N in raster order of the first pixel, 0 = background.

    Raises
    ------
    ConfigError
        If the settings name a channel that the recipe does not have.
    """
    height, width = pixels.shape[:2]
    view = segmentation_signal(
        recipe, settings.signal_channel, settings.foreground, max_eosin_share=settings.max_eosin_share
    )
    fixed: int | None = None
    if settings.method == "fixed" and settings.value is not None:
        view, fixed = view.part_at(settings.value)
    raw = view.plane.render(pixels)
    signal = smooth_signal(raw, settings.smooth_um / recipe.mpp)
    chosen = np.ones((height, width), bool) if tissue is None else tissue
    histogram = np.bincount(signal[chosen], minlength=SIGNAL_MAX + 1)
    threshold = find_threshold(histogram, settings, fixed_count=fixed, steps=count_steps(raw, chosen, 0, 0))
    near_tissue = foreground(signal, threshold, settings, mpp=recipe.mpp)
    if reach is not None:
        near_tissue &= reach
    mask = clean_foreground(near_tissue, settings, mpp=recipe.mpp)
    heights = landscape(mask, signal, threshold, settings, mpp=recipe.mpp)
    join = joining(settings, mpp=recipe.mpp)
    basins = find_basins(heights, (0, height, 0, width), origin=0, stride=width, joining=join)
    joiner = BasinJoiner(width_px=width, joining=join)
    joiner.add(Window(0, height, 0, width), basins)
    clusters = joiner.finish()
    small, large = size_faults(clusters, settings, mpp=recipe.mpp)
    kept = ~(small | large) & chosen.ravel()[clusters.summit]
    cells: Labels = number_cells(clusters, kept)[basins.labels]
    return cells
