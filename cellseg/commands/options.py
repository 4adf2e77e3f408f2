"""Options that several commands share, and how a recipe is come by. Floor 7."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cellseg.errors import ConfigError
from cellseg.types import STAINS, Stain

if TYPE_CHECKING:
    from cellseg.budget import Cut
    from cellseg.config import InputSettings
    from cellseg.preprocess.recipe import Recipe

ImageArgument = Annotated[Path, typer.Argument(metavar="IMAGE", help="PNG, JPEG, TIFF, SVS, or what OpenSlide reads.")]
OutFile = Annotated[Path, typer.Option("-o", "--out", help="File to write.")]
OutFolder = Annotated[Path, typer.Option("-o", "--out", help="Folder to write into.")]
StainOption = Annotated[
    str | None, typer.Option("--stain", help=f"How the slide is stained: {', '.join(STAINS)}; default he.")
]
TilesOption = Annotated[
    Path | None, typer.Option("--tiles", help="tiles.parquet of the image, from `cellseg preprocess`: flags and focus.")
]
MppOption = Annotated[float | None, typer.Option("--mpp", help="Microns per pixel; wins over the file's own figure.")]
ChannelOption = Annotated[str | None, typer.Option("--channel", help="Channel that shows the cells, by its name.")]
RecipeOption = Annotated[
    Path | None, typer.Option("--recipe", help="recipe.json of the slide, or the folder of `cellseg preprocess`.")
]
SettingsOption = Annotated[
    str | None,
    typer.Option("--settings", help="Settings of this stage as JSON, or a JSON or YAML file; default: all defaults."),
]
InputsOption = Annotated[
    str | None, typer.Option("--inputs", help="The section `input` of the settings, as JSON or a file.")
]
PreprocessOption = Annotated[
    str | None,
    typer.Option("--preprocess", help="The section `preprocess`, for a slide whose cells correct its pixel size."),
]
TileOption = Annotated[int, typer.Option("--tile-px", min=64, help="Side of a tile, px; changes memory, not results.")]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, help="Threads; changes time, not results.")]
MemoryOption = Annotated[
    int | None,
    typer.Option(
        "--memory-mb", min=1, help="MB that this job may take: tiles and threads are cut to fit; changes no results."
    ),
]
MethodOption = Annotated[
    str | None,
    typer.Option(
        "--method", help="threshold, maskrcnn, or what another package registers; default: what the settings say."
    ),
]
ShardsOption = Annotated[
    list[Path] | None,
    typer.Option("--shards", help="What a shard of the slide left (docs/shards.md); once for each, all of them."),
]
DeviceOption = Annotated[
    str | None,
    typer.Option("--device", help="auto, cpu or cuda: where a network runs; default: what the settings say."),
]
SampleOption = Annotated[
    str | None, typer.Option("--sample", help="The sample's name in tables and messages; default: the file's.")
]
PlaceholderOption = Annotated[
    bool,
    typer.Option("--placeholder", help="In a batch: write a fault of this slide in place of its results and exit 0."),
]


def parse_stain(name: str) -> Stain:
    """A stain by its name.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    for stain in STAINS:
        if stain == name:
            return stain
    raise ConfigError(f"--stain {name}: no such stain; choose one of {', '.join(STAINS)}")


def parse_device(name: str | None) -> str:
    """A device by its name; auto where none is given.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name not in (None, "auto", "cpu", "cuda"):
        raise ConfigError(f"--device {name}: no such device; choose one of auto, cpu, cuda")
    return name or "auto"


def cut_to(memory_mb: int | None, stage: str, *, tile_px: int, workers: int, same_tiles: bool = False) -> Cut:
    """Tiles and threads that the budget has room for; a note where it is less than the stage takes at the least."""
    from cellseg.budget import fit_tiles, least_mb

    if memory_mb is not None and not same_tiles and memory_mb < least_mb(stage):
        typer.echo(
            f"note: --memory-mb {memory_mb}: {stage} takes about {least_mb(stage)} MB at the least; it goes on with "
            "the smallest tiles",
            err=True,
        )
    return fit_tiles(stage, memory_mb, tile_px=tile_px, workers=workers, same_tiles=same_tiles)


def sample_name(image: Path, sample: str | None) -> str:
    """The name given, or the file's without its endings."""
    return sample or image.stem.removesuffix(".ome")


@contextmanager
def recipe_of(
    image: Path,
    recipe: Path | None,
    out: Path,
    *,
    stain: str | None,
    mpp: float | None,
    channel: str | None,
    inputs: InputSettings,
    cut: Cut,
) -> Iterator[tuple[Recipe, Path | None]]:
    """The recipe to use and its tissue mask: read from `recipe`, or made on the spot, beside `out`, from stain and mpp.

    Raises
    ------
    ConfigError
        If both are given.
    """
    from cellseg.io.atomic import temporary_folder
    from cellseg.stages.preprocess import preprocess_slide, read_recipe

    if recipe is not None:
        if stain is not None or mpp is not None or channel is not None:
            raise ConfigError("--recipe already holds stain, mpp and channel; give it alone or leave it out")
        folder = recipe if recipe.is_dir() else recipe.parent
        tissue = folder / "tissue.png"
        yield read_recipe(recipe), tissue if tissue.is_file() else None
        return

    with temporary_folder(out) as folder:
        made = preprocess_slide(
            image, folder, stain=parse_stain(stain or "he"), mpp=mpp, channel=channel, inputs=inputs,
            tile_px=cut.tile_px, workers=cut.workers,
        )  # fmt: skip
        yield made, folder / "tissue.png"
