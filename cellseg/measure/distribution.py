"""How a plane's values are distributed in each cell, by level and by place. Floor 3: arrays in, arrays out.

Levels: the values of a cell are put in order once, and quantiles, deviations and moments read off the ordered row.
Places: moments of the plane about the cell's box, whole numbers up to the second order, so that a flat cell has no
displacement at all.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.edge_intensity import measure_edge_intensity
from cellseg.measure.moments import scaled_covariance
from cellseg.measure.patches import Patches

N_BINS = 64
"""Bins of the histogram behind entropy and energy, spread over each cell's own range."""
_PERCENTS = np.array([1, 10, 25, 50, 75, 90, 99])
_EXACT_PIXELS = 46_000
"""Up to this many 16-bit pixels the products of the variance fit in int64."""
_INT64 = 9e18
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
    out |= _describe_places(patches, values, scale, mpp)
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


def _describe_places(
    patches: Patches, values: NDArray[np.uint16], scale: float, mpp: float
) -> dict[str, NDArray[np.float64]]:
    whole, third, peak = _sum_places(patches.mask, values, patches.starts, patches.heights, patches.widths)
    n = patches.n_pixels
    sum_y, sum_x, m00, m01, m10, m02, m11, m20 = whole.T
    lit = m00 > 0
    mass = np.where(lit, m00, 1)
    reach = np.maximum(patches.heights, patches.widths)
    large = n.astype(np.float64) ** 2 * 65535 * reach > _INT64
    # half of a pixel is one step of the coordinates
    unit = np.where(lit, mpp / 2, np.nan)
    y = scaled_covariance(n, sum_y, m00, m10, large=large) / (n * mass.astype(np.float64)) * unit
    x = scaled_covariance(n, sum_x, m00, m01, large=large) / (n * mass.astype(np.float64)) * unit
    peak_n, peak_y, peak_x = peak.T
    shift_y, shift_x = (n * peak_y - peak_n * sum_y) / (n * peak_n), (n * peak_x - peak_n * sum_x) / (n * peak_n)
    out = {
        "mass_displacement_um": np.hypot(y, x),
        "weighted_centroid_y_um": y,
        "weighted_centroid_x_um": x,
        "max_distance_um": np.hypot(shift_y, shift_x) * (mpp / 2),
    }
    central = _central(np.stack([m01, m10, m02, m11, m20]) / mass, third.T / mass)
    return out | _hu(central, np.where(lit, mass * scale, np.nan))


def _central(raw: NDArray[np.float64], third: NDArray[np.float64]) -> NDArray[np.float64]:
    """Central moments 02, 11, 20, 03, 12, 21, 30 (y before x), px, of raw ones that are divided by the mass."""
    x, y, xx, xy, yy = raw
    xxx, yxx, yyx, yyy = third
    return np.stack(
        [
            (xx - x * x) / 4,
            (xy - x * y) / 4,
            (yy - y * y) / 4,
            (xxx - 3 * x * xx + 2 * x**3) / 8,
            (yxx - 2 * x * xy - y * xx + 2 * x * x * y) / 8,
            (yyx - 2 * y * xy - x * yy + 2 * y * y * x) / 8,
            (yyy - 3 * y * yy + 2 * y**3) / 8,
        ]
    )


def _hu(central: NDArray[np.float64], mass: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Hu's seven invariants; an order p + q is normalised by mass^(1 + (p + q) / 2)."""
    n02, n11, n20 = central[:3] / mass
    n03, n12, n21, n30 = central[3:] / mass**1.5
    a, b, c, d = n30 + n12, n21 + n03, n30 - 3 * n12, 3 * n21 - n03
    difference = n20 - n02
    invariants = (
        n20 + n02,
        difference**2 + 4 * n11**2,
        c**2 + d**2,
        a**2 + b**2,
        c * a * (a**2 - 3 * b**2) + d * b * (3 * a**2 - b**2),
        difference * (a**2 - b**2) + 4 * n11 * a * b,
        d * a * (a**2 - 3 * b**2) - c * b * (3 * a**2 - b**2),
    )
    return {f"weighted_hu_{k}": invariant for k, invariant in enumerate(invariants, 1)}


@njit(nogil=True, cache=True)
def _sum_places(
    mask: NDArray[np.uint8],
    values: NDArray[np.uint16],
    starts: NDArray[np.int64],
    heights: NDArray[np.int64],
    widths: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Moments of each patch's plane about its middle, in half pixels; number and sums of places of the greatest value.

    The first: sums of y and x over the cell; moments 00, 01, 10, 02, 11, 20 of the plane, y before x. The second: 03,
    12, 21, 30, whole numbers too as long as they are below 2^53.
    """
    whole, third = np.zeros((len(widths), 8), np.int64), np.zeros((len(widths), 4), np.float64)
    peak = np.zeros((len(widths), 3), np.int64)
    for cell in range(len(widths)):
        height, width = heights[cell], widths[cell]
        inside, plane = mask[starts[cell] : starts[cell + 1]], values[starts[cell] : starts[cell + 1]]
        sums, cubes, top, best = whole[cell], third[cell], peak[cell], np.int64(-1)
        at = 0
        for row in range(height):
            y = 2 * row - height + 1
            n, s, v0, v1, v2, v3 = np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0)
            highest = np.int64(-1)
            x = 1 - width
            for i in range(at, at + width):
                here = np.int64(inside[i])
                level = np.int64(plane[i]) * here
                first = level * x
                second = first * x
                n += here
                s += here * x
                v0 += level
                v1 += first
                v2 += second
                v3 += second * x
                highest = max(highest, level + here - 1)
                x += 2
            sums[0] += n * y
            sums[1] += s
            sums[2] += v0
            sums[3] += v1
            sums[4] += v0 * y
            sums[5] += v2
            sums[6] += v1 * y
            sums[7] += v0 * y * y
            part = np.float64(y)
            cubes[0] += np.float64(v3)
            cubes[1] += np.float64(v2) * part
            cubes[2] += np.float64(v1) * part * part
            cubes[3] += np.float64(v0) * part * part * part
            if highest >= best and n > 0:
                _add_peak(inside[at : at + width], plane[at : at + width], highest, y, top, highest > best)
                best = highest
            at += width
    return whole, third, peak


@njit(nogil=True, cache=True)
def _add_peak(
    inside: NDArray[np.uint8], plane: NDArray[np.uint16], level: int, y: int, top: NDArray[np.int64], anew: bool
) -> None:
    """Add the places in one row of a cell's greatest value so far; `anew`: those of lesser ones are let go."""
    n, total = np.int64(0), np.int64(0)
    for i in range(len(inside)):
        hit = np.int64(inside[i]) & np.int64(plane[i] == level)
        n += hit
        total += hit * (2 * i - len(inside) + 1)
    if anew:
        top[:] = 0
    top[0] += n
    top[1] += n * y
    top[2] += total


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
