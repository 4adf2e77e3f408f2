"""Features of a matrix of gray levels and sizes, of runs, zones or dependence alike. Floor 3: arrays in, arrays out.

The Image Biomarker Standardisation Initiative draws the same features from three matrices r(i, j): how many runs, zones
or pixels of gray level i have length, size or dependence count j. All sums of whole numbers are kept as such, and the
others run over rising sizes and levels, so that a turned or mirrored cell gives the same bits.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

N_FEATURES = 17
"""What `describe_matrix` fills in; the last one, the energy, is the dependence matrix's alone."""
_TABLE_SIZE = 1 << 16
_EXACT = 4e18
"""Products below this fit in int64, twice."""


def log_table(largest: int) -> NDArray[np.float64]:
    """Table of c log2 c for counts c = 0..largest, cut at 65,536 entries; `plogp` goes on beyond its end."""
    counts = np.arange(min(largest + 1, _TABLE_SIZE), dtype=np.float64)
    counts[1:] *= np.log2(counts[1:])
    return counts


@njit(nogil=True, cache=True, inline="always")
def plogp(table: NDArray[np.float64], count: int) -> float:
    """The product c log2 c, from `log_table` where that holds it."""
    return float(table[count]) if count < len(table) else float(count * np.log2(float(count)))


@njit(nogil=True, cache=True)
def population_variance(n: int, total: int, squares: int) -> float:
    """Variance of n whole numbers from their sum and the sum of their squares; exact up to one rounding."""
    if float(n) * float(squares) < _EXACT:
        return (n * squares - total * total) / (float(n) * float(n))
    mean = total / n
    return max(squares / n - mean * mean, 0.0)


@njit(nogil=True, cache=True)
def describe_matrix(
    counts: NDArray[np.int32],
    sizes: NDArray[np.int64],
    n_pixels: int,
    table: NDArray[np.float64],
    of_levels: NDArray[np.int64],
    out: NDArray[np.float64],
) -> None:
    """The 17 features of a matrix, into `out` (17,); clears the matrix.

    Parameters
    ----------
    counts : (sizes, levels + 1) ndarray of int32
        r(i, j): a row per size, a column per level, that of level 0 unused. At least one entry is not 0.
    sizes : (sizes,) ndarray of int64
        The size of each row, rising, 1 at least.
    n_pixels : int
        Pixels that were looked at.
    table : ndarray of float64
        From `log_table`.
    of_levels : (levels + 1,) ndarray of int64
        A buffer of zeros, left as zeros.
    """
    n_levels = counts.shape[1]
    n, sum_size, sum_size2, size_squares, entries, logs = 0, 0, 0, 0, 0, 0.0
    small, small_low, small_high, large_low, large_high = 0.0, 0.0, 0.0, 0.0, 0
    for k in range(len(sizes)):
        row, size = counts[k], int(sizes[k])
        size2 = size * size
        of_row, high, low = 0, 0, 0.0
        for i in range(1, n_levels):
            r = int(row[i])
            of_row += r
            high += i * i * r
            low += r / (i * i)
            entries += r * r
            logs += plogp(table, r)
            of_levels[i] += r
            row[i] = 0
        n += of_row
        sum_size += of_row * size
        sum_size2 += of_row * size2
        size_squares += of_row * of_row
        small += of_row / size2
        small_low += low / size2
        small_high += high / size2
        large_low += low * size2
        large_high += high * size2
    sum_level, sum_level2, level_squares, low = 0, 0, 0, 0.0
    for i in range(1, n_levels):
        r = int(of_levels[i])
        sum_level += i * r
        sum_level2 += i * i * r
        level_squares += r * r
        low += r / (i * i)
        of_levels[i] = 0
    out[0], out[1], out[2], out[3] = small / n, sum_size2 / n, low / n, sum_level2 / n
    out[4], out[5], out[6], out[7] = small_low / n, small_high / n, large_low / n, large_high / n
    out[8], out[9] = level_squares / n, level_squares / n / n
    out[10], out[11] = size_squares / n, size_squares / n / n
    out[12] = n / n_pixels
    out[13] = population_variance(n, sum_level, sum_level2)
    out[14] = population_variance(n, sum_size, sum_size2)
    out[15] = (plogp(table, n) - logs) / n
    out[16] = entries / n / n
