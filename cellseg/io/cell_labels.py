"""Labels of cells as people write them (rows, points, decisions of a review), and the table made of them. Floor 2.

Outlines and points of GeoJSON are read by `cellseg.io.label_geojson`.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from cellseg.classify_config import LabelSettings
from cellseg.columns.labels import LABEL_COLUMNS
from cellseg.errors import ConfigError, TableError
from cellseg.io.geojson import Polygons
from cellseg.io.settings import parse_settings, read_settings
from cellseg.io.table import read_schema, read_table, schema_of

Texts = NDArray[np.object_]
TABLES = (".csv", ".tsv", ".txt", ".parquet")
"""How the names of tables and lists of points end."""
UNDECIDED = ("uncertain", "undecided", "unsure", "skip", "skipped")
"""Classes and decisions that say nothing of a cell."""
_PLACES = (("y_px", "x_px"), ("y", "x"), ("centroid_y_px", "centroid_x_px"))
_TIMES = ("time", "timestamp", "decided_at", "date")
_READ = ("sample", "cell_id", "class", "decision", "group", *_TIMES, *(name for pair in _PLACES for name in pair))
_SIDES = {"healthy": "healthy", "abnormal": "abnormal", "ignored": "ignored", "drop": "ignored"}


@dataclass(frozen=True)
class Marks:
    """What somebody says of cells: a class a mark, and where the cell is: its id, a point in it, or its outline.

    Attributes
    ----------
    classes : (n,) ndarray of str
        "" where a mark decides nothing.
    samples, groups : (n,) ndarray of str, or None
        The slide that the cell is on, and its patient or slide as cross-validation groups; None where the file says
        nothing.
    cell_ids : (n,) ndarray of uint32, or None
        Pixel value of the cell; 0 where an outline carries none.
    points_px : (n, 2) ndarray of float64, or None
        y and x, px, 0 at the centre of the first pixel.
    polygons : Polygons or None
        One Feature a mark.
    one_cell : (n,) ndarray of bool, or None
        Of polygons: whether each outlines one object, not a region that may hold many.
    """

    classes: Texts
    samples: Texts | None = None
    groups: Texts | None = None
    cell_ids: NDArray[np.uint32] | None = None
    points_px: NDArray[np.float64] | None = None
    polygons: Polygons | None = None
    one_cell: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.classes)

    def take(self, rows: NDArray[Any]) -> Marks:
        """The marks of these rows; not for polygons."""
        if self.polygons is not None:
            raise ValueError("marks with polygons are of one slide and are not taken apart")
        parts = (self.samples, self.groups, self.cell_ids, self.points_px)
        samples, groups, cell_ids, points_px = (None if part is None else part[rows] for part in parts)
        return Marks(self.classes[rows], samples, groups, cell_ids, points_px)


def read_marks(path: Path) -> Marks:
    """The marks of a table: CSV, TSV, Parquet, or text of lines `x y class`.

    A table with a column `cell_id` names cells, any other one points (columns y_px and x_px, or y and x, or
    centroid_y_px and centroid_x_px; px from the centre of the first pixel). The class is in the column `class`, that of
    a review in `decision`, which wins where it is filled; where there is a column `time` (or timestamp, decided_at,
    date), the newest row of a cell replaces the older ones. Columns `sample` and `group` are taken where they are
    there; case does not matter in names of columns.

    Raises
    ------
    TableError
        If the file cannot be read, lacks a column, or holds what is no number or no cell id.
    """
    table = _read_columns(path)
    names = table.keys()
    pair = next((pair for pair in _PLACES if set(pair) <= names), None)
    if "cell_id" not in names and pair is None:
        raise TableError(
            f"{path}: columns {', '.join(names) or 'none'}; expected cell_id (rows that name cells), or x_px and y_px "
            "(or x and y; points in cells); rename them"
        )
    if "class" not in names and "decision" not in names:
        raise TableError(
            f"{path}: no column class (or decision); columns are {', '.join(names)}; add what each cell is"
        )
    classes = _classes(table)
    samples, groups = (_texts(table[name]) if name in names else None for name in ("sample", "group"))
    if "cell_id" not in names and pair is not None:
        points = np.stack([_numbers(table[name], name, path) for name in pair], axis=1).reshape(-1, 2)
        return Marks(classes, samples, groups, points_px=points)
    marks = Marks(classes, samples, groups, cell_ids=_cell_ids(table["cell_id"], path))
    time = next((name for name in _TIMES if name in names), None)
    return marks if time is None else marks.take(_newest(marks, _times(table[time], time, path)))


def _read_columns(path: Path) -> dict[str, pa.ChunkedArray]:
    """The columns that mean something here, by their names in small letters; those of text files as text."""
    kind = path.suffix.lower()
    if kind == ".txt":
        return _read_text(path)
    if kind not in TABLES:
        raise TableError(f"{path}: unknown kind of file; expected a name that ends in {', '.join(TABLES)} or .geojson")
    header, separator = (read_schema(path).names, "") if kind == ".parquet" else _header(path)
    wanted = [name for name in header if name.strip().lower() in _READ]
    known = [name.strip().lower() for name in wanted]
    if not known:
        raise TableError(
            f"{path}: columns {', '.join(header)[:200] or 'none'}; expected cell_id or x and y, and class; name them so"
        )
    if doubled := sorted({name for name in known if known.count(name) > 1}):
        raise TableError(f"{path}: column {doubled[0]} is there more than once; keep one")
    found = read_table(path, wanted) if kind == ".parquet" else _read_csv(path, wanted, separator)
    return dict(zip(known, found.columns, strict=True))


def _header(path: Path) -> tuple[list[str], str]:
    lines = _lines(path, 1)
    if not lines:
        raise TableError(f"{path}: an empty file; expected a header line with cell_id or x and y, and class")
    separator = "\t" if "\t" in lines[0] else ","
    if separator == "," and ";" in lines[0] and "," not in lines[0]:
        raise TableError(f"{path}: columns are parted by semicolons; save the table with commas or tabs")
    return next(csv.reader(lines, delimiter=separator)), separator


def _lines(path: Path, n: int | None = None) -> list[str]:
    """The first n lines of a text file, or all."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            return [line.rstrip("\n") for line in islice(file, n)]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TableError(f"{path}: cannot be read as text ({reason}); check the path, save it as UTF-8") from error


def _read_csv(path: Path, names: Sequence[str], separator: str) -> pa.Table:
    options = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), include_columns=list(names), strings_can_be_null=False
    )
    parse = pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    try:
        return pyarrow.csv.read_csv(path, convert_options=options, parse_options=parse)
    except (pa.ArrowException, OSError) as error:
        said = " ".join(str(error).split())
        raise TableError(f"{path}: not a table that can be read ({said}); save it again") from error


def _read_text(path: Path) -> dict[str, pa.ChunkedArray]:
    """Lines `x y class`, parted by spaces, tabs or commas, under a header or without one."""
    numbered = [(n, line) for n, line in enumerate(_lines(path), start=1) if line.strip() and line[0] != "#"]
    rows = [(n, line.replace(",", " ").split()) for n, line in numbered]
    names = ["x", "y", "class"]
    if rows and not _is_number(rows[0][1][0]):
        names = [name.lower() for name in rows.pop(0)[1]]
    for number, row in rows:
        if len(row) != len(names):
            raise TableError(
                f"{path}: line {number} has {len(row)} fields, expected {len(names)}: {' '.join(names)}; correct it, "
                "or save a CSV with these columns"
            )
    columns = zip(*(row for _, row in rows), strict=True) if rows else [()] * len(names)
    return {
        name: pa.chunked_array([pa.array(column, pa.string())]) for name, column in zip(names, columns, strict=True)
    }


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _texts(column: pa.ChunkedArray) -> Texts:
    filled = pc.fill_null(pc.cast(column, pa.string()), "")
    return np.asarray(pc.utf8_trim_whitespace(filled).to_numpy(), object)


def _classes(table: Mapping[str, pa.ChunkedArray]) -> Texts:
    """What each row says; a decision wins over a class, and what decides nothing is empty."""
    columns = [_texts(table[name]) for name in ("decision", "class") if name in table]
    said = columns[0] if len(columns) == 1 else np.where(columns[0] == "", columns[1], columns[0])
    return np.where(np.isin(said.astype(str), UNDECIDED), "", said) if len(said) else said


def _numbers(column: pa.ChunkedArray, name: str, path: Path) -> NDArray[np.float64]:
    texts = _texts(column)
    try:
        values = texts.astype(np.float64)
    except ValueError:
        values = np.array([float(text) if _is_number(text) else np.nan for text in texts], np.float64)
    wrong = ~np.isfinite(values)
    if wrong.any():
        at = int(np.argmax(wrong))
        said = repr(texts[at]) if texts[at] else "empty"
        raise TableError(f"{path}: row {at + 1}: {name} is {said}; expected a number; correct or remove that row")
    return values


def _cell_ids(column: pa.ChunkedArray, path: Path) -> NDArray[np.uint32]:
    values = _numbers(column, "cell_id", path)
    wrong = (values != np.floor(values)) | (values < 1) | (values >= 2**32)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise TableError(
            f"{path}: row {at + 1}: cell_id is {values[at]:.15g}; expected a whole number from 1 to {2**32 - 1}, the "
            "value of the cell's pixels; correct it"
        )
    return values.astype(np.uint32)


def _times(column: pa.ChunkedArray, name: str, path: Path) -> NDArray[np.float64]:
    """Seconds, or whatever the numbers are; of ISO 8601 texts, those without a zone count as UTC."""
    if pa.types.is_temporal(column.type):
        column = pc.cast(pc.cast(column, pa.timestamp("us")), pa.int64())
    texts = _texts(column)
    if all(map(_is_number, texts)):
        return _numbers(column, name, path)
    times = np.empty(len(texts))
    for at, text in enumerate(texts):
        try:
            time = datetime.fromisoformat(text)
        except ValueError as error:
            raise TableError(
                f"{path}: row {at + 1}: {name} is {text!r}; expected a time such as 2026-01-31T12:00:00 or a number, "
                "in all rows alike; correct it"
            ) from error
        times[at] = (
            time - datetime.fromisoformat("1970-01-01T00:00:00" + ("" if time.tzinfo is None else "+00:00"))
        ).total_seconds()
    return times


def _newest(marks: Marks, times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows of which no other is newer for the same cell, in their order."""
    newest: dict[tuple[str, int], float] = {}
    ids = marks.cell_ids if marks.cell_ids is not None else np.empty(0, np.uint32)
    samples = [""] * len(ids) if marks.samples is None else marks.samples
    keys = [(str(sample), int(cell)) for sample, cell in zip(samples, ids, strict=True)]
    for key, time in zip(keys, times, strict=True):
        newest[key] = max(time, newest.get(key, time))
    return np.flatnonzero([newest[key] == time for key, time in zip(keys, times, strict=True)])


def read_groups(path: Path) -> dict[str, str]:
    """The group (patient or slide) of each sample, of a CSV or TSV with the columns sample and group.

    In place of `group` the column may be called `patient` or `slide`. Empty groups are left out.

    Raises
    ------
    TableError
        If the file cannot be read, lacks a column, or gives a sample two groups.
    """
    header, separator = _header(path)
    names = [name.strip().lower() for name in header]
    of = next((name for name in ("group", "patient", "slide") if name in names), None)
    if "sample" not in names or of is None:
        raise TableError(f"{path}: columns {', '.join(names)}; expected sample and group; rename them")
    if "path" in names:
        raise TableError(
            f"{path}: this looks like a sample sheet, whose group is reference or test; give it as the sheet, or a "
            "table of sample and group"
        )
    wanted = [header[names.index("sample")], header[names.index(of)]]
    samples, values = (_texts(column) for column in _read_csv(path, wanted, separator).columns)
    groups: dict[str, str] = {}
    for sample, value in zip(samples, values, strict=True):
        if value and groups.setdefault(sample, value) != value:
            raise TableError(f"{path}: sample {sample} is of {of} {groups[sample]} and of {value}; keep one")
    return groups


def parse_classes(text: str) -> LabelSettings:
    """What classes mean, of `normal=healthy,burr=abnormal,0=normal`, of JSON, or of the path of a JSON or YAML file.

    Left of `=` is a class as files write it; right of it healthy, abnormal, ignored (or drop), else the name that the
    class shall have.

    Examples
    --------
    >>> parse_classes("0=normal,8=burr,normal=healthy,burr=abnormal").names
    {'0': 'normal', '8': 'burr'}

    Raises
    ------
    ConfigError
        If a part is no `class=meaning`, a class is there twice, or the JSON or file is faulty.
    """
    if (
        text.lstrip().startswith("{")
        or ("=" not in text and text.strip())
        or Path(text).suffix in (".json", ".yaml", ".yml")
    ):
        return read_settings(LabelSettings, text)
    sides: dict[str, list[str]] = {"healthy": [], "abnormal": [], "ignored": []}
    names: dict[str, str] = {}
    seen: set[str] = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, meaning = (piece.strip() for piece in part.rpartition("="))
        if not (name and equals and meaning):
            raise ConfigError(
                f"--classes: {part!r}; expected CLASS=healthy, CLASS=abnormal, CLASS=ignored or CODE=NAME"
            )
        if name in seen:
            raise ConfigError(f"--classes: class {name!r} is there twice; keep one")
        seen.add(name)
        if meaning in _SIDES:
            sides[_SIDES[meaning]].append(name)
        else:
            names[name] = meaning
    return parse_settings(LabelSettings, {"names": names, **sides}, "--classes")


def read_labelled(path: Path) -> pa.Table:
    """The table of labelled cells (`labelled.parquet` or .csv), its columns checked.

    Returns
    -------
    pyarrow.Table
        Columns sample, cell_id, class, abnormal, group, source; one row a cell.

    Raises
    ------
    TableError
        If it cannot be read, lacks a column, holds another type, or names a cell twice.
    """
    schema = schema_of(LABEL_COLUMNS)
    if path.suffix == ".csv":
        header, _ = _header(path)
        table = _typed(_read_csv(path, [name for name in schema.names if name in header], ","), path)
    else:
        table = read_table(path)
    if missing := [name for name in schema.names if name not in table.column_names]:
        raise TableError(f"{path}: no column {', '.join(missing)}; make the table with `cellseg label-cells`")
    try:
        table = table.select(schema.names).cast(schema)
    except (pa.ArrowException, ValueError) as error:
        raise TableError(f"{path}: {' '.join(str(error).split())}; make it again with `cellseg label-cells`") from error
    if any(column.null_count for column in table.columns):
        raise TableError(f"{path}: empty fields; make it again with `cellseg label-cells`")
    n_cells = table.group_by(["sample", "cell_id"]).aggregate([]).num_rows
    if n_cells < table.num_rows:
        raise TableError(f"{path}: {table.num_rows - n_cells} cells are there more than once; keep one row a cell")
    return table


def _typed(table: pa.Table, path: Path) -> pa.Table:
    """Texts of a CSV as what the columns hold."""
    if "cell_id" in table.column_names:
        ids = pa.array(_cell_ids(table["cell_id"], path))
        table = table.set_column(table.column_names.index("cell_id"), "cell_id", ids)
    if "abnormal" in table.column_names:
        words = [word.lower() for word in _texts(table["abnormal"])]
        if wrong := sorted({*words} - {"true", "false", "1", "0"}):
            raise TableError(f"{path}: abnormal is {wrong[0]!r} in a row; expected true or false")
        values = pa.array([word in ("true", "1") for word in words], pa.bool_())
        table = table.set_column(table.column_names.index("abnormal"), "abnormal", values)
    return table
