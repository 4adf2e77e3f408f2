"""A supervised model as plain data: its probability, its doubt and its reasons. Floor 3: arrays only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellseg.classify.calibration import Calibration, calibrate
from cellseg.classify.finding import Finding, Judgement
from cellseg.classify.shapley import shapley_trees
from cellseg.classify.trees import TreeEnsemble, evaluate_trees
from cellseg.classify.words import write_apart, write_interval, write_number
from cellseg.columns import find_column
from cellseg.errors import ModelError
from cellseg.types import Stain

__all__ = [
    "Calibration", "Classifier", "LinearMember", "ModelFeature", "TreeEnsemble", "TreeMember", "check_classifier",
    "explain", "judge_by_model", "predict_margin", "predict_probability", "prediction_sets",
]  # fmt: skip

Floats = NDArray[np.float64]
N_REASONS = 3
MIN_MEASURED = 0.5
"""Fraction of a model's features that a cell must have; with fewer it is not judged."""


@dataclass(frozen=True)
class ModelFeature:
    """A column that a model looks at, and its values among the healthy cells it was trained on.

    `relative` says that the value is against the slide's own cells that look normal. `healthy_low` and `healthy_high`
    hold the central 95 %.
    """

    name: str
    relative: bool
    healthy_median: float
    healthy_low: float
    healthy_high: float


@dataclass(frozen=True)
class LinearMember:
    """Log-odds bias + sum of weights * z, z = (x - centre) / scale within +-clip; NaN counts as `fill`. Arrays (p,)."""

    centre: Floats
    scale: Floats
    fill: Floats
    weights: Floats
    bias: float
    clip: float

    def standardize(self, matrix: Floats) -> Floats:
        """The z (n, p) of features (n, p)."""
        known = np.where(np.isfinite(matrix), matrix, self.fill)
        return np.asarray(np.clip((known - self.centre) / self.scale, -self.clip, self.clip))


@dataclass(frozen=True)
class TreeMember:
    """Log-odds by trees."""

    trees: TreeEnsemble


@dataclass(frozen=True)
class Classifier:
    """All that is needed to judge cells.

    The margin is the mean of the members' log-odds, weighted by `member_weights` (k,). `calibration` makes of it a
    probability at equal odds of both classes, `prior` shifts that to the share of abnormal cells that is assumed. Cells
    with a probability over `threshold` are called abnormal. `conformal_*` are one minus the probability of the true
    class of cells that calibration had not seen, rising, with their weights (sum 1). `classes` maps fine classes to
    healthy or abnormal; `story` says where the model comes from.
    """

    features: tuple[ModelFeature, ...]
    members: tuple[LinearMember | TreeMember, ...]
    member_weights: Floats
    calibration: Calibration
    prior: float
    threshold: float
    conformal_healthy: Floats
    conformal_healthy_weights: Floats
    conformal_abnormal: Floats
    conformal_abnormal_weights: Floats
    stain: str
    classes: Mapping[str, str]
    story: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that it looks at, in its order."""
        return tuple(feature.name for feature in self.features)


def predict_margin(model: Classifier, matrix: Floats) -> Floats:
    """Log-odds (n,) of being abnormal, not calibrated, of cells with features `matrix` (n, p); NaN is not measured."""
    total = np.zeros(len(matrix))
    for member, weight in zip(model.members, model.member_weights.tolist(), strict=True):
        if isinstance(member, LinearMember):
            # row by row, so that a cell's sum does not depend on how many others there are
            own = (member.standardize(matrix) * member.weights).sum(axis=1) + member.bias
        else:
            own = evaluate_trees(member.trees, np.where(np.isfinite(matrix), matrix, np.nan))
        total += weight * own
    return total


def predict_probability(model: Classifier, matrix: Floats) -> Floats:
    """Calibrated probability (n,) of being abnormal at the share of abnormal cells that the model assumes."""
    return calibrate(model.calibration, predict_margin(model, matrix), model.prior)


def prediction_sets(model: Classifier, probability: Floats, coverage: float) -> NDArray[np.bool_]:
    """Which of healthy, abnormal (n, 2) are plausible: sets that hold the truth of `coverage` of each class' cells.

    Split-conformal by class (Vovk 2012, ACML: 475), every group of the held-out cells with the same weight (Dunn,
    Wasserman & Ramdas 2023, JASA 118:2491). A model without held-out cells finds both plausible. NaN has neither.
    """
    bounds = (
        _quantile(model.conformal_healthy, model.conformal_healthy_weights, coverage),
        _quantile(model.conformal_abnormal, model.conformal_abnormal_weights, coverage),
    )
    return np.stack([probability <= bounds[0], 1 - probability <= bounds[1]], axis=1)


def _quantile(scores: Floats, weights: Floats, coverage: float) -> float:
    """The least score that `coverage` of the weight does not exceed; infinite where there are none."""
    if not scores.size:
        return float("inf")
    reached = np.cumsum(weights) / weights.sum()
    at = int(np.searchsorted(reached, coverage - 1e-12))
    return float(scores[min(at, scores.size - 1)])


def explain(model: Classifier, matrix: Floats) -> Floats:
    """Contribution (n, p) of each feature to the margin, against the median healthy cell of the training.

    Exact Shapley values (`shapley.py`): they add up to the cell's margin less that of the median healthy cell.
    """
    background = np.array([feature.healthy_median for feature in model.features])
    total = np.zeros(matrix.shape)
    for member, weight in zip(model.members, model.member_weights.tolist(), strict=True):
        if isinstance(member, LinearMember):
            own = (member.standardize(matrix) - member.standardize(background[None])) * member.weights
        else:
            own = shapley_trees(member.trees, np.where(np.isfinite(matrix), matrix, np.nan), background)
        total += weight * own
    return total


def check_classifier(model: Classifier, names: Collection[str], stain: Stain, where: str) -> None:
    """Refuse to judge a table of another stain or without the model's features.

    Raises
    ------
    ModelError
        With the columns that the table lacks.
    """
    if model.stain != stain:
        raise ModelError(
            f"{where}: the slide's stain is {stain}, the model was trained on {model.stain}; give a model of {stain}"
        )
    missing = [name for name in model.names if name not in names]
    if missing:
        families = sorted({find_column(name).family for name in missing})
        raise ModelError(
            f"{where}: the model judges by {', '.join(missing)}, which this table lacks; add the families "
            f"{', '.join(families)} to measure.families, with the planes that the model was trained on"
        )


def judge_by_model(matrix: Floats, model: Classifier, *, coverage: float) -> Judgement:
    """What a model says of cells with features `matrix` (n, p) in the order of `model.names`; NaN is not measured.

    A cell is abnormal where its probability is over the model's threshold, and uncertain where the conformal set at
    `coverage` holds both answers or neither. A cell with fewer than half of the features is not judged: uncertain,
    without probability. The score is the calibrated log-odds at equal odds of both classes.
    """
    n_cells = len(matrix)
    measured = np.isfinite(matrix).mean(axis=1) >= MIN_MEASURED if n_cells else np.zeros(0, bool)
    margin = np.where(measured, predict_margin(model, matrix), np.nan)
    even = calibrate(model.calibration, margin)
    probability = calibrate(model.calibration, margin, model.prior)
    clipped = np.clip(even, 1e-9, 1 - 1e-9)
    score = np.round(np.log(clipped) - np.log1p(-clipped), 6)
    sets = prediction_sets(model, probability, coverage)
    decided = measured & (sets.sum(axis=1) == 1)
    abnormal = np.flatnonzero(decided & sets[:, 1] & (probability > model.threshold))
    doubtful = measured.copy()
    doubtful[abnormal] = False
    doubtful &= ~(decided & sets[:, 0] & (probability <= model.threshold))
    unsure = np.flatnonzero(doubtful)
    findings = [
        Finding(np.flatnonzero(~measured), "uncertain", "fewer than half of the model's features could be measured")
    ]
    if unsure.size:
        words = "abnormal_probability {}: {} at {} % coverage"
        percent = write_number(100 * coverage)
        answers = np.where(sets[unsure].all(axis=1), "healthy and abnormal are both plausible", "neither is plausible")
        told = [
            words.format(write_number(p), answer, percent)
            for p, answer in zip(probability[unsure].tolist(), answers.tolist(), strict=True)
        ]
        findings.append(Finding(unsure, "uncertain", told))
    findings += _reasons(matrix, model, abnormal, "abnormal", N_REASONS)
    findings += _reasons(matrix, model, unsure, "uncertain", N_REASONS - 1)
    p_value = np.full(n_cells, np.nan)
    return Judgement(score, np.round(probability, 6), p_value, findings)


def _reasons(matrix: Floats, model: Classifier, rows: NDArray[np.int64], status: Any, n_told: int) -> list[Finding]:  # noqa: ANN401 - a Status
    """The features that moved these cells most towards abnormal, one finding a rank."""
    if not rows.size:
        return []
    values = matrix[rows]
    share = explain(model, values)
    order = np.argsort(-share, axis=1, kind="stable")
    out = []
    for rank in range(min(n_told, share.shape[1])):
        column = order[:, rank]
        told = np.flatnonzero(share[np.arange(rows.size), column] > 0)
        at = column[told]
        texts = [
            _phrase(model.features[feature], value)
            for feature, value in zip(at.tolist(), values[told, at].tolist(), strict=True)
        ]
        out.append(Finding(rows[told], status, texts))
    return out


def _phrase(feature: ModelFeature, value: float) -> str:
    """A value with unit, healthy interval and direction: "cell_area_um2 142 um2 (healthy 38-91, high)"."""
    unit = "" if feature.relative else find_column(feature.name).unit
    tail = f" {unit}" if unit not in ("", "1") else ""
    name = f"{feature.name} relative to the slide" if feature.relative else feature.name
    low, high = feature.healthy_low, feature.healthy_high
    interval = write_interval(low, high)
    if np.isnan(value):
        return f"{name} not measurable (healthy {interval})"
    if value > high:
        return f"{name} {write_apart(value, float(write_number(high)))}{tail} (healthy {interval}, high)"
    if value < low:
        return f"{name} {write_apart(value, float(write_number(low)))}{tail} (healthy {interval}, low)"
    side = "upper" if value > feature.healthy_median else "lower"
    return f"{name} {write_number(value)}{tail} (healthy {interval}, {side} part)"
