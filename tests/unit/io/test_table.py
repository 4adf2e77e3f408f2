"""Tables: typed when empty, shortest numbers, quotes only where needed, faults named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cellseg.columns import find_column
from cellseg.errors import TableError
from cellseg.io.table import TableWriter, read_batches, read_table, schema_of

COLUMNS = tuple(find_column(name) for name in ("cell_id", "nucleus_area_um2", "touches_border", "status", "reasons"))


def rows(n: int = 3) -> pa.Table:
    whole = pa.table(
        {
            "cell_id": pa.array([1, 2**32 - 1, 3], pa.uint32()),
            "nucleus_area_um2": pa.array([0.1, float("nan"), 1e-6], pa.float64()),
            "touches_border": pa.array([True, False, False]),
            "status": pa.array(["healthy", "abnormal", "excluded"]),
            "reasons": pa.array(["", 'area_um2 142 (healthy 38-91), "large"', "a; b"]),
        }
    )
    return whole.slice(0, n)


def write(path: Path, *batches: pa.Table) -> Path:
    with TableWriter(path, COLUMNS) as writer:
        for batch in batches:
            writer.write(batch)
    return path


def test_csv_text_is_what_people_expect(tmp_path: Path) -> None:
    assert write(tmp_path / "t.csv", rows()).read_text("utf-8") == (
        "cell_id,nucleus_area_um2,touches_border,status,reasons\n"
        "1,0.1,true,healthy,\n"
        '4294967295,,false,abnormal,"area_um2 142 (healthy 38-91), ""large"""\n'
        "3,0.000001,false,excluded,a; b\n"
    )


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_round_trip_with_types(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"t.{suffix}", rows(), rows(2), rows(0))
    table = read_table(path)
    assert table.schema.equals(schema_of(COLUMNS))
    whole = pa.concat_tables([rows(), rows(2)])
    pd.testing.assert_frame_equal(table.to_pandas(), whole.to_pandas())
    assert read_table(path, ["status", "cell_id"]).column_names == ["status", "cell_id"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_empty_table_has_header_and_types(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"t.{suffix}")
    assert read_table(path).schema.equals(schema_of(COLUMNS))
    assert read_table(path).num_rows == 0
    assert [batch.num_rows for batch in read_batches(path, ["status"])] == [0]


def test_any_float_comes_back(tmp_path: Path) -> None:
    values = np.concatenate(
        [np.random.default_rng(0).normal(size=500) * 10.0 ** np.arange(-250, 250), [0.0, -0.0, 5e-324]]
    )
    column = find_column("nucleus_area_um2")
    with TableWriter(tmp_path / "t.csv", [column]) as writer:
        writer.write(pa.table({"nucleus_area_um2": values}))
    np.testing.assert_array_equal(read_table(tmp_path / "t.csv")["nucleus_area_um2"].to_numpy(), values)


def test_a_row_group_a_batch(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", rows(3), rows(1), rows(2))
    assert [batch.num_rows for batch in read_batches(path)] == [3, 1, 2]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_same_rows_same_bytes(tmp_path: Path, suffix: str) -> None:
    first, second = write(tmp_path / f"a.{suffix}", rows()), write(tmp_path / f"b.{suffix}", rows())
    assert first.read_bytes() == second.read_bytes()


def test_wrong_columns_are_refused_and_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"missing \['reasons'\]"):
        write(tmp_path / "t.csv", rows().drop_columns(["reasons"]))
    with pytest.raises(TableError, match="another order"):
        write(tmp_path / "t.csv", rows().select(["nucleus_area_um2", "cell_id", "touches_border", "status", "reasons"]))
    with pytest.raises(TableError, match="column cell_id is int64, expected uint32"):
        write(tmp_path / "t.csv", rows().set_column(0, "cell_id", pa.array([1, 2, 3], pa.int64())))
    with pytest.raises(TableError, match=r"\.parquet or \.csv"):
        TableWriter(tmp_path / "t.xls", COLUMNS)
    assert list(tmp_path.iterdir()) == []


def test_faults_of_files_are_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", rows())
    with pytest.raises(TableError, match="no column 'nucleus_area_um'; nearest: nucleus_area_um2"):
        read_table(path, ["nucleus_area_um"])
    path.write_bytes(path.read_bytes()[:-20])
    (tmp_path / "bad.csv").write_text("cell_id,nucleus_area_um2\n1,2,3\n")
    (tmp_path / "text.csv").write_text("cell_id,nucleus_area_um2\n1,large\n")
    (tmp_path / "empty.csv").write_text("")
    for name in ("t.parquet", "none.parquet", "none.csv", "bad.csv", "text.csv", "empty.csv"):
        with pytest.raises(TableError, match=name) as caught:
            read_table(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_byte_order_mark_and_unknown_columns_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("\ufeffcell_id,mine\n7,x\n".encode())
    table = read_table(tmp_path / "t.csv")
    assert table.to_pydict() == {"cell_id": [7], "mine": ["x"]}
    assert table.schema.field("cell_id").type == pa.uint32()
