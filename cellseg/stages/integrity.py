"""Whether label image, tables and polygons of a slide tell the same of the same cells. Floor 6.

Everything is read again from the files, as a stranger would: the label image window by window, the tables in pieces,
the GeoJSON feature by feature.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from cellseg.columns import full_name
from cellseg.errors import LabelError, TableError
from cellseg.io.atomic import write_json
from cellseg.io.cells_geojson import cell_uuid
from cellseg.io.geojson import PolygonList, Polygons, read_features
from cellseg.io.labels import LabelImage, open_labels
from cellseg.io.polygon_raster import measure_polygons, scan_polygons
from cellseg.io.table import read_batches, read_schema
from cellseg.measure.boxes import Cells, N, merge_cells, scan_cells
from cellseg.measure.simplify import DRAWN_ALIKE_PX
from cellseg.polygon_config import PolygonSettings
from cellseg.stream import map_tiles
from cellseg.tiles import TileGrid
from cellseg.types import STATUSES, Progress, silent

_BOX = ("bbox_y0_px", "bbox_y1_px", "bbox_x0_px", "bbox_x1_px")
_BATCH = 4096
_CSV_BYTES = 4 << 20
_SHOWN = 5
_ROUNDED = 1e-6
"""um2; areas in tables are rounded to so much."""
_NO_STATUS = len(STATUSES)
_PLACES: dict[Any, int] = {name: place for place, name in enumerate(STATUSES)}


@dataclass
class _Findings:
    """What was counted and compared, and what was found to differ."""

    counts: dict[str, Any] = field(default_factory=dict)
    checks: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def compare(self, where: Path, what: str, wrong: NDArray[Any]) -> None:
        """Note that a check was made of a file: `what` should be true, and is not of the cells `wrong`."""
        self.checks.append(f"{where.name}: {what}")
        if len(wrong):
            shown = ", ".join(str(value) for value in wrong[:_SHOWN]) + (", ..." if len(wrong) > _SHOWN else "")
            self.faults.append(f"{where}: {what}: not so for {len(wrong)} cells (cell_id {shown})")


@dataclass(frozen=True)
class _Table:
    """What is compared of the cells table, row by row; `status` indexes STATUSES."""

    ids: NDArray[np.int64]
    status: NDArray[np.uint8]
    sample: str


def check_integrity(
    labels: Path,
    cells: Path,
    out: Path,
    *,
    polygons: Path | None = None,
    settings: PolygonSettings | None = None,
    mpp: float | None = None,
    tile_px: int = 2048,
    workers: int = 1,
    max_decoded_mpx: float = 500.0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Compare label image, cells table, the CSV files beside it, and polygons; write down what was compared.

    Parameters
    ----------
    labels, cells : Path
        The label image and the cells.parquet of a slide. Where cells.csv lies beside the latter, it and the CSV files
        of each status are compared too.
    out : Path
        integrity.json; written whether all agrees or not.
    polygons : Path or None
        The cells.geojson.gz of the slide.
    settings : PolygonSettings or None
        What the polygons were written with. Up to a tolerance of 0.5 px they are drawn again, and must cover as many
        pixels as the label, in the same box and with the same centroid. Beyond, areas may differ by tolerance times
        length. A tolerance of 0 also wants the very area.
    mpp : float or None
        Microns per pixel; None: the label image's own. Where that has none, areas are not compared.
    tile_px, workers : int
        Side of the windows, px, and threads.
    max_decoded_mpx : float
        Mpx; see `open_labels`.
    progress : Progress
        Called with units done and units in all.

    Returns
    -------
    dict
        What integrity.json holds: `verdict` (agree or differ), `counts`, `checks` and `faults`.

    Raises
    ------
    LabelError
        If the label image or the polygons cannot be read.
    TableError
        If a table cannot be read, or anything differs; the message names files, cells and what was expected.
    """
    findings = _Findings()
    with open_labels(labels, max_decoded_mpx=max_decoded_mpx) as image:
        total = 2 * len(TileGrid(image.height, image.width, tile_px))
        drawn = _scan(image, tile_px, workers, lambda done: progress(done, total))
        size, mpp = (image.height, image.width), mpp or image.mpp
    findings.counts["labels"] = len(drawn)
    table = _compare_table(cells, labels, drawn, mpp, findings)
    if cells.with_name("cells.csv").is_file():
        _compare_csv(cells, table, findings)
    # of other cells than the table's nothing more can be said
    if polygons is not None and not findings.faults:
        tolerance_px = (settings or PolygonSettings()).outline_tolerance_px
        seen = _Outlines(drawn, table, size, tolerance_px)
        for done in seen.read(polygons):
            progress(total // 2 + total // 2 * done // max(len(drawn), done), total)
        seen.report(polygons, findings)
    progress(total, total)
    record = {
        "verdict": "differ" if findings.faults else "agree",
        "counts": findings.counts, "checks": findings.checks, "faults": findings.faults,
    }  # fmt: skip
    write_json(out, record)
    if findings.faults:
        raise TableError(
            f"{'; '.join(findings.faults)}; these files are not of one run: delete the sample's folder and run it again"
        )
    return record


def _scan(image: LabelImage, tile_px: int, workers: int, report: Any) -> Cells:  # noqa: ANN401 - a function
    windows = [tile.core for tile in TileGrid(image.height, image.width, tile_px).tiles()]
    parts = []
    scans = map_tiles(lambda window: scan_cells(image.read(window), window.y0, window.x0), windows, workers=workers)
    for done, part in enumerate(scans, start=1):
        parts.append(part)
        report(done)
    return merge_cells(parts)


def _compare_table(cells: Path, labels: Path, drawn: Cells, mpp: float | None, findings: _Findings) -> _Table:
    """Ids, pixel counts, areas and boxes of the table against the label image."""
    names = read_schema(cells).names
    checks = _row_checks(names, labels, mpp)
    wrong: dict[str, list[NDArray[np.int64]]] = {said: [] for said, _, _ in checks}
    ids, status, samples = [np.empty(0, np.int64)], [np.empty(0, np.uint8)], set[str]()
    for batch in read_batches(cells, ["sample", "cell_id", "status", *{n for _, used, _ in checks for n in used}]):
        ids.append(batch["cell_id"].to_numpy().astype(np.int64))
        status.append(_codes(batch["status"]))
        samples.update(pc.unique(batch["sample"]).to_pylist())
        rows, known = _rows_of(drawn, ids[-1])
        for said, used, differs in checks:
            columns = [batch[name].to_numpy()[known] for name in used]
            wrong[said].append(ids[-1][known][differs(drawn.take(rows), *columns)])
    table = _Table(np.concatenate(ids), np.concatenate(status), min(samples, default=""))
    findings.counts["table"] = len(table.ids)
    findings.counts["by_status"] = {name: int((table.status == at).sum()) for at, name in enumerate(STATUSES)}
    falling = table.ids[1:][np.diff(table.ids) <= 0]
    findings.compare(cells, "cell_id rises from row to row", falling)
    _compare_ids(cells, table.ids, labels, drawn.ids, findings)
    findings.compare(cells, f"status is one of {', '.join(STATUSES)}", table.ids[table.status == _NO_STATUS])
    for said, _, _ in checks:
        findings.compare(cells, said, np.concatenate([np.empty(0, np.int64), *wrong[said]]))
    return table


def _row_checks(names: list[str], labels: Path, mpp: float | None) -> list[tuple[str, tuple[str, ...], Any]]:
    """What is true of each row, the columns that say so, and a function of the labels and these that finds faults."""
    n_pixels, area = full_name("n_pixels", names), full_name("area_um2", names)
    checks: list[tuple[str, tuple[str, ...], Any]] = []
    if n_pixels in names:
        checks.append(
            (f"{n_pixels} is the label's in {labels.name}", (n_pixels,), lambda cells, n: n != cells.n_pixels)
        )
    if area in names and mpp is not None:

        def differs(cells: Cells, area: NDArray[np.float64]) -> NDArray[np.bool_]:
            exact = cells.n_pixels * mpp**2
            # an area that is no number is no label's
            return np.asarray(~(np.abs(area - exact) <= _ROUNDED * np.maximum(exact * 1e-3, 1)), np.bool_)

        checks.append((f"{area} is the number of the label's pixels in {labels.name} * {mpp:.6g}^2", (area,), differs))
    if set(_BOX) <= set(names):
        checks.append(
            (
                f"its box is the label's in {labels.name}",
                _BOX,
                lambda cells, *box: (np.stack(box) != cells.boxes.T).any(0),
            )
        )
    return checks


def _codes(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    """Each status as its place in STATUSES; 4 for any other text."""
    found = pc.index_in(column.combine_chunks(), pa.array(STATUSES, column.type))
    return np.asarray(pc.fill_null(found, _NO_STATUS).to_numpy(zero_copy_only=False), np.uint8)


def _rows_of(cells: Cells, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The rows of those ids that are among the cells, and which ids these are."""
    if not len(cells):
        return np.empty(0, np.int64), np.zeros(len(ids), np.bool_)
    rows = np.minimum(np.searchsorted(cells.ids, ids), len(cells) - 1)
    known = cells.ids[rows] == ids
    return rows[known], known


def _compare_ids(
    where: Path, ids: NDArray[np.int64], labels: Path, expected: NDArray[Any], findings: _Findings
) -> None:
    """The same ids in a file as in the label image."""
    findings.compare(where, f"every cell is in {labels.name}", np.setdiff1d(ids, expected.astype(np.int64)))
    findings.compare(where, f"every cell of {labels.name} is in it", np.setdiff1d(expected.astype(np.int64), ids))


def _compare_csv(cells: Path, table: _Table, findings: _Findings) -> None:
    """cells.csv has the rows of the table, and the file of each status those of that status."""
    path = cells.with_name("cells.csv")
    ids, status = _read_csv(path)
    findings.counts["csv"] = {path.stem: len(ids)}
    others = np.setxor1d(ids * 8 + status, table.ids * 8 + table.status) // 8
    odd = np.union1d(others, _odd_ones(ids, np.zeros(len(ids), np.bool_)))
    if not len(odd) and len(ids) == len(table.ids):
        odd = ids[ids != table.ids]
    findings.compare(path, f"it has the rows of {cells.name}: cell_id and status, in the same order", odd)
    for at, name in enumerate(STATUSES):
        path = cells.with_name(f"{name}.csv")
        ids, status = _read_csv(path)
        findings.counts["csv"][name] = len(ids)
        expected = table.ids[table.status == at]
        findings.compare(path, f"it has the {name} cells of {cells.name}", np.setxor1d(ids[status == at], expected))
        findings.compare(path, f"its cells are {name}, each there once", _odd_ones(ids, status != at))


def _odd_ones(ids: NDArray[np.int64], wrong: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Ids that are wrong or there more than once."""
    values, counts = np.unique(ids, return_counts=True)
    return np.union1d(values[counts > 1], ids[wrong])


def _read_csv(path: Path) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Ids and statuses of a CSV file, read piece by piece."""
    ids, status = [np.empty(0, np.int64)], [np.empty(0, np.uint8)]
    try:
        reader = pyarrow.csv.open_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(use_threads=False, block_size=_CSV_BYTES),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=["cell_id", "status"], column_types={"cell_id": pa.int64(), "status": pa.string()}
            ),
        )
        with reader:
            for batch in reader:
                ids.append(batch["cell_id"].to_numpy())
                status.append(_codes(pa.chunked_array([batch["status"]])))
    except (pa.ArrowException, OSError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise TableError(f"{path}: not a table that can be read ({reason}); make the tables again") from error
    return np.concatenate(ids), np.concatenate(status)


class _Outlines:
    """The features of a GeoJSON file against labels and table, of which the ids are the same."""

    def __init__(self, drawn: Cells, table: _Table, size: tuple[int, int], tolerance_px: float) -> None:
        self._drawn, self._table, self._size, self._tolerance_px = drawn, table, size, tolerance_px
        self._count = np.zeros(len(drawn), np.int64)
        self._wrong: dict[str, list[NDArray[np.int64]]] = {}

    def read(self, path: Path) -> Iterator[int]:
        """Go through the file; yields how many features are done."""
        outlines, said, done = PolygonList(path), list[tuple[int, int, bool]](), 0
        for number, feature in enumerate(read_features(path)):
            outlines.add(feature["geometry"], number)
            said.append(_identity(feature, number, self._table.sample, path))
            if len(said) == _BATCH:
                self._compare(np.array(said, np.int64), outlines.take())
                done += len(said)
                said.clear()
                yield done
        if said:
            self._compare(np.array(said, np.int64), outlines.take())

    def _compare(self, said: NDArray[np.int64], polygons: Polygons) -> None:
        """`said` (n, 3): id, status and whether name and UUID are right, of each feature."""
        ids, status, named = said.T
        rows, known = _rows_of(self._drawn, ids)
        self._note("every cell is in the label image", ids[~known])
        self._note("name and id are made of cell_id and sample", ids[named == 0])
        np.add.at(self._count, rows, 1)
        self._note("status is the table's", ids[known][status[known] != self._table.status[rows]])
        areas, lengths = measure_polygons(polygons)
        labels = self._drawn.table[rows]
        off = np.abs(areas[known] - labels[:, N]) > self._tolerance_px * lengths[known] * (1 + 1e-9)
        self._note(f"areas are those of the labels within {self._tolerance_px:g} px of their length", ids[known][off])
        if self._tolerance_px <= DRAWN_ALIKE_PX:
            differ = (scan_polygons(polygons, *self._size)[known] != labels).any(axis=1)
            self._note("drawn again, outlines cover the labels' pixels", ids[known][differ])

    def _note(self, what: str, wrong: NDArray[np.int64]) -> None:
        self._wrong.setdefault(what, []).append(wrong)

    def report(self, path: Path, findings: _Findings) -> None:
        """Put counts and faults with those of the other files."""
        findings.counts["polygons"] = int(self._count.sum())
        findings.compare(path, "every cell of the label image is in it", self._drawn.ids[self._count == 0])
        findings.compare(path, "every cell is in it once", self._drawn.ids[self._count > 1])
        for what, wrong in self._wrong.items():
            findings.compare(path, what, np.concatenate(wrong))


def _identity(feature: dict[str, Any], number: int, sample: str, path: Path) -> tuple[int, int, bool]:
    """A feature's cell_id, its class as its place among the statuses (4 for any other), whether its names fit."""
    properties = feature.get("properties") or {}
    measurements, classified = properties.get("measurements"), properties.get("classification")
    cell_id = measurements.get("cell_id") if isinstance(measurements, dict) else None
    if not isinstance(cell_id, int):
        raise LabelError(
            f"{path}: feature {number} has no whole number as its measurement cell_id; expected what `cellseg "
            "polygons` writes; run it again"
        )
    status = _PLACES.get(classified.get("name"), _NO_STATUS) if isinstance(classified, dict) else _NO_STATUS
    named = properties.get("name") == str(cell_id) and feature.get("id") == cell_uuid(sample, cell_id)
    return cell_id, status, named
