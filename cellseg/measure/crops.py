"""Square pictures around cells, all at one scale. Floor 3: arrays in, arrays out.

A picture's pixel is the mean of what lies under it, with the fractions of pixels that its edges cut; where it is finer
than the image it is at least one pixel of the image wide. Beyond the image's border the image is mirrored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.types import Pixels

Floats32 = NDArray[np.float32]
GRAY = (0.3, 0.5, 0.2)
"""What red, green and blue count in the gray that networks see; of other numbers of channels all count alike."""
QUANTILES = (0.05, 0.95)
"""Of a picture's optical density: what becomes -1 and 1."""
FAINT = 0.05
"""Optical density; a picture with less between its quantiles is not stretched more than this one."""
DARKEST = 0.02
"""Gray that darker ones count as, so that black has a density."""


@dataclass(frozen=True)
class CropField:
    """The field of a picture: `side_px` pixels of `mpp` um a side."""

    side_px: int
    mpp: float

    def reach_px(self, mpp: float) -> int:
        """Pixels of an image of this scale around the middle of a cell that its picture needs."""
        return int(np.ceil((self.side_px + 1) / 2 * max(self.mpp / mpp, 1.0))) + 1


def network_name(given: str) -> str:
    """The word that a network has in its column's name: that of its file, small letters, digits and _.

    Examples
    --------
    >>> network_name("redcell_look"), network_name("models/My-net.v2.safetensors")
    ('redcell_look', 'my_net_v2')
    """
    stem = given.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".safetensors")
    return re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_") or "network"


def cut_crops(pixels: Pixels, boxes: NDArray[np.int64], field: CropField, *, mpp: float) -> NDArray[np.uint8]:
    """Pictures (n, side, side, C) uint8 around the middles of boxes.

    Parameters
    ----------
    pixels : (H, W, C) ndarray of uint8 or uint16
        A window that holds `field.reach_px(mpp)` around every middle, or ends where the image does.
    boxes : (n, 4) ndarray of int64
        y0, y1, x0, x1 of each cell in the window, px.
    field : CropField
        Side and scale of the pictures.
    mpp : float
        Microns per pixel of the image, > 0.
    """
    step = field.mpp / mpp
    out = np.empty((len(boxes), field.side_px, field.side_px, pixels.shape[2]), np.uint8)
    # 16 bit are brought to 8: a picture is stretched by its own quantiles anyway
    scale = 1.0 if pixels.dtype == np.uint8 else 255.0 / 65535.0
    # whole pixels and the half that is left apart, so that a picture is the same in any window
    twice = np.stack([boxes[:, 0] + boxes[:, 1], boxes[:, 2] + boxes[:, 3]], axis=1).astype(np.int64)
    _cut(np.ascontiguousarray(pixels), twice, step, scale, out)
    return out


@njit(nogil=True, cache=True)
def _cut(pixels: Pixels, twice: NDArray[np.int64], step: float, scale: float, out: NDArray[np.uint8]) -> None:
    height, width, n_channels = pixels.shape
    n, side = out.shape[0], out.shape[1]
    wide = max(step, 1.0)
    n_under = int(np.ceil(wide)) + 1
    first_y, first_x = np.empty(side, np.int64), np.empty(side, np.int64)
    share_y, share_x = np.empty((side, n_under)), np.empty((side, n_under))
    for cell in range(n):
        _shares(twice[cell, 0], step, wide, first_y, share_y)
        _shares(twice[cell, 1], step, wide, first_x, share_x)
        for i in range(side):
            for j in range(side):
                for c in range(n_channels):
                    total = 0.0
                    for a in range(n_under):
                        if share_y[i, a] > 0:
                            y = _mirror(first_y[i] + a, height)
                            for b in range(n_under):
                                if share_x[j, b] > 0:
                                    x = _mirror(first_x[j] + b, width)
                                    total += share_y[i, a] * share_x[j, b] * pixels[y, x, c]
                    out[cell, i, j, c] = min(255, int(total * scale + 0.5))


@njit(nogil=True, cache=True)
def _shares(twice: int, step: float, wide: float, first: NDArray[np.int64], share: NDArray[np.float64]) -> None:
    """First pixel under each of a picture's pixels along one axis, and the share of each that follows; sums are 1.

    `twice` is two times the picture's middle, px.
    """
    whole = twice // 2
    half = 0.5 * (twice - 2 * whole)
    for i in range(first.size):
        low = half + (i + 0.5 - first.size / 2) * step - wide / 2
        start = int(np.floor(low))
        first[i] = whole + start
        for k in range(share.shape[1]):
            left, right = max(low, start + k), min(low + wide, start + k + 1.0)
            share[i, k] = max(right - left, 0.0) / wide


@njit(nogil=True, cache=True)
def _mirror(at: int, size: int) -> int:
    """The pixel inside of the image that stands for one outside: its mirror image at the border."""
    period = 2 * size
    at = at % period
    return at if at < size else period - 1 - at


def see_gray(crops: NDArray[np.uint8]) -> Floats32:
    """What a network sees of pictures (n, S, S, C): (n, S, S) float32, about -1 to 1, the same for any brightness.

    Optical density of the gray, stretched between its 5 % and 95 % quantiles in each picture.
    """
    n_channels = crops.shape[3]
    mix = GRAY if n_channels == len(GRAY) else (1.0 / n_channels,) * n_channels
    gray = crops.astype(np.float32) @ np.array(mix, np.float32) / np.float32(255)
    density = -np.log(np.maximum(gray, np.float32(DARKEST)))
    flat = np.sort(density.reshape(len(crops), -1), axis=1)
    at = [round(quantile * (flat.shape[1] - 1)) for quantile in QUANTILES]
    low, high = (flat[:, one][:, None, None] for one in at)
    return np.asarray(((density - low) / (high - low + np.float32(FAINT)) - np.float32(0.5)) * 2, np.float32)
