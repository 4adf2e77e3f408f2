"""Form of the outline: hull, concavities, radii, roughness, curvature, fractal dimensions, symmetry. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column

_NAN = "; NaN where the outline has fewer than 12 corners or is narrower than 1.5 px in the mean (2 area / length)"
_SMOOTH = "of the outline: polygon through the middles of the edges of the pixels of the largest 8-connected piece (by what its outer outline encloses), smoothed by a Gaussian of 1 px along its length, scaled so that a circle keeps its radius"
_SCALE_SPACE = "Mokhtarian & Mackworth 1986, IEEE TPAMI 8:34"
_YOUNG = "Young, Walker, Bowie 1974, Inf Control 25:357"
_HULL = "Melkman 1987, Inf Process Lett 25:11"
_DEEP = "concavities are stretches of the outline below one edge of its convex hull, from one place less than 0.25 px below to the next, deeper than 1.25 px"
_KAPPA = "k = 1 / radius of the circle through three neighbouring corners, positive where convex, weighted by length, on the outline smoothed by a Gaussian along its length whose variance (px^2) is half the radius (px) of the disc of the same area"


def _c(
    name: str, unit: str, meaning: str, formula: str = "", source: str = "",
    minimum: float | None = None, maximum: float | None = None, *, always: bool = False,
) -> Column:  # fmt: skip
    text = meaning if always else meaning + _NAN
    return Column(name, "float64", unit, text, formula, source, minimum, maximum, family="outline", per="compartment")


def _roughness(name: str, part: int) -> Column:
    return _c(
        f"roughness_{name}", "1",
        f"roughness within 1/{part} of the outline, relative to the mean radius (NaN, too, where that is fewer than 5 corners)",
        "mean distance, across the outline, of its corners from the local parabola (least squares over the window, 129 corners of it at most) / radius_mean",
        "Savitzky & Golay 1964, Anal Chem 36:1627", 0, 1,
    )  # fmt: skip


COLUMNS: tuple[Column, ...] = (
    _c("outline_length_um", "um", "length of the outer outline without the pixels' stairs", "length " + _SMOOTH, _SCALE_SPACE, 0),
    _c("hull_perimeter_um", "um", "perimeter of the outline's convex hull", "sum of the hull's edges", _HULL, 0),
    _c("convexity", "1", "1 where convex, less for lobed or ragged outlines", "hull_perimeter / outline_length", "", 0, 1),
    _c("concavity_count", "1", "number of concavities", _DEEP, _HULL, 0),
    _c("concavity_depth_max_um", "um", "depth of the deepest concavity, 0 if there is none", "greatest distance of the outline from an edge of its hull; " + _DEEP, "", 0),
    _c("concavity_depth_mean_um", "um", "mean depth of the concavities, 0 if there is none", "mean of each concavity's greatest distance from the hull's edge", "", 0),
    _c("concavity_area_share", "1", "share of the convex hull outside of the outline (holes don't count)", "1 - area within the outline / area of its hull", "", 0, 1),
    _c("concavity_largest_share", "1", "share of the convex hull in the largest concavity, 0 if there is none", "area between the outline and an edge of its hull / area of the hull", "", 0, 1),
    _c("radius_mean_um", "um", "mean distance of the outline from its centroid", "over the outline's length; centroid of the area within", "", 0),
    _c("radius_sd_um", "um", "standard deviation of the outline's distance from its centroid", "over the outline's length", "", 0),
    _c("radius_ratio", "1", "least over greatest distance of the outline from its centroid", "min / max", "", 0, 1),
    _roughness("fine", 16), _roughness("medium", 8), _roughness("coarse", 4),
    _c("curvature_mean_per_um", "1/um", "mean curvature of the outline", "mean of k; " + _KAPPA, _SCALE_SPACE),
    _c("curvature_abs_mean_per_um", "1/um", "mean curvature of the outline, either way", "mean of |k|", _SCALE_SPACE, 0),
    _c("curvature_sd_per_um", "1/um", "standard deviation of the outline's curvature", "sd of k", _SCALE_SPACE, 0),
    _c("curvature_min_per_um", "1/um", "least curvature of the outline, negative in concavities", "min of k", _SCALE_SPACE),
    _c("curvature_max_per_um", "1/um", "greatest curvature of the outline", "max of k", _SCALE_SPACE),
    _c("n_curvature_sign_changes", "1", "how often the outline turns from convex to concave or back", "changes of sign of k along the outline, |k| below 1/4 of the curvature of the circle of the same length left out", _SCALE_SPACE, 0),
    _c("concave_length_share", "1", "share of the outline that is concave", "length where k < -1/4 of the curvature of the circle of the same length / length", "", 0, 1),
    _c("bending_energy", "1", "energy to bend a straight rod to the outline, 1 for a circle", "mean of k^2 * length^2 / (4 pi^2)", _YOUNG, 0),
    _c("fractal_dimension_box", "1", "fractal dimension by counting boxes, about 1 for smooth outlines (NaN, too, where the longer side is less than 8 px)", "- slope of log n over log s, n boxes of s = 1, 2, 4, ... px (up to half the longer side) that hold corners of the traced outline, mean of the lattices from the 4 corners of its box", "Liebovitch & Toth 1989, Phys Lett A 141:386", 0, 2),
    _c("fractal_dimension_perimeter", "1", "fractal dimension by rulers, about 1 for smooth outlines (NaN, too, with fewer than 32 corners)", "1 - slope of log length over log ruler; rulers of 2, 3, 4, 6, 8, 12, ... corners (up to an eighth) of the traced outline", "Mandelbrot 1967, Science 156:636; Street, Wolberg, Mangasarian 1993, Proc SPIE 1905:861", 0, 3),
    _c("symmetry_mirror", "1", "share of the cell that its mirror image about the long axis covers", "mirrored in the long axis of the second moments through the centroid (no axis longer: best of the 2 axes and 2 diagonals), bilinear, / n_pixels", "", 0, 1, always=True),
    _c("symmetry_rotation_180", "1", "share of the cell that it covers after half a turn about its centroid", "bilinear, / n_pixels", "", 0, 1, always=True),
)  # fmt: skip
