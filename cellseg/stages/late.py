"""Measurements that need other columns of all cells of the slide: added when the table is whole. Floor 6."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from cellseg.columns import Column
from cellseg.io.table import TableWriter, read_batches, read_table
from cellseg.measure.boxes import Cells
from cellseg.measure.layout import late_inputs
from cellseg.measure.registry import Values
from cellseg.measure.window import measure_late
from cellseg.measure_config import MeasureSettings
from cellseg.preprocess.recipe import Recipe


def add_late_columns(
    measured: Path, out: Path, columns: Sequence[Column], *, cells: Cells, recipe: Recipe, settings: MeasureSettings
) -> None:
    """Copy a table, row group by row group, with the columns of the late families in their places.

    Parameters
    ----------
    measured : Path
        The table without them (.parquet), by rising `cell_id`.
    out : Path
        The table to write (.parquet or .csv).
    columns : sequence of Column
        All columns of `out`.
    cells : Cells
        The n cells of the table. The columns that are needed are held in memory: 8 bytes a cell each.
    recipe, settings : Recipe, MeasureSettings
        What the slide was measured with.

    Raises
    ------
    ConfigError
        If the settings name a column that was not measured.
    """
    names = [column.name for column in columns]
    late = late_columns(measured, columns, cells=cells, recipe=recipe, settings=settings)
    row = 0
    with TableWriter(out, columns) as writer:
        for batch in read_batches(measured):
            here = slice(row, row + batch.num_rows)
            writer.write(
                pa.table({name: pa.array(late[name][here]) if name in late else batch[name] for name in names})
            )
            row = here.stop


def late_columns(
    measured: Path, columns: Sequence[Column], *, cells: Cells, recipe: Recipe, settings: MeasureSettings
) -> Values:
    """The columns of the late families of all cells of a table; what is given and raised as of `add_late_columns`."""
    table = read_table(measured, late_inputs([column.name for column in columns], recipe, settings))
    inputs = {name: np.asarray(table[name].to_numpy(), np.float64) for name in table.column_names}
    return measure_late(cells, inputs, recipe=recipe, settings=settings)
