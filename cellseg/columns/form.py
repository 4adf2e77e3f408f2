"""Radii, holes, and the circle and rectangle around a cell. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column, DType

_CELLPROFILER = "Stirling et al. 2021, BMC Bioinformatics 22:433"
_GRAY = "Gray 1971, IEEE Trans Comput C-20:551"
_COX = "Cox 1927, J Paleontol 1:179"
_FREEMAN = "Freeman & Shapira 1975, Commun ACM 18:409"
_DEPTH = "distance of each pixel's centre to that of the nearest pixel outside, * mpp"


def _c(
    name: str, dtype: DType, unit: str, meaning: str, formula: str, source: str = "",
    minimum: float | None = 0, maximum: float | None = None,
) -> Column:  # fmt: skip
    return Column(name, dtype, unit, meaning, formula, source, minimum, maximum, "form", "compartment")


COLUMNS: tuple[Column, ...] = (
    _c("max_radius_um", "float64", "um", "how deep the deepest pixel lies inside", f"max of the {_DEPTH}", _CELLPROFILER),
    _c("mean_radius_um", "float64", "um", "how deep pixels lie inside, mean", f"mean of the {_DEPTH}", _CELLPROFILER),
    _c("median_radius_um", "float64", "um", "how deep pixels lie inside, median", f"median of the {_DEPTH}", _CELLPROFILER),
    _c("euler_number", "int64", "", "pieces less holes: 1 without holes", "pieces (8-connected) - holes (4-connected)", _GRAY, None),
    _c("bounding_box_area_um2", "float64", "um2", "area of the bounding box", "bbox height * bbox width * mpp^2"),
    _c("form_factor", "float64", "1", "1 for a circle, less for ragged or long outlines; above 1 for some cells of few pixels", "4 pi area / perimeter^2, Crofton's perimeter", _COX),
    _c("compactness", "float64", "1", "1 for a circle, more for ragged or long outlines; below 1 for some cells of few pixels", "perimeter^2 / (4 pi area), Crofton's perimeter: 1 / form factor", _CELLPROFILER),
    _c("moment_compactness", "float64", "1", "1 for a disc, more for long, hollow or scattered cells, whatever their outline", "2 pi * mean squared distance of the pixels from the centroid / area"),
    _c("enclosing_circle_radius_um", "float64", "um", "radius of the smallest circle around the cell", "around the corners of the pixels * mpp", "Skyum 1991, Inf Process Lett 37:121"),
    _c("roundness", "float64", "1", "share of that circle that the cell fills", "area / (pi * radius^2)", "", 0, 1),
    _c("min_rectangle_long_um", "float64", "um", "long side of the smallest rectangle around the cell, turned as it fits best", "over the sides of the convex hull of the corners of the pixels * mpp", _FREEMAN),
    _c("min_rectangle_short_um", "float64", "um", "its short side", "as its long side", _FREEMAN),
    _c("rectangularity", "float64", "1", "share of that rectangle that the cell fills", "area / (long side * short side)", "Rosin 1999, Mach Vis Appl 11:191", 0, 1),
    _c("elongation", "float64", "1", "0 where that rectangle is a square, near 1 for a line", "1 - short side / long side", "", 0, 1),
)  # fmt: skip
