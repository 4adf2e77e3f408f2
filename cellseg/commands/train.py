"""Training on a lab's own images: `cellseg train maskrcnn`, `cellseg train segnet`. Floor 7."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from cellseg.commands import train_classifier, train_reference
from cellseg.commands.options import DeviceOption, OutFile, StainOption, WorkersOption, parse_device, parse_stain
from cellseg.commands.progress import show_progress
from cellseg.errors import ConfigError
from cellseg.network_config import MaskRcnnTrainSettings, SegNetTrainSettings, TunedSettings

Tuned = TypeVar("Tuned", bound=TunedSettings)

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Train a network on images of your own: maskrcnn finds cells, segnet tells tissues apart.",
)


train_classifier.register(app)
train_reference.register(app)


@app.callback()
def _group() -> None:
    pass


@app.command()
def maskrcnn(
    out: OutFile,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="Folder of images with NAME_labels.png, NAME.geojson or COCO; may be repeated."),
    ] = None,
    init: Annotated[
        str, typer.Option("--init", help="Weights to start from: nucleus (in the package) or a .safetensors file.")
    ] = "",
    imagenet: Annotated[
        Path | None, typer.Option("--imagenet", help="ImageNet weights of the trunk (.pth), to start from scratch.")
    ] = None,
    classes: Annotated[
        str, typer.Option("--classes", help="Class names in order, by commas; one name takes all objects together.")
    ] = "",
    stain: StainOption = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Steps; wins over the settings.")] = None,
    settings: Annotated[
        str | None, typer.Option("--settings", help="The section train.maskrcnn of the settings, as JSON or a file.")
    ] = None,
    licence: Annotated[str, typer.Option("--licence", help="Licence of the weights, written into them.")] = "",
    device: DeviceOption = None,
    workers: WorkersOption = 2,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run that was broken off left its checkpoint, if it did.")
    ] = False,
    export: Annotated[
        Path | None, typer.Option("--export", help="A run's .checkpoint: write its best weights so far, train nothing.")
    ] = None,
) -> None:
    """Train Mask R-CNN on images with outlined cells; writes weights, and beside them a log and its curves.

    With --init, a few outlined images and some minutes adapt the weights in the package; without it training starts
    anew and needs hundreds of images and hours.

    `torchrun --nproc-per-node N -m cellseg train maskrcnn ...` uses N GPUs.
    """
    from cellseg.stages.train_maskrcnn import TrainRequest, train_maskrcnn
    from cellseg.stages.training_run import export_checkpoint

    if export is not None:
        _show(out, export_checkpoint(export, out), "segmentation.maskrcnn.weights")
        return
    if not data:
        raise ConfigError("--data: no folder of labelled images; give at least one")
    request = TrainRequest(
        tuple(data), out, _read(MaskRcnnTrainSettings, settings, steps), init, imagenet, _names(classes),
        parse_stain(stain or "he"), licence, parse_device(device), resume, workers,
        shlex.join(["cellseg", *sys.argv[1:]]),
    )  # fmt: skip
    with show_progress("train") as progress:
        metadata = train_maskrcnn(request, progress=progress, report=_say)
    _show(out, metadata, "segmentation.maskrcnn.weights")


@app.command()
def segnet(
    out: OutFile,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="Folder of images and masks (or GeoJSON beside them); may be repeated."),
    ] = None,
    init: Annotated[
        str, typer.Option("--init", help="Weights to start from: colon (in the package) or a .safetensors file.")
    ] = "",
    classes: Annotated[
        str, typer.Option("--classes", help="Names of the values 0, 1, ... of the masks, by commas.")
    ] = "",
    mpp: Annotated[
        float | None, typer.Option("--mpp", min=0.01, help="Microns per pixel that the network is to work at.")
    ] = None,
    stain: StainOption = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Steps; wins over the settings.")] = None,
    settings: Annotated[
        str | None, typer.Option("--settings", help="The section train.segnet of the settings, as JSON or a file.")
    ] = None,
    licence: Annotated[str, typer.Option("--licence", help="Licence of the weights, written into them.")] = "",
    device: DeviceOption = None,
    workers: WorkersOption = 2,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a run that was broken off left its checkpoint, if it did.")
    ] = False,
    export: Annotated[
        Path | None, typer.Option("--export", help="A run's .checkpoint: write its best weights so far, train nothing.")
    ] = None,
) -> None:
    """Train SegNet on images whose pixels have classes; writes weights, and beside them a log and its curves.

    Validated on whole cases that training never sees: index.csv names each image's case.
    """
    from cellseg.stages.train_segnet import SegNetRequest, train_segnet
    from cellseg.stages.training_run import export_checkpoint

    if export is not None:
        _show(out, export_checkpoint(export, out), "tissue.weights")
        return
    if not data:
        raise ConfigError("--data: no folder of labelled images; give at least one")
    request = SegNetRequest(
        tuple(data), out, _read(SegNetTrainSettings, settings, steps), init, _names(classes), mpp,
        parse_stain(stain or "he"), licence, parse_device(device), resume, workers,
        shlex.join(["cellseg", *sys.argv[1:]]),
    )  # fmt: skip
    with show_progress("train") as progress:
        metadata = train_segnet(request, progress=progress, report=_say)
    _show(out, metadata, "tissue.weights")
    typer.echo(f"validation: {metadata['data']['cases']['validation']} cases, {metadata['split']}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _read(kind: type[Tuned], text: str | None, steps: int | None) -> Tuned:
    from cellseg.io.settings import read_settings

    settings = read_settings(kind, text)
    return settings if steps is None else settings.with_steps(steps)


def _say(figures: dict[str, float]) -> None:
    found = ", ".join(
        f"{n.removeprefix('val_')} {v:.3f}"
        for n, v in figures.items()
        if "ap@" in n or n == "val_score" or "level1" in n
    )
    typer.echo(f"step {figures['step']:.0f}: loss {figures['loss']:.3f}; validation: {found}")


def _show(out: Path, metadata: dict[str, Any], setting: str) -> None:
    score = metadata["metrics"].get("score")
    typer.echo(
        f"{out}: weights of step {metadata['best_step']}, classes {', '.join(metadata['classes'])}, validation score "
        f"{'unknown' if score is None else format(score, '.3f')}; use them by {setting}"
    )
