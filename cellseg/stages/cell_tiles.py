"""The table of a slide's quality tiles, read for its cells. Floor 6."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cellseg.columns.slide_tiles import TILE_COLUMNS
from cellseg.errors import TableError
from cellseg.io.table import read_table
from cellseg.measure.slide_tiles import NO_TILES, SlideTiles
from cellseg.preprocess.recipe import Recipe


def read_tiles(path: Path | None, recipe: Recipe) -> SlideTiles:
    """The tiles that `preprocess_slide` wrote for this recipe; without a table nothing is known of any place.

    Raises
    ------
    TableError
        If the table cannot be read, is no grid, or is of a slide of another size.
    """
    if path is None:
        return NO_TILES
    table = read_table(path, [column.name for column in TILE_COLUMNS])
    y0, x0, y1, x1 = (table[name].to_numpy() for name in ("y0_px", "x0_px", "y1_px", "x1_px"))
    rows, columns = np.unique(y0), np.unique(x0)
    side = int(max(y1[0] - y0[0], x1[0] - x0[0])) if len(y0) else 1
    grid = (np.indices((len(rows), len(columns))) * side).reshape(2, -1)
    size = (int(y1.max(initial=0)), int(x1.max(initial=0)))
    if size != (recipe.height_px, recipe.width_px) or not np.array_equal(grid, [y0, x0]):
        raise TableError(
            f"{path}: {table.num_rows} tiles of a slide of {size[0]} x {size[1]} px (height x width), expected "
            f"those of {recipe.height_px} x {recipe.width_px} px; run `cellseg preprocess` again"
        )
    shape = (len(rows), len(columns))
    flags, unassessable_by = (
        table[name].to_numpy().astype(object).reshape(shape) for name in ("flags", "unassessable_by")
    )
    return SlideTiles(side, table["focus_per_um"].to_numpy().reshape(shape), flags, unassessable_by)
