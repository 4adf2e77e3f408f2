"""The one truth about a cohort's tables: summaries by sample and tissue, of wdbc10, and the ledger. Floor 1."""

from __future__ import annotations

from cellseg.columns import Column, DType, find_measured, wdbc

SUMMARY_FEATURES: tuple[str, ...] = (
    "area_um2", "circularity", "solidity", "eccentricity", "od_hematoxylin_mean", "nearest_neighbor_um",
    "abnormal_score",
)  # fmt: skip
"""Columns of the cells table whose medians stand in `summary.csv`."""

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


_INTERVAL = "Wilson score interval, treating cells as independent: cells of one slide are not, so it is too narrow for a patient"

SUMMARY_COLUMNS: tuple[Column, ...] = (
    _c("sample", "string", "", "the sample's name in the sample sheet"),
    _c("patient", "string", "", "the patient in the sample sheet, or empty"),
    _c("group", "string", "", "reference (healthy controls) or test"),
    _c("stain", "string", "", "the stain in the sample sheet"),
    _c("mpp", "float64", "um/px", "pixel size used", "", "", 0),
    _c("n_cells", "int64", "", "cells found", "rows of cells.csv", "", 0),
    _c("n_healthy", "int64", "", "cells judged healthy", "", "", 0),
    _c("n_abnormal", "int64", "", "cells judged abnormal", "", "", 0),
    _c("n_uncertain", "int64", "", "cells left open", "", "", 0),
    _c("n_excluded", "int64", "", "cells not judged", "", "", 0),
    _c("judged_by", "string", "", "reference (with rules, if there are any), rules alone, or nothing: no reference, no rule"),
    _c("share_abnormal", "float64", "1", "share of abnormal cells among the decided; NaN when none is", "n_abnormal / (n_healthy + n_abnormal)", "", 0, 1),
    _c("share_abnormal_low", "float64", "1", "lower end of its 95 % interval", _INTERVAL, _WILSON, 0, 1),
    _c("share_abnormal_high", "float64", "1", "upper end of its 95 % interval", _INTERVAL, _WILSON, 0, 1),
    _c("share_uncertain", "float64", "1", "share of cells left open among those not excluded; NaN when there are none", "n_uncertain / (n_cells - n_excluded)", "", 0, 1),
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
    _c("n_healthy", "int64", "", "cells of it judged healthy", "", "", 0),
    _c("n_abnormal", "int64", "", "cells of it judged abnormal", "", "", 0),
    _c("n_uncertain", "int64", "", "cells of it left open", "", "", 0),
    _c("n_excluded", "int64", "", "cells of it not judged", "", "", 0),
    _c("cells_per_mm2", "float64", "1/mm2", "cells found for each mm2 of the class; NaN where there is none of it", "n_cells / area_mm2", "", 0),
    _c("share_abnormal", "float64", "1", "share of abnormal cells among the decided; NaN when none is", "n_abnormal / (n_healthy + n_abnormal)", "", 0, 1),
    _c("share_abnormal_low", "float64", "1", "lower end of its 95 % interval", _INTERVAL, _WILSON, 0, 1),
    _c("share_abnormal_high", "float64", "1", "upper end of its 95 % interval", _INTERVAL, _WILSON, 0, 1),
)  # fmt: skip
"""`summary_tissue.csv`: one row a sample that did not fail and class of its tissue map, in the map's order."""

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
