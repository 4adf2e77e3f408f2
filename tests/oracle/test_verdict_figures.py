"""Figures of verdicts against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import calibration, metrics

from cellseg.evaluate.calibration import calibration_curve, equal_count_edges, equal_width_edges
from cellseg.evaluate.clustered import find_units
from cellseg.evaluate.verdict import (
    auroc,
    average_precision,
    judge_cells,
    precision_points,
    roc_points,
    verdict_figures,
)

# the same sums in another order: a few units in the last place
CLOSE = {"abs": 1e-12}


@pytest.fixture(params=range(6))
def cells(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities; many are equal, few or most cells are abnormal."""
    rng = np.random.default_rng(request.param)
    n = int(rng.integers(30, 900))
    abnormal = rng.random(n) < rng.choice([0.05, 0.4, 0.9])
    abnormal[:2] = True, False
    probability = np.clip(rng.normal(0.4 + 0.25 * abnormal, 0.3), 0, 1)
    return abnormal, np.round(probability, int(rng.integers(1, 4)))


def figures(abnormal: np.ndarray, probability: np.ndarray, threshold: float = 0.5) -> dict[str, float]:
    status = np.where(probability > threshold, "abnormal", "healthy")
    return verdict_figures(judge_cells(abnormal, status, np.zeros(abnormal.size), probability, threshold=threshold))


def test_ranking(cells: tuple[np.ndarray, np.ndarray]) -> None:
    abnormal, probability = cells
    got = figures(abnormal, probability)
    expected = metrics.roc_auc_score(abnormal, probability)
    assert got["auroc"] == pytest.approx(expected, **CLOSE)
    assert auroc(probability, abnormal) == pytest.approx(expected, **CLOSE)
    expected = metrics.average_precision_score(abnormal, probability)
    assert got["average_precision"] == pytest.approx(expected, **CLOSE)
    assert average_precision(probability, abnormal) == pytest.approx(expected, **CLOSE)


def test_sensitivity_at_95_specificity(cells: tuple[np.ndarray, np.ndarray]) -> None:
    abnormal, probability = cells
    false, true, _ = metrics.roc_curve(abnormal, probability, drop_intermediate=False)
    expected = true[false <= 0.05 + 1e-12].max()
    assert figures(abnormal, probability)["sensitivity_at_95_specificity"] == pytest.approx(expected, **CLOSE)


def test_curves(cells: tuple[np.ndarray, np.ndarray]) -> None:
    abnormal, probability = cells
    false, true, _ = metrics.roc_curve(abnormal, probability, drop_intermediate=False)
    for one, other in zip(roc_points(probability, abnormal), (false, true), strict=True):
        assert one == pytest.approx(other, **CLOSE)
    precision, recall, _ = metrics.precision_recall_curve(abnormal, probability)
    # theirs runs down from full recall and ends in an added point (0, 1)
    for one, other in zip(precision_points(probability, abnormal), (recall, precision), strict=True):
        assert one == pytest.approx(other[:-1][::-1], **CLOSE)


@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_decision(cells: tuple[np.ndarray, np.ndarray], threshold: float) -> None:
    abnormal, probability = cells
    got, called = figures(abnormal, probability, threshold), probability > threshold
    assert got["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(abnormal, called), **CLOSE)
    assert got["balanced_accuracy_decided"] == pytest.approx(got["balanced_accuracy"], **CLOSE)
    assert got["sensitivity"] == pytest.approx(metrics.recall_score(abnormal, called), **CLOSE)
    assert got["specificity"] == pytest.approx(metrics.recall_score(~abnormal, ~called), **CLOSE)


def test_probabilities(cells: tuple[np.ndarray, np.ndarray]) -> None:
    abnormal, probability = cells
    got = figures(abnormal, probability)
    assert got["brier"] == pytest.approx(metrics.brier_score_loss(abnormal, probability), **CLOSE)
    assert got["log_loss"] == pytest.approx(metrics.log_loss(abnormal, probability), rel=1e-9)


@pytest.mark.parametrize(("strategy", "figure"), [("uniform", "ece"), ("quantile", "ece_equal_count")])
def test_calibration(cells: tuple[np.ndarray, np.ndarray], strategy: str, figure: str) -> None:
    abnormal, probability = cells
    # theirs parts bins by edges with a rounding of their own: keep off them
    probability = np.clip(probability, 0.001, 0.999) + np.linspace(1e-5, 2e-5, probability.size)
    share, promised = calibration.calibration_curve(abnormal, probability, n_bins=10, strategy=strategy)
    names = np.full(abnormal.size, "a")
    edges = equal_width_edges() if strategy == "uniform" else equal_count_edges(probability)
    curve = calibration_curve(probability, abnormal, find_units(names, names), edges, n_draws=2)
    assert curve.share_abnormal == pytest.approx(share, **CLOSE)
    assert curve.mean_probability == pytest.approx(promised, **CLOSE)
    expected = np.average(np.abs(share - promised), weights=curve.n_cells)
    assert figures(abnormal, probability)[figure] == pytest.approx(expected, **CLOSE)
