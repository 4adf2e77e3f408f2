"""From an image and its label image to one row of measurements a cell. Floor 6.

The label image is read twice: once to find where each cell lies, once, with the image, to measure. Each tile measures
the cells whose box begins in it, in a window that holds them whole; all sums are whole numbers in coordinates of the
cell's box, so that the table is the same for every tile size and number of workers.

The compiled loops are kept in numba's cache: `__pycache__` beside the modules or, where the installation cannot be
written to, the user's cache folder (`NUMBA_CACHE_DIR` names another one). Where none can be written to they are
compiled in each run (`io/kernel_cache.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.columns import Column
from cellseg.errors import LabelError, TableError
from cellseg.io.atomic import temporary_folder
from cellseg.io.labels import LabelImage, open_labels
from cellseg.io.slide import open_slide
from cellseg.io.table import TableWriter, read_table
from cellseg.measure.boxes import X0, Y0, Cells, merge_cells, scan_cells
from cellseg.measure.detected import UNSAID, Detected
from cellseg.measure.layout import margin_px, measured_columns
from cellseg.measure.registry import LATE_FAMILIES, Values
from cellseg.measure.slide_tiles import SlideTiles
from cellseg.measure.view import Look
from cellseg.measure.window import measure_slide, measure_window
from cellseg.measure_config import MeasureSettings
from cellseg.network_config import TissueSettings
from cellseg.preprocess.recipe import Recipe
from cellseg.stages.cell_tiles import read_tiles
from cellseg.stages.cell_tissue import TissueMap, open_tissue
from cellseg.stages.late import add_late_columns
from cellseg.stages.look import find_look
from cellseg.stages.measured_rows import Given, open_measure_shards, replayed
from cellseg.stages.preprocess import check_recipe
from cellseg.stream import map_read, map_tiles
from cellseg.tiles import TileGrid
from cellseg.types import Labels, Pixels, Progress, Slide, Window, silent

ROW_GROUP = 32_768
"""Rows of a row group: fixed, so that the file does not depend on tiles."""
_MAX_CELL_MPX = 100
"""Mpx; the box of a label that is larger is no cell's, and would not fit in bounded memory."""
_MPP_TOLERANCE = 0.01


class Seen(NamedTuple):
    """What is seen in a window: its labels (h, w) uint32 and pixels (h, w, C)."""

    window: Window
    labels: Labels
    pixels: Pixels


@dataclass(frozen=True)
class Source:
    """What the jobs of one run share; reading is thread-safe."""

    slide: Slide
    labels: LabelImage
    cells: Cells
    recipe: Recipe
    settings: MeasureSettings
    detected: Detected
    tissue: TissueMap | None
    look: Look | None
    tiles: SlideTiles
    n_tiles: int

    @property
    def tissue_names(self) -> tuple[str, ...]:
        """The classes of the tissue map, if there is one."""
        return () if self.tissue is None else self.tissue.names

    def read(self, rows: NDArray[np.int64]) -> Seen:
        """The window around the cells of these rows."""
        margin = margin_px(self.recipe, self.settings, self.look.field if self.look else None)
        window = self.cells.take(rows).window().grow(margin).clip(self.slide.height, self.slide.width)
        return Seen(window, self.labels.read(window), self.slide.read(window))

    def measure(self, rows: NDArray[np.int64], seen: Seen) -> Values:
        """What the window around the cells of these rows tells of them, and the rows themselves under "row"."""
        cells = self.cells.take(rows)
        values = measure_window(
            seen.labels, seen.pixels, cells, seen.window,
            recipe=self.recipe, settings=self.settings, detected=self.detected,
            tissue=None if self.tissue is None else self.tissue.columns_of(cells), look=self.look,
            tiles=self.tiles,
        )  # fmt: skip
        return values | {"row": rows}


def measure_cells(
    image: Path,
    labels: Path,
    out: Path,
    *,
    recipe: Recipe,
    settings: MeasureSettings,
    sample: str,
    tile_px: int = 2048,
    workers: int = 1,
    max_decoded_mpx: float = 500.0,
    instances: Path | None = None,
    tissue: Path | None = None,
    tissue_settings: TissueSettings | None = None,
    tiles: Path | None = None,
    shards: Sequence[Path] = (),
    progress: Progress = silent,
) -> int:
    """One row of measurements for each label of `labels`, written to `out` (.parquet or .csv) by rising `cell_id`.

    Any tile size and number of workers give the same bytes. Memory is bounded by tiles, plus about 100 bytes a cell for
    boxes and centroids. Rows are held back until all smaller ids are measured: about one row of tiles where ids are
    in raster order, as ours are, up to the whole table for label images of other tools.

    Parameters
    ----------
    image, labels : Path
        The image and its label image, of the same size. No label at all gives a table with a header only.
    out : Path
        The table; its columns are `measured_columns(recipe, settings)`, and one a class of the tissue map.
    recipe : Recipe
        Of this image; its pixel size is what lengths and areas are in.
    settings : MeasureSettings
        Families and the density radius.
    sample : str
        Goes into every row.
    tile_px : int
        Side of a tile, px.
    workers : int
        Threads.
    max_decoded_mpx : float
        Mpx; see `open_slide`.
    instances : Path, optional
        The table that `segment_slide` wrote beside the label image: score, class and seam flag of each label.
    tissue : Path, optional
        The map that `map_tissue` wrote for this image; without one the columns of the family `tissue` are empty.
    tissue_settings : TissueSettings, optional
        How far distances to boundaries of tissues are measured.
    tiles : Path, optional
        The table of quality tiles that `preprocess_slide` wrote for this image; without one no cell has their flags.
    shards : sequence of Path
        What `measure_shard` wrote of all cells: stands in for measuring them.
    progress : Progress
        Called with units done and units in all.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    ImageError
        If the image cannot be read or the recipe is another image's.
    LabelError
        If the label image cannot be read, has another size or pixel size than the image, a label's box is over
        100 Mpx, or the tissue map is not of this image.
    TableError
        If `instances` or `tiles` cannot be read or is not of these labels, or `shards` are not all of them.
    """
    given = Given(image, labels, recipe, settings, instances, tissue, tissue_settings or TissueSettings(), tiles)
    parts = open_measure_shards(shards, given) if shards else None
    look = None if parts else find_look(settings)
    with open_source(given, look, tile_px, workers, max_decoded_mpx, progress) as source:
        cells = source.cells
        columns = measured_columns(recipe, settings, source.tissue_names)
        jobs = plan_jobs(cells, parts.agreed["tile_px"] if parts else tile_px)
        first = tuple(column for column in columns if column.family not in LATE_FAMILIES)
        around = measure_slide(cells, recipe=recipe, settings=settings)
        measured = replayed(parts, jobs) if parts else map_read(source.read, source.measure, jobs, workers=workers)
        whole = (values | {name: column[values["row"]] for name, column in around.items()} for values in measured)
        with _first_pass(out, whole=first == columns) as path:
            with TableWriter(path, first) as writer:
                for batch in _in_order(whole, jobs, source.n_tiles, progress):
                    writer.write(rows_of(batch, first, sample))
            if first != columns:
                add_late_columns(path, out, columns, cells=cells, recipe=recipe, settings=settings)
    return len(cells)


@contextmanager
def open_source(
    given: Given,
    look: Look | None,
    tile_px: int,
    workers: int,
    max_decoded_mpx: float,
    progress: Progress,
    *,
    cells: Cells | None = None,
) -> Iterator[Source]:
    """Open what a slide is measured from and find its cells, unless they are given; as of `measure_cells`."""
    reach_um, recipe = given.tissue_settings.max_distance_um, given.recipe
    with (
        open_slide(given.image, max_decoded_mpx=max_decoded_mpx) as slide,
        open_labels(given.labels, max_decoded_mpx=max_decoded_mpx) as labels,
        nullcontext() if given.tissue is None else open_tissue(given.tissue, recipe, max_distance_um=reach_um) as map_,
    ):
        check_recipe(slide, recipe)
        _check_labels(slide, labels, recipe, given.image, given.labels)
        grid = TileGrid(slide.height, slide.width, tile_px)
        cells = find_all_cells(labels, grid, workers, progress) if cells is None else cells
        _check_sizes(cells, given.labels)
        yield Source(
            slide, labels, cells, recipe, given.settings, _read_instances(given.instances, cells), map_,
            look, read_tiles(given.tiles, recipe), len(grid),
        )  # fmt: skip


@contextmanager
def _first_pass(out: Path, *, whole: bool) -> Iterator[Path]:
    """Where the windows' measurements go: to the output, or beside it where columns are still to be added."""
    if whole:
        yield out
        return
    with temporary_folder(out) as folder:
        yield folder / "first.parquet"


def plan_jobs(cells: Cells, tile_px: int) -> list[NDArray[np.int64]]:
    """Rows of `cells` to measure together: those whose boxes begin in one tile, tiles in raster order.

    A cell whose box is longer than half a tile has a job of its own, behind its tile's: it must not widen the window
    of the others.
    """
    if not len(cells):
        return []
    sides = cells.boxes[:, 1::2] - cells.boxes[:, ::2]
    alone = np.where(sides.max(axis=1) > tile_px // 2, 1 + np.arange(len(cells)), 0)
    y, x = cells.boxes[:, Y0] // tile_px, cells.boxes[:, X0] // tile_px
    order = np.lexsort((alone, x, y))
    keys = np.stack([y, x, alone])[:, order]
    cuts = np.flatnonzero((keys[:, 1:] != keys[:, :-1]).any(axis=0)) + 1
    return [np.sort(rows) for rows in np.split(order, cuts)]


def find_all_cells(labels: LabelImage, grid: TileGrid, workers: int, progress: Progress = silent) -> Cells:
    """Boxes and sums of all cells of a label image; the first half of the work."""
    windows = [tile.core for tile in grid.tiles()]
    parts = []
    scans = map_tiles(lambda window: scan_cells(labels.read(window), window.y0, window.x0), windows, workers=workers)
    for done, part in enumerate(scans, start=1):
        parts.append(part)
        progress(done, 2 * len(grid))
    return merge_cells(parts)


def _in_order(
    results: Iterator[Values], jobs: list[NDArray[np.int64]], n_tiles: int, progress: Progress
) -> Iterator[Values]:
    """The results in row groups, by rising row: a row is passed on when no job to come has a smaller one."""
    if not jobs:
        progress(2 * n_tiles, 2 * n_tiles)
        return
    least_ahead = np.minimum.accumulate([rows[0] for rows in jobs][::-1])[::-1]
    complete = [*least_ahead[1:].tolist(), sum(map(len, jobs))]
    held: list[Values] = []
    written = 0
    for done, (values, until) in enumerate(zip(results, complete, strict=True), start=1):
        held.append(values)
        progress(n_tiles + n_tiles * done // len(jobs), 2 * n_tiles)
        if until - written < ROW_GROUP and done < len(jobs):
            continue
        merged = _sorted(held)
        at = 0
        while until - written - at >= ROW_GROUP or (done == len(jobs) and until - written > at):
            size = min(ROW_GROUP, until - written - at)
            yield {name: column[at : at + size] for name, column in merged.items()}
            at += size
        written += at
        held = [{name: column[at:].copy() for name, column in merged.items()}]


def _sorted(parts: list[Values]) -> Values:
    order = np.argsort(np.concatenate([part["row"] for part in parts]), kind="stable")
    return {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}


def rows_of(values: Values, columns: tuple[Column, ...], sample: str) -> pa.Table:
    """Measurements as rows of a table with these columns."""
    names = np.full(len(values["row"]), sample, dtype=object)
    return pa.table({c.name: pa.array(names if c.name == "sample" else values[c.name]) for c in columns})


def _read_instances(path: Path | None, cells: Cells) -> Detected:
    if path is None:
        return UNSAID
    table = read_table(path, ["cell_id", "score", "class", "seam_joined"])
    ids = table["cell_id"].to_numpy().astype(np.uint32)
    if not np.array_equal(ids, cells.ids):
        raise TableError(
            f"{path}: {len(ids)} cells, but the label image has {len(cells)}, or they have other ids; give the table "
            "that was written with these labels, or segment the slide again"
        )
    score, names, joined = (table[name].to_numpy() for name in ("score", "class", "seam_joined"))
    return Detected(ids, score.astype(np.float64), names.astype(object), joined.astype(np.bool_))


def _check_labels(slide: Slide, labels: LabelImage, recipe: Recipe, image: Path, path: Path) -> None:
    if (labels.height, labels.width) != (slide.height, slide.width):
        raise LabelError(
            f"{path}: the label image is {labels.height} x {labels.width} px (height x width), but {image} is "
            f"{slide.height} x {slide.width} px; give the label image that was made from this image at full resolution"
        )
    if labels.mpp is not None and abs(labels.mpp - recipe.mpp) > _MPP_TOLERANCE * recipe.mpp:
        raise LabelError(
            f"{path}: the label image has {labels.mpp:g} um a pixel, but {image} is taken at {recipe.mpp:g} "
            f"({recipe.mpp_source}); correct mpp in samples.tsv (or --mpp) or segment the image again"
        )


def _check_sizes(cells: Cells, path: Path) -> None:
    sides = cells.boxes[:, 1::2] - cells.boxes[:, ::2]
    too_large = np.flatnonzero(sides[:, 0] * sides[:, 1] > _MAX_CELL_MPX * 1_000_000)
    if len(too_large):
        row = too_large[0]
        raise LabelError(
            f"{path}: label {cells.ids[row]} spans {sides[row, 0]} x {sides[row, 1]} px, more than {_MAX_CELL_MPX} "
            "Mpx; that is a region, not a cell; set it to 0 (background) or number its connected pieces one by one"
        )
