"""Clumps of chromatin, margination and nucleoli. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column

_OTSU = "Otsu 1979, IEEE Trans Syst Man Cybern 9:62"
_DENSE = "dense: above Otsu's threshold of the nucleus's own values (at most 4,096 steps); made for planes in which dense chromatin is high"
_NAN = "NaN where all pixels have the same value"
_SPOT = "8-connected groups, of the mean over 3 x 3 pixels of the nucleus, {0} the nucleus's mean, 0.8 to 12 um2, not at the outline, filling 60 % of the ellipse in their box or more, box no longer than twice its width"
_DARK, _BRIGHT = _SPOT.format("30 % or more above"), _SPOT.format("30 % or more below")

_ROWS: tuple[tuple[str, str, str, str, str, float | None, float | None], ...] = (
    ("clump_count", "", f"clumps of dense chromatin; {_NAN}", f"8-connected groups of dense pixels of 0.25 um2 or more; {_DENSE}", _OTSU, 0, None),
    ("heterochromatin_share", "1", f"share of the nucleus that is dense; {_NAN}", f"dense pixels / pixels; {_DENSE}", _OTSU, 0, 1),
    ("clump_contrast", "1", f"how much denser the dense part is than the rest; low where there are no clumps to speak of; {_NAN}", "(mean of dense - mean of other pixels) / mean", _OTSU, 0, None),
    ("largest_clump_um2", "um2", f"area of the largest group of dense pixels; {_NAN}", "pixels * mpp^2", _OTSU, 0, None),
    ("margination", "1", f"dense chromatin near the envelope: 1 where it is spread evenly, more where it lies at the edge; {_NAN}", "share of dense pixels that lie near the envelope / share of all pixels that do; near: pixels of the outline, and those whose distance to the edge is at most a quarter of the greatest", "", 0, None),
    ("boundary_share", "1", f"share of the outline's pixels that are dense; {_NAN}", "dense / all pixels with a 4-neighbour outside of the nucleus", "", 0, 1),
    ("edge_correlation", "1", "correlation of value and distance to the edge: below 0 where it is denser near the edge; NaN where either is the same everywhere", "Pearson's r over the pixels", "", -1, 1),
    ("dark_nucleolus_count", "", "dense compact spots", _DARK, "", 0, None),
    ("dark_nucleolus_area_um2", "um2", "their area in all; 0 without any", "pixels * mpp^2", "", 0, None),
    ("bright_nucleolus_count", "", "pale compact spots", _BRIGHT, "", 0, None),
    ("bright_nucleolus_area_um2", "um2", "their area in all; 0 without any", "pixels * mpp^2", "", 0, None),
)  # fmt: skip

COLUMNS: tuple[Column, ...] = tuple(
    Column(f"chromatin_{name}", "float64", unit, meaning, formula, source, low, high, family="chromatin", per="plane")
    for name, unit, meaning, formula, source, low, high in _ROWS
)
