"""How sharp each cell's outline is. Floor 3: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.patches import Patches
from cellseg.preprocess.normalize import Plane
from cellseg.types import Labels, Pixels


def measure_edge_sharpness(
    labels: Labels,
    ids: Labels,
    boxes: NDArray[np.int64],
    patches: Patches,
    patch_pixels: Pixels,
    *,
    gray: Plane,
    contrast: float,
    mpp: float,
) -> NDArray[np.float64]:
    """Mean Sobel gradient along each cell's outline, relative to the slide's contrast, 1/um.

    The outline is the cell's pixels with a 4-neighbour in the image that is not of the cell; where the image's border
    cuts the cell there is no outline. The gradient's length is that of Sobel's kernels / 8, so that a ramp of one gray
    level per pixel has 1; beyond the image's border the border pixels go on (Pech-Pacheco et al. 2000, ICPR).

    Parameters
    ----------
    labels : (H, W) ndarray of uint32
        A window that holds the cells whole with 1 px around them, except where the image ends.
    ids, boxes : (n,), (n, 4) ndarray
        The cells and their boxes in the window (y0, y1, x0, x1; px).
    patches : Patches
        The same cells cut out of the window.
    patch_pixels : (m, C) ndarray of uint8 or uint16
        The image in the patches (`cut_pixels`).
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
    around = gray.render(patch_pixels[None])[0]
    slopes = _mean_gradient(labels, ids, np.ascontiguousarray(boxes), patches.starts, around)
    return np.asarray(slopes * (gray.scale / contrast / mpp))


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
def _mean_gradient(
    labels: Labels, ids: Labels, boxes: NDArray[np.int64], starts: NDArray[np.int64], gray: NDArray[np.uint16]
) -> NDArray[np.float64]:
    """Mean length of Sobel's gradient, counts per px, over each cell's outline; NaN where it has none."""
    out = np.full(len(ids), np.nan)
    for cell in range(len(ids)):
        value, y0, x0 = ids[cell], boxes[cell, 0], boxes[cell, 2]
        stride = boxes[cell, 3] - x0 + 2
        total, count = 0.0, 0
        for y in range(y0, boxes[cell, 1]):
            for x in range(x0, boxes[cell, 3]):
                if labels[y, x] != value or not _on_outline(labels, y, x, value):
                    continue
                at = starts[cell] + (y - y0) * stride + x - x0  # of the neighbour above on the left
                a, b, c = np.int64(gray[at]), np.int64(gray[at + 1]), np.int64(gray[at + 2])
                d, f = np.int64(gray[at + stride]), np.int64(gray[at + stride + 2])
                at += 2 * stride
                g, h, k = np.int64(gray[at]), np.int64(gray[at + 1]), np.int64(gray[at + 2])
                along_y, along_x = g + 2 * h + k - a - 2 * b - c, c + 2 * f + k - a - 2 * d - g
                total += np.sqrt(np.float64(along_y * along_y + along_x * along_x))
                count += 1
        if count:
            out[cell] = total / (8 * count)
    return out
