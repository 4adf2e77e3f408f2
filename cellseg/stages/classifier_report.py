"""What is told of a model's test on groups held out from everything: figures, table and lines. Floor 6."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.classify_config import TrainClassifierSettings
from cellseg.columns.predictions import PREDICTION_COLUMNS
from cellseg.evaluate.calibration import expected_calibration_error
from cellseg.evaluate.verdict import auroc
from cellseg.io.table import schema_of
from cellseg.stages.training_cells import ReadCells
from cellseg.train.classifier import LeftOut
from cellseg.train.leaks import LeakReport, Permutations

Figures = dict[str, float]


def held_out_table(read: ReadCells, out: LeftOut, settings: TrainClassifierSettings) -> pa.Table:
    """`PREDICTION_COLUMNS` of the cells that a fold tested, in the order of `read`."""
    rows = np.flatnonzero(out.fold >= 0)
    plausible, called = out.plausible[rows], out.called[rows]
    alone = plausible.sum(axis=1) == 1
    status = np.full(rows.size, "uncertain", dtype="<U9")
    status[alone & plausible[:, 0] & ~called] = "healthy"
    status[alone & plausible[:, 1] & called] = "abnormal"
    columns: dict[str, Any] = {
        "sample": read.sample[rows].tolist(),
        "cell_id": read.cell_id[rows],
        "group": read.cells.groups[rows].tolist(),
        "class": read.cells.classes[rows].tolist(),
        "abnormal": read.cells.abnormal[rows],
        "abnormal_probability": out.probability[rows],
        "abnormal_score": out.margin[rows],
        "threshold": out.threshold[rows],
        "status": status.tolist(),
        "healthy_plausible": plausible[:, 0],
        "abnormal_plausible": plausible[:, 1],
    }
    schema = schema_of(PREDICTION_COLUMNS)
    return pa.table({name: pa.array(columns[name], schema.field(name).type) for name in schema.names}, schema=schema)


def held_out_figures(read: ReadCells, out: LeftOut, settings: TrainClassifierSettings) -> dict[str, Any]:
    """AUROC, decisions, coverage and calibration on held-out groups: of each, of each class, their mean and worst.

    Keys: `groups` (name -> figures), `mean` and `worst` of the groups that have the figure, `pooled` of all cells,
    `classes` (name -> cells, share called rightly, share whose conformal set holds the truth), `calibration_error` (of
    all cells, both classes alike where the prior is 1/2).
    """
    rows = out.fold >= 0
    named = settings.groups == "required"
    groups = read.cells.groups if named else np.full(rows.size, "all")
    own = {name: _figures(read, out, rows & (groups == name), settings) for name in _names(groups[rows])}
    fine = read.cells.classes
    classes = {name: _of_class(read, out, rows & (fine == name), settings) for name in _names(fine[rows])}
    return {
        "groups": own,
        "mean": _over(own, np.mean),
        "worst": _over(own, np.min),
        "pooled": _figures(read, out, rows, settings),
        "classes": classes,
        "calibration_error": expected_calibration_error(
            out.probability[rows], read.cells.abnormal[rows], balanced=settings.prior == 0.5
        ),
    }


def _names(values: NDArray[np.str_]) -> list[str]:
    return [str(name) for name in np.unique(values)]


def _figures(read: ReadCells, out: LeftOut, rows: NDArray[np.bool_], settings: TrainClassifierSettings) -> Figures:
    """Figures of some cells; NaN where a class is missing."""
    abnormal, called = read.cells.abnormal[rows], out.called[rows]
    covered = np.where(abnormal, out.plausible[rows, 1], out.plausible[rows, 0])
    sensitivity, specificity = _share(called[abnormal]), _share(~called[~abnormal])
    return {
        "n_cells": float(abnormal.size),
        "n_abnormal": float(abnormal.sum()),
        "auroc": auroc(out.margin[rows], abnormal),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "accuracy": _share(called == abnormal),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "coverage": _share(covered),
        "coverage_abnormal": _share(covered[abnormal]),
        "coverage_healthy": _share(covered[~abnormal]),
        "uncertain": _share(out.plausible[rows].sum(axis=1) != 1),
    }


def _of_class(read: ReadCells, out: LeftOut, rows: NDArray[np.bool_], settings: TrainClassifierSettings) -> Figures:
    figures = _figures(read, out, rows, settings)
    return {
        "n_cells": figures["n_cells"],
        "abnormal": float(figures["n_abnormal"] > 0),
        "right": figures["accuracy"],
        "coverage": figures["coverage"],
        "uncertain": figures["uncertain"],
    }


def _share(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if values.size else math.nan


def _over(own: Mapping[str, Figures], figure: Any) -> Figures:  # noqa: ANN401 - np.mean or np.min
    """A figure over groups, of those that have it."""
    names = ("auroc", "balanced_accuracy", "sensitivity", "specificity", "coverage", "uncertain")
    found = {name: [one[name] for one in own.values() if math.isfinite(one[name])] for name in names}
    return {name: float(figure(values)) if values else math.nan for name, values in found.items()}


def leak_figures(report: LeakReport) -> dict[str, Any]:
    """The report of `leak_check` as plain values."""
    return asdict(report)


def permutation_figures(found: Permutations) -> dict[str, Any]:
    """The permutation test as plain values."""
    return {
        "n": int(found.permuted.size), "auroc": found.auroc, "permuted_mean": float(found.permuted.mean()),
        "permuted_low": found.low, "permuted_high": found.high, "p_value": found.p_value,
    }  # fmt: skip


def without_nan(value: Any) -> Any:  # noqa: ANN401 - any plain value
    """The same values with None for what is not finite, which JSON has no word for."""
    if isinstance(value, Mapping):
        return {str(key): without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def format_report(report: Mapping[str, Any]) -> str:
    """The report in lines for a terminal: groups, their mean and worst, classes from weak to strong, warnings."""
    lines = [
        f"{report['n_cells']} cells, {report['n_abnormal']} abnormal, {report['n_groups']} groups, "
        f"{report['n_features']} features; {report['n_excluded']} labelled cells cannot be judged and were left out"
    ]
    if held_out := report.get("held_out"):
        lines += _held_out_lines(held_out, report["settings"]["coverage"])
    if leaks := report.get("leaks"):
        lines.append(
            f"leaks: AUROC {_text(leaks['random_auroc'])} with cells left out at random, "
            f"{_text(leaks['grouped_auroc'])} with groups left out; inside of groups "
            f"{_text(leaks['random_auroc_by_group'])} and {_text(leaks['grouped_auroc_by_group'])}"
        )
        lines += [f"WARNING: {text}" for text in leaks["warnings"]]
    if shuffled := report.get("permutations"):
        lines.append(
            f"labels shuffled {shuffled['n']} times: AUROC {_text(shuffled['permuted_mean'])} "
            f"({_text(shuffled['permuted_low'])}-{_text(shuffled['permuted_high'])}), true labels "
            f"{_text(shuffled['auroc'])}, p {_text(shuffled['p_value'])}"
        )
    return "\n".join([*lines, *(f"note: {text}" for text in report["notes"])])


def _held_out_lines(held_out: Mapping[str, Any], coverage: float) -> list[str]:
    columns = ("auroc", "balanced_accuracy", "sensitivity", "specificity", "coverage", "uncertain")
    width = max(len(name) for name in [*held_out["groups"], "worst", "group"])
    lines = [f"{'group':{width}}  " + "  ".join(f"{name:>17}" for name in ("cells", *columns))]
    for name, one in held_out["groups"].items():
        cells = [f"{one['n_cells']:17.0f}", *(f"{_text(one[column]):>17}" for column in columns)]
        lines.append(f"{name:{width}}  " + "  ".join(cells))
    for name in ("mean", "worst"):
        cells = [" " * 17, *(f"{_text(held_out[name][column]):>17}" for column in columns)]
        lines.append(f"{name:{width}}  " + "  ".join(cells))
    pooled = held_out["pooled"]
    lines.append(
        f"held-out coverage {_text(pooled['coverage'])} of {coverage:g} asked (abnormal "
        f"{_text(pooled['coverage_abnormal'])}, healthy {_text(pooled['coverage_healthy'])}); accuracy "
        f"{_text(pooled['accuracy'])}; calibration error {_text(held_out['calibration_error'])}"
    )
    weakest = sorted(held_out["classes"].items(), key=lambda item: (item[1]["right"], item[0]))
    said = ", ".join(f"{name} {_text(one['right'])} of {one['n_cells']:.0f}" for name, one in weakest)
    return [*lines, f"called rightly, by class: {said}"]


def _text(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.3f}"
