"""Cells of a slide measured again and compared with its table, value by value. Floor 6."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.columns import Column
from cellseg.errors import TableError
from cellseg.io.table import count_rows, read_batches, read_schema
from cellseg.measure.boxes import Cells
from cellseg.measure.layout import measured_columns
from cellseg.measure.registry import LATE_FAMILIES, Values
from cellseg.measure.window import measure_slide
from cellseg.stages.late import late_columns
from cellseg.stages.look import find_look
from cellseg.stages.measure import Source, open_source, plan_jobs, rows_of
from cellseg.stages.measured_rows import Given
from cellseg.stream import map_read
from cellseg.types import silent


def compare_measured(
    given: Given,
    table: Path,
    cells: Cells,
    rows: NDArray[np.int64],
    *,
    sample: str,
    tile_px: int,
    workers: int,
    max_decoded_mpx: float,
) -> dict[int, list[str]]:
    """The names of the columns in which a cell is not what was measured now, by cell id; cells that are alike left out.

    Parameters
    ----------
    given : Given
        What the slide was measured from.
    table : Path
        measurements.parquet.
    cells : Cells
        All cells of the label image.
    rows : (n,) ndarray of int64
        Which of them to measure again.

    Raises
    ------
    TableError
        If the table has other rows or columns than these cells and settings give, or cannot be read.
    ImageError, LabelError
        If image or label image cannot be used.
    """
    if (n_rows := count_rows(table)) != len(cells):
        raise TableError(f"{table}: {n_rows} rows, but the label image has {len(cells)} cells")
    rows = np.sort(rows)
    with open_source(
        given, find_look(given.settings), tile_px, workers, max_decoded_mpx, silent, cells=cells
    ) as source:
        columns = measured_columns(given.recipe, given.settings, source.tissue_names)
        if (names := [column.name for column in columns]) != read_schema(table).names:
            raise TableError(f"{table}: its columns are not those that these settings measure ({len(names)} columns)")
        if not len(rows):
            return {}
        measured = _measure(source, columns, table, rows, tile_px, workers)
    stored = _take(table, rows)
    return _differing(stored, rows_of(measured, columns, sample).cast(stored.schema), cells.ids[rows])


def _measure(
    source: Source, columns: Sequence[Column], table: Path, rows: NDArray[np.int64], tile_px: int, workers: int
) -> Values:
    """All columns of some cells; those that look at other cells of the slide by what the table has of these."""
    cells, recipe, settings = source.cells, source.recipe, source.settings
    jobs = [rows[part] for part in plan_jobs(cells.take(rows), tile_px)]
    parts = list(map_read(source.read, source.measure, jobs, workers=workers))
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(whole["row"], kind="stable")
    around: Mapping[str, NDArray[np.generic]] = measure_slide(cells, recipe=recipe, settings=settings)
    if any(column.family in LATE_FAMILIES for column in columns):
        around = dict(around) | late_columns(table, columns, cells=cells, recipe=recipe, settings=settings)
    return {name: value[order] for name, value in whole.items()} | {name: one[rows] for name, one in around.items()}


def _take(table: Path, rows: NDArray[np.int64]) -> pa.Table:
    """Some rows of a table, of which one row group at a time is in memory."""
    at, taken = 0, []
    for batch in read_batches(table):
        here = rows[(rows >= at) & (rows < at + batch.num_rows)] - at
        taken.append(batch.take(pa.array(here)))
        at += batch.num_rows
    return pa.concat_tables(taken)


def _differing(stored: pa.Table, again: pa.Table, ids: NDArray[np.uint32]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for name in stored.column_names:
        one, other = (side[name].to_numpy() for side in (stored, again))
        same = one == other
        if one.dtype.kind == "f":
            same |= np.isnan(one) & np.isnan(other)
        for cell in ids[~same].tolist():
            found.setdefault(cell, []).append(name)
    return found
