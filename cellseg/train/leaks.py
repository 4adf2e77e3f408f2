"""Whether a model has learnt the slide and not the cell: random splits, telling columns, permutations. Floor 4."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from cellseg.classify_config import TrainClassifierSettings
from cellseg.evaluate.verdict import auroc
from cellseg.train.margins import MarginFits, TrainingCells, fit_margins, left_out_margins, splits_of
from cellseg.types import Progress, silent

_LEAST_CELLS = 10
"""Cells that a group needs for columns to be asked to tell it."""
_MOST_CELLS = 200
"""Cells of a group that they are asked about."""


@dataclass(frozen=True)
class GroupColumn:
    """A column that tells the group of a cell.

    `accuracy` is the balanced accuracy of a tree on this column alone, cross-validated; `between` the share of the
    variance of its ranks that lies between groups (1: it is constant inside of each).
    """

    name: str
    accuracy: float
    between: float


@dataclass(frozen=True)
class LeakReport:
    """AUROC of cells left out at random and of groups left out; of all cells pooled, and as mean of the groups' own.

    `columns` tell the group almost alone, worst first; `warnings` are sentences, none where nothing is suspicious.
    """

    random_auroc: float
    grouped_auroc: float
    random_auroc_by_group: float
    grouped_auroc_by_group: float
    columns: tuple[GroupColumn, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Permutations:
    """AUROC of groups left out (mean of the groups'), of true labels and of labels shuffled inside of each group.

    `low` and `high` hold the central 95 % of `permuted` (r,) float64; `p_value` is the share of shuffles, the truth
    counted as one, that reach the true figure (Ojala & Garriga 2010, JMLR 11:1833).
    """

    auroc: float
    permuted: NDArray[np.float64]
    low: float
    high: float
    p_value: float


def mean_auroc(margin: NDArray[np.float64], abnormal: NDArray[np.bool_], groups: NDArray[np.str_]) -> float:
    """AUROC inside of each group that has both classes, averaged over groups; NaN without such a group.

    Cells without a finite margin are not looked at.
    """
    known = np.isfinite(margin)
    found = []
    for name in np.unique(groups[known]).tolist():
        rows = known & (groups == name)
        found.append(auroc(margin[rows], abnormal[rows]))
    finite = [value for value in found if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def leak_check(
    cells: TrainingCells,
    settings: TrainClassifierSettings,
    *,
    made: MarginFits | None = None,
    workers: int = 1,
    progress: Progress = silent,
) -> LeakReport:
    """Compare cells left out at random with groups left out, and name columns that tell the group.

    A model that leans on what tells the slide is good at the former and poor at the latter.

    Parameters
    ----------
    cells : TrainingCells
        Labelled cells with groups.
    settings : TrainClassifierSettings
        As of `fit_classifier`, with `leak_gap` and `leak_accuracy`.
    made, workers, progress
        As of `fit_classifier`.
    """
    rows = np.arange(cells.abnormal.size)
    at_random = replace_groups(settings)
    folds = {
        "grouped": splits_of(cells, rows, settings, settings.max_folds),
        "random": splits_of(cells, rows, at_random, settings.random_folds),
    }
    # how groups are named matters to no fit but for balance and selection, which are the same for both
    row_sets = [split.train for splits in folds.values() for split in splits]
    made = fit_margins(cells, row_sets, settings, made=made, workers=workers, progress=progress)
    margin = {name: left_out_margins(cells, splits, made) for name, splits in folds.items()}
    # cells that no group fold tests would make the two figures differ
    margin["random"][~np.isfinite(margin["grouped"])] = np.nan
    known = np.isfinite(margin["grouped"])
    pooled = {name: auroc(found[known], cells.abnormal[known]) for name, found in margin.items()}
    own = {name: mean_auroc(found, cells.abnormal, cells.groups) for name, found in margin.items()}
    columns = group_columns(cells, settings)
    report = LeakReport(pooled["random"], pooled["grouped"], own["random"], own["grouped"], columns, ())
    return replace(report, warnings=_warnings(report, settings.leak_gap))


def replace_groups(settings: TrainClassifierSettings) -> TrainClassifierSettings:
    """The same settings, with rows parted at random."""
    return settings.model_copy(update={"groups": "cells_are_independent"})


def _warnings(report: LeakReport, gap: float) -> tuple[str, ...]:
    out = []
    for what, at_random, grouped in (
        ("all cells", report.random_auroc, report.grouped_auroc),
        ("cells of one group", report.random_auroc_by_group, report.grouped_auroc_by_group),
    ):
        if at_random - grouped > gap:
            out.append(
                f"ranking {what}, AUROC is {at_random:.2f} where cells are left out at random and {grouped:.2f} where "
                "whole groups are: the model leans on what tells the group, and only the latter holds for a new slide"
            )
    named = (
        f"column {column.name} tells the group of a cell by itself (balanced accuracy {column.accuracy:.2f}, "
        f"{column.between:.0%} of its spread lies between groups): leave it out by the setting without, unless it is "
        "known to mean the cell"
        for column in report.columns
    )
    return (*out, *named)


def group_columns(cells: TrainingCells, settings: TrainClassifierSettings) -> tuple[GroupColumn, ...]:
    """The columns that tell the group of a cell almost alone, worst first.

    Each column is asked by a small decision tree (Breiman et al. 1984, Classification and Regression Trees), fitted on
    one half of the cells and tried on the other, and by how much of its ranks' variance lies between groups (Kruskal &
    Wallis 1952, JASA 47:583). At most 200 cells of each group with 10 or more are looked at.
    """
    rows = _even_draw(cells.groups, settings.seed)
    names, code = np.unique(cells.groups[rows], return_inverse=True)
    if names.size < 2:
        return ()
    matrix = cells.seen(rows, cells.travel_of(np.arange(cells.abnormal.size)))
    found = []
    for column, values in enumerate(matrix.T):
        # what was not measured ranks first
        ranks = rankdata(np.where(np.isfinite(values), values, -np.inf))
        between, accuracy = _between(ranks, code), _tree_accuracy(ranks, code, settings.seed)
        if max(between, accuracy) >= settings.leak_accuracy:
            name, relative = cells.feature(column)
            found.append(GroupColumn(f"{name} relative to the slide" if relative else name, accuracy, between))
    return tuple(sorted(found, key=lambda column: (-max(column.accuracy, column.between), column.name)))


def _even_draw(groups: NDArray[np.str_], seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(seed)
    drawn = [np.empty(0, np.int64)]
    for name in np.unique(groups).tolist():
        rows = np.flatnonzero(groups == name)
        if rows.size >= _LEAST_CELLS:
            drawn.append(np.sort(rng.permutation(rows)[:_MOST_CELLS]))
    return np.concatenate(drawn)


def _between(ranks: NDArray[np.float64], code: NDArray[np.int64]) -> float:
    """Share of the variance of ranks that lies between groups."""
    total = ranks.var()
    if not total:
        return 0.0
    sizes = np.bincount(code)
    means = np.bincount(code, ranks) / sizes
    return float(sizes @ (means - ranks.mean()) ** 2 / code.size / total)


def _tree_accuracy(ranks: NDArray[np.float64], code: NDArray[np.int64], seed: int) -> float:
    """Balanced accuracy, mean of two halves, of telling groups by one column."""
    from sklearn.model_selection import StratifiedKFold
    from sklearn.tree import DecisionTreeClassifier

    n_groups = int(code.max()) + 1
    column = ranks[:, None]
    shares = []
    for train, test in StratifiedKFold(2, shuffle=True, random_state=seed).split(column, code):
        tree = DecisionTreeClassifier(max_leaf_nodes=2 * n_groups, class_weight="balanced", random_state=seed)
        right = tree.fit(column[train], code[train]).predict(column[test]) == code[test]
        shares.append(np.mean([right[code[test] == group].mean() for group in range(n_groups)]))
    return float(np.mean(shares))


def permutation_test(
    cells: TrainingCells,
    settings: TrainClassifierSettings,
    n: int,
    *,
    made: MarginFits | None = None,
    workers: int = 1,
    progress: Progress = silent,
) -> Permutations:
    """Left-out AUROC when labels are shuffled inside of each group, `n` times: 0.5, unless the validation itself leaks.

    Parameters
    ----------
    cells : TrainingCells
        Labelled cells.
    settings : TrainClassifierSettings
        As of `fit_classifier`.
    n : int
        Shuffles, 1 or more.
    made : dict, optional
        Fits of the true labels that exist.
    workers, progress
        As of `fit_classifier`.
    """
    rng = np.random.default_rng(settings.seed)
    true = _left_out_auroc(cells, settings, made=made, workers=workers)
    permuted = np.empty(n)
    for at in range(n):
        order = _shuffled_within(cells.groups if settings.groups == "required" else None, cells.abnormal.size, rng)
        shuffled = replace(cells, abnormal=cells.abnormal[order], classes=cells.classes[order])
        permuted[at] = _left_out_auroc(shuffled, settings, workers=workers)
        progress(at + 1, n)
    low, high = np.quantile(permuted, [0.025, 0.975]).tolist()
    return Permutations(true, permuted, low, high, float((1 + (permuted >= true).sum()) / (n + 1)))


def _left_out_auroc(
    cells: TrainingCells, settings: TrainClassifierSettings, *, made: MarginFits | None = None, workers: int = 1
) -> float:
    splits = splits_of(cells, np.arange(cells.abnormal.size), settings, settings.max_folds)
    made = fit_margins(cells, (split.train for split in splits), settings, made=made, workers=workers)
    margin = left_out_margins(cells, splits, made)
    known = np.isfinite(margin)
    if settings.groups == "required":
        return mean_auroc(margin, cells.abnormal, cells.groups)
    return auroc(margin[known], cells.abnormal[known])


def _shuffled_within(groups: NDArray[np.str_] | None, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows in another order that leaves each in its group."""
    if groups is None:
        return rng.permutation(n)
    order = np.arange(n)
    for name in np.unique(groups).tolist():
        rows = np.flatnonzero(groups == name)
        order[rows] = rng.permutation(rows)
    return order
