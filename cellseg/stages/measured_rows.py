"""Rows of measurements in shard files: what one job measured of a slide's cells, for another's table. Floor 6."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import cellseg
from cellseg.columns import Column
from cellseg.errors import TableError
from cellseg.io.shard import Shards, digest_of, file_digest, open_shards
from cellseg.io.table import ARROW_TYPES
from cellseg.measure.registry import LATE_FAMILIES, SLIDE_FAMILIES, Values
from cellseg.measure_config import MeasureSettings
from cellseg.network_config import TissueSettings
from cellseg.preprocess.recipe import Recipe
from cellseg.stages.look import look_file
from cellseg.stages.results import MapFiles

KIND = "measurements"


class Given(NamedTuple):
    """What a slide is measured from, as `measure_cells` is given it."""

    image: Path
    labels: Path
    recipe: Recipe
    settings: MeasureSettings
    instances: Path | None
    tissue: Path | None
    tissue_settings: TissueSettings
    tiles: Path | None

    def made_of(self) -> dict[str, str]:
        """What measurements depend on beside the image's pixels.

        Raises
        ------
        TableError
            If a file cannot be read.
        """
        maps = [] if self.tissue is None else [self.tissue, MapFiles(self.tissue).probability]
        network = look_file(self.settings)
        return {
            "version of cellseg": cellseg.__version__,
            "recipe": digest_of(self.recipe.to_dict()),
            "section measure": digest_of(self.settings.model_dump(mode="json")),
            "network of appearance": "" if network is None else file_digest(network),
            "label image": file_digest(self.labels),
            "table of instances": "" if self.instances is None else file_digest(self.instances),
            "tissue map": " ".join(file_digest(path) for path in maps if path.is_file()),
            "max_distance_um": "" if self.tissue is None else str(self.tissue_settings.max_distance_um),
            "table of tiles": "" if self.tiles is None else file_digest(self.tiles),
        }


def rows_schema(columns: Sequence[Column]) -> pa.Schema:
    """The schema of shards of a table with these columns: those that windows tell of their cells, and "row"."""
    later = {"sample"} | {c.name for c in columns if c.family in LATE_FAMILIES or c.family in SLIDE_FAMILIES}
    return pa.schema([("row", pa.int64()), *((c.name, ARROW_TYPES[c.dtype]) for c in columns if c.name not in later)])


def pack_rows(values: Values, schema: pa.Schema) -> pa.RecordBatch:
    """The measurements of a job's cells as a batch."""
    return pa.RecordBatch.from_arrays([pa.array(values[field.name], field.type) for field in schema], schema=schema)


def open_measure_shards(paths: Sequence[Path], given: Given) -> Shards:
    """The shards of all cells of a slide.

    Raises
    ------
    TableError
        If they are not all of these labels, tables, maps, recipe, settings and version, each once.
    """
    return open_shards(paths, KIND, given.made_of())


def replayed(shards: Shards, jobs: Sequence[NDArray[np.int64]]) -> Iterator[Values]:
    """The measurements of each of these jobs, in order.

    Raises
    ------
    TableError
        If the shards are of other cells.
    """
    if shards.n_units != len(jobs):
        raise _other_cells(shards)
    for rows, batch in zip(jobs, shards.batches(), strict=True):
        values: Values = {
            name: column.to_numpy(zero_copy_only=False)
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
        if not np.array_equal(values["row"], rows):
            raise _other_cells(shards)
        yield values


def _other_cells(shards: Shards) -> TableError:
    return TableError(f"{shards.paths[0]}: these shards are not of the cells of this label image; make them again")
