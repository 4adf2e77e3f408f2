"""A supervised model of labelled cells, calibrated and tested on groups that it never saw. Floor 4: arrays only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cellseg.classify.calibration import Calibration, calibrate
from cellseg.classify.supervised import (
    Classifier,
    ModelFeature,
    predict_margin,
    predict_probability,
    prediction_sets,
)
from cellseg.classify_config import TrainClassifierSettings
from cellseg.errors import ConfigError
from cellseg.train.calibrate import fit_calibration, nonconformity
from cellseg.train.grouped import Split, check_groups
from cellseg.train.margins import MarginFits, TrainingCells, fit_margins, left_out_margins, splits_of
from cellseg.types import Progress, Stain, silent


@dataclass(frozen=True)
class OutOfGroup:
    """What was said of each cell without its group; NaN (fold -1) of cells of train-only groups.

    `fold` (n,) int32; `margin` (n,) float64 by a model that knew nothing of the group; `probability` (n,) float64 of
    being abnormal, by a calibration fitted without its cells (though on margins of models that knew them: what a new
    slide may expect is told by `LeftOut`).
    """

    fold: NDArray[np.int32]
    margin: NDArray[np.float64]
    probability: NDArray[np.float64]


@dataclass(frozen=True)
class LeftOut(OutOfGroup):
    """The same by models that a group was held out from everything of: selection, fit, calibration, conformal scores.

    `plausible` (n, 2) bool: whether healthy, abnormal are in the conformal set; false where the fold is -1.
    `threshold` (n,) float64: the probability over which the cell's model calls abnormal; NaN there.
    """

    plausible: NDArray[np.bool_]
    threshold: NDArray[np.float64]

    @property
    def called(self) -> NDArray[np.bool_]:
        """Which cells are called abnormal, (n,)."""
        return np.asarray(self.probability > self.threshold, bool)


def check_training(cells: TrainingCells, settings: TrainClassifierSettings) -> None:
    """Refuse cells that no honest model can be trained on.

    Raises
    ------
    ConfigError
        If there are no cells or only of one class, or their groups do not allow cross-validation (`check_groups`).
    """
    n_abnormal, n_cells = int(cells.abnormal.sum()), cells.abnormal.size
    if not 0 < n_abnormal < n_cells:
        raise ConfigError(
            f"{cells.where}: {n_abnormal} abnormal and {n_cells - n_abnormal} healthy cells; expected both; label "
            "cells of the other kind, or map their classes to healthy and abnormal"
        )
    if settings.groups == "required":
        check_groups(cells.groups, settings.train_only_groups, cells.where)


def fit_classifier(
    cells: TrainingCells,
    settings: TrainClassifierSettings,
    *,
    stain: Stain = "he",
    made: MarginFits | None = None,
    workers: int = 1,
    progress: Progress = silent,
) -> tuple[Classifier, OutOfGroup]:
    """The model of all cells, calibrated on groups that its cross-validation left out.

    Parameters
    ----------
    cells : TrainingCells
        Labelled cells of two groups at least.
    settings : TrainClassifierSettings
        Kind of model, selection, balance, folds, calibration.
    stain : str
        Of the slides, written into the model.
    made : dict, optional
        Fits of the same cells and settings that exist (`evaluate_left_out` shares some); new ones are added to it.
    workers : int
        Threads; change time, not results.
    progress : callable
        Called with (fits done, fits in all).

    Returns
    -------
    model : Classifier
        Its conformal scores are of calibrations made without the cell's group; `story` is empty.
    out : OutOfGroup
        Each cell by the model that its group was left out of.

    Raises
    ------
    ConfigError
        If `check_training` refuses the cells, or a fold leaves one class alone.
    """
    check_training(cells, settings)
    rows = np.arange(cells.abnormal.size)
    splits = splits_of(cells, rows, settings, settings.max_folds)
    row_sets = [rows, *(split.train for split in splits)]
    made = fit_margins(cells, row_sets, settings, made=made, workers=workers, progress=progress)
    return _assemble(cells, rows, splits, made, settings, stain)


def evaluate_left_out(
    cells: TrainingCells,
    settings: TrainClassifierSettings,
    *,
    coverage: float = 0.9,
    made: MarginFits | None = None,
    workers: int = 1,
    progress: Progress = silent,
) -> LeftOut:
    """What whole models say of groups that were held out from all of them: what a new slide may expect.

    Each group (or part of the groups, see `TrainClassifierSettings.max_folds`) is judged by a model made by
    `fit_classifier` from the others alone. Of two folds that leave out the same two groups, one in the other, the fit
    is shared: G groups take G (G + 1) / 2 fits.

    Parameters
    ----------
    cells : TrainingCells
        Labelled cells of three groups at least.
    settings : TrainClassifierSettings
        As of `fit_classifier`.
    coverage : float
        Fraction of the cells of each class whose set shall hold the truth.
    made, workers, progress
        As of `fit_classifier`.

    Raises
    ------
    ConfigError
        As of `fit_classifier`, and with fewer than three groups to leave out.
    """
    check_training(cells, settings)
    n_cells = cells.abnormal.size
    outer = splits_of(cells, np.arange(n_cells), settings, settings.max_folds)
    inner = [splits_of(cells, split.train, settings, settings.inner_folds) for split in outer]
    row_sets = [part.train for splits in (outer, *inner) for part in splits]
    made = fit_margins(cells, row_sets, settings, made=made, workers=workers, progress=progress)
    out = LeftOut(
        np.full(n_cells, -1, np.int32), np.full(n_cells, np.nan), np.full(n_cells, np.nan),
        np.zeros((n_cells, 2), bool), np.full(n_cells, np.nan),
    )  # fmt: skip
    for fold, (split, parts) in enumerate(zip(outer, inner, strict=True)):
        model, _ = _assemble(cells, split.train, parts, made, settings, "he")
        matrix = made[split.train.tobytes()].seen(cells, split.test)
        out.fold[split.test] = fold
        out.threshold[split.test] = model.threshold
        out.margin[split.test] = predict_margin(model, matrix)
        out.probability[split.test] = predict_probability(model, matrix)
        out.plausible[split.test] = prediction_sets(model, out.probability[split.test], coverage)
    return out


def _assemble(
    cells: TrainingCells,
    rows: NDArray[np.int64],
    splits: Sequence[Split],
    made: MarginFits,
    settings: TrainClassifierSettings,
    stain: Stain,
) -> tuple[Classifier, OutOfGroup]:
    """The model of these rows, from fits on all of them and without each fold."""
    margin = left_out_margins(cells, splits, made)
    fold = np.full(margin.size, -1, np.int32)
    probability = np.full(margin.size, np.nan)
    prior = _prior(cells, np.concatenate([split.test for split in splits]), settings)
    for number, split in enumerate(splits):
        others = margin.copy()
        others[split.test] = np.nan
        fold[split.test] = number
        own = _calibration(cells, others, settings)
        probability[split.test] = calibrate(own, margin[split.test], prior)
    healthy, abnormal = nonconformity(probability, cells.abnormal, cells.groups)
    fit = made[rows.tobytes()]
    features = _features(cells, rows, splits, made)
    relative = {feature.name for feature in features if feature.relative}
    model = replace(
        fit.bare(),
        features=features,
        travel=fit.travel.needed_for(relative) if fit.travel and relative else None,
        calibration=_calibration(cells, margin, settings),
        prior=prior,
        threshold=prior if settings.threshold == "even" else settings.threshold,
        conformal_healthy=healthy.scores,
        conformal_healthy_weights=healthy.weights,
        conformal_abnormal=abnormal.scores,
        conformal_abnormal_weights=abnormal.weights,
        stain=stain,
        classes=_meanings(cells, rows),
    )
    return model, OutOfGroup(fold, margin, probability)


def _prior(cells: TrainingCells, rows: NDArray[np.int64], settings: TrainClassifierSettings) -> float:
    """The share of abnormal cells that probabilities assume; of the groups that can be left out, each the same."""
    if settings.prior != "groups":
        return settings.prior
    abnormal, groups = cells.abnormal[rows], cells.groups[rows]
    shares = [float(abnormal[groups == name].mean()) for name in np.unique(groups)]
    # a model of which one class is unknown in some group must not be sure of the other before it looks
    return round(float(np.clip(np.mean(shares), 0.01, 0.99)), 3)


def _calibration(cells: TrainingCells, margin: NDArray[np.float64], settings: TrainClassifierSettings) -> Calibration:
    return fit_calibration(margin, cells.abnormal, cells.groups, settings.calibration)


def _features(
    cells: TrainingCells, rows: NDArray[np.int64], splits: Sequence[Split], made: MarginFits
) -> tuple[ModelFeature, ...]:
    """What reasons quote of healthy cells: median and central 95 % of those trained on.

    Of a network's log-odds: by networks that the cells' groups were left out of, for it knows those it was trained on.
    """
    fit = made[rows.tobytes()]
    names = [cells.feature(column) for column in fit.columns.tolist()]
    healthy = rows[~cells.abnormal[rows]]
    columns = list(cells.seen(healthy, fit.travel)[:, fit.columns].T)
    if fit.look is not None:
        names.append((f"appearance_{fit.look.name}_logit", False))
        left = [(made[split.train.tobytes()], split.test[~cells.abnormal[split.test]]) for split in splits]
        columns.append(np.concatenate([one.seen(cells, own)[:, -1] for one, own in left]))
    return tuple(
        ModelFeature(name, relative, *_quoted(values)) for (name, relative), values in zip(names, columns, strict=True)
    )


def _quoted(values: NDArray[np.float64]) -> list[float]:
    known = values[np.isfinite(values)]
    # a column that no healthy cell has keeps NaN, without a warning
    return list(np.quantile(known, [0.5, 0.025, 0.975]).tolist()) if known.size else [np.nan] * 3


def _meanings(cells: TrainingCells, rows: NDArray[np.int64]) -> dict[str, str]:
    """Class -> healthy or abnormal."""
    words = np.where(cells.abnormal[rows], "abnormal", "healthy")
    return dict(sorted(zip(cells.classes[rows].tolist(), words.tolist(), strict=True)))
