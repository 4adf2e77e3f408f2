"""Slides whose pixel size is in doubt fail alone, or are corrected and go on, whatever the rest of the batch does."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import tifffile
from fields import blobs, he_look
from workflow.project import Project

pytestmark = pytest.mark.slow
TOGETHER = ("--config", "compute={samples_per_job: 2}")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """`fine` is what it says; `denied` says 0.25 in the file; the cells of `false`, at 0.5 as it says, were 14 um."""
    made = Project(tmp_path / "my project")
    made.image("fine", seed=1)
    small, large = blobs((96, 96), seed=1), blobs((576, 576), mean_radius_px=14.0, spacing_px=48, seed=3)
    tags = {"resolution": (1e4 / 0.25, 1e4 / 0.25), "resolutionunit": 3}
    tifffile.imwrite(made.folder / "images/denied.tif", he_look(small), photometric="rgb", **tags)
    tifffile.imwrite(made.folder / "images/false.tif", he_look(large, seed=3), photometric="rgb")
    made.sheet({"fine": "test", "denied": "test", "false": "test"})
    return made


def test_each_stops_alone_and_where_asked_for_is_corrected(project: Project) -> None:
    done = project.snakemake(*TOGETHER)
    ledger = project.ledger()
    assert done.returncode == 1
    assert {name: (row["outcome"], row["stage"]) for name, row in ledger.items()} == {
        "fine": ("done", ""), "denied": ("failed", "preprocess"), "false": ("failed", "segment"),
    }, done.stdout  # fmt: skip
    assert "0.25 (TIFF resolution tags)" in ledger["denied"]["reason"]
    assert "at 0.25 um per pixel (the nearest usual figure)" in ledger["false"]["reason"]
    _rescale(project)


def _rescale(project: Project) -> None:
    done = project.snakemake(*project.settings("input: {pixel_size: {action: rescale}}\n"), *TOGETHER)
    ledger = project.ledger()
    assert done.returncode == 0, done.stdout
    assert {row["outcome"] for row in ledger.values()} == {"done"}
    assert "0.25 um per pixel is used instead" in ledger["false"]["reason"]
    with (project.folder / "results/summary.csv").open(newline="") as stream:
        summary = {row["sample"]: row for row in csv.DictReader(stream)}
    assert {name: float(row["mpp"]) for name, row in summary.items()} == {"fine": 0.5, "denied": 0.5, "false": 0.25}
    quality = json.loads((project.sample("false") / "segment/quality.json").read_text())
    # 576 px at 0.25 um, nothing of it glass
    assert float(summary["false"]["tissue_area_mm2"]) == quality["tissue_area_mm2"] == pytest.approx(0.020736)
    assert 5 < 2 * (float(summary["false"]["median_area_um2"]) / 3.1416) ** 0.5 < 9
