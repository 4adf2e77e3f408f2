"""How a plane's values are distributed in each cell. Floor 3: arrays in, arrays out.

The values of a cell are put in order once, and quantiles, deviations and moments read off the ordered row; what goes by
place stands in `plane_moments.py` and `edge_intensity.py`.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.edge_intensity import measure_edge_intensity
from cellseg.measure.moments import scaled_covariance
from cellseg.measure.patches import Patches
from cellseg.measure.plane_moments import describe_places

N_BINS = 64
"""Bins of the histogram behind entropy and energy, spread over each cell's own range."""
_PERCENTS = np.array([1, 10, 25, 50, 75, 90, 99])
_EXACT_PIXELS = 46_000
"""Up to this many 16-bit pixels the products of the variance fit in int64."""
_COUNTS = np.arange(1.0, 4097.0)
_LOGS = np.concatenate([[0.0, 0.0], _COUNTS[1:] * np.log2(_COUNTS[1:])])
"""c log2 c of the counts 0, 1, 2, ...; greater ones are worked out."""


def measure_distribution(
    patches: Patches, values: NDArray[np.uint16], *, scale: float, mpp: float, offset: float = 0.0
) -> dict[str, NDArray[np.float64]]:
    """Sum, spread, form, histogram, place and edge statistics of a plane over each cell.

    Quantiles are numpy's `linear` ones. Skewness and excess kurtosis are those of populations. The histogram has 64
    bins of equal width from the cell's least to its greatest value, so that entropy and energy stay the same when the
    plane is shifted or stretched. The robust mean absolute deviation is that of the pixels within the 10 % and 90 %
    quantiles (Zwanenburg et al. 2020, Radiology 295:328). Places are weighted with counts; the place of the greatest
    value is the mean of all pixels that have it. Weighted Hu moments are those of scikit-image (Hu 1962, IRE Trans Inf
    Theory 8:179): weights in the plane's unit, normalised by their sum.

    Parameters
    ----------
    patches : Patches
        n cells.
    values : (m,) ndarray of uint16
        Counts of the plane in the patches.
    scale, offset : float
        A count stands for `count * scale + offset` in the plane's unit.
    mpp : float
        Microns per pixel.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        In the order of `cellseg.columns.distribution.COLUMNS`. NaN: skewness and kurtosis of a flat cell, a coefficient
        whose denominator is not above 0, what is weighted with the plane where all counts are 0, the robust deviation
        of two unequal pixels.
    """
    values = np.ascontiguousarray(values)
    out = _describe_levels(patches, values, scale, offset)
    out |= describe_places(patches, values, scale=scale, mpp=mpp)
    return out | measure_edge_intensity(patches, values, scale=scale, offset=offset)


def _describe_levels(
    patches: Patches, values: NDArray[np.uint16], scale: float, offset: float
) -> dict[str, NDArray[np.float64]]:
    largest = int(patches.n_pixels.max(initial=1))
    sums, order, spread = _read_levels(
        patches.mask, values, patches.starts, patches.n_pixels, largest, _PERCENTS, _LOGS
    )
    n = patches.n_pixels
    total, squares = sums.T
    low, q01, q10, q25, q50, q75, q90, q99, high = order.T
    mad, robust, skewness, kurtosis, entropy, energy = spread.T
    sd = np.sqrt(scaled_covariance(n, total, total, squares, large=n > _EXACT_PIXELS)) / n
    integrated = total * scale + n * offset
    iqr = (q75 - q25) * scale
    return {
        "integrated": integrated,
        "mad": mad * scale,
        "iqr": iqr,
        "range": (high - low) * scale,
        "mean_median_difference": (total / n - q50) * scale,
        "skewness": skewness,
        "kurtosis": kurtosis,
        "entropy_bits": entropy,
        "energy": energy,
        "q01": q01 * scale + offset,
        "q10": q10 * scale + offset,
        "q90": q90 * scale + offset,
        "q99": q99 * scale + offset,
        "robust_mean_absolute_deviation": robust * scale,
        "coefficient_of_variation": _ratio(sd * scale, integrated / n),
        "quartile_coefficient_of_dispersion": _ratio(iqr, (q25 + q75) * scale + 2 * offset),
    }


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """NaN where the denominator is not above 0."""
    return np.asarray(np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0))


@njit(nogil=True, cache=True)
def _read_levels(
    mask: NDArray[np.uint8],
    values: NDArray[np.uint16],
    starts: NDArray[np.int64],
    n_pixels: NDArray[np.int64],
    largest: int,
    percents: NDArray[np.int64],
    logs: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Sum and sum of squares; least, quantiles, greatest; deviations, moments and histogram of each cell, in counts."""
    n_cells = len(n_pixels)
    sums, order = np.empty((n_cells, 2), np.int64), np.empty((n_cells, 2 + len(percents)), np.float64)
    spread = np.empty((n_cells, 6), np.float64)
    cut, spare = np.empty(largest + 1, np.uint16), np.empty(largest + 1, np.uint16)
    counts, bins = np.zeros(256, np.int64), np.zeros(N_BINS, np.int64)
    for cell in range(n_cells):
        inside, plane = mask[starts[cell] : starts[cell + 1]], values[starts[cell] : starts[cell + 1]]
        n = 0
        for i in range(len(inside)):
            cut[n] = plane[i]
            n += inside[i]
        low, high, total, squares = np.int64(65535), np.int64(0), np.int64(0), np.int64(0)
        for i in range(n):
            level = np.int64(cut[i])
            low = level if level < low else low
            high = level if level > high else high
            total += level
            squares += level * level
        sums[cell, 0], sums[cell, 1] = total, squares
        spread[cell, 4], spread[cell, 5] = _read_histogram(cut[:n], low, high, bins, logs)
        _sort(cut, spare, n, low, high, counts)
        _read_order(cut[:n], percents, order[cell])
        spread[cell, 0] = _median_deviation(cut[:n])
        spread[cell, 1] = _robust_deviation(cut[:n])
        spread[cell, 2], spread[cell, 3] = _standard_moments(cut[:n], total)
    return sums, order, spread


@njit(nogil=True, cache=True)
def _sort(
    cut: NDArray[np.uint16], spare: NDArray[np.uint16], n: int, low: int, high: int, counts: NDArray[np.int64]
) -> None:
    """Put the first n values in order: by counting, one byte at a time, the upper one where they differ in it."""
    for shift in (0, 8):
        if shift and high - low < 256:
            break
        counts[:] = 0
        for i in range(n):
            counts[((cut[i] - low) >> shift) & 255] += 1
        before = np.int64(0)
        for digit in range(256):
            here = counts[digit]
            counts[digit] = before
            before += here
        for i in range(n):
            digit = ((cut[i] - low) >> shift) & 255
            spare[counts[digit]] = cut[i]
            counts[digit] += 1
        cut[:n] = spare[:n]


@njit(nogil=True, cache=True)
def _read_order(ordered: NDArray[np.uint16], percents: NDArray[np.int64], out: NDArray[np.float64]) -> None:
    out[0], out[-1] = ordered[0], ordered[-1]
    for k in range(len(percents)):
        out[k + 1] = _quantile(ordered, percents[k])


@njit(nogil=True, cache=True)
def _quantile(ordered: NDArray[np.uint16], percent: int) -> float:
    position = (len(ordered) - 1) * percent
    rank, part = position // 100, (position % 100) / 100
    here = np.int64(ordered[rank])
    if part == 0:
        return float(here)
    return float(here + part * (np.int64(ordered[rank + 1]) - here))


@njit(nogil=True, cache=True)
def _nearest_deviations(ordered: NDArray[np.uint16], twice_middle: int, count: int) -> int:
    """The greatest of the `count` least deviations from the middle, times two.

    The values of these deviations stand side by side; a search for the first of them.
    """
    first, last = np.int64(0), np.int64(len(ordered) - count)
    while first < last:
        at = (first + last) // 2
        if twice_middle - 2 * np.int64(ordered[at]) > 2 * np.int64(ordered[at + count]) - twice_middle:
            first = at + 1
        else:
            last = at
    left, right = twice_middle - 2 * np.int64(ordered[first]), 2 * np.int64(ordered[first + count - 1]) - twice_middle
    return int(max(left, right))


@njit(nogil=True, cache=True)
def _median_deviation(ordered: NDArray[np.uint16]) -> float:
    """Median of the absolute deviations from the median; four times it is a whole number."""
    n = len(ordered)
    twice = np.int64(ordered[(n - 1) // 2]) + np.int64(ordered[n // 2])
    lower = _nearest_deviations(ordered, twice, (n + 1) // 2)
    upper = _nearest_deviations(ordered, twice, n // 2 + 1)
    return float((lower + upper) / 4)


@njit(nogil=True, cache=True)
def _robust_deviation(ordered: NDArray[np.uint16]) -> float:
    """Mean absolute deviation from their mean of the values within the 10 % and 90 % quantiles; NaN without any."""
    least, greatest = _quantile(ordered, 10), _quantile(ordered, 90)
    first, last = np.searchsorted(ordered, least), np.searchsorted(ordered, greatest, side="right")
    if first >= last:
        return np.nan
    count, base, total = np.int64(last - first), np.int64(ordered[first]), np.int64(0)
    for i in range(first, last):
        total += np.int64(ordered[i]) - base
    below, lower = np.int64(0), np.int64(0)
    for i in range(first, last):
        above_base = np.int64(ordered[i]) - base
        small = np.int64(above_base * count < total)
        below += small
        lower += small * above_base
    return float(2 * (total * (below / count) - lower) / count)


@njit(nogil=True, cache=True)
def _standard_moments(ordered: NDArray[np.uint16], total: int) -> tuple[float, float]:
    """Skewness and excess kurtosis; NaN where all values are equal."""
    n = len(ordered)
    if ordered[0] == ordered[-1]:
        return np.nan, np.nan
    mean, two, three, four = total / n, 0.0, 0.0, 0.0
    for i in range(n):
        d = ordered[i] - mean
        square = d * d
        two += square
        three += square * d
        four += square * square
    variance = two / n
    return three / n / variance**1.5, four / n / (variance * variance) - 3.0


@njit(nogil=True, cache=True)
def _read_histogram(
    cut: NDArray[np.uint16], low: int, high: int, bins: NDArray[np.int64], logs: NDArray[np.float64]
) -> tuple[float, float]:
    """Entropy, bits, and energy of the histogram of `len(bins)` bins of equal width from low to high."""
    n = len(cut)
    if low == high:
        return 0.0, 1.0
    bins[:] = 0
    # half a step keeps the quotient off whole numbers, so that its rounding changes no bin
    width = (high - low + 1) / len(bins)
    inverse = 1.0 / width
    half = 0.5 / len(bins)
    for i in range(n):
        bins[np.int64((np.int64(cut[i]) - low + half) * inverse)] += 1
    squares, weighted = 0.0, 0.0
    for b in range(len(bins)):
        count = bins[b]
        squares += np.float64(count) * count
        weighted += logs[count] if count < len(logs) else count * np.log2(np.float64(count))
    return np.log2(np.float64(n)) - weighted / n, squares / (np.float64(n) * n)
