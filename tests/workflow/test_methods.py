"""The workflow with a network, and with a segmenter of another package: one key of the config switches it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from networks import TINY, eager_weights
from workflow.project import Project

from cellseg.io.weights import write_weights

pytestmark = pytest.mark.slow

SPOTS = """
from scipy import ndimage
from cellseg.segment.contract import from_function

def make(recipe, settings):
    find = lambda pixels, mpp: ndimage.label(pixels.mean(axis=2) < settings["level"])[0]
    return from_function(find, mpp=recipe.mpp, name="dark", window_px=128, overlap_px=40)
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "my project")
    made.image("one")
    made.truncated_image("cut")
    made.sheet({"one": "test", "cut": "test"})
    return made


def _weights(path: Path, seed: int) -> None:
    made = eager_weights(TINY, seed=seed)
    write_weights(path, made.tensors, made.metadata)


def test_network_with_weights_of_ones_own(project: Project) -> None:
    text = "segmentation: {method: maskrcnn, maskrcnn: {weights: own.safetensors, rescale: never, min_area_um2: 0}}\n"
    text += "input: {pixel_size: {action: note}}\n"  # what this network takes for cells has no size of its own
    options = project.settings(text)
    missing = project.snakemake(*options)
    assert missing.returncode == 1 and "own.safetensors: no such file" in missing.stdout
    _weights(project.folder / "own.safetensors", 0)
    done = project.snakemake(*options)
    ledger = project.ledger()
    assert (ledger["one"]["outcome"], ledger["cut"]["outcome"]) == ("done", "failed"), done.stdout
    cells = pq.read_table(project.sample("one") / "cells.parquet").to_pandas()
    record = json.loads((project.sample("one") / "segment" / "labels.json").read_text())
    assert len(cells) == record["n_cells"] > 0 and record["method"] == "maskrcnn"
    assert cells["score"].between(0.5, 1).all() and set(cells["class"]) <= {"round", "long"}
    # other weights under the same name: only what rests on them is done again
    _weights(project.folder / "own.safetensors", 1)
    planned = project.planned(*options)
    assert planned["segment"] == planned["measure"] == 2 and planned["preprocess"] == 1


def test_weights_that_are_none_fail_the_slide_and_not_the_batch(project: Project) -> None:
    (project.folder / "own.safetensors").write_bytes(b"no weights")
    done = project.snakemake(
        *project.settings("segmentation: {method: maskrcnn, maskrcnn: {weights: own.safetensors}}\n")
    )
    row = project.ledger()["one"]
    assert (row["outcome"], row["stage"]) == ("failed", "segment"), done.stdout
    assert "own.safetensors" in row["reason"]


def test_segmenter_of_another_package(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "site" / "spots-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: spots\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[cellseg.segmenters]\ndark = spots:make\n")
    (tmp_path / "site" / "spots.py").write_text(SPOTS)
    monkeypatch.setenv("PYTHONPATH", os.fspath(tmp_path / "site"))
    project.snakemake(*project.settings("segmentation: {method: dark, plugin: {level: 150}}\n"))
    assert project.ledger()["one"]["outcome"] == "done"
    cells = pq.read_table(project.sample("one") / "cells.parquet")
    assert cells.num_rows > 20 and set(cells["score"].to_pylist()) == {1.0}
