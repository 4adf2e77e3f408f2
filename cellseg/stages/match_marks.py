"""From marks (ids, points, outlines) to the cells of a label image, which is read in windows around them. Floor 6."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from cellseg.evaluate.labelled import largest_overlap, nearest_cells, pixels_of_points
from cellseg.io.cell_labels import Marks
from cellseg.io.geojson import Polygons
from cellseg.io.labels import LabelImage
from cellseg.io.polygon_raster import draw_polygons, scan_polygons
from cellseg.measure.boxes import Cells, merge_cells, scan_cells
from cellseg.types import Labels, Window

Ints = NDArray[np.int64]
_BLOCK_PX = 2048
_STRIP_PX = 1024
_AREA_PX = 2**23
_BATCH = 4096


@dataclass(frozen=True)
class Pairs:
    """Which marks lie in which cells; a region may hold many, a mark outside of all cells is in no pair.

    Attributes
    ----------
    rows : (k,) ndarray of int64
        The marks.
    ids : (k,) ndarray of uint32
        Their cells.
    near : (k,) ndarray of bool
        Whether the cell is only near the mark.
    """

    rows: Ints
    ids: Labels
    near: NDArray[np.bool_]


def match_marks(marks: Marks, labels: LabelImage, *, reach_px: float = 0.0) -> Pairs:
    """The cells that points lie in and outlines stand for.

    A point belongs to the cell of its pixel, or to the nearest within `reach_px` if that holds no point itself. An
    outline of one object stands for the cell whose centroid alone it holds, else for the one that covers half of it or
    more; an outline with the id of a cell stands for that cell if it lies on it. Any other polygon stands for all cells
    whose centroids it holds, or, without one, for the cell that covers half of it or more.

    Raises
    ------
    LabelError
        If labels cannot be read.
    TableError
        If a point lies outside of the image.
    """
    if marks.polygons is not None:
        return _match_outlines(marks, marks.polygons, labels)
    if marks.points_px is None:
        raise ValueError("marks that name cells need no label image")
    ids = cells_under(marks.points_px, labels)
    near = np.zeros(len(ids), bool)
    if reach_px > 0:
        lost = np.flatnonzero(ids == 0)
        found = cells_near(marks.points_px[lost], labels, reach_px)
        found[np.isin(found, ids)] = 0
        ids[lost], near[lost] = found, found > 0
    rows = np.flatnonzero(ids)
    return Pairs(rows, ids[rows], near[rows])


def scan_labels(labels: LabelImage) -> Cells:
    """All cells of a label image, their boxes and centroids; a strip is in memory at a time."""
    height, width = labels.height, labels.width
    tops = range(0, height, _STRIP_PX)
    windows = (Window(y, min(y + _STRIP_PX, height), 0, width) for y in tops)
    return merge_cells([scan_cells(labels.read(window), window.y0) for window in windows])


def cells_under(points_px: NDArray[np.float64], labels: LabelImage) -> Labels:
    """The cell of each point's pixel, (n,) uint32; 0 for background.

    Raises
    ------
    TableError
        If a point lies outside of the image.
    """
    at = pixels_of_points(points_px, labels.height, labels.width)
    ids = np.zeros(len(at), np.uint32)
    for rows, window in _blocks(at, 0, labels):
        ids[rows] = labels.read(window)[at[rows, 0] - window.y0, at[rows, 1] - window.x0]
    return ids


def cells_near(points_px: NDArray[np.float64], labels: LabelImage, reach_px: float) -> Labels:
    """The nearest cell within reach of each point, (n,) uint32; 0 where there is none, or two are equally near."""
    at = pixels_of_points(points_px, labels.height, labels.width)
    ids = np.zeros(len(at), np.uint32)
    for rows, window in _blocks(at, int(np.ceil(reach_px)), labels):
        ids[rows] = nearest_cells(labels.read(window), points_px[rows] - (window.y0, window.x0), reach_px)
    return ids


def _blocks(at: Ints, margin_px: int, labels: LabelImage) -> Iterator[tuple[Ints, Window]]:
    """Points that lie close together, block by block, and the smallest window around them."""
    keys = (at[:, 0] // _BLOCK_PX) << 32 | at[:, 1] // _BLOCK_PX
    order = np.argsort(keys, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(keys[order])) + 1) if len(at) else ():
        (y0, x0), (y1, x1) = at[rows].min(axis=0).tolist(), (at[rows].max(axis=0) + 1).tolist()
        yield rows, Window(y0, y1, x0, x1).grow(margin_px).clip(labels.height, labels.width)


def _match_outlines(marks: Marks, polygons: Polygons, labels: LabelImage) -> Pairs:
    wanted = marks.classes != ""
    one_cell = np.ones(len(marks), bool) if marks.one_cell is None else marks.one_cell
    ids = _own_cells(marks, polygons, labels)
    rest = np.flatnonzero(wanted & (ids == 0))
    rows, cells = _centroids_inside(polygons, rest, labels) if len(rest) else (rest, np.empty(0, np.uint32))
    n_inside = np.bincount(rows, minlength=len(marks))
    lost = rest[np.where(one_cell[rest], n_inside[rest] != 1, n_inside[rest] == 0)]
    ids[lost] = [_mostly(cut_polygons(polygons, row, row + 1), labels) for row in lost]
    kept = ~np.isin(rows, lost)
    own = np.flatnonzero(wanted & (ids > 0))
    rows, cells = np.concatenate([own, rows[kept]]), np.concatenate([ids[own], cells[kept]])
    order = np.lexsort((cells, rows))
    return Pairs(rows[order], cells[order], np.zeros(len(order), bool))


def _own_cells(marks: Marks, polygons: Polygons, labels: LabelImage) -> Labels:
    """The id that an outline carries, where the cell of that id lies under a point inside of the outline; else 0."""
    own = np.zeros(len(marks), np.uint32) if marks.cell_ids is None else marks.cell_ids.copy()
    own[marks.classes == ""] = 0
    rows = np.flatnonzero(own)
    inside = [np.empty((0, 2))]
    for some in np.split(rows, range(_BATCH, len(rows), _BATCH)):
        shapes = _shapes(polygons, some)
        inside.append(shapely.get_coordinates(shapely.point_on_surface(shapes))[:, ::-1] - 0.5)
    points = np.concatenate(inside)
    fits = ((points > -1) & (points < (labels.height, labels.width))).all(axis=1)
    under = np.zeros(len(rows), np.uint32)
    under[fits] = cells_under(points[fits], labels)
    own[rows[under != own[rows]]] = 0
    return own


def _centroids_inside(polygons: Polygons, rows: Ints, labels: LabelImage) -> tuple[Ints, Labels]:
    """Row and cell of every centroid in a polygon."""
    cells = scan_labels(labels)
    tree = shapely.STRtree(shapely.points(cells.centroids_px[:, ::-1] + 0.5))
    of, inside = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for some in np.split(rows, range(_BATCH, len(rows), _BATCH)):
        number, cell = tree.query(_shapes(polygons, some), predicate="intersects")
        of.append(some[number])
        inside.append(cell)
    return np.concatenate(of), cells.ids[np.concatenate(inside)]


def _mostly(polygon: Polygons, labels: LabelImage) -> int:
    """The cell that covers half of a polygon's pixels or more; 0 for none."""
    y0, y1, x0, x1, n_pixels, *_ = scan_polygons(polygon, labels.height, labels.width)[0].tolist()
    if n_pixels == 0:
        return 0
    found: dict[int, int] = {}
    step = max(_AREA_PX // (x1 - x0), 1)
    moved = polygon._replace(points=polygon.points - (x0, 0))
    for y in range(y0, y1, step):
        window = Window(y, min(y + step, y1), x0, x1)
        mask = np.zeros((window.height, window.width), np.uint32)
        draw_polygons(moved, mask, y)
        for cell, count in zip(*largest_overlap(labels.read(window), mask > 0), strict=True):
            found[int(cell)] = found.get(int(cell), 0) + int(count)
    most = max(found, key=lambda cell: (found[cell], -cell), default=0)
    return most if most and 2 * found[most] >= n_pixels else 0


def cut_polygons(polygons: Polygons, start: int, stop: int) -> Polygons:
    """The Features from `start` to before `stop`."""
    features = polygons.features[start : stop + 1]
    parts = polygons.polygons[features[0] : features[-1] + 1]
    rings = polygons.rings[parts[0] : parts[-1] + 1]
    points = polygons.points[rings[0] : rings[-1]]
    return Polygons(points, rings - rings[0], parts - parts[0], features - features[0])


def _shapes(polygons: Polygons, rows: Ints) -> NDArray[Any]:
    """The Features of these rows as shapes."""
    shapes = []
    for row in rows.tolist():
        part = cut_polygons(polygons, row, row + 1)
        rings = shapely.linearrings(part.points, indices=np.repeat(np.arange(len(part.rings) - 1), np.diff(part.rings)))
        owner = np.repeat(np.arange(len(part.polygons) - 1), np.diff(part.polygons))
        shapes.append(shapely.multipolygons(shapely.polygons(rings, indices=owner)))
    return np.array(shapes, object)
