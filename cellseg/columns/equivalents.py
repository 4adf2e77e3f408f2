"""What other tools call these measurements, and where theirs differ from ours. Floor 1.

Names are those of CellProfiler 4.2 (MeasureObject... modules, `_CHANNEL` left out), QuPath 0.5 and HistomicsTK 1.4.
Theirs are in pixels unless a unit is named. "-" stands where there is no column: the note says why.
"""

from __future__ import annotations

from typing import NamedTuple

_PX = "theirs in px"
_PX2 = "theirs in px2"


class Same(NamedTuple):
    """A measurement of another tool, our column (with placeholders), and what differs."""

    theirs: str
    ours: str
    note: str = ""


class Tool(NamedTuple):
    """A tool and its measurements."""

    title: str
    rows: tuple[Same, ...]


def _c(theirs: str, ours: str, note: str = "") -> Same:
    return Same(theirs, f"{{compartment}}_{ours}", note)


def _p(theirs: str, ours: str, note: str = "") -> Same:
    return Same(theirs, f"{{compartment}}_{{plane}}_{ours}", note)


_ORDERS = tuple((n, m) for n in range(10) for m in range(n % 2, n + 1, 2))
_HARALICK = {
    "AngularSecondMoment": "asm", "Contrast": "contrast", "Correlation": "correlation", "Variance": "variance",
    "InverseDifferenceMoment": "inverse_difference_moment", "SumAverage": "sum_average", "SumVariance": "sum_variance",
    "SumEntropy": "sum_entropy", "Entropy": "entropy", "DifferenceVariance": "difference_variance",
    "DifferenceEntropy": "difference_entropy", "InfoMeas1": "imc1", "InfoMeas2": "imc2",
}  # fmt: skip
_WAYS = "theirs with ways along 8 neighbours and wedges between the axes"
_LEVELS = "theirs at 8 to 256 levels of the image's range, ours at texture_levels of the cell's own"

_CELLPROFILER = (
    Same("Number_Object_Number / ObjectNumber", "cell_id"),
    Same("Location_Center_X, AreaShape_Center_X", "centroid_x_px"),
    Same("Location_Center_Y, AreaShape_Center_Y", "centroid_y_px"),
    Same("AreaShape_BoundingBoxMinimum_X", "bbox_x0_px"),
    Same("AreaShape_BoundingBoxMinimum_Y", "bbox_y0_px"),
    Same("AreaShape_BoundingBoxMaximum_X", "bbox_x1_px"),
    Same("AreaShape_BoundingBoxMaximum_Y", "bbox_y1_px"),
    _c("AreaShape_Area", "area_um2", _PX2),
    _c("AreaShape_Perimeter", "perimeter_um", "theirs in px by border configurations, ours by Crofton's formula"),
    _c("AreaShape_FormFactor", "form_factor", "by the perimeter of each"),
    _c("AreaShape_ConvexArea", "convex_area_um2", _PX2),
    _c("AreaShape_Solidity", "solidity"),
    _c("AreaShape_Extent", "extent"),
    _c("AreaShape_EulerNumber", "euler_number"),
    _c("AreaShape_BoundingBoxArea", "bounding_box_area_um2", _PX2),
    _c("AreaShape_Eccentricity", "eccentricity"),
    _c("AreaShape_MajorAxisLength", "major_axis_um", _PX),
    _c("AreaShape_MinorAxisLength", "minor_axis_um", _PX),
    _c("AreaShape_EquivalentDiameter", "equivalent_diameter_um", _PX),
    _c("AreaShape_Orientation", "orientation_rad", "theirs in degrees, turned by 90"),
    _c("AreaShape_Compactness", "compactness", "by the perimeter of each; their older manual's is moment_compactness"),
    _c("AreaShape_MaximumRadius", "max_radius_um", _PX),
    _c("AreaShape_MedianRadius", "median_radius_um", _PX),
    _c("AreaShape_MeanRadius", "mean_radius_um", _PX),
    _c("AreaShape_MinFeretDiameter", "min_feret_um", "theirs in px, from pixel centres; ours from pixel edges"),
    _c("AreaShape_MaxFeretDiameter", "max_feret_um", "theirs in px, from pixel centres; ours from pixel edges"),
    *(_c(f"AreaShape_Zernike_{n}_{m}", f"zernike_{n}_{m}") for n, m in _ORDERS),
    *(_c(f"AreaShape_SpatialMoment_{p}_{q}", f"spatial_moment_{p}_{q}_um{p + q + 2}", "theirs in powers of px")
      for p in range(3) for q in range(4)),
    *(_c(f"AreaShape_CentralMoment_{p}_{q}", f"central_moment_{p}_{q}_um{p + q + 2}", "theirs in powers of px")
      for p in range(3) for q in range(4)),
    *(_c(f"AreaShape_NormalizedMoment_{p}_{q}", f"normalized_moment_{p}_{q}")
      for p in range(4) for q in range(4) if p + q >= 2),
    *(_c(f"AreaShape_HuMoment_{k}", f"hu_{k + 1}") for k in range(7)),
    _c("AreaShape_InertiaTensor_0_0", "inertia_tensor_yy_um2", "theirs in px2"),
    _c("AreaShape_InertiaTensor_0_1, _1_0", "inertia_tensor_yx_um2", "theirs in px2"),
    _c("AreaShape_InertiaTensor_1_1", "inertia_tensor_xx_um2", "theirs in px2"),
    _c("AreaShape_InertiaTensorEigenvalues_0", "inertia_eigenvalue_1_um2", "theirs in px2"),
    _c("AreaShape_InertiaTensorEigenvalues_1", "inertia_eigenvalue_2_um2", "theirs in px2"),
    _p("Intensity_IntegratedIntensity", "integrated", "theirs of intensities scaled to 0..1"),
    _p("Intensity_MeanIntensity", "mean", "theirs scaled to 0..1"),
    _p("Intensity_StdIntensity", "sd", "theirs scaled to 0..1"),
    _p("Intensity_MinIntensity", "min", "theirs scaled to 0..1"),
    _p("Intensity_MaxIntensity", "max", "theirs scaled to 0..1"),
    _p("Intensity_IntegratedIntensityEdge", "edge_integrated", "theirs scaled to 0..1"),
    _p("Intensity_MeanIntensityEdge", "edge_mean", "theirs scaled to 0..1"),
    _p("Intensity_StdIntensityEdge", "edge_sd", "theirs scaled to 0..1"),
    _p("Intensity_MinIntensityEdge", "edge_min", "theirs scaled to 0..1"),
    _p("Intensity_MaxIntensityEdge", "edge_max", "theirs scaled to 0..1"),
    _p("Intensity_MassDisplacement", "mass_displacement_um", _PX),
    _p("Intensity_LowerQuartileIntensity", "q25", "theirs scaled to 0..1, at rank n q; ours at (n - 1) q"),
    _p("Intensity_MedianIntensity", "q50", "theirs scaled to 0..1"),
    _p("Intensity_MADIntensity", "mad", "theirs scaled to 0..1"),
    _p("Intensity_UpperQuartileIntensity", "q75", "theirs scaled to 0..1"),
    _p("Location_CenterMassIntensity_X", "weighted_centroid_x_um", "theirs in px of the image, ours from the centroid"),
    _p("Location_CenterMassIntensity_Y", "weighted_centroid_y_um", "theirs in px of the image, ours from the centroid"),
    _p("Location_MaxIntensity_X, _Y", "max_distance_um", "theirs the first such pixel, ours their mean's distance to the centroid"),
    *(_p(f"Texture_{theirs}_SCALE_ANGLE_LEVELS", f"haralick_{ours}_d{{distance}}_mean",
         f"{_LEVELS}; each angle with texture_each_direction") for theirs, ours in _HARALICK.items()),
    *(_p(f"RadialDistribution_FracAtD_{k}of4", f"radial_fraction_{k}", _WAYS) for k in range(1, 5)),
    *(_p(f"RadialDistribution_MeanFrac_{k}of4", f"radial_mean_fraction_{k}", _WAYS) for k in range(1, 5)),
    *(_p(f"RadialDistribution_RadialCV_{k}of4", f"radial_cv_{k}", _WAYS) for k in range(1, 5)),
    *(_p(f"RadialDistribution_ZernikeMagnitude_{n}_{m}", f"zernike_magnitude_{n}_{m}") for n, m in _ORDERS),
    *(_p(f"RadialDistribution_ZernikePhase_{n}_{m}", f"zernike_phase_{n}_{m}_rad", "ours = theirs + (m - 1) pi / 2, modulo 2 pi")
      for n, m in _ORDERS if m),
    *(Same(f"RadialDistribution_ZernikePhase_{n}_0", "-", "the same for every object") for n in range(0, 10, 2)),
    *(_p(f"Granularity_{k}", f"granularity_{k}", "theirs in per cent, of the whole image; ours of the cell alone")
      for k in range(1, 17)),
    _c("Neighbors_NumberOfNeighbors_Adjacent", "n_touching"),
    _c("Neighbors_PercentTouching_Adjacent", "touching_share", "theirs in per cent"),
    Same("Neighbors_FirstClosestDistance", "nearest_neighbor_um", _PX),
    Same("Neighbors_SecondClosestDistance", "nearest_2_um", _PX),
    Same("Neighbors_AngleBetweenNeighbors", "neighbor_angle_rad", "theirs in degrees"),
    Same("Neighbors_FirstClosestObjectNumber", "-", "an id, no measurement; the graph is in the centroids"),
    Same("Correlation_*", "-", "of pairs of channels; not measured"),
)  # fmt: skip

_QUPATH = (
    Same("Centroid X um", "centroid_x_um", "theirs from the image's corner: half a pixel more"),
    Same("Centroid Y um", "centroid_y_um", "theirs from the image's corner: half a pixel more"),
    *(row for part in ("Nucleus", "Cell") for row in (
        Same(f"{part}: Area um^2", f"{part.lower()}_area_um2"),
        Same(f"{part}: Length um", f"{part.lower()}_perimeter_um", "theirs along the polygon, ours by Crofton's formula"),
        Same(f"{part}: Circularity", f"{part.lower()}_circularity", "by the perimeter of each"),
        Same(f"{part}: Solidity", f"{part.lower()}_solidity"),
        Same(f"{part}: Max diameter um", f"{part.lower()}_max_feret_um"),
        Same(f"{part}: Min diameter um", f"{part.lower()}_min_feret_um"),
        Same(f"{part}: Eccentricity", f"{part.lower()}_eccentricity"),
    )),
    Same("Nucleus/Cell area ratio", "nucleus_cell_area_ratio"),
    *(row for part in ("Nucleus", "Cytoplasm", "Cell") for row in (
        Same(f"{part}: STAIN OD mean", f"{part.lower()}_{{plane}}_mean"),
        Same(f"{part}: STAIN OD std dev", f"{part.lower()}_{{plane}}_sd", "theirs of samples, ours of populations"),
        Same(f"{part}: STAIN OD max", f"{part.lower()}_{{plane}}_max"),
        Same(f"{part}: STAIN OD min", f"{part.lower()}_{{plane}}_min", "ours not below 0"),
    )),
    Same("Nucleus: STAIN OD sum", "nucleus_{plane}_integrated"),
    Same("Nucleus: STAIN OD range", "nucleus_{plane}_range"),
    Same("ROI: STAIN: Mean, Std.dev., Min, Max, Median", "{compartment}_{plane}_mean, _sd, _min, _max, _q50"),
    Same("ROI: STAIN: Haralick ... (F0 to F12)", "{compartment}_{plane}_haralick_*_d{distance}_mean", _LEVELS),
    Same("Delaunay: Num neighbors", "delaunay_degree", "theirs within a distance limit"),
    Same("Delaunay: Mean distance", "delaunay_edge_mean_um"),
    Same("Delaunay: Max distance", "delaunay_edge_max_um"),
    Same("Delaunay: Min distance", "delaunay_edge_min_um"),
    Same("Delaunay: Mean triangle area", "delaunay_triangle_area_mean_um2"),
    Same("Delaunay: Max triangle area", "delaunay_triangle_area_max_um2"),
    Same("Delaunay: Min triangle area", "delaunay_triangle_area_min_um2"),
    Same("Cluster size", "delaunay_component_size"),
    Same("Signed distance to annotation CLASS um", "signed_distance_{tissue}_um", "theirs negative inside, ours positive"),
    Same("Smoothed: ...", "contrast_{feature}", "theirs a weighted mean of the neighbours, ours the difference to them"),
)  # fmt: skip

_STATISTICS = {
    "Min": ("min", ""), "Max": ("max", ""), "Mean": ("mean", ""), "Median": ("q50", ""),
    "MeanMedianDiff": ("mean_median_difference", ""), "Std": ("sd", "theirs of samples, ours of populations"),
    "IQR": ("iqr", ""), "MAD": ("mad", ""), "Skewness": ("skewness", "theirs 0 where flat, ours NaN"), "Kurtosis": ("kurtosis", "theirs -3 where flat, ours NaN"),
    "HistEnergy": ("energy", "bins differ"), "HistEntropy": ("entropy_bits", "bins differ; theirs in nats"),
}  # fmt: skip
_GRADIENT = {
    "Mag.Mean": "gradient_mean_per_um", "Mag.Std": "gradient_sd_per_um", "Mag.Skewness": "gradient_skewness",
    "Mag.Kurtosis": "gradient_kurtosis", "Mag.HistEntropy": "gradient_entropy_bits",
    "Mag.HistEnergy": "gradient_energy", "Canny.Sum": "canny_n_pixels", "Canny.Mean": "canny_share",
}  # fmt: skip
_HTK_HARALICK = dict(
    zip(
        ("ASM", "Contrast", "Correlation", "SumOfSquares", "IDM", "SumAverage", "SumVariance", "SumEntropy", "Entropy",
         "DifferenceVariance", "DifferenceEntropy", "IMC1", "IMC2"), _HARALICK.values(), strict=True,
    )
)  # fmt: skip

_HISTOMICSTK = (
    Same("Identifier.Label", "cell_id"),
    Same("Identifier.Xmin, Ymin, Xmax, Ymax", "bbox_x0_px, bbox_y0_px, bbox_x1_px, bbox_y1_px"),
    Same("Identifier.CentroidX, CentroidY", "centroid_x_px, centroid_y_px"),
    _p("Identifier.WeightedCentroidX", "weighted_centroid_x_um", "theirs in px of the image, ours from the centroid"),
    _p("Identifier.WeightedCentroidY", "weighted_centroid_y_um", "theirs in px of the image, ours from the centroid"),
    _c("Orientation.Orientation", "orientation_rad"),
    _c("Size.Area", "area_um2", _PX2),
    _c("Size.ConvexHullArea", "convex_area_um2", _PX2),
    _c("Size.MajorAxisLength", "major_axis_um", _PX),
    _c("Size.MinorAxisLength", "minor_axis_um", _PX),
    _c("Size.Perimeter", "perimeter_um", "theirs in px by border configurations, ours by Crofton's formula"),
    _c("Shape.Circularity", "circularity", "by the perimeter of each; ours at most 1"),
    _c("Shape.Eccentricity", "eccentricity"),
    _c("Shape.EquivalentDiameter", "equivalent_diameter_um", _PX),
    _c("Shape.Extent", "extent"),
    _c("Shape.FractalDimension", "fractal_dimension_box", "box sizes differ"),
    _c("Shape.MinorMajorAxisRatio", "aspect_ratio", "theirs is 1 / ours"),
    _c("Shape.Solidity", "solidity"),
    *(_c(f"Shape.HuMoments{k}", f"hu_{k}") for k in range(1, 8)),
    *(_p(f"Shape.WeightedHuMoments{k}", f"weighted_hu_{k}") for k in range(1, 8)),
    *(_c(f"Shape.FSD{k}", f"fsd_{k}", "outlines are traced and smoothed otherwise") for k in range(1, 7)),
    *(_p(f"PART.Intensity.{theirs}", ours, note) for theirs, (ours, note) in _STATISTICS.items()),
    *(_p(f"PART.Gradient.{theirs}", ours, "edges by other thresholds" if "Canny" in theirs else "")
      for theirs, ours in _GRADIENT.items()),
    *(_p(f"PART.Haralick.{theirs}.{kind}", f"haralick_{ours}_d{{distance}}_{kind.lower()}", _LEVELS)
      for theirs, ours in _HTK_HARALICK.items() for kind in ("Mean", "Range")),
    Same("voronoi_area", "voronoi_area_um2", "theirs summed up for the image"),
    Same("voronoi_peri", "voronoi_perimeter_um", "theirs summed up for the image"),
    Same("voronoi_max_dist", "voronoi_max_distance_um", "theirs summed up for the image"),
    Same("delaunay_sides", "delaunay_edge_mean_um", "theirs summed up for the image"),
    Same("delaunay_area", "delaunay_triangle_area_mean_um2", "theirs summed up for the image"),
    Same("density_neighbors_in_distance", "density_{radius}um_per_mm2", "theirs a count, ours per area of the image"),
    Same("density_distance_for_neighbors", "nearest_{k}_um", "theirs summed up for the image"),
    Same("mst_branches", "-", "of the image's minimum spanning tree; not measured"),
)  # fmt: skip

TOOLS: dict[str, Tool] = {
    "cellprofiler": Tool("CellProfiler", _CELLPROFILER),
    "qupath": Tool("QuPath", _QUPATH),
    "histomicstk": Tool("HistomicsTK (PART is Nucleus or Cytoplasm)", _HISTOMICSTK),
}
