"""Pictures of how right verdicts are, written into a folder. Floor 6."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cellseg.evaluate.by_group import GroupedCells, rank_only
from cellseg.evaluate.verdict import precision_points, roc_points
from cellseg.io.atomic import atomic_path
from cellseg.report.verdict_plots import (
    BinnedShares,
    ClassDot,
    GroupValues,
    RankCurve,
    plot_calibration,
    plot_classes,
    plot_rank_curves,
    plot_values,
)
from cellseg.stages.evaluate import Row
from cellseg.stages.evaluate_verdict import VerdictReport
from cellseg.stages.judged_cells import JudgedTable


def write_verdict_plots(folder: Path, table: JudgedTable, report: VerdictReport) -> tuple[Path, ...]:
    """Write curves.png, calibration.png, classes.png (where classes have names) and probabilities.png into a folder.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    table : JudgedTable
        The cells.
    report : VerdictReport
        Of these cells.

    Raises
    ------
    CellsegError
        If the folder cannot be written.
    """
    pictures = {
        "curves": _curves(table, report),
        "calibration": _calibration(table, report),
        "probabilities": _values(table, report),
    }
    if report.classes:
        dots = [_dot(row) for row in sorted(report.classes, key=_by_side_and_share)]
        bounds = report.bounds.called_right, report.bounds.auroc
        pictures["classes"] = plot_classes(dots, bounds=bounds, title=f"{table.name}: true classes (cells)")
    for name, picture in pictures.items():
        with atomic_path(folder / f"{name}.png") as temporary:
            temporary.write_bytes(picture)
    return tuple(folder / f"{name}.png" for name in sorted(pictures))


def _by_side_and_share(row: Row) -> tuple[bool, float, str]:
    """Healthy classes first, then from the best called to the worst."""
    share = row["called_right"]
    return row["side"] == "abnormal", -(share if np.isfinite(share) else 2.0), row["class"]


def _curves(table: JudgedTable, report: VerdictReport) -> bytes:
    data = rank_only(table.data)
    parts = [(row, data.take(data.groups == row["group"])) for row in report.groups]
    if len(parts) > 1:
        parts.insert(0, (report.whole, data))
    curves = [
        [
            RankCurve(row["group"], *points(part.cells.score, part.cells.abnormal), figure=row[figure])
            for row, part in parts
        ]
        for points, figure in ((roc_points, "auroc"), (precision_points, "average_precision"))
    ]
    return plot_rank_curves(*curves, title=f"{table.name}: ranking of {data.groups.size:,} cells")


def _calibration(table: JudgedTable, report: VerdictReport) -> bytes:
    curve, over = report.curve, report.whole["interval_over"]
    bins = BinnedShares(
        curve.low, curve.high, curve.mean_probability, curve.share_abnormal, curve.share_low, curve.share_high,
        curve.n_cells - curve.n_abnormal, curve.n_abnormal,
    )  # fmt: skip
    error, brier = report.whole["ece"], report.whole["brier"]
    return plot_calibration(bins, error=error, brier=brier, over=over, title=f"{table.name}: calibration")


def _values(table: JudgedTable, report: VerdictReport) -> bytes:
    data = rank_only(table.data)
    stated = bool(np.isfinite(data.cells.probability).any())
    limits, decision, what = (0.0, 1.0), table.threshold, "probability of being abnormal"
    if not stated:
        low, high = np.quantile(data.cells.score, [0.005, 0.995]) if data.groups.size else (0.0, 1.0)
        limits, decision, what = (float(low), float(max(high, low + 1e-6))), None, "score, higher is more abnormal"
    groups = [_group_values(data, row) for row in report.groups]
    title = f"{table.name}: {'probabilities' if stated else 'scores'} by truth"
    return plot_values(groups, what=what, limits=limits, decision=decision, title=title)


def _group_values(data: GroupedCells, row: Row) -> GroupValues:
    own = data.groups == row["group"]
    sides = [data.cells.score[own & (data.cells.abnormal == side)] for side in (False, True)]
    balanced = row["balanced_accuracy"]
    said = f"{sides[0].size:,} and {sides[1].size:,} cells"
    said += "" if np.isnan(balanced) else f"; balanced accuracy {balanced:.2f}"
    return GroupValues(row["group"], sides[0], sides[1], said)


def _dot(row: Row) -> ClassDot:
    values = [(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in ("called_right", "auroc")]
    return ClassDot(row["class"], row["side"] == "abnormal", int(row["n_cells"]), row["weak"], *values)
