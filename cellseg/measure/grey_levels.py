"""Gray levels of a cell for the texture families: its own range in bins of equal width. Floor 3: arrays in, arrays out.

Bins over all that a plane can hold would waste them: a nucleus uses a tenth of 256 or 65,536 levels, and a tenth of 32
bins is no texture. So each cell's own least and greatest value bound its bins, which is what the Image Biomarker
Standardisation Initiative calls a fixed bin number. The price: levels of two cells are not the same values; what they
are is told by the family intensity.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.patches import Patches

Levels = NDArray[np.uint8] | NDArray[np.uint16]
"""Gray levels (m,) of patches: 1 and more in a cell, 0 outside of it."""
MOST_LEVELS = 256
_SHIFT = np.uint64(40)


def quantize(patches: Patches, values: NDArray[np.uint16], *, n_levels_in: int, levels: int) -> Levels:
    """The gray level of each pixel of each cell: its value's bin among `levels` of equal width, least to greatest.

    A value v of a cell with the extremes a < b gets 1 + floor(levels (v - a) / (b - a)), and b itself gets `levels`;
    whole numbers are divided, so that no value falls on the wrong side of a bin's edge. A flat cell has one level: 1.

    Parameters
    ----------
    patches : Patches
        The cells, m pixels in all with their margins.
    values : (m,) ndarray of uint16
        The plane's values, counts.
    n_levels_in : int
        Values are 0..n_levels_in - 1; 65,536 at most.
    levels : int
        Bins, 2..256.

    Returns
    -------
    (m,) ndarray of uint8, of uint16 for 256 levels
        1..levels in the cells, 0 outside of them; empty where there are no patches.

    Raises
    ------
    ValueError
        `levels` or `n_levels_in` is out of range.

    References
    ----------
    Zwanenburg et al. 2020, Radiology 295:328 (fixed bin number discretisation).
    """
    if not 2 <= levels <= MOST_LEVELS:
        raise ValueError(f"levels is {levels}, must be within 2..{MOST_LEVELS}")
    if not 1 <= n_levels_in <= 65_536:
        raise ValueError(f"n_levels_in is {n_levels_in}, must be within 1..65536")
    out: NDArray[Any] = np.zeros(len(patches.mask), np.uint8 if levels < MOST_LEVELS else np.uint16)
    if len(patches):
        _quantize(patches.mask, patches.starts, np.ascontiguousarray(values), levels, out)
    return out


@njit(nogil=True, cache=True)
def _quantize(
    mask: NDArray[np.uint8], starts: NDArray[np.int64], values: NDArray[np.uint16], levels: int, out: Levels
) -> None:
    """Division by the range is a product and a shift: exact for numerators below 2^24 and ranges below 2^16."""
    for cell in range(len(starts) - 1):
        inside, cut, binned = (
            mask[starts[cell] : starts[cell + 1]],
            values[starts[cell] : starts[cell + 1]],
            out[starts[cell] : starts[cell + 1]],
        )
        low, high = np.uint16(65_535), np.uint16(0)
        for i in range(len(cut)):
            low = min(low, cut[i] if inside[i] else np.uint16(65_535))
            high = max(high, cut[i] if inside[i] else np.uint16(0))
        if low == high:
            binned[:] = inside
            continue
        spread = np.uint64(high - low)
        factor = ((np.uint64(1) << _SHIFT) + spread - np.uint64(1)) // spread
        top = np.uint64(levels - 1)
        for i in range(len(cut)):
            part = (np.uint64(levels) * np.uint64(cut[i] - low) * factor) >> _SHIFT
            binned[i] = (min(part, top) + np.uint64(1)) * np.uint64(inside[i])
