"""Zernike moments of each cell's mask, and of a plane over it, to order 9. Floor 3: arrays in, arrays out.

The polynomials V_nm = R_nm(r) exp(i m phi) (Zernike 1934, Physica 1:689; Teague 1980, J Opt Soc Am 70:920) live on the
unit disc, here the smallest circle around the cell's pixel centres, all of which count. They are polynomials in y and x
too: moments come from sums of powers of coordinates by one linear map, and no polynomial is evaluated at a pixel. The
map's coefficients reach some hundreds, so about three of sixteen digits are lost.
"""

from __future__ import annotations

from math import comb, factorial

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.enclosing import enclose_cells
from cellseg.measure.patches import Patches
from cellseg.measure.power_sums import middles, shift_powers, sum_powers, sum_weighted_powers

ORDER = 9
TERMS = tuple((n, m) for n in range(ORDER + 1) for m in range(n % 2, n + 1, 2))
"""(n, m) of the 30 moments, in the order of the columns."""
_LEAST = 1e-9
"""Of the mean value; a magnitude that is less has no phase."""


def measure_zernike(patches: Patches) -> dict[str, NDArray[np.float64]]:
    """The columns of family `zernike`: magnitudes of the mask's moments over the area of the circle.

    Parameters
    ----------
    patches : Patches
        n cells.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        `zernike_n_m`; NaN for a cell of one pixel, whose circle has no area.
    """
    circles = enclose_cells(patches, corners=False)
    radius = np.where(circles[:, 2] > 0, circles[:, 2], np.nan)
    moments = _moments(patches, sum_powers(patches, ORDER), circles)
    sizes = np.hypot(moments[:, 0], moments[:, 1]) / (np.pi * radius**2)
    return {f"zernike_{n}_{m}": sizes[at].copy() for at, (n, m) in enumerate(TERMS)}


def measure_radial_zernike(
    patches: Patches, values: NDArray[np.uint16], *, scale: float, offset: float = 0.0
) -> dict[str, NDArray[np.float64]]:
    """The columns of family `radial_zernike`: magnitudes and phases of a plane's moments, per pixel of the cell.

    Parameters
    ----------
    patches : Patches
        n cells.
    values : (m,) ndarray of uint16
        Counts of the plane in the patches.
    scale, offset : float
        A count stands for `count * scale + offset` in the plane's unit.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        `zernike_magnitude_n_m` in the plane's unit; NaN for a cell of one pixel. `zernike_phase_n_m_rad`, m > 0 (m = 0
        has no direction): of the sum of value times V_nm, y downwards, -pi to pi; NaN where the magnitude is 0 or less
        than 1e-9 of the mean of count * |scale| + |offset|, which rounding alone may be.
    """
    circles = enclose_cells(patches, corners=False)
    single = circles[:, 2] == 0
    sums = sum_weighted_powers(patches, values, ORDER) * scale
    # of what is summed up, not of the sum: counts and offset may cancel
    level = np.abs(sums[:, 0, 0]) / patches.n_pixels + abs(offset)
    if offset:
        sums += sum_powers(patches, ORDER) * offset
    moments = _moments(patches, sums, circles) / patches.n_pixels
    sizes = np.where(single, np.nan, np.hypot(moments[:, 0], moments[:, 1]))
    phases = np.arctan2(moments[:, 1], moments[:, 0])
    out = {f"zernike_magnitude_{n}_{m}": sizes[at].copy() for at, (n, m) in enumerate(TERMS)}
    for at, (n, m) in enumerate(TERMS):
        if m:
            sure = sizes[at] > _LEAST * level
            out[f"zernike_phase_{n}_{m}_rad"] = np.where(sure, phases[at], np.nan)
    return out


def _moments(patches: Patches, sums: NDArray[np.float64], circles: NDArray[np.float64]) -> NDArray[np.float64]:
    """(30, 2, n): real and imaginary parts of the sums of V_nm over the cells, in coordinates of their circles."""
    rows, columns = middles(patches)
    unit = np.where(circles[:, 2] > 0, circles[:, 2], 1.0)
    table = shift_powers(sums, circles[:, 0] - rows, circles[:, 1] - columns, unit)
    return np.asarray(_apply(table, *_MAP))


def _polynomial(n: int, m: int) -> dict[tuple[int, int], complex]:
    """The coefficients of y^p x^q in V_nm, by (p, q)."""
    out: dict[tuple[int, int], complex] = {}
    for s in range((n - m) // 2 + 1):
        radial = (-1) ** s * factorial(n - s)
        radial //= factorial(s) * factorial((n + m) // 2 - s) * factorial((n - m) // 2 - s)
        rest = (n - m) // 2 - s  # power of y^2 + x^2 beside (x + i y)^m
        for a in range(rest + 1):
            for b in range(m + 1):
                place = (2 * a + b, 2 * (rest - a) + m - b)
                out[place] = out.get(place, 0) + radial * comb(rest, a) * comb(m, b) * 1j**b
    return out


def _sparse_map() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The map from sums of powers to moments: where each of 60 rows begins, places (p * 10 + q), coefficients."""
    starts, places, coefficients = [0], [], []
    for n, m in TERMS:
        terms = _polynomial(n, m)
        for part in ("real", "imag"):
            kept = [(p * (ORDER + 1) + q, getattr(value, part)) for (p, q), value in sorted(terms.items())]
            kept = [(place, float(value)) for place, value in kept if value]
            places += [place for place, _ in kept]
            coefficients += [value for _, value in kept]
            starts.append(len(places))
    return np.array(starts), np.array(places), np.array(coefficients)


_MAP = _sparse_map()
_BLOCK = 64


@njit(nogil=True, cache=True)
def _apply(
    table: NDArray[np.float64], starts: NDArray[np.int64], places: NDArray[np.int64], coefficients: NDArray[np.float64]
) -> NDArray[np.float64]:
    n, n_rows, n_places = table.shape[0], len(starts) - 1, table.shape[1] * table.shape[2]
    out = np.zeros((n_rows // 2, 2, n), np.float64)
    flat = table.reshape(n, n_places)
    turned = np.empty((n_places, _BLOCK), np.float64)  # cells side by side: one step of the sums of all of them at once
    for first in range(0, n, _BLOCK):
        last = min(first + _BLOCK, n)
        for cell in range(first, last):
            for place in range(n_places):
                turned[place, cell - first] = flat[cell, place]
        for row in range(n_rows):
            sums = out[row // 2, row % 2, first:last]
            for k in range(starts[row], starts[row + 1]):
                powers, coefficient = turned[places[k]], coefficients[k]
                for i in range(len(sums)):
                    sums[i] += coefficient * powers[i]
    return out
