"""Focus, pen, folds and dirt tile by tile, and what they mean for the slide. Floor 3: arrays in, arrays out.

Tiles here are squares of whole blocks of the tissue mask; they have nothing to do with the tiles that work is cut into.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from cellseg.preprocess.artifacts import Artifacts, BlockLook, Blocks
from cellseg.preprocess.tissue_mask import TissueMask
from cellseg.preprocess_config import QualitySettings, TileFlag

FLAGS: tuple[TileFlag, ...] = get_args(TileFlag)
"""All flags, in the order in which they are written."""
_SOBEL_WEIGHT = 8.0
_MIN_TISSUE = 0.2
"""Tissue in a tile, as a fraction, under which its focus is not judged."""
_MIN_CONTRAST = 0.02
"""Standard deviation over the slide's contrast under which a block shows nothing but noise."""
_FULL_CONTRAST = 0.1
"""The same, as a mean, of tiles that the others are compared with."""


@dataclass(frozen=True)
class QualityTiles:
    """What is told of each tile of a slide, (h, w) of tiles of `side_px`.

    figures : name -> float64; fractions of the tile's area (of its tissue for `fold_fraction`), and `focus_per_um`, NaN
    where there is too little to see. flags : name -> bool. cover_px : pixels of tissue and of what pen covers.
    """

    side_px: int
    figures: dict[str, NDArray[np.float64]]
    flags: dict[TileFlag, NDArray[np.bool_]]
    cover_px: NDArray[np.int64]

    def covered(self, flags: tuple[TileFlag, ...]) -> float:
        """Share of the tissue, and of what pen covers, that lies in tiles with any of these flags; 0 without any."""
        total = int(self.cover_px.sum())
        hit = np.zeros(self.cover_px.shape, np.bool_)
        for flag in flags:
            hit |= self.flags[flag]
        return int(self.cover_px[hit].sum()) / total if total else 0.0

    def words(self, flags: tuple[TileFlag, ...] = FLAGS) -> NDArray[np.object_]:
        """The flags of each tile among these (h, w), joined by ";"; "" where there is none."""
        out = np.full(self.cover_px.shape, "", object)
        for flag in (flag for flag in FLAGS if flag in flags):
            hit = self.flags[flag]
            out[hit] = np.where(out[hit] == "", flag, out[hit] + f";{flag}")
        return out


@dataclass(frozen=True)
class GrayScale:
    """Gray of a slide, counts: 99 % minus 1 % quantile, and the level where there is nothing, glass or black."""

    contrast: float
    empty: float


def judge_tiles(
    look: BlockLook,
    tissue: TissueMask,
    artifacts: Artifacts,
    folds: Blocks,
    *,
    scale: GrayScale,
    compare: bool,
    min_tissue_mm2: float,
    settings: QualitySettings,
) -> QualityTiles:
    """Figures and flags of all tiles of a slide.

    Focus is the mean absolute Sobel gradient of gray (Pech-Pacheco et al. 2000, ICPR) over the geometric mean of two
    things that grow with the amount of stain as it does, and fall less or not at all with blur: the standard deviation
    within blocks and the distance to empty glass. So pale tissue is not taken for blurred. A tile is out of focus where
    that is under `min_tile_focus`, or under `min_tile_focus_fraction` of the median of the slide's tiles that show
    enough; the latter only with `compare`, and on slides with `min_tissue_mm2` of tissue.

    Parameters
    ----------
    compare : bool
        Whether all tissue of the slide is made of much the same structures, as that of sections and smears is.
    """
    step = max(1, round(settings.tile_um / look.block_um))
    shades, inside = look.counts.block_shades, tissue.blocks
    area, tissue_px = _total(look.areas, step), _total(look.areas * inside, step)
    focus, contrast = _focus(look, inside, scale, step)
    seen = tissue_px >= _MIN_TISSUE * area
    figures = {
        "tissue_fraction": tissue_px / area,
        "focus_per_um": np.where(seen, focus, np.nan),
        "pen_fraction": _total(look.areas * artifacts.pen, step) / area,
        "fold_fraction": _total(look.areas * folds, step) / np.maximum(tissue_px, 1.0),
        "dirt_fraction": _total(look.areas * artifacts.dirt, step) / area,
        "edge_fraction": _total(look.areas * artifacts.edge, step) / area,
        "black_fraction": _total(shades[:, :, 0], step) / area,
        "saturated_fraction": _total(shades[:, :, 1], step) / area,
    }
    rounded = {name: np.round(values, 6) for name, values in figures.items()}
    enough = tissue_px.sum() * look.mpp**2 >= min_tissue_mm2 * 1e6
    seen &= (contrast > _FULL_CONTRAST) & np.isfinite(focus)
    compared = rounded["focus_per_um"][seen & (compare and enough)]
    median = float(np.median(compared)) if compared.size else 0.0
    cover = _total(look.areas * (inside | artifacts.pen), step).astype(np.int64)
    return QualityTiles(step * look.counts.block_px, rounded, _flags(rounded, median, settings), cover)


def _flags(
    figures: dict[str, NDArray[np.float64]], median_focus: float, settings: QualitySettings
) -> dict[TileFlag, NDArray[np.bool_]]:
    least = max(settings.min_tile_focus, settings.min_tile_focus_fraction * median_focus)
    return {
        "out_of_focus": np.asarray(figures["focus_per_um"] < least),
        "pen": np.asarray(figures["pen_fraction"] > settings.max_pen_fraction),
        "fold": np.asarray(figures["fold_fraction"] > settings.max_fold_fraction),
        "dirt": np.asarray(figures["dirt_fraction"] > settings.max_dirt_fraction),
        "edge": np.asarray(figures["edge_fraction"] > settings.max_edge_fraction),
    }


def _total(values: NDArray[Any], step: int) -> NDArray[np.float64]:
    """Sums over tiles of `step` by `step` blocks."""
    rows = np.add.reduceat(values, np.arange(0, values.shape[0], step), axis=0, dtype=np.float64)
    return np.asarray(np.add.reduceat(rows, np.arange(0, values.shape[1], step), axis=1))


def _focus(
    look: BlockLook, tissue: Blocks, scale: GrayScale, step: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Focus (1/um) of each tile, and the standard deviation of gray in its blocks over the slide's contrast."""
    deviation = look.deviation()
    shown = look.areas * (tissue & (deviation > _MIN_CONTRAST * scale.contrast))
    amount = np.abs(look.counts.block_gray / look.areas - scale.empty)
    spread, density = _total(deviation * shown, step), _total(amount * shown, step)
    slope = _total(look.counts.block_gradient * (shown > 0), step) / _SOBEL_WEIGHT
    both = np.sqrt(spread * density)
    focus = np.where(both > 0, slope / np.where(both > 0, both, 1.0) / look.mpp, np.nan)
    return focus, _total(deviation * look.areas * tissue, step) / np.maximum(
        _total(look.areas * tissue, step) * scale.contrast, 1.0
    )
