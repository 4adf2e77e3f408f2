"""What people say of cells is read from rows, points and decisions, and what is wrong with a file is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cellseg.columns.labels import LABEL_COLUMNS
from cellseg.errors import CellsegError, ConfigError, TableError
from cellseg.io.cell_labels import parse_classes, read_groups, read_labelled, read_marks
from cellseg.io.table import TableWriter, schema_of


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_that_name_cells(tmp_path: Path) -> None:
    marks = read_marks(write(tmp_path / "a.csv", "sample,cell_id,class,group,note\n001,7,burr,p1,x\n002,9,, p2 ,\n"))
    assert marks.samples is not None and marks.groups is not None and marks.cell_ids is not None
    assert marks.samples.tolist() == ["001", "002"]
    assert marks.cell_ids.tolist() == [7, 9]
    assert marks.classes.tolist() == ["burr", ""]
    assert marks.groups.tolist() == ["p1", "p2"]
    assert marks.points_px is None


def test_codes_stay_text_and_names_of_columns_may_be_large(tmp_path: Path) -> None:
    marks = read_marks(write(tmp_path / "a.tsv", "\ufeffSample\tCell_ID\tClass\n01\t3.0\t07\n"))
    assert (marks.classes.tolist(), marks.samples.tolist()) == (["07"], ["01"])  # type: ignore[union-attr]
    assert marks.cell_ids.tolist() == [3]  # type: ignore[union-attr]


def test_parquet_of_any_types(tmp_path: Path) -> None:
    classes = pa.array(["a", None]).dictionary_encode()
    pq.write_table(
        pa.table({"cell_id": pa.array([1.0, 2.0]), "class": classes, "more": [1, 2]}), tmp_path / "a.parquet"
    )
    marks = read_marks(tmp_path / "a.parquet")
    assert (marks.classes.tolist(), marks.samples) == (["a", ""], None)
    assert marks.cell_ids.tolist() == [1, 2]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "x,y,class\n594,95,0\n1.5,2,3\n"),
        ("a.csv", "class,y_px,x_px,x,y\n0,95,594,7,7\n3,2,1.5,7,7\n"),
        ("a.csv", "centroid_y_px,centroid_x_px,class\n95,594,0\n2,1.5,3\n"),
        ("a.txt", "594 95 0\n\n1.5 2 3\n"),
        ("a.txt", "# by hand\n594\t95\t0\n1.5,2,3"),
        ("a.txt", "class x y\n0 594 95\n3 1.5 2\n"),
    ],
)
def test_points_in_every_form_are_y_and_x(tmp_path: Path, name: str, text: str) -> None:
    marks = read_marks(write(tmp_path / name, text))
    assert marks.points_px.tolist() == [[95, 594], [2, 1.5]]  # type: ignore[union-attr]
    assert marks.classes.tolist() == ["0", "3"]
    assert marks.cell_ids is None


@pytest.mark.parametrize(("name", "text"), [("a.csv", "x,y,class\n"), ("a.txt", ""), ("a.csv", "cell_id,class\n")])
def test_no_rows_are_no_marks(tmp_path: Path, name: str, text: str) -> None:
    assert len(read_marks(write(tmp_path / name, text))) == 0


def test_the_newest_decision_of_a_cell_wins(tmp_path: Path) -> None:
    text = (
        "sample,cell_id,decision,time\n"
        "A,1,healthy,2026-01-02T10:00:00+02:00\n"
        "A,1,abnormal,2026-01-02T09:00:00+00:00\n"
        "A,2,abnormal,2026-01-01\nB,2,healthy,2025-01-01\n"
        "A,2,skip,2026-03-01\n"
    )
    marks = read_marks(write(tmp_path / "a.csv", text))
    rows = zip(marks.samples, marks.cell_ids, marks.classes, strict=True)  # type: ignore[arg-type]
    assert [tuple(row) for row in rows] == [("A", 1, "abnormal"), ("B", 2, "healthy"), ("A", 2, "")]


def test_times_may_be_numbers(tmp_path: Path) -> None:
    marks = read_marks(write(tmp_path / "a.csv", "cell_id,class,timestamp\n1,b,10\n1,a,9\n"))
    assert marks.classes.tolist() == ["b"]


def test_times_of_parquet(tmp_path: Path) -> None:
    times = pa.array([2, 1], pa.timestamp("s"))
    pq.write_table(pa.table({"cell_id": [1, 1], "class": ["new", "old"], "time": times}), tmp_path / "a.parquet")
    assert read_marks(tmp_path / "a.parquet").classes.tolist() == ["new"]


def test_a_decision_wins_over_a_class_and_uncertain_decides_nothing(tmp_path: Path) -> None:
    marks = read_marks(write(tmp_path / "a.csv", "cell_id,class,decision\n1,burr,healthy\n2,burr,\n3,burr,uncertain\n"))
    assert marks.classes.tolist() == ["healthy", "burr", ""]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "cell_id,kind\n1,a\n", "no column class"),
        ("a.csv", "sample,class\nA,b\n", "expected cell_id"),
        ("a.csv", "foo,bar\n1,2\n", "columns foo, bar; expected cell_id"),
        ("a.csv", "x;y;class\n1;2;3\n", "semicolons"),
        ("a.csv", "", "empty file"),
        ("a.csv", "cell_id,class,class\n1,a,b\n", "class is there more than once"),
        ("a.csv", "cell_id,class\n1,a,b\n", "not a table that can be read"),
        ("a.csv", "cell_id,class\n1,a\nx,b\n", r"row 2: cell_id is 'x'; expected a number"),
        ("a.csv", "cell_id,class\n0,a\n", "row 1: cell_id is 0; expected a whole number from 1"),
        ("a.csv", "cell_id,class\n1.5,a\n", r"cell_id is 1\.5"),
        ("a.csv", "cell_id,class\n4294967296,a\n", "cell_id is 4294967296"),
        ("a.csv", "x,y,class\n1,,a\n", "row 1: y is empty"),
        ("a.csv", "x,y,class\n1,nan,a\n", "row 1: y is 'nan'"),
        ("a.csv", "cell_id,class,time\n1,a,2026-01-01\n1,b,soon\n", "row 2: time is 'soon'"),
        ("a.txt", "1 2 3\n1 2\n", "line 2 has 2 fields, expected 3: x y class"),
        ("a.xlsx", "", "unknown kind of file"),
    ],
)
def test_faults_name_the_file_and_the_place(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(TableError, match=rf"{name}: .*{said}"):
        read_marks(write(tmp_path / name, text))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for name in ("none.csv", "none.txt", "none.parquet"):
        with pytest.raises(TableError, match=name):
            read_marks(tmp_path / name)
    (tmp_path / "a.csv").write_bytes(b"x,y,class\xff\n")
    with pytest.raises(TableError, match="UTF-8"):
        read_marks(tmp_path / "a.csv")


def test_groups_of_samples(tmp_path: Path) -> None:
    assert read_groups(write(tmp_path / "g.csv", "sample,group\n001,a\n002,a\n003,\n")) == {"001": "a", "002": "a"}
    assert read_groups(write(tmp_path / "g.tsv", "patient\tsample\np\tA\n")) == {"A": "p"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sample,group\nA,a\nA,b\n", "sample A is of group a and of b"),
        ("id,block\nA,a\n", "expected sample and group"),
        ("sample,path,group\nA,a.png,test\n", "looks like a sample sheet"),
    ],
)
def test_faults_of_groups(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TableError, match=said):
        read_groups(write(tmp_path / "g.csv", text))


def test_classes_in_short() -> None:
    settings = parse_classes("0=normal, 8 = burr cell,normal=healthy,burr cell=abnormal,10=drop,11=ignored")
    assert settings.names == {"0": "normal", "8": "burr cell"}
    assert (settings.healthy, settings.abnormal, settings.ignored) == (("normal",), ("burr cell",), ("10", "11"))


def test_classes_as_json_or_file_may_say_drop(tmp_path: Path) -> None:
    settings = parse_classes('{"healthy": ["a"], "drop": ["c"]}')
    assert (settings.healthy, settings.ignored) == (("a",), ("c",))
    assert parse_classes(str(write(tmp_path / "c.yaml", "names: {'0': a}\nignored: [a]\n"))).ignored == ("a",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a=healthy,b", "'b'; expected CLASS=healthy"),
        ("a=", "'a='; expected"),
        ("a=healthy,a=abnormal", "'a' is there twice"),
        ("0=a,0=healthy", "'0' is there twice"),
        ("0=a,0 =b", "'0' is there twice"),
        ("1=x,x=healthy,2=x,2=y", "'2' is there twice"),
        ('{"heathy": []}', "did you mean healthy"),
        ("none.yaml", "cannot be read"),
        ("0=a,1=a,a=healthy,b=a,c=abnormal,d=c,c=healthy", "'c' is there twice"),
    ],
)
def test_faults_of_classes(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_classes(text)


ROWS = {
    "sample": ["A", "A"], "cell_id": np.array([1, 2], np.uint32), "class": ["n, x", "b"], "abnormal": [False, True],
    "group": ["p", ""], "source": ["a.csv", "a.csv"],
}  # fmt: skip


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_the_table_of_labelled_cells_is_read_again(tmp_path: Path, name: str) -> None:
    table = pa.table(ROWS, schema=schema_of(LABEL_COLUMNS))
    with TableWriter(tmp_path / name, LABEL_COLUMNS) as writer:
        writer.write(table)
    assert read_labelled(tmp_path / name).equals(table)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sample,cell_id,class,abnormal,group\n", "no column source"),
        ("sample,cell_id,class,abnormal,group,source\nA,1,a,maybe,,s\n", "abnormal is 'maybe'"),
        (
            "sample,cell_id,class,abnormal,group,source\nA,1,a,true,,s\nA,1,a,true,,s\n",
            "1 cells are there more than once",
        ),
    ],
)
def test_faults_of_the_table_of_labelled_cells(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TableError, match=said):
        read_labelled(write(tmp_path / "l.csv", text))


def test_a_labelled_table_of_other_types_or_with_gaps_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table(ROWS | {"cell_id": [-1, 2]}), tmp_path / "l.parquet")
    with pytest.raises(CellsegError, match="make it again"):
        read_labelled(tmp_path / "l.parquet")
    pq.write_table(pa.table(ROWS | {"abnormal": [None, True]}), tmp_path / "l.parquet")
    with pytest.raises(TableError, match="empty fields"):
        read_labelled(tmp_path / "l.parquet")
