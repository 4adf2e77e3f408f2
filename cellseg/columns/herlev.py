"""The twenty features of the Herlev Pap-smear data. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column

_PAPER = "Jantzen, Norup, Dounias, Bjerregaard 2005, Proc NiSIS (Pap-smear benchmark data for pattern classification)"
_NAN = "NaN where there is no cytoplasm"
_WHOLE = "of the whole cell, nucleus and cytoplasm together"
_FLAT = "and NaN where the outline has fewer than 12 corners or is narrower than 1.5 px in the mean"
_LARGEST = "2 * greatest distance from a pixel's centre to the nearest one outside, at most the longest diameter"
_AROUND = "2 * radius of the smallest circle around all whole pixels"
_NEAR = "pixels with none {0} within 3 px in the same part of the cell, but some {1}"

_ROWS: tuple[tuple[str, str, str, str, float | None, float | None], ...] = (
    ("nucleus_area_um2", "um2", f"area of the nucleus; {_NAN}", "pixels * mpp^2", 0, None),
    ("cytoplasm_area_um2", "um2", f"area of the cytoplasm without the nucleus; {_NAN}", "pixels * mpp^2", 0, None),
    ("nucleus_cell_ratio", "1", f"the nucleus's share of the cell's area (the paper's N/C ratio); {_NAN}", "nucleus / (nucleus + cytoplasm)", 0, 1),
    ("nucleus_brightness", "gray level", f"mean gray level of the nucleus; {_NAN}", "mean of gray", 0, None),
    ("cytoplasm_brightness", "gray level", f"mean gray level of the cytoplasm; {_NAN}", "mean of gray", 0, None),
    ("nucleus_shortest_diameter_um", "um", f"diameter of the largest circle in the nucleus; {_NAN}", _LARGEST, 0, None),
    ("nucleus_longest_diameter_um", "um", f"diameter of the smallest circle around the nucleus; {_NAN}", _AROUND, 0, None),
    ("nucleus_elongation", "1", f"shortest over longest diameter of the nucleus: 1 is round; {_NAN}", "shortest / longest", 0, 1),
    ("nucleus_roundness", "1", f"area of the nucleus over that of its longest diameter's circle; {_NAN}", "area / (pi / 4 longest^2)", 0, 1),
    ("cytoplasm_shortest_diameter_um", "um", f"diameter of the largest circle in the cell, {_WHOLE}; {_NAN}", _LARGEST, 0, None),
    ("cytoplasm_longest_diameter_um", "um", f"diameter of the smallest circle around the cell, {_WHOLE}; {_NAN}", _AROUND, 0, None),
    ("cytoplasm_elongation", "1", f"shortest over longest diameter {_WHOLE}; {_NAN}", "shortest / longest", 0, 1),
    ("cytoplasm_roundness", "1", f"area over that of the longest diameter's circle, {_WHOLE}; {_NAN}", "area / (pi / 4 longest^2)", 0, 1),
    ("nucleus_perimeter_um", "um", f"length of the nucleus's outline, smoothed by a Gaussian of 1 px^2; {_NAN}, {_FLAT}", "sum of its sides", 0, None),
    ("cytoplasm_perimeter_um", "um", f"length of the outline {_WHOLE}, smoothed by a Gaussian of 1 px^2; {_NAN}, {_FLAT}", "sum of its sides", 0, None),
    ("nucleus_position", "1", f"how far the nucleus lies from the middle of the cell: 0 is centred; {_NAN}", "2 * distance of the centroids of nucleus and cell / longest diameter of the cell", 0, None),
    ("nucleus_maxima", "px", f"brightest spots of the nucleus; {_NAN}", _NEAR.format("brighter", "darker"), 0, None),
    ("nucleus_minima", "px", f"darkest spots of the nucleus; {_NAN}", _NEAR.format("darker", "brighter"), 0, None),
    ("cytoplasm_maxima", "px", f"brightest spots of the cytoplasm; {_NAN}", _NEAR.format("brighter", "darker"), 0, None),
    ("cytoplasm_minima", "px", f"darkest spots of the cytoplasm; {_NAN}", _NEAR.format("darker", "brighter"), 0, None),
)  # fmt: skip

COLUMNS: tuple[Column, ...] = tuple(
    Column(f"herlev20_{name}", "float64", unit, meaning, formula, _PAPER, low, high, family="herlev20", per="cell")
    for name, unit, meaning, formula, low, high in _ROWS
)
