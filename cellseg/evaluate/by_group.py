"""Figures of verdicts by group, over groups and by class, as rows. Floor 3: arrays in, rows out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellseg.evaluate.clustered import Units, find_units, mean_of_draws, nan_mean, percentile_interval
from cellseg.evaluate.verdict import (
    FIGURES,
    LESS_IS_BETTER,
    JudgedCells,
    auroc,
    verdict_figures,
    verdict_intervals,
)

Row = dict[str, Any]
Names = NDArray[np.str_]


@dataclass(frozen=True)
class GroupedCells:
    """Judged cells and where they are from: `groups` (patient or slide), `samples`, `classes`; all (n,) str.

    `classes` are the true ones, such as stomatocyte; "" where they have no name.
    """

    cells: JudgedCells
    groups: Names
    samples: Names
    classes: Names

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> GroupedCells:
        """The cells of these rows."""
        return GroupedCells(self.cells.take(rows), self.groups[rows], self.samples[rows], self.classes[rows])

    @property
    def group_names(self) -> list[str]:
        """The groups, sorted."""
        return [str(name) for name in np.unique(self.groups)]


@dataclass(frozen=True)
class Draws:
    """Bootstrap draws of the 95 % intervals, and their seed."""

    n: int = 1000
    seed: int = 0


@dataclass(frozen=True)
class WeakBounds:
    """A class is weak when fewer of its cells are called right, or its AUROC against the healthy is under this."""

    called_right: float = 0.7
    auroc: float = 0.8


def figure_row(data: GroupedCells, name: str, draws: Draws, *, units: Units | None = None) -> Row:
    """One row: `group` (the name given), counts, `FIGURES`, their intervals, and what the intervals are over.

    Units of the bootstrap are groups, or samples inside of one group, or cells inside of one sample.
    """
    units = find_units(data.groups, data.samples) if units is None else units
    row: Row = {"group": name, "n_samples": int(np.unique(data.samples).size), **verdict_figures(data.cells)}
    intervals = verdict_intervals(data.cells, units, n_draws=draws.n, seed=draws.seed)
    return row | _with_ends(intervals) | {"interval_over": units.over}


def _with_ends(intervals: Mapping[str, tuple[float, float]]) -> Row:
    return {
        f"{name}_{end}": at for name, pair in intervals.items() for end, at in zip(("low", "high"), pair, strict=True)
    }


def group_rows(data: GroupedCells, draws: Draws) -> list[Row]:
    """One row a group, by name."""
    return [figure_row(data.take(data.groups == name), name, draws) for name in data.group_names]


def mean_row(rows: Sequence[Row], draws: Draws) -> Row:
    """The mean of each figure over the groups that have it, every group alike; intervals over groups.

    Parameters
    ----------
    rows : sequence of dict
        Of `group_rows`.
    """
    out: Row = {"group": "mean of groups", "n_groups": len(rows), **_total(rows)}
    for name in FIGURES:
        values = np.array([row[name] for row in rows], np.float64)
        out[name] = nan_mean(values)
        drawn = mean_of_draws(values, n_draws=draws.n, seed=draws.seed)
        out[f"{name}_low"], out[f"{name}_high"] = percentile_interval(drawn)
    return out | {"interval_over": "groups"}


def worst_row(rows: Sequence[Row]) -> Row:
    """The worst group of each figure: its value, and its name as `NAME_group` ("" where no group has the figure)."""
    out: Row = {"group": "worst group", "n_groups": len(rows)}
    for name in FIGURES:
        sign = -1 if name in LESS_IS_BETTER else 1
        known = [row for row in rows if np.isfinite(row[name])]
        worst = min(known, key=lambda row: sign * row[name], default={"group": "", name: float("nan")})
        out[name], out[f"{name}_group"] = worst[name], worst["group"]
    return out


def _total(rows: Sequence[Row]) -> Row:
    return {name: float(sum(row[name] for row in rows)) for name in ("n_cells", "n_abnormal", "n_excluded")}


def class_rows(data: GroupedCells, draws: Draws, bounds: WeakBounds | None = None) -> list[Row]:
    """One row a true class, healthy ones first, then by falling number of cells; excluded cells are only counted.

    `called_right` is the share of its cells that the default decision calls what they are: sensitivity of an abnormal
    class, specificity of a healthy one. `auroc` ranks an abnormal class against all healthy cells, `auroc_in_groups`
    against those of its own group (mean of groups, weighted by the class's cells); NaN for healthy classes. Intervals
    are over the groups that the class is in, or samples, or cells, where it is in one.
    """
    bounds = WeakBounds() if bounds is None else bounds
    names = [name for name in np.unique(data.classes).tolist() if name]
    rows = [_class_row(data, name, draws, bounds) for name in names]
    return sorted(rows, key=lambda row: (row["side"] == "abnormal", -row["n_cells"], row["class"]))


def _class_row(data: GroupedCells, name: str, draws: Draws, bounds: WeakBounds) -> Row:
    own = data.take(data.classes == name)
    judged = own.take(own.cells.judged)
    is_abnormal = bool(own.cells.abnormal[0])
    against = data.take((data.classes == name) | (data.cells.abnormal != is_abnormal))
    over = find_units(judged.groups, judged.samples).over
    units = _units_over(against, over)
    found = verdict_figures(against.cells)
    intervals = verdict_intervals(against.cells, units, n_draws=draws.n, seed=draws.seed)
    right = "sensitivity" if is_abnormal else "specificity"
    row: Row = {
        "class": name,
        "side": "abnormal" if is_abnormal else "healthy",
        "n_cells": float(judged.groups.size),
        "n_excluded": float(own.groups.size - judged.groups.size),
        "n_groups": int(np.unique(judged.groups).size),
        "called_right": found[right],
        "called_right_low": intervals[right][0],
        "called_right_high": intervals[right][1],
        "share_uncertain": nan_mean((~judged.cells.decided).astype(np.float64)),
        "coverage": found["coverage_abnormal" if is_abnormal else "coverage_healthy"],
    }
    nan = float("nan")
    row["auroc"], ends = (found["auroc"], intervals["auroc"]) if is_abnormal else (nan, (nan, nan))
    row["auroc_low"], row["auroc_high"] = ends
    row["auroc_in_groups"] = _auroc_in_groups(against) if is_abnormal else nan
    weak = row["called_right"] < bounds.called_right or row["auroc"] < bounds.auroc
    return row | {"weak": bool(weak), "interval_over": over}


def _units_over(data: GroupedCells, over: str) -> Units:
    if over == "cells":
        return Units(np.arange(data.groups.size), int(data.groups.size), "cells")
    blind = np.full(data.groups.size, "")
    return find_units(data.groups if over == "groups" else blind, data.samples)


def _auroc_in_groups(against: GroupedCells) -> float:
    """Mean AUROC of a class against the healthy cells of its own group, weighted by the class's cells in it."""
    known = against.cells.judged & np.isfinite(against.cells.score)
    areas, weights = [], []
    for group in against.group_names:
        rows = known & (against.groups == group)
        area = auroc(against.cells.score[rows], against.cells.abnormal[rows])
        if np.isfinite(area):
            areas.append(area)
            weights.append(int(against.cells.abnormal[rows].sum()))
    return float(np.average(areas, weights=weights)) if areas else float("nan")


def rank_only(data: GroupedCells) -> GroupedCells:
    """The judged cells that have a score, which curves are made of."""
    return data.take(data.cells.judged & np.isfinite(data.cells.score))
