"""Red cells: shape factors, spicules, central pallor, ring profile. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column

_PAPER = "Delgado-Font et al. 2020, Med Biol Eng Comput 58:1265"
_NAN = "NaN where the outline has fewer than 12 corners or is narrower than 1.5 px in the mean"
_SPICULE = "a spicule is a peak of the distance from the outline's centroid that rises 5 % of the mean radius (and 1 px) or more above the valleys beside it and takes at most 20 % of the outline at half its height"
_DENSITY = "density is the value of a stain, and log10(levels / (value + 1)) of gray and of transmitted light"
_RIM = "the rim is the densest of rings 5 to 8"
_NO_RIM = "NaN where the rim has no density, and in cells too narrow for a rim (less than 3 px)"

_SHAPE: tuple[tuple[str, str, str, str, float | None, float | None], ...] = (
    ("circular_shape_factor", f"1 for a circle, less for sickle cells; of the smoothed outline; {_NAN}", "min(4 pi area / perimeter^2, 1)", _PAPER, 0, 1),
    ("elliptical_shape_factor", "short over long axis of the ellipse of the same second moments; 0 for straight lines of one pixel's width, NaN for one pixel", "minor axis / major axis", _PAPER, 0, 1),
    ("spicule_count", f"number of spicules; {_NAN}", _SPICULE, "", 0, None),
    ("spicule_height", "mean height of the spicules over the higher one of the valleys beside each; NaN without spicules", "mean(height) / mean radius", "", 0, None),
    ("spicule_spacing_cv", "how unevenly spicules follow each other (burr cells: low, acanthocytes: high); NaN with fewer than 2", "standard deviation of the gaps along the outline / mean gap", "", 0, None),
)  # fmt: skip
_RINGS: tuple[tuple[str, str, str, float | None, float | None], ...] = (
    ("pallor_area_share", f"share of the cell's pixels that are pale; {_NO_RIM}", f"pixels deeper than the rim of less than 0.8 of its density / pixels of the cell; {_RIM}; {_DENSITY}", 0, 1),
    ("pallor_depth", f"how much paler than the rim the palest ring inside of it is; 0 where none is paler; {_NO_RIM}", f"1 - least density of the rings inside of the rim / density of the rim; {_RIM}; {_DENSITY}", 0, 1),
    ("pallor_offset", "how far off the middle the pallor is; NaN without pale pixels", "distance of the centroids of pale pixels and cell / radius of the circle of the cell's area", 0, None),
    ("target_index", f"how much denser the centre is than the palest ring around it, as in target cells; 0 where the centre is palest, or nothing paler than the rim; {_NO_RIM}", f"density of ring 1 (at most that of the rim) less the least density of the rings inside of the rim, / density of the rim; {_RIM}; {_DENSITY}", 0, 1),
    *(
        (f"ring_{ring}", f"density of ring {ring} of 8 from the centre (1) to the edge (8), in parts of the rim's; NaN where the ring has no pixel or the rim no density", f"mean density over that of the rim; rings by distance to the edge over the greatest one, in eighths; {_RIM}; {_DENSITY}", None, None)
        for ring in range(1, 9)
    ),
)  # fmt: skip

COLUMNS: tuple[Column, ...] = (
    *(
        Column(f"erythrocyte_{name}", "float64", "1", meaning, formula, source, low, high, family="erythrocyte", per="compartment")
        for name, meaning, formula, source, low, high in _SHAPE
    ),
    *(
        Column(f"erythrocyte_{name}", "float64", "1", meaning, formula, "", low, high, family="erythrocyte", per="plane")
        for name, meaning, formula, low, high in _RINGS
    ),
)  # fmt: skip
