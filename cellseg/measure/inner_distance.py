"""How deep each pixel of a cell lies inside of it. Floor 3: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.patches import Patches


def square_depths(patches: Patches) -> NDArray[np.int32]:
    """Squared distance (m,) from each pixel of a cell to the nearest pixel outside of it, px^2; 0 outside.

    Centre to centre, exact; beyond the image's border is outside. Made once for the same patches, not to be written to.
    """
    if "square_depths" not in patches.made:
        patches.made["square_depths"] = _square_depths(patches.mask, patches.starts, patches.heights, patches.widths)
    return np.asarray(patches.made["square_depths"])


@njit(nogil=True, cache=True)
def _reach_sideways(squares: NDArray[np.int32], out: NDArray[np.int32], deepest: int) -> None:
    """The least of step^2 + the square in the column so many steps away, for a whole row at once.

    A column beyond the row's ends is no nearer than its margin, which is outside.
    """
    width = len(squares)
    step = 1
    while step < deepest and 2 * step < width:
        left, right, middle = squares[: width - 2 * step], squares[2 * step :], out[step : width - step]
        away = np.int32(step * step)
        for x in range(len(middle)):
            middle[x] = min(middle[x], away + min(left[x], right[x]))
        step += 1


@njit(nogil=True, cache=True)
def _square_depths(
    mask: NDArray[np.uint8], starts: NDArray[np.int64], heights: NDArray[np.int64], widths: NDArray[np.int64]
) -> NDArray[np.int32]:
    """Down and up the columns, then sideways along each row."""
    out = np.zeros(len(mask), np.int32)
    widest = 1
    for cell in range(len(heights)):
        widest = max(widest, widths[cell])
    room = np.zeros(widest, np.int32)
    for cell in range(len(heights)):
        height, width, start = heights[cell], widths[cell], starts[cell]
        for y in range(1, height - 1):
            at = start + y * width
            line, above, row = mask[at : at + width], out[at - width : at], out[at : at + width]
            for x in range(width):
                row[x] = (above[x] + 1) * line[x]
        squares = room[:width]
        for y in range(height - 2, 0, -1):
            at = start + y * width
            row, below = out[at : at + width], out[at + width : at + 2 * width]
            for x in range(width):
                row[x] = min(row[x], below[x] + 1)
        for y in range(1, height - 1):
            at = start + y * width
            row = out[at : at + width]
            deepest = 0
            for x in range(width):
                deepest = max(deepest, row[x])
                row[x] = squares[x] = row[x] * row[x]
            _reach_sideways(squares, row, deepest)
    return out
