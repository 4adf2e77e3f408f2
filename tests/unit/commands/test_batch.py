from __future__ import annotations

from pathlib import Path

import pytest
import tifffile
from fields import he_field
from typer.testing import CliRunner

from cellseg.commands import stages
from cellseg.commands.batch import app
from cellseg.stages.outcome import read_failure
from cellseg.stages.results import sample_folder, stage_log


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    for seed, name in enumerate(("a", "b")):
        tifffile.imwrite(
            tmp_path / f"{name}.tif", he_field(shape=(96, 96), seed=seed).pixels, photometric="rgb"
        )  # fmt: skip
    path = tmp_path / "samples.tsv"
    path.write_text("sample\tpath\tmpp\na\ta.tif\t0.5\nb\tb.tif\t0.5\n")
    return path


def test_fault_of_ours_is_that_samples_failure_with_its_traceback_in_the_log(sheet: Path, monkeypatch) -> None:
    def break_at_a(image, *arguments, **named):
        if image.stem == "a":
            raise ZeroDivisionError("of all things")
        return real(image, *arguments, **named)

    real = stages.segment
    monkeypatch.setattr(stages, "segment", break_at_a)
    results = sheet.parent / "results"
    done = CliRunner().invoke(app, ["look", str(results), "a", "b", "--samples", str(sheet)])
    assert done.exit_code == 0, done.output
    assert "preprocess: 2 samples, " in done.output and "measure: 2 samples, " in done.output
    failed = read_failure(sample_folder(results, "a") / "measure" / "measurements.parquet")
    assert failed is not None
    assert (failed.sample, failed.stage) == ("a", "segment")
    assert "ZeroDivisionError: of all things" in failed.reason
    assert "Traceback" in stage_log(results, "a", "segment").read_text()
    assert read_failure(sample_folder(results, "b") / "measure" / "measurements.parquet") is None
    assert "cells" in stage_log(results, "b", "segment").read_text()


def test_sample_that_is_not_in_the_sheet_is_named(sheet: Path) -> None:
    done = CliRunner().invoke(app, ["judge", "results", "a", "c", "--samples", str(sheet)])
    assert done.exit_code == 1
    assert "no sample c" in str(done.exception)
