"""How much of a plane openings of growing size take away. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column

_SOURCE = "Vincent 2000, Fundam Inform 41:57 (granulometry); Stirling et al. 2021, BMC Bioinformatics 22:433"

COLUMNS: tuple[Column, ...] = tuple(
    Column(f"granularity_{scale}", "float64", "1", f"share of the signal (what rises over the darkest pixel) in grains of about {2 * scale - 1} px: what {scale} erosions by a cross and reconstruction take away, beyond what {scale - 1} do; pixels outside do not exist; NaN where all pixels are alike", "(sum of R(s - 1) - sum of R(s)) / sum of (v - min v), R(s) the reconstruction by dilation of s erosions, R(0) = v - min v", _SOURCE, 0, 1, "granularity", "plane")
    for scale in range(1, 17)
)  # fmt: skip
