"""Where a slide's tissue is and how good: the mask, the tiles and their table, the record. Floor 6."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from cellseg.columns.slide_tiles import TILE_COLUMNS
from cellseg.io.table import TableWriter
from cellseg.preprocess.artifacts import INK_STAINS, TISSUE_STAINS, BlockLook, find_artifacts, find_folds, find_stained
from cellseg.preprocess.histogram import SlideCounts, block_areas
from cellseg.preprocess.normalize import SIGNAL_MAX, gray_plane
from cellseg.preprocess.quality import Quality, extreme_fractions, focus_per_um, judge_quality
from cellseg.preprocess.quality_tiles import FLAGS, GrayScale, QualityTiles, judge_tiles
from cellseg.preprocess.recipe import Recipe
from cellseg.preprocess.stain import NO_GLASS
from cellseg.preprocess.tissue_mask import TissueMask, find_tissue
from cellseg.preprocess_config import PreprocessSettings, QualitySettings


@dataclass(frozen=True)
class SlideJudgement:
    """What one pass over a slide tells of its tissue."""

    tissue: TissueMask
    tiles: QualityTiles
    quality: Quality


def judge_slide(recipe: Recipe, counts: SlideCounts, settings: PreprocessSettings) -> SlideJudgement:
    """Find the tissue of a slide, flag its tiles and judge the whole."""
    areas = block_areas(recipe.height_px, recipe.width_px, recipe.tissue_block_px)
    look = BlockLook(
        counts, areas, recipe.background, recipe.tissue_block_px * recipe.mpp, NO_GLASS not in recipe.notes
    )
    chosen, stain = settings.artifacts, recipe.stain
    artifacts = find_artifacts(look, stain=stain, min_od=settings.tissue_min_od, settings=chosen)
    stained = find_stained(look, settings.tissue_min_od) if stain in TISSUE_STAINS else np.ones(look.shape, np.bool_)
    tissue = find_tissue(stained, without=artifacts.any, block_px=recipe.tissue_block_px)
    scale = GrayScale(recipe.gray_contrast * SIGNAL_MAX / recipe.max_level, _empty_gray(recipe))
    tiles = judge_tiles(
        look, tissue, artifacts, find_folds(look, stained & tissue.blocks, stain=stain, settings=chosen),
        scale=scale, compare=stain in INK_STAINS, min_tissue_mm2=chosen.min_tissue_mm2, settings=settings.quality,
    )  # fmt: skip
    return SlideJudgement(tissue, tiles, _judge_whole(recipe, look, tissue, tiles, scale.contrast, settings.quality))


def _empty_gray(recipe: Recipe) -> float:
    """Gray, in counts, where there is nothing: the glass of stains, the brightest or darkest of the rest."""
    plane = gray_plane(recipe)
    if recipe.stain in INK_STAINS:
        return float(plane.render(np.array(recipe.background, recipe.dtype)[None, None])[0, 0])
    return (recipe.gray_low if recipe.stain == "fluorescence" else recipe.gray_high) / plane.scale


def _judge_whole(
    recipe: Recipe, look: BlockLook, tissue: TissueMask, tiles: QualityTiles, contrast: float, settings: QualitySettings
) -> Quality:
    black, saturated = extreme_fractions(look.counts.levels)
    focus = focus_per_um(look.counts.block_gradient / look.areas, contrast, tissue.blocks, mpp=recipe.mpp)
    flagged = tiles.covered(settings.unassessable_flags)
    reasons = judge_quality(
        stain=recipe.stain, focus=focus, black=black, saturated=saturated,
        side_um=min(recipe.height_px, recipe.width_px) * recipe.mpp, settings=settings, flagged=flagged,
    )  # fmt: skip
    tissue_px = int(look.areas[tissue.blocks].sum())
    return Quality(
        assessable=not reasons, reasons=reasons, focus_per_um=round(focus, 6), black_fraction=round(black, 6),
        saturated_fraction=round(saturated, 6), background_gray_levels=recipe.background,
        tissue_fraction=round(tissue_px / int(look.areas.sum()), 6),
        tissue_area_mm2=round(tissue_px * recipe.mpp**2 / 1e6, 9),
        flagged_fractions={flag: round(tiles.covered((flag,)), 6) for flag in FLAGS},
        unassessable_fraction=round(flagged, 6), notes=recipe.notes,
    )  # fmt: skip


def write_tiles(path: Path, tiles: QualityTiles, recipe: Recipe, settings: QualitySettings) -> None:
    """Write the tiles of a slide as a table, one row a tile in raster order."""
    side, (rows, columns) = tiles.side_px, tiles.cover_px.shape
    y0, x0 = (np.indices((rows, columns)) * side).reshape(2, -1)
    values = {
        "y0_px": y0,
        "x0_px": x0,
        "y1_px": np.minimum(y0 + side, recipe.height_px),
        "x1_px": np.minimum(x0 + side, recipe.width_px),
        **{name: figure.ravel() for name, figure in tiles.figures.items()},
        "flags": tiles.words().ravel(),
        "unassessable_by": tiles.words(settings.unassessable_flags).ravel(),
    }
    with TableWriter(path, TILE_COLUMNS) as writer:
        writer.write(pa.table({column.name: pa.array(values[column.name]) for column in TILE_COLUMNS}))
