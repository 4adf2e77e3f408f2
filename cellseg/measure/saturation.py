"""How much of each cell is at the sensor's limit. Floor 3: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.view import channel_planes, gray_name
from cellseg.preprocess.recipe import Recipe
from cellseg.types import Labels, Pixels


def measure_saturation(
    labels: Labels, pixels: Pixels, ids: Labels, boxes: NDArray[np.int64], n_pixels: NDArray[np.int64], recipe: Recipe
) -> NDArray[np.float64]:
    """Share of each cell's pixels that are at the sensor's limit, where light is no longer told from more light.

    Transmitted light loses a pixel when all three colours of it are at the maximum of the pixel type, or all at 0: one
    colour alone often is, as red is in eosin. Fluorescence loses it when one colour is at the maximum; 0 is the dark
    that cells lie in. Without colours the channel that stands for gray is looked at.

    Parameters
    ----------
    labels : (H, W) ndarray of uint32
        A window that holds the cells whole.
    pixels : (H, W, C) ndarray of uint8 or uint16
        The same window of the image.
    ids, boxes, n_pixels : (n,), (n, 4), (n,) ndarray
        The cells, their boxes in the window (y0, y1, x0, x1; px) and their pixel counts; n >= 0.
    recipe : Recipe
        Of the image: stain, colours or channels, pixel type.

    Returns
    -------
    (n,) ndarray of float64
        0 to 1. A camera of fewer bits than the pixel type (12 in 16) never reaches the maximum: 0.
    """
    first = 0 if recipe.is_rgb else channel_planes(recipe).index(gray_name(recipe))
    counts = _count(
        np.ascontiguousarray(labels), np.ascontiguousarray(pixels), ids, np.ascontiguousarray(boxes),
        first, first + (3 if recipe.is_rgb else 1), recipe.max_level, recipe.stain == "fluorescence",
    )  # fmt: skip
    return np.asarray(counts / np.maximum(n_pixels, 1))


@njit(nogil=True, cache=True)
def _count(
    labels: Labels,
    pixels: Pixels,
    ids: Labels,
    boxes: NDArray[np.int64],
    first: int,
    stop: int,
    top: int,
    fluorescent: bool,
) -> NDArray[np.int64]:
    """Pixels of each cell that are at the limit, by the channels from `first` to before `stop`."""
    out = np.zeros(len(ids), np.int64)
    for cell in range(len(ids)):
        value = ids[cell]
        for y in range(boxes[cell, 0], boxes[cell, 1]):
            for x in range(boxes[cell, 2], boxes[cell, 3]):
                level = pixels[y, x, first]
                if (level != top and level != 0 and not fluorescent) or labels[y, x] != value:
                    continue
                highest, lowest = level, level
                for c in range(first + 1, stop):
                    highest = max(highest, pixels[y, x, c])
                    lowest = min(lowest, pixels[y, x, c])
                full = (highest if fluorescent else lowest) == top
                out[cell] += full or (not fluorescent and highest == 0)
    return out
