"""Training SegNet on a lab's own images: folders in, a weights file, its log and its curves out. Floor 6."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellseg import __version__
from cellseg.errors import ConfigError
from cellseg.network_config import SegNetTrainSettings
from cellseg.segment.tissue_architecture import TissueArchitecture, parse_tissue_architecture
from cellseg.stages.tissue_training import TissueSet, find_tissue_images, read_tissue_images, split_cases
from cellseg.stages.training_run import Run, TrainingFiles, about_settings, check_files, train_run
from cellseg.types import Progress, Stain, silent

if TYPE_CHECKING:
    from cellseg.io.weights import Weights
    from cellseg.train.loop import Figures
    from cellseg.train.segnet import SegNetTask
    from cellseg.train.tissue_data import TissueImage

FORMAT = "cellseg-segnet-1"
_FIELD_PX = 1024


@dataclass(frozen=True)
class SegNetRequest:
    """What is asked for: see `cellseg train segnet --help`."""

    data: tuple[Path, ...]
    out: Path
    settings: SegNetTrainSettings = field(default_factory=SegNetTrainSettings)
    init: str = ""
    classes: tuple[str, ...] = ()
    mpp: float | None = None
    stain: Stain = "he"
    licence: str = ""
    device: str = "auto"
    resume: bool = False
    loaders: int = 2
    command: str = ""


def train_segnet(
    request: SegNetRequest,
    *,
    progress: Progress = silent,
    report: Callable[[Figures], None] = lambda _: None,
) -> dict[str, Any]:
    """Train SegNet and write its weights; returns their metadata.

    Parameters
    ----------
    progress : callable
        Gets steps done and steps in all.
    report : callable
        Gets the figures of each step that ends in a validation.

    Raises
    ------
    ConfigError, ImageError, LabelError
        If images, masks, splits or classes do not fit.
    ModelError
        If weights to start from or a checkpoint do not fit, or the loss is not finite.
    """
    from cellseg.segment.infer import choose_device
    from cellseg.train.loop import join_crew

    files = TrainingFiles(request.out)
    check_files(files, resume=request.resume)
    crew = join_crew(choose_device(request.device))
    start = _read_start(request.init)
    settings = request.settings.for_fine_tuning() if start else request.settings
    old = None if start is None else parse_tissue_architecture(start.metadata["architecture"], str(start.path))
    images = _read_set(request, settings, old)
    architecture = _architecture(settings, old, images, request.init)
    task, origin = _make_task(request, settings, architecture, images, start, old)
    about = about_settings(settings) | {
        "architecture": architecture.model_dump_json(), "set of images": images.digest, "start": origin,
    }  # fmt: skip
    run = Run(task, settings, about, _metadata(request, settings, architecture, images, origin))
    return train_run(run, files, crew=crew, loaders=request.loaders, progress=progress, report=report)


def _read_start(init: str) -> Weights | None:
    if not init:
        return None
    from cellseg.io.weights import find_weights, read_weights

    return read_weights(find_weights(init), expected_format=FORMAT)


def _read_set(request: SegNetRequest, settings: SegNetTrainSettings, old: TissueArchitecture | None) -> TissueSet:
    found = split_cases(
        find_tissue_images(request.data, stain=request.stain), val_share=settings.val_share, seed=settings.seed
    )
    masks = any(image.classes.suffix != ".geojson" for image in found)
    classes = request.classes or (old.classes if old is not None and masks else ())
    mpp = request.mpp or settings.architecture.get("mpp") or (None if old is None else old.mpp)
    return read_tissue_images(found, classes=classes, mpp=mpp, val_share=settings.val_share)


def _architecture(
    settings: SegNetTrainSettings, old: TissueArchitecture | None, images: TissueSet, init: str
) -> TissueArchitecture:
    given = settings.architecture | {"classes": images.classes, "mpp": images.mpp}
    if old is not None:
        if foreign := settings.architecture.keys() - {"levels", "mpp", "smooth_px", "balance"}:
            raise ConfigError(
                f"architecture.{sorted(foreign)[0]}: it is that of {init}; leave the setting out, or train without "
                "--init"
            )
        same = images.classes == old.classes
        # with other classes these would make another sense, or none
        kept = {"levels": old.levels, "smooth_px": old.smooth_px, "balance": old.balance} if same else {}
        given = {"width": old.width} | kept | given
    return parse_tissue_architecture(given, "train.segnet.architecture")


def _make_task(
    request: SegNetRequest,
    settings: SegNetTrainSettings,
    architecture: TissueArchitecture,
    images: TissueSet,
    start: Weights | None,
    old: TissueArchitecture | None,
) -> tuple[SegNetTask, str]:
    """The task, its network filled with what training starts from, and that in words."""
    from cellseg.train.segnet import SegNetTask, start_from_segnet
    from cellseg.train.tissue_data import cut_fields

    def fields(whole: Sequence[TissueImage]) -> list[TissueImage]:
        return [part for image in whole for part in cut_fields(image, _FIELD_PX)]

    task = SegNetTask(architecture, fields(images.training), fields(images.validation), settings)
    if start is None or old is None:
        return task, "random weights"
    start_from_segnet(task.model, architecture.classes, start.tensors, old.classes, str(start.path))
    return task, f"{request.init} (sha256 {start.sha256})"


def _metadata(
    request: SegNetRequest,
    settings: SegNetTrainSettings,
    architecture: TissueArchitecture,
    images: TissueSet,
    origin: str,
) -> dict[str, Any]:
    parts = {"training": images.training, "validation": images.validation}
    return {
        "format": FORMAT,
        "architecture": architecture.model_dump(mode="json"),
        "classes": list(architecture.classes),
        "stains": sorted({image.stain for image in images.training}),
        "data": {
            "folders": [path.name for path in request.data],
            "images": {part: len(own) for part, own in parts.items()},
            "cases": {part: len({image.group for image in own}) for part, own in parts.items()},
            "sha256": images.digest,
        },
        "split": _split(images, settings),
        "start": origin,
        "licence": request.licence,
        "seed": settings.seed,
        "settings": settings.model_dump(mode="json"),
        "command": request.command,
        "version": __version__,
    }


def _split(images: TissueSet, settings: SegNetTrainSettings) -> str:
    """How learning and judging were kept apart, in words."""
    if not images.is_honest:
        return "validated on the training images"
    told = f"by case, as given; by whole cases where not given: share {settings.val_share:g}, seed {settings.seed}"
    every = (*images.training, *images.validation)
    alone = len({image.group for image in every}) == len(every)
    return told + ("; every image is a case of its own" if alone else "")
