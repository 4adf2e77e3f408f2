"""Cells cut out of a window, one behind the other, so that a kernel meets nothing but the cell. Floor 3.

A patch is a cell's box with 1 px around it: neighbours of the cell's pixels can be looked at without asking whether
they are there. All patches of a batch lie in flat arrays, row after row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.types import Labels, Pixels


@dataclass(frozen=True)
class Patches:
    """The patches of n cells, m px in all.

    Attributes
    ----------
    mask : (m,) ndarray of uint8
        1 in the cell, 0 outside of it; the outermost rows and columns of a patch are always 0.
    starts : (n + 1,) ndarray of int64
        Where each patch begins in `mask`; the last entry is m.
    heights, widths : (n,) ndarray of int64
        Rows and columns of each patch, the margin of 1 px included: 3 at least.
    n_pixels : (n,) ndarray of int64
        Pixels of each cell, 1 at least.
    origins : (n, 2) ndarray of int64
        y and x of the patch's first pixel in the window; -1 where the box begins at the image's border.
    made : dict
        What several families make of the same patches (depths, outlines), by name, so that it is made once.
    """

    mask: NDArray[np.uint8]
    starts: NDArray[np.int64]
    heights: NDArray[np.int64]
    widths: NDArray[np.int64]
    n_pixels: NDArray[np.int64]
    origins: NDArray[np.int64]
    made: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.heights)


def cut_patches(labels: Labels, ids: Labels, boxes: NDArray[np.int64], n_pixels: NDArray[np.int64]) -> Patches:
    """The masks of some cells.

    Parameters
    ----------
    labels : (H, W) ndarray of uint32
        A window that holds the cells whole.
    ids, boxes, n_pixels : (n,), (n, 4), (n,) ndarray
        The cells, their boxes in the window (y0, y1, x0, x1; px) and their pixel counts.
    """
    boxes = np.ascontiguousarray(boxes)
    heights, widths = boxes[:, 1] - boxes[:, 0] + 2, boxes[:, 3] - boxes[:, 2] + 2
    starts = np.concatenate([[0], np.cumsum(heights * widths)]).astype(np.int64)
    mask = np.zeros(int(starts[-1]), np.uint8)
    _cut_masks(labels, ids, boxes, starts, mask)
    return Patches(mask, starts, heights, widths, n_pixels, boxes[:, ::2] - 1)


def cut_pixels(pixels: Pixels, patches: Patches) -> Pixels:
    """The pixels (m, C) of the patches; beyond the image's border its border pixels go on.

    `pixels` is the window (H, W, C) that the patches were cut from.
    """
    out = np.empty((len(patches.mask), pixels.shape[2]), pixels.dtype)
    if len(patches):
        _cut_pixels(np.ascontiguousarray(pixels), patches.origins, patches.heights, patches.widths, patches.starts, out)
    return out


@njit(nogil=True, cache=True)
def _cut_masks(
    labels: Labels, ids: Labels, boxes: NDArray[np.int64], starts: NDArray[np.int64], mask: NDArray[np.uint8]
) -> None:
    for cell in range(len(ids)):
        value, x0, x1 = ids[cell], boxes[cell, 2], boxes[cell, 3]
        stride = x1 - x0 + 2
        at = starts[cell] + stride + 1
        for y in range(boxes[cell, 0], boxes[cell, 1]):
            line, row = labels[y, x0:x1], mask[at : at + x1 - x0]
            for x in range(x1 - x0):
                row[x] = line[x] == value
            at += stride


@njit(nogil=True, cache=True)
def _cut_pixels(
    pixels: Pixels,
    origins: NDArray[np.int64],
    heights: NDArray[np.int64],
    widths: NDArray[np.int64],
    starts: NDArray[np.int64],
    out: Pixels,
) -> None:
    height, width, n_channels = pixels.shape
    lines, flat = pixels.reshape(height, width * n_channels), out.reshape(out.size)
    for cell in range(len(heights)):
        at, left = starts[cell] * n_channels, origins[cell, 1]
        right = left + widths[cell]
        first, last = max(left, 0), min(right, width)
        for y in range(origins[cell, 0], origins[cell, 0] + heights[cell]):
            line = lines[min(max(y, 0), height - 1)]
            if first > left:
                flat[at : at + n_channels] = line[:n_channels]
                at += n_channels
            count = (last - first) * n_channels
            flat[at : at + count] = line[first * n_channels : last * n_channels]
            at += count
            if last < right:
                flat[at : at + n_channels] = line[(width - 1) * n_channels :]
                at += n_channels
