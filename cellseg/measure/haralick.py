"""Haralick's 13 texture features of pairs of a cell's pixels. Floor 3: arrays in, arrays out.

The co-occurrence matrix is symmetric, so 11 of the 13 features follow from whole-number sums: those of the pairs' added
levels, of their differences, and of the levels themselves; only the moment and the entropy ask for the matrix, and of
it for nothing but how many of its entries hold which count. So only entries that pairs touch are read and cleared, and
a turned or mirrored cell gives the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.columns.haralick import DIRECTIONS, FEATURES
from cellseg.measure.grey_levels import Levels
from cellseg.measure.ibsi import log_table, plogp, population_variance
from cellseg.measure.patches import Patches

_MEAN, _RANGE = 0, 1
_LANES = 4
"""Where neighbouring counts go, to be added in the end; a power of 2."""
_STEPS = np.array([[0, 1], [1, 1], [1, 0], [1, -1]])
"""Rows up and columns to the right that lead to a pair's other pixel, by direction."""


def measure_haralick(
    patches: Patches,
    quantized: Levels,
    *,
    levels: int,
    distances: Sequence[int] = (1,),
    each_direction: bool = False,
) -> dict[str, NDArray[np.float64]]:
    """The 13 features of Haralick, Shanmugam and Dinstein, per distance: mean and range over four directions.

    Pairs are pixels of the cell that lie `distance` rows, columns or both apart along 0, 45, 90 and 135 degrees; each
    counts both ways. Levels are numbered from 1, logarithms are to base 2. The sum variance is about the sum average:
    the paper prints the sum entropy there, which is held for a slip of the pen. A direction without pairs is left out
    of mean and range; correlation and first information measure also leave out directions whose pairs are all of one
    level, where they are 0 / 0.

    Parameters
    ----------
    patches : Patches
        The cells, m pixels in all with their margins.
    quantized : (m,) ndarray of uint8 or uint16
        From `quantize`: 1..levels in the cells, 0 outside of them.
    levels : int
        The greatest level there can be.
    distances : sequence of int
        Distances of the pairs, px, 1 at least.
    each_direction : bool
        Give the features of each direction too.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        `haralick_{feature}_d{distance}_mean`, `_range` and, if asked for, `_0`, `_45`, `_90`, `_135`; NaN where no
        direction has the feature; empty where there are no patches.

    Raises
    ------
    ValueError
        A distance is below 1.

    References
    ----------
    Haralick, Shanmugam, Dinstein 1973, IEEE Trans Syst Man Cybern SMC-3:610.
    """
    if min(distances, default=1) < 1:
        raise ValueError(f"distances are {tuple(distances)}, must be 1 at least")
    suffixes = ("mean", "range", *map(str, DIRECTIONS)) if each_direction else ("mean", "range")
    columns: dict[str, NDArray[np.float64]] = {}
    table = log_table(2 * int(patches.n_pixels.max(initial=0)))
    for distance in distances:
        out = np.empty((len(FEATURES), len(suffixes), len(patches)))
        if len(patches):
            most = int(patches.n_pixels.max())
            _haralick(
                quantized, patches.starts, patches.heights, patches.widths, levels, most, _STEPS * distance, table, out
            )
        for feature, parts in zip(FEATURES, out, strict=True):
            for suffix, column in zip(suffixes, parts, strict=True):
                columns[f"haralick_{feature[0]}_d{distance}_{suffix}"] = column
    return columns


@njit(nogil=True, cache=True)
def _haralick(
    quantized: Levels,
    starts: NDArray[np.int64],
    heights: NDArray[np.int64],
    widths: NDArray[np.int64],
    levels: int,
    most: int,
    steps: NDArray[np.int64],
    table: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    bits = np.uint64(np.ceil(np.log2(levels + 1)))
    counts, keys = np.zeros(1 << (2 * bits), np.uint32), np.empty(most + 1, np.uint32)
    tally = np.zeros((most + 1, _LANES), np.int64)
    sums, gaps, ends = np.zeros(2 * levels + 1, np.int64), np.zeros(levels, np.int64), np.zeros(levels + 1, np.int64)
    values = np.empty((4, 13), np.float64)
    for cell in range(len(heights)):
        cut = quantized[starts[cell] : starts[cell + 1]]
        for k in range(4):
            n = _list_pairs(cut, heights[cell], widths[cell], steps[k, 0], steps[k, 1], bits, keys)
            if n == 0:
                values[k] = np.nan
                continue
            _count_pairs(keys[:n], bits, counts, sums, gaps, ends)
            squares, logs = _read_matrix(keys[:n], bits, levels, counts, tally, table)
            _describe_pairs(n, squares, logs, sums, gaps, ends, table, values[k])
        _over_directions(values, out[:, :, cell])


@njit(nogil=True, cache=True)
def _list_pairs(
    cut: Levels, height: int, width: int, up: int, right: int, bits: np.uint64, keys: NDArray[np.uint32]
) -> int:
    """The pairs' lower level (high bits) and higher level (low bits), in scan order; how many.

    What is no pair is written too, and written over by the next one: cheaper than to ask.
    """
    n = 0
    first, last = 1 + max(0, -right), width - 1 - max(0, right)
    for y in range(1 + up, height - 1):
        here, there = cut[y * width + first : y * width + last], (y - up) * width + right
        above = cut[there + first : there + last]
        for x in range(len(here)):
            one, other = np.uint32(here[x]), np.uint32(above[x])
            keys[n] = (min(one, other) << bits) | max(one, other)
            n += (one != 0) & (other != 0)
    return n


@njit(nogil=True, cache=True)
def _count_pairs(
    keys: NDArray[np.uint32],
    bits: np.uint64,
    counts: NDArray[np.uint32],
    sums: NDArray[np.int64],
    gaps: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> None:
    """Count each pair once, by its levels, by their sum, by their difference, and at each of them."""
    mask = (np.uint64(1) << bits) - np.uint64(1)
    for k in range(len(keys)):
        key = np.uint64(keys[k])
        low, high = key >> bits, key & mask
        counts[key] += 1
        sums[low + high] += 1
        gaps[high - low] += 1
        ends[low] += 1
        ends[high] += 1


@njit(nogil=True, cache=True)
def _read_matrix(
    keys: NDArray[np.uint32],
    bits: np.uint64,
    levels: int,
    counts: NDArray[np.uint32],
    tally: NDArray[np.int64],
    table: NDArray[np.float64],
) -> tuple[int, float]:
    """Sum of c^2, the diagonal's twice, and sum of c log2 c over the matrix of single pairs; clears it.

    `tally` holds how many entries are c, in lanes, as most entries are alike and would wait for each other.
    """
    squares, logs, most = 0, 0.0, 0
    for level in range(1, levels + 1):
        on_diagonal = int(counts[(level << bits) + level])
        squares += on_diagonal * on_diagonal
    for k in range(len(keys)):
        entry = np.uint64(counts[keys[k]])
        tally[entry, np.uint64(k & (_LANES - 1))] += 1
        most = max(most, int(entry))
        counts[keys[k]] = 0
    for count in range(1, most + 1):
        entries = int(tally[count, 0] + tally[count, 1] + tally[count, 2] + tally[count, 3])
        squares += entries * count * count
        logs += entries * plogp(table, count)
    tally[: most + 1] = 0
    return squares, logs


@njit(nogil=True, cache=True)
def _moments(counts: NDArray[np.int64], table: NDArray[np.float64]) -> tuple[int, int, float]:
    """Sums of k, k^2 and c log2 c of a histogram c(k); clears it."""
    total, squares, logs = 0, 0, 0.0
    for k in range(len(counts)):
        total += k * counts[k]
        squares += k * k * counts[k]
        logs += plogp(table, counts[k])
        counts[k] = 0
    return total, squares, logs


@njit(nogil=True, cache=True)
def _describe_pairs(
    n: int,
    squares: int,
    logs: float,
    sums: NDArray[np.int64],
    gaps: NDArray[np.int64],
    ends: NDArray[np.int64],
    table: NDArray[np.float64],
    out: NDArray[np.float64],
) -> None:
    """The 13 features of a direction; with x and y of one distribution, var(x + y) + E(x - y)^2 is 4 var(x)."""
    alike, homogeneity = gaps[0], 0.0
    for k in range(len(gaps)):
        homogeneity += gaps[k] / (1 + k * k)
    sum_total, sum_squares, sum_logs = _moments(sums, table)
    gap_total, gap_squares, gap_logs = _moments(gaps, table)
    end_logs = _moments(ends, table)[2]
    of_n = plogp(table, n)
    contrast, sum_variance = gap_squares / n, population_variance(n, sum_total, sum_squares)
    entropy = ((n - alike) + (of_n - logs)) / n
    of_one = (plogp(table, 2 * n) - end_logs) / (2 * n)
    shared = max(2 * of_one - entropy, 0.0)
    flat = contrast == 0 and sum_variance == 0
    out[0] = squares / (2.0 * n * n)
    out[1] = contrast
    out[2] = np.nan if flat else (sum_variance - contrast) / (sum_variance + contrast)
    out[3] = (sum_variance + contrast) / 4
    out[4] = homogeneity / n
    out[5] = sum_total / n
    out[6] = sum_variance
    out[7] = (of_n - sum_logs) / n
    out[8] = entropy
    out[9] = population_variance(n, gap_total, gap_squares)
    out[10] = (of_n - gap_logs) / n
    out[11] = np.nan if flat else 0.0 - shared / of_one
    out[12] = np.sqrt(0.0 - np.expm1(-2 * shared))


@njit(nogil=True, cache=True)
def _over_directions(values: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Mean and range; directions that a turn or a mirror swaps are added first, which keeps the mean's last bit."""
    for feature in range(values.shape[1]):
        low, high, n = np.inf, -np.inf, 0
        parts = (values[0, feature], values[1, feature], values[2, feature], values[3, feature])
        for value in parts:
            if not np.isnan(value):
                low, high, n = min(low, value), max(high, value), n + 1
        a, b, c, d = parts
        straight = (0.0 if np.isnan(a) else a) + (0.0 if np.isnan(c) else c)
        slanted = (0.0 if np.isnan(b) else b) + (0.0 if np.isnan(d) else d)
        out[feature, _MEAN] = (straight + slanted) / n if n else np.nan
        out[feature, _RANGE] = high - low if n else np.nan
        for k in range(out.shape[1] - 2):
            out[feature, k + 2] = parts[k]
