"""A supervised model as plain data: its probability, its doubt and its reasons. Floor 3: arrays only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellseg.classify.calibration import Calibration, calibrate, shift_prior
from cellseg.classify.conformal import conformal_bound, plausible_answers
from cellseg.classify.finding import N_REASONS, Finding, Judgement
from cellseg.classify.shapley import shapley_trees
from cellseg.classify.travel import Frame, Travel, relate
from cellseg.classify.trees import TreeEnsemble, evaluate_trees
from cellseg.classify.words import write_apart, write_bound, write_interval, write_number
from cellseg.columns import find_column
from cellseg.errors import ModelError
from cellseg.types import Stain, Status

__all__ = [
    "Calibration", "Classifier", "LinearMember", "ModelFeature", "Quoted", "TreeEnsemble", "TreeMember",
    "check_classifier", "explain", "judge_by_model", "predict_margin", "predict_probability", "prediction_sets",
    "see_cells",
]  # fmt: skip

Floats = NDArray[np.float64]
MIN_MEASURED = 0.5
"""Fraction of a model's features that a cell must have; with fewer it is not judged."""


@dataclass(frozen=True)
class ModelFeature:
    """A column that a model looks at, and its values among the healthy cells it was trained on.

    `relative` says that the value is against the slide's own cells (`travel.py`). `healthy_low` and `healthy_high` hold
    the central 95 %.
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
    healthy or abnormal; `story` says where the model comes from. `travel` is how features are made relative to a slide,
    None where none of them is.
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
    travel: Travel | None = None

    def __post_init__(self) -> None:
        if self.member_weights.shape != (len(self.members),):
            raise ValueError(f"{len(self.members)} members with weights of shape {self.member_weights.shape}")
        for member in self.members:
            if isinstance(member, TreeMember):
                fits = member.trees.n_features <= len(self.features)
            else:
                arrays = (member.centre, member.scale, member.fill, member.weights)
                fits = all(array.shape == (len(self.features),) for array in arrays)
            if not fits:
                raise ValueError(f"a member that does not fit {len(self.features)} features")
        for side in ("healthy", "abnormal"):
            scores, weights = getattr(self, f"conformal_{side}"), getattr(self, f"conformal_{side}_weights")
            if scores.ndim != 1 or scores.shape != weights.shape:
                raise ValueError(f"conformal scores of {side} cells that do not fit their weights")
        known = self.travel.columns if self.travel else ()
        if lost := [feature.name for feature in self.features if feature.relative and feature.name not in known]:
            raise ValueError(f"{', '.join(lost)} relative to a slide, without the healthy cells' centre and scale")

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that it looks at, in its order; one that it sees both as measured and relative stands there twice."""
        return tuple(feature.name for feature in self.features)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Columns of the cells table that it needs, each once: also those that tell which cells look normal."""
        return tuple(dict.fromkeys((*self.names, *(self.travel.columns if self.travel else ()))))


def see_cells(model: Classifier, raw: Floats, frame: Frame | None = None) -> tuple[Floats, Quoted | None]:
    """What a model sees of a slide's cells, and what reasons quote of them (None: just that).

    Parameters
    ----------
    model : Classifier
        Its features may be relative to the slide.
    raw : (n, q) ndarray of float64
        `model.inputs` of the cells, as measured.
    frame : Frame, optional
        What the slide's own cells look like, in `model.travel.columns`; without it relative values are NaN.

    Returns
    -------
    matrix : (n, p) ndarray of float64
        In the order of `model.names`.
    quoted : Quoted or None
        Values as measured; the healthy interval of a relative value in the units of this slide.
    """
    if model.travel is None:
        return raw, None
    # row by row, as in `predict_margin`
    values = np.ascontiguousarray(raw[:, [model.inputs.index(name) for name in model.names]])
    low, high = (np.array([getattr(one, f"healthy_{end}") for one in model.features]) for end in ("low", "high"))
    at = np.flatnonzero([feature.relative for feature in model.features])
    places = [model.travel.columns.index(model.names[column]) for column in at.tolist()]
    unknown = np.full(len(model.travel.columns), np.nan)
    own = (frame or Frame(unknown, unknown)).take(places)
    matrix = values.copy()
    matrix[:, at] = relate(values[:, at], own)
    low[at], high[at] = (own.centre + own.scale * end[at] for end in (low, high))
    return matrix, Quoted(values, low, high)


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


def even_probability(model: Classifier, matrix: Floats) -> Floats:
    """Calibrated probability (n,) at equal odds of both classes; NaN for cells with fewer than half of the features."""
    measured = np.isfinite(matrix).mean(axis=1) >= MIN_MEASURED if len(matrix) else np.zeros(0, bool)
    return calibrate(model.calibration, np.where(measured, predict_margin(model, matrix), np.nan))


def prediction_sets(model: Classifier, probability: Floats, coverage: float) -> NDArray[np.bool_]:
    """Which of healthy, abnormal (n, 2) are plausible: sets that hold the truth of `coverage` of each class' cells.

    Split-conformal by class, every group of the held-out cells with the same weight (see `conformal.py`). A model
    without held-out cells finds both plausible. NaN has neither.
    """
    return plausible_answers(
        probability,
        conformal_bound(model.conformal_healthy, model.conformal_healthy_weights, coverage),
        conformal_bound(model.conformal_abnormal, model.conformal_abnormal_weights, coverage),
    )


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
    missing = [name for name in model.inputs if name not in names]
    if missing:
        families = sorted({find_column(name).family for name in missing})
        raise ModelError(
            f"{where}: the model judges by {', '.join(missing)}, which this table lacks; add the families "
            f"{', '.join(families)} to measure.families, with the planes that the model was trained on"
            + (" and, in measure.appearance_network, its network" if "appearance" in families else "")
        )


@dataclass(frozen=True)
class Quoted:
    """What reasons quote instead of what the model sees: `raw` (n, p), and of each column what is healthy, (p,).

    For features that are relative to the slide: the values in their units, and the interval (`low` to `high`) where the
    model's healthy cells lay against their slides, in the units of this slide.
    """

    raw: Floats
    low: Floats
    high: Floats


def judge_by_model(
    matrix: Floats, model: Classifier, *, coverage: float, share: float | None = None, quoted: Quoted | None = None
) -> Judgement:
    """What a model says of cells with features `matrix` (n, p) in the order of `model.names`; NaN is not measured.

    A cell is abnormal where its probability is over the model's threshold and the conformal set at `coverage` holds
    this answer alone; uncertain where the set holds both answers, neither, or the one that the threshold speaks
    against. A cell with fewer than half of the features is not judged: uncertain, without probability. The score is the
    calibrated log-odds at equal odds of both classes. With `share`, the share of abnormal cells that is assumed in
    place of the model's, probabilities and the threshold that reasons quote move alike, and no verdict does. Reasons
    tell the values in `matrix` against the healthy cells of the training, or what is `quoted`.
    """
    n_cells = len(matrix)
    measured = np.isfinite(matrix).mean(axis=1) >= MIN_MEASURED if n_cells else np.zeros(0, bool)
    margin = np.where(measured, predict_margin(model, matrix), np.nan)
    even = np.clip(calibrate(model.calibration, margin), 1e-9, 1 - 1e-9)
    probability = calibrate(model.calibration, margin, model.prior)
    sets = prediction_sets(model, probability, coverage)
    over = probability > model.threshold
    threshold = model.threshold
    if share is not None:
        probability = shift_prior(probability, model.prior, share)
        threshold = float(shift_prior(np.array([threshold]), model.prior, share)[0])
    alone = sets.sum(axis=1) == 1
    abnormal = np.flatnonzero(measured & alone & sets[:, 1] & over)
    unsure = np.flatnonzero(measured & ~(alone & (sets[:, 1] == over)))
    findings = [
        Finding(np.flatnonzero(~measured), "uncertain", "fewer than half of the model's features could be measured"),
        Finding(unsure, "uncertain", _doubts(probability[unsure], sets[unsure], coverage, threshold)),
    ]
    told = quoted or _as_seen(matrix, model)
    because = _reasons(matrix, model, told, abnormal, "abnormal", N_REASONS)
    findings += [*because, _over_threshold(probability, abnormal, because, threshold)]
    findings += _reasons(matrix, model, told, unsure, "uncertain", N_REASONS - 1)
    score = np.round(np.log(even) - np.log1p(-even), 6)
    return Judgement(score, np.round(probability, 6), np.full(n_cells, np.nan), measured & over, findings)


def _doubts(probability: Floats, sets: NDArray[np.bool_], coverage: float, threshold: float) -> list[str]:
    """Why each of these cells is uncertain, in words."""
    percent = write_number(100 * coverage)
    said = []
    for p, (healthy, abnormal) in zip(probability.tolist(), sets.tolist(), strict=True):
        number = write_number(p)
        if healthy and abnormal:
            why = "healthy and abnormal are both plausible"
        elif not healthy and not abnormal:
            why = "neither is plausible"
        else:
            number = write_apart(p, threshold)
            side = "healthy alone is plausible, but over" if healthy else "abnormal alone is plausible, but not over"
            why = f"{side} the threshold {write_bound(threshold)},"
        said.append(f"abnormal_probability {number}: {why} at {percent} % coverage")
    return said


def _over_threshold(
    probability: Floats, abnormal: NDArray[np.int64], because: list[Finding], threshold: float
) -> Finding:
    """That abnormal cells are, where no feature moved them there: the median healthy cell would be called abnormal."""
    rows = np.setdiff1d(abnormal, because[0].rows) if because else abnormal
    tail = f"over the threshold {write_bound(threshold)}"
    texts = [f"abnormal_probability {write_apart(p, threshold)} {tail}" for p in probability[rows].tolist()]
    return Finding(rows, "abnormal", texts)


def _as_seen(matrix: Floats, model: Classifier) -> Quoted:
    low, high = (np.array([getattr(one, f"healthy_{end}") for one in model.features]) for end in ("low", "high"))
    return Quoted(matrix, low, high)


def _reasons(
    matrix: Floats, model: Classifier, told: Quoted, rows: NDArray[np.int64], status: Status, n_told: int
) -> list[Finding]:
    """The features that moved these cells most towards abnormal, one finding a rank."""
    if not rows.size:
        return []
    share, speaker = _by_column(model, explain(model, matrix[rows]))
    order = np.argsort(-share, axis=1, kind="stable")
    out = []
    for rank in range(min(n_told, share.shape[1])):
        at = np.arange(rows.size), order[:, rank]
        moved = np.flatnonzero(share[at] > 0)
        cells = zip(rows[moved].tolist(), speaker[at][moved].tolist(), strict=True)
        out.append(Finding(rows[moved], status, [_phrase(matrix, model, told, row, at) for row, at in cells]))
    return out


def _by_column(model: Classifier, share: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Contributions (n, c) of each column, and which feature (n, c) says so.

    A column that the model sees both as measured and relative to the slide is one reason, told by what moved more.
    """
    of: dict[str, list[int]] = {}
    for at, name in enumerate(model.names):
        of.setdefault(name, []).append(at)
    total = np.column_stack([share[:, own].sum(axis=1) for own in of.values()])
    speaker = np.column_stack([np.array(own)[np.argmax(share[:, own], axis=1)] for own in of.values()])
    return total, speaker


def _phrase(matrix: Floats, model: Classifier, told: Quoted, row: int, at: int) -> str:
    """A cell's value with unit, healthy interval and direction: "cell_area_um2 142 um2 (healthy 38-91, high)"."""
    feature, as_seen = model.features[at], told.raw is matrix
    value, low, high = float(told.raw[row, at]), float(told.low[at]), float(told.high[at])
    against_slide = feature.relative and as_seen
    unit = "" if against_slide else find_column(feature.name).unit
    tail = f" {unit}" if unit not in ("", "1") else ""
    name = f"{feature.name} relative to the slide" if against_slide else feature.name
    known = not (np.isnan(low) or np.isnan(high))
    interval = write_interval(low, high) if known else "not known"
    if known and feature.relative and not as_seen:
        interval += " on this slide"
    if not np.isfinite(value):
        return f"{name} not measurable (healthy {interval})"
    if value > high:
        return f"{name} {write_apart(value, float(write_number(high)))}{tail} (healthy {interval}, high)"
    if value < low:
        return f"{name} {write_apart(value, float(write_number(low)))}{tail} (healthy {interval}, low)"
    part = f", {'upper' if matrix[row, at] > feature.healthy_median else 'lower'} part" if known else ""
    return f"{name} {write_number(value)}{tail} (healthy {interval}{part})"
