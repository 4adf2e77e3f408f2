"""How well verdicts part abnormal from healthy cells. Floor 3: arrays only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from cellseg.evaluate.matching import Matching


class JudgedCells(NamedTuple):
    """Cells that have a true class and a verdict, in one order.

    `abnormal` (N,) bool, the truth; `score` (N,) float, higher is more abnormal, NaN where there is none; `called` (N,)
    bool, the verdict was abnormal; `judged` (N,) bool, false for excluded cells.
    """

    abnormal: NDArray[np.bool_]
    score: NDArray[np.float64]
    called: NDArray[np.bool_]
    judged: NDArray[np.bool_]

    def take(self, index: NDArray[np.int64]) -> JudgedCells:
        """The cells at these places."""
        return JudgedCells(self.abnormal[index], self.score[index], self.called[index], self.judged[index])


def pair_verdicts(
    matching: Matching,
    true_ids: NDArray[np.uint32],
    true_abnormal: NDArray[np.bool_],
    cell_ids: NDArray[np.uint32],
    score: NDArray[np.float64],
    status: NDArray[np.str_],
) -> JudgedCells:
    """Truth and verdict of the cells that a matching pairs; ids that either table lacks are left out.

    Parameters
    ----------
    matching : Matching
        True and predicted cells, one to one.
    true_ids, true_abnormal : (T,) ndarray
        The truth table.
    cell_ids, score, status : (P,) ndarray
        The cells table.
    """
    true_at = {int(number): at for at, number in enumerate(true_ids)}
    cell_at = {int(number): at for at, number in enumerate(cell_ids)}
    pairs = [
        (true_at[int(true)], cell_at[int(predicted)])
        for true, predicted in zip(matching.true_ids, matching.predicted_ids, strict=True)
        if int(true) in true_at and int(predicted) in cell_at
    ]
    t, p = np.array(pairs, np.int64).reshape(-1, 2).T
    return JudgedCells(
        true_abnormal[t].astype(bool), score[p].astype(np.float64), status[p] == "abnormal", status[p] != "excluded"
    )


def verdict_figures(cells: JudgedCells) -> dict[str, float]:
    """AUROC, average precision, sensitivity, specificity and balanced accuracy of the judged cells.

    Excluded cells are counted (`n_excluded`) and left out; the two figures of the score also leave out cells without
    one. A verdict `uncertain` is not a call of abnormal. NaN where a class is missing.
    """
    judged = cells.take(np.flatnonzero(cells.judged))
    scored = np.isfinite(judged.score)
    sensitivity = _share(judged.called[judged.abnormal])
    specificity = _share(~judged.called[~judged.abnormal])
    return {
        "n_cells": float(judged.abnormal.size),
        "n_abnormal": float(judged.abnormal.sum()),
        "n_excluded": float((~cells.judged).sum()),
        "auroc": auroc(judged.score[scored], judged.abnormal[scored]),
        "average_precision": average_precision(judged.score[scored], judged.abnormal[scored]),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "balanced_accuracy": (sensitivity + specificity) / 2,
    }


def auroc(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the chance that a positive scores over a negative, ties one half; NaN without both.

    Mann & Whitney 1947, Ann Math Stat 18:50; Hanley & McNeil 1982, Radiology 143:29.
    """
    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    rank_sum = float(rankdata(score)[positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def average_precision(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Mean precision over the recall steps, equal scores taken together; NaN without positives.

    The sum of (R_n - R_{n-1}) P_n over falling scores, without interpolation.
    """
    n_positive = int(positive.sum())
    if not n_positive:
        return float("nan")
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(positive[order])
    last_of_equals = np.append(np.diff(score[order]) != 0, True)
    hits, taken = hits[last_of_equals], (np.flatnonzero(last_of_equals) + 1)
    return float((np.diff(hits, prepend=0) / n_positive * hits / taken).sum())


def _share(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if values.size else float("nan")
