"""Measurement tables with known contents for the tests of classify, tables and summary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from cellseg.columns import columns_of, find_column, full_name, safe_names, signed_distance_name
from cellseg.io.table import TableWriter, schema_of
from cellseg.preprocess.recipe import Recipe

COLUMNS = columns_of(
    ["identity", "position", "focus", "neighborhood", "detection", "tissue", "flags", "quality"],
    compartments={"nucleus": ["shape", "intensity"]}, planes=["intensity_gray", "od_hematoxylin"],
    values={"k": ["2"], "radius": ["25"]},
)  # fmt: skip
NAMES = [column.name for column in COLUMNS]


def measured(n_cells: int, *, sample: str = "A", seed: int = 0, first_id: int = 1, **values) -> pa.Table:
    """Plausible healthy nuclei: every column filled, `values` put in place of whole columns (`area_um2=...`)."""
    values = {full_name(name, NAMES): column for name, column in values.items()}
    rng = np.random.default_rng(seed)
    data = {}
    for column in COLUMNS:
        if column.dtype == "string":
            data[column.name] = [sample] * n_cells
        elif column.dtype == "bool":
            data[column.name] = np.zeros(n_cells, bool)
        elif column.name == "tile_focus_per_um":
            data[column.name] = np.full(n_cells, 0.8)
        elif column.dtype == "float64":
            data[column.name] = np.round(rng.uniform(0.2, 0.9, n_cells), 6)
        else:
            data[column.name] = rng.integers(1, 500, n_cells)
    data["tissue"] = [""] * n_cells
    for name in ("tissue_probability", "tissue_distance_um"):
        data[name] = np.full(n_cells, np.nan)
    data["cell_id"] = np.arange(first_id, first_id + n_cells)
    data["nucleus_area_um2"] = np.round(rng.normal(60, 8, n_cells), 6)
    data["nucleus_aspect_ratio"] = data["nucleus_aspect_ratio"] + 1
    data["edge_sharpness_per_um"] = np.full(n_cells, 0.1)
    data["saturated_fraction"] = np.zeros(n_cells)
    data |= {"tile_flags": [""] * n_cells, "tile_unassessable_by": [""] * n_cells}
    schema = schema_of(COLUMNS)
    return pa.table({f.name: pa.array((data | values)[f.name], f.type) for f in schema}, schema=schema)


def mapped(table: pa.Table, tissues: list[str], *, names=("stroma", "gland")) -> pa.Table:
    """The same cells as measured with a map of these classes: each in its tissue, "" for none, 10 um from its edge."""
    at = table.schema.get_field_index("tissue")
    table = table.set_column(at, "tissue", pa.array(tissues, pa.string()))
    for place, (name, safe) in enumerate(zip(names, safe_names(names), strict=True), start=at + 3):
        distances = [10.0 if tissue == name else -10.0 for tissue in tissues]
        table = table.add_column(place, signed_distance_name(safe), pa.array(distances, pa.float64()))
    return table


def write_measured(path: Path, *batches: pa.Table) -> Path:
    """A measurements.parquet, one row group a batch."""
    columns = [find_column(name) for name in batches[0].column_names] if batches else COLUMNS
    with TableWriter(path, columns) as writer:
        for batch in batches:
            writer.write(batch)
    return path


def recipe(*, stain: str = "he", assessable: bool = True, height_px: int = 64, width_px: int = 80, **fields) -> Recipe:
    """The recipe of a plain RGB slide at 0.5 um per pixel."""
    plain = {
        "height_px": height_px, "width_px": width_px, "channel_names": ("red", "green", "blue"), "dtype": "uint8",
        "is_rgb": True, "mpp": 0.5, "mpp_source": "sheet", "stain": stain, "channel": None,
        "background": (240.0,) * 3, "low": (0.0,) * 3, "high": (255.0,) * 3, "gray_low": 0.0, "gray_high": 255.0,
        "gray_contrast": 200.0, "gamma": 0.5, "stain_names": (), "stain_matrix": (), "dark_eosin_share": 0.0,
        "tissue_block_px": 32,
        "assessable": assessable, "notes": (),
    }  # fmt: skip
    return Recipe(**(plain | fields))
