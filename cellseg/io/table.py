"""Tables as Parquet and CSV: written batch by batch, checked against their columns, whole or not at all. Floor 2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from cellseg.columns import Column, find_column
from cellseg.errors import TableError
from cellseg.io.atomic import atomic_path

ARROW_TYPES = {
    "string": pa.string(), "uint32": pa.uint32(), "int32": pa.int32(), "int64": pa.int64(), "float64": pa.float64(),
    "bool": pa.bool_(),
}  # fmt: skip
"""The Arrow type of each column type in `cellseg/columns/`."""
_FEW_ROWS = 50_000


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    """The Arrow schema of these columns, in order."""
    return pa.schema([pa.field(column.name, ARROW_TYPES[column.dtype]) for column in columns])


class TableWriter:
    """A `.parquet` or `.csv` file that grows by batches and appears when the `with` block ends well.

    Each batch must have the given columns, in their order and types. Parquet is zstd, a row group a batch. CSV has no
    quotes unless a text needs them, the shortest digits that give the number back, NaN as an empty field, and
    true/false. A table without batches has the header.
    """

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        if path.suffix not in (".parquet", ".csv"):
            raise TableError(f"{path}: unknown table type; expected a name that ends in .parquet or .csv")
        self.path, self.schema = path, schema_of(columns)
        self._stack = ExitStack()
        self._parquet: pq.ParquetWriter | None = None
        self._csv: BinaryIO | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            if self.path.suffix == ".parquet":
                self._parquet = stack.enter_context(pq.ParquetWriter(temporary, self.schema, compression="zstd"))
            else:
                self._csv = stack.enter_context(temporary.open("wb"))
                self._csv.write((",".join(self.schema.names) + "\n").encode())
            self._stack = stack.pop_all()
        return self

    def write(self, table: pa.Table) -> None:
        """Append the rows of `table`.

        Raises
        ------
        TableError
            If its columns are not those of the file.
        """
        self._check(table)
        if table.num_rows == 0:
            return
        if self._parquet is not None:
            self._parquet.write_table(table, row_group_size=max(table.num_rows, 1))
        elif self._csv is not None:
            self.write_rows(csv_rows(table))
        else:
            raise TableError(f"{self.path}: not open; use it in a with statement")

    def write_rows(self, rows: pa.Array) -> None:
        """Append rows that `csv_rows` made of a table with these columns; for several CSV files that share rows.

        Raises
        ------
        TableError
            If the file is no CSV, or not open.
        """
        if self._csv is None:
            raise TableError(f"{self.path}: not open for CSV rows; use a name that ends in .csv in a with statement")
        self._csv.write("".join(rows.to_pylist()).encode())

    def _check(self, table: pa.Table) -> None:
        if table.schema.names != self.schema.names:
            missing = [name for name in self.schema.names if name not in table.schema.names]
            extra = [name for name in table.schema.names if name not in self.schema.names]
            raise TableError(
                f"{self.path}: columns do not fit: missing {missing or 'none'}, unexpected {extra or 'none'}, or in "
                "another order; give the columns that the table was opened with"
            )
        for found, expected in zip(table.schema, self.schema, strict=True):
            if found.type != expected.type:
                raise TableError(
                    f"{self.path}: column {found.name} is {found.type}, expected {expected.type}; convert it first"
                )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        self._parquet = self._csv = None


def csv_rows(table: pa.Table) -> pa.Array:
    """The rows as CSV text, a string with its line end each, without a header."""
    fields = [_csv_field(column.combine_chunks()) for column in table.columns]
    ends = pa.array(["\n"] * table.num_rows, pa.string())
    lines = pc.binary_join_element_wise(*fields, ",")
    return pc.binary_join_element_wise(lines, ends, "")


def _csv_field(column: pa.Array) -> pa.Array:
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    if not pa.types.is_string(column.type):
        return pc.fill_null(pc.cast(column, pa.string()), "")
    column = pc.fill_null(column, "")
    quoted = pc.binary_join_element_wise("", pc.replace_substring(column, '"', '""'), "", '"')
    return pc.if_else(pc.match_substring_regex(column, '[",\r\n]'), quoted, column)


def read_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The table piece by piece: a row group of a Parquet file at a time, a CSV file as one; at least one piece.

    Raises
    ------
    TableError
        If the file is missing, damaged, not a table, or lacks one of `columns`.
    """
    if path.suffix == ".csv":
        yield read_table(path, columns)
        return
    with _open_parquet(path) as file:
        names = _wanted(path, file.schema_arrow.names, columns)
        if file.num_row_groups == 0:
            yield file.schema_arrow.empty_table().select(names)
        for group in range(file.num_row_groups):
            try:
                yield file.read_row_group(group, columns=names).select(names)
            except (pa.ArrowException, OSError) as error:
                raise TableError(f"{path}: damaged Parquet file ({error}); make it again") from error


class TableColumns:
    """A Parquet table that is opened once, for who wants many of its columns one after the other.

    Parameters
    ----------
    path : Path
        The table.
    ahead : sequence of str
        Columns that will be asked for: of a table of few rows those that it has are read together, which takes a tenth
        of the time; of larger ones a column is in memory only as long as it is used.

    Raises
    ------
    TableError
        If the file is missing, damaged or not a Parquet table.
    """

    def __init__(self, path: Path, ahead: Sequence[str] = ()) -> None:
        self.path, self._file = path, _open_parquet(path)
        self.names: tuple[str, ...] = tuple(self._file.schema_arrow.names)
        present = set(self.names)
        self._ahead: pa.Table | None = None
        if self._file.metadata.num_rows <= _FEW_ROWS:
            self._ahead = self._read([name for name in dict.fromkeys(ahead) if name in present])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, name: str) -> pa.Table:
        """A table of this column alone.

        Raises
        ------
        TableError
            If there is no such column, or it is damaged.
        """
        _wanted(self.path, self.names, [name])
        if self._ahead is not None and name in self._ahead.column_names:
            return self._ahead.select([name])
        return self._read([name])

    def _read(self, names: list[str]) -> pa.Table:
        try:
            return self._file.read(columns=names, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise TableError(f"{self.path}: damaged Parquet file ({error}); make it again") from error


def count_rows(path: Path) -> int:
    """Rows of a table, without reading them where the file says it.

    Raises
    ------
    TableError
        If the file is missing or not a table.
    """
    if path.suffix == ".csv":
        return int(read_table(path).num_rows)
    with _open_parquet(path) as file:
        return int(file.metadata.num_rows)


def read_schema(path: Path) -> pa.Schema:
    """Names and types of a Parquet table's columns, without reading its rows.

    Raises
    ------
    TableError
        If the file is missing, damaged or not a Parquet table.
    """
    with _open_parquet(path) as file:
        return file.schema_arrow


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The whole table (Parquet or CSV), or its named columns in the order asked for.

    Columns of a CSV that `cellseg.columns` knows get their type, others what they look like; empty numbers are NaN.

    Raises
    ------
    TableError
        If the file is missing, damaged, not a table, or lacks one of `columns`.
    """
    if path.suffix != ".csv":
        return pa.concat_tables(read_batches(path, columns))
    if not path.is_file():
        raise TableError(f"{path}: no such file; check the path")
    header = _csv_header(path)
    types = {name: kind for name in header if (kind := _known_type(name)) is not None}
    options = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    try:
        table = pyarrow.csv.read_csv(path, convert_options=options, parse_options=parse)
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path}: not a table that can be read ({_one_line(error)}); make it again") from error
    table = table.select(_wanted(path, table.column_names, columns))
    for i, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            table = table.set_column(i, field, pc.fill_null(table.column(i), float("nan")))
    return table


def _csv_header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.readline().rstrip("\r\n").split(",")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: cannot be read as text ({_one_line(error)}); make it again") from error


def _known_type(name: str) -> pa.DataType | None:
    try:
        return ARROW_TYPES[find_column(name).dtype]
    except TableError:
        return None


def _open_parquet(path: Path) -> pq.ParquetFile:
    if not path.is_file():
        raise TableError(f"{path}: no such file; check the path")
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"{path}: not a Parquet table ({_one_line(error)}); make it again") from error


def _wanted(path: Path, present: Sequence[str], columns: Sequence[str] | None) -> list[str]:
    for name in columns or ():
        if name not in present:
            near = get_close_matches(name, present, n=3)
            raise TableError(
                f"{path}: no column {name!r}; nearest: {', '.join(near) or 'none'}; make the table again with the "
                "features it needs"
            )
    return list(present if columns is None else columns)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
