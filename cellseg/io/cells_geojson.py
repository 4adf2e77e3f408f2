"""Cells as GeoJSON in QuPath's form: text made in bulk, written in chunks. Floor 2.

One Feature a cell and line: a UUID made of sample and cell id, the outline in px of the image with (0, 0) its upper
left corner and x first, and what QuPath shows of a detection: name, class with its colour, measurements (numbers by
name).
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zlib
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from cellseg.errors import CellsegError
from cellseg.io.atomic import atomic_path, writing_fault

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]
_LEVEL = 6
_HEAD = b'{"type":"FeatureCollection","features":['
_TAIL = b"\n]}\n"
# no name and no time: the same cells give the same bytes
_GZIP_HEAD = bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255])


class Texts(NamedTuple):
    """Texts one behind the other: text i is `data[starts[i] : starts[i + 1]]`."""

    data: Bytes
    starts: Ints


def geometry_texts(points: Ints, rings: Ints, polygons: Ints, cells: Ints) -> Texts:
    """The GeoJSON geometry of each cell.

    Parameters
    ----------
    points : (p, 2) ndarray of int64
        x and y of the corners in half px, >= 0.
    rings, polygons, cells : (r + 1,), (q + 1,), (n + 1,) ndarray of int64
        First point of each ring, first ring of each polygon, first polygon of each cell.
    """
    digits = len(str(int(points.max(initial=0)) // 2)) + 2
    n_most = (len(points) + len(rings)) * (2 * digits + 4) + 3 * len(rings) + 3 * len(polygons) + 64 * len(cells)
    data, starts = np.empty(n_most, np.uint8), np.zeros(len(cells), np.int64)
    kinds = [np.frombuffer(b'{"type":"%s","coordinates":[' % kind, np.uint8) for kind in (b"Polygon", b"MultiPolygon")]
    n = _write_geometries(points, rings, polygons, cells, kinds[0], kinds[1], data, starts)
    return Texts(data[:n], starts)


@njit(nogil=True, cache=True)
def _write_geometries(
    points: Ints, rings: Ints, polygons: Ints, cells: Ints, one: Bytes, many: Bytes, out: Bytes, starts: Ints
) -> int:
    comma, opened, closed = 44, 91, 93
    at = 0
    for cell in range(len(cells) - 1):
        several = cells[cell + 1] > cells[cell] + 1
        head = many if several else one
        out[at : at + len(head)] = head
        at += len(head)
        for polygon in range(cells[cell], cells[cell + 1]):
            if several:
                if polygon > cells[cell]:
                    out[at] = comma
                    at += 1
                out[at] = opened
                at += 1
            for ring in range(polygons[polygon], polygons[polygon + 1]):
                if ring > polygons[polygon]:
                    out[at] = comma
                    at += 1
                out[at] = opened
                at += 1
                for k in range(rings[ring], rings[ring + 1] + 1):
                    # the first corner closes the ring
                    point = points[k if k < rings[ring + 1] else rings[ring]]
                    if k > rings[ring]:
                        out[at] = comma
                        at += 1
                    out[at] = opened
                    at = _write_half(out, at + 1, point[0])
                    out[at] = comma
                    at = _write_half(out, at + 1, point[1])
                    out[at] = closed
                    at += 1
                out[at] = closed
                at += 1
            if several:
                out[at] = closed
                at += 1
        out[at], out[at + 1] = closed, 125
        at += 2
        starts[cell + 1] = at
    return at


@njit(nogil=True, cache=True)
def _write_half(out: Bytes, at: int, halves: int) -> int:
    """Write a number of halves in decimals; returns where it ends."""
    whole, n = halves >> 1, 1
    rest = whole
    while rest >= 10:
        rest //= 10
        n += 1
    rest = whole
    for k in range(n - 1, -1, -1):
        out[at + k] = 48 + rest % 10
        rest //= 10
    at += n
    if halves & 1:
        out[at], out[at + 1] = 46, 53
        at += 2
    return at


class GeometryScratch:
    """A temporary file of geometries that come in any order and are asked for by rising row.

    Memory is 16 bytes a row. `put` is for one thread at a time, as is `take`.

    Raises
    ------
    CellsegError
        If the folder cannot be written or the disk is full.
    """

    def __init__(self, folder: Path, n_rows: int) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder, prefix=".tmp-outlines-")  # noqa: SIM115
        except OSError as error:
            raise self._fault(error) from error
        self._at, self._sizes, self._end = np.zeros(n_rows, np.int64), np.zeros(n_rows, np.int64), 0

    def put(self, rows: Ints, texts: Texts) -> None:
        """Keep the texts of these rows."""
        try:
            self._file.seek(self._end)
            self._file.write(texts.data.data)
            self._file.flush()  # a full disk is met here
        except OSError as error:
            raise self._fault(error) from error
        self._at[rows], self._sizes[rows] = self._end + texts.starts[:-1], np.diff(texts.starts)
        self._end += len(texts.data)

    def take(self, start: int, stop: int) -> Texts:
        """The texts of the rows `start` to `stop`."""
        at, sizes = self._at[start:stop], self._sizes[start:stop]
        order = np.argsort(at, kind="stable")
        ends = at[order] + sizes[order]
        # what lies together is read in one go
        first = np.flatnonzero(np.concatenate([[True], at[order][1:] != ends[:-1]]))
        parts = []
        for begin, end in zip(first, [*first[1:], len(order)], strict=True) if len(order) else ():
            self._file.seek(int(at[order[begin]]))
            parts.append(self._file.read(int(ends[end - 1] - at[order[begin]])))
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        data = np.empty(int(starts[-1]), np.uint8)
        _spread(np.frombuffer(b"".join(parts), np.uint8), order, sizes, starts, data)
        return Texts(data, starts)

    def _fault(self, error: OSError) -> CellsegError:
        return writing_fault(self._folder, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._file.close()


@njit(nogil=True, cache=True)
def _spread(read: Bytes, order: Ints, sizes: Ints, starts: Ints, out: Bytes) -> None:
    at = 0
    for row in order:
        out[starts[row] : starts[row] + sizes[row]] = read[at : at + sizes[row]]
        at += sizes[row]


def feature_text(cells: pa.Table, geometries: Texts, *, colours: Mapping[str, tuple[int, int, int]]) -> bytes:
    r"""The Features of some cells, each behind a comma and a line end.

    Parameters
    ----------
    cells : pyarrow.Table
        `sample`, `cell_id`, `status`, and the columns that go along as measurements, as numbers. NaN is left out.
    geometries : Texts
        Of the same cells.
    colours : mapping
        Red, green and blue of each status.
    """
    n = cells.num_rows
    if not n:
        return b""
    outlines = pa.LargeStringArray.from_buffers(
        n, pa.py_buffer(np.ascontiguousarray(geometries.starts)), pa.py_buffer(np.ascontiguousarray(geometries.data))
    )
    ids = cells["cell_id"].combine_chunks()
    samples = cells["sample"].unique().to_pylist()
    prefixes = _chosen(cells["sample"], {sample: _uuid_prefix(sample) for sample in samples})
    classes = {
        status: f'"classification":{json.dumps({"name": status, "color": list(rgb)}, separators=(",", ":"))}'
        for status, rgb in colours.items()
    }
    text = _joined(
        ',\n{"type":"Feature","id":"', prefixes, _hexadecimal(np.asarray(ids)), '","geometry":', outlines,
        ',"properties":{"objectType":"detection","name":"', _text(ids), '",', _chosen(cells["status"], classes),
        ',"measurements":{', _measurements(cells), "}}}",
    )  # fmt: skip
    offsets = np.frombuffer(text.buffers()[1], np.int64, n + 1, text.offset * 8)
    return bytes(memoryview(text.buffers()[2])[offsets[0] : offsets[-1]])


def _joined(*parts: str | pa.Array) -> pa.LargeStringArray:
    n = next(len(part) for part in parts if not isinstance(part, str))
    columns = [pa.repeat(pa.scalar(part, pa.large_string()), n) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*columns, pa.scalar("", pa.large_string()))


def _text(numbers: pa.Array) -> pa.Array:
    return pc.cast(numbers, pa.large_string())


def _chosen(column: pa.ChunkedArray, texts: Mapping[str, str]) -> pa.Array:
    """The text of each of the column's values."""
    names = list(texts)
    at = pc.index_in(column.combine_chunks(), pa.array(names, column.type))
    return pc.take(pa.array([texts[name] for name in names], pa.large_string()), at)


def _measurements(cells: pa.Table) -> pa.Array:
    """`"name":number` of each column but `sample` and `status`, with commas between; without those that are NaN."""
    fields = []
    for name in cells.column_names:
        if name in ("sample", "status"):
            continue
        column = cells[name].combine_chunks()
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
        column = pc.cast(column, pa.uint8()) if pa.types.is_boolean(column.type) else column
        label = pa.scalar(f"{json.dumps(name)}:", pa.large_string())
        fields.append(pc.binary_join_element_wise(label, _text(column), pa.scalar("", pa.large_string())))
    return pc.binary_join_element_wise(*fields, pa.scalar(",", pa.large_string()), null_handling="skip")


@lru_cache(maxsize=64)
def _uuid_prefix(sample: str) -> str:
    """The UUID (version 8, RFC 9562) of all cells of a sample but for the last 8 digits, which are the cell's id."""
    digest = bytearray(hashlib.sha256(sample.encode()).digest()[:12])
    digest[6], digest[8] = digest[6] & 0x0F | 0x80, digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def cell_uuid(sample: str, cell_id: int) -> str:
    """The id of a cell's Feature: the same in every export.

    Examples
    --------
    >>> cell_uuid("slide", 255)
    '9e3fdb06-bc5b-815b-a5b0-3c9c000000ff'
    """
    return f"{_uuid_prefix(sample)}{cell_id:08x}"


def _hexadecimal(ids: NDArray[np.uint32]) -> pa.Array:
    """8 digits each."""
    nibbles = (ids.astype(np.uint32)[:, None] >> np.arange(28, -1, -4, dtype=np.uint32)) & 15
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)[nibbles]
    starts = np.arange(0, 8 * len(ids) + 1, 8, dtype=np.int64)
    return pa.LargeStringArray.from_buffers(len(ids), pa.py_buffer(starts), pa.py_buffer(np.ascontiguousarray(digits)))


class FeatureWriter:
    """A FeatureCollection that grows by pieces of `feature_text` and appears when the `with` block ends well.

    A name that ends in .gz is compressed, as one gzip member: `pack` compresses pieces on their own, in any thread. The
    same pieces give the same bytes.

    Raises
    ------
    CellsegError
        If the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._compressed = path, path.suffix == ".gz"
        self._stack = ExitStack()
        self._file: IO[bytes] | None = None
        self._check, self._size, self._is_first = 0, 0, True

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            self._file = stack.enter_context(temporary.open("wb"))
            self._stack = stack.pop_all()
        if self._compressed:
            self._file.write(_GZIP_HEAD)
        self._put(_HEAD, self.pack(_HEAD))
        return self

    def pack(self, text: bytes) -> bytes:
        """The text as it goes into the file; safe in any thread."""
        if not self._compressed:
            return text
        engine = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15)
        return engine.compress(text) + engine.flush(zlib.Z_FULL_FLUSH)

    def write(self, text: bytes, packed: bytes | None = None) -> None:
        """Append Features; `packed` is what `pack` made of the text where that was done before."""
        if self._is_first and text:
            text, packed = text.removeprefix(b","), None
            self._is_first = False
        self._put(text, self.pack(text) if packed is None else packed)

    def _put(self, text: bytes, packed: bytes) -> None:
        if self._file is None:
            raise ValueError(f"{self.path}: not open; use it in a with statement")
        self._check, self._size = zlib.crc32(text, self._check), self._size + len(text)
        self._file.write(packed)

    def _finish(self) -> None:
        self._put(_TAIL, self.pack(_TAIL))
        if self._compressed and self._file is not None:
            end = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15).flush()
            size = self._size & 0xFFFFFFFF
            self._file.write(end + self._check.to_bytes(4, "little") + size.to_bytes(4, "little"))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            with self._stack:
                self._finish()
        else:
            self._stack.__exit__(kind, error, trace)
        self._file = None
