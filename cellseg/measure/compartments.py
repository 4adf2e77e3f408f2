"""The cytoplasm around each nucleus: what lies near it and nearer to no other one. Floor 3: arrays in, arrays out.

Stains of nuclei do not show where a cell ends. Its cytoplasm is therefore taken to be the background pixels no farther
from the nucleus than a given reach, up to half the way to the neighbour (Voronoi 1908; as a limited dilation in
CellProfiler's secondary objects and QuPath's cell expansion).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.types import Labels

_FAR = 1 << 30


def ring_margin_px(reach_px: float) -> int:
    """Pixels around a cell's box that decide what is its cytoplasm: a neighbour twice the reach away may take some."""
    return 2 * int(np.ceil(reach_px)) + 1


def assign_cytoplasm(labels: Labels, reach_px: float) -> Labels:
    """The nucleus that each background pixel belongs to.

    A pixel belongs to the nucleus that has the pixel nearest to it, from centre to centre, if that is no farther than
    `reach_px`; to none where two nuclei are equally near. Distances are whole numbers squared, so that the answer is
    the same in every window that holds the margin of `ring_margin_px`, whichever way the image is turned.

    Parameters
    ----------
    labels : (H, W) ndarray of uint32
        Nuclei, 0 = background.
    reach_px : float
        Width of the cytoplasm, px, >= 0.

    Returns
    -------
    (H, W) ndarray of uint32
        Ids of nuclei in their cytoplasm; 0 in nuclei and where no nucleus is near.
    """
    labels = np.ascontiguousarray(labels)
    reach = int(reach_px)
    distance, owner = _nearest_in_column(labels, reach)
    return np.asarray(_nearest_in_row(labels, distance, owner, reach, int(np.floor(reach_px * reach_px))))


@njit(nogil=True, cache=True)
def _nearest_in_column(labels: Labels, reach: int) -> tuple[NDArray[np.int32], Labels]:
    """Rows to the nearest labelled pixel above or below within reach, and its label; 0 for two different ones."""
    height, width = labels.shape
    distance = np.full((height, width), _FAR, np.int32)
    owner = np.zeros((height, width), np.uint32)
    for y in range(height):
        for x in range(width):
            if labels[y, x]:
                distance[y, x], owner[y, x] = 0, labels[y, x]
            elif y and distance[y - 1, x] < reach:
                distance[y, x], owner[y, x] = distance[y - 1, x] + 1, owner[y - 1, x]
    for y in range(height - 2, -1, -1):
        for x in range(width):
            below = distance[y + 1, x] + 1
            if below > reach:
                continue
            if below < distance[y, x]:
                distance[y, x], owner[y, x] = below, owner[y + 1, x]
            elif below == distance[y, x] and owner[y + 1, x] != owner[y, x]:
                owner[y, x] = 0
    return distance, owner


@njit(nogil=True, cache=True)
def _nearest_in_row(labels: Labels, distance: NDArray[np.int32], owner: Labels, reach: int, limit: int) -> Labels:
    """The owner over the columns within reach, from the nearest column outwards, until none can be nearer."""
    height, width = labels.shape
    out = np.zeros((height, width), np.uint32)
    for y in range(height):
        known, line = distance[y], owner[y]
        near = -reach - 1  # the last column with an owner, to leap over empty stretches
        ahead = 0
        for x in range(width):
            if known[x] < _FAR:
                near = x
            if labels[y, x]:
                continue
            ahead = max(ahead, x)
            while ahead < width and ahead <= x + reach and known[ahead] == _FAR:
                ahead += 1
            if x - near > reach and (ahead >= width or ahead > x + reach):
                continue
            best, mine = limit + 1, np.uint32(0)
            for step in range(reach + 1):
                if step * step > best:
                    break
                for side in range(2):
                    at = x + step if side else x - step
                    if at < 0 or at >= width or known[at] == _FAR:
                        continue
                    square = step * step + known[at] * known[at]
                    if square < best:
                        best, mine = square, line[at]
                    elif square == best and line[at] != mine:
                        mine = np.uint32(0)
            if best <= limit:
                out[y, x] = mine
    return out
