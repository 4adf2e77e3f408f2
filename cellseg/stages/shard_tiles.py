"""What segmenters find in a tile, as a row of a shard file and back; and how tiles are shared out. Floor 6."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.errors import ConfigError
from cellseg.io.scratch import ClusterScratch
from cellseg.segment.basins import TileBasins, empty_basins
from cellseg.segment.contract import TileCells
from cellseg.types import Window

Packed = list[tuple[Window, bytes]]
"""Labels of a tile, cut at strips and compressed: what `ClusterScratch.pack` gives."""

_PIECES = pa.list_(pa.struct([("window", pa.list_(pa.int64(), 4)), ("data", pa.binary())]))
_INT64, _INT32, _LEVELS = pa.list_(pa.int64()), pa.list_(pa.int32()), pa.list_(pa.uint16())
_IDS, _BYTES, _SCORES = pa.list_(pa.uint32()), pa.list_(pa.uint8()), pa.list_(pa.float32())
_RIMS = np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]

COUNTS = pa.schema([("counts", _INT64)])
"""One batch a shard: the sums of its tiles."""
BASINS = pa.schema(
    [
        ("tile", pa.int64()), ("peak", _INT64), ("first", _INT64), ("count", _INT64), ("edges", _INT64),
        ("edge_a", _INT32), ("edge_b", _INT32), ("labels", _IDS), ("height", _LEVELS), ("pointer", _BYTES),
        ("pieces", _PIECES),
    ]
)  # fmt: skip
"""One batch a tile that holds anything; of `labels`, `height` and `pointer` only the core's rim, which seams need."""
CELLS = pa.schema(
    [("tile", pa.int64()), ("scores", _SCORES), ("classes", _BYTES), ("n_at_limit", pa.int64()), ("pieces", _PIECES)]
)
"""One batch a window that was looked at."""


class ShardOf(NamedTuple):
    """Which of how many shards, counted from 1."""

    number: int
    n_shards: int

    @classmethod
    def parse(cls, text: str) -> ShardOf:
        """Of `3/8`, or as Snakemake names it, `3-of-8`.

        Raises
        ------
        ConfigError
            If it is neither, or there is no such shard.
        """
        parts = text.replace("-of-", "/").split("/")
        if len(parts) != 2 or not all(part.isdecimal() for part in parts) or not 1 <= int(parts[0]) <= int(parts[1]):
            raise ConfigError(f"--shard {text}: no such shard; expected K/N with K from 1 to N, as 3/8")
        return cls(int(parts[0]), int(parts[1]))

    def part(self, weights: NDArray[np.int64]) -> range:
        """Which units this shard takes: neighbours, and of all weight as nearly its share as whole units allow.

        Parameters
        ----------
        weights : (n,) ndarray of int64
            What each unit costs, 1 at least. Whole numbers, so that every machine cuts alike.
        """
        ends = np.cumsum(weights)
        # a unit goes where its middle lies
        middles = (2 * ends - weights) * self.n_shards
        total = int(ends[-1]) if len(ends) else 0
        begin, end = (int(np.searchsorted(middles, 2 * total * k)) for k in (self.number - 1, self.number))
        return range(begin, end)


def pack_counts(counts: NDArray[np.int64]) -> pa.RecordBatch:
    """Sums (2, 4096) int64 of a shard's tiles."""
    return _row(COUNTS, counts=counts.ravel())


def read_counts(batch: pa.RecordBatch) -> NDArray[np.int64]:
    """What `pack_counts` packed."""
    return _values(batch, "counts").reshape(2, -1)


def pack_basins(tile: int, basins: TileBasins, pieces: Packed) -> pa.RecordBatch:
    """The basins of a tile's core without its inner pixels, which only `pieces` hold."""
    planes = {
        name: np.concatenate([getattr(basins, name)[rim] for rim in _RIMS]) for name in ("labels", "height", "pointer")
    }
    numbers = {name: getattr(basins, name) for name in ("peak", "first", "count", "edges", "edge_a", "edge_b")}
    return _row(BASINS, tile=tile, pieces=_listed(pieces), **planes, **numbers)


def read_basins(batch: pa.RecordBatch, core: Window) -> tuple[TileBasins, Packed]:
    """The basins of a core as far as seams need them: its inner pixels are empty."""
    numbers = {name: _values(batch, name) for name in ("peak", "first", "count", "edges", "edge_a", "edge_b")}
    empty = empty_basins(core.height, core.width)
    for name in ("labels", "height", "pointer"):
        plane, rims = getattr(empty, name), _values(batch, name)
        cuts = np.cumsum([core.width, core.width, core.height])
        for rim, values in zip(_RIMS, np.split(rims, cuts), strict=True):
            plane[rim] = values
    basins = TileBasins(labels=empty.labels, height=empty.height, pointer=empty.pointer, **numbers)
    return basins, _pieces(batch)


def pack_cells(tile: int, cells: TileCells, pieces: Packed) -> pa.RecordBatch:
    """The cells of a window; their labels are in `pieces`."""
    return _row(
        CELLS, tile=tile, scores=cells.scores, classes=cells.classes, n_at_limit=cells.n_at_limit,
        pieces=_listed(pieces),
    )  # fmt: skip


def read_cells(batch: pa.RecordBatch, window: Window) -> tuple[TileCells, Packed]:
    """What `pack_cells` packed."""
    pieces = _pieces(batch)
    labels = ClusterScratch.unpack_one(pieces, window)
    n_at_limit = int(batch["n_at_limit"][0].as_py())
    return TileCells(labels, _values(batch, "scores"), _values(batch, "classes"), n_at_limit), pieces


def tile_of(batch: pa.RecordBatch) -> int:
    """The number of the batch's tile."""
    return int(batch["tile"][0].as_py())


def _row(schema: pa.Schema, **values: Any) -> pa.RecordBatch:  # noqa: ANN401 - arrays and numbers
    """A batch of one row; arrays go in without a detour over Python's numbers."""
    columns = []
    for field in schema:
        value = values[field.name]
        if isinstance(value, np.ndarray):
            ends = pa.array([0, len(value)], pa.int32())
            columns.append(pa.ListArray.from_arrays(ends, pa.array(value, field.type.value_type)))
        else:
            columns.append(pa.array([value], field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _values(batch: pa.RecordBatch, name: str) -> NDArray[Any]:
    values: NDArray[Any] = batch[name].flatten().to_numpy()
    return values


def _listed(pieces: Packed) -> list[dict[str, Any]]:
    return [{"window": list(window), "data": data} for window, data in pieces]


def _pieces(batch: pa.RecordBatch) -> Packed:
    return [(Window(*piece["window"]), piece["data"]) for piece in batch["pieces"][0].as_py()]
