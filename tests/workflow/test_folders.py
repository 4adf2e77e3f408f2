"""Images that are folders (DICOM, OME-Zarr) in a batch: tables as of a file, and a fault stays with its slide."""

from __future__ import annotations

from pathlib import Path

from fields import he_field
from slide_files import PLANTED, plain_tiff, write_dicom, write_ome_zarr
from workflow.project import Project

TOGETHER = ("--config", "compute={samples_per_job: 3}")


def test_folders_of_images_run_like_files(tmp_path: Path) -> None:
    project = Project(tmp_path / "my project")
    pixels, images = he_field(shape=(192, 192), seed=1).pixels, project.folder / "images"
    plain_tiff(images / "file.tif", pixels)
    write_dicom(images / "dicom", pixels)
    write_ome_zarr(images / "zarr.ome.zarr", pixels)
    (images / "other").mkdir()
    paths = {"file": "file.tif", "dicom": "dicom", "zarr": "zarr.ome.zarr", "other": "other"}
    lines = [f"{sample}\timages/{path}" for sample, path in paths.items()]
    (project.folder / "samples.tsv").write_text("\n".join(["sample\tpath", *lines]) + "\n")
    done = project.snakemake(*TOGETHER)
    assert done.returncode == 1, done.stdout  # of the one that is no slide
    ledger = project.ledger()
    assert {name: row["outcome"] for name, row in ledger.items()} == {
        "file": "done", "dicom": "done", "zarr": "done", "other": "failed",
    }  # fmt: skip
    assert "neither OME-Zarr nor a DICOM slide" in ledger["other"]["reason"]
    tables = {
        name: (project.sample(name) / "cells.csv").read_text().replace(f"{name},", "X,")
        for name in ("file", "dicom", "zarr")
    }
    assert tables["dicom"] == tables["zarr"] == tables["file"] and tables["file"].count("\n") > 20
    assert project.planned(*TOGETHER)["look_2"] == 1  # with the failed one, which is tried again
    for file in (project.folder / "results").rglob("*"):
        assert not (file.is_file() and any(word.encode() in file.read_bytes() for word in PLANTED)), file
