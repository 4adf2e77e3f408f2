"""What a network makes of the cell's picture. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column

COLUMNS: tuple[Column, ...] = (
    Column("appearance_{network}_logit", "float64", "1", "log-odds of being abnormal, not calibrated, that a network gives the cell's picture: the square field around the middle of its box, at the network's scale", "picture: mean of the pixels under each of its pixels; gray = 0.3 R + 0.5 G + 0.2 B; -ln(gray), stretched between its 5 % and 95 % quantiles; convolutions, mean over the field", "LeCun et al. 1998, Proc IEEE 86:2278", family="appearance"),
)  # fmt: skip
