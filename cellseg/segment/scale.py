"""What a network sees of a slide: colours as it was trained on, pixels of its own size. Floor 3: arrays in, arrays out.

The network's pixels lie on one grid over the whole slide, and what it is fed begins at multiples of its coarsest
stride, so that a slide that is cut otherwise shows it the same pixels, with other surroundings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.preprocess.normalize import OD_SCALE, SIGNAL_MAX, Plane, segmentation_signal, stain_plane
from cellseg.preprocess.recipe import Recipe
from cellseg.types import Pixels, Window

GRID_PX = 32
"""px of the network; what it is fed begins and ends at multiples of this, its coarsest stride."""
HEMATOXYLIN_GAIN = 1.5
"""How much darker hematoxylin is shown than it is beside DAB, where it is a pale counterstain."""
_SMOOTH_BELOW = 0.8
_SMOOTH_SIGMA = 0.35
_STEPS = 2048
"""Steps of a pixel in which the place between two pixels is told: 11 bits, so that sums are whole numbers."""

Image = NDArray[np.uint8]


def network_pixels(pixels: Pixels, recipe: Recipe, channel: str | None = None) -> Image:
    """Pixels in the colours that a network is trained and run on.

    Colour stains stay as they are, brought to 8 bits; of H-DAB the hematoxylin alone is shown. Fluorescence, and any
    image that is not colour, becomes gray in all three channels: `channel` (else the sample sheet's, else the first;
    the gray of a colour image), 0 at the slide's low and 255 at its high percentile, straight between.

    Parameters
    ----------
    pixels : (h, w, C) ndarray of uint8 or uint16
        Of any window of the slide.

    Returns
    -------
    (h, w, 3) ndarray of uint8

    Raises
    ------
    ConfigError
        If the slide has no such channel.
    """
    if recipe.stain == "hdab" and "hematoxylin" in recipe.stain_names:
        hematoxylin = stain_plane(recipe, "hematoxylin")
        return np.asarray(_dye_colours(recipe)[hematoxylin.render(pixels)], np.uint8)
    if recipe.is_rgb and recipe.stain != "fluorescence":
        eight_bit = pixels if pixels.dtype == np.uint8 else (pixels.astype(np.uint32) + 128) // 257
        return np.ascontiguousarray(eight_bit[:, :, :3], np.uint8)
    counts = _gray(recipe, channel).render(pixels).astype(np.uint32)
    gray = ((counts * 255 + SIGNAL_MAX // 2) // SIGNAL_MAX).astype(np.uint8)
    return np.repeat(gray[:, :, None], 3, axis=2)


@lru_cache(maxsize=8)
def _dye_colours(recipe: Recipe) -> Image:
    """(4096, 3): what each amount of hematoxylin alone looks like on white; networks are not taught brown."""
    dye = np.array(recipe.stain_matrix[recipe.stain_names.index("hematoxylin")])
    amounts = np.arange(SIGNAL_MAX + 1) * OD_SCALE * HEMATOXYLIN_GAIN
    return np.asarray(np.floor(255 * 10 ** (-amounts[:, None] * dye) + 0.5), np.uint8)


@lru_cache(maxsize=8)
def _gray(recipe: Recipe, channel: str | None) -> Plane:
    """The gray plane between the slide's percentiles; tables of 16-bit images are worth keeping."""
    as_light = replace(recipe, gamma=1.0, stain="fluorescence", channel=channel or recipe.channel)
    return segmentation_signal(as_light, "gray", "bright").plane


@dataclass(frozen=True)
class View:
    """A slide of `height_px` x `width_px` at `scale` network pixels per pixel of the slide."""

    scale: float
    height_px: int
    width_px: int

    def patch(self, window: Window) -> Window:
        """The window in px of the network, grown to multiples of `GRID_PX`; may leave the slide."""
        y0, x0 = (int(np.floor(at * self.scale / GRID_PX)) * GRID_PX for at in (window.y0, window.x0))
        y1, x1 = (int(np.ceil(at * self.scale / GRID_PX)) * GRID_PX for at in (window.y1, window.x1))
        return Window(y0, max(y1, y0 + GRID_PX), x0, max(x1, x0 + GRID_PX))

    def look(self, read: Callable[[Window], Image], window: Window) -> Image:
        """What the network sees of `patch(window)`: (H, W, 3) uint8, black beyond the slide's border.

        Parameters
        ----------
        read : callable
            (h, w, 3) uint8 of a window inside the slide, as `network_pixels` makes them.
        """
        return self.look_at(read, self.patch(window))

    def look_at(self, read: Callable[[Window], Image], patch: Window) -> Image:
        """What the network sees of a window given in px of the network: (H, W, 3) uint8, black beyond the border."""
        sigma = _SMOOTH_SIGMA / self.scale if self.scale < _SMOOTH_BELOW else 0.0
        radius = round(sigma * 3 + 0.5) if sigma else 0
        rows, columns = self._places(patch.y0, patch.y1), self._places(patch.x0, patch.x1)
        (y0, y1), (x0, x1) = ((int(at[0]) // _STEPS, int(at[-1]) // _STEPS + 2) for at in (rows, columns))
        source = Window(y0, y1, x0, x1).grow(radius).clip(self.height_px, self.width_px)
        pixels = read(source)
        if sigma:
            pixels = np.asarray(cv2.GaussianBlur(pixels, (2 * radius + 1, 2 * radius + 1), sigma), np.uint8)
        return _interpolate(  # type: ignore[no-any-return]
            np.ascontiguousarray(pixels), source.y0, source.x0, rows, columns, self.height_px, self.width_px
        )

    def to_slide(self, boxes: NDArray[np.float32], patch: Window) -> NDArray[np.float64]:
        """Boxes (N, 4) as x0, y0, x1, y1 from px of a patch to px of the slide."""
        origin = np.array([patch.x0, patch.y0, patch.x0, patch.y0], np.float64)
        return (boxes.astype(np.float64) + origin) / self.scale

    def _places(self, first: int, last: int) -> NDArray[np.int64]:
        """Where the middles of the network's pixels lie among the middles of the slide's, in steps of 1/2048 px."""
        middles = (np.arange(first, last) + 0.5) / self.scale - 0.5
        return np.asarray(np.floor(middles * _STEPS + 0.5), np.int64)


@njit(nogil=True, cache=True)
def _interpolate(
    pixels: Image, y0: int, x0: int, rows: NDArray[np.int64], columns: NDArray[np.int64], height: int, width: int
) -> Image:
    """Bilinear in whole numbers: a pixel has one value wherever the window lies. Black off the slide."""
    out = np.zeros((len(rows), len(columns), 3), np.uint8)
    last_y, last_x = pixels.shape[0] - 1, pixels.shape[1] - 1
    half = _STEPS // 2
    for i in range(len(rows)):
        if rows[i] < -half or rows[i] >= height * _STEPS - half:
            continue
        y, fy = rows[i] // _STEPS - y0, rows[i] % _STEPS
        above, below = min(max(y, 0), last_y), min(max(y + 1, 0), last_y)
        for j in range(len(columns)):
            if columns[j] < -half or columns[j] >= width * _STEPS - half:
                continue
            x, fx = columns[j] // _STEPS - x0, columns[j] % _STEPS
            left, right = min(max(x, 0), last_x), min(max(x + 1, 0), last_x)
            for c in range(3):
                upper = (_STEPS - fx) * np.int64(pixels[above, left, c]) + fx * np.int64(pixels[above, right, c])
                lower = (_STEPS - fx) * np.int64(pixels[below, left, c]) + fx * np.int64(pixels[below, right, c])
                value = (_STEPS - fy) * upper + fy * lower
                out[i, j, c] = (value + _STEPS * _STEPS // 2) // (_STEPS * _STEPS)
    return out
