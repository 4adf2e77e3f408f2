"""How a plane is shared out from the middle to the edge. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column

_SOURCE = "Stirling et al. 2021, BMC Bioinformatics 22:433 (CellProfiler's radial distribution)"
_RING = "ring {ring} of n_rings from the middle: distance to the middle (the mean place of the deepest pixels) over that plus the distance to the edge; NaN where the ring has no pixel or the plane's sum is 0"

COLUMNS: tuple[Column, ...] = (
    Column("radial_fraction_{ring}", "float64", "1", f"share of the plane's sum in {_RING}", "sum in the ring / sum in the compartment, of counts (0 at the least that the plane can hold)", _SOURCE, 0, 1, "radial", "plane"),
    Column("radial_mean_fraction_{ring}", "float64", "1", f"share of the plane's sum over share of the pixels in {_RING}", "radial_fraction / (pixels in the ring / pixels)", _SOURCE, 0, None, "radial", "plane"),
    Column("radial_cv_{ring}", "float64", "1", f"variation around the middle in {_RING}, and where fewer than two wedges have pixels", "standard deviation (population form) over mean of the means of 8 wedges about axes and diagonals", _SOURCE, 0, None, "radial", "plane"),
)  # fmt: skip
