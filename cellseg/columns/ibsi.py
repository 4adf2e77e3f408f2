"""Texture as the Image Biomarker Standardisation Initiative defines it: runs, zones, dependence. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column

_IBSI = "Zwanenburg et al. 2020, Radiology 295:328"
_CHU = "Chu, Sehgal, Greenleaf 1990, Pattern Recognit Lett 11:415"
_DASARATHY = "Dasarathy, Holder 1991, Pattern Recognit Lett 12:497"

_FORMULAS = (
    ("sum_j r(.,j) / j^2 / N", 0, 1),
    ("sum_j j^2 r(.,j) / N", 1, None),
    ("sum_i r(i,.) / i^2 / N", 0, 1),
    ("sum_i i^2 r(i,.) / N", 1, None),
    ("sum_ij r(i,j) / (i^2 j^2) / N", 0, 1),
    ("sum_ij i^2 r(i,j) / j^2 / N", 0, None),
    ("sum_ij j^2 r(i,j) / i^2 / N", 0, None),
    ("sum_ij i^2 j^2 r(i,j) / N", 1, None),
    ("sum_i r(i,.)^2 / N", 0, None),
    ("sum_i r(i,.)^2 / N^2", 0, 1),
    ("sum_j r(.,j)^2 / N", 0, None),
    ("sum_j r(.,j)^2 / N^2", 0, 1),
    ("N / pixels looked at", 0, 1),
    ("sum_ij (i - mean of i)^2 r(i,j) / N", 0, None),
    ("sum_ij (j - mean of j)^2 r(i,j) / N", 0, None),
    ("- sum_ij r(i,j)/N log2(r(i,j)/N)", 0, None),
    ("sum_ij (r(i,j) / N)^2", 0, 1),
)
"""Formula, least, greatest of what is drawn from a matrix r(i,j) of levels i and sizes j, N in all."""

_RUN_LENGTH = (
    ("short_runs_emphasis", "emphasis of short runs", "Galloway 1975, Comput Graph Image Process 4:172"),
    ("long_runs_emphasis", "emphasis of long runs", "Galloway 1975, Comput Graph Image Process 4:172"),
    ("low_grey_level_run_emphasis", "emphasis of runs of low level", _CHU),
    ("high_grey_level_run_emphasis", "emphasis of runs of high level", _CHU),
    ("short_run_low_grey_level_emphasis", "emphasis of short runs of low level", _DASARATHY),
    ("short_run_high_grey_level_emphasis", "emphasis of short runs of high level", _DASARATHY),
    ("long_run_low_grey_level_emphasis", "emphasis of long runs of low level", _DASARATHY),
    ("long_run_high_grey_level_emphasis", "emphasis of long runs of high level", _DASARATHY),
    ("grey_level_non_uniformity", "how unevenly runs fall on levels", "Galloway 1975, Comput Graph Image Process 4:172"),
    ("normalised_grey_level_non_uniformity", "how unevenly runs fall on levels, per run", _IBSI),
    ("run_length_non_uniformity", "how unevenly runs fall on lengths", "Galloway 1975, Comput Graph Image Process 4:172"),
    ("normalised_run_length_non_uniformity", "how unevenly runs fall on lengths, per run", _IBSI),
    ("run_percentage", "runs in all directions over 4 times the pixels", "Galloway 1975, Comput Graph Image Process 4:172"),
    ("grey_level_variance", "variance of the runs' levels", _IBSI),
    ("run_length_variance", "variance of the runs' lengths, px^2", _IBSI),
    ("run_entropy", "entropy of level and length of runs, bits", _IBSI),
)  # fmt: skip
_THIBAULT = "Thibault, Angulo, Meyer 2014, IEEE Trans Biomed Eng 61:630"
_SIZE_ZONE = (
    ("small_zone_emphasis", "emphasis of small zones", _THIBAULT),
    ("large_zone_emphasis", "emphasis of large zones", _THIBAULT),
    ("low_grey_level_zone_emphasis", "emphasis of zones of low level", _THIBAULT),
    ("high_grey_level_zone_emphasis", "emphasis of zones of high level", _THIBAULT),
    ("small_zone_low_grey_level_emphasis", "emphasis of small zones of low level", _THIBAULT),
    ("small_zone_high_grey_level_emphasis", "emphasis of small zones of high level", _THIBAULT),
    ("large_zone_low_grey_level_emphasis", "emphasis of large zones of low level", _THIBAULT),
    ("large_zone_high_grey_level_emphasis", "emphasis of large zones of high level", _THIBAULT),
    ("grey_level_non_uniformity", "how unevenly zones fall on levels", _THIBAULT),
    ("normalised_grey_level_non_uniformity", "how unevenly zones fall on levels, per zone", _IBSI),
    ("zone_size_non_uniformity", "how unevenly zones fall on sizes", _THIBAULT),
    ("normalised_zone_size_non_uniformity", "how unevenly zones fall on sizes, per zone", _IBSI),
    ("zone_percentage", "zones over pixels", _THIBAULT),
    ("grey_level_variance", "variance of the zones' levels", _IBSI),
    ("zone_size_variance", "variance of the zones' sizes, px^2", _IBSI),
    ("zone_size_entropy", "entropy of level and size of zones, bits", _IBSI),
)
_SUN = "Sun, Wee 1983, Comput Vis Graph Image Process 23:341"
_DEPENDENCE = (
    ("low_dependence_emphasis", "emphasis of pixels with few neighbours of their level", _SUN),
    ("high_dependence_emphasis", "emphasis of pixels with many neighbours of their level", _SUN),
    ("low_grey_level_count_emphasis", "emphasis of pixels of low level", _IBSI),
    ("high_grey_level_count_emphasis", "emphasis of pixels of high level", _IBSI),
    ("low_dependence_low_grey_level_emphasis", "emphasis of few alike neighbours at low level", _IBSI),
    ("low_dependence_high_grey_level_emphasis", "emphasis of few alike neighbours at high level", _IBSI),
    ("high_dependence_low_grey_level_emphasis", "emphasis of many alike neighbours at low level", _IBSI),
    ("high_dependence_high_grey_level_emphasis", "emphasis of many alike neighbours at high level", _IBSI),
    ("grey_level_non_uniformity", "how unevenly pixels fall on levels", _IBSI),
    ("normalised_grey_level_non_uniformity", "how unevenly pixels fall on levels, per pixel", _IBSI),
    ("dependence_count_non_uniformity", "how unevenly pixels fall on dependence counts", _SUN),
    ("normalised_dependence_count_non_uniformity", "how unevenly pixels fall on dependence counts, per pixel", _IBSI),
    ("dependence_count_percentage", "counts over pixels: 1, as each pixel has its count", _IBSI),
    ("grey_level_variance", "variance of the pixels' levels", _IBSI),
    ("dependence_count_variance", "variance of the dependence counts", _IBSI),
    ("dependence_count_entropy", "entropy of level and dependence count, bits", _SUN),
    ("dependence_count_energy", "second moment of level and dependence count", _SUN),
)


def _rows(family: str, prefix: str, rows: tuple[tuple[str, str, str], ...], matrix: str) -> tuple[Column, ...]:
    return tuple(
        Column(
            f"{prefix}_{name}", "float64", "1", f"{meaning}; never NaN", f"{formula}; {matrix}", source,
            minimum, maximum, family=family, per="plane",
        )
        for (name, meaning, source), (formula, minimum, maximum) in zip(rows, _FORMULAS, strict=False)
    )  # fmt: skip


RUN_LENGTH = _rows(
    "run_length", "glrlm", _RUN_LENGTH,
    "r(i,j): runs of level i and length j px along 0, 45, 90 and 135 degrees, one matrix of all (merged)",
)  # fmt: skip
SIZE_ZONE = _rows("size_zone", "glszm", _SIZE_ZONE, "r(i,j): 8-connected zones of level i and j px")
DEPENDENCE = _rows(
    "dependence", "ngldm", _DEPENDENCE,
    "r(i,j): pixels of level i of which j, with itself, among its 8 neighbours in the cell are of its level",
)  # fmt: skip
COLUMNS: tuple[Column, ...] = (*RUN_LENGTH, *SIZE_ZONE, *DEPENDENCE)
