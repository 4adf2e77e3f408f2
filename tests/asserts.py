"""Assertions that say what differs: labels equal up to renaming, tables that partition, columns as documented."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cellseg.columns import find_column
from cellseg.types import STATUSES

ARROW_TYPES = {
    "string": pa.string(),
    "uint32": pa.uint32(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
}


def assert_same_labels(first: NDArray[np.integer], *others: NDArray[np.integer]) -> None:
    """The same cells in all, whatever their ids: background alike, and ids that map one to one."""
    for number, other in enumerate(others, start=1):
        assert first.shape == other.shape, f"label image {number}: shape {other.shape}, not {first.shape}"
        n_differ = int(((first == 0) != (other == 0)).sum())
        assert n_differ == 0, f"label image {number}: background differs at {n_differ} px"
        pairs = np.unique(np.stack([first.ravel(), other.ravel()]), axis=1)
        for side, ids in zip(("first", f"number {number}"), pairs, strict=True):
            values, counts = np.unique(ids, return_counts=True)
            assert (counts == 1).all(), f"{side}: ids {values[counts > 1][:5]} meet several cells of the other"


def assert_canonical_labels(labels: NDArray[np.integer]) -> None:
    """uint32, ids 1..N in raster order of the first pixel, each one 8-connected piece."""
    from scipy import ndimage

    assert labels.dtype == np.uint32, f"labels are {labels.dtype}"
    ids, first = np.unique(labels, return_index=True)
    first, ids = first[ids > 0], ids[ids > 0]
    assert np.array_equal(ids, np.arange(1, ids.size + 1)), "ids are not 1..N without gaps"
    assert (np.diff(first) > 0).all(), "ids are not in raster order of the first pixel"
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        _, pieces = ndimage.label(labels[box] == number, np.ones((3, 3)))
        assert pieces == 1, f"cell {number} is {pieces} pieces"


def assert_table(table: pa.Table | Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Every column is one of `cellseg.columns`, of its type and within its range; cell ids rise; returns the table."""
    table = pq.read_table(table) if isinstance(table, Path) else table
    if columns is not None:
        assert table.column_names == list(columns), f"columns {table.column_names}, expected {list(columns)}"
    for field in table.schema:
        column = find_column(field.name)
        assert field.type == ARROW_TYPES[column.dtype], f"{field.name} is {field.type}, documented as {column.dtype}"
        if column.dtype in ("string", "bool"):
            continue
        values = table[field.name].to_numpy(zero_copy_only=False).astype(float)
        values = values[~np.isnan(values)]
        low = -np.inf if column.minimum is None else column.minimum
        high = np.inf if column.maximum is None else column.maximum
        outside = values[(values < low) | (values > high)]
        assert outside.size == 0, f"{field.name}: {outside[:5]} out of {low}..{high}"
    if "cell_id" in table.column_names:
        assert (np.diff(table["cell_id"].to_numpy().astype(np.int64)) > 0).all(), "cell_id does not rise"
    return table


def assert_partition(folder: Path) -> pd.DataFrame:
    """healthy, abnormal, uncertain and excluded.csv share out cells.csv, row by row; returns cells.csv."""
    header, *rows = (folder / "cells.csv").read_text().splitlines()
    status_at = header.split(",").index("status")
    parted: list[str] = []
    for status in STATUSES:
        head, *part = (folder / f"{status}.csv").read_text().splitlines()
        assert head == header, f"{status}.csv has other columns than cells.csv"
        wrong = [row for row in part if row.split(",")[status_at] != status]
        assert not wrong, f"{status}.csv holds {wrong[0][:80]}"
        parted += part
    assert len(parted) == len(rows), f"the status tables hold {len(parted)} rows, cells.csv {len(rows)}"
    assert sorted(parted) == sorted(rows), "the status tables hold other rows than cells.csv"
    table = pq.read_table(folder / "cells.parquet", columns=["cell_id", "status"])
    cells = pd.read_csv(folder / "cells.csv")
    assert np.array_equal(table["cell_id"].to_numpy(), cells["cell_id"].to_numpy()), "cells.parquet has other ids"
    assert table["status"].to_pylist() == cells["status"].to_list(), "cells.parquet has other verdicts than cells.csv"
    return cells


def nan_as_none(columns):
    """Columns of a table (a dict of lists) with None for NaN, which equals nothing."""
    return {name: [None if value != value else value for value in column] for name, column in columns.items()}
