"""Stage tissue: a map of what tissue lies where, by SegNet or from a lab's own annotation. Floor 6."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cellseg.errors import ConfigError
from cellseg.io.atomic import write_json
from cellseg.io.class_map import NO_CLASS, TILE_PX, cut_tiles, write_class_map
from cellseg.io.regions import Regions, read_annotation
from cellseg.io.slide import open_slide
from cellseg.network_config import TissueSettings
from cellseg.preprocess.recipe import Recipe
from cellseg.preprocess.tissue_mask import TissueMask, whole_slide
from cellseg.segment.scale import GRID_PX, View, network_pixels
from cellseg.stages.level_view import view_of_slide
from cellseg.stages.preprocess import check_recipe, read_tissue
from cellseg.stages.results import MapFiles
from cellseg.stages.tissue_report import finish_map
from cellseg.stream import map_tiles
from cellseg.tiles import Tile, TileGrid
from cellseg.types import Pixels, Progress, Slide, Window, silent

MIN_SCALE, MAX_SCALE = 1 / 64, 8.0
"""Pixels of a network's map per pixel of the slide."""
MAX_LUMEN_MM2 = 0.05
"""mm2; a piece of glass no larger than this, a lumen or a tear, belongs to the tissue around it."""
_SLIDE_ROWS_MPX = 24
_SMALL_PX = 128
Parts = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]
Look = Callable[[Tile], Parts]


@dataclass(frozen=True)
class _Plan:
    """How a map is made: its grid of tiles, its names and pixel size, and what makes a tile's classes."""

    grid: TileGrid
    names: tuple[str, ...]
    mpp: float
    scale: float
    look: Look
    record: dict[str, Any]
    has_probability: bool = False


def map_tissue(
    image: Path,
    out: Path,
    *,
    recipe: Recipe,
    settings: TissueSettings | None = None,
    tissue: Path | None = None,
    annotation: Path | None = None,
    workers: int = 1,
    device: str = "auto",
    max_decoded_mpx: float = 500.0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write the map of a slide, and beside it an overlay, polygons and a record; any number of workers, the same bytes.

    Memory: a window of the network and its context a worker, a row of windows of the map, and an overlay.

    Parameters
    ----------
    image : Path
        The slide.
    out : Path
        The map, X.ome.tif; see `MapFiles` for what lies beside it.
    recipe : Recipe
        Of this slide; its pixel size sets the scale.
    settings : TissueSettings, optional
        Which weights, which level of classes, how windows are cut.
    tissue : Path, optional
        The mask of tissue of `cellseg preprocess`; without it everything is looked at.
    annotation : Path, optional
        GeoJSON or a label image that stands in for the network.
    workers : int
        Threads.
    device : str
        auto, cpu or cuda: where the network runs.

    Returns
    -------
    dict
        The record: source, classes, areas (mm2 and share), pixel size, notes.

    Raises
    ------
    ImageError
        If the image cannot be read or is not the one that the recipe was made from.
    LabelError
        If the annotation cannot be read or does not fit the slide.
    ModelError, ConfigError
        If weights, level or pixel size cannot be used.
    """
    if out.suffix != ".tif":
        raise ConfigError(f"{out}: maps are written as OME-TIFF; choose a name such as {out.stem}.ome.tif")
    settings, files = settings or TissueSettings(), MapFiles(out)
    with open_slide(image, max_decoded_mpx=max_decoded_mpx) as slide, ExitStack() as stack:
        check_recipe(slide, recipe)
        if annotation is None:
            plan = _plan_network(slide, recipe, settings, _read_mask(tissue, recipe), device)
        else:
            regions = _read_annotation(annotation, recipe, settings, max_decoded_mpx)
            stack.callback(regions.close)
            plan = _plan_annotation(regions, annotation.name, recipe, settings)
        _write(files, plan, workers, progress)
        areas = finish_map(files, slide, recipe)
    record = plan.record | {
        "classes": list(plan.names), "mpp": plan.mpp, "scale": plan.scale,
        "height_px": plan.grid.height, "width_px": plan.grid.width, "areas": areas,
    }  # fmt: skip
    write_json(files.record, record)
    return record


def _read_mask(tissue: Path | None, recipe: Recipe) -> TissueMask:
    if tissue is None:
        return whole_slide(recipe.height_px, recipe.width_px, recipe.tissue_block_px)
    return fill_lumina(read_tissue(tissue, recipe), recipe.mpp)


def fill_lumina(mask: TissueMask, mpp: float) -> TissueMask:
    """The mask with pieces of glass of up to `MAX_LUMEN_MM2` filled: a gland's lumen is not beside the tissue.

    Where there is no tissue at all, none is made.
    """
    if not mask.blocks.any():
        return mask
    n, pieces, facts, _ = cv2.connectedComponentsWithStats((~mask.blocks).astype(np.uint8), connectivity=4)
    area_mm2 = facts[:, cv2.CC_STAT_AREA] * (mask.block_px * mpp) ** 2 / 1e6
    small = np.arange(n)[(area_mm2 <= MAX_LUMEN_MM2) & (np.arange(n) > 0)]
    return TissueMask(mask.blocks | np.isin(pieces, small), mask.block_px)


def map_size(recipe: Recipe, scale: float) -> tuple[int, int]:
    """Height and width of a map at `scale` map pixels per pixel of the slide: as many as touch it."""
    height, width = (max(int(np.ceil(side * scale - 1e-6)), 1) for side in (recipe.height_px, recipe.width_px))
    return height, width


def _plan_network(slide: Slide, recipe: Recipe, settings: TissueSettings, mask: TissueMask, device: str) -> _Plan:
    from cellseg.io.weights import find_weights, read_weights
    from cellseg.segment.tissue import FORMAT, load_tissue_network, on_grid

    weights = read_weights(find_weights(settings.weights), expected_format=FORMAT)
    network = load_tissue_network(weights, level=settings.level, device=device)
    mpp = settings.mpp or network.architecture.mpp or recipe.mpp
    scale = recipe.mpp / mpp
    if not MIN_SCALE <= scale <= MAX_SCALE:
        raise ConfigError(
            f"tissue: the slide has {recipe.mpp:g} um a pixel ({recipe.mpp_source}), the network works at {mpp:g}; "
            f"expected {mpp * MIN_SCALE:.3g} to {mpp * MAX_SCALE:.3g}; mend the pixel size, or give tissue.mpp"
        )
    height, width = map_size(recipe, scale)
    view, read_level = view_of_slide(slide, scale)
    # what the network is fed ends where the slide does, on the pooling grid, however the slide is cut
    extent = tuple(-(-side // GRID_PX) * GRID_PX for side in (height, width))

    def read(window: Window) -> Pixels:
        return network_pixels(read_level(window), recipe)

    def look(tile: Tile) -> Parts:
        core = tile.core
        glass = ~_mask_of_map(mask, core, scale)
        nothing = np.full((core.height, core.width), NO_CLASS, np.uint8)
        if not recipe.assessable or glass.all():
            return nothing, np.zeros_like(nothing)
        seen = on_grid(core.grow(network.architecture.context_px)).clip(*extent)
        inside = Window(core.y0 - seen.y0, core.y1 - seen.y0, core.x0 - seen.x0, core.x1 - seen.x0)
        classes, probability = network.look(_look_at(view, read, seen), inside)
        classes[glass], probability[glass] = NO_CLASS, 0
        return classes, probability

    record = {
        "source": "segnet", "level": settings.level, "weights": settings.weights, "weights_sha256": weights.sha256,
        "window_px": settings.window_px, "context_px": network.architecture.context_px, "device": str(network.device),
        "precision": str(network.precision).removeprefix("torch."),
        "notes": _notes(weights.metadata, recipe, height, width, mpp),
    }  # fmt: skip
    grid = TileGrid(height, width, settings.window_px)
    return _Plan(grid, network.names, mpp, scale, look, record, has_probability=True)


def _notes(metadata: dict[str, Any], recipe: Recipe, height: int, width: int, mpp: float) -> list[str]:
    """What makes the map doubtful."""
    notes = []
    if not recipe.assessable:
        notes.append("the slide is unassessable: nothing was looked at")
    stains = metadata.get("stains", ["he"])
    if recipe.stain not in stains:
        known = ", ".join(stains)
        notes.append(f"the weights were trained on {known}, this slide is {recipe.stain}: do not believe the map")
    if max(height, width) < _SMALL_PX:
        notes.append(f"the network saw no more than {height} x {width} px at {mpp:g} um; check the pixel size")
    return notes


def _read_annotation(annotation: Path, recipe: Recipe, settings: TissueSettings, max_decoded_mpx: float) -> Regions:
    scale = recipe.mpp / (settings.annotation_mpp or recipe.mpp)
    return read_annotation(
        annotation, slide_px=(recipe.height_px, recipe.width_px), map_px=map_size(recipe, scale), scale=scale,
        label_names=settings.label_names, max_decoded_mpx=max_decoded_mpx,
    )  # fmt: skip


def _plan_annotation(regions: Regions, name: str, recipe: Recipe, settings: TissueSettings) -> _Plan:
    mpp = settings.annotation_mpp or recipe.mpp

    def look(tile: Tile) -> Parts:
        return regions.read(tile.core), None

    grid = TileGrid(regions.height_px, regions.width_px, settings.window_px)
    record = {"source": "annotation", "annotation": name, "level": 0, "notes": []}
    return _Plan(grid, regions.names, mpp, recipe.mpp / mpp, look, record)


def _mask_of_map(mask: TissueMask, window: Window, scale: float) -> NDArray[np.bool_]:
    """Whether the middles of the pixels of a window of the map lie in tissue; (h, w) bool."""
    rows, columns = (
        np.minimum(np.floor((np.arange(*ends) + 0.5) / scale).astype(np.int64) // mask.block_px, side - 1)
        for ends, side in zip(((window.y0, window.y1), (window.x0, window.x1)), mask.blocks.shape, strict=True)
    )
    return np.asarray(mask.blocks[rows[:, None], columns[None, :]], np.bool_)


def _look_at(view: View, read: Callable[[Window], Any], seen: Window) -> NDArray[np.uint8]:
    """What the network sees of a window, made some rows at a time: much of the slide may lie under it."""
    rows = int(_SLIDE_ROWS_MPX * 1e6 * view.scale**2 / seen.width) // GRID_PX * GRID_PX
    step = max(rows, GRID_PX)
    parts = [view.look_at(read, seen._replace(y0=y, y1=min(y + step, seen.y1))) for y in range(seen.y0, seen.y1, step)]
    return np.concatenate(parts)


def _write(files: MapFiles, plan: _Plan, workers: int, progress: Progress) -> None:
    """The map and, where there is one, its probability, in one pass over the tiles."""
    files.map.parent.mkdir(parents=True, exist_ok=True)
    size = {"height_px": plan.grid.height, "width_px": plan.grid.width}
    about: dict[str, Any] = size | {"mpp": plan.mpp, "names": plan.names}
    with tempfile.TemporaryFile(dir=files.map.parent) as spool:
        rows = _rows(plan, spool, workers, progress)
        write_class_map(files.map, cut_tiles(rows, **size), **about)
        files.probability.unlink(missing_ok=True)
        if plan.has_probability:
            again = cut_tiles(_spooled(spool, plan.grid), **size)
            write_class_map(files.probability, again, kind="probability", **about)


def _rows(plan: _Plan, spool: IO[bytes], workers: int, progress: Progress) -> Iterator[NDArray[np.uint8]]:
    """Rows of tiles (h, width) of the map, top to bottom; their probabilities go into `spool`."""
    held: list[Parts] = []
    made = map_tiles(plan.look, plan.grid.tiles(), workers=workers)
    for done, parts in enumerate(made, start=1):
        held.append(parts)
        if len(held) == plan.grid.n_columns:
            if plan.has_probability:
                spool.write(np.concatenate([own for _, own in held if own is not None], axis=1).tobytes())
            yield np.concatenate([classes for classes, _ in held], axis=1)
            held = []
        progress(done, len(plan.grid))


def _spooled(spool: IO[bytes], grid: TileGrid) -> Iterator[NDArray[np.uint8]]:
    """The probabilities again, some rows at a time."""
    spool.seek(0)
    for y in range(0, grid.height, TILE_PX):
        rows = min(TILE_PX, grid.height - y)
        yield np.frombuffer(spool.read(rows * grid.width), np.uint8).reshape(rows, grid.width)
