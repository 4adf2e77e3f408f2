"""How deep each pixel of a cell lies inside of it. Floor 3: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.patches import Patches


def square_depths(patches: Patches) -> NDArray[np.int32]:
    """Squared distance (m,) from each pixel of a cell to the nearest pixel outside of it, px^2; 0 outside.

    Centre to centre, exact; beyond the image's border is outside.
    """
    return np.asarray(_square_depths(patches.mask, patches.starts, patches.heights, patches.widths))


@njit(nogil=True, cache=True)
def _square_depths(
    mask: NDArray[np.uint8], starts: NDArray[np.int64], heights: NDArray[np.int64], widths: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Down and up the columns, then along each row outwards until no column can be nearer."""
    out = np.zeros(len(mask), np.int32)
    widest = 1
    for cell in range(len(heights)):
        widest = max(widest, widths[cell])
    row = np.zeros(widest, np.int32)
    for cell in range(len(heights)):
        height, width, start = heights[cell], widths[cell], starts[cell]
        for y in range(1, height - 1):
            at = start + y * width
            for x in range(1, width - 1):
                if mask[at + x]:
                    out[at + x] = out[at - width + x] + 1
        for y in range(height - 2, 0, -1):
            at = start + y * width
            for x in range(1, width - 1):
                out[at + x] = min(out[at + x], out[at + width + x] + 1)
        for y in range(1, height - 1):
            at = start + y * width
            row[:width] = out[at : at + width]
            for x in range(1, width - 1):
                best = row[x] * row[x]
                if best <= 1:
                    out[at + x] = best
                    continue
                step = 1
                while step * step < best:  # the patch's rim is outside: it ends this before the row does
                    near = min(row[x - step], row[x + step])
                    best = min(best, step * step + near * near)
                    step += 1
                out[at + x] = best
    return out
