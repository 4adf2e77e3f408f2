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

_INNER = "inner pixels lie deeper than a quarter of the greatest distance to the edge; densities of pixels smoothed by a binomial of 3 x 3"
_LEVELS = "paleness is 1 at the density that 3 % of the inner pixels fall under (palest), 0 at the one that 80 % fall under (dense), linear between"
_NO_PALLOR = "NaN in cells of fewer than 20 inner pixels or without contrast"
_PIECE = "the largest 8-connected piece of inner pixels with paleness over 0.5"
_PALLOR: tuple[tuple[str, str, str, float | None, float | None], ...] = (
    ("pallor_contrast", f"how much paler than its dense part the palest part of the cell is; {_NO_PALLOR}", f"1 - palest / dense; {_LEVELS}; {_INNER}; {_DENSITY}", 0, 1),
    ("pallor_axis_ratio", f"how round the pallor is: 1 round, less for slits (stomatocytes); {_NO_PALLOR}", f"short over long axis of the ellipse of the same second moments, pixels weighted by squared paleness; {_LEVELS}", 0, 1),
    ("pallor_shift", f"how far off the middle the pallor is; {_NO_PALLOR}", f"distance of the centroids of the cell and of squared paleness / radius of the circle of the cell's area; {_LEVELS}", 0, None),
    ("pallor_edge", f"how steep the pallor's edge is: low where it fades, high where it is punched out; {_NO_PALLOR}", "95 % quantile of the density's gradient over inner pixels * radius of the circle of the cell's area / (dense - palest)", 0, None),
    ("pale_piece_count", f"pale pieces of 4 pixels or more; {_NO_PALLOR}", f"8-connected pieces of inner pixels with paleness over 0.5; {_LEVELS}", 0, None),
    ("pale_piece_share", f"share of the cell that the largest pale piece takes; {_NO_PALLOR}", f"pixels of {_PIECE} / pixels of the cell", 0, 1),
    ("pale_piece_axis_ratio", "short over long axis of the largest pale piece; NaN also where it has fewer than 4 pixels", f"ellipse of the same second moments as {_PIECE}, each pixel with its own 1/12 px2", 0, 1),
    ("pale_piece_compactness", "1 where the largest pale piece is a disc, less for slits, rings and ragged ones; NaN also where it has fewer than 4 pixels", f"min(area / (2 pi (second central moments of y and x)), 1) of {_PIECE}", 0, 1),
    ("pale_piece_circularity", "1 where the largest pale piece is a disc, less the longer its edge; NaN also where it has fewer than 4 pixels", f"min(4 pi area / (pi / 4 * sides of pixels to others)^2, 1) of {_PIECE}", 0, 1),
    *(
        (f"pallor_harmonic_{order}", f"how much paleness varies {('once', 'twice', 'three times', 'four times')[order - 1]} around the cell; 0 for round pallor in round cells, and for pallor as drawn out as the cell; {_NO_PALLOR}", f"|sum of w r exp({order} i angle)| / sum of w r, w squared paleness, r and angle from the cell's centroid in coordinates in which the ellipse of the cell's second moments is a circle", 0, 1)
        for order in range(1, 5)
    ),
    *(
        (f"band_{band}_cv", f"how uneven the density is in band {band} of 4 from the edge inwards; NaN also in bands of fewer than 6 pixels", f"standard deviation of the density / dense, over pixels whose distance to the edge over the greatest one is in ({low}, {high}]; {_LEVELS}", 0, None)
        for band, (low, high) in enumerate(((0.3, 0.5), (0.5, 0.7), (0.7, 0.85), (0.85, 1.0)), start=1)
    ),
)  # fmt: skip

COLUMNS: tuple[Column, ...] = (
    *(
        Column(f"erythrocyte_{name}", "float64", "1", meaning, formula, source, low, high, family="erythrocyte", per="compartment")
        for name, meaning, formula, source, low, high in _SHAPE
    ),
    *(
        Column(f"erythrocyte_{name}", "float64", "1", meaning, formula, "", low, high, family="erythrocyte", per="plane")
        for name, meaning, formula, low, high in (*_RINGS, *_PALLOR)
    ),
)  # fmt: skip
