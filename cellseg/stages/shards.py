"""A part of a slide's tiles segmented by one job, and all parts put together by another. Floor 6.

By thresholds, two rounds are needed: `count` adds up the signal over the slide, from which every shard of the second
round, `find`, takes the same threshold. Other methods have the second alone. `segment_slide` then joins what lies in
the shards as it joins what it finds itself, so that no result depends on how many there were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

import cellseg
from cellseg.config import InputSettings, SegmentationSettings
from cellseg.errors import ConfigError
from cellseg.io.labels import STRIP_PX
from cellseg.io.scratch import ClusterScratch
from cellseg.io.shard import ShardHeader, Shards, digest_of, open_shards, write_shard
from cellseg.io.slide import open_slide
from cellseg.preprocess.recipe import Recipe
from cellseg.preprocess.tissue_mask import TissueMask
from cellseg.stages.in_force import PreparedSlide
from cellseg.stages.methods import shards_fault
from cellseg.stages.preprocess import check_recipe
from cellseg.stages.segmenters import choose_segmenter, segmenter_facts
from cellseg.stages.shard_tiles import (
    BASINS,
    CELLS,
    COUNTS,
    ShardOf,
    pack_basins,
    pack_cells,
    pack_counts,
    read_counts,
)
from cellseg.stages.slide_cells import REACH_BLOCKS, SlideJob
from cellseg.stages.threshold import ThresholdSegmenter
from cellseg.stages.windowed import WindowedSegmenter
from cellseg.tiles import TileGrid, WindowGrid
from cellseg.types import Progress, silent

Round = Literal["count", "find"]
_COUNT, _FIND = "segment count", "segment find"
_EMPTY, _FULL = 1, 1000
"""What a tile costs that is not looked at, and one that is; its share of tissue comes on top."""


def segment_shard(
    image: Path,
    out: Path,
    *,
    recipe: Recipe,
    shard: ShardOf,
    tissue: Path | None = None,
    settings: SegmentationSettings | None = None,
    inputs: InputSettings | None = None,
    only: Round = "find",
    counts: Sequence[Path] = (),
    tile_px: int = 2048,
    workers: int = 1,
    device: str = "auto",
    progress: Progress = silent,
) -> ShardHeader:
    """Do one shard of a slide's tiles and write what they hold, for `segment_slide` to put together.

    Shards are neighbouring tiles in raster order, cut so that each has about as much tissue; with more shards than
    tiles some are empty. Memory: as `segment_slide`, less what that keeps of all cells.

    Parameters
    ----------
    shard : ShardOf
        Which of how many.
    tissue : Path or None
        tissue.png of the slide; without it everything counts as tissue.
    only : "count" or "find"
        The round; `count` is for the method `threshold` alone.
    counts : sequence of Path
        All shards of the round `count`; without them this one counts the whole slide by itself.
    tile_px : int
        Side of a tile, px; the same for all shards of a round.
    device : str
        auto, cpu or cuda: where a network runs; the same for all shards.

    Returns
    -------
    ShardHeader
        What was written.

    Raises
    ------
    ImageError
        If the image cannot be read or is not the one that the recipe was made from.
    ConfigError
        If the method has no round `count`, or settings name what there is not.
    ModelError
        If the weights of a network cannot be used.
    TableError
        If `counts` are not all of this slide and these settings.
    """
    settings = settings or SegmentationSettings()
    if fault := shards_fault(settings):
        raise ConfigError(fault)
    mask = PreparedSlide(recipe, tissue).mask()
    segmenter = choose_segmenter(settings, recipe, device=device)
    made_of = _made_of(settings, recipe, mask)
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        open_slide(image, max_decoded_mpx=(inputs or InputSettings()).max_decoded_mpx) as slide,
        ClusterScratch(out.parent, width_px=recipe.width_px, strip_px=STRIP_PX) as scratch,
    ):
        check_recipe(slide, recipe)
        job = SlideJob(slide, recipe, mask, scratch, out.parent, tile_px, workers, progress)
        if isinstance(segmenter, ThresholdSegmenter) and only == "count":
            return _write_counts(out, segmenter, job, shard, made_of)
        if only == "count":
            raise ConfigError(f"--pass count: method {settings.method} counts nothing first; leave this round out")
        if isinstance(segmenter, ThresholdSegmenter):
            return _write_basins(out, segmenter, job, shard, made_of, counts)
        if isinstance(segmenter, WindowedSegmenter):
            return _write_cells(out, segmenter, job, shard, made_of)
    raise ConfigError(f"segmentation.method {settings.method}: cannot be cut into shards; segment the slide in one job")


def open_segment_shards(
    paths: Sequence[Path], settings: SegmentationSettings, recipe: Recipe, tissue: TissueMask
) -> Shards:
    """The shards of the round `find` of a slide.

    Raises
    ------
    TableError
        If they are not all of this slide, recipe, tissue, settings, weights and version, each once.
    """
    return open_shards(paths, _FIND, _made_of(settings, recipe, tissue))


def tile_weights(grid: TileGrid | WindowGrid, tissue: TissueMask) -> NDArray[np.int64]:
    """About what each tile costs, (n,) int64: hardly anything where nothing is looked for, more with more tissue."""
    reach, weights = tissue.grown(REACH_BLOCKS), np.full(len(grid), _EMPTY, np.int64)
    size = tissue.block_px
    for tile in grid.tiles():
        if reach.any_in(tile.read):
            core = tile.core
            blocks = tissue.blocks[core.y0 // size : -(-core.y1 // size), core.x0 // size : -(-core.x1 // size)]
            share = _FULL * int(blocks.sum()) // blocks.size
            # tiles at the right and lower edge are smaller
            weights[tile.index] = _EMPTY + (_FULL + share) * core.height * core.width // 10_000
    return weights


def _made_of(settings: SegmentationSettings, recipe: Recipe, tissue: TissueMask) -> dict[str, str]:
    return {
        "version of cellseg": cellseg.__version__,
        "recipe": digest_of(recipe.to_dict()),
        "mask of tissue": digest_of(f"{tissue.block_px} {tissue.blocks.shape} ".encode() + tissue.blocks.tobytes()),
        "section segmentation (settings, weights)": digest_of(segmenter_facts(settings, recipe)),
    }


def _write_counts(
    out: Path, segmenter: ThresholdSegmenter, job: SlideJob, shard: ShardOf, made_of: dict[str, str]
) -> ShardHeader:
    grid = segmenter.grid(job)
    part = shard.part(tile_weights(grid, job.tissue))
    counts = segmenter.count(job, [grid.tile(index) for index in part])
    header = ShardHeader(_COUNT, made_of, {"tile_px": job.tile_px}, part.start, part.stop, len(grid))
    with write_shard(out, COUNTS) as writer:
        writer.write(pack_counts(counts))
        writer.finish(header)
    return header


def _write_basins(
    out: Path,
    segmenter: ThresholdSegmenter,
    job: SlideJob,
    shard: ShardOf,
    made_of: dict[str, str],
    counts: Sequence[Path],
) -> ShardHeader:
    grid = segmenter.grid(job)
    if counts:
        summed = sum(map(read_counts, open_shards(counts, _COUNT, made_of).batches()), np.zeros((2, 1), np.int64))
    else:
        summed = segmenter.count(replace(job, progress=silent), grid.tiles())
    threshold = segmenter.threshold(job, summed)
    part = shard.part(tile_weights(grid, job.tissue))
    header = ShardHeader(_FIND, made_of, segmenter.agreed(threshold, job), part.start, part.stop, len(grid))
    with write_shard(out, BASINS) as writer:
        tiles = (grid.tile(index) for index in part)
        for done, (tile, found) in enumerate(segmenter.find_tiles(job, threshold, tiles), start=1):
            if found is not None:
                writer.write(pack_basins(tile.index, *found))
            job.progress(done, len(part))
        writer.finish(header)
    return header


def _write_cells(
    out: Path, segmenter: WindowedSegmenter, job: SlideJob, shard: ShardOf, made_of: dict[str, str]
) -> ShardHeader:
    grid = segmenter.grid(job)
    part = shard.part(tile_weights(grid, job.tissue))
    with write_shard(out, CELLS) as writer:
        windows = (grid.tile(index) for index in part)
        for tile, cells, pieces in segmenter.look_at(job, windows, job.scratch):
            writer.write(pack_cells(tile.index, cells, pieces))
            job.progress(tile.index + 1 - part.start, len(part))
        header = ShardHeader(_FIND, made_of, segmenter.agreed(), part.start, part.stop, len(grid))
        writer.finish(header)
    return header
