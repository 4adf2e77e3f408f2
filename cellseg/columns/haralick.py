"""What Haralick's texture features say of pairs of neighbouring pixels. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column

_SOURCE = "Haralick, Shanmugam, Dinstein 1973, IEEE Trans Syst Man Cybern SMC-3:610"
_NO_PAIR = "NaN where no two pixels of the cell lie at that distance"
_FLAT = f"{_NO_PAIR}, and where all that do are of one level"

FEATURES = (
    ("asm", "angular second moment (energy): 1 where all pairs are alike", "sum p(i,j)^2", 0, 1, _NO_PAIR),
    ("contrast", "mean squared difference of a pair's levels", "sum (i - j)^2 p(i,j)", 0, None, _NO_PAIR),
    ("correlation", "linear correlation of a pair's levels", "(sum i j p(i,j) - mu^2) / sigma^2", -1, 1, _FLAT),
    ("variance", "sum of squares: variance of the levels in pairs", "sum (i - mu)^2 p(i,j)", 0, None, _NO_PAIR),
    ("inverse_difference_moment", "homogeneity", "sum p(i,j) / (1 + (i - j)^2)", 0, 1, _NO_PAIR),
    ("sum_average", "mean of a pair's summed levels", "sum k p_x+y(k)", 2, None, _NO_PAIR),
    ("sum_variance", "variance of a pair's summed levels, about the sum average (the paper prints the sum entropy)",
     "sum (k - sum average)^2 p_x+y(k)", 0, None, _NO_PAIR),
    ("sum_entropy", "entropy of a pair's summed levels, bits", "- sum p_x+y(k) log2 p_x+y(k)", 0, None, _NO_PAIR),
    ("entropy", "entropy of pairs, bits", "- sum p(i,j) log2 p(i,j)", 0, None, _NO_PAIR),
    ("difference_variance", "variance of a pair's absolute difference", "variance of k under p_x-y(k)", 0, None, _NO_PAIR),
    ("difference_entropy", "entropy of a pair's absolute difference, bits", "- sum p_x-y(k) log2 p_x-y(k)", 0, None, _NO_PAIR),
    ("imc1", "first information measure of correlation", "(HXY - HXY1) / max(HX, HY), bits", -1, 0, _FLAT),
    ("imc2", "second information measure of correlation", "sqrt(1 - exp(-2 (HXY2 - HXY))), H in bits", 0, 1, _NO_PAIR),
)  # fmt: skip
"""Name, meaning, formula, least, greatest, rule of NaN; in the order of the paper."""

DIRECTIONS = (0, 45, 90, 135)
"""Degrees from the x axis, counterclockwise as one sees the image: 45 leads up and to the right."""
_PAIRS = "symmetric co-occurrence of the gray levels of the cell's pixels"


def _row(feature: tuple[str, str, str, float | None, float | None, str], suffix: str, words: str) -> Column:
    name, meaning, formula, minimum, maximum, nan = feature
    if suffix == "range":
        span = None if minimum is None or maximum is None else maximum - minimum
        minimum, maximum, formula = 0, span, f"greatest - least over directions of: {formula}"
    return Column(
        f"haralick_{name}_d{{distance}}_{suffix}", "float64", "1",
        f"{meaning}; {_PAIRS} that lie {{distance}} px apart, {words}; {nan}",
        formula, _SOURCE, minimum, maximum, family="haralick", per="plane",
    )  # fmt: skip


_SUMMED: tuple[Column, ...] = tuple(
    _row(feature, suffix, words)
    for feature in FEATURES
    for suffix, words in (
        ("mean", "mean over the directions (0, 45, 90, 135 degrees) that have it"),
        ("range", "range over the directions (0, 45, 90, 135 degrees) that have it"),
    )
)
_EACH: tuple[Column, ...] = tuple(_row(feature, "{direction}", "at {direction} degrees") for feature in FEATURES)
COLUMNS: tuple[Column, ...] = (*_SUMMED, *_EACH)
"""Those of each direction are there only where `texture_each_direction` asks for them."""
