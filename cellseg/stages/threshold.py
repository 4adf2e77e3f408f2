"""Stage segment by thresholds: clusters of each tile, joined over the slide. Floor 6."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellseg.config import ThresholdSettings
from cellseg.io.scratch import ClusterScratch
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
from cellseg.stages.slide_cells import REACH_BLOCKS, FoundCells, SlideJob
from cellseg.stream import map_tiles
from cellseg.tiles import Tile, TileGrid
from cellseg.types import Slide, Window


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


class ThresholdSegmenter:
    """Finds the cells of a slide by a threshold and watershed; the same for every tile size."""

    def __init__(self, settings: ThresholdSettings) -> None:
        self._settings = settings

    def find(self, job: SlideJob) -> FoundCells:
        """Put the clusters of the slide into the job's scratch and say which are cells.

        Raises
        ------
        ConfigError
            If the settings name a channel that the slide does not have.
        """
        chosen = self._settings
        signal = segmentation_signal(
            job.recipe, chosen.signal_channel, chosen.foreground, max_eosin_share=chosen.max_eosin_share
        )
        fixed: int | None = None
        if chosen.method == "fixed" and chosen.value is not None:
            signal, fixed = signal.part_at(chosen.value)
        reach = job.tissue.grown(REACH_BLOCKS)
        return _find(_Job(job.slide, job.recipe, job.tissue, reach, signal, chosen, fixed), job)


def _find(job: _Job, whole: SlideJob) -> FoundCells:
    recipe, workers = job.recipe, whole.workers
    grid = TileGrid(recipe.height_px, recipe.width_px, whole.tile_px, context_px(job.settings, recipe.mpp))
    total = 2 * len(grid)
    counts = np.zeros((2, SIGNAL_MAX + 1), np.int64)
    if recipe.assessable:
        counts = _count_signal(job, whole.tile_px, workers, lambda done: whole.progress(done, total))
    threshold = find_threshold(counts[0], job.settings, fixed_count=job.fixed_count, steps=counts[1])
    if not recipe.assessable:
        threshold = replace(threshold, found=False)
    clusters = _find_clusters(
        job, grid, threshold, whole.scratch, workers, lambda done: whole.progress(len(grid) + done, total)
    )
    glass = ~job.tissue.at(*np.divmod(clusters.summit, recipe.width_px))
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
        "cells_are": "darker" if job.signal.dark else "brighter",
        "contrast": round(threshold.contrast, 6),
        "contrast_enough": threshold.found,
        "n_cells": n_cells,
        "dropped": dropped,
        "mpp": job.recipe.mpp,
        "settings": job.settings.model_dump(mode="json"),
    }


def _count_signal(job: _Job, tile_px: int, workers: int, report: Callable[[int], None]) -> NDArray[np.int64]:
    """Over the tissue, (2, 4096): pixels by count of the smoothed signal, neighbours by their step in the raw one."""
    # one pixel at least: the last column of a core has its right neighbour in the next tile
    reach = max(smoothing_reach_px(job.sigma_px), 1)
    grid = TileGrid(job.recipe.height_px, job.recipe.width_px, tile_px, reach)

    def count(tile: Tile) -> NDArray[np.int64] | None:
        if not job.tissue.any_in(tile.core):
            return None
        raw = job.signal.plane.render(job.slide.read(tile.read))
        rows, columns = tile.core.inside(tile.read)
        inside, tissue = smooth_signal(raw, job.sigma_px)[rows, columns], job.tissue.expand(tile.core)
        levels = np.ascontiguousarray(inside if tissue.all() else inside[tissue][None])
        steps = count_steps(raw, tissue, rows.start, columns.start)
        return np.stack([count_levels(levels, SIGNAL_MAX + 1), steps])

    total = np.zeros((2, SIGNAL_MAX + 1), np.int64)
    for done, part in enumerate(map_tiles(count, grid.tiles(), workers=workers), start=1):
        if part is not None:
            total += part
        report(done)
    return total


def _find_clusters(
    job: _Job,
    grid: TileGrid,
    threshold: Threshold,
    scratch: ClusterScratch,
    workers: int,
    report: Callable[[int], None],
) -> Clusters:
    join = joining(job.settings, mpp=job.recipe.mpp)
    joiner = BasinJoiner(width_px=grid.width, joining=join)

    def work(tile: Tile) -> tuple[Window, TileBasins, list[tuple[Window, bytes]]]:
        core = tile.core
        if not threshold.found or not job.reach.any_in(tile.read):
            return core, empty_basins(core.height, core.width), []
        heights = _landscape(job, tile, threshold)
        rows, columns = core.inside(tile.read)
        basins = find_basins(
            heights, (rows.start, rows.stop, columns.start, columns.stop),
            origin=core.y0 * grid.width + core.x0, stride=grid.width, joining=join,
        )  # fmt: skip
        return core, basins, scratch.pack(core, basins.labels)

    for done, (core, basins, pieces) in enumerate(map_tiles(work, grid.tiles(), workers=workers), start=1):
        scratch.put(pieces, joiner.add(core, basins))
        report(done)
    return joiner.finish()


def _landscape(job: _Job, tile: Tile, threshold: Threshold) -> NDArray[np.uint16]:
    mpp = job.recipe.mpp
    signal = smooth_signal(job.signal.plane.render(job.slide.read(tile.read)), job.sigma_px)
    # pixel by pixel, so that skipping tiles without tissue changes nothing
    near_tissue = foreground(signal, threshold, job.settings, mpp=mpp) & job.reach.expand(tile.read)
    mask = clean_foreground(near_tissue, job.settings, mpp=mpp)
    return landscape(mask, signal, threshold, job.settings, mpp=mpp)


def _number_cells(job: _Job, clusters: Clusters, glass: NDArray[np.bool_]) -> tuple[NDArray[np.uint32], dict[str, int]]:
    """The cell id of every cluster (0 where it is none), and how many pieces were dropped and why."""
    small, large = size_faults(clusters, job.settings, mpp=job.recipe.mpp)
    dropped = {"too_small": int(small.sum()), "too_large": int(large.sum()), "outside_tissue": int(glass.sum())}
    return number_cells(clusters, ~(small | large | glass)), dropped
