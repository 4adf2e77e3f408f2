"""Runs of equal gray level in a cell, along four directions. Floor 3: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.columns.ibsi import RUN_LENGTH
from cellseg.measure.grey_levels import Levels
from cellseg.measure.ibsi import N_FEATURES, describe_matrix, log_table
from cellseg.measure.patches import Patches


def measure_run_length(patches: Patches, quantized: Levels, *, levels: int) -> dict[str, NDArray[np.float64]]:
    """Features of the gray level run length matrix, the four directions' runs in one matrix ("2D, merged").

    A run is as many pixels of one level as lie one after the other in the cell along 0, 45, 90 or 135 degrees; a
    pixel is in four runs. The run percentage is of four times the pixels, as the manual asks for merged matrices.

    Parameters
    ----------
    patches : Patches
        The cells, m pixels in all with their margins.
    quantized : (m,) ndarray of uint8 or uint16
        From `quantize`: 1..levels in the cells, 0 outside of them.
    levels : int
        The greatest level there can be.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        A column for each of `cellseg.columns.ibsi.RUN_LENGTH`; never NaN; empty where there are no patches.

    References
    ----------
    Galloway 1975, Comput Graph Image Process 4:172. Zwanenburg et al. 2020, Radiology 295:328.
    """
    n = len(patches)
    out = np.empty((n, N_FEATURES), np.float64)
    if n:
        longest = int(max(patches.heights.max(), patches.widths.max()))
        table = log_table(4 * int(patches.n_pixels.max()))
        _run_length(
            quantized, patches.starts, patches.heights, patches.widths, patches.n_pixels, levels, longest, table, out
        )
    return {column.name: out[:, k].copy() for k, column in enumerate(RUN_LENGTH)}


@njit(nogil=True, cache=True)
def _run_length(
    quantized: Levels,
    starts: NDArray[np.int64],
    heights: NDArray[np.int64],
    widths: NDArray[np.int64],
    n_pixels: NDArray[np.int64],
    levels: int,
    longest: int,
    table: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    counts, sizes = np.zeros((longest + 1, levels + 1), np.int32), np.arange(1, longest + 2)
    lengths = np.zeros((3, 2, longest + 2), np.int32)
    of_levels = np.zeros(levels + 1, np.int64)
    for cell in range(len(heights)):
        cut = quantized[starts[cell] : starts[cell + 1]]
        most = _count_runs(cut, heights[cell], widths[cell], lengths, counts)
        describe_matrix(counts[:most], sizes[:most], 4 * n_pixels[cell], table, of_levels, out[cell])


@njit(nogil=True, cache=True)
def _count_runs(cut: Levels, height: int, width: int, lengths: NDArray[np.int32], counts: NDArray[np.int32]) -> int:
    """Count runs where they end, into counts[length - 1, level]; how long the longest is.

    `lengths` holds, for the three directions that come from the row above, the runs up to there and up to here.
    """
    most = 1
    for y in range(1, height - 1):
        at = y * width
        above, here = (y + 1) % 2, y % 2
        along = 0
        for x in range(1, width - 1):
            level = cut[at + x]
            if level == 0:
                along = 0
                continue
            along = along + 1 if cut[at + x - 1] == level else 1
            rising = lengths[0, above, x + 1] + 1 if cut[at + x + 1 - width] == level else 1
            down = lengths[1, above, x] + 1 if cut[at + x - width] == level else 1
            falling = lengths[2, above, x - 1] + 1 if cut[at + x - 1 - width] == level else 1
            lengths[0, here, x], lengths[1, here, x], lengths[2, here, x] = rising, down, falling
            counts[along - 1, level] += cut[at + x + 1] != level
            counts[rising - 1, level] += cut[at + x - 1 + width] != level
            counts[down - 1, level] += cut[at + x + width] != level
            counts[falling - 1, level] += cut[at + x + 1 + width] != level
            most = max(most, along, rising, down, falling)
    return most
