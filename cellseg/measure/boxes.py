"""Where each cell lies: boxes, pixel counts and coordinate sums, read tile by tile. Floor 3: arrays in, arrays out.

Ids may have gaps and any value that uint32 holds: tables are as long as there are cells, not as the largest id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.types import Labels, Window

Y0, Y1, X0, X1, N, SUM_Y, SUM_X = range(7)


@dataclass(frozen=True)
class Cells:
    """One row per label, by rising id.

    Attributes
    ----------
    ids : (n,) ndarray of uint32
        Pixel values in the label image.
    table : (n, 7) ndarray of int64
        Bounding box y0, y1, x0, x1 (half-open, px of the whole image), pixels, sum of y, sum of x.
    made : dict
        What several families make of the same cells (their graph), by name, so that it is made once.
    """

    ids: Labels
    table: NDArray[np.int64]
    made: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def boxes(self) -> NDArray[np.int64]:
        """(n, 4) int64: y0, y1, x0, x1 in px of the whole image."""
        return self.table[:, :4]

    @property
    def n_pixels(self) -> NDArray[np.int64]:
        """(n,) int64: pixels of each cell."""
        return self.table[:, N]

    @property
    def centroids_px(self) -> NDArray[np.float64]:
        """(n, 2) float64: y and x of the centroids, px, 0 at the centre of the image's first pixel."""
        return self.table[:, SUM_Y:] / self.table[:, N, None]

    def take(self, rows: NDArray[np.int64]) -> Cells:
        """The cells of these rows."""
        return Cells(self.ids[rows], self.table[rows])

    def window(self) -> Window:
        """The smallest window that holds all these cells whole; there must be one cell at least."""
        low, high = self.boxes.min(axis=0), self.boxes.max(axis=0)
        return Window(int(low[Y0]), int(high[Y1]), int(low[X0]), int(high[X1]))


def scan_cells(labels: Labels, y0: int = 0, x0: int = 0) -> Cells:
    """The cells, or the parts of cells, in one window of a label image.

    Parameters
    ----------
    labels : (H, W) ndarray of uint32
        The window.
    y0, x0 : int
        Where its first pixel lies in the whole image, px.

    Returns
    -------
    Cells
        In px of the whole image; empty where there is only background.
    """
    ids, table = _scan(np.ascontiguousarray(labels), y0, x0)
    order = np.argsort(ids, kind="stable")
    return Cells(ids[order], table[order])


def merge_cells(parts: Sequence[Cells]) -> Cells:
    """One row per id from the scans of windows that do not overlap."""
    ids = np.concatenate([np.empty(0, np.uint32), *(part.ids for part in parts)])
    table = np.concatenate([np.empty((0, 7), np.int64), *(part.table for part in parts)])
    if not len(ids):
        return Cells(ids, table)
    order = np.argsort(ids, kind="stable")
    ids, table = ids[order], table[order]
    first = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    merged = np.add.reduceat(table, first, axis=0)
    for column in (Y0, X0):
        merged[:, column] = np.minimum.reduceat(table[:, column], first)
    for column in (Y1, X1):
        merged[:, column] = np.maximum.reduceat(table[:, column], first)
    return Cells(ids[first], merged)


@njit(nogil=True, cache=True)
def _find(slots: NDArray[np.int64], ids: Labels, value: int) -> int:
    """The slot of an id, or the free slot where it belongs (open addressing, multiplicative hash)."""
    mask = np.uint64(len(slots) - 1)
    at = ((np.uint64(value) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & mask
    while slots[at] >= 0 and ids[slots[at]] != value:
        at = (at + np.uint64(1)) & mask
    return int(at)


@njit(nogil=True, cache=True)
def _grow(ids: Labels, table: NDArray[np.int64], count: int) -> tuple[Labels, NDArray[np.int64], NDArray[np.int64]]:
    """Tables of twice the length with the same rows, and slots to match."""
    size = 2 * len(ids)
    more_ids = np.empty(size, np.uint32)
    more_ids[:count] = ids[:count]
    more = np.empty((size, 7), np.int64)
    more[:count] = table[:count]
    slots = np.full(2 * size, -1, np.int64)
    for row in range(count):
        slots[_find(slots, more_ids, more_ids[row])] = row
    return more_ids, more, slots


@njit(nogil=True, cache=True)
def _add_run(table: NDArray[np.int64], row: int, y: int, x0: int, x1: int) -> None:
    """Count the pixels x0 to x1 of line y to a cell."""
    run = x1 - x0
    table[row, 1] = y + 1
    table[row, 2] = min(table[row, 2], x0)
    table[row, 3] = max(table[row, 3], x1)
    table[row, 4] += run
    table[row, 5] += run * y
    table[row, 6] += run * (x0 + x1 - 1) // 2


@njit(nogil=True, cache=True)
def _scan(labels: Labels, y0: int, x0: int) -> tuple[Labels, NDArray[np.int64]]:
    """Ids in order of appearance and their rows; each line is read by runs of equal label."""
    height, width = labels.shape
    ids, table = np.empty(512, np.uint32), np.empty((512, 7), np.int64)
    slots = np.full(1024, -1, np.int64)
    count = 0
    for y in range(height):
        line = labels[y]
        start, value = 0, line[0]
        for x in range(1, width + 1):
            after = line[x] if x < width else np.uint32(0)
            if x < width and after == value:
                continue
            if value != 0:
                at = _find(slots, ids, value)
                if slots[at] < 0:
                    if count == len(ids):
                        ids, table, slots = _grow(ids, table, count)
                        at = _find(slots, ids, value)
                    slots[at], ids[count] = count, value
                    table[count] = 0
                    table[count, 0], table[count, 2] = y0 + y, x0 + start
                    count += 1
                _add_run(table, slots[at], y0 + y, x0 + start, x0 + x)
            start, value = x, after
    return ids[:count].copy(), table[:count].copy()
