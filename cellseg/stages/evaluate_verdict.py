"""How right verdicts are, by group and class: rows and text of cells with a true class. Floor 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellseg.evaluate.by_group import (
    Draws,
    WeakBounds,
    class_rows,
    figure_row,
    group_rows,
    mean_row,
    worst_row,
)
from cellseg.evaluate.calibration import CalibrationCurve, calibration_curve, equal_width_edges
from cellseg.evaluate.clustered import find_units
from cellseg.evaluate.permutation import Permuted, permuted_auroc
from cellseg.evaluate.verdict import FIGURES
from cellseg.stages.evaluate import Row, format_rows
from cellseg.stages.judged_cells import JudgedTable, VerdictCase, read_cases

_SHORT = {
    "average_precision": "avg_precision", "balanced_accuracy": "balanced_acc",
    "sensitivity_at_95_specificity": "sens@95spec", "balanced_accuracy_decided": "balanced_acc_decided",
    "ece_equal_count": "ece_equal_n", "coverage_healthy": "cov_healthy", "coverage_abnormal": "cov_abnormal",
}  # fmt: skip
"""Heads of columns in the printed tables, which are wide."""
_FIRST = FIGURES[:6]
_SECOND = ("share_uncertain", "balanced_accuracy_decided", "coverage", "coverage_healthy", "coverage_abnormal")
_THIRD = ("ece", "ece_equal_count", "ece_balanced", "brier", "log_loss")
_OF_CLASS = (
    "class", "side", "n_cells", "n_excluded", "n_groups", "called_right", "auroc", "auroc_in_groups",
    "share_uncertain", "coverage", "interval_over", "weak",
)  # fmt: skip


@dataclass(frozen=True)
class VerdictReport:
    """Rows: `groups`, one each; `whole`, all cells as one; `mean` and `worst` of two groups or more; `classes`.

    `curve` is what probabilities of all cells promise and what comes, with intervals as of `whole`; `permuted` what the
    ranking would reach by chance; `bounds` say which classes are weak, `notes` what was left out.
    """

    groups: list[Row]
    whole: Row
    mean: Row | None
    worst: Row | None
    classes: list[Row]
    curve: CalibrationCurve
    permuted: Permuted
    bounds: WeakBounds
    notes: tuple[str, ...]


def evaluate_verdict(
    cases: Sequence[VerdictCase], *, threshold: float = 0.5, n_draws: int = 1000, seed: int = 0
) -> list[Row]:
    """How well verdicts part abnormal from healthy cells that match truth at IoU >= `threshold`, one row a group.

    Each row has `group`, `n_images`, and the figures of `cellseg.evaluate.verdict` with their intervals over images, or
    over cells where a group has one image (`interval_over` says which).

    Raises
    ------
    LabelError, TableError
        If a file cannot be read or lacks a column.
    """
    data = read_cases(cases, iou=threshold).data
    draws = Draws(n_draws, seed)
    rows = []
    for name in sorted({case.group for case in cases}):
        own = [case.group == name for case in cases]
        part = data.take(data.groups == name)
        row = figure_row(part, name, draws, units=find_units(np.full(part.groups.size, ""), part.samples))
        over = "images" if row["interval_over"] == "samples" else "cells"
        rows.append({"group": name, "n_images": sum(own), **row, "interval_over": over})
    return rows


def report_verdict(
    table: JudgedTable, *, draws: Draws | None = None, bounds: WeakBounds | None = None
) -> VerdictReport:
    """All figures of judged cells: by group, over groups, by class, and by chance.

    Parameters
    ----------
    table : JudgedTable
        Of `cellseg.stages.judged_cells`; one cell at least.
    draws : Draws, optional
        Bootstrap draws of the intervals, shuffles of the labels, and their seed.
    bounds : WeakBounds, optional
        Which classes are called weak.
    """
    draws = Draws() if draws is None else draws
    bounds = WeakBounds() if bounds is None else bounds
    data = table.data
    groups = group_rows(data, draws)
    several = len(groups) > 1
    judged = data.take(data.cells.judged)
    cells, units = judged.cells, find_units(judged.groups, judged.samples)
    return VerdictReport(
        groups=groups,
        whole=figure_row(data, "all cells", draws),
        mean=mean_row(groups, draws) if several else None,
        worst=worst_row(groups) if several else None,
        classes=class_rows(data, draws, bounds),
        curve=calibration_curve(
            cells.probability, cells.abnormal, units, equal_width_edges(), n_draws=draws.n, seed=draws.seed
        ),
        permuted=permuted_auroc(cells.score, cells.abnormal, judged.groups, draws.n, draws.seed),
        bounds=bounds,
        notes=table.notes,
    )


def report_rows(report: VerdictReport) -> list[Row]:
    """All rows of a report, for JSON; `part` is group, all, mean, worst, class, bin (calibration) or shuffled."""
    parts = [("group", row) for row in report.groups]
    if report.mean is not None and report.worst is not None:
        parts += [("all", report.whole), ("mean", report.mean), ("worst", report.worst)]
    bounds = {"weak_under_called_right": report.bounds.called_right, "weak_under_auroc": report.bounds.auroc}
    n_bins = report.curve.low.size
    parts += [("class", row | bounds) for row in report.classes]
    parts += [("bin", {name: column[at].item() for name, column in vars(report.curve).items()}) for at in range(n_bins)]
    parts += [("shuffled", {"group": "labels shuffled", **report.permuted._asdict()})]
    return [{"part": part, **row} for part, row in parts]


def format_verdict(report: VerdictReport) -> str:
    """A report as text: ranking and decision, certainty, calibration, classes, chance, and what was left out."""
    rows = list(report.groups)
    if report.mean is not None and report.worst is not None:
        rows += [report.whole, report.mean, _worst_as_text(report.worst)]
    tables = [
        ("Ranking and default decision", ("n_cells", "n_abnormal", "n_excluded", *_FIRST, "interval_over")),
        ("Uncertain cells and coverage of the truth", ("n_cells", *_SECOND)),
        ("Calibration", ("n_cells", *_THIRD)),
    ]
    shown = [
        f"{title}\n{format_rows([_shortened(row) for row in rows], ['group', *(_SHORT.get(n, n) for n in names)])}"
        for title, names in tables
    ]
    if report.classes:
        bounds = report.bounds
        shown.append(
            f"Classes (weak: under {bounds.called_right:g} called right, or AUROC under {bounds.auroc:g})\n"
            + format_rows([row | {"weak": "weak" if row["weak"] else ""} for row in report.classes], _OF_CLASS)
        )
    return "\n\n".join([*shown, "\n".join([_chance(report.permuted), *report.notes])])


def _shortened(row: Row) -> Row:
    out = {}
    for name, value in row.items():
        for end in ("", "_low", "_high"):
            if name.endswith(end) and name.removesuffix(end) in _SHORT:
                name = _SHORT[name.removesuffix(end)] + end
        out[name] = value
    return out


def _worst_as_text(row: Row) -> Row:
    """`0.731 e`: the value and the group that it is of."""
    values = {name: f"{row[name]:.3f} {row[f'{name}_group']}" if row[f"{name}_group"] else "-" for name in FIGURES}
    return {"group": row["group"], **values}


def _chance(permuted: Permuted) -> str:
    if np.isnan(permuted.observed):
        return "No group has both healthy and abnormal cells with a score: nothing to shuffle."
    return (
        f"Mean AUROC of groups {permuted.observed:.3f}; with labels shuffled inside of groups {permuted.mean:.3f} "
        f"({permuted.low:.3f}-{permuted.high:.3f}), p = {permuted.p_value:.2g}"
    )
