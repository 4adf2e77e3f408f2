"""Supervised models on disk: written by training, read to judge. Floor 6."""

from __future__ import annotations

from pathlib import Path

from cellseg.classify.model_form import classifier_from_arrays, classifier_to_arrays
from cellseg.classify.supervised import Classifier
from cellseg.io.classifier_file import (
    FORMAT,
    column_definitions,
    read_classifier_arrays,
    shipped_classifier,
    write_classifier_arrays,
)


def write_classifier(path: Path, model: Classifier) -> str:
    """Write a model as safetensors, whole or not at all; returns its sha256.

    Raises
    ------
    ModelError
        If its story is no JSON.
    """
    arrays, values = classifier_to_arrays(model)
    columns = column_definitions(model.inputs)
    return write_classifier_arrays(path, arrays, {"format": FORMAT, "columns": columns, **values})


def read_classifier(name: str | Path) -> Classifier:
    """The model in a file, or the one of that name in the package.

    Raises
    ------
    ModelError
        If there is none, or it is pickled, damaged, foreign, or measures its columns otherwise than this version.
    """
    path = shipped_classifier(str(name))
    arrays, values = read_classifier_arrays(path)
    return classifier_from_arrays(arrays, values, str(path))
