"""Training on a lab's own images: folders in, a weights file, its log and its curves out. Floor 6."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellseg import __version__
from cellseg.errors import ConfigError, ModelError
from cellseg.io.atomic import atomic_path, write_text
from cellseg.network_config import MaskRcnnTrainSettings
from cellseg.report.curves import Curve, plot_curves
from cellseg.segment.architecture import Architecture, parse_architecture
from cellseg.stages.training_images import ImageSet, assign_splits, find_images, read_images
from cellseg.types import Progress, Stain, silent

if TYPE_CHECKING:
    from torch import Tensor

    from cellseg.io.weights import Weights
    from cellseg.train.loop import Figures, Trained
    from cellseg.train.maskrcnn import MaskRcnnTask

FORMAT = "cellseg-maskrcnn-1"
_FIELD_PX = 2048
_LOG_EVERY = 50
_SCORES = ("val_score", "ap@")


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
class TrainRequest:
    """What is asked for: see `cellseg train maskrcnn --help`. `init` and `imagenet` exclude each other."""

    data: tuple[Path, ...]
    out: Path
    settings: MaskRcnnTrainSettings = field(default_factory=MaskRcnnTrainSettings)
    init: str = ""
    imagenet: Path | None = None
    classes: tuple[str, ...] = ()
    stain: Stain = "he"
    licence: str = ""
    device: str = "auto"
    resume: bool = False
    loaders: int = 2
    command: str = ""


def train_maskrcnn(
    request: TrainRequest,
    *,
    progress: Progress = silent,
    report: Callable[[Figures], None] = lambda _: None,
) -> dict[str, Any]:
    """Train Mask R-CNN and write its weights; returns their metadata.

    Parameters
    ----------
    progress : callable
        Gets steps done and steps in all.
    report : callable
        Gets the figures of each step that ends in a validation.

    Raises
    ------
    ConfigError, ImageError, LabelError
        If images, labels, splits or classes do not fit.
    ModelError
        If weights to start from or a checkpoint do not fit, or the loss is not finite.
    """
    from cellseg.segment.infer import choose_device
    from cellseg.train.loop import join_crew, leave_crew, train_network

    files = TrainingFiles(request.out)
    _check_files(request, files)
    crew = join_crew(choose_device(request.device))
    start = _read_start(request.init)
    settings = request.settings.for_fine_tuning() if start else request.settings
    images = _read_set(request, settings, start)
    architecture = _architecture(settings, start, images)
    task, origin = _make_task(request, settings, architecture, images, start)
    metadata = _metadata(request, settings, architecture, images, origin)
    old = files.checkpoint.read_bytes() if files.checkpoint.is_file() else None
    log = TrainingLog(files, settings.steps, progress, report) if crew.rank == 0 else None
    if log is not None and old is not None:
        log.take_up(_step_of(old))
    trained = train_network(
        task, settings, crew=crew, about=_about(settings, architecture, images, origin), record=json.dumps(metadata),
        checkpoint=old, save=lambda data: _write_bytes(files.checkpoint, data),
        report=log.add if log else lambda _: None, loaders=request.loaders,
    )  # fmt: skip
    if log is not None:
        _finish(files, log, trained, metadata)
    leave_crew(crew)
    return metadata | _outcome(trained.figures, trained.best_step, trained.last_step)


def export_checkpoint(checkpoint: Path, out: Path) -> dict[str, Any]:
    """Write the best weights so far of a run that was broken off; returns their metadata.

    Raises
    ------
    ModelError
        If it is no checkpoint of `cellseg train maskrcnn`.
    """
    from cellseg.io.weights import write_weights
    from cellseg.train.loop import read_checkpoint
    from cellseg.train.maskrcnn import half_tensors

    _check_out(out)
    try:
        state = read_checkpoint(checkpoint.read_bytes())
        metadata: dict[str, Any] = json.loads(state["record"])
    except (OSError, ValueError, ModelError) as error:
        raise ModelError(f"{checkpoint}: no checkpoint to take weights from ({error}); give a .checkpoint") from error
    best = state["best"]
    weights: dict[str, Tensor] = state["average"] if best["weights"] is None else best["weights"]
    metadata |= _outcome(best["figures"], best["step"] or state["step"], state["step"])
    write_weights(out, half_tensors(weights), metadata)
    return metadata


def with_steps(settings: MaskRcnnTrainSettings, steps: int) -> MaskRcnnTrainSettings:
    """The settings with another number of steps, from other weights or not."""
    rest = {key: value for key, value in settings.fine_tune.items() if key != "steps"}
    return MaskRcnnTrainSettings.model_validate(settings.model_dump() | {"steps": steps, "fine_tune": rest})


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
        _write_bytes(self.files.curves, picture)

    def _curve(self, name: str) -> Curve:
        own = [row for row in self.rows if name in row]
        return np.array([float(row["step"]) for row in own]), np.array([float(row[name]) for row in own])


def _is_score(name: str) -> bool:
    return any(part in name for part in _SCORES)


def _write_bytes(path: Path, data: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def _check_out(out: Path) -> None:
    if out.suffix != ".safetensors":
        raise ConfigError(f"{out}: weights are written as NAME.safetensors; choose such a name")


def _check_files(request: TrainRequest, files: TrainingFiles) -> None:
    _check_out(request.out)
    if request.init and request.imagenet:
        raise ConfigError(f"--init {request.init} and --imagenet {request.imagenet}: give one of them")
    if files.checkpoint.is_file() and not request.resume:
        raise ConfigError(
            f"{files.checkpoint}: a run that was broken off; go on with --resume, keep its best weights with --export, "
            "or take it away"
        )


def _step_of(checkpoint: bytes) -> int:
    from cellseg.train.loop import read_checkpoint

    return int(read_checkpoint(checkpoint)["step"])


def _read_start(init: str) -> Weights | None:
    if not init:
        return None
    from cellseg.io.weights import find_weights, read_weights

    return read_weights(find_weights(init), expected_format=FORMAT)


def _read_set(request: TrainRequest, settings: MaskRcnnTrainSettings, start: Weights | None) -> ImageSet:
    found = assign_splits(
        find_images(request.data, stain=request.stain), val_share=settings.val_share, seed=settings.seed
    )
    images = read_images(found, classes=request.classes, val_share=settings.val_share)
    named = bool(request.classes) or images.classes != ("nucleus",)
    if start is None or named:
        return images
    # nothing names classes: they are those of the weights, if these have but one
    old = parse_architecture(start.metadata["architecture"], str(start.path)).classes
    if len(old) > 1:
        raise ConfigError(
            f"{start.path} knows the classes {', '.join(old)}, the images name none; give --classes and annotations "
            "with classes, or --classes with one name"
        )
    return replace(images, classes=old)


def _architecture(settings: MaskRcnnTrainSettings, start: Weights | None, images: ImageSet) -> Architecture:
    if start is None:
        base = {"diameter_um": None} | settings.architecture
    elif settings.architecture:
        raise ConfigError(f"architecture: it is that of {start.path}; leave the setting out, or train without --init")
    else:
        base = dict(start.metadata["architecture"])
    size = settings.diameter_um or images.diameter_um or base.get("diameter_um")
    where = "train.maskrcnn.architecture" if start is None else str(start.path)
    return parse_architecture(base | {"classes": images.classes, "diameter_um": size}, where)


def _make_task(
    request: TrainRequest,
    settings: MaskRcnnTrainSettings,
    architecture: Architecture,
    images: ImageSet,
    start: Weights | None,
) -> tuple[MaskRcnnTask, str]:
    """The task, its network filled with what training starts from, and that in words."""
    from cellseg.train.data import cut_fields
    from cellseg.train.maskrcnn import MaskRcnnTask, start_from_imagenet, start_from_weights

    def fields(whole: Sequence[Any]) -> list[Any]:
        sides = [_FIELD_PX * max(image.diameter_px, 1.0) / architecture.diameter_px for image in whole]
        return [part for image, side in zip(whole, sides, strict=True) for part in cut_fields(image, int(side))]

    task = MaskRcnnTask(architecture, fields(images.training), fields(images.validation), settings)
    if start is not None:
        old = parse_architecture(start.metadata["architecture"], str(start.path)).classes
        start_from_weights(task.model, architecture.classes, start.tensors, old, str(start.path))
        return task, f"{request.init} (sha256 {start.sha256})"
    if request.imagenet is None:
        return task, "random weights"
    try:
        data = request.imagenet.read_bytes()
    except OSError as error:
        raise ModelError(f"{request.imagenet}: cannot be read ({error.strerror}); give ImageNet weights") from error
    start_from_imagenet(task.model, data, str(request.imagenet))
    return task, f"ImageNet weights {request.imagenet.name}"


def _about(
    settings: MaskRcnnTrainSettings, architecture: Architecture, images: ImageSet, origin: str
) -> dict[str, str]:
    """What two runs must share for one to go on with the other's checkpoint."""
    told = {f"setting {key}": json.dumps(value, sort_keys=True) for key, value in settings.model_dump().items()}
    return told | {
        "architecture": architecture.model_dump_json(), "set of images": images.digest, "start": origin,
    }  # fmt: skip


def _metadata(
    request: TrainRequest, settings: MaskRcnnTrainSettings, architecture: Architecture, images: ImageSet, origin: str
) -> dict[str, Any]:
    kinds = {
        part: dict(sorted(Counter(image.kind for image in own).items()))
        for part, own in (("training", images.training), ("validation", images.validation))
    }
    return {
        "format": FORMAT,
        "architecture": architecture.model_dump(mode="json"),
        "classes": list(architecture.classes),
        "data": {
            "folders": [str(path) for path in request.data], "images": kinds, "sha256": images.digest,
        },
        "split": (
            f"as given; by whole groups where not given: share {settings.val_share:g}, seed {settings.seed}"
            if images.is_honest
            else "validated on the training images"
        ),
        "start": origin,
        "licence": request.licence,
        "seed": settings.seed,
        "settings": settings.model_dump(mode="json"),
        "command": request.command,
        "version": __version__,
    }  # fmt: skip


def _outcome(figures: Mapping[str, float], best_step: int, last_step: int) -> dict[str, Any]:
    known = {name: None if math.isnan(value) else round(value, 6) for name, value in figures.items()}
    return {"metrics": known, "best_step": best_step, "last_step": last_step}


def _finish(files: TrainingFiles, log: TrainingLog, trained: Trained, metadata: dict[str, Any]) -> None:
    from cellseg.io.weights import write_weights
    from cellseg.train.maskrcnn import half_tensors

    metadata = metadata | _outcome(trained.figures, trained.best_step, trained.last_step)
    write_weights(files.weights, half_tensors(trained.model.state_dict()), metadata)
    log.write()
    log.draw(trained.best_step)
    files.checkpoint.unlink(missing_ok=True)
