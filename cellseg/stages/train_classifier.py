"""Training a classifier of cells: measurements and labels in; model, predictions and report out. Floor 6."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cellseg import __version__
from cellseg.classify.supervised import Classifier
from cellseg.classify.travel import MIN_CELLS
from cellseg.classify_config import ExcludeSettings, ModelSettings, TrainClassifierSettings
from cellseg.columns.predictions import PREDICTION_COLUMNS
from cellseg.errors import ConfigError
from cellseg.io.atomic import write_json
from cellseg.io.table import TableWriter
from cellseg.measure.crops import CropField, network_name
from cellseg.stages.classifier_model import write_classifier
from cellseg.stages.classifier_report import (
    held_out_figures,
    held_out_table,
    leak_figures,
    permutation_figures,
    without_nan,
)
from cellseg.stages.look import write_look
from cellseg.stages.training_cells import ClassTable, ReadCells, read_class_table, read_training_cells
from cellseg.train.classifier import check_training, evaluate_left_out, fit_classifier
from cellseg.train.leaks import leak_check, permutation_test
from cellseg.train.margins import MarginFits, TrainingCells
from cellseg.types import Progress, Stain, silent


@dataclass(frozen=True)
class LabelledTables:
    """Results folders or tables of measurements, the table of labels, and which cells cannot be judged."""

    measurements: tuple[Path, ...]
    labelled: Path
    exclude: ExcludeSettings = field(default_factory=ExcludeSettings)


@dataclass(frozen=True)
class ClassifierRequest:
    """What to train on, where to write, and how to test.

    `coverage` is what conformal sets are asked for in the test; `permutations` shuffles of the labels, 0 for none;
    `test` and `leaks` turn the tests off; `command` is written into the model.
    """

    source: LabelledTables | ClassTable
    out: Path
    settings: TrainClassifierSettings = field(default_factory=TrainClassifierSettings)
    stain: Stain = "he"
    coverage: float = ModelSettings().coverage
    permutations: int = 0
    test: bool = True
    leaks: bool = True
    workers: int = 1
    command: str = ""


@dataclass(frozen=True)
class ClassifierFiles:
    """What a training writes: `NAME.safetensors` and beside it `NAME.report.json`, `NAME.predictions.parquet`."""

    model: Path

    @property
    def report(self) -> Path:
        """Figures, settings and what was trained on."""
        return self.model.with_suffix(".report.json")

    @property
    def predictions(self) -> Path:
        """Each labelled cell by models that its group was held out from everything of."""
        return self.model.with_suffix(".predictions.parquet")

    @property
    def look(self) -> Path:
        """The network that looks at pictures of cells, where one was trained."""
        return self.model.with_name(f"{self.model.stem}_look.safetensors")


def train_classifier(
    request: ClassifierRequest, *, progress: Callable[[str], Progress] = lambda _: silent
) -> dict[str, Any]:
    """Train a model on labelled cells and test it on groups held out from everything; writes `ClassifierFiles`.

    Nothing but the model changes when tests are turned off. The same input gives the same bytes, for any number of
    workers.

    Parameters
    ----------
    request : ClassifierRequest
        Cells, output, settings, tests.
    progress : callable
        From the name of a step to its progress callback.

    Returns
    -------
    dict
        The report, for `cellseg.stages.classifier_report.format_report`.

    Raises
    ------
    ConfigError
        If groups do not allow honest cross-validation, a class is missing, or a setting names what is not there.
    TableError
        If a table cannot be read, or a labelled cell has no measurements.
    """
    if request.out.suffix != ".safetensors":
        raise ConfigError(f"{request.out}: a model is written to a name that ends in .safetensors; change the name")
    files = ClassifierFiles(request.out)
    read = _read(request)
    if request.settings.look.enabled:
        read = _with_crops(read, request, progress("pictures"))
    cells, settings, made = read.cells, request.settings, MarginFits()
    check_training(cells, settings)
    report = _about(read, request)
    if request.test and _testable(cells, settings):
        left_out = evaluate_left_out(
            cells, settings, coverage=request.coverage, made=made, workers=request.workers, progress=progress("test")
        )
        report["held_out"] = held_out_figures(read, left_out, settings)
        with TableWriter(files.predictions, PREDICTION_COLUMNS) as writer:
            writer.write(held_out_table(read, left_out, settings))
    elif request.test:
        report["notes"].append("two groups: too few to hold one out from everything; label a third slide for a test")
    model, _ = fit_classifier(
        cells, settings, stain=request.stain, made=made, workers=request.workers, progress=progress("train")
    )
    report["n_features"] = len(model.features)
    report["notes"] += _travel_notes(model, cells)
    if request.leaks and settings.groups == "required":
        report["leaks"] = leak_figures(
            leak_check(cells, settings, made=made, workers=request.workers, progress=progress("leaks"))
        )
    if request.permutations:
        found = permutation_test(
            cells, settings, request.permutations, made=made, workers=request.workers, progress=progress("permutations")
        )
        report["permutations"] = permutation_figures(found)
    report = dict(without_nan(report))
    look = made[np.arange(cells.abnormal.size).tobytes()].look
    if look is not None:
        report["look_sha256"] = write_look(files.look, look, settings.look, story={"command": request.command})
        # the column has the name of the network's file
        last = replace(model.features[-1], name=f"appearance_{network_name(files.look.name)}_logit")
        model = replace(model, features=(*model.features[:-1], last))
    write_classifier(files.model, replace(model, story=report))
    write_json(files.report, report)
    return report


def _read(request: ClassifierRequest) -> ReadCells:
    if isinstance(request.source, ClassTable):
        return read_class_table(request.source, request.settings)
    source = request.source
    return read_training_cells(
        source.measurements, source.labelled, request.settings, source.exclude, stain=request.stain
    )


def _with_crops(read: ReadCells, request: ClassifierRequest, progress: Progress) -> ReadCells:
    """The same cells with their pictures."""
    if isinstance(request.source, ClassTable):
        raise ConfigError(
            f"{request.source.path}: a table has no pictures; give --data and --labels, or leave out look"
        )
    from cellseg.stages.training_crops import read_crops

    field = CropField(request.settings.look.side_px, request.settings.look.mpp)
    crops = read_crops(request.source.measurements, read.sample, read.cell_id, field, progress=progress)
    return replace(read, cells=replace(read.cells, crops=crops))


def _testable(cells: TrainingCells, settings: TrainClassifierSettings) -> bool:
    """Whether a group can be held out and the rest still be cross-validated."""
    left = set(np.unique(cells.groups).tolist()) - set(settings.train_only_groups)
    return settings.groups != "required" or len(left) > 2


def _travel_notes(model: Classifier, cells: TrainingCells) -> list[str]:
    """What is relative to slides, and on how many of them nothing can be."""
    if cells.slides is None:
        return []
    against = "that look normal" if cells.slides.kind == "normal" else "that can be judged"
    n_relative = sum(feature.relative for feature in model.features)
    notes = [f"{n_relative} of {len(model.features)} features are values against the cells of their sample {against}"]
    few = [at for at, values in enumerate(cells.slides.values) if len(values) < MIN_CELLS]
    if n_cells := int(np.isin(cells.slides.of, few).sum()):
        notes.append(f"{n_cells} cells have no such values: their samples have fewer than {MIN_CELLS} of these")
    return notes


def _about(read: ReadCells, request: ClassifierRequest) -> dict[str, Any]:
    """What was trained on, and how."""
    cells = read.cells
    source = request.source
    exclude = source.exclude.model_dump(mode="json") if isinstance(source, LabelledTables) else None
    groups = {
        str(name): {
            "n_healthy": int((~cells.abnormal[cells.groups == name]).sum()),
            "n_abnormal": int(cells.abnormal[cells.groups == name].sum()),
        }
        for name in np.unique(cells.groups)
    }
    classes = {
        str(name): {
            "n_cells": int((cells.classes == name).sum()),
            "abnormal": bool(cells.abnormal[cells.classes == name].any()),
        }
        for name in np.unique(cells.classes)
    }
    notes = [f"left out, not in every table: {', '.join(read.missing)}"] if read.missing else []
    # a model of values as measured alone says what it always said
    unsaid = {"relative", "relative_share"} if request.settings.relative == "none" else set()
    return {
        "version": __version__, "command": request.command, "n_cells": int(cells.abnormal.size),
        "n_abnormal": int(cells.abnormal.sum()), "n_excluded": read.n_excluded, "n_groups": len(groups),
        "groups": groups, "classes": classes, "notes": notes,
        "settings": {
            "train": request.settings.model_dump(mode="json", exclude=unsaid), "exclude": exclude,
            "coverage": request.coverage,
        },
    }  # fmt: skip
