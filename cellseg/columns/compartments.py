"""Nucleus against cytoplasm and cell. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column

_RING = "cytoplasm is the ring of ring_um around the nucleus, up to half the way to its neighbours"

COLUMNS: tuple[Column, ...] = (
    Column("nucleus_cytoplasm_area_ratio", "float64", "1", f"nucleus over cytoplasm; {_RING}; NaN where there is none", "pixels of the nucleus / pixels of the cytoplasm", "", 0, family="compartments"),
    Column("nucleus_cell_area_ratio", "float64", "1", f"nucleus over cell (nucleus and cytoplasm); {_RING}", "pixels of the nucleus / pixels of nucleus and cytoplasm", "", 0, 1, family="compartments"),
    Column("nucleus_cytoplasm_{plane}_ratio", "float64", "1", f"mean of the plane in the nucleus over that in the cytoplasm; {_RING}; NaN where there is none, or its mean is 0", "mean in the nucleus / mean in the cytoplasm", "", 0, family="compartments"),
)  # fmt: skip
