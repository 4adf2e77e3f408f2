"""Gray level and stain statistics of each cell, exact for every pixel type. Floor 3: arrays in, arrays out.

The pixels of all cells of a window are first gathered side by side, so that planes (gray, stains) are made of cells'
pixels alone, and then described cell by cell with one histogram.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.moments import scaled_covariance
from cellseg.types import Labels, Pixels

STATISTICS = ("mean", "sd", "min", "q05", "q25", "q50", "q75", "q95", "max")
"""In the order of the table's columns."""
_PERCENTS = np.array([5, 25, 50, 75, 95])
_BLOCK = 64
_EXACT_PIXELS = 46_000
"""Up to this many 16-bit pixels the products of the variance fit in int64."""


def gather_pixels(
    labels: Labels, pixels: Pixels, ids: Labels, boxes: NDArray[np.int64], n_pixels: NDArray[np.int64]
) -> tuple[Pixels, NDArray[np.int64]]:
    """The pixels of each cell, cell after cell, in raster order.

    Parameters
    ----------
    labels : (H, W) ndarray of uint32
        A window that holds the cells whole.
    pixels : (H, W, C) ndarray of uint8 or uint16
        The same window of the image.
    ids, boxes, n_pixels : (n,), (n, 4), (n,) ndarray
        The cells, their boxes in the window (y0, y1, x0, x1; px) and their pixel counts.

    Returns
    -------
    values : (pixels of all cells, C) ndarray of the image's type
    starts : (n + 1,) ndarray of int64
        Where each cell begins in `values`.
    """
    starts = np.concatenate([[0], np.cumsum(n_pixels)]).astype(np.int64)
    values = np.empty((int(starts[-1]), pixels.shape[2]), pixels.dtype)
    _gather(labels, np.ascontiguousarray(pixels), ids, np.ascontiguousarray(boxes), starts, values)
    return values, starts


def describe_plane(
    values: Pixels, starts: NDArray[np.int64], *, scale: float = 1.0, offset: float = 0.0
) -> dict[str, NDArray[np.float64]]:
    """Mean, standard deviation (population form), extremes and quantiles of each cell's values.

    Quantiles are numpy's `linear` ones: between the two nearest order statistics.

    Parameters
    ----------
    values : (m,) ndarray of uint8 or uint16
        Values of all cells, cell after cell.
    starts : (n + 1,) ndarray of int64
        Where each cell begins; each has one value at least.
    scale, offset : float
        A count stands for `count * scale + offset` in the plane's unit.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        Keys of `STATISTICS`; in the plane's unit.
    """
    sums, order = _describe(np.ascontiguousarray(values), starts, int(np.iinfo(values.dtype).max) + 1, _PERCENTS)
    n = np.diff(starts)
    total, squares = sums.T
    variance = scaled_covariance(n, total, total, squares, large=n > _EXACT_PIXELS)
    columns = (total / n, np.sqrt(variance) / n, *order.T)
    return {
        key: column * scale + (0.0 if key == "sd" else offset) for key, column in zip(STATISTICS, columns, strict=True)
    }


@njit(nogil=True, cache=True)
def _gather(
    labels: Labels, pixels: Pixels, ids: Labels, boxes: NDArray[np.int64], starts: NDArray[np.int64], values: Pixels
) -> None:
    """Channels lie side by side: a row without gaps is one stretch of memory."""
    height, width, n_channels = pixels.shape
    lines, flat = pixels.reshape(height, width * n_channels), values.reshape(values.size)
    for cell in range(len(ids)):
        at, value, x0, x1 = starts[cell] * n_channels, ids[cell], boxes[cell, 2], boxes[cell, 3]
        for y in range(boxes[cell, 0], boxes[cell, 1]):
            line, source = labels[y, x0:x1], lines[y, x0 * n_channels : x1 * n_channels]
            n, low, high = 0, 0, x1 - x0
            for x in range(x1 - x0):
                n += line[x] == value
            while low < high and line[low] != value:
                low += 1
            while low < high and line[high - 1] != value:
                high -= 1
            if n == high - low:
                flat[at : at + n * n_channels] = source[low * n_channels : high * n_channels]
                at += n * n_channels
                continue
            for x in range(low, high):
                if line[x] == value:
                    for c in range(n_channels):
                        flat[at + c] = source[x * n_channels + c]
                    at += n_channels


@njit(nogil=True, cache=True)
def _order_statistics(
    counts: NDArray[np.int32],
    blocks: NDArray[np.int32],
    low: int,
    n: int,
    percents: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """Quantiles from a histogram; `blocks` holds its sums by `_BLOCK` levels, to leap over."""
    level, below = low, 0
    for k in range(len(percents)):
        position = (n - 1) * percents[k]
        rank, part = position // 100, (position % 100) / 100
        while below + counts[level] <= rank:
            below += counts[level]
            level += 1
            while level % _BLOCK == 0 and below + blocks[level // _BLOCK] <= rank:
                below += blocks[level // _BLOCK]
                level += _BLOCK
        out[k] = level
        if part > 0 and below + counts[level] == rank + 1:
            after = level + 1
            while counts[after] == 0:
                after += 1
            out[k] += part * (after - level)


@njit(nogil=True, cache=True)
def _describe(
    values: Pixels, starts: NDArray[np.int64], n_levels: int, percents: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Sums and sums of squares; least, quantiles and greatest of each cell."""
    n_cells = len(starts) - 1
    sums, order = np.empty((n_cells, 2), np.int64), np.empty((n_cells, 2 + len(percents)), np.float64)
    counts, blocks = np.zeros(n_levels, np.int32), np.zeros(n_levels // _BLOCK, np.int32)
    for cell in range(n_cells):
        cut = values[starts[cell] : starts[cell + 1]]
        low, high, total, squares = np.int64(n_levels), np.int64(0), np.int64(0), np.int64(0)
        for i in range(len(cut)):
            level = np.int64(cut[i])
            low = level if level < low else low
            high = level if level > high else high
            total += level
            squares += level * level
        for i in range(len(cut)):
            counts[cut[i]] += 1
        for block in range(low // _BLOCK, high // _BLOCK + 1):
            blocks[block] = counts[block * _BLOCK : (block + 1) * _BLOCK].sum()
        _order_statistics(counts, blocks, low, len(cut), percents, order[cell, 1:-1])
        counts[low : high + 1] = 0
        sums[cell, 0], sums[cell, 1] = total, squares
        order[cell, 0], order[cell, -1] = low, high
    return sums, order
