"""Shard files: what one job found in its part of a slide, for another job to put together. Floor 2.

A shard file is an Arrow IPC file: one record batch a tile (or a group of cells), read one at a time, and at its end a
text that says what it is, what it was made of and which part it covers. Nothing in it is run when it is read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from cellseg.errors import TableError
from cellseg.io.atomic import atomic_path

_FORMAT = "cellseg-shard-1"
_KEY = b"cellseg_shard"
_CURE = "make the shards again, all with the same recipe, settings and --tile-px"


@dataclass(frozen=True)
class ShardHeader:
    """What a shard file says of itself.

    `kind` is what it holds. `made_of` names what it was made from (hashes, versions): the same in all shards and in the
    job that puts them together. `agreed` is what each shard found out by itself and all must agree in. It covers the
    units (tiles, groups of cells) `begin` to `end` of `n_units`.
    """

    kind: str
    made_of: dict[str, str]
    agreed: dict[str, Any]
    begin: int
    end: int
    n_units: int


class ShardWriter:
    """Writes the batches of a shard, and at last what it is; made by `write_shard`."""

    def __init__(self, writer: pa.RecordBatchFileWriter, schema: pa.Schema) -> None:
        self._writer, self._schema = writer, schema
        self.complete = False

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch of the shard's schema."""
        self._writer.write_batch(batch)

    def finish(self, header: ShardHeader) -> None:
        """Say what was written; the last thing to do."""
        text = json.dumps({"format": _FORMAT} | asdict(header), sort_keys=True, allow_nan=False)
        nothing = pa.RecordBatch.from_pylist([], schema=self._schema)
        self._writer.write_batch(nothing, custom_metadata={_KEY: text.encode()})
        self.complete = True


@contextmanager
def write_shard(path: Path, schema: pa.Schema) -> Iterator[ShardWriter]:
    """A writer of the shard file `path`, which is there whole or not at all.

    Raises
    ------
    CellsegError
        If the file cannot be written.
    ValueError
        If it was not finished.
    """
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with atomic_path(path) as temporary:
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, schema, options=options) as file:
            writer = ShardWriter(file, schema)
            yield writer
        if not writer.complete:
            raise ValueError(f"{path}: a shard ends with its header")


def read_header(path: Path) -> ShardHeader:
    """What a shard file says of itself; a few bytes are read.

    Raises
    ------
    TableError
        If there is no such file, or it is not a whole shard file of this version.
    """
    with _opened(path) as file:
        try:
            _, metadata = file.get_batch_with_custom_metadata(file.num_record_batches - 1)
            values = json.loads(metadata[_KEY])
            found = values.pop("format")
            if found != _FORMAT:
                raise TableError(f"{path}: a shard of the format {found}, expected {_FORMAT}; {_CURE}")
            return ShardHeader(**values)
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise TableError(f"{path}: not a shard file ({_one_line(error)}); {_CURE}") from error


@contextmanager
def _opened(path: Path) -> Iterator[pa.RecordBatchFileReader]:
    if not path.is_file():
        raise TableError(f"{path}: no such file; check the path")
    with pa.OSFile(str(path), "rb") as source:
        try:
            file = pa.ipc.open_file(source)
        except (pa.ArrowException, OSError) as error:
            raise TableError(f"{path}: not a whole shard file ({_one_line(error)}); {_CURE}") from error
        yield file


@dataclass(frozen=True)
class Shards:
    """All shards of one kind of a slide, in the order of what they cover; `batches` reads them one batch at a time."""

    paths: tuple[Path, ...]
    agreed: dict[str, Any]
    n_units: int

    def batches(self) -> Iterator[pa.RecordBatch]:
        """What the shards hold, in order.

        Raises
        ------
        TableError
            If a file is damaged.
        """
        for path in self.paths:
            with _opened(path) as file:
                for number in range(file.num_record_batches - 1):
                    try:
                        batch = file.get_batch(number)
                        batch.validate()
                    except (pa.ArrowException, OSError) as error:
                        raise TableError(f"{path}: a damaged shard file ({_one_line(error)}); {_CURE}") from error
                    yield batch


def open_shards(paths: Sequence[Path], kind: str, made_of: Mapping[str, str]) -> Shards:
    """The shards in these files, in whatever order they are named.

    Parameters
    ----------
    paths : sequence of Path
        All shards of the slide, one at least.
    kind : str
        What they are to hold.
    made_of : mapping of str
        What they are to be made of.

    Raises
    ------
    TableError
        If a file is no shard of this kind, was made of something else, does not agree with the others, or a part of
        the slide is covered twice or not at all.
    """
    headers = [(read_header(path), path) for path in paths]
    if not headers:
        raise TableError(f"no shards of the kind {kind} given; name all of the slide")
    first, first_path = headers[0]
    for header, path in headers:
        if header.kind != kind:
            raise TableError(f"{path}: a shard of the kind {header.kind}, expected {kind}; give the files of that pass")
        if strange := _differing(header.made_of, made_of):
            raise TableError(f"{path}: a shard made with another {' and another '.join(strange)} than here; {_CURE}")
        if strange := _differing(header.agreed, first.agreed):
            raise TableError(f"{path}: differs from {first_path} in {', '.join(strange)}; {_CURE}")
    headers.sort(key=lambda one: (one[0].begin, one[0].end))
    _check_cover(headers)
    return Shards(tuple(path for _, path in headers), first.agreed, first.n_units)


def _check_cover(headers: Sequence[tuple[ShardHeader, Path]]) -> None:
    """Refuse shards that do not cover all units once, each beginning where the one before ends."""
    at, n_units = 0, headers[0][0].n_units
    for header, path in headers:
        if (header.begin, header.n_units) != (at, n_units):
            what = "covers again what another shard covers" if header.begin < at else "begins where none before it ends"
            raise TableError(
                f"{path}: {what} (part {header.begin} to {header.end} of {header.n_units}, expected to begin at {at} "
                f"of {n_units}); give each shard of one set once"
            )
        at = header.end
    if at != n_units:
        raise TableError(f"{headers[-1][1]}: the last shard ends at {at} of {n_units}; give all shards of the set")


def _differing(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """Names under which two mappings hold different values; with dots where mappings lie in them."""
    names: list[str] = []
    for name in sorted(set(found) | set(expected)):
        one, other = found.get(name), expected.get(name)
        if isinstance(one, dict) and isinstance(other, dict):
            names += [f"{name}.{inner}" for inner in _differing(one, other)]
        elif one != other:
            names.append(name)
    return names


def digest_of(value: object) -> str:
    """The sha256 of what JSON can hold (keys sorted), or of bytes."""
    data = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True, allow_nan=False).encode()
    return hashlib.sha256(data).hexdigest()


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes.

    Raises
    ------
    TableError
        If it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror}); check the path") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
