"""Which of overlapping boxes stay: greedy non-maximum suppression, looked up on a grid. Floor 3: arrays in, arrays out.

The usual way compares all pairs, which for the thousands of proposals of a crowded window takes longer than the
network. Boxes that overlap by more than `iou` have sides in the ratio of at least `iou`, and middles no farther apart
than what is left: only the neighbours on a grid need looking at, and the answer is the same.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_CELL_PX = 24.0
Float = NDArray[np.float32]
Indices = NDArray[np.int64]


def order_by_score(scores: Float, boxes: NDArray[np.floating]) -> Indices:
    """Indices by falling score; equal ones by their place, so that the order in which they were found is no matter."""
    return np.lexsort((boxes[:, 2], boxes[:, 3], boxes[:, 0], boxes[:, 1], -scores))


def suppress_overlaps(
    boxes: Float, scores: Float, *, iou: float, groups: NDArray[np.integer] | None = None, limit: int | None = None
) -> Indices:
    """The boxes that overlap no surer one that stays by more than `iou`, surest first.

    Parameters
    ----------
    boxes : (N, 4) ndarray of float32
        x0, y0, x1, y1.
    scores : (N,) ndarray of float32
    iou : float
        Intersection over union, > 0.
    groups : (N,) ndarray of int, optional
        Boxes of different groups do not meet.
    limit : int, optional
        No more than so many.

    Returns
    -------
    (n,) ndarray of int64
        Indices.
    """
    if len(boxes) == 0:
        return np.zeros(0, np.int64)
    boxes = np.ascontiguousarray(boxes, np.float32)
    own = np.zeros(len(boxes), np.int64) if groups is None else groups.astype(np.int64)
    return _suppress(  # type: ignore[no-any-return]
        boxes, order_by_score(scores, boxes), own, iou, len(boxes) if limit is None else limit
    )


@njit(nogil=True, cache=True)
def _suppress(boxes: Float, order: Indices, groups: Indices, iou: float, limit: int) -> Indices:
    middle_x, middle_y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    low_x, low_y = middle_x.min(), middle_y.min()
    columns = int((middle_x.max() - low_x) / _CELL_PX) + 1
    rows = int((middle_y.max() - low_y) / _CELL_PX) + 1
    newest = np.full((rows, columns), -1, np.int64)
    older = np.full(len(boxes), -1, np.int64)
    kept = np.empty(len(boxes), np.int64)
    n = 0
    for k in order:
        if n >= limit:
            break
        width, height = boxes[k, 2] - boxes[k, 0], boxes[k, 3] - boxes[k, 1]
        reach_x, reach_y = width * (1 - iou) / iou, height * (1 - iou) / iou
        first_x = max(int((middle_x[k] - reach_x - low_x) / _CELL_PX), 0)
        last_x = min(int((middle_x[k] + reach_x - low_x) / _CELL_PX), columns - 1)
        first_y = max(int((middle_y[k] - reach_y - low_y) / _CELL_PX), 0)
        last_y = min(int((middle_y[k] + reach_y - low_y) / _CELL_PX), rows - 1)
        free = True
        for row in range(first_y, last_y + 1):
            for column in range(first_x, last_x + 1):
                other = newest[row, column]
                while free and other >= 0:
                    if groups[other] == groups[k] and _overlap(boxes[k], boxes[other]) > iou:
                        free = False
                    other = older[other]
        if free:
            kept[n] = k
            n += 1
            row, column = int((middle_y[k] - low_y) / _CELL_PX), int((middle_x[k] - low_x) / _CELL_PX)
            older[k] = newest[row, column]
            newest[row, column] = k
    return kept[:n]


@njit(nogil=True, cache=True)
def _overlap(a: Float, b: Float) -> float:
    """Intersection over union of two boxes; 0 where both are empty."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))
