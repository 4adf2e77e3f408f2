"""A part of a slide's cells measured by one job; `measure_cells` makes one table of all parts. Floor 6."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cellseg.io.shard import ShardHeader, write_shard
from cellseg.measure.boxes import Cells
from cellseg.measure.layout import measured_columns
from cellseg.measure_config import MeasureSettings
from cellseg.network_config import TissueSettings
from cellseg.preprocess.recipe import Recipe
from cellseg.stages.look import find_look
from cellseg.stages.measure import open_source, plan_jobs
from cellseg.stages.measured_rows import KIND, Given, pack_rows, rows_schema
from cellseg.stages.shard_tiles import ShardOf
from cellseg.stream import map_read
from cellseg.types import Progress, silent

_CELL_PX = 1000
"""What a cell costs beside the pixels of its box, px."""


def measure_shard(
    image: Path,
    labels: Path,
    out: Path,
    *,
    recipe: Recipe,
    settings: MeasureSettings,
    shard: ShardOf,
    tile_px: int = 2048,
    workers: int = 1,
    max_decoded_mpx: float = 500.0,
    instances: Path | None = None,
    tissue: Path | None = None,
    tissue_settings: TissueSettings | None = None,
    tiles: Path | None = None,
    progress: Progress = silent,
) -> ShardHeader:
    """Measure one shard of a slide's cells and write their rows, for `measure_cells` to make one table of.

    A shard has the cells whose boxes begin in its tiles: neighbours in raster order, about as many pixels of cells in
    each shard. Where cells lie is found anew by every job, from the whole label image; what takes other cells of the
    slide (neighbours, contrast) is left to `measure_cells`. Options, memory and errors are those of `measure_cells`.

    Parameters
    ----------
    shard : ShardOf
        Which of how many.
    tile_px : int
        Side of a tile, px; the same for all shards.

    Returns
    -------
    ShardHeader
        What was written.
    """
    given = Given(image, labels, recipe, settings, instances, tissue, tissue_settings or TissueSettings(), tiles)
    made_of = given.made_of()
    with open_source(given, find_look(settings), tile_px, workers, max_decoded_mpx, progress) as source:
        jobs = plan_jobs(source.cells, tile_px)
        part = shard.part(np.array([_cost(source.cells.take(rows)) for rows in jobs], np.int64))
        schema = rows_schema(measured_columns(recipe, settings, source.tissue_names))
        header = ShardHeader(KIND, made_of, {"tile_px": tile_px}, part.start, part.stop, len(jobs))
        with write_shard(out, schema) as writer:
            measured = map_read(source.read, source.measure, jobs[part.start : part.stop], workers=workers)
            for done, values in enumerate(measured, start=1):
                writer.write(pack_rows(values, schema))
                progress(source.n_tiles * (len(part) + done) // len(part), 2 * source.n_tiles)
            writer.finish(header)
    return header


def _cost(cells: Cells) -> int:
    """About what measuring these cells costs, px."""
    sides = cells.boxes[:, 1::2] - cells.boxes[:, ::2]
    return int((sides[:, 0] * sides[:, 1] + _CELL_PX).sum())
