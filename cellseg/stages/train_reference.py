"""A healthy reference from labelled cells: fitted on the healthy ones, tested on groups that it never saw. Floor 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg import __version__
from cellseg.classify.discovery import call_slide
from cellseg.classify.reference import ReferenceFit
from cellseg.classify_config import ReferenceSettings, TrainClassifierSettings
from cellseg.columns.predictions import REFERENCE_PREDICTION_COLUMNS
from cellseg.errors import ConfigError
from cellseg.evaluate.verdict import auroc
from cellseg.io.atomic import write_json
from cellseg.io.table import TableWriter, schema_of
from cellseg.stages.classifier_report import without_nan
from cellseg.stages.train_classifier import LabelledTables
from cellseg.stages.training_cells import ClassTable, ReadCells, read_class_table, read_training_cells
from cellseg.train.grouped import Split, check_groups, grouped_splits, random_splits
from cellseg.train.margins import TrainingCells
from cellseg.train.reference import draw_evenly, fit_healthy
from cellseg.types import Progress, Stain, silent


@dataclass(frozen=True)
class ReferenceRequest:
    """Labelled cells, where to write, and how to fit and test.

    `train_only_groups` are never tested; `independent_rows` says that rows are patients, parted in ten at random;
    `test` turns the test off; `command` is written into the file.
    """

    source: LabelledTables | ClassTable
    out: Path
    settings: ReferenceSettings = field(default_factory=ReferenceSettings)
    stain: Stain = "he"
    train_only_groups: tuple[str, ...] = ()
    independent_rows: bool = False
    test: bool = True
    command: str = ""


def train_reference(request: ReferenceRequest, *, progress: Progress = silent) -> dict[str, Any]:
    """Fit a reference on the cells labelled healthy; writes it, and what it says of groups that it never saw.

    For labs without a slide that is healthy throughout. The file is as of `fit_reference`, with the figures of the test
    under `held_out_figures`; beside it lies `NAME.predictions.parquet`, which `cellseg evaluate verdict` reads.

    Parameters
    ----------
    request : ReferenceRequest
        Cells, output, settings.
    progress : callable
        Called with (fits done, fits in all).

    Returns
    -------
    dict
        What was written.

    Raises
    ------
    ConfigError
        If groups do not allow an honest test, or the healthy cells, or those without one group, make no usable
        reference; the message says why.
    TableError
        If a table cannot be read, or a labelled cell has no measurements.
    """
    if request.out.suffix != ".json":
        raise ConfigError(f"{request.out}: a reference is written to a name that ends in .json; change the name")
    read = _read(request)
    cells = read.cells
    if not request.independent_rows:
        check_groups(cells.groups, request.train_only_groups, cells.where)
    fit = _fit(cells, np.arange(cells.abnormal.size), request)
    fit = replace(fit, left_out=dict(fit.left_out) | dict.fromkeys(read.missing, "not measured in every table"))
    record = fit.to_dict() | {
        "samples": _by_group(cells),
        "version": __version__,
        "command": request.command,
        "settings": _used(request),
        "n_excluded": read.n_excluded,
    }
    if request.test:
        table, figures = _held_out(read, request, progress)
        record["held_out_figures"] = figures
        with TableWriter(request.out.with_suffix(".predictions.parquet"), REFERENCE_PREDICTION_COLUMNS) as writer:
            writer.write(table)
    record = dict(without_nan(record))
    write_json(request.out, record)
    return record


def _used(request: ReferenceRequest) -> dict[str, Any]:
    """The sections of settings that were used; a table of features and classes is taken as it is."""
    sections: dict[str, Any] = {"reference": request.settings.model_dump(mode="json")}
    if not isinstance(request.source, ClassTable):
        sections["exclude"] = request.source.exclude.model_dump(mode="json")
    return sections


def _read(request: ReferenceRequest) -> ReadCells:
    choice = TrainClassifierSettings(features=request.settings.features)
    if isinstance(request.source, ClassTable):
        return read_class_table(request.source, choice)
    source = request.source
    return read_training_cells(source.measurements, source.labelled, choice, source.exclude, stain=request.stain)


def _fit(
    cells: TrainingCells, rows: NDArray[np.int64], request: ReferenceRequest, left_out: Sequence[str] = ()
) -> ReferenceFit:
    """The reference of the healthy ones of these rows, which are those without the groups `left_out`."""
    healthy = rows[~cells.abnormal[rows]]
    groups = np.full(cells.abnormal.size, "") if request.independent_rows else cells.groups
    parts = [healthy[groups[healthy] == name] for name in np.unique(groups[healthy])]
    healthy = np.sort(np.concatenate([*draw_evenly(parts, request.settings.max_fit_cells), np.empty(0, np.int64)]))
    fit = fit_healthy(
        cells.matrix[healthy], cells.names, groups[healthy], stain=request.stain, left_out={},
        settings=request.settings,
    )  # fmt: skip
    if not fit.usable:
        without = f"without group {', '.join(left_out)}, " if left_out else ""
        raise ConfigError(
            f"{cells.where}: {without}the {healthy.size} healthy cells make no reference: {fit.fault}; label more "
            "healthy cells, or change the settings"
        )
    return fit


def _held_out(read: ReadCells, request: ReferenceRequest, progress: Progress) -> tuple[pa.Table, dict[str, Any]]:
    """Predictions of the cells whose group a fold left out, and figures of each group."""
    cells = read.cells
    splits = _splits(cells, request)
    score, p_value, probability = (np.full(cells.abnormal.size, np.nan) for _ in range(3))
    status = np.full(cells.abnormal.size, "", dtype="<U9")
    for done, split in enumerate(splits, start=1):
        fit = _fit(cells, split.train, request, split.left_out)
        at = [cells.names.index(name) for name in fit.features]
        score[split.test] = fit.score(fit.robust_z(cells.matrix[split.test][:, at]))
        p_value[split.test] = fit.held_out.p_values(score[split.test])
        for name in np.unique(read.sample[split.test]):
            own = split.test[read.sample[split.test] == name]
            calls = call_slide(p_value[own], request.settings)
            probability[own] = calls.probabilities(p_value[own])
            said = np.where(p_value[own] <= calls.uncertain_at, "uncertain", "healthy")
            said = np.where(p_value[own] <= calls.abnormal_at, "abnormal", said)
            status[own] = np.where(np.isnan(p_value[own]), "uncertain", said)
        progress(done, len(splits))
    rows = np.flatnonzero(status != "")
    columns: dict[str, Any] = {
        "sample": read.sample[rows].tolist(), "cell_id": read.cell_id[rows],
        "group": cells.groups[rows].tolist() if not request.independent_rows else ["all"] * rows.size,
        "class": cells.classes[rows].tolist(), "abnormal": cells.abnormal[rows],
        "abnormal_probability": probability[rows], "abnormal_score": score[rows],
        "scored_by": ["reference"] * rows.size, "healthy_p_value": p_value[rows], "status": status[rows].tolist(),
    }  # fmt: skip
    schema = schema_of(REFERENCE_PREDICTION_COLUMNS)
    table = pa.table({name: pa.array(columns[name], schema.field(name).type) for name in schema.names}, schema=schema)
    names = np.array(columns["group"], np.str_)
    figures = {
        str(name): _figures(cells.abnormal[rows], score[rows], p_value[rows], status[rows], names == name)
        for name in np.unique(names)
    }
    return table, figures


def _splits(cells: TrainingCells, request: ReferenceRequest) -> list[Split]:
    if request.independent_rows:
        return random_splits(cells.abnormal, n_folds=10, seed=request.settings.seed)
    return grouped_splits(
        cells.groups, max_folds=TrainClassifierSettings().max_folds, train_only=request.train_only_groups
    )


def _figures(
    abnormal: NDArray[np.bool_],
    score: NDArray[np.float64],
    p_value: NDArray[np.float64],
    status: NDArray[np.str_],
    own: NDArray[np.bool_],
) -> dict[str, float]:
    """Of one group: how cells are ranked, and what p-values and calls of its healthy cells come to."""
    healthy, known = own & ~abnormal, own & ~np.isnan(score)
    called = own & (status == "abnormal")
    return {
        "n_cells": float(own.sum()), "n_abnormal": float((own & abnormal).sum()),
        "auroc": auroc(score[known], abnormal[known]),
        "healthy_with_p_under_0.05": _share(p_value[healthy] <= 0.05),
        "called_abnormal": _share(called[own]), "false_discoveries": _share(~abnormal[called]),
    }  # fmt: skip


def _share(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if values.size else float("nan")


def _by_group(cells: TrainingCells) -> dict[str, Any]:
    return {
        str(name): {"n_cells": int((~cells.abnormal[cells.groups == name]).sum())} for name in np.unique(cells.groups)
    }


def format_reference(record: dict[str, Any]) -> str:
    """What was fitted and how it did, in lines for a terminal."""
    lines = [f"{record['n_cells']} healthy cells, {len(record['features'])} features, score {record['score']['kind']}"]
    found = record.get("held_out_figures", {})
    heads = ("n_cells", "n_abnormal", "auroc", "healthy_with_p_under_0.05", "called_abnormal", "false_discoveries")
    if found:
        width = max(len(name) for name in [*found, "group"])
        lines.append(f"{'group':{width}}  " + "  ".join(f"{name:>9}" for name in heads))
        for name, one in found.items():
            lines.append(f"{name:{width}}  " + "  ".join(f"{_text(one[head]):>{max(9, len(head))}}" for head in heads))
        known = [one["auroc"] for one in found.values() if one["auroc"] is not None]
        if known:
            lines.append(f"mean AUROC of {len(known)} groups {np.mean(known):.3f}, worst {min(known):.3f}")
    return "\n".join(lines)


def _text(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value == int(value) and value > 1 else f"{value:.3f}"
