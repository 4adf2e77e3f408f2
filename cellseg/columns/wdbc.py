"""The ten features of the Wisconsin breast cancer data. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column

_PAPER = "Street, Wolberg, Mangasarian 1993, Proc SPIE 1905:861"
_NAN = "NaN where the outline has fewer than 12 corners or is narrower than 1.5 px in the mean"
_OUTLINE = "outline of the largest piece, holes filled, smoothed by a Gaussian of 1 px^2 along its length; points are all along it, weighted by length"
_STEP = "h = perimeter / 24"

_ROWS: tuple[tuple[str, str, str, str, float | None, float | None], ...] = (
    ("wdbc10_radius_um", "um", f"mean distance from the outline's centroid to its points; {_NAN}", f"mean |p - centroid|; {_OUTLINE}", 0, None),
    ("wdbc10_texture", "1", "standard deviation of the gray levels, in 255ths of their range (gray levels of 8-bit images)", "sqrt(mean((v - mean)^2)) * 255 / (levels - 1), population form", 0, 127.5),
    ("wdbc10_perimeter_um", "um", f"length of the outline; {_NAN}", f"sum of its sides; {_OUTLINE}", 0, None),
    ("wdbc10_area_um2", "um2", f"area within the outline, which runs half-way through the edges' pixels as the paper's inner pixels and half of the outer ones; {_NAN}", f"area of the polygon; {_OUTLINE}", 0, None),
    ("wdbc10_smoothness", "1", f"local variation of the radius: small is smooth. The paper sums over the points of its contour without saying how many; 24 of them give values as in its table; {_NAN}", f"mean |r(s) - (r(s - h) + r(s + h)) / 2| / h, {_STEP}", 0, None),
    ("wdbc10_compactness", "1", f"0 for a circle; of the paper's perimeter^2 / area - 1 the form that the table follows; {_NAN}", "perimeter^2 / (4 pi area) - 1", None, None),
    ("wdbc10_concavity", "1", f"how deep the outline lies inside of the chords between its points' neighbours; 0 where it is nowhere hollow; {_NAN}", f"24 mean(d / c) over concave points; c = |p(s + h) - p(s - h)|, d = depth of p(s) inside of that chord; {_STEP}", 0, None),
    ("wdbc10_concave_points", "1", f"share of the outline's points that are concave; {_NAN}", f"share of points with d > 0.01 c; {_STEP}", 0, 1),
    ("wdbc10_symmetry", "1", f"how unlike the perpendiculars to the longest chord through the centroid are on its two sides: 0 is symmetric; of equally long chords the most symmetric; {_NAN}", "sum |left - right| / sum((left + right) / 2) over 32 perpendiculars; longest of 256 chords", 0, None),
    ("wdbc10_fractal_dimension", "1", f"how fast the outline grows shorter with a longer ruler (coastline approximation), less 1: more is less regular; {_NAN}", "-slope of log length over log ruler, rulers perimeter / 32, / 16, / 8, / 4; length = perimeter * mean chord / ruler", None, None),
)  # fmt: skip

COLUMNS: tuple[Column, ...] = tuple(
    Column(name, "float64", unit, meaning, formula, _PAPER, low, high, family="wdbc10", per="compartment")
    for name, unit, meaning, formula, low, high in _ROWS
)
