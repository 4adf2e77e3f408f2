"""Each cell among the others: distances, densities, graph, region, touch, contrast, variation around it. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column, DType, Per

_DELAUNAY = "Delaunay 1934, Bull Acad Sci URSS 6:793"
_VORONOI = "Voronoi 1908, J Reine Angew Math 134:198"
_CLARK = "Clark & Evans 1954, Ecology 35:445"
_GRADE = "Elston & Ellis 1991, Histopathology 19:403"
_PI = 3.141592653589793
_NO_GRAPH = "NaN where the slide has fewer than 3 cells or all centroids on one line"
_REGION = "NaN where the region is open or leaves the image, and for cells that share their centroid with another"
_AROUND = "of the cells within pleomorphism_radius_um, the cell itself included; NaN where fewer than 5 have a value"


def _c(
    family: str, name: str, dtype: DType, unit: str, meaning: str, formula: str = "", source: str = "",
    minimum: float | None = None, maximum: float | None = None,
) -> Column:  # fmt: skip
    per: Per = "compartment" if family == "touching" else "cell"
    return Column(name, dtype, unit, meaning, formula, source, minimum, maximum, family, per)


_DISTANCES: tuple[Column, ...] = (
    _c("neighborhood", "nearest_neighbor_um", "float64", "um", "distance to the nearest other centroid; NaN where the cell is alone", "least Euclidean distance of centroids * mpp", "", 0),
    *(
        _c("neighborhood", f"nearest_{k}_um", "float64", "um", f"distance to the {ordinal} nearest other centroid; NaN where there are fewer other cells", f"{ordinal} least Euclidean distance of centroids * mpp", "", 0)
        for k, ordinal in ((2, "second"), (3, "third"), (4, "fourth"), (5, "fifth"))
    ),
    _c("neighborhood", "nearest_mean_um", "float64", "um", "mean distance to the 5 nearest other centroids; NaN where there are fewer other cells", "mean of nearest_neighbor_um to nearest_5_um", "", 0),
    _c("neighborhood", "density_per_mm2", "float64", "1/mm2", "cells around this one", "other centroids within density_radius_um / area of the part of that disc that lies in the image", "", 0),
    _c("neighborhood", "density_{radius}um_per_mm2", "float64", "1/mm2", "cells around this one; one column for each of density_radii_um", "other centroids within the radius / area of the part of that disc that lies in the image", "", 0),
    _c("neighborhood", "local_clustering", "float64", "1", "ratio of Clark and Evans for one cell: below 1 in clusters, 1 at random, 2.149 in a triangular lattice; NaN where no other cell lies within density_radius_um", "2 nearest_neighbor_um sqrt(density per um2): distance to the nearest neighbour / the one expected at random at the local density", _CLARK, 0),
    _c("neighborhood", "neighbor_angle_rad", "float64", "rad", "angle at the cell between its nearest and second nearest neighbour (of equally near ones, that of lower cell_id); NaN with fewer than 2 other cells, or where one of the two has the same centroid", "atan2(|a x b|, a . b), a and b the vectors between centroids", "Carpenter et al. 2006, Genome Biol 7:R100", 0, _PI),
)  # fmt: skip
_GRAPH: tuple[Column, ...] = (
    _c("delaunay", "delaunay_degree", "float64", "1", f"number of Delaunay neighbours; {_NO_GRAPH}", "cells whose Voronoi region shares an edge of positive length: no diagonals between cells on one circle", _DELAUNAY, 1),
    *(
        _c("delaunay", f"delaunay_edge_{statistic}_um", "float64", "um", f"{words} distance to the Delaunay neighbours; {_NO_GRAPH}", formula, _DELAUNAY, 0)
        for statistic, words, formula in (
            ("mean", "mean", "mean of the distances of centroids * mpp"),
            ("median", "median", "median of the distances of centroids * mpp"),
            ("sd", "standard deviation of the", "sqrt(sum (d - mean)^2 / (degree - 1)) * mpp"),
            ("min", "least", "least distance of centroids * mpp"),
            ("max", "greatest", "greatest distance of centroids * mpp"),
        )
    ),
    *(
        _c("delaunay", f"delaunay_triangle_area_{statistic}_um2", "float64", "um2", f"{words} area of the Delaunay triangles around the cell; {_NO_GRAPH}", f"{words} of the areas * mpp^2; cells on one circle span one polygon, which counts as one", _DELAUNAY, 0)
        for statistic, words in (("mean", "mean"), ("min", "least"), ("max", "greatest"))
    ),
    _c("delaunay", "delaunay_clustering", "float64", "1", "share of the pairs of neighbours that are neighbours too; NaN with fewer than 2 neighbours within delaunay_max_edge_um", "joined pairs / (k (k - 1) / 2), k neighbours no farther than delaunay_max_edge_um", "Watts & Strogatz 1998, Nature 393:440", 0, 1),
    _c("delaunay", "delaunay_component_size", "float64", "1", f"cells in the cluster, itself included: all that can be reached over edges no longer than delaunay_max_edge_um; {_NO_GRAPH}", "cells of the connected component", "", 1),
    _c("delaunay", "voronoi_area_um2", "float64", "um2", f"area that lies nearer to this centroid than to any other; {_REGION}", "area of the Voronoi polygon * mpp^2", _VORONOI, 0),
    _c("delaunay", "voronoi_perimeter_um", "float64", "um", f"length of the outline of that area; {_REGION}", "perimeter of the Voronoi polygon * mpp", _VORONOI, 0),
    _c("delaunay", "voronoi_max_distance_um", "float64", "um", f"greatest distance within that area; {_REGION}", "greatest distance between two corners of the Voronoi polygon * mpp", _VORONOI, 0),
    _c("delaunay", "voronoi_offset_um", "float64", "um", f"how far the cell lies from the middle of that area; {_REGION}", "distance from the centroid to the centroid of the Voronoi polygon * mpp", _VORONOI, 0),
    _c("delaunay", "voronoi_circularity", "float64", "1", f"1 for a round area, less for long ones (0.907 for a regular hexagon); {_REGION}", "4 pi area / perimeter^2 of the Voronoi polygon, clipped at 1", "Cox 1927, J Paleontol 1:179", 0, 1),
)  # fmt: skip
TOUCHING: tuple[Column, ...] = (
    _c("touching", "touching_share", "float64", "1", "share of the outline that lies against other cells; the image's border is no cell", "outline pixels (one of the 8 neighbours is not of the cell) that have another cell among their 8 neighbours / outline pixels", "Carpenter et al. 2006, Genome Biol 7:R100", 0, 1),
    _c("touching", "n_touching", "int64", "", "number of cells that touch this one", "different labels among the 8 neighbours of its pixels", "", 0),
)  # fmt: skip
"""What is measured in a compartment."""
_CONTRAST: tuple[Column, ...] = (
    _c("contrast", "contrast_{feature}", "float64", "1", "how far the cell's value lies from those around it, in their spread; one column for each of contrast_features; NaN where the cell has no value, where fewer than 5 cells around it have one or where these do not differ", "(value - median) / (1.4826 MAD) of its Delaunay neighbours and their neighbours, edges no longer than delaunay_max_edge_um", "Rousseeuw & Croux 1993, JASA 88:1273"),
)  # fmt: skip
_VARIATION: tuple[Column, ...] = (
    _c("pleomorphism", "pleomorphism_n_cells", "int64", "", "cells within pleomorphism_radius_um, the cell itself included", "centroids no farther apart than the radius", "", 1),
    _c("pleomorphism", "pleomorphism_area_cv", "float64", "1", f"variation in size (anisokaryosis): coefficient of variation of the area {_AROUND}", "sd (n - 1) / mean of area_um2", _GRADE, 0),
    _c("pleomorphism", "pleomorphism_area_max_ratio", "float64", "1", f"largest over median area {_AROUND}", "max / median of area_um2", _GRADE, 1),
    _c("pleomorphism", "pleomorphism_circularity_sd", "float64", "1", f"variation in shape: standard deviation of the circularity {_AROUND}", "sd (n - 1) of circularity", _GRADE, 0),
    _c("pleomorphism", "pleomorphism_eccentricity_sd", "float64", "1", f"standard deviation of the eccentricity {_AROUND}", "sd (n - 1) of eccentricity", _GRADE, 0),
    _c("pleomorphism", "pleomorphism_elongation_sd", "float64", "1", f"standard deviation of the elongation {_AROUND}", "sd (n - 1) of 1 - minor / major axis = 1 - sqrt(1 - eccentricity^2)", _GRADE, 0),
    _c("pleomorphism", "pleomorphism_od_cv", "float64", "1", f"variation in staining (hyperchromasia): coefficient of variation of the mean in the plane that shows nuclei, {_AROUND}, where their mean is not positive, and without such a plane", "sd (n - 1) / mean of the cells' means", _GRADE, 0),
    _c("pleomorphism", "pleomorphism_orientation_entropy_bits", "float64", "bit", f"disorder of orientation: 0 where all lie alike, 3.585 where no direction is preferred, {_AROUND}", "- sum p log2 p over 12 classes of orientation_rad, 15 degrees each, the first about 0", "Shannon 1948, Bell Syst Tech J 27:379", 0, 3.584962500721156),
)  # fmt: skip
COLUMNS: tuple[Column, ...] = (*_DISTANCES, *_GRAPH, *_CONTRAST, *_VARIATION)
"""What is measured once a cell, in table order, family by family."""
