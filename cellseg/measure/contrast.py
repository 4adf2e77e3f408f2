"""How each cell differs from its neighbours, and how much the cells around it vary. Floor 3: arrays in, arrays out.

Both need columns that are measured already, of all cells of the slide.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.point_bins import PointBins, bin_points

MIN_CELLS = 5
"""Cells with a value that a contrast or a variation needs at least."""
N_ORIENTATIONS = 12
"""Classes of 15 degrees that orientations are counted in; the axes and diagonals are in the middle of one."""
_MAD_TO_SD = 1.482602218505602
_FLAT = 1e-9

Features = Mapping[str, NDArray[np.float64]]
"""Name to the values (n,) of all cells of the slide."""


def measure_contrast(features: Features, neighbors: NDArray[np.int32]) -> dict[str, NDArray[np.float64]]:
    """The columns of family `contrast` for all cells of a slide.

    The contrast of a value is its robust z among the cells around it: (value - median) / (1.4826 MAD), where MAD is
    their median absolute deviation from the median (Rousseeuw & Croux 1993, JASA 88:1273). Around a cell are its
    neighbours and theirs, about 18 in all, without the cell itself: the MAD of the 6 direct neighbours of a cell is too
    often close to 0 by chance.

    Parameters
    ----------
    features : mapping of str to (n,) ndarray of float64
        Feature name to values; n >= 0.
    neighbors : (e, 2) ndarray of int32
        Rows of cells that are neighbours, each pair once (`delaunay_edges`).

    Returns
    -------
    dict of str to (n,) ndarray of float64
        `contrast_{feature}` of each feature; NaN where the cell's own value is, where fewer than five cells around it
        have one, and where these do not differ (MAD no more than 1e-9 of their median).
    """
    if not features:
        return {}
    values = np.stack([np.asarray(column, dtype=np.float64) for column in features.values()], axis=1)
    starts, others = _lists(np.ascontiguousarray(neighbors, dtype=np.int32), len(values))
    out = _contrast(values, starts, others)
    return {f"contrast_{name}": out[:, at].copy() for at, name in enumerate(features)}


def measure_pleomorphism(
    centroids_px: NDArray[np.float64],
    features: Features,
    *,
    height_px: int,
    width_px: int,
    mpp: float,
    radius_um: float,
) -> dict[str, NDArray[np.float64] | NDArray[np.int64]]:
    """The columns of family `pleomorphism` for all cells of a slide.

    Graders look at how much nuclei vary in size and shape (Elston & Ellis 1991, Histopathology 19:403); here the cells
    with centroids within a radius stand for a field of view, the cell in its middle among them.

    Parameters
    ----------
    centroids_px : (n, 2) ndarray of float64
        y and x, px; n >= 0.
    features : mapping of str to (n,) ndarray of float64
        Columns of the outlined object: `area_um2`, `circularity`, `eccentricity`, `orientation_rad`, and `od_mean`, the
        mean in the plane that shows nuclei. What is derived from one that is missing is NaN.
    height_px, width_px : int
        Size of the image.
    mpp : float
        Microns per pixel.
    radius_um : float
        Cells whose centroids lie no farther apart than this are looked at together.

    Returns
    -------
    dict of str to (n,) ndarray
        float64, NaN where fewer than five of the cells have the value, or where a ratio has no positive denominator;
        `pleomorphism_n_cells` is int64.
    """
    # a hair wider, and bins another: rounding must not put a cell at that very distance outside or two bins away
    radius_px = radius_um / mpp * (1 + _FLAT)
    found = bin_points(centroids_px, radius_px * (1 + _FLAT), height_px=height_px, width_px=width_px)
    missing = np.full(len(centroids_px), np.nan)

    def column(name: str) -> NDArray[np.float64]:
        return np.asarray(features.get(name, missing), dtype=np.float64)[found.order]

    elongation = 1 - np.sqrt(np.maximum(1 - np.square(column("eccentricity")), 0))
    values = [column("area_um2"), column("circularity"), column("eccentricity"), elongation, column("od_mean")]
    turns = np.mod(np.round(column("orientation_rad") * (N_ORIENTATIONS / np.pi), 9) + 0.5, N_ORIENTATIONS)
    classes = np.where(np.isnan(turns), -1, turns).astype(np.int8)
    counts, moments = _vary(found, radius_px, np.stack(values, axis=1), classes)
    means, deviations = moments[:, :5], moments[:, 5:10]
    positive = np.where(means > 0, means, np.nan)
    return {
        "pleomorphism_n_cells": counts,
        "pleomorphism_area_cv": deviations[:, 0] / positive[:, 0],
        "pleomorphism_area_max_ratio": moments[:, 10].copy(),
        "pleomorphism_circularity_sd": deviations[:, 1].copy(),
        "pleomorphism_eccentricity_sd": deviations[:, 2].copy(),
        "pleomorphism_elongation_sd": deviations[:, 3].copy(),
        "pleomorphism_od_cv": deviations[:, 4] / positive[:, 4],
        "pleomorphism_orientation_entropy_bits": moments[:, 11].copy(),
    }


@njit(nogil=True, cache=True)
def _lists(pairs: NDArray[np.int32], n: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Where the neighbours of each cell begin (n + 1,), and the neighbours (2 e,)."""
    starts = np.zeros(n + 2, np.int64)
    for e in range(len(pairs)):
        starts[pairs[e, 0] + 2] += 1
        starts[pairs[e, 1] + 2] += 1
    starts = np.cumsum(starts)
    others = np.empty(2 * len(pairs), np.int32)
    for e in range(len(pairs)):
        for side in range(2):
            cell = pairs[e, side]
            others[starts[cell + 1]] = pairs[e, 1 - side]
            starts[cell + 1] += 1
    return starts[: n + 1], others


@njit(nogil=True, cache=True)
def _middle(values: NDArray[np.float64], n: int) -> float:
    """The median of the first n values, which are reordered; n >= 1 (Hoare's selection)."""
    k, low, high = n // 2, 0, n - 1
    while low < high:
        pivot, i, j = values[(low + high) // 2], low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    if n % 2:
        return float(values[k])
    below = values[0]
    for i in range(1, k):
        below = max(below, values[i])
    return float((below + values[k]) / 2)


@njit(nogil=True, cache=True)
def _around(
    cell: int, starts: NDArray[np.int64], others: NDArray[np.int32], seen: NDArray[np.int32], near: NDArray[np.int32]
) -> int:
    """Put the neighbours of a cell and theirs into `near`, each once, without the cell; how many there are."""
    seen[cell] = cell
    count = 0
    for at in range(starts[cell], starts[cell + 1]):
        other = others[at]
        if seen[other] != cell:
            seen[other] = cell
            near[count] = other
            count += 1
        for further in range(starts[other], starts[other + 1]):
            second = others[further]
            if seen[second] != cell:
                seen[second] = cell
                near[count] = second
                count += 1
    return count


@njit(nogil=True, cache=True)
def _contrast(values: NDArray[np.float64], starts: NDArray[np.int64], others: NDArray[np.int32]) -> NDArray[np.float64]:
    n, n_features = values.shape
    seen, near = np.full(n, -1, np.int32), np.empty(n, np.int32)
    own, out = np.empty(n, np.float64), np.full((n, n_features), np.nan)
    for cell in range(n):
        n_near = _around(cell, starts, others, seen, near)
        for feature in range(n_features):
            count = 0
            for i in range(n_near):
                value = values[near[i], feature]
                own[count] = value
                count += value == value
            if count < MIN_CELLS:
                continue
            median = _middle(own, count)
            for i in range(count):
                own[i] = abs(own[i] - median)
            spread = _middle(own, count)
            if spread > _FLAT * abs(median):
                out[cell, feature] = (values[cell, feature] - median) / (_MAD_TO_SD * spread)
    return out


@njit(nogil=True, cache=True)
def _mean_sd(values: NDArray[np.float64], n: int) -> tuple[float, float]:
    """Mean and standard deviation (n - 1) of the first n values."""
    total, square = 0.0, 0.0
    for i in range(n):
        total += values[i]
    mean = total / n
    for i in range(n):
        square += (values[i] - mean) ** 2
    return mean, np.sqrt(square / (n - 1))


@njit(nogil=True, cache=True)
def _entropy(classes: NDArray[np.int8], near: NDArray[np.int64], n: int, tally: NDArray[np.int64]) -> float:
    """Entropy of the orientations of the first n cells of `near`, bits; NaN where too few have one."""
    tally[:] = 0
    count, out = 0, 0.0
    for i in range(n):
        if classes[near[i]] >= 0:
            tally[classes[near[i]]] += 1
            count += 1
    if count < MIN_CELLS:
        return float(np.nan)
    for share in np.sort(tally):  # sorted: the sum must not depend on how the image is turned
        if share:
            out -= share / count * np.log2(share / count)
    return max(out, 0.0)


@njit(nogil=True, cache=True)
def _within(found: PointBins, i: int, radius: float, near: NDArray[np.int64]) -> int:
    """Put the points within the radius around point i, itself included, into `near`; how many there are."""
    n_rows = (len(found.starts) - 1) // found.n_columns
    y, x, square = found.points[i, 0], found.points[i, 1], radius * radius
    by, bx = int(found.bins[i, 0]), int(found.bins[i, 1])
    count = 0
    for row in range(max(by - 1, 0), min(by + 1, n_rows - 1) + 1):
        line = row * found.n_columns
        left, right = line + max(bx - 1, 0), line + min(bx + 1, found.n_columns - 1)
        for j in range(found.starts[left], found.starts[right + 1]):
            near[count] = j
            count += (found.points[j, 0] - y) ** 2 + (found.points[j, 1] - x) ** 2 <= square
    return count


@njit(nogil=True, cache=True)
def _vary(
    found: PointBins, radius: float, values: NDArray[np.float64], classes: NDArray[np.int8]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cells around each, and (n, 12): 5 means, 5 standard deviations, largest over median area, entropy of classes."""
    n, n_features = values.shape
    counts, out = np.zeros(n, np.int64), np.full((n, 2 * n_features + 2), np.nan)
    near, own = np.empty(n + 1, np.int64), np.empty(n, np.float64)
    tally = np.zeros(N_ORIENTATIONS, np.int64)
    for i in range(n):
        at = found.order[i]
        count = _within(found, i, radius, near)
        counts[at] = count
        if count < MIN_CELLS:
            continue
        for feature in range(n_features):
            size = 0
            for k in range(count):
                value = values[near[k], feature]
                own[size] = value
                size += value == value
            if size < MIN_CELLS:
                continue
            out[at, feature], out[at, n_features + feature] = _mean_sd(own, size)
            if feature == 0:
                largest, middle = own[:size].max(), _middle(own, size)
                out[at, 2 * n_features] = largest / middle if middle > 0 else np.nan
        out[at, 2 * n_features + 1] = _entropy(classes, near, count, tally)
    return counts, out
