"""The Wisconsin breast cancer table through the same code as cells: what it is known to allow is reached."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler

from cellseg.classify_config import TrainClassifierSettings
from cellseg.stages.train_classifier import ClassifierRequest, train_classifier
from cellseg.stages.training_cells import ClassTable

ROWS_ARE_PATIENTS = {"groups": "cells_are_independent", "random_folds": 10, "min_leaf_cells": 10, "trees": 50}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    data = load_breast_cancer()
    path = tmp_path_factory.mktemp("wdbc") / "wdbc.csv"
    kinds = np.array(["malignant", "benign"])[data.target]
    rows = [",".join([kind, *map(repr, row)]) for kind, row in zip(kinds.tolist(), data.data.tolist(), strict=True)]
    path.write_text("\n".join([",".join(["diagnosis", *data.feature_names]), *rows]) + "\n")
    return path


@pytest.mark.parametrize("model", ["logistic", "both"])
def test_accuracy_in_ten_folds(table, tmp_path, model):
    settings = TrainClassifierSettings(model=model, **ROWS_ARE_PATIENTS)
    source = ClassTable(table, "diagnosis", ("malignant",))
    report = train_classifier(ClassifierRequest(source, tmp_path / "wdbc.safetensors", settings, workers=2))
    pooled = report["held_out"]["pooled"]
    assert pooled["n_cells"] == 569
    assert pooled["accuracy"] >= 0.97
    assert pooled["auroc"] >= 0.99
    # binomial, 569 patients: standard deviation 0.0126
    assert pooled["coverage"] == pytest.approx(0.9, abs=0.03)
    assert report["held_out"]["calibration_error"] < 0.05


def test_ranks_like_scikit_learn(table, tmp_path):
    settings = TrainClassifierSettings(model="logistic", **ROWS_ARE_PATIENTS)
    source = ClassTable(table, "diagnosis", ("malignant",))
    report = train_classifier(ClassifierRequest(source, tmp_path / "wdbc.safetensors", settings))
    data = load_breast_cancer()
    theirs = make_pipeline(
        RobustScaler(), LogisticRegression(C=1 / (0.01 * 512), class_weight="balanced", max_iter=500)
    )
    folds = StratifiedKFold(10, shuffle=True, random_state=0)
    score = cross_val_predict(theirs, data.data, data.target, cv=folds, method="decision_function")
    # scaled by quartiles instead of median deviations, and not clipped
    assert report["held_out"]["pooled"]["auroc"] == pytest.approx(roc_auc_score(data.target, score), abs=0.003)
