"""From label image and cells table to outlines with verdicts: cells.geojson.gz, for QuPath and others. Floor 6.

Outlines are traced tile by tile, each cell in one window that holds it whole, and wait as text in a temporary file;
then the table is read and features are written in its order. So the file is the same for every tile size and number of
workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.columns import full_name
from cellseg.errors import ConfigError, TableError
from cellseg.io.atomic import temporary_folder
from cellseg.io.cells_geojson import FeatureWriter, GeometryScratch, Texts, feature_text, geometry_texts
from cellseg.io.geojson import is_geojson
from cellseg.io.label_polygons import Drawing, Outline, draw_cells
from cellseg.io.labels import LabelImage, open_labels
from cellseg.io.slide import open_slide
from cellseg.io.table import read_batches, read_schema
from cellseg.measure.boxes import Cells, N
from cellseg.measure.patches import cut_patches
from cellseg.measure.polygons import trace_outlines
from cellseg.polygon_config import PolygonSettings
from cellseg.report.palette import STATUS_RGB_ON_TISSUE
from cellseg.stages.measure import plan_jobs
from cellseg.stream import map_tiles
from cellseg.types import Progress, silent

_CHUNK = 4096
"""Cells of a piece of the file that is compressed on its own: fixed, so that bytes do not depend on anything else."""
_BATCH_PX = 1_000_000
_BOX = ("bbox_y0_px", "bbox_y1_px", "bbox_x0_px", "bbox_x1_px")
_SCORES = ("abnormal_score", "score")
_CURE = "measure that label image again and make the tables anew"


@dataclass(frozen=True)
class _Source:
    """What the jobs share; reading is thread-safe."""

    labels: LabelImage
    cells: Cells
    settings: PolygonSettings
    where: str

    def trace(self, rows: NDArray[np.int64]) -> list[tuple[NDArray[np.int64], Texts]]:
        """The geometries of the cells of these rows, as text, some cells at a time."""
        window = self.cells.take(rows).window()
        labels = self.labels.read(window)
        origin = np.array([window.y0, window.y0, window.x0, window.x0])
        sides = self.cells.boxes[rows][:, 1::2] - self.cells.boxes[rows][:, ::2] + 2
        batches = np.cumsum(sides[:, 0] * sides[:, 1]) // _BATCH_PX
        out = []
        for some in np.split(rows, np.flatnonzero(np.diff(batches)) + 1):
            cells = self.cells.take(some)
            patches = cut_patches(labels, cells.ids, cells.boxes - origin, cells.n_pixels)
            self._check(cells, np.add.reduceat(patches.mask, patches.starts[:-1], dtype=np.int64))
            outlines = trace_outlines(
                patches, tolerance_px=self.settings.outline_tolerance_px, y0=window.y0, x0=window.x0
            )
            out.append((some, geometry_texts(outlines.points, outlines.rings, outlines.polygons, outlines.cells)))
        return out

    def _check(self, cells: Cells, n_pixels: NDArray[np.int64]) -> None:
        differ = n_pixels != np.where(cells.n_pixels > 0, cells.n_pixels, np.maximum(n_pixels, 1))
        if differ.any():
            at = int(np.argmax(differ))
            raise TableError(
                f"{self.where}: cell {cells.ids[at]} has {n_pixels[at]} px in the label image {self.labels.path}, "
                f"expected {cells.n_pixels[at] or 'some'} in its box; {_CURE}"
            )


def write_polygons(
    labels: Path,
    cells: Path,
    out: Path,
    *,
    settings: PolygonSettings,
    tile_px: int = 2048,
    workers: int = 1,
    max_decoded_mpx: float = 500.0,
    progress: Progress = silent,
) -> int:
    """Write the outline of every cell with its verdict, score and main features as GeoJSON.

    Any tile size and number of workers give the same bytes. Memory is a tile a worker and about 120 bytes a cell; the
    text of the outlines waits in a temporary file beside `out`. A table without cells gives a collection without
    features.

    Parameters
    ----------
    labels, cells : Path
        The label image and the cells.parquet of a slide.
    out : Path
        The GeoJSON; compressed where the name ends in .gz.
    settings : PolygonSettings
        How far outlines may be simplified, and which columns go along.
    tile_px : int
        Side of a tile, px.
    workers : int
        Threads.
    max_decoded_mpx : float
        Mpx; see `open_labels`.
    progress : Progress
        Called with units done and units in all.

    Returns
    -------
    int
        Features written.

    Raises
    ------
    LabelError
        If the label image cannot be read.
    TableError
        If the table cannot be read, lacks a status, or is not of this label image.
    ConfigError
        If a column of the settings is no number.
    """
    names = _columns(cells, settings)
    found = _read_boxes(cells)
    jobs = plan_jobs(found, tile_px)
    total = len(jobs) + -(-len(found) // _CHUNK)
    with GeometryScratch(out.parent, len(found)) as scratch:
        with open_labels(labels, max_decoded_mpx=max_decoded_mpx) as label_image:
            _check_boxes(found, label_image, cells)
            source = _Source(label_image, found, settings, str(cells))
            for done, parts in enumerate(map_tiles(source.trace, jobs, workers=workers), start=1):
                for rows, texts in parts:
                    scratch.put(rows, texts)
                progress(done, total)
        n_cells = len(found)
        del source, found
        with FeatureWriter(out) as writer:
            packed = map_tiles(lambda chunk: _pack(*chunk, writer), _chunks(cells, names, scratch), workers=workers)
            for done, (text, data) in enumerate(packed, start=len(jobs) + 1):
                writer.write(text, data)
                progress(done, total)
    progress(total, total)
    return n_cells


def _pack(cells: pa.Table, texts: Texts, writer: FeatureWriter) -> tuple[bytes, bytes]:
    text = feature_text(cells, texts, colours={str(name): rgb for name, rgb in STATUS_RGB_ON_TISSUE.items()})
    return text, writer.pack(text)


def _chunks(cells: Path, names: list[str], scratch: GeometryScratch) -> Iterator[tuple[pa.Table, Texts]]:
    """The table with the geometries of its cells, in pieces of the same length however it was cut into row groups."""
    row, held = 0, None
    for batch in read_batches(cells, names):
        held = batch if held is None else pa.concat_tables([held, batch])
        while held.num_rows >= _CHUNK:
            yield held.slice(0, _CHUNK), scratch.take(row, row + _CHUNK)
            held, row = held.slice(_CHUNK), row + _CHUNK
    if held is not None and held.num_rows:
        yield held, scratch.take(row, row + held.num_rows)


def _columns(cells: Path, settings: PolygonSettings) -> list[str]:
    """Columns to read: who and what the cell is, then the measurements that the table has, each once."""
    schema = read_schema(cells)
    wanted = [*_SCORES, *(full_name(name, schema.names) for name in settings.features)]
    chosen = [name for name in dict.fromkeys(wanted) if name in schema.names and name != "cell_id"]
    for name in chosen:
        if pa.types.is_string(schema.field(name).type):
            raise ConfigError(f"polygons.features: {name} is no number; name numeric columns")
    return ["sample", "status", "cell_id", *chosen]


def _read_boxes(cells: Path) -> Cells:
    """Id, box and, where the table has it, number of pixels of each cell."""
    names = read_schema(cells).names
    n_pixels = full_name("n_pixels", names)
    ids = np.concatenate([batch["cell_id"].to_numpy() for batch in read_batches(cells, ["cell_id"])])
    table, at = np.zeros((len(ids), 7), np.int64), 0
    for batch in read_batches(cells, [*_BOX, *([n_pixels] if n_pixels in names else [])]):
        rows = slice(at, at + batch.num_rows)
        for column, name in enumerate(_BOX):
            table[rows, column] = batch[name].to_numpy()
        if n_pixels in names:
            table[rows, N] = batch[n_pixels].to_numpy()
        at += batch.num_rows
    return Cells(ids.astype(np.uint32), table)


def _check_boxes(cells: Cells, labels: LabelImage, where: Path) -> None:
    y0, y1, x0, x1 = cells.boxes.T
    wrong = (y0 < 0) | (x0 < 0) | (y1 > labels.height) | (x1 > labels.width) | (y1 <= y0) | (x1 <= x0)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise TableError(
            f"{where}: cell {cells.ids[at]} has its box at y {y0[at]} to {y1[at]}, x {x0[at]} to {x1[at]}, but the "
            f"label image {labels.path} is {labels.height} x {labels.width} px; {_CURE}"
        )


@contextmanager
def labels_of(
    labels: Path, image: Path, out: Path, *, mpp: float, outline: Outline = "cell", max_decoded_mpx: float = 500.0
) -> Iterator[tuple[Path, Drawing | None]]:
    """The label image to measure: `labels` itself, or for GeoJSON one that is drawn beside `out` and then removed.

    Raises
    ------
    LabelError
        If the GeoJSON cannot be read or drawn.
    """
    if not is_geojson(labels):
        yield labels, None
        return
    with open_slide(image, max_decoded_mpx=max_decoded_mpx) as slide:
        height, width = slide.height, slide.width
    with temporary_folder(out) as folder:
        drawn = folder / "labels.ome.tif"
        yield drawn, draw_cells(labels, drawn, height_px=height, width_px=width, mpp=mpp, outline=outline)
