"""Size and form of the cell: the family that every other tool has too. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column, DType

_CROFTON = "Crofton 1868; Legland, Kieu, Devaux 2007, Image Anal Stereol 26:83"
_MOMENTS = "Hu 1962, IRE Trans Inf Theory 8:179"
_FERET = "Feret 1930; Walton 1948, Nature 162:329"


def _c(
    name: str, dtype: DType, unit: str, meaning: str, formula: str = "", source: str = "",
    minimum: float | None = None, maximum: float | None = None,
) -> Column:  # fmt: skip
    return Column(name, dtype, unit, meaning, formula, source, minimum, maximum, "shape", "compartment")


COLUMNS: tuple[Column, ...] = (
    _c("n_pixels", "int64", "px", "pixels of the cell", "count", "", 1),
    _c("area_um2", "float64", "um2", "area", "n_pixels * mpp^2", "", 0),
    _c("perimeter_um", "float64", "um", "length of the outline", "Crofton's formula over 4 directions * mpp", _CROFTON, 0),
    _c("equivalent_diameter_um", "float64", "um", "diameter of the disc of the same area", "sqrt(4 area / pi)", "", 0),
    _c("major_axis_um", "float64", "um", "long axis of the ellipse of the same second moments", "4 sqrt(l1), l1 >= l2 the eigenvalues of the (population) covariance of the coordinates of the pixels' centres", _MOMENTS, 0),
    _c("minor_axis_um", "float64", "um", "short axis of the ellipse of the same second moments; 0 for straight lines of one pixel's width", "4 sqrt(l2)", _MOMENTS, 0),
    _c("orientation_rad", "float64", "rad", "angle from the downward axis to the long axis, towards the right; -pi/4 where no axis is the longer", "0.5 atan2(2 cov(y, x), var(y) - var(x)); where var(y) = var(x): pi/4 if cov(y, x) > 0, else -pi/4", _MOMENTS, -1.5707963267948966, 1.5707963267948966),
    _c("max_feret_um", "float64", "um", "greatest caliper distance", "over the convex hull of the pixels' edge midpoints", _FERET, 0),
    _c("min_feret_um", "float64", "um", "least caliper distance", "over the convex hull of the pixels' edge midpoints", _FERET, 0),
    _c("eccentricity", "float64", "1", "0 for a circle, 1 for a line", "sqrt(1 - l2 / l1); 0 for a single pixel", _MOMENTS, 0, 1),
    _c("convex_area_um2", "float64", "um2", "area of the pixels within the convex hull", "pixel centres in or on the hull of the pixels' edge midpoints, * mpp^2", "", 0),
    _c("solidity", "float64", "1", "share of the convex hull that the cell fills", "area / convex area", "", 0, 1),
    _c("extent", "float64", "1", "share of the bounding box that the cell fills", "n_pixels / (bbox height * bbox width)", "", 0, 1),
    _c("circularity", "float64", "1", "1 for a circle, less for ragged or long outlines", "4 pi area / perimeter^2, clipped at 1", "Cox 1927, J Paleontol 1:179", 0, 1),
    _c("aspect_ratio", "float64", "1", "long over short axis", "major / minor; NaN where the minor axis is 0", _MOMENTS, 1),
)  # fmt: skip
