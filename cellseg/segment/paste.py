"""From masks in boxes to a label image. Floor 3: arrays in, arrays out.

One box is drawn at a time, the surest first: memory is that of the label image, not of an image an object.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.segment.nms import order_by_score
from cellseg.types import Labels

MIN_FREE_SHARE = 0.5
"""An object of which surer ones cover more than the rest of this share is one of them again, and not drawn."""

Float = NDArray[np.float32]
Order = NDArray[np.int64]


def paste_masks(
    masks: Float,
    boxes: NDArray[np.floating],
    scores: Float,
    shape: tuple[int, int],
    *,
    threshold: float = 0.5,
    min_area_px: float = 0.0,
) -> tuple[Labels, Order]:
    """Draw masks into a label image, the surest first; a pixel belongs to the first that takes it.

    A pixel is in a mask where the grid of its box, bilinear between the middles of the grid's cells, exceeds
    `threshold` at the pixel's middle. Each object keeps its largest 8-connected piece; what surer ones cover by more
    than half is not drawn.

    Parameters
    ----------
    masks : (N, G, G) ndarray of float32
        Probabilities on a grid over each box.
    boxes : (N, 4) ndarray of float
        x0, y0, x1, y1, px of the label image (pixel 0 reaches from 0 to 1); may leave it.
    scores : (N,) ndarray of float32
    shape : (int, int)
        Height and width of the label image.
    min_area_px : float
        Objects of which fewer pixels are free are not drawn.

    Returns
    -------
    labels : (h, w) ndarray of uint32
        Ids 1..n, 0 = background.
    drawn : (n,) ndarray of int64
        Which mask each id is.
    """
    boxes = np.asarray(boxes, np.float64)
    labels = np.zeros(shape, np.uint32)
    order = order_by_score(scores, boxes)
    drawn = _paste(np.ascontiguousarray(masks, np.float32), boxes, order, labels, threshold, min_area_px)
    return labels, drawn


@njit(nogil=True, cache=True)
def _paste(
    masks: Float, boxes: NDArray[np.float64], order: Order, labels: Labels, threshold: float, min_area_px: float
) -> Order:
    height, width = labels.shape
    drawn = np.empty(len(order), np.int64)
    n = 0
    for k in order:
        # pixels whose middle lies in the box
        left, top = max(int(np.ceil(boxes[k, 0] - 0.5)), 0), max(int(np.ceil(boxes[k, 1] - 0.5)), 0)
        right, bottom = min(int(np.ceil(boxes[k, 2] - 0.5)), width), min(int(np.ceil(boxes[k, 3] - 0.5)), height)
        if right <= left or bottom <= top:
            continue
        on = _draw(masks[k], boxes[k], top, bottom, left, right, threshold)
        total, free = 0, 0
        for y in range(bottom - top):
            for x in range(right - left):
                if on[y, x]:
                    total += 1
                    if labels[top + y, left + x] == 0:
                        free += 1
                    else:
                        on[y, x] = 0
        if free == 0 or free < min_area_px or free < MIN_FREE_SHARE * total:
            continue
        largest = _largest_piece(on)
        n += 1
        drawn[n - 1] = k
        for y in range(bottom - top):
            for x in range(right - left):
                if on[y, x] == largest:
                    labels[top + y, left + x] = n
    return drawn[:n]


@njit(nogil=True, cache=True)
def _taps(first: int, last: int, low: float, high: float, side: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The grid cell before the middle of each pixel, and how far beyond it the middle lies, 0..1."""
    before, beyond = np.empty(last - first, np.int64), np.empty(last - first, np.float64)
    for i in range(last - first):
        place = (first + i + 0.5 - low) / (high - low) * side - 0.5
        place = min(max(place, 0.0), side - 1.0)
        before[i] = min(int(place), max(side - 2, 0))
        beyond[i] = place - before[i]
    return before, beyond


@njit(nogil=True, cache=True)
def _draw(
    mask: Float, box: NDArray[np.float64], top: int, bottom: int, left: int, right: int, threshold: float
) -> NDArray[np.int32]:
    """1 where the mask exceeds `threshold`, in the pixels top..bottom, left..right."""
    side = mask.shape[0]
    step = 1 if side > 1 else 0
    ys, fy = _taps(top, bottom, box[1], box[3], side)
    xs, fx = _taps(left, right, box[0], box[2], side)
    on = np.zeros((bottom - top, right - left), np.int32)
    for i in range(bottom - top):
        for j in range(right - left):
            y, x = ys[i], xs[j]
            upper = mask[y, x] * (1 - fx[j]) + mask[y, x + step] * fx[j]
            lower = mask[y + step, x] * (1 - fx[j]) + mask[y + step, x + step] * fx[j]
            if upper * (1 - fy[i]) + lower * fy[i] > threshold:
                on[i, j] = 1
    return on


@njit(nogil=True, cache=True)
def _largest_piece(on: NDArray[np.int32]) -> int:
    """Number the 8-connected pieces of what is 1 as 2, 3, ... in place; the number of the (first) largest."""
    height, width = on.shape
    stack = np.empty(height * width, np.int64)
    largest, most, number = 2, 0, 1
    for start in range(height * width):
        if on[start // width, start % width] != 1:
            continue
        number += 1
        on[start // width, start % width] = number
        stack[0], filled, count = start, 1, 0
        while filled:
            filled -= 1
            y, x = divmod(stack[filled], width)
            count += 1
            for v in range(max(y - 1, 0), min(y + 2, height)):
                for u in range(max(x - 1, 0), min(x + 2, width)):
                    if on[v, u] == 1:
                        on[v, u] = number
                        stack[filled] = v * width + u
                        filled += 1
        if count > most:
            largest, most = number, count
    return largest
