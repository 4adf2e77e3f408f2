"""Training on a lab's own images: folders in, a weights file, its log and its curves out. Floor 6."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellseg import __version__
from cellseg.errors import ConfigError, ModelError
from cellseg.network_config import MaskRcnnTrainSettings
from cellseg.segment.architecture import Architecture, parse_architecture
from cellseg.stages.training_images import ImageSet, assign_splits, find_images, read_images
from cellseg.stages.training_run import Run, TrainingFiles, about_settings, check_files, train_run
from cellseg.types import Progress, Stain, silent

if TYPE_CHECKING:
    from cellseg.io.weights import Weights
    from cellseg.train.loop import Figures
    from cellseg.train.maskrcnn import MaskRcnnTask

FORMAT = "cellseg-maskrcnn-1"
_FIELD_PX = 2048


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
    from cellseg.train.loop import join_crew

    files = TrainingFiles(request.out)
    check_files(files, resume=request.resume)
    if request.init and request.imagenet:
        raise ConfigError(f"--init {request.init} and --imagenet {request.imagenet}: give one of them")
    crew = join_crew(choose_device(request.device))
    start = _read_start(request.init)
    settings = request.settings.for_fine_tuning() if start else request.settings
    images = _read_set(request, settings, start)
    architecture = _architecture(settings, start, images)
    task, origin = _make_task(request, settings, architecture, images, start)
    metadata = _metadata(request, settings, architecture, images, origin)
    run = Run(task, settings, _about(settings, architecture, images, origin), metadata)
    return train_run(run, files, crew=crew, loaders=request.loaders, progress=progress, report=report)


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
    return about_settings(settings) | {
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
