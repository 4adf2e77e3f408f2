"""More of what a plane holds over a compartment: form, histogram, place, edge pixels. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import PLANE_UNIT, Column

_IBSI = "Zwanenburg 2020, Radiology 295:328"
_CELLPROFILER = "Stirling 2021, BMC Bioinformatics 22:433"
_HU = "Hu 1962, IRE Trans Inf Theory 8:179"
_LINEAR = "linear interpolation between order statistics"
_DARK = "NaN where all counts are 0"
_COUNTS = "counts v, which are 0 at the least that the plane can hold (L* a* b*: not at its value 0)"
_EDGE = "the cell's pixels with one of 8 neighbours outside of the cell or of the image, edges of holes among them"

_LEVELS = (
    ("integrated", f"{PLANE_UNIT} x px", "sum over the pixels", "sum", "", None, None),
    ("mad", PLANE_UNIT, "median absolute deviation from the median", "median(|v - median|)", "", 0, None),
    ("iqr", PLANE_UNIT, "interquartile range", "q75 - q25", "", 0, None),
    ("range", PLANE_UNIT, "greatest less least", "max - min", "", 0, None),
    ("mean_median_difference", PLANE_UNIT, "mean less median", "mean - q50", "", None, None),
    ("skewness", "1", "skewness of the pixels; NaN where all are equal", "mean((v - mean)^3) / sd^3, population form", "", None, None),
    ("kurtosis", "1", "excess kurtosis of the pixels: 0 for a normal distribution; NaN where all are equal", "mean((v - mean)^4) / sd^4 - 3, population form", "", -2, None),
    ("entropy_bits", "bits", "entropy of the histogram of 64 bins of equal width from the cell's least to its greatest value; 0 where all pixels are equal", "-sum p log2 p; bin floor(64 (v - min) / (max - min + 1)) of counts v", "Shannon 1948, Bell Syst Tech J 27:379", 0, 6),
    ("energy", "1", "uniformity of the same histogram: 1 where all pixels are equal, 1/64 where the bins are equally full", "sum p^2", _IBSI, 0, 1),
    ("q01", PLANE_UNIT, "1 % quantile over the pixels", _LINEAR, "", None, None),
    ("q10", PLANE_UNIT, "10 % quantile over the pixels", _LINEAR, "", None, None),
    ("q90", PLANE_UNIT, "90 % quantile over the pixels", _LINEAR, "", None, None),
    ("q99", PLANE_UNIT, "99 % quantile over the pixels", _LINEAR, "", None, None),
    ("robust_mean_absolute_deviation", PLANE_UNIT, "mean absolute deviation of the pixels within the 10 % and 90 % quantiles (both included) from their mean; NaN where there are none: the cell is two unequal pixels", "mean(|v - mean(v)|) over q10 <= v <= q90", _IBSI, 0, None),
    ("coefficient_of_variation", "1", "standard deviation relative to the mean; NaN where the mean is not above 0", "sd / mean", _IBSI, 0, None),
    ("quartile_coefficient_of_dispersion", "1", "spread of the quartiles relative to their sum; NaN where the sum is not above 0", "(q75 - q25) / (q75 + q25)", _IBSI, 0, None),
)  # fmt: skip
_PLACES = (
    ("mass_displacement_um", f"distance from the centroid to that weighted with the plane; {_DARK}", f"|sum v r / sum v - sum r / n|, {_COUNTS}", _CELLPROFILER, 0),
    ("weighted_centroid_y_um", f"centroid weighted with the plane, from the centroid downwards; {_DARK}", f"sum v y / sum v - sum y / n, {_COUNTS}", "", None),
    ("weighted_centroid_x_um", f"centroid weighted with the plane, from the centroid to the right; {_DARK}", f"sum v x / sum v - sum x / n, {_COUNTS}", "", None),
    ("max_distance_um", "distance from the centroid to the mean place of the pixels that have the greatest value", "|mean r where v = max - sum r / n|", "", 0),
)  # fmt: skip
_EDGES = (
    ("edge_mean", PLANE_UNIT, "mean", "sum / n", None),
    ("edge_sd", PLANE_UNIT, "standard deviation", "sqrt(mean of squares - square of mean), population form", 0),
    ("edge_min", PLANE_UNIT, "least", "min", None),
    ("edge_max", PLANE_UNIT, "greatest", "max", None),
    ("edge_integrated", f"{PLANE_UNIT} x px", "sum", "sum", None),
)
_INVARIANTS = (
    "n20 + n02",
    "(n20 - n02)^2 + 4 n11^2",
    "(n30 - 3 n12)^2 + (3 n21 - n03)^2",
    "(n30 + n12)^2 + (n21 + n03)^2",
    "(n30 - 3 n12)(n30 + n12)((n30 + n12)^2 - 3 (n21 + n03)^2) + (3 n21 - n03)(n21 + n03)(3 (n30 + n12)^2 - (n21 + n03)^2)",
    "(n20 - n02)((n30 + n12)^2 - (n21 + n03)^2) + 4 n11 (n30 + n12)(n21 + n03)",
    "(3 n21 - n03)(n30 + n12)((n30 + n12)^2 - 3 (n21 + n03)^2) - (n30 - 3 n12)(n21 + n03)(3 (n30 + n12)^2 - (n21 + n03)^2)",
)

COLUMNS: tuple[Column, ...] = (
    *(
        Column(name, "float64", unit, meaning, formula, source, least, greatest, family="distribution", per="plane")
        for name, unit, meaning, formula, source, least, greatest in _LEVELS
    ),
    *(
        Column(name, "float64", "um", meaning, formula, source, least, family="distribution", per="plane")
        for name, meaning, formula, source, least in _PLACES
    ),
    *(
        Column(
            f"weighted_hu_{k}", "float64", "1", f"Hu's invariant {k} of the plane, by the plane's unit: stays the same when the cell is moved, turned or scaled{'; changes its sign when it is mirrored' if k == 7 else ''}; {_DARK}",
            f"{formula}; npq = mu_pq / mu_00^(1 + (p + q) / 2), mu_pq: central moments in px, weights v x scale, {_COUNTS}",
            _HU, family="distribution", per="plane", significant=True,
        )
        for k, formula in enumerate(_INVARIANTS, 1)
    ),
    *(
        Column(name, "float64", unit, f"{words} over the edge pixels: {_EDGE}", formula, _CELLPROFILER, least, None, family="distribution", per="plane")
        for name, unit, words, formula, least in _EDGES
    ),
)  # fmt: skip
