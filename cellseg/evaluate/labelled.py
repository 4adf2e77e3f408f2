"""Which cell a mark lies in, and which class the marks of a cell agree on. Floor 3: arrays only.

A mark is anything by which somebody says what a cell is: a point, an outline, a row of a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cellseg.classify_config import LabelSettings
from cellseg.errors import ConfigError, TableError
from cellseg.types import Labels

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Side = Literal["healthy", "abnormal", "ignored"]
SIDES: tuple[Side, ...] = ("healthy", "abnormal", "ignored")


@dataclass(frozen=True)
class Settled:
    """Cells that carry marks, by rising id.

    Attributes
    ----------
    ids : (n,) ndarray of uint32
        The cells.
    codes : (n,) ndarray of int64
        Class that all marks of the cell agree on; -1 where they differ.
    first : (n,) ndarray of int64
        Place of the cell's first mark.
    n_marks : (n,) ndarray of int64
        Marks of the cell, 1 or more.
    """

    ids: Labels
    codes: Ints
    first: Ints
    n_marks: Ints


def pixels_of_points(points_px: Floats, height: int, width: int) -> Ints:
    """The pixel of each point: (n, 2) int64, y and x.

    Parameters
    ----------
    points_px : (n, 2) ndarray of float64
        y and x, px, 0 at the centre of the first pixel; rounded to the nearest pixel. Points on the image's very edge
        (up to half a pixel outside) count for the pixel beside them.
    height, width : int
        Size of the image, px.

    Raises
    ------
    TableError
        If a point lies outside of the image: points and labels are not of one image, or x and y are swapped.
    """
    at = np.rint(points_px).reshape(-1, 2)
    last = np.array([height - 1, width - 1])
    outside = ~((at >= -1) & (at <= last + 1)).all(axis=1)
    if outside.any():
        worst = points_px[outside][0]
        raise TableError(
            f"{int(outside.sum())} of {len(at)} points are outside of the image of {height} x {width} px, the first at "
            f"y {worst[0]:g}, x {worst[1]:g}; check that points and labels belong together and that y and x are not "
            "swapped"
        )
    return np.clip(at, 0, last).astype(np.int64)


def nearest_cells(labels: Labels, points_px: Floats, reach_px: float) -> Labels:
    """The nearest cell within reach of each point; 0 where there is none or two cells are equally near.

    Parameters
    ----------
    labels : (H, W) ndarray of uint32
        A window that holds everything within reach of the points (or of the image).
    points_px : (n, 2) ndarray of float64
        y and x, px of the window, 0 at the centre of its first pixel.
    reach_px : float
        Greatest distance between the point and the centre of a cell's pixel, px.

    Returns
    -------
    (n,) ndarray of uint32
    """
    found = np.zeros(len(points_px), np.uint32)
    reach = int(np.ceil(reach_px))
    for number, (y, x) in enumerate(points_px):
        y0, x0 = max(round(y) - reach, 0), max(round(x) - reach, 0)
        part = labels[y0 : round(y) + reach + 1, x0 : round(x) + reach + 1]
        rows, columns = np.nonzero(part)
        distances = np.hypot(rows + y0 - y, columns + x0 - x)
        if not distances.size or distances.min() > reach_px:
            continue
        # a point in the middle of the line between two cells belongs to neither
        nearest = np.unique(part[rows, columns][distances <= distances.min() + 1e-9])
        found[number] = nearest[0] if nearest.size == 1 else 0
    return found


def largest_overlap(labels: Labels, mask: NDArray[np.bool_]) -> tuple[Labels, Ints]:
    """Cells under a mask of the same shape (H, W), and how many of their pixels it covers; the ids rise."""
    ids, counts = np.unique(labels[mask], return_counts=True)
    return ids[ids > 0], counts[ids > 0].astype(np.int64)


def settle_marks(ids: Labels, codes: Ints) -> Settled:
    """Cells with the class that their marks agree on.

    Parameters
    ----------
    ids : (m,) ndarray of uint32
        Cell of each mark, > 0.
    codes : (m,) ndarray of int64
        Class of each mark, >= 0.
    """
    cells, first, inverse, counts = np.unique(ids, return_index=True, return_inverse=True, return_counts=True)
    if not len(cells):
        return Settled(np.empty(0, np.uint32), *(np.empty(0, np.int64) for _ in range(3)))
    groups = np.arange(len(cells))
    low = np.asarray(ndimage.minimum(codes, inverse, groups), np.int64)
    high = np.asarray(ndimage.maximum(codes, inverse, groups), np.int64)
    return Settled(
        cells.astype(np.uint32), np.where(low == high, low, -1), first.astype(np.int64), counts.astype(np.int64)
    )


def class_sides(counts: Mapping[str, int], settings: LabelSettings) -> dict[str, Side]:
    """Whether each class counts as healthy, as abnormal or not at all.

    Parameters
    ----------
    counts : mapping
        Classes found, by the names that settings give them -> marks.
    settings : LabelSettings
        Which classes are healthy, abnormal, ignored.

    Raises
    ------
    ConfigError
        If settings say nothing of a class; the message lists all classes that were found, with their counts.
    """
    known: dict[str, Side] = {"healthy": "healthy", "abnormal": "abnormal"}
    lists = {"healthy": settings.healthy, "abnormal": settings.abnormal, "ignored": settings.ignored}
    for side in SIDES:
        known.update({settings.names.get(listed, listed): side for listed in lists[side]})
    lacking = [name for name in counts if name not in known]
    if lacking:
        found = ", ".join(
            f"{name!r} ({counts[name]})" for name in sorted(counts, key=lambda name: (-counts[name], name))
        )
        raise ConfigError(
            f"labels.healthy, labels.abnormal: nothing is said of {', '.join(map(repr, sorted(lacking)))}; classes "
            f"found (marks): {found}; say of each whether it is healthy, abnormal or ignored, such as --classes "
            f"'{lacking[0]}=abnormal'"
        )
    return {name: known[name] for name in counts}
