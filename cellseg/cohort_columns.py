"""The one truth about a cohort's tables: summaries by sample, tissue, slide and patient, and the ledger. Floor 1."""

from __future__ import annotations

from cellseg.columns import Column, DType, find_measured, wdbc

SUMMARY_FEATURES: tuple[str, ...] = (
    "area_um2", "circularity", "solidity", "eccentricity", "od_hematoxylin_mean", "nearest_neighbor_um",
    "abnormal_score",
)  # fmt: skip
"""Columns of the cells table whose medians stand in `summary.csv`."""

SUMMARY_FLAGS: dict[str, str] = {
    "touches_border": "that touch the image's border", "seam_joined": "joined from the pieces of several windows",
    "out_of_focus": "out of focus", "overlapping": "that overlap others", "saturated": "saturated",
    "too_small": "too small",
}  # fmt: skip
"""Flags of the cells table that `summary.csv` counts, and which cells they mean."""

_WILSON = "Wilson 1927, J Am Stat Assoc 22:209"


def _c(
    name: str, dtype: DType, unit: str, meaning: str, formula: str = "", source: str = "", low: float | None = None,
    high: float | None = None,
) -> Column:  # fmt: skip
    return Column(name, dtype, unit, meaning, formula, source, low, high, "cohort")


def _median(name: str) -> Column:
    of = find_measured(name)
    meaning = f"median of {of.name} over the cells that are not excluded; NaN where it was not measured"
    return _c(f"median_{name}", "float64", of.unit, meaning, "median", of.source, of.minimum, of.maximum)


_WILSON_INTERVAL = "Wilson score interval, treating cells as independent: cells of one slide are not, so it is too narrow for a patient"
_EFFECTIVE = (
    "Wilson score interval with n / design_effect cells and Student's t of one cluster less; "
    "of a single cluster, Wilson's for independent cells"
)
_EFFECT = (
    "the greater of two: variance of the share over 2,000 bootstrap draws of clusters, over that of independent cells; "
    "1 + (m - 1) rho of the intracluster correlation, m the cells in the cluster of the average cell"
)
_EFFECT_SOURCE = "Efron 1979, Ann Stat 7:1; Donner 1986, Int Stat Rev 54:67"
_EFFECTIVE_SOURCE = f"{_WILSON}; Franco et al. 2019, J Surv Stat Methodol 7:334"


def _clustered(unit: str) -> tuple[Column, ...]:
    """The share of abnormal cells, with an interval that counts cells as clustered in these."""
    differ = f"{unit} differ" if unit == "fields" else f"{unit} differs"
    meaning = f"how many times the variance of the share is that of independent cells, because {differ}; NaN where one alone has decided cells, and where these are all healthy or all abnormal"
    return (
        _c("share_abnormal", "float64", "1", "share of abnormal cells among the decided; NaN when none is", "n_abnormal / (n_healthy + n_abnormal)", "", 0, 1),
        _c("share_abnormal_low", "float64", "1", f"lower end of its 95 % interval, which counts cells as clustered in {unit}", _EFFECTIVE, _EFFECTIVE_SOURCE, 0, 1),
        _c("share_abnormal_high", "float64", "1", f"upper end of its 95 % interval, which counts cells as clustered in {unit}", _EFFECTIVE, _EFFECTIVE_SOURCE, 0, 1),
        _c("design_effect", "float64", "1", meaning, _EFFECT, _EFFECT_SOURCE, 1),
    )  # fmt: skip


_FIELDS: tuple[Column, ...] = (
    *_clustered("fields"),
    _c("n_fields", "int64", "", "fields with decided cells: square blocks of the image that the interval of the share takes as clusters", "blocks from the image's corner by centroid", "", 0),
    _c("field_side_um", "float64", "um", "side of these blocks: the widest of 2000, 1400, 1000, 700, 500, 350, 250, 180, 125, 90, 60, 45 and 30 um that gives ten with decided cells, or 30; NaN without decided cells. Clumps wider than a field make the interval too narrow", "", "", 30, 2000),
)  # fmt: skip
"""The share of one image's cells."""


def _counts(of: str) -> tuple[Column, ...]:
    return (
        _c("n_healthy", "int64", "", f"cells {of}judged healthy", "", "", 0),
        _c("n_abnormal", "int64", "", f"cells {of}judged abnormal", "", "", 0),
        _c("n_uncertain", "int64", "", f"cells {of}left open", "", "", 0),
        _c("n_excluded", "int64", "", f"cells {of}not judged", "", "", 0),
    )


_PROBABILITY = _c("mean_abnormal_probability", "float64", "1", "mean abnormal_probability of the cells that are not excluded, which is the share of abnormal ones to expect; NaN without a model", "mean", "", 0, 1)  # fmt: skip

SUMMARY_COLUMNS: tuple[Column, ...] = (
    _c("sample", "string", "", "the sample's name in the sample sheet"),
    _c("patient", "string", "", "the patient in the sample sheet, or empty"),
    _c("group", "string", "", "reference (healthy controls) or test"),
    _c("stain", "string", "", "the stain in the sample sheet"),
    _c("mpp", "float64", "um/px", "pixel size used", "", "", 0),
    _c("n_cells", "int64", "", "cells found", "rows of cells.csv", "", 0),
    *_counts(""),
    _c("judged_by", "string", "", "what the verdicts rest on: model, reference, or model and reference (each with rules, if there are any), rules alone, or nothing: no model, no reference, no rule; empty where no cell was judged"),
    *_FIELDS,
    _c("share_abnormal_wilson_low", "float64", "1", "lower end of the 95 % interval if cells were independent", _WILSON_INTERVAL, _WILSON, 0, 1),
    _c("share_abnormal_wilson_high", "float64", "1", "upper end of the 95 % interval if cells were independent", _WILSON_INTERVAL, _WILSON, 0, 1),
    _PROBABILITY,
    _c("share_uncertain", "float64", "1", "share of cells left open among those not excluded; NaN when there are none", "n_uncertain / (n_cells - n_excluded)", "", 0, 1),
    *(_c(f"n_{name}", "int64", "", f"cells {of}, excluded or not; empty where that was not looked at", "", "", 0) for name, of in SUMMARY_FLAGS.items()),
    _c("share_excluded", "float64", "1", "share of cells not judged; NaN without cells", "n_excluded / n_cells", "", 0, 1),
    _c("share_abnormal_least", "float64", "1", "share of abnormal cells if every excluded one were healthy; NaN when there are neither decided nor excluded cells", "n_abnormal / (n_healthy + n_abnormal + n_excluded)", "", 0, 1),
    _c("share_abnormal_most", "float64", "1", "share of abnormal cells if every excluded one were abnormal; NaN when there are neither decided nor excluded cells", "(n_abnormal + n_excluded) / (n_healthy + n_abnormal + n_excluded)", "", 0, 1),
    _c("share_abnormal_without_excluded", "float64", "1", "share of cells with abnormal_probability over 0.5 among those not excluded, uncertain ones too; NaN without a model", "mean of abnormal_probability > 0.5", "", 0, 1),
    _c("share_abnormal_with_excluded", "float64", "1", "the same among all cells: its difference from share_abnormal_without_excluded is what leaving cells out does to the share; NaN without a model", "mean of abnormal_probability > 0.5", "", 0, 1),
    _c("tissue_area_mm2", "float64", "mm2", "area of the tissue mask", "", "", 0),
    _c("cells_per_mm2", "float64", "1/mm2", "cells found for each mm2 of tissue; NaN without tissue", "n_cells / tissue_area_mm2", "", 0),
    *(_median(name) for name in SUMMARY_FEATURES),
)  # fmt: skip
"""`summary.csv`: one row a sample that did not fail, in the order of the sample sheet."""

TISSUE_SUMMARY_COLUMNS: tuple[Column, ...] = (
    _c("sample", "string", "", "the sample's name in the sample sheet"),
    _c("patient", "string", "", "the patient in the sample sheet, or empty"),
    _c("group", "string", "", "reference (healthy controls) or test"),
    _c("tissue", "string", "", "class of the sample's tissue map; empty for the cells that lie in none"),
    _c("area_mm2", "float64", "mm2", "area of the class on the map; NaN for cells that lie in none", "map pixels * map mpp^2", "", 0),
    _c("area_share", "float64", "1", "its share of all that the map gives a class; NaN where it gives none", "area_mm2 / sum of area_mm2", "", 0, 1),
    _c("n_cells", "int64", "", "cells whose centroid lies in the class", "rows of cells.csv", "", 0),
    *_counts("of it "),
    _c("cells_per_mm2", "float64", "1/mm2", "cells found for each mm2 of the class; NaN where there is none of it", "n_cells / area_mm2", "", 0),
    *_FIELDS,
)  # fmt: skip
"""`summary_tissue.csv`: one row a sample that did not fail and class of its tissue map, in the map's order."""


def _group_columns(clusters: str) -> tuple[Column, ...]:
    return (
        _c("group", "string", "", "reference (healthy controls) or test; both where its samples differ"),
        _c("n_samples", "int64", "", "samples that did not fail", "", "", 0),
        _c("n_failed", "int64", "", "samples that failed: their cells are missing here", "", "", 0),
        _c("n_cells", "int64", "", "cells found in its samples", "rows of their cells.csv", "", 0),
        *_counts(""),
        *_clustered("what `clusters` names"),
        _c("clusters", "string", "", f"what the interval takes as clusters: {clusters}; empty when no cell is decided"),
        _c("n_clusters", "int64", "", "how many of them have decided cells", "", "", 0),
        _PROBABILITY,
    )  # fmt: skip


SLIDE_SUMMARY_COLUMNS: tuple[Column, ...] = (
    _c("slide", "string", "", "the slide in the sample sheet; of a sample without one, the sample's name"),
    _c("patient", "string", "", "the patient in the sample sheet, or empty"),
    *_group_columns("images (samples), or the fields of the only one with decided cells"),
)  # fmt: skip
"""`summary_slide.csv`: one row a slide (of a patient), in the order of the sheet; a header only where it names none."""

PATIENT_SUMMARY_COLUMNS: tuple[Column, ...] = (
    _c("patient", "string", "", "the patient in the sample sheet"),
    _c("n_slides", "int64", "", "slides with samples that did not fail; a sample without a slide in the sheet is one of its own", "", "", 0),
    *_group_columns("slides; the images of the only slide with decided cells; or the fields of the only image"),
)  # fmt: skip
"""`summary_patient.csv`: one row a patient that the sheet names, in its order; a header only where it names none."""

_WDBC = {
    "mean": "mean over the cells that are not excluded",
    "standard_error": "sample standard deviation over the root of the number of cells",
    "worst": "mean of the three greatest values",
}
WDBC_COLUMNS: tuple[Column, ...] = (
    _c("sample", "string", "", "the sample's name in the sample sheet"),
    _c("patient", "string", "", "the patient in the sample sheet, or empty"),
    _c("group", "string", "", "reference (healthy controls) or test"),
    _c("n_cells", "int64", "", "cells that are not excluded", "", "", 0),
    *(
        _c(f"{column.name}_{summary}", "float64", column.unit, f"{words} of: {column.meaning.split(';')[0]}; NaN without cells (standard error: fewer than two, worst: fewer than three)", words, column.source)
        for summary, words in _WDBC.items()
        for column in wdbc.COLUMNS
    ),
)  # fmt: skip
"""`summary_wdbc10.csv`: the thirty figures of the Wisconsin breast cancer table, one row a sample; a header only where
the family `wdbc10` was not measured."""

LEDGER_COLUMNS: tuple[Column, ...] = (
    _c("sample", "string", "", "the sample's name in the sample sheet"),
    _c("outcome", "string", "", "done, failed, or unassessable (its quality does not allow a verdict; its tables are empty)"),
    _c("stage", "string", "", "the stage that failed, or that found the slide unassessable; empty when done"),
    _c("reason", "string", "", "why, on one line; for done: why there are no cells or what to look at (cells of another size than expected), or empty"),
    _c("n_cells", "int64", "", "cells found; empty when failed", "", "", 0),
    _c("path", "string", "", "the image"),
)  # fmt: skip
"""`slides.tsv`: every sample of the sheet, in its order, whatever became of it."""
