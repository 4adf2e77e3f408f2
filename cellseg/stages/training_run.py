"""What every training run leaves and how it goes on: files, log, checkpoint, story. Floor 6."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellseg.errors import ConfigError, ModelError
from cellseg.io.atomic import atomic_path, write_text
from cellseg.network_config import LoopSettings
from cellseg.report.curves import Curve, plot_curves
from cellseg.types import Progress

if TYPE_CHECKING:
    from torch import Tensor

    from cellseg.train.loop import Crew, Figures, Task, Trained

_LOG_EVERY = 50
_SCORES = ("val_score", "ap@", "dice_")
NETWORK = "network."
"""Where a model keeps the network whose weights are kept, when it holds more for training's sake."""


@dataclass(frozen=True)
class TrainingFiles:
    """What lies beside `NAME.safetensors`: NAME.log.csv, NAME.curves.png and, until done, NAME.checkpoint."""

    weights: Path

    @property
    def log(self) -> Path:
        """One row a step."""
        return self.weights.with_suffix(".log.csv")

    @property
    def curves(self) -> Path:
        """A picture of the log."""
        return self.weights.with_suffix(".curves.png")

    @property
    def checkpoint(self) -> Path:
        """All that is needed to go on after a break."""
        return self.weights.with_suffix(".checkpoint")


@dataclass(frozen=True)
class Run:
    """A task that is ready to be trained, and what is told of it.

    about : what two runs must share for one to go on with the other's checkpoint.
    metadata : what the weights will say of themselves, figures left out.
    """

    task: Task
    settings: LoopSettings
    about: Mapping[str, str]
    metadata: Mapping[str, Any]


def train_run(
    run: Run, files: TrainingFiles, *, crew: Crew, loaders: int, progress: Progress, report: Callable[[Figures], None]
) -> dict[str, Any]:
    """Train to the end, or on from where a run was broken off; writes the weights and returns their metadata."""
    from cellseg.train.loop import leave_crew, train_network

    old = files.checkpoint.read_bytes() if files.checkpoint.is_file() else None
    log = TrainingLog(files, run.settings.steps, progress, report) if crew.rank == 0 else None
    if log is not None and old is not None:
        log.take_up(_step_of(old))
    trained = train_network(
        run.task, run.settings, crew=crew, about=run.about, record=json.dumps(run.metadata), checkpoint=old,
        save=lambda data: write_bytes(files.checkpoint, data), report=log.add if log else lambda _: None,
        loaders=loaders,
    )  # fmt: skip
    if log is not None:
        _finish(files, log, trained, run.metadata)
    leave_crew(crew)
    return {**run.metadata, **outcome(trained.figures, trained.best_step, trained.last_step)}


def export_checkpoint(checkpoint: Path, out: Path) -> dict[str, Any]:
    """Write the best weights so far of a run that was broken off; returns their metadata.

    Raises
    ------
    ModelError
        If it is no checkpoint of `cellseg train`.
    """
    from cellseg.io.weights import write_weights
    from cellseg.train.loop import read_checkpoint

    check_out(out)
    try:
        state = read_checkpoint(checkpoint.read_bytes())
        metadata: dict[str, Any] = json.loads(state["record"])
    except (OSError, ValueError, ModelError) as error:
        raise ModelError(f"{checkpoint}: no checkpoint to take weights from ({error}); give a .checkpoint") from error
    best = state["best"]
    weights: dict[str, Tensor] = state["average"] if best["weights"] is None else best["weights"]
    metadata |= outcome(best["figures"], best["step"] or state["step"], state["step"])
    write_weights(out, kept_tensors(weights), metadata)
    return metadata


class TrainingLog:
    """The figures of every step as CSV and as curves, written anew now and then; no time in it, so that it repeats."""

    def __init__(self, files: TrainingFiles, steps: int, progress: Progress, report: Callable[[Figures], None]) -> None:
        self.files, self.steps, self.progress, self.report = files, steps, progress, report
        self.rows: list[dict[str, str]] = []

    def take_up(self, step: int) -> None:
        """Go on with the log of a run that was broken off, as it was at `step`."""
        if self.files.log.is_file():
            with self.files.log.open(newline="", encoding="utf-8") as stream:
                rows = [{key: value for key, value in row.items() if value} for row in csv.DictReader(stream)]
            self.rows = [row for row in rows if int(row["step"]) <= step]

    def add(self, figures: Figures) -> None:
        """A step's figures."""
        self.rows.append({name: f"{value:.6g}" for name, value in figures.items() if not math.isnan(value)})
        step = int(figures["step"])
        self.rows[-1]["step"] = str(step)
        if "val_score" in figures:
            self.report(figures)
        if "val_score" in figures or step % _LOG_EVERY == 0:
            self.write()
        self.progress(step, self.steps)

    def write(self) -> None:
        """Write the CSV."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.files.log, text.getvalue())

    def draw(self, best_step: int) -> None:
        """Write the curves."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        hidden = ("step", "norm", "learning_rate")
        losses = {name: self._curve(name) for name in names if name not in hidden and not name.startswith("val_")}
        scores = {n.removeprefix("val_"): self._curve(n) for n in names if n.startswith("val_") and _is_score(n)}
        picture = plot_curves(losses, scores, title=self.files.weights.name, best_step=best_step)
        write_bytes(self.files.curves, picture)

    def _curve(self, name: str) -> Curve:
        own = [row for row in self.rows if name in row]
        return np.array([float(row["step"]) for row in own]), np.array([float(row[name]) for row in own])


def _is_score(name: str) -> bool:
    return any(part in name for part in _SCORES)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def check_out(out: Path) -> None:
    """Refuse a name that does not end as weights do."""
    if out.suffix != ".safetensors":
        raise ConfigError(f"{out}: weights are written as NAME.safetensors; choose such a name")


def check_files(files: TrainingFiles, *, resume: bool) -> None:
    """Refuse a name that is none for weights, and a run that would be written over.

    Raises
    ------
    ConfigError
        With what to do.
    """
    check_out(files.weights)
    if files.checkpoint.is_file() and not resume:
        raise ConfigError(
            f"{files.checkpoint}: a run that was broken off; go on with --resume, keep its best weights with --export, "
            "or take it away"
        )


def _step_of(checkpoint: bytes) -> int:
    from cellseg.train.loop import read_checkpoint

    return int(read_checkpoint(checkpoint)["step"])


def outcome(figures: Mapping[str, float], best_step: int, last_step: int) -> dict[str, Any]:
    """What came out, for the metadata."""
    known = {name: None if math.isnan(value) else round(value, 6) for name, value in figures.items()}
    return {"metrics": known, "best_step": best_step, "last_step": last_step}


def about_settings(settings: LoopSettings) -> dict[str, str]:
    """The settings, as a checkpoint keeps them for comparison."""
    return {f"setting {key}": json.dumps(value, sort_keys=True) for key, value in settings.model_dump().items()}


def kept_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are stored: halved, and of the network alone where the model holds more for training's sake."""
    from cellseg.io.weights import half_tensors

    inner = {name.removeprefix(NETWORK): value for name, value in state.items() if name.startswith(NETWORK)}
    return half_tensors(inner or state)


def _finish(files: TrainingFiles, log: TrainingLog, trained: Trained, metadata: Mapping[str, Any]) -> None:
    from cellseg.io.weights import write_weights

    told = {**metadata, **outcome(trained.figures, trained.best_step, trained.last_step)}
    write_weights(files.weights, kept_tensors(trained.model.state_dict()), told)
    log.write()
    log.draw(trained.best_step)
    files.checkpoint.unlink(missing_ok=True)
