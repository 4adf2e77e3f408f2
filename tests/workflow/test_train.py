"""The rules that train on a lab's own images, run by the real snakemake; no part of `all`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from training import QUICK, QUICK_TISSUE, SMALL, write_masked, write_pair
from workflow.project import Project

from cellseg.io.weights import read_weights
from cellseg.stages.classifier_model import read_classifier

pytestmark = pytest.mark.slow


def test_train_rule_writes_weights_of_the_projects_images(tmp_path: Path) -> None:
    project = Project(tmp_path / "my project")
    project.image("one")
    project.sheet({"one": "test"})
    for seed in range(4):
        write_pair(project.folder / "my labels", f"image{seed}", seed=seed)
    small = SMALL.model_dump(mode="json", include={"pyramid_channels", "box_units", "mask_channels", "mask_layers"})
    tiny = QUICK.model_dump(mode="json") | {"steps": 2, "architecture": small, "fine_tune": {}}
    train = {"data": ["my labels"], "init": "", "stain": "fluorescence", "classes": ["my cell"], "maskrcnn": tiny}
    options = project.settings(json.dumps({"train": train}))
    assert "train_maskrcnn" not in project.planned(*options)
    done = project.snakemake("train_maskrcnn", *options)
    log = project.folder / "results" / "logs" / "train" / "maskrcnn.log"
    assert done.returncode == 0, done.stdout + (log.read_text() if log.exists() else "")
    folder = project.folder / "results" / "train" / "maskrcnn"
    weights = read_weights(folder / "weights.safetensors")
    assert weights.metadata["classes"] == ["my cell"]
    assert weights.metadata["last_step"] == 2
    assert {path.name for path in folder.iterdir()} == {
        "weights.safetensors", "weights.log.csv", "weights.curves.png",
    }  # fmt: skip
    assert not project.planned("train_maskrcnn", *options)


def test_train_rule_of_tissues(tmp_path: Path) -> None:
    project = Project(tmp_path / "my project")
    project.image("one")
    project.sheet({"one": "test"})
    for seed in range(3):
        write_masked(project.folder / "my fields", f"image{seed}", seed=seed)
    tiny = QUICK_TISSUE.model_dump(mode="json") | {"steps": 2, "fine_tune": {}}
    train = {"data": ["my fields"], "tissue_classes": ["pink one", "purple"], "tissue_mpp": 1.5, "segnet": tiny}
    options = project.settings(json.dumps({"train": train}))
    assert "train_segnet" not in project.planned(*options)
    done = project.snakemake("train_segnet", *options)
    log = project.folder / "results" / "logs" / "train" / "segnet.log"
    assert done.returncode == 0, done.stdout + (log.read_text() if log.exists() else "")
    weights = read_weights(project.folder / "results" / "train" / "segnet" / "weights.safetensors")
    assert weights.metadata["classes"] == ["pink one", "purple"]
    assert weights.metadata["architecture"]["mpp"] == 1.5


def test_train_rule_of_verdicts(tmp_path: Path) -> None:
    project = Project(tmp_path / "my project")
    for name in ("one", "two", "three"):
        project.image(name)
    project.sheet(dict.fromkeys(("one", "two", "three"), "test"))
    train = {"labels": "my labels.parquet", "classifier": {"model": "boosting", "trees": 5, "min_leaf_cells": 3}}
    exclude = {"border": False, "min_focus_fraction": 0.0}
    together = {"compute": {"samples_per_job": 3}}
    options = project.settings(json.dumps({"train": train, "classify": {"exclude": exclude}} | together))
    done = project.snakemake(*options)
    assert done.returncode == 0, done.stdout
    rows = []
    for name in ("one", "two", "three"):
        cells = pq.read_table(project.folder / "results" / "samples" / name / "cells.parquet")
        areas = cells["nucleus_area_um2"].to_numpy()
        large = areas > np.median(areas)
        for number, abnormal in zip(cells["cell_id"].to_pylist(), large.tolist(), strict=True):
            said = {"class": "large" if abnormal else "small", "abnormal": abnormal, "group": name}
            rows.append({"sample": name, "cell_id": number} | said)
    pq.write_table(pa.Table.from_pylist(rows), project.folder / "my labels.parquet")
    done = project.snakemake("train_classifier", *options)
    log = project.folder / "results" / "logs" / "train" / "classifier.log"
    assert done.returncode == 0, done.stdout + (log.read_text() if log.exists() else "")
    model = read_classifier(str(project.folder / "results" / "train" / "classifier" / "model.safetensors"))
    story = model.story["settings"]
    assert (story["train"]["trees"], story["exclude"]["border"], model.story["n_groups"]) == (5, False, 3)
    assert model.story["n_cells"] + model.story["n_excluded"] == len(rows)
    assert not project.planned("train_classifier", *options)
