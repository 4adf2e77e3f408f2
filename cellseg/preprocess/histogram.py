"""Counts that add up over tiles: gray levels, block sums, sharpness. Floor 3: arrays in, arrays out.

All sums are integers, so they are the same however the slide is cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.preprocess.normalize import SIGNAL_MAX
from cellseg.types import Window

SHADES = ("black", "saturated", "dark", "coloured")
"""Black: every channel in the lowest 1/64 of the range; saturated: any at its top; dark: every one under 4/5 of it;
coloured: dark, and the channels differ by more than 1/5 of the brightest."""


@dataclass
class SlideCounts:
    """What one pass over a slide counts.

    levels : (C, L) int64 histogram per channel; gray : (4096,) int64 histogram of gray counts.
    block_sums : (h, w, C) int64 sums of gray levels, block_gradient : (h, w) int64 sums of the absolute Sobel
    gradient of gray, block_gray, block_squares : (h, w) int64 sums of gray counts and of their squares,
    block_shades : (h, w, 4) int32 pixels of each of `SHADES`, all over blocks of `block_px`.
    thumbnail : (h', w', C) int64 sums over blocks of `thumbnail_px`.
    samples : list of (n, C) pixels on a grid of every `sample_px`-th row and column.
    """

    levels: NDArray[np.int64]
    gray: NDArray[np.int64]
    block_px: int
    block_sums: NDArray[np.int64]
    block_gradient: NDArray[np.int64]
    block_gray: NDArray[np.int64]
    block_squares: NDArray[np.int64]
    block_shades: NDArray[np.int32]
    thumbnail_px: int
    thumbnail: NDArray[np.int64]
    sample_px: int
    samples: list[NDArray[Any]]

    @classmethod
    def empty(
        cls,
        height_px: int,
        width_px: int,
        n_channels: int,
        max_level: int,
        *,
        block_px: int,
        thumbnail_px: int,
        sample_px: int,
    ) -> SlideCounts:
        """Zero counts of a slide of this size."""
        blocks = (-(-height_px // block_px), -(-width_px // block_px))
        small = (-(-height_px // thumbnail_px), -(-width_px // thumbnail_px))
        return cls(
            np.zeros((n_channels, max_level + 1), np.int64), np.zeros(SIGNAL_MAX + 1, np.int64),
            block_px, np.zeros((*blocks, n_channels), np.int64), np.zeros(blocks, np.int64),
            np.zeros(blocks, np.int64), np.zeros(blocks, np.int64), np.zeros((*blocks, 4), np.int32),
            thumbnail_px, np.zeros((*small, n_channels), np.int64), sample_px, [],
        )  # fmt: skip


@dataclass(frozen=True)
class TileCounts:
    """The counts of one tile, to be added to those of the slide."""

    core: Window
    levels: NDArray[np.int64]
    gray: NDArray[np.int64]
    block_sums: NDArray[np.int64]
    block_gradient: NDArray[np.int64]
    block_gray: NDArray[np.int64]
    block_squares: NDArray[np.int64]
    block_shades: NDArray[np.int32]
    thumbnail: NDArray[np.int64]
    samples: NDArray[Any]


@njit(nogil=True, cache=True)
def _channel_levels(pixels: NDArray[Any], n_levels: int) -> NDArray[np.int64]:
    height, width, n_channels = pixels.shape
    out = np.zeros((n_channels, n_levels), np.int64)
    for y in range(height):
        for x in range(width):
            for c in range(n_channels):
                out[c, pixels[y, x, c]] += 1
    return out


@njit(nogil=True, cache=True)
def count_levels(plane: NDArray[np.uint16], n_levels: int) -> NDArray[np.int64]:
    """Histogram (n_levels,) int64 of a plane (h, w)."""
    out = np.zeros(n_levels, np.int64)
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            out[plane[y, x]] += 1
    return out


@njit(nogil=True, cache=True)
def block_sum(pixels: NDArray[Any], y0: int, x0: int, block_px: int) -> NDArray[np.int64]:
    """Sums (h', w', C) int64 over the blocks that pixels (h, w, C), the first at (y0, x0) of the slide, touch."""
    height, width, n_channels = pixels.shape
    rows = (y0 + height - 1) // block_px - y0 // block_px + 1
    columns = (x0 + width - 1) // block_px - x0 // block_px + 1
    out = np.zeros((rows, columns, n_channels), np.int64)
    for y in range(height):
        row = (y0 + y) // block_px - y0 // block_px
        for x in range(width):
            column = (x0 + x) // block_px - x0 // block_px
            for c in range(n_channels):
                out[row, column, c] += pixels[y, x, c]
    return out


@njit(nogil=True, cache=True)
def block_shades(pixels: NDArray[Any], y0: int, x0: int, block_px: int, n_levels: int) -> NDArray[np.int32]:
    """Pixels of each shade (h', w', 4) int32 in the blocks, cut as `block_sum` does: `SHADES`."""
    height, width, n_channels = pixels.shape
    rows = (y0 + height - 1) // block_px - y0 // block_px + 1
    columns = (x0 + width - 1) // block_px - x0 // block_px + 1
    out = np.zeros((rows, columns, 4), np.int32)
    below = max(n_levels // 64, 1)
    for y in range(height):
        row = (y0 + y) // block_px - y0 // block_px
        for x in range(width):
            brightest = dimmest = int(pixels[y, x, 0])
            for c in range(1, n_channels):
                level = int(pixels[y, x, c])
                brightest, dimmest = max(brightest, level), min(dimmest, level)
            column = (x0 + x) // block_px - x0 // block_px
            if brightest < below:
                out[row, column, 0] += 1
            if brightest == n_levels - 1:
                out[row, column, 1] += 1
            if 5 * brightest < 4 * n_levels:
                out[row, column, 2] += 1
                if 5 * (brightest - dimmest) > brightest:
                    out[row, column, 3] += 1
    return out


def gradient(gray: NDArray[np.uint16]) -> NDArray[np.int32]:
    """Absolute Sobel gradient |gx| + |gy| (h, w) int32, in eighths of a count per pixel; integers, hence exact."""
    gx = cv2.Sobel(gray, cv2.CV_32F, 1, 0, borderType=cv2.BORDER_REFLECT_101)
    gy = cv2.Sobel(gray, cv2.CV_32F, 0, 1, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(np.abs(gx) + np.abs(gy), np.int32)


def count_tile(
    pixels: NDArray[Any], gray: NDArray[np.uint16], read: Window, core: Window, slide: SlideCounts
) -> TileCounts:
    """The counts of a tile's core; `pixels` and `gray` hold its read window. `slide` gives the block sizes only."""
    inside = core.inside(read)
    own = np.ascontiguousarray(pixels[inside])
    own_gray = np.ascontiguousarray(gray[inside])
    edges = np.ascontiguousarray(gradient(gray)[inside])[:, :, None]
    squares = np.square(own_gray, dtype=np.int32)[:, :, None]
    n_levels = slide.levels.shape[1]
    step = slide.sample_px
    samples = own[-core.y0 % step :: step, -core.x0 % step :: step].reshape(-1, own.shape[2])
    return TileCounts(
        core,
        _channel_levels(own, n_levels),
        count_levels(own_gray, SIGNAL_MAX + 1),
        block_sum(own, core.y0, core.x0, slide.block_px),
        block_sum(edges, core.y0, core.x0, slide.block_px)[:, :, 0],
        block_sum(own_gray[:, :, None], core.y0, core.x0, slide.block_px)[:, :, 0],
        block_sum(squares, core.y0, core.x0, slide.block_px)[:, :, 0],
        block_shades(own, core.y0, core.x0, slide.block_px, n_levels),
        block_sum(own, core.y0, core.x0, slide.thumbnail_px),
        samples,
    )


def add_tile(slide: SlideCounts, tile: TileCounts) -> None:
    """Add a tile's counts to the slide's, in place."""
    slide.levels += tile.levels
    slide.gray += tile.gray
    slide.samples.append(tile.samples)
    for total, part, size in (
        (slide.block_sums, tile.block_sums, slide.block_px),
        (slide.block_gradient, tile.block_gradient, slide.block_px),
        (slide.block_gray, tile.block_gray, slide.block_px),
        (slide.block_squares, tile.block_squares, slide.block_px),
        (slide.block_shades, tile.block_shades, slide.block_px),
        (slide.thumbnail, tile.thumbnail, slide.thumbnail_px),
    ):
        y, x = tile.core.y0 // size, tile.core.x0 // size
        total[y : y + part.shape[0], x : x + part.shape[1]] += part


def block_areas(height_px: int, width_px: int, block_px: int) -> NDArray[np.int64]:
    """Pixels (h, w) int64 of each block; those at the far edges are smaller."""
    rows = np.minimum(np.arange(0, height_px, block_px) + block_px, height_px) - np.arange(0, height_px, block_px)
    columns = np.minimum(np.arange(0, width_px, block_px) + block_px, width_px) - np.arange(0, width_px, block_px)
    return np.outer(rows, columns).astype(np.int64)


def level_quantile(histogram: NDArray[np.int64], share: float) -> float:
    """The lowest level at or under which at least `share` of the pixels lie; 0 for an empty histogram."""
    total = int(histogram.sum())
    return float(np.searchsorted(np.cumsum(histogram), max(share * total, 1))) if total else 0.0
