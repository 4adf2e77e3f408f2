"""What a plane of pixels holds over a compartment: mean, spread, quantiles. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import PLANE_UNIT, Column

_ROWS = (
    ("mean", "mean", "sum / n"),
    ("sd", "standard deviation", "sqrt(mean of squares - square of mean), population form"),
    ("min", "least", "min"),
    ("q05", "5 % quantile", "linear interpolation between order statistics"),
    ("q25", "lower quartile", "linear interpolation between order statistics"),
    ("q50", "median", "linear interpolation between order statistics"),
    ("q75", "upper quartile", "linear interpolation between order statistics"),
    ("q95", "95 % quantile", "linear interpolation between order statistics"),
    ("max", "greatest", "max"),
)

COLUMNS: tuple[Column, ...] = tuple(
    Column(name, "float64", PLANE_UNIT, f"{words} over the pixels", formula, family="intensity", per="plane")
    for name, words, formula in _ROWS
)
