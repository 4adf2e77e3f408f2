"""What every cells table has: identity, position, what segmentation and tissue map say, flags, verdict. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column, DType

_MOMENTS = "Hu 1962, IRE Trans Inf Theory 8:179"


def _c(
    family: str, name: str, dtype: DType, unit: str, meaning: str, formula: str = "", source: str = "",
    minimum: float | None = None, maximum: float | None = None,
) -> Column:  # fmt: skip
    return Column(name, dtype, unit, meaning, formula, source, minimum, maximum, family)


HEAD: tuple[Column, ...] = (
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
)  # fmt: skip
"""What a table begins with."""
TAIL: tuple[Column, ...] = (
    _c("detection", "score", "float64", "1", "how sure the segmenter is that this is a cell; NaN for method threshold, which knows no scores", "of a Mask R-CNN: the softmax of the class; of a cell joined at seams: its best piece", "He et al. 2017, ICCV", 0, 1),
    _c("detection", "class", "string", "", "what the segmenter says it is, one of the classes of its weights; empty for a segmenter without classes"),
    _c("tissue", "tissue", "string", "", "class of the tissue map under the centroid; empty where the map has none (empty glass, not looked at, not drawn) and without a map", "map pixel floor((centroid + 0.5) * scale), scale = map px per px"),
    _c("tissue", "tissue_probability", "float64", "1", "how sure the network is of that class there; NaN for maps that a person drew and where there is no tissue", "softmax, summed over the classes of a group, in steps of 1/255", "Badrinarayanan, Kendall, Cipolla 2017, IEEE TPAMI 39:2481", 0, 1),
    _c("tissue", "tissue_distance_um", "float64", "um", "distance from the centroid to the nearest boundary of its tissue, no more than tissue.max_distance_um; NaN where there is no tissue", "(distance to the nearest centre of a map pixel of another class or of none, from the centre of the map pixel under the centroid, - 0.5 map px) * map mpp; the image's border is no boundary", "", 0),
    _c("tissue", "signed_distance_{tissue}_um", "float64", "um", "distance from the centroid to the nearest boundary of this tissue, positive inside and negative outside, no farther than tissue.max_distance_um; one column for each class of the map, none without a map", "as tissue_distance_um inside; outside, minus the distance to the nearest map pixel of the class"),
    _c("quality", "tile_flags", "string", "", "what holds of the quality tile under the centroid: out_of_focus, pen, fold, dirt, edge, joined by ';'; empty where nothing does, and where the tiles were not given", "preprocess/tiles.parquet"),
    _c("quality", "tile_unassessable_by", "string", "", "those of tile_flags that keep the cell from being judged, by preprocess.quality.unassessable_flags", "preprocess/tiles.parquet"),
    _c("quality", "tile_focus_per_um", "float64", "1/um", "focus of the quality tile under the centroid; NaN where the tile shows too little, and where the tiles were not given", "mean absolute Sobel gradient of gray / sqrt(standard deviation of gray within blocks * distance of gray from empty glass) / mpp", "Pech-Pacheco et al. 2000, ICPR 3:314", 0),
    _c("flags", "touches_border", "bool", "", "the bounding box touches the image's border: the cell may be cut there"),
    _c("flags", "seam_joined", "bool", "", "joined from the pieces of several windows because it was larger than their overlap; never so for method threshold, which does not depend on tiles"),
    _c("flags", "saturated_fraction", "float64", "1", "share of the outlined pixels that are at the sensor's limit; 0 where a camera of fewer bits than the pixel type (12 in 16) never reaches it", "pixels / n_pixels; in transmitted light pixels whose colours are all at the maximum of the pixel type (255, 65535) or all at 0, in fluorescence pixels with one at the maximum; without colours those of the sheet's channel, else of the first", "", 0, 1),
    _c("verdict", "status", "string", "", "healthy, abnormal, uncertain or excluded: exactly one"),
    _c("verdict", "abnormal_probability", "float64", "1", "how likely the cell is abnormal, of excluded cells too: by the supervised model, calibrated; without one by the healthy reference; NaN without either, where fewer than half of the model's features or none of the reference's could be measured", "model: calibrated log-odds, shifted to the share of abnormal cells that is assumed; reference: 1 - local false discovery rate of the p-value among those of the slide", "Platt 1999, Advances in Large Margin Classifiers: 61; Efron et al. 2001, J Am Stat Assoc 96:1151", 0, 1),
    _c("verdict", "abnormal_score", "float64", "1", "with a supervised model: calibrated log-odds of being abnormal at equal shares of both; else how strange the cell is among healthy ones; of excluded cells too; NaN as of abnormal_probability", "model: log-odds; reference: of the clipped robust z of the features the Mahalanobis distance over sqrt(number of features), the score of an isolation forest, the distance to a near healthy cell, the root mean square or the largest", "Rousseeuw & Croux 1993, JASA 88:1273"),
    _c("verdict", "called_abnormal", "bool", "", "the answer if there had to be one: what the supervised model holds more likely, or the healthy reference calls; of excluded cells too; false without either"),
    _c("verdict", "scored_by", "string", "", "what abnormal_probability and abnormal_score are of: model or reference; empty where there is neither"),
    _c("verdict", "healthy_p_value", "float64", "1", "share of healthy cells that are as strange, by the healthy reference, of excluded cells too; NaN without one, or where none of its features could be measured", "(1 + held-out healthy cells with this abnormal_score or a higher one) / (1 + all of them), their samples counting alike", "Bates et al. 2023, Ann Stat 51:149", 0, 1),
    _c("verdict", "n_reasons", "int32", "", "number of reasons", "", "", 0),
    _c("verdict", "reason_1", "string", "", "the first reason, in words: value, unit and healthy interval, or why the cell is excluded; empty without one"),
    _c("verdict", "reason_2", "string", "", "the second reason; empty without one"),
    _c("verdict", "reason_3", "string", "", "the third reason; empty without one"),
    _c("verdict", "reasons", "string", "", "all reasons, parted by '; '"),
    _c("verdict", "assessable", "bool", "", "no criterion of classify.exclude but tissue, and no flag of its quality tile, speaks against judging the cell"),
    _c("verdict", "out_of_focus", "bool", "", "edge sharpness under the fraction of the slide's median that classify.exclude.min_focus_fraction states"),
    _c("verdict", "overlapping", "bool", "", "several cells in one outline, or more of the outline touches others than classify.exclude allows"),
    _c("verdict", "saturated", "bool", "", "more of its pixels are at the sensor's limit than classify.exclude.max_saturated_fraction"),
    _c("verdict", "too_small", "bool", "", "smaller than classify.exclude.min_area_um2"),
)  # fmt: skip
"""What it ends with."""
