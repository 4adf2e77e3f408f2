"""`cellseg label-cells`: where its options go and what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
import typer
from typer.testing import CliRunner

from cellseg.commands.label import label_cells
from cellseg.errors import ConfigError
from cellseg.io.cell_labels import read_labelled

app = typer.Typer()
app.command()(label_cells)


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "A_labels.tif", np.array([[1, 1, 0, 0, 2, 2]] * 2, np.uint32))
    (tmp_path / "A.txt").write_text("0 0 0\n3 0 8\n")
    return tmp_path / "A_labels.tif"


def invoke(slide: Path, *more: str) -> str:
    given = [str(slide), str(slide.parent / "A.txt"), "-o", str(slide.parent / "l.parquet"), *more]
    done = CliRunner().invoke(app, given, catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_options_reach_the_table(slide: Path) -> None:
    (slide.parent / "groups.csv").write_text("sample,group\nB,p\n")
    said = invoke(
        slide, "--classes", "0=normal,normal=healthy,8=abnormal", "--groups", str(slide.parent / "groups.csv"),
        "--tolerance-um", "0.5", "--mpp", "0.5", "--sample", "B", "--json", str(slide.parent / "r.json"),
    )  # fmt: skip
    rows = read_labelled(slide.parent / "l.parquet").to_pylist()
    assert [tuple(row.values()) for row in rows] == [
        ("B", 1, "normal", False, "p", "A.txt"), ("B", 2, "8", True, "p", "A.txt"),
    ]  # fmt: skip
    assert "2 marks: 2 in a cell (1 of them beside it)" in said
    assert (slide.parent / "r.json").is_file()


def test_groups_of_the_sheet(slide: Path) -> None:
    sheet = slide.parent / "samples.tsv"
    sheet.write_text("sample\tpath\tpatient\nA\ta.png\tp7\n")
    invoke(slide, "--classes", "0=healthy,8=abnormal", "--sheet", str(sheet))
    assert read_labelled(slide.parent / "l.parquet")["group"].to_pylist() == ["p7"]
    with pytest.raises(ConfigError, match="give one"):
        invoke(slide, "--sheet", str(sheet), "--groups", str(sheet))


def test_a_class_without_meaning_is_named(slide: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing is said of '8'"):
        invoke(slide, "--classes", "0=healthy")
