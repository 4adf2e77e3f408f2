"""Where there is tissue, block by block. Floor 3: arrays in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cellseg.types import Window


@dataclass(frozen=True)
class TissueMask:
    """Tissue as (h, w) bool, one value a block of `block_px` pixels of the slide."""

    blocks: NDArray[np.bool_]
    block_px: int

    def any_in(self, window: Window) -> bool:
        """Whether a window of the slide touches tissue."""
        size = self.block_px
        return bool(
            self.blocks[window.y0 // size : -(-window.y1 // size), window.x0 // size : -(-window.x1 // size)].any()
        )

    def at(self, y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether pixels of the slide lie in tissue."""
        return self.blocks[y // self.block_px, x // self.block_px]

    def grown(self, n_blocks: int) -> TissueMask:
        """The mask with `n_blocks` more blocks on every side."""
        size = 2 * n_blocks + 1
        return TissueMask(cv2.dilate(self.blocks.astype(np.uint8), np.ones((size, size), np.uint8)) > 0, self.block_px)

    def expand(self, window: Window) -> NDArray[np.bool_]:
        """The mask (h, w) bool of a window, pixel by pixel."""
        rows = np.arange(window.y0, window.y1) // self.block_px
        columns = np.arange(window.x0, window.x1) // self.block_px
        return self.blocks[rows[:, None], columns[None, :]]


def whole_slide(height_px: int, width_px: int, block_px: int) -> TissueMask:
    """A mask that takes everything for tissue."""
    return TissueMask(np.ones((-(-height_px // block_px), -(-width_px // block_px)), bool), block_px)


def find_tissue(stained: NDArray[np.bool_], *, without: NDArray[np.bool_], block_px: int) -> TissueMask:
    """Blocks of stained matter and the blocks around them, but none of those `without`, which something else covers.

    Parameters
    ----------
    stained : (h, w) ndarray of bool
        Blocks that are no empty glass.
    without : (h, w) ndarray of bool
        Blocks of pen, edges and dirt.
    """
    seed = (stained & ~without).astype(np.uint8)
    # one block more on every side: cells at the rim of tissue lie half in a pale block
    return TissueMask(cv2.dilate(seed, np.ones((3, 3), np.uint8)).astype(bool) & ~without, block_px)
