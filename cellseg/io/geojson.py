"""GeoJSON of any size: Features one by one, and the polygons of many of them as flat arrays. Floor 2."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from math import isfinite
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


class PolygonList:
    """Polygons and MultiPolygons, taken in one by one and given back as arrays: a hundredth of what JSON takes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._clear()

    def _clear(self) -> None:
        self._corners = array("d")
        self._rings, self._polygons, self._features = array("q", [0]), array("q", [0]), array("q", [0])

    def __len__(self) -> int:
        return len(self._features) - 1

    def add(self, geometry: dict[str, Any], number: int) -> None:
        """Append a GeoJSON geometry; `number` is its Feature's place in the file, for messages.

        Raises
        ------
        LabelError
            If it is no Polygon or MultiPolygon, or has coordinates that are no polygon. The list is as it was.
        """
        kind: Any = geometry.get("type")
        parts: Any = geometry.get("coordinates")
        if kind not in ("Polygon", "MultiPolygon"):
            raise LabelError(
                f"{self._path}: feature {number} is a {kind}; expected Polygon or MultiPolygon; outline the cell, or "
                "leave it out"
            )
        marks = len(self._corners), len(self._rings), len(self._polygons)
        try:
            for part in parts if kind == "MultiPolygon" else [parts]:
                for ring in part:
                    self._add_ring(ring)
                if self._polygons[-1] == len(self._rings) - 1:
                    raise ValueError("no ring")
                self._polygons.append(len(self._rings) - 1)
            if len(self._polygons) == marks[2]:
                raise ValueError("no polygon")
        except (TypeError, ValueError) as error:
            del self._corners[marks[0] :], self._rings[marks[1] :], self._polygons[marks[2] :]
            said = " ".join(str(error).split())
            raise LabelError(
                f"{self._path}: feature {number}: coordinates that are no polygon ({said}); outline the cell again"
            ) from error
        self._features.append(len(self._polygons) - 1)

    def _add_ring(self, ring: list[list[float]]) -> None:
        before = len(self._corners)
        self._corners.extend(chain.from_iterable(ring))
        if len(self._corners) - before != 2 * len(ring):
            del self._corners[before:]
            # a third coordinate is a height, which pictures have none of
            self._corners.extend(chain.from_iterable((x, y) for x, y, *_ in ring))
        if len(ring) < 3:
            raise ValueError(f"a ring of {len(ring)} corners")
        if not isfinite(sum(self._corners[before:])):
            raise ValueError("a corner that is no number")
        self._rings.append(len(self._corners) // 2)

    def take(self) -> Polygons:
        """All that was added since the last time; the list is empty then."""
        points = np.array(self._corners, np.float64).reshape(-1, 2)
        starts = [np.array(level, np.int64) for level in (self._rings, self._polygons, self._features)]
        self._clear()
        return Polygons(points, starts[0], starts[1], starts[2])
