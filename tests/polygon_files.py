"""Label images with their tables and polygons on disk, and polygons read again without the package."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import shapely
import shapely.geometry
from cell_tables import measured, write_measured
from fields import Labels
from numpy.typing import NDArray

from cellseg.columns import VERDICT_COLUMNS
from cellseg.io.labels import write_labels
from cellseg.io.table import TableWriter, schema_of
from cellseg.measure.boxes import scan_cells
from cellseg.measure.polygons import Outlines
from cellseg.stages.tables import write_tables
from cellseg.types import STATUSES

MPP = 0.5


class SlideFiles(NamedTuple):
    """The label image and cells.parquet of a slide; its CSV files lie beside the latter."""

    labels: Path
    cells: Path


def write_slide(folder: Path, labels: Labels, *, rows_a_group: int = 10_000, **values) -> SlideFiles:
    """A slide's files as the chain leaves them; statuses by turns, every third cell without a score."""
    folder.mkdir(parents=True, exist_ok=True)
    height, width = labels.shape
    strips = (labels[y : y + 512] for y in range(0, height, 512))
    write_labels(folder / "labels.ome.tif", strips, height_px=height, width_px=width, mpp=MPP)
    cells = scan_cells(labels) if labels.size else scan_cells(np.zeros((1, 1), np.uint32))
    n = len(cells)
    own = {
        "cell_id": cells.ids, "bbox_y0_px": cells.boxes[:, 0], "bbox_y1_px": cells.boxes[:, 1],
        "bbox_x0_px": cells.boxes[:, 2], "bbox_x1_px": cells.boxes[:, 3], "n_pixels": cells.n_pixels,
        "area_um2": cells.n_pixels * MPP**2,
    }  # fmt: skip
    table = measured(n, sample="a slide", **(own | values))
    verdicts = {
        "cell_id": table["cell_id"].to_numpy(),
        "status": np.array(STATUSES, object)[np.arange(n) % 4],
        "abnormal_score": np.where(np.arange(n) % 3, np.arange(n) / 8, np.nan),
    }
    schema = schema_of(VERDICT_COLUMNS)
    rest = {field.name: [""] * n if field.type == pa.string() else np.zeros(n) for field in schema}
    path = folder / "verdicts.parquet"
    arrays = {field.name: pa.array((rest | verdicts)[field.name]).cast(field.type) for field in schema}
    with TableWriter(path, VERDICT_COLUMNS) as writer:
        writer.write(pa.table(arrays, schema=schema))
    parts = [table.slice(at, rows_a_group) for at in range(0, max(n, 1), rows_a_group)]
    write_tables(write_measured(folder / "measurements.parquet", *parts), path, folder)
    return SlideFiles(folder / "labels.ome.tif", folder / "cells.parquet")


def read_plainly(path: Path) -> list[dict]:
    """The features of a file by json alone."""
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)["features"]


def shapes_of(outlines: Outlines) -> list[shapely.Geometry]:
    """One shape a cell, in px."""
    out = []
    for cell in range(len(outlines)):
        parts = []
        for polygon in range(outlines.cells[cell], outlines.cells[cell + 1]):
            span = range(outlines.polygons[polygon], outlines.polygons[polygon + 1])
            rings = [outlines.points[outlines.rings[ring] : outlines.rings[ring + 1]] / 2 for ring in span]
            parts.append(shapely.Polygon(rings[0], rings[1:]))
        out.append(parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts))
    return out


def drawn(shapes: list[shapely.Geometry], ids: NDArray[np.integer], shape: tuple[int, int]) -> Labels:
    """The shapes drawn by shapely: a pixel is in a shape when its middle is."""
    out = np.zeros(shape, np.uint32)
    for value, outline in zip(ids, shapes, strict=True):
        x0, y0, x1, y1 = (int(side) for side in outline.bounds)
        rows, columns = np.mgrid[y0 : min(y1 + 1, shape[0]), x0 : min(x1 + 1, shape[1])]
        inside = shapely.contains_xy(outline, columns + 0.5, rows + 0.5)
        out[rows[inside], columns[inside]] = value
    return out


def features_drawn(features: list[dict], shape: tuple[int, int]) -> Labels:
    """GeoJSON features drawn by shapely, each as its measurement cell_id."""
    ids = [feature["properties"]["measurements"]["cell_id"] for feature in features]
    return drawn([shapely.geometry.shape(feature["geometry"]) for feature in features], np.array(ids), shape)
