"""The one truth about tables: every column's name, type, unit, range, meaning, formula and source. Floor 1.

`docs/tables.md` and each run's `columns.json` are made from here. Columns that exist
once a channel, a stain or a tissue are written with a placeholder: `intensity_{channel}_mean`, `od_{stain}_mean`,
`signed_distance_{tissue}_um`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from itertools import count
from typing import Literal

from cellseg.errors import TableError

DType = Literal["string", "uint32", "int32", "int64", "float64", "bool"]
Family = Literal[
    "identity", "position", "shape", "intensity", "focus", "neighborhood", "detection", "tissue", "flags", "verdict",
    "cohort",
]  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One column of the cells table (or a family of them, where the name has a placeholder)."""

    name: str
    dtype: DType
    unit: str
    meaning: str
    formula: str = ""
    source: str = ""
    minimum: float | None = None
    maximum: float | None = None
    family: Family = "shape"


_CROFTON = "Crofton 1868; Legland, Kieu, Devaux 2007, Image Anal Stereol 26:83"
_MOMENTS = "Hu 1962, IRE Trans Inf Theory 8:179"
_FERET = "Feret 1930; Walton 1948, Nature 162:329"
_OD = "Ruifrok & Johnston 2001, Anal Quant Cytol Histol 23:291"


def _c(
    family: Family, name: str, dtype: DType, unit: str, meaning: str, formula: str = "", source: str = "",
    minimum: float | None = None, maximum: float | None = None,
) -> Column:  # fmt: skip
    return Column(name, dtype, unit, meaning, formula, source, minimum, maximum, family)


def _statistics(prefix: str, unit: str, of: str, source: str) -> tuple[Column, ...]:
    rows = [
        ("mean", "mean", "sum / n"),
        ("sd", "standard deviation", "sqrt(mean of squares - square of mean), population form"),
        ("min", "least", "min"),
        ("q05", "5 % quantile", "linear interpolation between order statistics"),
        ("q25", "lower quartile", "linear interpolation between order statistics"),
        ("q50", "median", "linear interpolation between order statistics"),
        ("q75", "upper quartile", "linear interpolation between order statistics"),
        ("q95", "95 % quantile", "linear interpolation between order statistics"),
        ("max", "greatest", "max"),
    ]
    return tuple(
        _c("intensity", f"{prefix}_{key}", "float64", unit, f"{word} {of} over the cell's pixels", formula, source, 0.0)
        for key, word, formula in rows
    )


COLUMNS: tuple[Column, ...] = (
    _c("identity", "sample", "string", "", "the sample's name in the sample sheet"),
    _c("identity", "cell_id", "uint32", "", "the cell's pixel value in labels.ome.tif and its id in every export", "raster order of the first pixel", "", 1),
    _c("position", "centroid_y_px", "float64", "px", "centroid, downwards from the centre of the top row", "mean of y", _MOMENTS, 0),
    _c("position", "centroid_x_px", "float64", "px", "centroid, rightwards from the centre of the left column", "mean of x", _MOMENTS, 0),
    _c("position", "centroid_y_um", "float64", "um", "centroid, downwards", "centroid_y_px * mpp", _MOMENTS, 0),
    _c("position", "centroid_x_um", "float64", "um", "centroid, rightwards", "centroid_x_px * mpp", _MOMENTS, 0),
    _c("position", "bbox_y0_px", "int64", "px", "first row of the bounding box", "", "", 0),
    _c("position", "bbox_x0_px", "int64", "px", "first column of the bounding box", "", "", 0),
    _c("position", "bbox_y1_px", "int64", "px", "row after the last of the bounding box", "", "", 1),
    _c("position", "bbox_x1_px", "int64", "px", "column after the last of the bounding box", "", "", 1),
    _c("shape", "n_pixels", "int64", "px", "pixels of the cell", "count", "", 1),
    _c("shape", "area_um2", "float64", "um2", "area", "n_pixels * mpp^2", "", 0),
    _c("shape", "perimeter_um", "float64", "um", "length of the outline", "Crofton's formula over 4 directions * mpp", _CROFTON, 0),
    _c("shape", "equivalent_diameter_um", "float64", "um", "diameter of the disc of the same area", "sqrt(4 area / pi)", "", 0),
    _c("shape", "major_axis_um", "float64", "um", "long axis of the ellipse of the same second moments", "4 sqrt(l1), l1 >= l2 the eigenvalues of the (population) covariance of the coordinates of the pixels' centres", _MOMENTS, 0),
    _c("shape", "minor_axis_um", "float64", "um", "short axis of the ellipse of the same second moments; 0 for straight lines of one pixel's width", "4 sqrt(l2)", _MOMENTS, 0),
    _c("shape", "orientation_rad", "float64", "rad", "angle from the downward axis to the long axis, towards the right; -pi/4 where no axis is the longer", "0.5 atan2(2 cov(y, x), var(y) - var(x)); where var(y) = var(x): pi/4 if cov(y, x) > 0, else -pi/4", _MOMENTS, -1.5707963267948966, 1.5707963267948966),
    _c("shape", "max_feret_um", "float64", "um", "greatest caliper distance", "over the convex hull of the pixels' edge midpoints", _FERET, 0),
    _c("shape", "min_feret_um", "float64", "um", "least caliper distance", "over the convex hull of the pixels' edge midpoints", _FERET, 0),
    _c("shape", "eccentricity", "float64", "1", "0 for a circle, 1 for a line", "sqrt(1 - l2 / l1); 0 for a single pixel", _MOMENTS, 0, 1),
    _c("shape", "convex_area_um2", "float64", "um2", "area of the pixels within the convex hull", "pixel centres in or on the hull of the pixels' edge midpoints, * mpp^2", "", 0),
    _c("shape", "solidity", "float64", "1", "share of the convex hull that the cell fills", "area / convex area", "", 0, 1),
    _c("shape", "extent", "float64", "1", "share of the bounding box that the cell fills", "n_pixels / (bbox height * bbox width)", "", 0, 1),
    _c("shape", "circularity", "float64", "1", "1 for a circle, less for ragged or long outlines", "4 pi area / perimeter^2, clipped at 1", "Cox 1927, J Paleontol 1:179", 0, 1),
    _c("shape", "aspect_ratio", "float64", "1", "long over short axis", "major / minor; NaN where the minor axis is 0", _MOMENTS, 1),
    *_statistics("intensity_{channel}", "gray level", "of the channel, as stored in the file", ""),
    *_statistics("od_{stain}", "OD", "optical density (log10) of the separated stain, in steps of 0.001, negative values as 0", _OD),
    _c("focus", "edge_sharpness_per_um", "float64", "1/um", "mean gradient along the outline, relative to the slide's contrast; blurred cells score low; NaN where the slide has no contrast or the cell fills the image", "mean length of the Sobel gradient (kernels / 8) of gray over the cell's pixels with a 4-neighbour in the image that is not of the cell / (99 % - 1 % quantile of the slide's gray) / mpp", "Pech-Pacheco et al. 2000, ICPR (gradient measures of focus)", 0),
    _c("neighborhood", "nearest_neighbor_um", "float64", "um", "distance to the nearest other centroid; NaN where the cell is alone", "least Euclidean distance of centroids * mpp", "", 0),
    _c("neighborhood", "density_per_mm2", "float64", "1/mm2", "cells around this one", "other centroids within density_radius_um / area of the part of that disc that lies in the image", "", 0),
    _c("detection", "score", "float64", "1", "how sure the segmenter is that this is a cell; NaN for method threshold, which knows no scores", "of a Mask R-CNN: the softmax of the class; of a cell joined at seams: its best piece", "He et al. 2017, ICCV", 0, 1),
    _c("detection", "class", "string", "", "what the segmenter says it is, one of the classes of its weights; empty for a segmenter without classes"),
    _c("tissue", "tissue", "string", "", "class of the tissue map under the centroid; empty where the map has none (empty glass, not looked at, not drawn) and without a map", "map pixel floor((centroid + 0.5) * scale), scale = map px per px"),
    _c("tissue", "tissue_probability", "float64", "1", "how sure the network is of that class there; NaN for maps that a person drew and where there is no tissue", "softmax, summed over the classes of a group, in steps of 1/255", "Badrinarayanan, Kendall, Cipolla 2017, IEEE TPAMI 39:2481", 0, 1),
    _c("tissue", "tissue_distance_um", "float64", "um", "distance from the centroid to the nearest boundary of its tissue, no more than tissue.max_distance_um; NaN where there is no tissue", "(distance to the nearest centre of a map pixel of another class or of none, from the centre of the map pixel under the centroid, - 0.5 map px) * map mpp; the image's border is no boundary", "", 0),
    _c("tissue", "signed_distance_{tissue}_um", "float64", "um", "distance from the centroid to the nearest boundary of this tissue, positive inside and negative outside, no farther than tissue.max_distance_um; one column for each class of the map, none without a map", "as tissue_distance_um inside; outside, minus the distance to the nearest map pixel of the class"),
    _c("flags", "touches_border", "bool", "", "the bounding box touches the image's border: the cell may be cut there"),
    _c("flags", "seam_joined", "bool", "", "joined from the pieces of several windows because it was larger than their overlap; never so for method threshold, which does not depend on tiles"),
    _c("verdict", "status", "string", "", "healthy, abnormal, uncertain or excluded: exactly one"),
    _c("verdict", "abnormal_score", "float64", "1", "distance from the healthy reference, of excluded cells too; NaN without a usable reference, or when none of its features was measured", "root mean square (or largest) of the clipped absolute robust z of the features", "Rousseeuw & Croux 1993, JASA 88:1273", 0),
    _c("verdict", "n_reasons", "int32", "", "number of reasons", "", "", 0),
    _c("verdict", "reasons", "string", "", "why, in words, parted by '; ': value and healthy interval, or why the cell is excluded"),
)  # fmt: skip

SIGNED_DISTANCE = "signed_distance_{tissue}_um"
"""The column of which there is one for each class of a slide's tissue map."""
_BEHIND_INTENSITY = ("neighborhood", "detection", "tissue", "flags", "verdict")
_NAMES = {column.name: column for column in COLUMNS}
_PATTERNS = [
    (re.compile("^" + re.sub(r"\\\{\w+\\\}", "(.+)", re.escape(column.name)) + "$"), column)
    for column in COLUMNS
    if "{" in column.name
]


def find_column(name: str) -> Column:
    """The definition of a column by its full name (`od_eosin_mean` finds `od_{stain}_mean`), with that name put in.

    Raises
    ------
    TableError
        If no column has that name; the message names the nearest.
    """
    if name in _NAMES and "{" not in name:
        return _NAMES[name]
    for pattern, column in _PATTERNS:
        if match := pattern.match(name):
            return Column(**(asdict(column) | {"name": name, "meaning": f"{match.group(1)}: {column.meaning}"}))
    near = get_close_matches(name, list(_NAMES), n=3)
    raise TableError(
        f"no column is called {name!r}; nearest: {', '.join(near) or 'none'}; `cellseg columns` lists them all"
    )


def columns_of(
    families: Iterable[Family], planes: Iterable[str] = (), tissues: Iterable[str] = ()
) -> tuple[Column, ...]:
    """The columns of these families in table order.

    `planes` (`intensity_red`, `od_hematoxylin`) and `tissues` (`gland`, as `safe_names` gives them) fill the
    placeholders.
    """
    chosen, planes = set(families), tuple(planes)
    out: list[Column] = []
    for column in COLUMNS:
        if column.family not in chosen:
            continue
        if column.name == SIGNED_DISTANCE:
            out.extend(find_column(signed_distance_name(tissue)) for tissue in tissues)
        if "{" in column.name:
            continue
        if column.family == "focus" and "intensity" in chosen:
            out.extend(_plane_columns(planes))
            chosen.discard("intensity")
        out.append(column)
    if "intensity" in chosen:
        at = next((i for i, c in enumerate(out) if c.family in _BEHIND_INTENSITY), len(out))
        out[at:at] = _plane_columns(planes)
    return tuple(out)


def safe_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names of classes as they stand in names of columns: letters, digits and `_` alone, each name once.

    Examples
    --------
    >>> safe_names(["high grade", "high-grade", "stroma"])
    ('high_grade', 'high_grade_2', 'stroma')
    """
    out: list[str] = []
    for number, name in enumerate(names):
        plain = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or f"class_{number}"
        candidates = (plain if copy == 1 else f"{plain}_{copy}" for copy in count(1))
        out.append(next(candidate for candidate in candidates if candidate not in out))
    return tuple(out)


def signed_distance_name(tissue: str) -> str:
    """The column of the signed distance to a tissue, by its safe name."""
    return SIGNED_DISTANCE.replace("{tissue}", tissue)


def mapped_tissues(names: Iterable[str]) -> tuple[str, ...]:
    """The classes (safe names) of the map that a table with these columns was measured with; empty: with none."""
    pattern = next(pattern for pattern, column in _PATTERNS if column.name == SIGNED_DISTANCE)
    return tuple(match.group(1) for name in names if (match := pattern.match(name)))


def _plane_columns(planes: Iterable[str]) -> list[Column]:
    keys = [c.name.rsplit("_", 1)[1] for c in COLUMNS if c.name.startswith("od_{stain}_")]
    return [find_column(f"{plane}_{key}") for plane in planes for key in keys]


def describe_columns(names: Iterable[str]) -> list[dict[str, str | float | None]]:
    """What `columns.json` says of each named column, in order."""
    return [asdict(find_column(name)) for name in names]
