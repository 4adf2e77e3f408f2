"""Supervised models on disk, whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cellseg.classify.supervised import explain, predict_probability
from cellseg.errors import ModelError
from cellseg.io import classifier_file
from cellseg.stages.classifier_model import read_classifier, write_classifier


@pytest.fixture(scope="module")
def redcell():
    return read_classifier("redcell")


def test_the_shipped_model_goes_through_a_file(redcell, tmp_path):
    path = tmp_path / "m.safetensors"
    digest = write_classifier(path, redcell)
    read = read_classifier(path)
    middle = np.array([feature.healthy_median for feature in redcell.features])
    cells = middle * np.random.default_rng(0).normal(1, 0.2, (50, middle.size))
    assert np.array_equal(predict_probability(read, cells), predict_probability(redcell, cells))
    assert np.array_equal(explain(read, cells), explain(redcell, cells))
    assert (read.features, read.classes, read.story) == (redcell.features, redcell.classes, redcell.story)
    assert digest == classifier_file.read_classifier_arrays(classifier_file.shipped_classifier("redcell"))[1]["sha256"]
    assert path.read_bytes() == classifier_file.shipped_classifier("redcell").read_bytes()


def test_one_of_another_feature_version_is_refused_by_the_columns(redcell, tmp_path, monkeypatch):
    definition, changed = classifier_file._definition, redcell.names[3]
    older = {changed: {"formula": "older"}}
    monkeypatch.setattr(classifier_file, "_definition", lambda name: definition(name) | older.get(name, {}))
    write_classifier(tmp_path / "m.safetensors", redcell)
    monkeypatch.undo()
    with pytest.raises(ModelError, match=f"made by a version that measures {changed} otherwise"):
        read_classifier(tmp_path / "m.safetensors")


def test_what_is_no_model(redcell, tmp_path):
    with pytest.raises(ModelError, match="no model called 'none'"):
        read_classifier("none")
    with pytest.raises(ModelError, match="of format 'cellseg-segnet-1'"):
        read_classifier("colon")
    with pytest.raises(ModelError, match="metadata that JSON cannot hold"):
        write_classifier(tmp_path / "m.safetensors", replace(redcell, story={"auroc": float("nan")}))
