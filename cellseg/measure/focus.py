"""How sharp each cell's outline is. Floor 3: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.preprocess.normalize import Plane
from cellseg.types import Labels, Pixels


def measure_edge_sharpness(
    labels: Labels, pixels: Pixels, ids: Labels, boxes: NDArray[np.int64], *, gray: Plane, contrast: float, mpp: float
) -> NDArray[np.float64]:
    """Mean Sobel gradient along each cell's outline, relative to the slide's contrast, 1/um.

    The outline is the cell's pixels with a 4-neighbour in the image that is not of the cell; where the image's border
    cuts the cell there is no outline. The gradient's length is that of Sobel's kernels / 8, so that a ramp of one gray
    level per pixel has 1; beyond the image's border the border pixels go on (Pech-Pacheco et al. 2000, ICPR).

    Parameters
    ----------
    labels : (H, W) ndarray of uint32
        A window that holds the cells whole with 1 px around them, except where the image ends.
    pixels : (H, W, C) ndarray of uint8 or uint16
        The same window of the image.
    ids, boxes : (n,), (n, 4) ndarray
        The cells and their boxes in the window (y0, y1, x0, x1; px).
    gray : Plane
        How gray is made of the channels.
    contrast : float
        99 % less 1 % quantile of the slide's gray, gray levels.
    mpp : float
        Microns per pixel.

    Returns
    -------
    (n,) ndarray of float64
        NaN where the slide has no contrast or the cell no outline (it fills the image).
    """
    if not contrast > 0 or not len(ids):
        return np.full(len(ids), np.nan)
    patches, starts = _outline_patches(labels, pixels, ids, np.ascontiguousarray(boxes))
    counts = gray.render(patches)
    return np.asarray(_mean_gradient(counts, starts) * (gray.scale / contrast / mpp))


@njit(nogil=True, cache=True)
def _on_outline(labels: Labels, y: int, x: int, value: int) -> bool:
    height, width = labels.shape
    return bool(
        (y > 0 and labels[y - 1, x] != value)
        or (y + 1 < height and labels[y + 1, x] != value)
        or (x > 0 and labels[y, x - 1] != value)
        or (x + 1 < width and labels[y, x + 1] != value)
    )


@njit(nogil=True, cache=True)
def _outline_patches(
    labels: Labels, pixels: Pixels, ids: Labels, boxes: NDArray[np.int64]
) -> tuple[Pixels, NDArray[np.int64]]:
    """The 8 neighbours (m, 8, C) of each outline pixel, row by row, and where each cell's begin."""
    height, width, n_channels = pixels.shape
    starts = np.zeros(len(ids) + 1, np.int64)
    room = 64
    for cell in range(len(ids)):
        room += 2 * (boxes[cell, 1] - boxes[cell, 0] + boxes[cell, 3] - boxes[cell, 2])
    patches = np.empty((room, 8, n_channels), pixels.dtype)
    at = 0
    for cell in range(len(ids)):
        value = ids[cell]
        for y in range(boxes[cell, 0], boxes[cell, 1]):
            for x in range(boxes[cell, 2], boxes[cell, 3]):
                if labels[y, x] != value or not _on_outline(labels, y, x, value):
                    continue
                if at == room:
                    room *= 2
                    more = np.empty((room, 8, n_channels), pixels.dtype)
                    more[:at] = patches
                    patches = more
                k = 0
                for dy in range(-1, 2):
                    yy = min(max(y + dy, 0), height - 1)
                    for dx in range(-1, 2):
                        if dy == 0 and dx == 0:
                            continue
                        xx = min(max(x + dx, 0), width - 1)
                        for c in range(n_channels):
                            patches[at, k, c] = pixels[yy, xx, c]
                        k += 1
                at += 1
        starts[cell + 1] = at
    return patches[:at], starts


@njit(nogil=True, cache=True)
def _mean_gradient(counts: NDArray[np.uint16], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean length of Sobel's gradient, counts per px, over each cell's patches; NaN where it has none."""
    out = np.full(len(starts) - 1, np.nan)
    for cell in range(len(out)):
        total = 0.0
        for i in range(starts[cell], starts[cell + 1]):
            a, b, c, d = np.int64(counts[i, 0]), np.int64(counts[i, 1]), np.int64(counts[i, 2]), np.int64(counts[i, 3])
            e, f, g, h = np.int64(counts[i, 4]), np.int64(counts[i, 5]), np.int64(counts[i, 6]), np.int64(counts[i, 7])
            along_y = f + 2 * g + h - a - 2 * b - c
            along_x = c + 2 * e + h - a - 2 * d - f
            total += np.sqrt(np.float64(along_y * along_y + along_x * along_x))
        if starts[cell + 1] > starts[cell]:
            out[cell] = total / (8 * (starts[cell + 1] - starts[cell]))
    return out
