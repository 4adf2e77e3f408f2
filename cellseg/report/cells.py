"""Cells drawn onto a picture: thin outlines where pixels are many, dots where they are few. Floor 3: arrays only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cellseg.report.palette import DRAW_ORDER, RGB
from cellseg.types import Labels, Status

Picture = NDArray[np.uint8]
"""(H, W, 3), red first."""
_DOT_OPACITY = 0.75
_MAX_DOT_RADIUS_PX = 24


def outline_pixels(labels: Labels, *, thickness_px: int = 1) -> NDArray[np.bool_]:
    """Pixels (H, W) of cells with something else within `thickness_px` above, below, left or right, in the image."""
    edge = np.zeros(labels.shape, bool)
    for step in range(1, thickness_px + 1):
        down, right = labels[step:] != labels[:-step], labels[:, step:] != labels[:, :-step]
        edge[step:] |= down
        edge[:-step] |= down
        edge[:, step:] |= right
        edge[:, :-step] |= right
    edge &= labels != 0
    return edge


def draw_outlines(
    picture: Picture,
    labels: Labels,
    cell_ids: NDArray[np.uint32],
    status: NDArray[np.uint8],
    palette: Mapping[Status, RGB],
    *,
    thickness_px: int = 1,
) -> None:
    """Draw outlines inside the cells' edges into `picture` (H, W, 3), in the colour of each cell's status.

    Parameters
    ----------
    picture : (H, W, 3) ndarray of uint8
        Drawn into.
    labels : (H, W) ndarray of uint32
        Its cells.
    cell_ids : (n,) ndarray of uint32
        Ids that rise, holding all of `labels`.
    status : (n,) ndarray of uint8
        Index into DRAW_ORDER.
    palette : mapping
        Colours.
    thickness_px : int
        Width of the lines.
    """
    edge = outline_pixels(labels, thickness_px=thickness_px)
    codes = status[np.searchsorted(cell_ids, labels[edge])]
    picture[edge] = np.array([palette[name] for name in DRAW_ORDER], np.uint8)[codes]


def draw_dots(
    picture: Picture,
    y_px: NDArray[np.float64],
    x_px: NDArray[np.float64],
    radius_px: NDArray[np.float64],
    status: NDArray[np.uint8],
    palette: Mapping[Status, RGB],
) -> None:
    """Draw a see-through disc of its own size for each cell, at least one pixel, the gravest status on top.

    Positions and radii (n,) are in pixels of the picture; `status` (n,) indexes DRAW_ORDER.
    """
    height, width = picture.shape[:2]
    none = len(DRAW_ORDER)
    layer = np.full((height, width), none, np.uint8)
    rows, columns = np.rint(y_px).astype(np.int64), np.rint(x_px).astype(np.int64)
    radii = np.clip(np.rint(np.nan_to_num(radius_px)), 0, _MAX_DOT_RADIUS_PX).astype(np.int64)
    for code in range(none):
        for radius in np.unique(radii[status == code]).tolist():
            chosen = (status == code) & (radii == radius)
            for dy, dx in _disc(radius):
                y, x = rows[chosen] + dy, columns[chosen] + dx
                inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
                layer[y[inside], x[inside]] = code
    drawn = layer < none
    colours = np.array([palette[name] for name in DRAW_ORDER], np.float32)[layer[drawn]]
    picture[drawn] = np.rint(_DOT_OPACITY * colours + (1 - _DOT_OPACITY) * picture[drawn]).astype(np.uint8)


def _disc(radius: int) -> list[tuple[int, int]]:
    reach = range(-radius, radius + 1)
    return [(dy, dx) for dy in reach for dx in reach if dy * dy + dx * dx <= radius * radius + radius // 2]


def busiest_field(
    y_px: NDArray[np.float64], x_px: NDArray[np.float64], *, slide: tuple[int, int], field: tuple[int, int]
) -> tuple[int, int]:
    """First row and column of the field (height, width) of a slide (height, width) that holds the most points.

    Fields are tried in steps of half a field; the first of equals wins, and the middle of the slide without any point.
    """
    steps = [max(side // 2, 1) for side in field]
    if y_px.size == 0:
        return (slide[0] - field[0]) // 2, (slide[1] - field[1]) // 2
    shape = tuple(-(-side // step) for side, step in zip(slide, steps, strict=True))
    counts = np.zeros((shape[0] + 1, shape[1] + 1), np.int64)
    at = [
        np.clip(points // step, 0, n - 1).astype(np.int64)
        for points, step, n in zip((y_px, x_px), steps, shape, strict=True)
    ]
    np.add.at(counts, (at[0], at[1]), 1)
    sums = counts[:-1, :-1] + counts[1:, :-1] + counts[:-1, 1:] + counts[1:, 1:]
    row, column = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return min(int(row) * steps[0], slide[0] - field[0]), min(int(column) * steps[1], slide[1] - field[1])
