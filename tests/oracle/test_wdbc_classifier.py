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

from cellseg.classify_config import ReferenceSettings, TrainClassifierSettings
from cellseg.io.table import read_table
from cellseg.stages.train_classifier import ClassifierRequest, train_classifier
from cellseg.stages.train_reference import ReferenceRequest, train_reference
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


@pytest.mark.parametrize(("score", "reached"), [("isolation_forest", 0.95), ("covariance", 0.94)])
def test_benign_rows_alone_tell_malignant_ones(table, tmp_path, score, reached):
    settings = ReferenceSettings(features=("*",), score=score, folds=5)
    source = ClassTable(table, "diagnosis", ("malignant",))
    record = train_reference(ReferenceRequest(source, tmp_path / "wdbc.json", settings, independent_rows=True))
    figures = record["held_out_figures"]["all"]
    assert record["n_cells"] == 357
    assert len(record["features"]) == 30
    assert (figures["n_cells"], figures["n_abnormal"]) == (569, 212)
    assert figures["auroc"] >= reached
    rows = read_table(tmp_path / "wdbc.predictions.parquet").to_pandas()
    benign = rows.loc[~rows["abnormal"], "healthy_p_value"]
    for p in (0.05, 0.2, 0.5):
        # binomial: the share of 357 rows, told by as many held-out scores; three standard deviations of both
        bound = 3 * np.sqrt(2 * p * (1 - p) / 357)
        assert (benign <= p).mean() == pytest.approx(p, abs=bound)
    assert roc_auc_score(rows["abnormal"], rows["abnormal_score"]) == pytest.approx(figures["auroc"])
