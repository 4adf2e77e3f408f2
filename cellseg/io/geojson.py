"""GeoJSON of any size: Features one by one, and the polygons of many of them as flat arrays. Floor 2."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from cellseg.errors import LabelError

ENDINGS = (".geojson", ".json", ".geojson.gz", ".json.gz")
"""How the names of GeoJSON files end."""
_CHARACTERS = 1 << 20
_SPACE = " \t\r\n"
_CURE = "export it again as GeoJSON: a FeatureCollection, or a list of Features"


class Polygons(NamedTuple):
    """The polygons of n Features, flat: each level says where the parts of the next one begin.

    points : (p, 2) ndarray of float64, x and y in px, (0, 0) the image's upper left corner.
    rings, polygons, features : (r + 1,), (q + 1,), (n + 1,) ndarray of int64, first point of each ring, first ring of
    each polygon (the outer one; the others are its holes), first polygon of each Feature.
    """

    points: NDArray[np.float64]
    rings: NDArray[np.int64]
    polygons: NDArray[np.int64]
    features: NDArray[np.int64]


def is_geojson(path: Path) -> bool:
    """Whether the file's name ends like that of a GeoJSON file, compressed or not."""
    return path.name.lower().endswith(ENDINGS)


def read_features(path: Path) -> Iterator[dict[str, Any]]:
    """The Features of a FeatureCollection, of a list, or the one that the file holds; one at a time in memory.

    Raises
    ------
    LabelError
        If the file cannot be read, is no JSON, or holds something else than Features with a geometry.
    """
    with _open_text(path) as stream:
        for number, feature in enumerate(_Scanner(stream, path).features()):
            if not isinstance(feature, dict) or not isinstance(feature.get("geometry"), dict):
                raise LabelError(f"{path}: feature {number} is no GeoJSON Feature with a geometry; {_CURE}")
            yield feature


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    """The text of a file, which may be compressed whatever its name says."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            with io.TextIOWrapper(gzip.open(file) if packed else file, encoding="utf-8-sig") as stream:
                yield stream
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LabelError(f"{path}: cannot be read as GeoJSON ({reason}); check the path, or export it again") from error


class _Scanner:
    """JSON text that is decoded value by value, no more of it in memory than the value at hand and a megabyte."""

    def __init__(self, stream: TextIO, path: Path) -> None:
        self._stream, self._path = stream, path
        self._text, self._at, self._ended = "", 0, False
        self._decode = json.JSONDecoder().raw_decode

    def features(self) -> Iterator[Any]:
        """The elements of the list at the top or of the member `features`; or the object at the top."""
        if self._peek() == "[":
            yield from self._elements()
            return
        if self._peek() != "{":
            raise self._fault("the beginning of an object or a list")
        self._at += 1
        members: dict[str, Any] = {}
        while self._peek() != "}":
            name = self._value()
            self._expect(":")
            if name == "features" and self._peek() == "[":
                yield from self._elements()
                return
            members[str(name)] = self._value()
            if self._peek() != "}":
                self._expect(",")
        yield members

    def _elements(self) -> Iterator[Any]:
        self._at += 1
        while self._peek() != "]":
            yield self._value()
            if self._peek() != "]":
                self._expect(",")

    def _fill(self) -> None:
        """Forget what was decoded and read as much again as is left, a megabyte at least."""
        left = self._text[self._at :]
        more = self._stream.read(max(_CHARACTERS, len(left)))
        self._text, self._at, self._ended = left + more, 0, not more

    def _peek(self) -> str:
        """The next sign that is no space; empty at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if self._ended:
                return ""
            self._fill()

    def _expect(self, sign: str) -> None:
        if self._peek() != sign:
            raise self._fault(f"a {sign!r}")
        self._at += 1

    def _value(self) -> Any:  # noqa: ANN401 - whatever JSON holds
        self._peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                # not at the end of what was read: no text to come mends it
                early = error.pos < len(self._text) - 64 and "string" not in error.msg
                if self._ended or early:
                    raise LabelError(f"{self._path}: not readable as JSON ({error.msg}); {_CURE}") from error
            else:
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
            self._fill()

    def _fault(self, expected: str) -> LabelError:
        found = repr(self._peek()) if self._peek() else "the end of the file"
        return LabelError(f"{self._path}: not readable as JSON ({found} found, {expected} expected); {_CURE}")


def flatten_polygons(geometries: Sequence[dict[str, Any]], numbers: Sequence[int], path: Path) -> Polygons:
    """The Polygons and MultiPolygons of some Features as arrays.

    Parameters
    ----------
    geometries : sequence of dict
        GeoJSON geometries.
    numbers : sequence of int
        Their Features' places in the file, for messages.
    path : Path
        The file, for messages.

    Raises
    ------
    LabelError
        If one is something else, or has coordinates that are no polygon.
    """
    corners: list[Any] = []
    rings, polygons, features = [0], [0], [0]
    for geometry, number in zip(geometries, numbers, strict=True):
        try:
            for part in _parts(geometry, number, path):
                for ring in part:
                    if len(ring) < 3:
                        raise ValueError(f"a ring of {len(ring)} corners")
                    corners += ring
                    rings.append(len(corners))
                polygons.append(len(rings) - 1)
        except (TypeError, ValueError) as error:
            raise _no_polygon(path, number, error) from error
        features.append(len(polygons) - 1)
    arrays = [np.array(starts, np.int64) for starts in (rings, polygons, features)]
    return Polygons(_points(corners, arrays, numbers, path), arrays[0], arrays[1], arrays[2])


def _parts(geometry: dict[str, Any], number: int, path: Path) -> list[Any]:
    """The polygons of a geometry, each its rings."""
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind not in ("Polygon", "MultiPolygon"):
        raise LabelError(
            f"{path}: feature {number} is a {kind}; expected Polygon or MultiPolygon; outline the cell, or leave it out"
        )
    parts = coordinates if kind == "MultiPolygon" else [coordinates]
    if not isinstance(parts, list) or not parts or not all(parts):
        raise ValueError("no coordinates")
    return parts


def _points(
    corners: list[Any], starts: list[NDArray[np.int64]], numbers: Sequence[int], path: Path
) -> NDArray[np.float64]:
    """Corners as (p, 2); what has a third coordinate loses it."""
    if not corners:
        return np.zeros((0, 2))
    try:
        points = np.array(corners, np.float64)
        if points.ndim != 2 or points.shape[1] < 2:
            raise ValueError("corners that are not x, y")
        points = points[:, :2]
    except (TypeError, ValueError):
        points = np.full((len(corners), 2), np.nan)
        for at, corner in enumerate(corners):
            try:
                points[at] = np.array(corner[:2], np.float64)
            except (TypeError, ValueError) as error:
                raise _no_polygon(path, _number_of(at, starts, numbers), error) from error
    if not np.isfinite(points).all():
        at = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise _no_polygon(path, _number_of(at, starts, numbers), "a corner that is no number")
    return np.ascontiguousarray(points)


def _number_of(corner: int, starts: list[NDArray[np.int64]], numbers: Sequence[int]) -> int:
    """The Feature that a corner is of."""
    at = corner
    for level in starts:
        at = int(np.searchsorted(level, at, "right")) - 1
    return numbers[at]


def _no_polygon(path: Path, number: int, reason: object) -> LabelError:
    said = " ".join(str(reason).split())
    return LabelError(f"{path}: feature {number}: coordinates that are no polygon ({said}); outline the cell again")
