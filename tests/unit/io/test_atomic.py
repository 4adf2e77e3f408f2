"""A file appears whole or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cellseg.errors import CellsegError
from cellseg.io.atomic import atomic_path, write_json, write_text


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(KeyError), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise KeyError("stop")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "old"


def test_the_temporary_file_is_in_the_same_folder_with_the_same_ending(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "new" / "a.ome.tif") as temporary:
        assert temporary.parent == tmp_path / "new" and temporary.name.endswith("a.ome.tif")
        temporary.write_bytes(b"1")
    assert (tmp_path / "new" / "a.ome.tif").read_bytes() == b"1"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CellsegError, match=r"cannot be written .*check the folder") as caught:
        write_text(tmp_path / "file" / "a.txt", "x")
    assert "\n" not in str(caught.value)


def test_what_a_killed_run_left_is_removed_but_not_a_running_one(tmp_path: Path) -> None:
    code = "import os; from pathlib import Path; from cellseg.io.atomic import atomic_path\n"
    code += f"with atomic_path(Path({str(tmp_path / 'a.txt')!r})) as t: t.write_text('half'); os._exit(9)"
    subprocess.run([sys.executable, "-c", code], check=False)
    running, other = tmp_path / f".tmp-{os.getppid()}-a.txt", tmp_path / ".tmp-1-b-a.txt"
    running.write_text("")
    other.write_text("")
    assert len(list(tmp_path.iterdir())) == 3
    write_text(tmp_path / "a.txt", "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([running.name, other.name, "a.txt"])


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(CellsegError, match="No space left"), atomic_path(tmp_path / "a.txt"):
        full.write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_json_is_sorted_and_ends_with_a_line_end(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": ["µ"]})
    assert (tmp_path / "a.json").read_text("utf-8") == '{\n  "a": [\n    "µ"\n  ],\n  "b": 1\n}\n'
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "b.json", float("nan"))
    assert not (tmp_path / "b.json").exists()
