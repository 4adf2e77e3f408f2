"""How well verdicts part abnormal from healthy cells, and how sure they may be. Floor 3: arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from cellseg.evaluate.calibration import (
    bin_errors,
    bin_of,
    brier_terms,
    equal_count_edges,
    equal_width_edges,
    log_loss_terms,
)
from cellseg.evaluate.clustered import Floats, Ints, Units, draw_counts, percentile_interval
from cellseg.evaluate.matching import Matching

Bools = NDArray[np.bool_]
SPECIFICITY = 0.95
"""At which `sensitivity_at_95_specificity` is told."""
FIGURES = (
    "auroc", "average_precision", "balanced_accuracy", "sensitivity", "specificity", "sensitivity_at_95_specificity",
    "balanced_accuracy_decided", "share_uncertain", "coverage", "coverage_healthy", "coverage_abnormal", "ece",
    "ece_equal_count", "ece_balanced", "brier", "log_loss",
)  # fmt: skip
"""What `verdict_figures` says besides counts, fractions 0..1 but for log_loss."""
LESS_IS_BETTER = ("share_uncertain", "ece", "ece_equal_count", "ece_balanced", "brier", "log_loss")


@dataclass(frozen=True)
class JudgedCells:
    """Cells that have a true class and a verdict, in one order.

    Attributes
    ----------
    abnormal : (n,) ndarray of bool
        The truth.
    score : (n,) ndarray of float64
        What ranks cells, higher is more abnormal; NaN where there is none.
    probability : (n,) ndarray of float64
        Of being abnormal; NaN where nothing states one.
    called : (n,) ndarray of bool
        The default decision is abnormal.
    plausible : (n, 2) ndarray of bool
        Whether healthy, abnormal is held possible; a verdict that is `uncertain` holds both.
    judged : (n,) ndarray of bool
        False for excluded cells.
    """

    abnormal: Bools
    score: Floats
    probability: Floats
    called: Bools
    plausible: Bools
    judged: Bools

    def take(self, rows: NDArray[np.int64] | Bools) -> JudgedCells:
        """The cells of these rows."""
        return JudgedCells(
            self.abnormal[rows], self.score[rows], self.probability[rows], self.called[rows], self.plausible[rows],
            self.judged[rows],
        )  # fmt: skip

    @property
    def covered(self) -> Bools:
        """Whether what is held possible holds the truth, (n,)."""
        return np.asarray(np.where(self.abnormal, self.plausible[:, 1], self.plausible[:, 0]), bool)

    @property
    def decided(self) -> Bools:
        """Whether one answer alone is held possible, (n,)."""
        return np.asarray(self.plausible.sum(axis=1) == 1, bool)


def judge_cells(
    abnormal: Bools,
    status: NDArray[np.str_],
    score: Floats,
    probability: Floats | None = None,
    *,
    threshold: float | Floats = 0.5,
    called: Bools | None = None,
    plausible: Bools | None = None,
    by_score: bool = False,
) -> JudgedCells:
    """Truth and verdict of cells, from the columns that tables have.

    Probabilities rank the cells where any is stated, else, or where `by_score` says so, the scores. The default
    decision is `called` where it is given, else a probability over `threshold`, else (where none is stated, or the
    threshold is NaN) the status abnormal.

    Parameters
    ----------
    abnormal : (n,) ndarray of bool
        The truth.
    status : (n,) ndarray of str
        healthy, abnormal, uncertain or excluded.
    score, probability : (n,) ndarray of float64
        NaN where there is none.
    threshold : float or (n,) ndarray of float64
        Probability over which a cell is called abnormal; NaN: not by its probability.
    called : (n,) ndarray of bool, optional
        The decision itself.
    plausible : (n, 2) ndarray of bool, optional
        Whether healthy, abnormal is in the conformal set; default: as the status says, both where it is uncertain.
    """
    stated = np.full(abnormal.size, np.nan) if probability is None else probability.astype(np.float64)
    known = np.isfinite(stated)
    if called is None:
        by_probability = known & np.isfinite(threshold)
        called = np.where(by_probability, np.where(known, stated, 0.0) > threshold, status == "abnormal")
    if plausible is None:
        plausible = np.stack([status != "abnormal", status != "healthy"], axis=1)
    ranking = stated if known.any() and not by_score else score.astype(np.float64)
    return JudgedCells(abnormal.astype(bool), ranking, stated, called, plausible, status != "excluded")


def pair_rows(matching: Matching, true_ids: NDArray[np.uint32], cell_ids: NDArray[np.uint32]) -> tuple[Ints, Ints]:
    """Rows of the truth table and of the cells table that a matching pairs; ids that either lacks are left out.

    Parameters
    ----------
    matching : Matching
        True and predicted cells, one to one.
    true_ids : (t,) ndarray of uint32
        Of the truth table.
    cell_ids : (p,) ndarray of uint32
        Of the cells table.

    Returns
    -------
    (k,) and (k,) ndarray of int64
    """
    true_at = {int(number): at for at, number in enumerate(true_ids)}
    cell_at = {int(number): at for at, number in enumerate(cell_ids)}
    pairs = [
        (true_at[int(true)], cell_at[int(predicted)])
        for true, predicted in zip(matching.true_ids, matching.predicted_ids, strict=True)
        if int(true) in true_at and int(predicted) in cell_at
    ]
    rows = np.array(pairs, np.int64).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def verdict_figures(cells: JudgedCells) -> dict[str, float]:
    """Counts and `FIGURES` of the judged cells; NaN where a class, or what the figure is made of, is missing.

    Excluded cells are counted (`n_excluded`) and left out. Figures of the ranking leave out cells without a score,
    those of probabilities cells without one.

    - auroc, average_precision: of the ranking, see the functions of these names.
    - sensitivity, specificity and their mean balanced_accuracy: of the default decision, `JudgedCells.called`.
    - sensitivity_at_95_specificity: share of abnormal cells that score over a cut, the lowest cut of which at most 5 %
      of the healthy cells score over; cells on the cut are not over it, and nothing is interpolated.
    - balanced_accuracy_decided: of the cells that are not uncertain, where one answer alone is held possible.
    - share_uncertain: cells of which both answers, or neither, are held possible.
    - coverage, coverage_healthy, coverage_abnormal: share of cells whose plausible answers hold the truth.
    - ece, ece_equal_count, ece_balanced: expected calibration error over ten bins of one width; over ten of as many
      cells each; over ten of one width with both classes counting alike, as probabilities at equal odds have it.
    - brier, log_loss: means of the squared distance from the truth and of minus the logarithm of what was said of it.
    """
    one = Units(np.zeros(cells.abnormal.size, np.int64), 1, "groups")
    found = {name: float(values[0]) for name, values in figures_of_counts(tally(cells, one), np.ones((1, 1))).items()}
    counts = {"n_cells": int(cells.judged.sum()), "n_abnormal": int((cells.judged & cells.abnormal).sum())}
    counts["n_excluded"] = int((~cells.judged).sum())
    return {**{name: float(n) for name, n in counts.items()}, **found}


def verdict_intervals(
    cells: JudgedCells, units: Units, *, n_draws: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of all `FIGURES` over units drawn with replacement; NaN with fewer than two units.

    Bins of equal counts keep the edges that they have of all cells.
    """
    if units.n_units < 2:
        return dict.fromkeys(FIGURES, (float("nan"), float("nan")))
    tallied = tally(cells, units)
    width = max(tallied.unit.size, tallied.sums.shape[1])
    parts = [figures_of_counts(tallied, counts) for counts in draw_counts(units.n_units, n_draws, seed, width=width)]
    return {name: percentile_interval(np.concatenate([part[name] for part in parts]), level) for name in FIGURES}


class Tally(NamedTuple):
    """All that figures of any draw of units are made of.

    `sums` (n_units, k) float64, sums over each unit's cells by the columns of `_SUMS` and then of both kinds of bins;
    `n_bins`, of one width and of equal counts; `unit`, `positive` (m,) of the cells with a score, by falling score;
    `last` (t,) int64, the last cell of each run of equal scores.
    """

    sums: Floats
    n_bins: tuple[int, int]
    unit: Ints
    positive: Floats
    last: Ints


_SUMS = (
    "abnormal", "healthy", "called_abnormal", "left_healthy", "decided_abnormal", "decided_healthy", "right_abnormal",
    "right_healthy", "covered_abnormal", "covered_healthy", "stated", "brier", "log_loss",
)  # fmt: skip


def tally(cells: JudgedCells, units: Units) -> Tally:
    """Sums over the judged cells of each unit, and their order by score; see `figures_of_counts`."""
    rows = np.flatnonzero(cells.judged)
    cells, code = cells.take(rows), units.code[rows]
    stated = np.isfinite(cells.probability)
    probability = np.where(stated, cells.probability, 0.0)
    right = cells.decided & cells.covered
    columns = [cells.abnormal, ~cells.abnormal, cells.abnormal & cells.called, ~cells.abnormal & ~cells.called]
    for mask in (cells.decided, right, cells.covered):
        columns += [cells.abnormal & mask, ~cells.abnormal & mask]
    terms = [stated * kind(probability, cells.abnormal) for kind in (brier_terms, log_loss_terms)]
    sums = [np.bincount(code, column, units.n_units)[:, None] for column in (*columns, stated, *terms)]
    edges = equal_width_edges(), equal_count_edges(cells.probability)
    for of_kind in edges:
        at, k = bin_of(probability, of_kind), of_kind.size - 1
        for weight in (np.ones(code.size), probability):
            for side in (stated & cells.abnormal, stated & ~cells.abnormal):
                place = (code * k + at)[side]
                sums.append(np.bincount(place, weight[side], minlength=units.n_units * k).reshape(units.n_units, k))
    scored = np.flatnonzero(np.isfinite(cells.score))
    order = scored[np.argsort(-cells.score[scored], kind="stable")]
    last = np.flatnonzero(np.append(np.diff(cells.score[order]) != 0, True)) if order.size else order
    return Tally(
        np.concatenate(sums, axis=1), (edges[0].size - 1, edges[1].size - 1), code[order],
        cells.abnormal[order].astype(np.float64), last,
    )  # fmt: skip


def figures_of_counts(tallied: Tally, counts: Floats) -> dict[str, Floats]:
    """All `FIGURES` where unit j counts counts[i, j] times, for each draw i.

    Parameters
    ----------
    tallied : Tally
        Of the cells.
    counts : (d, n_units) ndarray of float64
        Of each draw.

    Returns
    -------
    dict of (d,) ndarray of float64
        NaN where a class, or what the figure is made of, is missing.
    """
    whole = counts @ tallied.sums
    n = dict(zip(_SUMS, whole.T, strict=False))
    out = _rank_figures(tallied, counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        out["sensitivity"] = n["called_abnormal"] / n["abnormal"]
        out["specificity"] = n["left_healthy"] / n["healthy"]
        out["balanced_accuracy"] = (out["sensitivity"] + out["specificity"]) / 2
        n_cells, n_decided = n["abnormal"] + n["healthy"], n["decided_abnormal"] + n["decided_healthy"]
        right = n["right_abnormal"] / n["decided_abnormal"], n["right_healthy"] / n["decided_healthy"]
        out["balanced_accuracy_decided"] = (right[0] + right[1]) / 2
        out["share_uncertain"] = 1 - n_decided / n_cells
        out["coverage"] = (n["covered_abnormal"] + n["covered_healthy"]) / n_cells
        out["coverage_healthy"] = n["covered_healthy"] / n["healthy"]
        out["coverage_abnormal"] = n["covered_abnormal"] / n["abnormal"]
        out["brier"], out["log_loss"] = n["brier"] / n["stated"], n["log_loss"] / n["stated"]
    first, second = tallied.n_bins
    of_width, of_count = np.split(whole[:, len(_SUMS) :], [4 * first], axis=1)
    bins = of_width.reshape(-1, 4, first).transpose(1, 0, 2)
    out["ece"], out["ece_balanced"] = bin_errors(*bins), bin_errors(*bins, balanced=True)
    out["ece_equal_count"] = bin_errors(*of_count.reshape(-1, 4, second).transpose(1, 0, 2))
    return {name: out[name] for name in FIGURES}


def _rank_figures(tallied: Tally, counts: Floats) -> dict[str, Floats]:
    names = ("auroc", "average_precision", "sensitivity_at_95_specificity")
    if not tallied.last.size:
        return {name: np.full(len(counts), np.nan) for name in names}
    times = counts[:, tallied.unit]
    taken = np.cumsum(times, axis=1)[:, tallied.last]
    hits = np.cumsum(times * tallied.positive, axis=1)[:, tallied.last]
    n_positive, n_negative = hits[:, -1:], taken[:, -1:] - hits[:, -1:]
    false = taken - hits
    new_hits, new_false = np.diff(hits, axis=1, prepend=0), np.diff(false, axis=1, prepend=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        area = (new_hits * (n_negative - false + new_false / 2)).sum(axis=1) / (n_positive * n_negative)[:, 0]
        precision = np.where(taken > 0, hits / taken, 0)
        mean_precision = (new_hits * precision).sum(axis=1) / n_positive[:, 0]
        allowed = false <= (1 - SPECIFICITY) * n_negative + 1e-9
        best = np.where(allowed, hits, 0).max(axis=1) / n_positive[:, 0]
    best = np.where(n_negative[:, 0] > 0, best, np.nan)
    return dict(zip(names, (area, mean_precision, best), strict=True))


def auroc(score: Floats, positive: Bools) -> float:
    """Area under the ROC curve: the chance that a positive scores over a negative, ties one half; NaN without both.

    Mann & Whitney 1947, Ann Math Stat 18:50; Hanley & McNeil 1982, Radiology 143:29.
    """
    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    rank_sum = float(rankdata(score)[positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def average_precision(score: Floats, positive: Bools) -> float:
    """Mean precision over the recall steps, equal scores taken together; NaN without positives.

    The sum of (R_n - R_{n-1}) P_n over falling scores, without interpolation.
    """
    if not positive.any():
        return float("nan")
    hits, taken = _steps(score, positive)
    return float((np.diff(hits, prepend=0) / hits[-1] * hits / taken).sum())


def roc_points(score: Floats, positive: Bools) -> tuple[Floats, Floats]:
    """1 - specificity and sensitivity at each cut, both rising from 0 to 1; empty where a class is missing."""
    if not positive.any() or positive.all():
        return np.empty(0), np.empty(0)
    hits, taken = _steps(score, positive)
    false = taken - hits
    return np.concatenate([[0], false / false[-1]]), np.concatenate([[0], hits / hits[-1]])


def precision_points(score: Floats, positive: Bools) -> tuple[Floats, Floats]:
    """Recall and precision at each cut, recall rising; empty without positives."""
    if not positive.any():
        return np.empty(0), np.empty(0)
    hits, taken = _steps(score, positive)
    return hits / hits[-1], hits / taken


def _steps(score: Floats, positive: Bools) -> tuple[Floats, Floats]:
    """Positives, and cells, at or over each distinct score, by falling score."""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)
    hits = np.cumsum(positive[order])[last]
    return hits.astype(np.float64), (np.flatnonzero(last) + 1).astype(np.float64)
