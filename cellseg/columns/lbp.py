"""Local binary patterns. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column

_SOURCE = "Ojala, Pietikainen, Maenpaa 2002, IEEE TPAMI 24:971"
_NAN = "of the pixels with all 8 neighbours inside; NaN where there is none"

COLUMNS: tuple[Column, ...] = (
    *(
        Column(f"lbp_{k}", "float64", "1", f"share {_NAN}: {k} of 8 points at 1 px, in one stretch, are not darker", "rotation-invariant uniform patterns, P = 8, R = 1", _SOURCE, 0, 1, "lbp", "plane")
        for k in range(9)
    ),
    Column("lbp_9", "float64", "1", f"share {_NAN}: the points that are not darker stand in several stretches", "patterns that are not uniform, P = 8, R = 1", _SOURCE, 0, 1, "lbp", "plane"),
    Column("lbp_entropy_bits", "float64", "bits", f"how mixed the patterns are, {_NAN}", "- sum p log2 p over the 10 shares", _SOURCE, 0, 3.3219280948873626, "lbp", "plane"),
)  # fmt: skip
