"""A file appears whole or not at all."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cellseg.errors import CellsegError, is_machine_fault
from cellseg.io.atomic import atomic_path, temporary_folder, write_json, write_text, writing_fault


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


def test_a_folder_goes_and_so_does_what_a_killed_run_left_of_one(tmp_path: Path) -> None:
    code = "import os; from pathlib import Path; from cellseg.io.atomic import temporary_folder\n"
    code += f"with temporary_folder(Path({str(tmp_path / 'a.txt')!r})) as f: f.mkdir(); (f / 'x').touch(); os._exit(9)"
    subprocess.run([sys.executable, "-c", code], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    with temporary_folder(tmp_path / "a.txt") as one, temporary_folder(tmp_path / "a.txt") as other:
        assert list(tmp_path.iterdir()) == [] and one != other
        write_text(one / "b.txt", "b")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "cure"),
    [(errno.ENOSPC, "make room on this disk and start again"), (errno.EFBIG, "ulimit -f"), (errno.EIO, "fails"),
     (errno.EACCES, "check the folder's permissions"), (None, "check the folder's permissions")],
)  # fmt: skip
def test_a_fault_in_writing_says_why_and_what_to_do(number: int | None, cure: str) -> None:
    error = OSError(number, os.strerror(number)) if number else OSError("odd")
    said = str(writing_fault(Path("a.txt"), error))
    assert said.startswith("a.txt: cannot be written (") and cure in said and (error.strerror or "odd") in said


def test_faults_of_the_machine_are_told_from_those_of_a_slide() -> None:
    def chained(error: Exception) -> Exception:
        try:
            raise CellsegError("x") from error
        except CellsegError as raised:
            return raised

    assert is_machine_fault(MemoryError()) and is_machine_fault(OSError(errno.EIO, ""))
    assert is_machine_fault(chained(OSError(errno.ENOSPC, "")))
    assert not is_machine_fault(chained(MemoryError()))  # a damaged file may claim any size
    assert not any(
        map(is_machine_fault, (OSError(errno.ENOENT, ""), OSError("no number"), ValueError(), chained(KeyError())))
    )
