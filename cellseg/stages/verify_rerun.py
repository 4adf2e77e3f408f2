"""A share of a run's tiles done again and compared with its label images and tables. Floor 6.

What is compared, of each sample that did not fail, for tiles drawn at random:

- Segmentation: every cell with a pixel in the tile, as label image and redoing have it, must be one and the same set
  of pixels; names (ids) may differ. A cell that reaches the rim of what was done again, also after that was widened, is
  not judged and counted.
- Measurements: every column of the table, of the cells whose centroid lies in the tile, measured on the label image as
  it lies there, must be equal to the last digit; not a number equals itself. Columns that look at other cells of the
  slide are made from where these lie and, for families that compare features, from what the table has of them.

Taken as recorded and not done again: recipe, mask of tissue, quality tiles, tissue map, threshold, and the scores and
classes of cells.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellseg.config import Config
from cellseg.errors import CellsegError, ConfigError
from cellseg.io.labels import STRIP_PX, LabelImage, open_labels
from cellseg.io.scratch import ClusterScratch
from cellseg.io.settings import read_settings
from cellseg.io.slide import open_slide
from cellseg.measure.boxes import Cells
from cellseg.preprocess.recipe import Recipe
from cellseg.stages.crate_files import CONFIG_NAME
from cellseg.stages.crate_reading import read_run
from cellseg.stages.in_force import PreparedSlide
from cellseg.stages.measure import find_all_cells
from cellseg.stages.measured_rows import Given
from cellseg.stages.preprocess import check_recipe, read_recipe
from cellseg.stages.redo import Redoer, TileCompared, choose_tiles
from cellseg.stages.remeasure import compare_measured
from cellseg.stages.results import TISSUE_MAP, record_path, sample_folder
from cellseg.stages.segmenters import choose_segmenter
from cellseg.stages.slide_cells import SlideJob
from cellseg.stages.verify import Places
from cellseg.tiles import Tile, TileGrid
from cellseg.types import silent

_NAMED = 10


class Redone(NamedTuple):
    """A sample of which tiles were done again.

    n_tiles : how many of `n_all`. n_segmented, n_measured : cells that were compared, those that differ included.
    n_open : cells that could not be judged. faults : a line for each tile or table that is not the same.
    """

    sample: str
    n_tiles: int
    n_all: int
    n_segmented: int
    n_measured: int
    n_open: int
    faults: list[str]


class Drawing(NamedTuple):
    """How tiles are drawn, and what they are done with."""

    share: float
    seed: int
    workers: int
    device: str


def redo_samples(results: Path, drawing: Drawing, *, sheet: Path | None = None) -> Iterator[Redone]:
    """Do a share of the tiles of each sample of a run again; the same ones for the same seed.

    Memory: as the stages, and about 200 bytes a cell.

    Raises
    ------
    ConfigError
        If the share is not over 0 and at most 1.
    TableError
        If there is no crate of ours.
    """
    if not 0 < drawing.share <= 1:
        raise ConfigError(f"--rerun {drawing.share:g}: expected a share of the tiles, over 0 and up to 1, as 0.01")
    run = read_run(results)
    config = read_settings(Config, str(results / CONFIG_NAME))
    places = Places(results, run, sheet)
    for one in run.images:
        sample, what = one.key.split("/", 1)
        if what != "image" or sample in run.failed:
            continue
        try:
            yield _redo(sample, places.image(one), results, config, drawing)
        except CellsegError as error:
            yield Redone(sample, 0, 0, 0, 0, 0, [f"cannot be done again: {error}"])


def _redo(sample: str, image: Path, results: Path, config: Config, drawing: Drawing) -> Redone:
    folder = sample_folder(results, sample)
    labels, recipe = folder / "segment" / "labels.ome.tif", read_recipe(folder / "segment" / "recipe.json")
    limit = config.input.max_decoded_mpx
    rng = np.random.default_rng([drawing.seed, zlib.crc32(sample.encode())])
    with open_labels(labels, max_decoded_mpx=limit) as opened:
        whole = TileGrid(opened.height, opened.width, config.compute.tile_px)
        cells = find_all_cells(opened, whole, drawing.workers)
        chosen, n_all, compared = _segment(image, opened, cells, recipe, config, drawing, rng)
    faults = [line for one in compared for line in _segmented_otherwise(one)]
    rows = np.concatenate([np.zeros(0, np.int64), *(rows for _, rows in chosen)])
    try:
        differing = compare_measured(
            _given(image, folder, recipe, config), folder / "measure" / "measurements.parquet", cells, rows,
            sample=sample, tile_px=config.compute.tile_px, workers=drawing.workers, max_decoded_mpx=limit,
        )  # fmt: skip
    except CellsegError as error:
        differing, rows = {}, rows[:0]
        faults.append(f"cannot be measured again: {error}")
    faults += [line for tile, own in chosen for line in _measured_otherwise(tile, cells.ids[own], differing)]
    # a cell on the border of two tiles is compared in both
    seen = {cell for one in compared for cell in (*one.found.alike.tolist(), *one.found.differing.tolist())}
    n_segmented = len(seen) + sum(len(one.found.unknown) for one in compared)
    return Redone(sample, len(chosen), n_all, n_segmented, len(rows), sum(one.found.open for one in compared), faults)


def _segment(
    image: Path, labels: LabelImage, cells: Cells, recipe: Recipe, config: Config, drawing: Drawing,
    rng: np.random.Generator,
) -> tuple[list[tuple[Tile, NDArray[np.int64]]], int, list[TileCompared]]:  # fmt: skip
    """Tiles that were drawn with the rows of their cells, of how many, and how they compare when done again."""
    prepared = PreparedSlide(recipe, labels.path.with_name("tissue.png"))
    record = _read_record(record_path(labels.path))
    with (
        TemporaryDirectory(prefix="cellseg-") as name,
        open_slide(image, max_decoded_mpx=config.input.max_decoded_mpx) as slide,
        ClusterScratch(Path(name), width_px=recipe.width_px, strip_px=STRIP_PX) as scratch,
    ):
        check_recipe(slide, recipe)
        job = SlideJob(
            slide, recipe, prepared.mask(), scratch, Path(name), config.compute.tile_px, drawing.workers, silent
        )
        redoer = Redoer(choose_segmenter(config.segmentation, recipe, device=drawing.device), job, record)
        chosen = choose_tiles(redoer.grid, cells.centroids_px, drawing.share, rng)
        return chosen, len(redoer.grid), list(redoer.compare((tile for tile, _ in chosen), labels))


def _given(image: Path, folder: Path, recipe: Recipe, config: Config) -> Given:
    """What the sample was measured from."""
    labels = folder / "segment" / "labels.ome.tif"
    tissue = folder / TISSUE_MAP if config.tissue.enabled else None
    return Given(
        image, labels, recipe, config.measure, labels.with_name("instances.parquet"), tissue, config.tissue,
        labels.with_name("tiles.parquet"),
    )  # fmt: skip


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CellsegError(f"{path}: no readable record of the segmentation ({error})") from error
    if record.get("method") == "threshold" and "threshold_count" not in record:
        raise CellsegError(
            f"{path}: says its threshold by rounded figures, as older versions did; run the workflow again"
        )
    return record


def _segmented_otherwise(one: TileCompared) -> Iterator[str]:
    """A line for a tile in which cells were segmented otherwise."""
    found, said = one.found, []
    if len(found.differing):
        said.append(f"cells {_some(found.differing.tolist())} have other pixels")
    if len(found.unknown):
        places = [f"({y}, {x})" for y, x in found.unknown.tolist()]
        said.append(f"cells at (y, x) {_some(places)} are not in the label image")
    if said:
        yield f"{_name(one.tile)}: {' and '.join(said)}"


def _measured_otherwise(tile: Tile, ids: NDArray[np.uint32], differing: dict[int, list[str]]) -> Iterator[str]:
    """A line for a tile in which cells were measured otherwise."""
    own = {cell: differing[cell] for cell in ids.tolist() if cell in differing}
    if own:
        names = dict.fromkeys(name for columns in own.values() for name in columns)
        yield f"{_name(tile)}: cells {_some(list(own))} measure otherwise in {_some(list(names))}"


def _name(tile: Tile) -> str:
    core = tile.core
    return f"tile {tile.index} (y {core.y0} to {core.y1}, x {core.x0} to {core.x1})"


def _some(names: list[Any]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(str, names[:_NAMED])) + more
