"""The tables of one slide: measurements and verdicts in, tables of all cells and of each status out. Floor 6."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cellseg.columns import VERDICT_COLUMNS, Column, describe_columns, find_column
from cellseg.errors import TableError
from cellseg.io.atomic import write_json
from cellseg.io.table import TableWriter, csv_rows, read_batches, read_schema
from cellseg.types import STATUSES, Status


def write_tables(measurements: Path, verdicts: Path, out: Path) -> dict[Status, int]:
    """Join measurements and verdicts, and share the cells out by status.

    Writes into the folder `out`: `cells.csv` and `cells.parquet` with every cell, `healthy.csv`, `abnormal.csv`,
    `uncertain.csv` and `excluded.csv` which partition them, and `columns.json` which says what each column is. Without
    cells the tables have a header only.

    Parameters
    ----------
    measurements, verdicts : Path
        Parquet tables of the same cells in the same order.
    out : Path
        Folder; made when missing.

    Returns
    -------
    dict
        Cells per status.

    Raises
    ------
    TableError
        If the two tables do not hold the same cells in the same order, or ids do not rise.
    """
    columns = _columns(measurements)
    counts: dict[Status, int] = dict.fromkeys(STATUSES, 0)
    last_id = 0
    with ExitStack() as stack:
        parquet = stack.enter_context(TableWriter(out / "cells.parquet", columns))
        whole = stack.enter_context(TableWriter(out / "cells.csv", columns))
        parts = {status: stack.enter_context(TableWriter(out / f"{status}.csv", columns)) for status in STATUSES}
        for measured, judged in _side_by_side(measurements, verdicts):
            last_id = _check_ids(measured, judged, last_id, measurements, verdicts)
            joined = pa.table({c.name: (judged if c.family == "verdict" else measured)[c.name] for c in columns})
            parquet.write(joined)
            rows, status = csv_rows(joined), joined["status"].combine_chunks()
            whole.write_rows(rows)
            for name, writer in parts.items():
                part = rows.filter(pc.equal(status, name))
                writer.write_rows(part)
                counts[name] += len(part)
    write_json(out / "columns.json", describe_columns(column.name for column in columns))
    return counts


def _columns(measurements: Path) -> tuple[Column, ...]:
    """The measured columns in their order, then the verdict's."""
    measured = [find_column(name) for name in read_schema(measurements).names]
    if "cell_id" not in (column.name for column in measured):
        raise TableError(f"{measurements}: no column cell_id; not a table of `cellseg measure`")
    return (*measured, *(column for column in VERDICT_COLUMNS if column.name != "cell_id"))


def _side_by_side(measurements: Path, verdicts: Path) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Parts of both tables with equally many rows, however each was cut into row groups."""
    left, right = read_batches(measurements), read_batches(verdicts, [c.name for c in VERDICT_COLUMNS])
    ours, theirs = next(left, None), next(right, None)
    while ours is not None and theirs is not None:
        n_rows = min(ours.num_rows, theirs.num_rows)
        if n_rows:
            yield ours.slice(0, n_rows), theirs.slice(0, n_rows)
        ours = ours.slice(n_rows) if ours.num_rows > n_rows else next(left, None)
        theirs = theirs.slice(n_rows) if theirs.num_rows > n_rows else next(right, None)
    for path, rest in ((measurements, ours), (verdicts, theirs)):
        if rest is not None and rest.num_rows:
            raise _differ(measurements, verdicts, f"{path.name} has more rows")


def _check_ids(measured: pa.Table, judged: pa.Table, last_id: int, measurements: Path, verdicts: Path) -> int:
    """The last id of this part; refuses ids that differ or do not rise."""
    ids, others = measured["cell_id"].to_numpy(), judged["cell_id"].to_numpy()
    if (differ := np.flatnonzero(ids != others)).size:
        at = differ[0]
        raise _differ(measurements, verdicts, f"cell_id {ids[at]} stands beside {others[at]}")
    if (np.diff(ids.astype(np.int64), prepend=last_id) <= 0).any():
        raise TableError(f"{measurements}: cell_id does not rise from row to row; measure the slide again")
    return int(ids[-1])


def _differ(measurements: Path, verdicts: Path, what: str) -> TableError:
    return TableError(f"{verdicts}: not the verdicts on the cells of {measurements} ({what}); classify the slide again")
