"""Columns of the table of what models said of cells that they were not trained on. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column

PREDICTION_COLUMNS: tuple[Column, ...] = (
    Column("sample", "string", "", "the sample's name", family="predictions"),
    Column("cell_id", "uint32", "", "the cell's id in the sample; of a table without samples: the row, from 1", minimum=1, family="predictions"),
    Column("group", "string", "", "patient or slide that was held out with the cell", family="predictions"),
    Column("class", "string", "", "the true class", family="predictions"),
    Column("abnormal", "bool", "", "whether that class counts as abnormal", family="predictions"),
    Column("abnormal_probability", "float64", "1", "how likely the cell is abnormal, by a model that knew nothing of its group", minimum=0, maximum=1, family="predictions"),
    Column("abnormal_score", "float64", "1", "the model's log-odds before calibration, higher is more abnormal", family="predictions"),
    Column("threshold", "float64", "1", "the probability over which that model calls a cell abnormal", minimum=0, maximum=1, family="predictions"),
    Column("status", "string", "", "healthy or abnormal where the conformal set holds this alone and the probability is on its side of the threshold; else uncertain", family="predictions"),
    Column("healthy_plausible", "bool", "", "the conformal set holds healthy", family="predictions"),
    Column("abnormal_plausible", "bool", "", "the conformal set holds abnormal", family="predictions"),
)  # fmt: skip
"""`NAME.predictions.parquet`: one row a labelled cell whose group was held out; sorted by sample and cell_id."""

REFERENCE_PREDICTION_COLUMNS: tuple[Column, ...] = (
    *PREDICTION_COLUMNS[:5],
    Column("abnormal_probability", "float64", "1", "1 - local false discovery rate of the p-value among those of the sample's labelled cells", minimum=0, maximum=1, family="predictions"),
    Column("abnormal_score", "float64", "1", "how strange the cell is among healthy ones of other groups", family="predictions"),
    Column("scored_by", "string", "", "reference", family="predictions"),
    Column("healthy_p_value", "float64", "1", "share of held-out healthy cells of other groups that are as strange", minimum=0, maximum=1, family="predictions"),
    Column("status", "string", "", "healthy, uncertain or abnormal, as the settings read p-values", family="predictions"),
)  # fmt: skip
"""`NAME.predictions.parquet` of a healthy reference: one row a labelled cell whose group was held out."""
