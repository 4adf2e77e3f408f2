"""How many neighbours of a pixel are of its own gray level. Floor 3: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.columns.ibsi import DEPENDENCE
from cellseg.measure.grey_levels import Levels
from cellseg.measure.ibsi import N_FEATURES, describe_matrix, log_table
from cellseg.measure.patches import Patches


def measure_dependence(patches: Patches, quantized: Levels, *, levels: int) -> dict[str, NDArray[np.float64]]:
    """Features of the neighbouring gray level dependence matrix, Chebyshev distance 1 and coarseness 0.

    A pixel's dependence count is 1 and as many more as there are pixels of its level, in the cell, among its 8
    neighbours.

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
        A column for each of `cellseg.columns.ibsi.DEPENDENCE`; never NaN; empty where there are no patches.

    References
    ----------
    Sun, Wee 1983, Comput Vis Graph Image Process 23:341. Zwanenburg et al. 2020, Radiology 295:328.
    """
    n = len(patches)
    out = np.empty((n, N_FEATURES), np.float64)
    if n:
        table = log_table(int(patches.n_pixels.max()))
        _dependence(quantized, patches.starts, patches.heights, patches.widths, levels, table, out)
    return {column.name: out[:, k].copy() for k, column in enumerate(DEPENDENCE)}


@njit(nogil=True, cache=True)
def _dependence(
    quantized: Levels,
    starts: NDArray[np.int64],
    heights: NDArray[np.int64],
    widths: NDArray[np.int64],
    levels: int,
    table: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    counts, sizes, of_levels = np.zeros((9, levels + 1), np.int32), np.arange(1, 10), np.zeros(levels + 1, np.int64)
    alike = np.empty(widths.max(), np.uint8)
    for cell in range(len(heights)):
        cut, width = quantized[starts[cell] : starts[cell + 1]], widths[cell]
        n = 0
        for y in range(1, heights[cell] - 1):
            _count_alike(cut, y * width, width, alike)
            row = cut[y * width : (y + 1) * width]
            for x in range(1, width - 1):
                if row[x]:
                    counts[alike[x], row[x]] += 1
                    n += 1
        describe_matrix(counts, sizes, n, table, of_levels, out[cell])


@njit(nogil=True, cache=True)
def _count_alike(cut: Levels, at: int, width: int, alike: NDArray[np.uint8]) -> None:
    """How many of the 8 neighbours of each pixel of a row are of its level."""
    above, here, below = cut[at - width : at], cut[at : at + width], cut[at + width : at + 2 * width]
    for x in range(1, width - 1):
        level = here[x]
        alike[x] = (
            np.uint8(above[x - 1] == level) + np.uint8(above[x] == level) + np.uint8(above[x + 1] == level)
            + np.uint8(here[x - 1] == level) + np.uint8(here[x + 1] == level)
            + np.uint8(below[x - 1] == level) + np.uint8(below[x] == level) + np.uint8(below[x + 1] == level)
        )  # fmt: skip
