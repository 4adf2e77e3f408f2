"""Local binary patterns of each cell. Floor 3: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.patches import Patches

N_PATTERNS = 10
_HALF = np.sqrt(0.5)


def _uniform() -> NDArray[np.int64]:
    """The pattern of each of 256 rings of neighbours: its ones if they stand together, else 9."""
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    changes = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    return np.where(changes <= 2, bits.sum(axis=1), N_PATTERNS - 1)


_PATTERN = _uniform()


def measure_lbp(patches: Patches, values: NDArray[np.uint16]) -> dict[str, NDArray[np.float64]]:
    """The columns of family `lbp` of one plane: shares of the rotation-invariant uniform patterns, P = 8, R = 1.

    Each of 8 points on the circle of radius 1 px is compared with its middle (Ojala, Pietikainen, Maenpaa 2002, IEEE
    TPAMI 24:971); those between pixels are interpolated in both directions. Only pixels count whose 8 neighbours are
    in the cell.

    Parameters
    ----------
    patches : Patches
        n cells.
    values : (m,) ndarray of uint16
        Counts of the plane.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        `lbp_0` to `lbp_8`: shares of patterns with so many points in one stretch that are not darker than the middle;
        `lbp_9`: of all others; `lbp_entropy_bits`: of these ten. NaN where no pixel has its 8 neighbours in the cell.
    """
    counts = _count(patches.mask, values, patches.starts, patches.heights, patches.widths, _PATTERN)
    n = counts.sum(axis=1)
    shares = np.where(n[:, None] > 0, counts / np.maximum(n, 1)[:, None], np.nan)
    some = np.where(shares > 0, shares, 1.0)
    entropy = np.where(n > 0, 0.0 - (some * np.log2(some)).sum(axis=1), np.nan)  # 0 less: no -0
    return {f"lbp_{k}": shares[:, k].copy() for k in range(N_PATTERNS)} | {"lbp_entropy_bits": entropy}


@njit(nogil=True, cache=True)
def _between(across: int, corner: int) -> int:
    """Whether the point half-way to a corner is no darker than the middle.

    It is, at a = sqrt(1/2) along both axes, if (1 - a) * (both sides - 2 middles) + a * (corner - middle) >= 0.
    """
    return 1 if (1.0 - _HALF) * across + _HALF * corner >= 0.0 else 0


@njit(nogil=True, cache=True)
def _count(
    mask: NDArray[np.uint8],
    values: NDArray[np.uint16],
    starts: NDArray[np.int64],
    heights: NDArray[np.int64],
    widths: NDArray[np.int64],
    pattern: NDArray[np.int64],
) -> NDArray[np.int64]:
    out = np.zeros((len(heights), N_PATTERNS), np.int64)
    for cell in range(len(heights)):
        width = widths[cell]
        for y in range(2, heights[cell] - 2):
            at = starts[cell] + y * width
            for x in range(2, width - 2):
                i = at + x
                up, down = i - width, i + width
                inner = mask[i] & mask[i - 1] & mask[i + 1] & mask[up] & mask[down]
                if not (inner & mask[up - 1] & mask[up + 1] & mask[down - 1] & mask[down + 1]):
                    continue
                c = np.int64(values[i])
                e, w = np.int64(values[i + 1]) - c, np.int64(values[i - 1]) - c
                n, s = np.int64(values[up]) - c, np.int64(values[down]) - c
                code = (e >= 0) | ((n >= 0) << 2) | ((w >= 0) << 4) | ((s >= 0) << 6)
                code |= _between(n + e, np.int64(values[up + 1]) - c) << 1
                code |= _between(n + w, np.int64(values[up - 1]) - c) << 3
                code |= _between(s + w, np.int64(values[down - 1]) - c) << 5
                code |= _between(s + e, np.int64(values[down + 1]) - c) << 7
                out[cell, pattern[code]] += 1
    return out
