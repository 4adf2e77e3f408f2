"""Which pixels polygons cover, and polygons kept on disk until they are drawn. Floor 2.

A pixel is in a polygon when its middle is. A middle that lies on a side is in the polygon to the right of that side
(below it where it is level), so that neighbours share out the pixels along their common side. What a Feature covers
does not depend on the window that it is drawn in.
"""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.errors import CellsegError
from cellseg.io.atomic import writing_fault
from cellseg.io.geojson import Polygons
from cellseg.types import Labels

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


def scan_polygons(polygons: Polygons, height: int, width: int) -> Ints:
    """What each Feature covers of an image of this size.

    Returns
    -------
    (n, 7) ndarray of int64
        Box y0, y1, x0, x1 (half-open, px), pixels, sum of y, sum of x; zeros where it covers none. Pixels in two
        polygons of a Feature count twice.
    """
    out = np.zeros((len(polygons.features) - 1, 7), np.int64)
    _scan(*polygons, height, width, out)
    return out


def draw_polygons(polygons: Polygons, strip: Labels, y0: int) -> None:
    """Put 1, 2, ... for the first, second, ... Feature into `strip` (h, w), whose first row is row `y0` of the image.

    Later ones lie on top.
    """
    _draw(*polygons, strip, y0)


def measure_polygons(polygons: Polygons) -> tuple[Floats, Floats]:
    """Area (px2; of holes taken off) and length of the outline (px; holes too) of each Feature, (n,) float64."""
    n = len(polygons.features) - 1
    areas, lengths = np.zeros(n), np.zeros(n)
    _measure(*polygons, areas, lengths)
    return areas, lengths


def bounds_of(polygons: Polygons) -> Floats:
    """Least x and y, greatest x and y of each Feature, (n, 4) float64."""
    first = polygons.rings[polygons.polygons[polygons.features[:-1]]]
    if not len(first):
        return np.zeros((0, 4))
    low, high = (f.reduceat(polygons.points, first, axis=0) for f in (np.minimum, np.maximum))
    return np.concatenate([low, high], axis=1)


@njit(nogil=True, cache=True)
def _cross(points: Floats, rings: Ints, first: int, last: int, y: float, out: Floats) -> int:
    """Where the sides of the rings cross the level of y, from left to right; returns how often."""
    n = 0
    for ring in range(first, last):
        before = rings[ring + 1] - 1
        for k in range(rings[ring], rings[ring + 1]):
            if (points[k, 1] <= y) != (points[before, 1] <= y):
                # from the upper end on: the same figure for both polygons along a side
                upper, lower = (k, before) if points[k, 1] < points[before, 1] else (before, k)
                share = (y - points[upper, 1]) / (points[lower, 1] - points[upper, 1])
                out[n] = points[upper, 0] + share * (points[lower, 0] - points[upper, 0])
                n += 1
            before = k
    for i in range(1, n):
        value, k = out[i], i
        while k and out[k - 1] > value:
            out[k] = out[k - 1]
            k -= 1
        out[k] = value
    return n


@njit(nogil=True, cache=True)
def _rows(points: Floats, start: int, stop: int, y0: int, y1: int) -> tuple[int, int]:
    """The rows between y0 and y1 whose middles lie between the least and greatest y of some corners."""
    low, high = points[start, 1], points[start, 1]
    for k in range(start, stop):
        low, high = min(low, points[k, 1]), max(high, points[k, 1])
    # compared before they are whole numbers: coordinates may be any
    first = y0 if low - 0.5 <= y0 else (y1 if low - 0.5 >= y1 else int(np.ceil(low - 0.5)))
    last = y1 if high - 0.5 >= y1 else (y0 if high - 0.5 <= y0 else int(np.ceil(high - 0.5)))
    return first, last


@njit(nogil=True, cache=True)
def _pixels(x0: float, x1: float, width: int) -> tuple[int, int]:
    """The pixels of a row whose middles lie from x0 to before x1."""
    first = 0 if x0 <= 0.5 else (width if x0 - 0.5 >= width else int(np.ceil(x0 - 0.5)))
    last = 0 if x1 <= 0.5 else (width if x1 - 0.5 >= width else int(np.ceil(x1 - 0.5)))
    return first, last


@njit(nogil=True, cache=True)
def _most_corners(rings: Ints, polygons: Ints) -> int:
    most = 0
    for polygon in range(len(polygons) - 1):
        most = max(most, rings[polygons[polygon + 1]] - rings[polygons[polygon]])
    return most


@njit(nogil=True, cache=True)
def _scan(points: Floats, rings: Ints, polygons: Ints, features: Ints, height: int, width: int, out: Ints) -> None:
    crossings = np.empty(_most_corners(rings, polygons), np.float64)
    for feature in range(len(features) - 1):
        box = out[feature]
        for polygon in range(features[feature], features[feature + 1]):
            start, stop = polygons[polygon], polygons[polygon + 1]
            first, last = _rows(points, rings[start], rings[stop], 0, height)
            for y in range(first, last):
                n = _cross(points, rings, start, stop, y + 0.5, crossings)
                for k in range(0, n - 1, 2):
                    x0, x1 = _pixels(crossings[k], crossings[k + 1], width)
                    if x1 <= x0:
                        continue
                    if box[4] == 0:
                        box[0], box[1], box[2], box[3] = y, y + 1, x0, x1
                    box[0], box[1] = min(box[0], y), max(box[1], y + 1)
                    box[2], box[3] = min(box[2], x0), max(box[3], x1)
                    run = x1 - x0
                    box[4] += run
                    box[5] += run * y
                    box[6] += run * (x0 + x1 - 1) // 2


@njit(nogil=True, cache=True)
def _draw(points: Floats, rings: Ints, polygons: Ints, features: Ints, strip: Labels, y0: int) -> None:
    crossings = np.empty(_most_corners(rings, polygons), np.float64)
    for feature in range(len(features) - 1):
        for polygon in range(features[feature], features[feature + 1]):
            start, stop = polygons[polygon], polygons[polygon + 1]
            first, last = _rows(points, rings[start], rings[stop], y0, y0 + strip.shape[0])
            for y in range(first, last):
                n = _cross(points, rings, start, stop, y + 0.5, crossings)
                for k in range(0, n - 1, 2):
                    x0, x1 = _pixels(crossings[k], crossings[k + 1], strip.shape[1])
                    strip[y - y0, x0:x1] = feature + 1


@njit(nogil=True, cache=True)
def _measure(points: Floats, rings: Ints, polygons: Ints, features: Ints, areas: Floats, lengths: Floats) -> None:
    for feature in range(len(features) - 1):
        for polygon in range(features[feature], features[feature + 1]):
            for ring in range(polygons[polygon], polygons[polygon + 1]):
                doubled, before = 0.0, rings[ring + 1] - 1
                x, y = points[before, 0], points[before, 1]
                for k in range(rings[ring], rings[ring + 1]):
                    dx, dy = points[k, 0] - points[before, 0], points[k, 1] - points[before, 1]
                    # from a corner of the ring: far from (0, 0) the products would lose digits
                    doubled += (points[before, 0] - x) * dy - (points[before, 1] - y) * dx
                    lengths[feature] += np.sqrt(dx * dx + dy * dy)
                    before = k
                is_hole = ring > polygons[polygon]
                areas[feature] += -abs(doubled) / 2 if is_hole else abs(doubled) / 2


class PolygonScratch:
    """A temporary file of the polygons of many Features; memory is 16 bytes a Feature.

    Raises
    ------
    CellsegError
        If the folder cannot be written or the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder, prefix=".tmp-polygons-")  # noqa: SIM115
        except OSError as error:
            raise self._fault(error) from error
        self._starts, self._end = [np.zeros(1, np.int64)], 0

    def put(self, polygons: Polygons) -> None:
        """Append some Features."""
        records, starts = _pack(*polygons)
        try:
            self._file.seek(8 * self._end)
            self._file.write(records)
            self._file.flush()  # a full disk is met here
        except OSError as error:
            raise self._fault(error) from error
        self._starts.append(starts[1:] + self._end)
        self._end += len(records)

    def take(self, rows: Ints) -> Polygons:
        """The Features of these places, in the order asked for."""
        if len(self._starts) > 1:
            self._starts = [np.concatenate(self._starts)]
        begins, ends = self._starts[0][rows], self._starts[0][rows + 1]
        order = np.argsort(begins, kind="stable")
        # what lies together is read in one go
        cuts = np.flatnonzero(begins[order][1:] != ends[order][:-1]) + 1
        parts = [np.empty(0)]
        for run in np.split(order, cuts) if len(order) else ():
            self._file.seek(8 * int(begins[run[0]]))
            parts.append(np.frombuffer(self._file.read(8 * int(ends[run[-1]] - begins[run[0]])), np.float64))
        places = np.empty(len(rows), np.int64)
        sizes = (ends - begins)[order]
        places[order] = np.cumsum(sizes) - sizes
        return Polygons(*_unpack(np.concatenate(parts), places))

    def _fault(self, error: OSError) -> CellsegError:
        return writing_fault(self._folder, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # after a fault, closing tries once more to write what did not fit; nobody needs it
        with suppress(OSError):
            self._file.close()


@njit(nogil=True, cache=True)
def _pack(points: Floats, rings: Ints, polygons: Ints, features: Ints) -> tuple[Floats, Ints]:
    """A record a Feature: number of polygons; of each its number of rings; of each of these its corners."""
    starts = np.zeros(len(features), np.int64)
    for feature in range(len(features) - 1):
        first, last = polygons[features[feature]], polygons[features[feature + 1]]
        size = 1 + features[feature + 1] - features[feature] + last - first + 2 * (rings[last] - rings[first])
        starts[feature + 1] = starts[feature] + size
    out = np.empty(starts[-1], np.float64)
    at = 0
    for feature in range(len(features) - 1):
        out[at] = features[feature + 1] - features[feature]
        at += 1
        for polygon in range(features[feature], features[feature + 1]):
            out[at] = polygons[polygon + 1] - polygons[polygon]
            at += 1
            for ring in range(polygons[polygon], polygons[polygon + 1]):
                out[at] = rings[ring + 1] - rings[ring]
                at += 1
                for k in range(rings[ring], rings[ring + 1]):
                    out[at], out[at + 1] = points[k, 0], points[k, 1]
                    at += 2
    return out, starts


@njit(nogil=True, cache=True)
def _unpack(records: Floats, places: Ints) -> tuple[Floats, Ints, Ints, Ints]:
    n_polygons, n_rings, n_points = 0, 0, 0
    for place in places:
        at = place + 1
        for _ in range(int(records[place])):
            n, at = int(records[at]), at + 1
            for _ in range(n):
                n_points += int(records[at])
                at += 1 + 2 * int(records[at])
            n_rings += n
            n_polygons += 1
    points, rings = np.empty((n_points, 2), np.float64), np.zeros(n_rings + 1, np.int64)
    polygons, features = np.zeros(n_polygons + 1, np.int64), np.zeros(len(places) + 1, np.int64)
    polygon, ring, point = 0, 0, 0
    for feature, place in enumerate(places):
        at = place + 1
        for _ in range(int(records[place])):
            n, at = int(records[at]), at + 1
            for _ in range(n):
                corners, at = int(records[at]), at + 1
                for k in range(corners):
                    points[point + k, 0], points[point + k, 1] = records[at + 2 * k], records[at + 2 * k + 1]
                at += 2 * corners
                point += corners
                ring += 1
                rings[ring] = point
            polygon += 1
            polygons[polygon] = ring
        features[feature + 1] = polygon
    return points, rings, polygons, features
