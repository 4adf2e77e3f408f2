"""How steep a plane is over a compartment, and its edges. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import PLANE_UNIT, Column, DType

_CANNY = "Canny 1986, IEEE Trans Pattern Anal Mach Intell 8:679"
_SLOPE = f"{PLANE_UNIT} / um"
_LENGTH = "g = sqrt(gy^2 + gx^2), gy = (v below - v above) / 2 mpp, gx = (v right - v left) / 2 mpp; neighbours outside of the cell as they are in the image, beyond its border the border pixels go on"
_EDGE = "pixels with 8 neighbours in the cell whose Sobel gradient is at least as long as on both sides along it and at least 10 % of the cell's range of values per px, joined by 8-neighbours to one of at least 20 %"

_ROWS: tuple[tuple[str, DType, str, str, str, str, float | None, float | None], ...] = (
    ("gradient_mean_per_um", "float64", _SLOPE, "mean length of the gradient over the pixels", f"mean(g); {_LENGTH}", "", 0, None),
    ("gradient_sd_per_um", "float64", _SLOPE, "standard deviation of the gradient's length", "sqrt(mean((g - mean)^2)), population form", "", 0, None),
    ("gradient_skewness", "float64", "1", "skewness of the gradient's length; NaN where all pixels have the same", "mean((g - mean)^3) / sd^3, population form", "", None, None),
    ("gradient_kurtosis", "float64", "1", "excess kurtosis of the gradient's length; NaN where all pixels have the same", "mean((g - mean)^4) / sd^4 - 3, population form", "", -2, None),
    ("gradient_entropy_bits", "float64", "bits", "entropy of the histogram of the gradient's length, 64 bins of equal width from the cell's least to its greatest; 0 where all pixels have the same", "-sum p log2 p; bin floor(64 (g - min) / (max - min)), the greatest in the last", "Shannon 1948, Bell Syst Tech J 27:379", 0, 6),
    ("gradient_energy", "float64", "1", "uniformity of the same histogram; 1 where all pixels have the same", "sum p^2", "", 0, 1),
    ("canny_n_pixels", "int64", "px", "pixels on edges inside of the cell, found by non-maximum suppression and hysteresis of the cell's own; 0 where it is flat or has no pixel with 8 neighbours in it", _EDGE, _CANNY, 0, None),
    ("canny_share", "float64", "1", "share of the cell's pixels that are on edges; NaN where no pixel has 8 neighbours in the cell", "canny_n_pixels / pixels of the cell", _CANNY, 0, 1),
    ("canny_mean_per_um", "float64", _SLOPE, "mean length of Sobel's gradient over the pixels on edges; NaN without edges", "mean of sqrt(sy^2 + sx^2) / (8 mpp), sy and sx by Sobel's kernels", _CANNY, 0, None),
)  # fmt: skip

COLUMNS: tuple[Column, ...] = tuple(
    Column(name, dtype, unit, meaning, formula, source, least, greatest, family="gradient", per="plane")
    for name, dtype, unit, meaning, formula, source, least, greatest in _ROWS
)
