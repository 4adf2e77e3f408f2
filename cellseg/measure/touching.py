"""How much of each cell's outline lies against other cells. Floor 3: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.types import Labels


def measure_touching(
    labels: Labels, ids: Labels, boxes: NDArray[np.int64]
) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
    """The columns of family `touching` of each cell.

    A pixel of the cell belongs to its outline if one of its 8 neighbours does not belong to the cell; it touches if one
    of them belongs to another cell. What lies beyond the window is background.

    Parameters
    ----------
    labels : (H, W) ndarray of uint32
        A window that holds the cells whole and 1 px around them (except where the image ends).
    ids : (n,) ndarray of uint32
        The cells; n >= 0.
    boxes : (n, 4) ndarray of int64
        y0, y1, x0, x1 of each cell in the window, px.

    Returns
    -------
    dict of str to (n,) ndarray
        `touching_share` (float64, 0 to 1; every cell has an outline) and `n_touching` (int64).
    """
    counts = _touch(np.ascontiguousarray(labels), ids, np.ascontiguousarray(boxes))
    return {"touching_share": counts[:, 1] / np.maximum(counts[:, 0], 1), "n_touching": counts[:, 2].copy()}


@njit(nogil=True, cache=True)
def _slot(keys: Labels, stamps: NDArray[np.int64], stamp: int, value: int) -> int:
    """The slot of a label in the set of this stamp, or the free one where it belongs."""
    mask = np.uint64(len(keys) - 1)
    at = ((np.uint64(value) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & mask
    while stamps[at] == stamp and keys[at] != value:
        at = (at + np.uint64(1)) & mask
    return int(at)


@njit(nogil=True, cache=True)
def _doubled(keys: Labels, stamps: NDArray[np.int64], stamp: int) -> tuple[Labels, NDArray[np.int64]]:
    """Twice the slots with the same labels of this stamp."""
    more, more_stamps = np.empty(2 * len(keys), np.uint32), np.full(2 * len(keys), -1, np.int64)
    for at in range(len(keys)):
        if stamps[at] == stamp:
            to = _slot(more, more_stamps, stamp, keys[at])
            more[to], more_stamps[to] = keys[at], stamp
    return more, more_stamps


@njit(nogil=True, cache=True)
def _read_row(labels: Labels, y: int, x0: int, row: Labels) -> None:
    """The pixels of row y from x0 on, 0 beyond the window."""
    height, width = labels.shape
    if y < 0 or y >= height:
        row[:] = 0
        return
    line = labels[y]
    for x in range(len(row)):
        at = x0 + x
        row[x] = line[at] if 0 <= at < width else 0


@njit(nogil=True, cache=True)
def _mark(
    above: Labels, row: Labels, below: Labels, value: int, whole: NDArray[np.uint8], other: NDArray[np.uint8]
) -> None:
    """Of each column of three pixels: all are of the cell (`whole`), one is another cell's (`other`)."""
    for x in range(len(row)):
        a, b, c = above[x], row[x], below[x]
        whole[x] = (a == value) & (b == value) & (c == value)
        other[x] = ((a != value) & (a != 0)) | ((b != value) & (b != 0)) | ((c != value) & (c != 0))


@njit(nogil=True, cache=True)
def _count_row(row: Labels, value: int, whole: NDArray[np.uint8], other: NDArray[np.uint8]) -> tuple[int, int]:
    """Pixels of the outline in a row, and those that touch."""
    outline, touching = 0, 0
    for x in range(1, len(row) - 1):
        mine = row[x] == value
        outline += mine & ((whole[x - 1] & whole[x] & whole[x + 1]) == 0)
        touching += mine & ((other[x - 1] | other[x] | other[x + 1]) != 0)
    return outline, touching


@njit(nogil=True, cache=True)
def _collect(
    rows: Labels,
    middle: int,
    value: int,
    other: NDArray[np.uint8],
    keys: Labels,
    stamps: NDArray[np.int64],
    stamp: int,
    count: int,
) -> int:
    """Put the labels that the middle one of three rows touches into the set of the cell; their new number."""
    last = np.uint32(0)
    for x in range(1, len(other) - 1):
        if rows[middle, x] != value or (other[x - 1] | other[x] | other[x + 1]) == 0:
            continue
        for y in range(3):
            for at in range(x - 1, x + 2):
                label = rows[y, at]
                if label and label != value and label != last:
                    last = label
                    slot = _slot(keys, stamps, stamp, label)
                    if stamps[slot] != stamp:
                        keys[slot], stamps[slot] = label, stamp
                        count += 1
    return count


@njit(nogil=True, cache=True)
def _touch(labels: Labels, ids: Labels, boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, 3): pixels of the outline, those that touch, different labels touched."""
    out = np.zeros((len(ids), 3), np.int64)
    widest = 1
    for cell in range(len(ids)):
        widest = max(widest, boxes[cell, 3] - boxes[cell, 2])
    rows = np.zeros((3, widest + 2), np.uint32)
    wholes, others = np.zeros(widest + 2, np.uint8), np.zeros(widest + 2, np.uint8)
    keys, stamps = np.zeros(64, np.uint32), np.full(64, -1, np.int64)
    for cell in range(len(ids)):
        value, y0, x0 = ids[cell], boxes[cell, 0], boxes[cell, 2] - 1
        width = boxes[cell, 3] - x0 + 1
        whole, other = wholes[:width], others[:width]
        for y in range(y0 - 1, y0 + 1):
            _read_row(labels, y, x0, rows[y % 3, :width])
        for y in range(y0, boxes[cell, 1]):
            above, row, below = rows[(y - 1) % 3, :width], rows[y % 3, :width], rows[(y + 1) % 3, :width]
            _read_row(labels, y + 1, x0, below)
            _mark(above, row, below, value, whole, other)
            outline, touching = _count_row(row, value, whole, other)
            out[cell, 0] += outline
            if touching == 0:
                continue
            out[cell, 1] += touching
            while 2 * (out[cell, 2] + 3 * width) > len(keys):  # a row may add as many
                keys, stamps = _doubled(keys, stamps, cell)
            out[cell, 2] = _collect(rows, y % 3, value, other, keys, stamps, cell, out[cell, 2])
    return out
