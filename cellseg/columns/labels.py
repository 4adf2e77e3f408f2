"""Columns of the table of labelled cells. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column

LABEL_COLUMNS: tuple[Column, ...] = (
    Column("sample", "string", "", "the sample's name", family="labels"),
    Column("cell_id", "uint32", "", "value of the cell's pixels in the sample's label image", minimum=1, family="labels"),
    Column("class", "string", "", "what people call the cell", family="labels"),
    Column("abnormal", "bool", "", "whether its class counts as abnormal; else as healthy", family="labels"),
    Column("group", "string", "", "patient or slide, which cross-validation never parts; empty where nothing says it", family="labels"),
    Column("source", "string", "", "name of the file that the class comes from", family="labels"),
)  # fmt: skip
"""`labelled.parquet`: one row a cell that has one class; cells that nobody labelled have no row."""
