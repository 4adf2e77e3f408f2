"""The commands that do one shard of a slide: `cellseg segment-shard` and `cellseg measure-shard`. Floor 7."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cellseg.commands.contain import contain_faults
from cellseg.commands.options import (
    DeviceOption,
    ImageArgument,
    InputsOption,
    MemoryOption,
    MethodOption,
    OutFile,
    PlaceholderOption,
    SampleOption,
    SettingsOption,
    TileOption,
    TilesOption,
    WorkersOption,
    cut_to,
    parse_device,
    sample_name,
)
from cellseg.commands.progress import show_progress
from cellseg.errors import ConfigError

_TILE_PX = 2048
ShardOption = Annotated[str, typer.Option("--shard", help="Which of how many, as 3/8: the tiles are shared out by N.")]
MadeRecipeOption = Annotated[
    Path, typer.Option("--recipe", help="recipe.json of the slide, or the folder of `cellseg preprocess`.")
]


def segment_shard(
    image: ImageArgument,
    out: OutFile,
    shard: ShardOption,
    recipe: MadeRecipeOption,
    only: Annotated[
        str, typer.Option("--pass", help="find, or for the method threshold first count: what its threshold rests on.")
    ] = "find",
    counts: Annotated[
        list[Path] | None,
        typer.Option("--counts", help="A shard of the pass count; once for each. Without: it counts the whole slide."),
    ] = None,
    method: MethodOption = None,
    settings: SettingsOption = None,
    inputs: InputsOption = None,
    tile_px: TileOption = _TILE_PX,
    workers: WorkersOption = 1,
    memory_mb: MemoryOption = None,
    device: DeviceOption = None,
    sample: SampleOption = None,
    placeholder: PlaceholderOption = False,
) -> None:
    """Segment one shard of a slide's tiles, for `cellseg segment --shards` to put together (docs/shards.md).

    Recipe, settings, method and --tile-px must be the same for all shards; --settings as of `cellseg segment`.
    """

    def act() -> None:
        from cellseg.config import InputSettings
        from cellseg.io.settings import read_segmentation, read_settings
        from cellseg.stages import shards
        from cellseg.stages.preprocess import read_recipe
        from cellseg.stages.shard_tiles import ShardOf

        tissue = recipe_file(recipe).with_name("tissue.png")
        chosen = read_segmentation(settings, method)
        stage = "segment" if chosen.method == "threshold" else "maskrcnn"
        cut = cut_to(memory_mb, stage, tile_px=tile_px, workers=workers, same_tiles=True)
        with show_progress("segment-shard") as progress:
            done = shards.segment_shard(
                image, out, recipe=read_recipe(recipe), tissue=tissue if tissue.is_file() else None,
                shard=ShardOf.parse(shard), only=_parse_pass(only), counts=counts or (),
                settings=chosen, inputs=read_settings(InputSettings, inputs),
                tile_px=cut.tile_px, workers=cut.workers, device=parse_device(device), progress=progress,
            )  # fmt: skip
        typer.echo(f"{out}: {done.end - done.begin} of {done.n_units} tiles")

    contain_faults(
        act, stage="segment", sample=sample_name(image, sample), inputs=[recipe_file(recipe), *(counts or [])],
        outputs=[out], placeholder=placeholder,
    )  # fmt: skip


def measure_shard(
    image: ImageArgument,
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help="Label image: 0 background, one value a cell.")],
    out: OutFile,
    shard: ShardOption,
    recipe: MadeRecipeOption,
    instances: Annotated[
        Path | None, typer.Option("--instances", help="instances.parquet of the labels: their scores and classes.")
    ] = None,
    tissue: Annotated[
        Path | None, typer.Option("--tissue", help="Tissue map of the image, from `cellseg tissue`.")
    ] = None,
    tissue_settings: Annotated[
        str | None,
        typer.Option("--tissue-settings", help="Section tissue of config.yaml (JSON or a file): max_distance_um."),
    ] = None,
    tiles: TilesOption = None,
    settings: SettingsOption = None,
    inputs: InputsOption = None,
    tile_px: TileOption = _TILE_PX,
    workers: WorkersOption = 1,
    memory_mb: MemoryOption = None,
    sample: SampleOption = None,
    placeholder: PlaceholderOption = False,
) -> None:
    """Measure one shard of a slide's cells, for `cellseg measure --shards` to put together (docs/shards.md).

    All that is given must be the same for all shards and there.
    """

    def act() -> None:
        from cellseg.config import InputSettings
        from cellseg.io.settings import read_settings
        from cellseg.measure_config import MeasureSettings
        from cellseg.network_config import TissueSettings
        from cellseg.stages import measure_shards
        from cellseg.stages.preprocess import read_recipe
        from cellseg.stages.shard_tiles import ShardOf

        cut = cut_to(memory_mb, "measure", tile_px=tile_px, workers=workers, same_tiles=True)
        with show_progress("measure-shard") as progress:
            done = measure_shards.measure_shard(
                image, labels, out, recipe=read_recipe(recipe), settings=read_settings(MeasureSettings, settings),
                shard=ShardOf.parse(shard), tile_px=cut.tile_px, workers=cut.workers,
                max_decoded_mpx=read_settings(InputSettings, inputs).max_decoded_mpx, instances=instances,
                tissue=tissue, tissue_settings=read_settings(TissueSettings, tissue_settings), tiles=tiles,
                progress=progress,
            )  # fmt: skip
        typer.echo(f"{out}: {done.end - done.begin} of {done.n_units} groups of cells")

    contain_faults(
        act, stage="measure", sample=sample_name(image, sample),
        inputs=[labels, recipe_file(recipe), *filter(None, [instances, tissue, tiles])], outputs=[out],
        placeholder=placeholder,
    )  # fmt: skip


def recipe_file(recipe: Path) -> Path:
    """recipe.json, given as itself or by its folder."""
    return recipe / "recipe.json" if recipe.is_dir() else recipe


def _parse_pass(name: str) -> Literal["count", "find"]:
    if name == "count":
        return "count"
    if name == "find":
        return "find"
    raise ConfigError(f"--pass {name}: no such pass; choose count or find")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("segment-shard")(segment_shard)
    app.command("measure-shard")(measure_shard)
