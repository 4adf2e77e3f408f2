"""From foreground to a landscape whose basins are cells. Floor 3: arrays in, arrays out.

Every step looks no further than a stated distance, so that a tile with that much context gives the pixels of the
whole image.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.config import ThresholdSettings
from cellseg.segment.basins import Joining, squared_distance
from cellseg.segment.seam import Clusters
from cellseg.segment.threshold import Threshold, block_reach_px, smoothing_reach_px

DEPTH_STEPS = 64
"""Steps of the landscape per pixel of depth."""
_MAX_CAP_PX = 1000


def depth_cap_px(settings: ThresholdSettings, mpp: float) -> int:
    """How deep inside a cell depth is counted, px."""
    return int(np.clip(np.ceil(settings.max_radius_um / mpp), 1, _MAX_CAP_PX))


def context_px(settings: ThresholdSettings, mpp: float) -> int:
    """How far beyond its core a tile must read so that every pixel of the core comes out as in the whole image, px."""
    return (
        smoothing_reach_px(settings.smooth_um / mpp)
        + block_reach_px(settings, mpp)
        + 2 * round(settings.open_um / mpp)
        + max_hole_px(settings, mpp)
        + depth_cap_px(settings, mpp)
        + 2
    )


def max_hole_px(settings: ThresholdSettings, mpp: float) -> int:
    """Longest side of a hole that is filled, px."""
    return round(settings.max_hole_um / mpp)


def open_mask(mask: NDArray[np.uint8], radius_px: int) -> NDArray[np.uint8]:
    """Opening by a disc: bridges thinner than it and specks smaller than it go; the array's rim does not erode."""
    if radius_px < 1:
        return mask
    reach = np.arange(-radius_px, radius_px + 1)
    # + r: the digital disc without single-pixel tips
    disc = (reach[:, None] ** 2 + reach**2 <= radius_px * (radius_px + 1)).astype(np.uint8)
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc), np.uint8)


def fill_holes(mask: NDArray[np.uint8], max_side_px: int, *, min_roundness: float) -> NDArray[np.uint8]:
    """Fill holes: 4-connected background off the array's rim, its box at most `max_side_px` wide and high, and round.

    Roundness is the area over that of the ellipse in the box: a pale middle has about 1, the gap between touching cells
    with its hollow sides about 0.3.
    """
    if max_side_px < 1:
        return mask
    height, width = mask.shape
    n, pieces, boxes, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=4, ltype=cv2.CV_32S)
    x, y = boxes[:, cv2.CC_STAT_LEFT], boxes[:, cv2.CC_STAT_TOP]
    w, h = boxes[:, cv2.CC_STAT_WIDTH], boxes[:, cv2.CC_STAT_HEIGHT]
    hole = (w <= max_side_px) & (h <= max_side_px) & (x > 0) & (y > 0) & (x + w < width) & (y + h < height)
    hole &= boxes[:, cv2.CC_STAT_AREA] >= min_roundness * np.pi / 4 * w * h
    hole[0] = False
    return mask | hole[pieces].view(np.uint8) if n > 1 and hole.any() else mask


def clean_foreground(mask: NDArray[np.uint8], settings: ThresholdSettings, *, mpp: float) -> NDArray[np.uint8]:
    """The foreground (h, w) of 0 and 1, opened and with its small holes filled."""
    return fill_holes(
        open_mask(mask, round(settings.open_um / mpp)),
        max_hole_px(settings, mpp),
        min_roundness=settings.min_hole_roundness,
    )


def landscape(
    mask: NDArray[np.uint8],
    signal: NDArray[np.uint16],
    threshold: Threshold,
    settings: ThresholdSettings,
    *,
    mpp: float,
) -> NDArray[np.uint16]:
    """Heights (h, w) uint16 whose summits are the middles of cells, 0 on background.

    `distance`: depth under the outline in steps of 1/64 px. `intensity`: signal over the threshold. `mixed`: the
    geometric mean of the two. `none`: flat, so that each connected piece is one cell.
    """
    if settings.split == "none":
        return mask.astype(np.uint16)
    over = np.maximum(signal.astype(np.int32) - int(threshold.count), 1)
    if settings.split == "intensity":
        return np.where(mask, over, 0).astype(np.uint16)
    cap = depth_cap_px(settings, mpp)
    depth = np.round(np.sqrt(np.arange(cap * cap + 1)) * DEPTH_STEPS).astype(np.uint16)
    heights: NDArray[np.uint16] = _look_up(squared_distance(mask.view(np.bool_), cap), depth)
    if settings.split == "distance":
        return heights
    return np.where(mask, np.maximum(np.sqrt(heights * over.astype(np.float64)), 1), 0).astype(np.uint16)


@njit(nogil=True, cache=True)
def _look_up(index: NDArray[np.int32], table: NDArray[np.uint16]) -> NDArray[np.uint16]:
    out = np.empty(index.shape, np.uint16)
    for y in range(index.shape[0]):
        for x in range(index.shape[1]):
            out[y, x] = table[index[y, x]]
    return out


def joining(settings: ThresholdSettings, *, mpp: float) -> Joining:
    """When basins of the landscape are one cell; the depth in um means something only where depth is the landscape."""
    depth = round(settings.split_depth_um / mpp * DEPTH_STEPS) if settings.split == "distance" else 1
    return Joining(max(depth, 1), round(settings.split_depth_fraction * 1000))


def size_faults(
    clusters: Clusters, settings: ThresholdSettings, *, mpp: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which cells are too small and which too large to be cells, by their area in um2."""
    area_um2 = clusters.count * mpp**2
    return area_um2 < settings.min_area_um2, area_um2 > settings.max_area_um2
