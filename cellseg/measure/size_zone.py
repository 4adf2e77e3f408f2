"""Zones of equal gray level in a cell: their levels and sizes. Floor 3: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.columns.ibsi import SIZE_ZONE
from cellseg.measure.grey_levels import Levels
from cellseg.measure.ibsi import N_FEATURES, describe_matrix, log_table
from cellseg.measure.patches import Patches


def measure_size_zone(patches: Patches, quantized: Levels, *, levels: int) -> dict[str, NDArray[np.float64]]:
    """Features of the gray level size zone matrix: 8-connected pixels of one level are a zone.

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
        A column for each of `cellseg.columns.ibsi.SIZE_ZONE`; never NaN; empty where there are no patches.

    References
    ----------
    Thibault, Angulo, Meyer 2014, IEEE Trans Biomed Eng 61:630. Zwanenburg et al. 2020, Radiology 295:328.
    """
    n = len(patches)
    out = np.empty((n, N_FEATURES), np.float64)
    if n:
        largest = int(patches.n_pixels.max())
        # Zones of k different sizes have k (k + 1) / 2 pixels at least.
        most_sizes = int((np.sqrt(8 * largest + 1) - 1) / 2) + 2
        table = log_table(largest)
        counts = np.zeros((most_sizes, levels + 1), np.int32)
        _size_zone(
            quantized, patches.starts, patches.heights, patches.widths, patches.n_pixels, largest, counts, table, out
        )
    return {column.name: out[:, k].copy() for k, column in enumerate(SIZE_ZONE)}


@njit(nogil=True, cache=True)
def _size_zone(
    quantized: Levels,
    starts: NDArray[np.int64],
    heights: NDArray[np.int64],
    widths: NDArray[np.int64],
    n_pixels: NDArray[np.int64],
    largest: int,
    counts: NDArray[np.int32],
    table: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    zones, parents = np.zeros((2, widths.max()), np.int32), np.empty(largest + 1, np.int32)
    zone_levels, zone_sizes = np.empty(largest + 1, np.int32), np.empty(largest + 1, np.int32)
    rows, sizes = np.full(largest + 1, -1, np.int32), np.empty(len(counts), np.int64)
    of_levels = np.zeros(counts.shape[1], np.int64)
    for cell in range(len(heights)):
        cut = quantized[starts[cell] : starts[cell + 1]]
        n = _join_zones(cut, heights[cell], widths[cell], zones, parents, zone_levels, zone_sizes)
        n_sizes = _different_sizes(zone_sizes[:n], rows, sizes)
        for zone in range(n):
            if zone_sizes[zone]:
                counts[rows[zone_sizes[zone]], zone_levels[zone]] += 1
        describe_matrix(counts[:n_sizes], sizes[:n_sizes], n_pixels[cell], table, of_levels, out[cell])
        for k in range(n_sizes):
            rows[sizes[k]] = -1


@njit(nogil=True, cache=True)
def _join_zones(
    cut: Levels,
    height: int,
    width: int,
    zones: NDArray[np.int32],
    parents: NDArray[np.int32],
    zone_levels: NDArray[np.int32],
    zone_sizes: NDArray[np.int32],
) -> int:
    """Level and size of each zone; zones that turned out to be part of another one have size 0.

    `zones` holds the zones of the pixels of the row above and of this one. A pixel's neighbours above, and left of
    it, that touch each other are of one zone already, which leaves two pairs to join: left or upper left, upper right.
    """
    n = 0
    for y in range(1, height - 1):
        at = y * width
        above, here = zones[(y + 1) % 2], zones[y % 2]
        for x in range(1, width - 1):
            level = cut[at + x]
            if level == 0:
                continue
            if cut[at + x - width] == level:
                zone = above[x]
            else:
                right = cut[at + x + 1 - width] == level
                if cut[at + x - 1] == level:
                    zone = here[x - 1]
                elif cut[at + x - 1 - width] == level:
                    zone = above[x - 1]
                elif right:
                    zone = above[x + 1]
                    right = False
                else:
                    zone = np.int32(n)
                    parents[n], zone_levels[n], zone_sizes[n] = n, level, 0
                    n += 1
                if right:
                    _join(parents, zone, above[x + 1])
            here[x] = zone
            zone_sizes[zone] += 1
    for zone in range(n - 1, -1, -1):
        if parents[zone] != zone:
            zone_sizes[parents[zone]] += zone_sizes[zone]
            zone_sizes[zone] = 0
    return n


@njit(nogil=True, cache=True)
def _join(parents: NDArray[np.int32], one: int, other: int) -> None:
    """Make two zones one; a parent's number is never above its child's."""
    while parents[one] != one:
        parents[one] = parents[parents[one]]
        one = parents[one]
    while parents[other] != other:
        parents[other] = parents[parents[other]]
        other = parents[other]
    if one < other:
        parents[other] = one
    else:
        parents[one] = other


@njit(nogil=True, cache=True)
def _different_sizes(zone_sizes: NDArray[np.int32], rows: NDArray[np.int32], sizes: NDArray[np.int64]) -> int:
    """The sizes that there are, rising, and the row of each of them; how many."""
    n = 0
    for zone in range(len(zone_sizes)):
        size = zone_sizes[zone]
        if size and rows[size] < 0:
            rows[size] = 0
            sizes[n] = size
            n += 1
    sizes[:n].sort()
    for k in range(n):
        rows[sizes[k]] = k
    return n
