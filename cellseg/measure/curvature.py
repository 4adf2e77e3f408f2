"""Curvature along the outlines of cells: its statistics, turns to and fro, and bending energy. Floor 3."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.contour import Contours, smooth_contours

Floats = NDArray[np.float64]
NAMES = ("mean", "abs_mean", "sd", "min", "max")
_VARIANCE_OF_RADIUS = 0.5
"""px; the outline's smoothing variance per px of radius. With more, lobes fade; with less, stairs bend it."""
_BENT = 0.25
"""In curvatures of the circle of the same length: what bends less counts as straight, for stairs leave a rest."""
_NO_AREA_PX3 = 1e-12
"""px^3; three corners whose distances' product is less than this lie on top of each other."""


def measure_curvature(contours: Contours, *, mpp: float) -> dict[str, Floats]:
    """Curvature of each outline and what follows from it, for outlines of any form.

    Outlines are smoothed by a Gaussian along their length whose variance (px^2) is half the radius (px) of the disc
    of the same area: the pixels' stairs grow as the root of the radius. The curvature at a corner is that of the
    circle through it and both of its neighbours, positive where the outline is convex; means are weighted by length.
    Of discs it is right to 10 or 20 % (sd); notches narrower than the Gaussian (2.5 px at 12 px of radius) are blunted.

    Parameters
    ----------
    contours : Contours
        n traced outlines (not smoothed).
    mpp : float
        Microns per pixel.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        `curvature_{mean,abs_mean,sd,min,max}_per_um`, `n_curvature_sign_changes`, `concave_length_share` and
        `bending_energy`: the mean of the squared curvature (Young, Walker, Bowie 1974, Inf Control 25:357) over that of
        the circle of the same length, hence 1 for a circle and more for all else.
    """
    radii = np.sqrt(contours.areas_px2 / np.pi)
    smooth = smooth_contours(contours, _VARIANCE_OF_RADIUS * radii)
    table = _curvatures(smooth.points, smooth.starts)
    return {
        **{f"curvature_{name}_per_um": table[i] / mpp for i, name in enumerate(NAMES)},
        "n_curvature_sign_changes": table[5],
        "concave_length_share": table[6],
        "bending_energy": table[7],
    }


@njit(nogil=True, cache=True)
def _curvature(points: Floats, kappa: Floats, weight: Floats) -> float:
    """Curvature and share of the length of each corner of an outline; returns the length."""
    n = len(points)
    before_y, before_x = points[0, 0] - points[n - 1, 0], points[0, 1] - points[n - 1, 1]
    before = np.sqrt(before_y * before_y + before_x * before_x)
    length = 0.0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        y, x = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1]
        side = np.sqrt(y * y + x * x)
        chord = np.sqrt((y + before_y) ** 2 + (x + before_x) ** 2)
        product = before * side * chord
        # 4 areas of the triangle over the product of its sides
        kappa[i] = 2 * (before_x * y - before_y * x) / product if product > _NO_AREA_PX3 else 0.0
        weight[i] = (before + side) / 2
        length += weight[i]
        before_y, before_x, before = y, x, side
    return length


@njit(nogil=True, cache=True)
def _turns(kappa: Floats, least: float) -> int:
    """How often an outline passes from bending one way to bending the other, weaker bends left out."""
    last = 0
    for i in range(len(kappa) - 1, -1, -1):
        if abs(kappa[i]) > least:
            last = 1 if kappa[i] > 0 else -1
            break
    n = 0
    for value in kappa:
        if abs(value) > least:
            sign = 1 if value > 0 else -1
            n += sign != last
            last = sign
    return n


@njit(nogil=True, cache=True)
def _curvatures(points: Floats, starts: NDArray[np.int64]) -> Floats:
    n = len(starts) - 1
    table = np.zeros((8, n), np.float64)
    room = 1
    for cell in range(n):
        room = max(room, starts[cell + 1] - starts[cell])
    all_kappa, all_weight = np.empty(room), np.empty(room)
    for cell in range(n):
        size = starts[cell + 1] - starts[cell]
        kappa, weight = all_kappa[:size], all_weight[:size]
        length = _curvature(points[starts[cell] : starts[cell + 1]], kappa, weight)
        if length == 0:
            continue
        least = _BENT * 2 * np.pi / length
        total, absolute, square, concave = 0.0, 0.0, 0.0, 0.0
        lowest, highest = np.inf, -np.inf
        for i in range(size):
            total += weight[i] * kappa[i]
            absolute += weight[i] * abs(kappa[i])
            square += weight[i] * kappa[i] * kappa[i]
            concave += weight[i] * (kappa[i] < -least)
            lowest, highest = min(lowest, kappa[i]), max(highest, kappa[i])
        mean = total / length
        table[0, cell], table[1, cell] = mean, absolute / length
        table[2, cell] = np.sqrt(max(square / length - mean * mean, 0.0))
        table[3, cell], table[4, cell] = lowest, highest
        table[5, cell], table[6, cell] = _turns(kappa, least), concave / length
        table[7, cell] = square * length / (4 * np.pi * np.pi)
    return table
