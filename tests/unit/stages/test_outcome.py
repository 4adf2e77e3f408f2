"""Placeholders of failed slides: written, recognised, passed on, never mistaken for a result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cellseg.errors import TableError
from cellseg.stages.outcome import Failure, first_failure, read_failure, write_failure

FAILURE = Failure(sample="a", stage="preprocess", reason="a.tif: truncated; export it again")


def test_every_output_gets_the_failure(tmp_path: Path) -> None:
    outputs = [tmp_path / "deep" / "recipe.json", tmp_path / "deep" / "tissue.png"]
    write_failure(outputs, FAILURE)
    assert [read_failure(path) for path in outputs] == [FAILURE, FAILURE]


def test_placeholder_is_one_line_of_json_and_so_is_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    write_failure([path], Failure("µ", "segment", "line one\n  line two"))
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") == 1
    assert json.loads(text) == {"cellseg_failure": {"sample": "µ", "stage": "segment", "reason": "line one line two"}}


def test_older_result_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    path.write_text("cell_id\n1\n")
    write_failure([path], FAILURE)
    assert read_failure(path) == FAILURE
    assert [p.name for p in tmp_path.iterdir()] == ["cells.csv"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"mpp": 0.5}\n', b"II*\x00" + bytes(64), b"cell_id,area_um2\n"])
def test_true_results_are_no_failures(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "result"
    path.write_bytes(content)
    assert read_failure(path) is None


def test_no_file_and_a_folder_are_no_failures(tmp_path: Path) -> None:
    assert read_failure(tmp_path / "missing") is None
    assert read_failure(tmp_path) is None


@pytest.mark.parametrize("content", ['{"cellseg_failure": {"sample"', '{"cellseg_failure": {"sample": "a"}}'])
def test_garbled_placeholder_is_an_error_with_the_cure(tmp_path: Path, content: str) -> None:
    path = tmp_path / "result"
    path.write_text(content)
    with pytest.raises(TableError, match=r"result: .*delete it and run again"):
        read_failure(path)


def test_first_failure_of_several_inputs(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("fine")
    write_failure([bad], FAILURE)
    assert first_failure([good, bad]) == FAILURE
    assert first_failure([good]) is None
    assert first_failure([]) is None
