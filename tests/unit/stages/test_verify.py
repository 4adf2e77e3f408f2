"""One byte, a file gone, a file more, another input: each is found and named, and nothing else is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cellseg.cli import app
from cellseg.config import Config
from cellseg.errors import TableError
from cellseg.stages.outcome import Failure, write_failure
from cellseg.stages.provenance import write_provenance
from cellseg.stages.verify import Verified, verify_results

HEADER = "sample\toutcome\tstage\treason\tn_cells\tpath\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a sheet, images and small results of a sample that is done and one that failed; hashed."""
    folder = tmp_path / "my project"
    results = folder / "results"
    for name in ("images/a b.tif", "images/cut.tif", "results/samples/a/cells.csv", "results/samples/a/überblick.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(f"what {name} holds\n".encode() * 100)
    write_failure([results / "samples" / "cut" / "cells.csv"], Failure("cut", "preprocess", "truncated"))
    (results / "slides.tsv").write_text(f"{HEADER}a\tdone\t\t\t3\tx\ncut\tfailed\tpreprocess\ttruncated\t\tx\n")
    (folder / "samples.tsv").write_text("sample\tpath\na\timages/a b.tif\ncut\timages/cut.tif\n")
    (results / "logs").mkdir()
    (results / "logs" / "check.log").write_text("x")
    write_provenance(results, folder / "samples.tsv", settings=Config())
    return folder


def verify(project: Path) -> Verified:
    return verify_results(project / "results")


def faults(project: Path) -> list[tuple[str, str]]:
    return [(fault.what, fault.name) for fault in verify(project).faults]


def test_what_is_as_it_was_is_counted(project: Path) -> None:
    done = verify(project)
    assert done == Verified([], n_results=5, n_inputs=3, absent=[], failed=["cut"])


def test_one_byte_of_a_table_is_found(project: Path) -> None:
    table = project / "results" / "samples" / "a" / "cells.csv"
    data = bytearray(table.read_bytes())
    data[700] ^= 1
    table.write_bytes(data)
    (fault,) = verify(project).faults
    assert (fault.what, fault.name) == ("changed", "samples/a/cells.csv") and "sha256" in fault.detail


def test_file_that_is_gone_and_one_more_are_found(project: Path) -> None:
    results = project / "results"
    (results / "samples" / "a" / "überblick.csv").unlink()
    (results / "samples" / "a" / "more.csv").write_text("")
    (results / "notes.txt").write_text("")
    assert faults(project) == [
        ("missing", "samples/a/überblick.csv"), ("new", "notes.txt"), ("new", "samples/a/more.csv"),
    ]  # fmt: skip


def test_changed_input_and_sheet_are_found(project: Path) -> None:
    (project / "images" / "a b.tif").write_bytes(b"another image")
    assert faults(project) == [("changed", "images/a b.tif")]
    (project / "samples.tsv").write_text("sample\n")
    assert faults(project) == [("changed", "../samples.tsv"), ("changed", "images/a b.tif")]


def test_inputs_that_are_not_here_are_no_fault(project: Path, tmp_path: Path) -> None:
    shutil.move(project / "results", tmp_path / "elsewhere")
    done = verify_results(tmp_path / "elsewhere")
    assert (done.faults, done.n_inputs, len(done.absent)) == ([], 0, 3)
    done = verify_results(tmp_path / "elsewhere", sheet=project / "samples.tsv")
    assert (done.faults, done.n_inputs, done.absent) == ([], 3, [])


def test_placeholder_may_go_and_what_comes_in_its_place_is_new(project: Path) -> None:
    left = project / "results" / "samples" / "cut" / "cells.csv"
    left.unlink()
    assert faults(project) == []
    left.write_text("cell_id\n")
    assert faults(project) == [("new", "samples/cut/cells.csv")]


def test_times_and_hidden_files_are_not_looked_at(project: Path) -> None:
    for name in ("logs/check.log", "benchmarks/check.tsv", ".DS_Store", "samples/.tmp-1-x"):
        (project / "results" / name).parent.mkdir(exist_ok=True)
        (project / "results" / name).write_text("y")
    assert faults(project) == []


@pytest.mark.parametrize("spoil", ["gone", "cut", "foreign", "outside"])
def test_results_without_a_crate_of_ours_are_refused(project: Path, spoil: str) -> None:
    path = project / "results" / "ro-crate-metadata.json"
    said = path.read_text()
    if spoil == "gone":
        path.unlink()
    elif spoil == "cut":
        path.write_text(said[:500])
    elif spoil == "foreign":
        path.write_text(json.dumps({"@graph": []}))
    else:
        path.write_text(said.replace('"@id": "slides.tsv"', '"@id": "../../etc/passwd"'))
    with pytest.raises(TableError, match=r"ro-crate-metadata\.json"):
        verify(project)


def test_command_says_each_fault_on_a_line_and_its_status(project: Path) -> None:
    results = str(project / "results")
    good = CliRunner().invoke(app, ["verify", results])
    assert good.exit_code == 0
    assert good.stdout == "5 results and 3 inputs are as they were; failed in that run: cut\n"
    (project / "results" / "slides.tsv").unlink()
    bad = CliRunner().invoke(app, ["verify", results, "--workers", "2"])
    assert bad.exit_code == 1
    assert bad.stdout.splitlines()[0].startswith("missing: slides.tsv: ")
    assert "4 results and 3 inputs are as they were; 1 file is not" in bad.stdout
