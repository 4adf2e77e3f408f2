"""Stage segment by thresholds: clusters of each tile, joined over the slide. Floor 6."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellseg.config import ThresholdSettings
from cellseg.preprocess.histogram import count_levels
from cellseg.preprocess.normalize import SIGNAL_MAX, Signal, segmentation_signal
from cellseg.preprocess.recipe import Recipe
from cellseg.preprocess.tissue_mask import TissueMask
from cellseg.segment.basins import TileBasins, empty_basins, find_basins
from cellseg.segment.clean import clean_foreground, context_px, joining, landscape, size_faults
from cellseg.segment.seam import BasinJoiner, Clusters, number_cells
from cellseg.segment.threshold import (
    Threshold,
    count_steps,
    find_threshold,
    foreground,
    smooth_signal,
    smoothing_reach_px,
)
from cellseg.stages.shard_tiles import Packed, read_basins, tile_of
from cellseg.stages.slide_cells import REACH_BLOCKS, FoundCells, SlideJob
from cellseg.stream import map_read
from cellseg.tiles import Tile, TileGrid
from cellseg.types import Labels, Pixels, Slide, Window


class _Job(NamedTuple):
    """What every tile of a slide is segmented with."""

    slide: Slide
    recipe: Recipe
    tissue: TissueMask
    reach: TissueMask
    signal: Signal
    settings: ThresholdSettings
    fixed_count: int | None

    @property
    def sigma_px(self) -> float:
        return self.settings.smooth_um / self.recipe.mpp


class FoundBasins(NamedTuple):
    """What a tile holds, and the labels of its core, packed; None where it holds nothing."""

    tile: Tile
    found: tuple[TileBasins, Packed] | None


class ThresholdSegmenter:
    """Finds the cells of a slide by a threshold and watershed; the same for every tile size.

    `count` and `find_tiles` do a part of the slide's tiles, for `find` in another job to put together.
    """

    def __init__(self, settings: ThresholdSettings) -> None:
        self.settings = settings

    def find(self, job: SlideJob) -> FoundCells:
        """Put the clusters of the slide into the job's scratch and say which are cells.

        Raises
        ------
        ConfigError
            If the settings name a channel that the slide does not have.
        """
        own, grid = self._prepare(job), self.grid(job)
        n = len(grid)
        if job.shards is not None:
            threshold = Threshold(**job.shards.agreed["threshold"])
            found = _replayed(job, grid)
        else:
            counted = replace(job, progress=lambda done, _: job.progress(done, 2 * n))
            threshold = self.threshold(job, self.count(counted, grid.tiles()))
            found = _find_tiles(own, grid.tiles(), threshold, job)
        joiner = BasinJoiner(width_px=grid.width, joining=joining(own.settings, mpp=own.recipe.mpp))
        for done, (tile, seen) in enumerate(found, start=1):
            basins, pieces = seen or (empty_basins(tile.core.height, tile.core.width), [])
            job.scratch.put(pieces, joiner.add(tile.core, basins))
            job.progress(n + done, 2 * n)
        return _number(own, joiner.finish(), threshold)

    def grid(self, job: SlideJob) -> TileGrid:
        """The tiles of a slide."""
        recipe = job.recipe
        return TileGrid(recipe.height_px, recipe.width_px, job.tile_px, context_px(self.settings, recipe.mpp))

    def count(self, job: SlideJob, tiles: Iterable[Tile]) -> NDArray[np.int64]:
        """Over the tissue of these tiles, (2, 4096): pixels by count of the smoothed signal, neighbours by their step.

        Sums over all tiles are what `threshold` is found by.
        """
        if not job.recipe.assessable:
            return np.zeros((2, SIGNAL_MAX + 1), np.int64)
        return _count_signal(self._prepare(job), tiles, job)

    def threshold(self, job: SlideJob, counts: NDArray[np.int64]) -> Threshold:
        """The threshold of the slide from what `count` counts in all of its tiles."""
        own = self._prepare(job)
        threshold = find_threshold(counts[0], own.settings, fixed_count=own.fixed_count, steps=counts[1])
        return threshold if job.recipe.assessable else replace(threshold, found=False)

    def find_tiles(self, job: SlideJob, threshold: Threshold, tiles: Iterable[Tile]) -> Iterator[FoundBasins]:
        """What each of these tiles holds, in order."""
        return _find_tiles(self._prepare(job), tiles, threshold, job)

    def redo(self, job: SlideJob, record: Mapping[str, Any], window: Window) -> Labels:
        """The cells of a window by the threshold of the slide's record, (h, w) uint32; those at its rims may be others.

        Raises
        ------
        KeyError
            If the record does not say it.
        """
        own, recipe = self._prepare(job), job.recipe
        names = ("threshold_count", "background_count", "contrast", "contrast_enough")
        threshold = Threshold(*(record[name] for name in names))
        context = window.grow(context_px(self.settings, recipe.mpp)).clip(recipe.height_px, recipe.width_px)
        ((_, found),) = _find_tiles(own, [Tile(0, window, context)], threshold, job)
        if found is None:
            return np.zeros((window.height, window.width), np.uint32)
        joiner = BasinJoiner(width_px=recipe.width_px, joining=joining(own.settings, mpp=recipe.mpp))
        joiner.add(window, found[0])
        return _number(own, joiner.finish(), threshold).cell_of[found[0].labels]

    def agreed(self, threshold: Threshold, job: SlideJob) -> dict[str, Any]:
        """What jobs that do a part of the slide's tiles must agree in."""
        return {"threshold": asdict(threshold), "tile_px": job.tile_px}

    def _prepare(self, job: SlideJob) -> _Job:
        chosen = self.settings
        signal = segmentation_signal(
            job.recipe, chosen.signal_channel, chosen.foreground, max_eosin_share=chosen.max_eosin_share
        )
        fixed: int | None = None
        if chosen.method == "fixed" and chosen.value is not None:
            signal, fixed = signal.part_at(chosen.value)
        reach = job.tissue.grown(REACH_BLOCKS)
        return _Job(job.slide, job.recipe, job.tissue, reach, signal, chosen, fixed)


def _number(job: _Job, clusters: Clusters, threshold: Threshold) -> FoundCells:
    glass = ~job.tissue.at(*np.divmod(clusters.summit, job.recipe.width_px))
    cell_of, dropped = _number_cells(job, clusters, glass)
    n_cells = int(cell_of.max(initial=0))
    record = _record(job, threshold, n_cells, dropped)
    return FoundCells.unscored(cell_of, n_cells, record, clusters.count[~glass])


def _record(job: _Job, threshold: Threshold, n_cells: int, dropped: dict[str, int]) -> dict[str, Any]:
    return {
        "method": "threshold",
        "channel": job.signal.channel,
        "threshold": job.settings.value
        if job.fixed_count is not None
        else round(job.signal.to_native(threshold.count), 6),
        "threshold_unit": job.signal.unit,
        # what of it a tile takes, for tiles that are done again
        "threshold_count": threshold.count,
        "background_count": threshold.background,
        "cells_are": "darker" if job.signal.dark else "brighter",
        "contrast": round(threshold.contrast, 6),
        "contrast_enough": threshold.found,
        "n_cells": n_cells,
        "dropped": dropped,
        "mpp": job.recipe.mpp,
        "settings": job.settings.model_dump(mode="json"),
    }


def _count_signal(job: _Job, tiles: Iterable[Tile], whole: SlideJob) -> NDArray[np.int64]:
    # one pixel at least: the last column of a core has its right neighbour in the next tile
    reach = max(smoothing_reach_px(job.sigma_px), 1)

    def window(tile: Tile) -> Window:
        return tile.core.grow(reach).clip(job.recipe.height_px, job.recipe.width_px)

    def read(tile: Tile) -> Pixels | None:
        return job.slide.read(window(tile)) if job.tissue.any_in(tile.core) else None

    def count(tile: Tile, pixels: Pixels | None) -> NDArray[np.int64] | None:
        if pixels is None:
            return None
        raw = job.signal.plane.render(pixels)
        rows, columns = tile.core.inside(window(tile))
        inside, tissue = smooth_signal(raw, job.sigma_px)[rows, columns], job.tissue.expand(tile.core)
        levels = np.ascontiguousarray(inside if tissue.all() else inside[tissue][None])
        steps = count_steps(raw, tissue, rows.start, columns.start)
        return np.stack([count_levels(levels, SIGNAL_MAX + 1), steps])

    total, chosen = np.zeros((2, SIGNAL_MAX + 1), np.int64), list(tiles)
    for done, part in enumerate(map_read(read, count, chosen, workers=whole.workers), start=1):
        if part is not None:
            total += part
        whole.progress(done, len(chosen))
    return total


def _find_tiles(job: _Job, tiles: Iterable[Tile], threshold: Threshold, whole: SlideJob) -> Iterator[FoundBasins]:
    join, stride = joining(job.settings, mpp=job.recipe.mpp), job.recipe.width_px

    def read(tile: Tile) -> Pixels | None:
        return job.slide.read(tile.read) if threshold.found and job.reach.any_in(tile.read) else None

    def work(tile: Tile, pixels: Pixels | None) -> FoundBasins:
        core = tile.core
        if pixels is None:
            return FoundBasins(tile, None)
        heights = _landscape(job, tile, pixels, threshold)
        rows, columns = core.inside(tile.read)
        basins = find_basins(
            heights, (rows.start, rows.stop, columns.start, columns.stop),
            origin=core.y0 * stride + core.x0, stride=stride, joining=join,
        )  # fmt: skip
        return FoundBasins(tile, (basins, whole.scratch.pack(core, basins.labels)))

    return map_read(read, work, tiles, workers=whole.workers)


def _replayed(whole: SlideJob, grid: TileGrid) -> Iterator[FoundBasins]:
    """What other jobs found, for every tile of the slide."""
    batches = iter(whole.shards.batches() if whole.shards else ())
    batch = next(batches, None)
    for tile in grid.tiles():
        if batch is None or tile_of(batch) != tile.index:
            yield FoundBasins(tile, None)
            continue
        yield FoundBasins(tile, read_basins(batch, tile.core))
        batch = next(batches, None)


def _landscape(job: _Job, tile: Tile, pixels: Pixels, threshold: Threshold) -> NDArray[np.uint16]:
    mpp = job.recipe.mpp
    signal = smooth_signal(job.signal.plane.render(pixels), job.sigma_px)
    # pixel by pixel, so that skipping tiles without tissue changes nothing
    near_tissue = foreground(signal, threshold, job.settings, mpp=mpp) & job.reach.expand(tile.read)
    mask = clean_foreground(near_tissue, job.settings, mpp=mpp)
    return landscape(mask, signal, threshold, job.settings, mpp=mpp)


def _number_cells(job: _Job, clusters: Clusters, glass: NDArray[np.bool_]) -> tuple[NDArray[np.uint32], dict[str, int]]:
    """The cell id of every cluster (0 where it is none), and how many pieces were dropped and why."""
    small, large = size_faults(clusters, job.settings, mpp=job.recipe.mpp)
    dropped = {"too_small": int(small.sum()), "too_large": int(large.sum()), "outside_tissue": int(glass.sum())}
    return number_cells(clusters, ~(small | large | glass)), dropped
