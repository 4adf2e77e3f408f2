"""How sharp the cell's outline is. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column

COLUMNS: tuple[Column, ...] = (
    Column("edge_sharpness_per_um", "float64", "1/um", "mean gradient along the outline, relative to the slide's contrast; blurred cells score low; NaN where the slide has no contrast or the cell fills the image", "mean length of the Sobel gradient (kernels / 8) of gray over the cell's pixels with a 4-neighbour in the image that is not of the cell / (99 % - 1 % quantile of the slide's gray) / mpp", "Pech-Pacheco et al. 2000, ICPR (gradient measures of focus)", 0, family="focus"),
)  # fmt: skip
