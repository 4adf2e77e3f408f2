"""The command `cellseg tissue`: which tissue lies where in a slide. Floor 7."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cellseg.commands.contain import contain_faults
from cellseg.commands.options import (
    ChannelOption,
    DeviceOption,
    ImageArgument,
    InputsOption,
    MemoryOption,
    MppOption,
    OutFile,
    PlaceholderOption,
    RecipeOption,
    SampleOption,
    SettingsOption,
    StainOption,
    TileOption,
    WorkersOption,
    cut_to,
    parse_device,
    recipe_of,
    sample_name,
)
from cellseg.commands.progress import show_progress
from cellseg.stages.results import MapFiles


def tissue(
    image: ImageArgument,
    out: OutFile,
    annotation: Annotated[
        Path | None,
        typer.Option("--annotation", help="GeoJSON or a label image of the tissues; stands in for the network."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", help="Shipped weights by name, or a .safetensors file; default: what settings say."),
    ] = None,
    recipe: RecipeOption = None,
    stain: StainOption = None,
    mpp: MppOption = None,
    channel: ChannelOption = None,
    settings: SettingsOption = None,
    inputs: InputsOption = None,
    tile_px: TileOption = 2048,
    workers: WorkersOption = 1,
    memory_mb: MemoryOption = None,
    device: DeviceOption = None,
    sample: SampleOption = None,
    placeholder: PlaceholderOption = False,
) -> None:
    """Map the tissues of a slide: a class map (OME-TIFF), its overlay, polygons and areas, by SegNet or by a drawing.

    `--settings` takes the section `tissue` of config.yaml.
    """

    def act() -> None:
        from cellseg.config import InputSettings
        from cellseg.io.settings import read_settings
        from cellseg.network_config import TissueSettings
        from cellseg.stages.tissue import map_tissue

        chosen, reading = read_settings(TissueSettings, settings), read_settings(InputSettings, inputs)
        chosen = chosen if weights is None else chosen.model_copy(update={"weights": weights})
        cut = cut_to(memory_mb, "tissue", tile_px=tile_px, workers=workers)
        made_or_read = recipe_of(image, recipe, out, stain=stain, mpp=mpp, channel=channel, inputs=reading, cut=cut)
        with made_or_read as (made, mask), show_progress("tissue") as progress:
            record = map_tissue(
                image, out, recipe=made, tissue=mask, settings=chosen, annotation=annotation, workers=cut.workers,
                device=parse_device(device), max_decoded_mpx=reading.max_decoded_mpx, progress=progress,
            )  # fmt: skip
        typer.echo(f"{out}: {_describe(record)}")
        for area in record["areas"]:
            typer.echo(f"{area['tissue']}: {area['area_mm2']:.4g} mm2, {100 * area['share']:.1f} % of the map")

    contain_faults(
        act, stage="tissue", sample=sample_name(image, sample), inputs=_files(recipe), outputs=MapFiles(out).always,
        placeholder=placeholder,
    )  # fmt: skip


def _describe(record: dict[str, Any]) -> str:
    """What made a map, and what is to be known of it, in a line."""
    by = "the network" if record["source"] == "segnet" else "the annotation"
    size = f"{record['height_px']} x {record['width_px']} px of {record['mpp']:.4g} um by {by}"
    return "; ".join([size, *record["notes"]])


def _files(recipe: Path | None) -> list[Path]:
    return [] if recipe is None else [recipe / "recipe.json" if recipe.is_dir() else recipe]
