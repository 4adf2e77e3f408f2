"""What `preprocess/tiles.parquet` holds: focus and flags of the slide, tile by tile. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column, DType

_PECH = "Pech-Pacheco et al. 2000, ICPR 3:314"
_HISTOQC = "after Janowczyk et al. 2019, JCO Clin Cancer Inform 3:1"


def _c(
    name: str, dtype: DType, unit: str, meaning: str, formula: str = "", source: str = "", low: float | None = None,
    high: float | None = None,
) -> Column:  # fmt: skip
    return Column(name, dtype, unit, meaning, formula, source, low, high, "tiles")


FOCUS = _c("focus_per_um", "float64", "1/um", "how sharp the tile's tissue is, whatever its contrast; NaN where less than a fifth of the tile is tissue or it shows nothing but noise", "mean absolute Sobel gradient of gray / sqrt(standard deviation of gray within blocks * distance of gray from empty glass) / mpp", _PECH, 0)  # fmt: skip
TILE_COLUMNS: tuple[Column, ...] = (
    _c("y0_px", "int64", "px", "first row", "", "", 0),
    _c("x0_px", "int64", "px", "first column", "", "", 0),
    _c("y1_px", "int64", "px", "row after the last", "", "", 1),
    _c("x1_px", "int64", "px", "column after the last", "", "", 1),
    _c("tissue_fraction", "float64", "1", "share of the tile that is tissue", "", "", 0, 1),
    FOCUS,
    _c("pen_fraction", "float64", "1", "share of the tile that pen covers", "", _HISTOQC, 0, 1),
    _c("fold_fraction", "float64", "1", "share of the tile's tissue that lies double", "", "after Kothari et al. 2013, J Pathol Inform 4:22", 0, 1),
    _c("dirt_fraction", "float64", "1", "share of the tile that gray specks on glass cover", "", _HISTOQC, 0, 1),
    _c("edge_fraction", "float64", "1", "share of the tile on edges of coverslip or scan", "", _HISTOQC, 0, 1),
    _c("black_fraction", "float64", "1", "share of pixels with every channel in the lowest 1/64 of the range", "", "", 0, 1),
    _c("saturated_fraction", "float64", "1", "share of pixels with a channel at the top of the range, as glass often is", "", "", 0, 1),
    _c("flags", "string", "", "out_of_focus, pen, fold, dirt, edge: what holds of the tile by preprocess.quality, joined by ';'; empty where nothing does"),
    _c("unassessable_by", "string", "", "those of the flags that keep its cells from being judged (preprocess.quality.unassessable_flags); empty: they are judged"),
)  # fmt: skip
"""One row a tile, in raster order; tiles at the far edges of the slide may be smaller."""
