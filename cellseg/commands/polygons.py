"""The commands `cellseg polygons` and `cellseg integrity`: outlines of cells; whether results agree. Floor 7."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cellseg.commands.contain import contain_faults
from cellseg.commands.options import (
    InputsOption,
    MemoryOption,
    OutFile,
    PlaceholderOption,
    SampleOption,
    SettingsOption,
    TileOption,
    WorkersOption,
    cut_to,
)
from cellseg.commands.progress import show_progress
from cellseg.errors import ConfigError

if TYPE_CHECKING:
    from cellseg.io.label_polygons import Drawing, Outline

LabelsArgument = Annotated[Path, typer.Argument(metavar="LABELS", help="Label image: 0 background, one value a cell.")]
CellsArgument = Annotated[Path, typer.Argument(metavar="CELLS", help="cells.parquet of the slide.")]


def parse_outline(name: str) -> Outline:
    """What is measured of GeoJSON cells, by its name.

    Raises
    ------
    ConfigError
        If there is nothing of that name.
    """
    for known in ("cell", "nucleus"):
        if name == known:
            return known
    raise ConfigError(f"--outline {name}: no such outline; choose cell or nucleus")


def describe_drawing(drawing: Drawing | None) -> list[str]:
    """What to know of labels that were drawn from polygons, a line each; nothing of a label image."""
    if drawing is None:
        return []
    ids = "the measurement cell_id" if drawing.own_ids else "the place in the file, from 1 on"
    lines = [f"note: {drawing.n_cells} polygons drawn; cell_id is {ids}"]
    for numbers, why in (
        (drawing.off_centre, "hold the middle of no pixel"),
        (drawing.covered, "lie under smaller ones altogether"),
        (drawing.without_nucleus, "have no nucleusGeometry"),
    ):
        if numbers:
            shown = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
            lines.append(f"note: {len(numbers)} polygons get no row, for they {why}: features {shown} (from 0 on)")
    return lines


def polygons(
    labels: LabelsArgument,
    cells: CellsArgument,
    out: OutFile,
    settings: SettingsOption = None,
    inputs: InputsOption = None,
    tile_px: TileOption = 2048,
    workers: WorkersOption = 1,
    memory_mb: MemoryOption = None,
    sample: SampleOption = None,
    placeholder: PlaceholderOption = False,
) -> None:
    """Write every cell's outline with its verdict, score and main features as GeoJSON, for QuPath and others.

    Compressed where the name ends in .gz. `--settings` takes the section `polygons` of config.yaml.
    """

    def act() -> None:
        from cellseg.config import InputSettings
        from cellseg.io.settings import read_settings
        from cellseg.polygon_config import PolygonSettings
        from cellseg.stages.polygons import write_polygons

        cut = cut_to(memory_mb, "polygons", tile_px=tile_px, workers=workers)
        with show_progress("polygons") as progress:
            n_cells = write_polygons(
                labels, cells, out, settings=read_settings(PolygonSettings, settings), tile_px=cut.tile_px,
                workers=cut.workers, max_decoded_mpx=read_settings(InputSettings, inputs).max_decoded_mpx,
                progress=progress,
            )  # fmt: skip
        typer.echo(f"{out}: {n_cells} cells")

    contain_faults(
        act, stage="polygons", sample=sample or labels.stem, inputs=[labels, cells], outputs=[out],
        placeholder=placeholder,
    )  # fmt: skip


def integrity(
    labels: LabelsArgument,
    cells: CellsArgument,
    out: OutFile,
    polygons: Annotated[
        Path | None, typer.Argument(metavar="[POLYGONS]", help="cells.geojson.gz of the slide, where there is one.")
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", help="recipe.json of the slide, or its folder: the pixel size; default: the labels'."),
    ] = None,
    settings: SettingsOption = None,
    inputs: InputsOption = None,
    tile_px: TileOption = 2048,
    workers: WorkersOption = 1,
    memory_mb: MemoryOption = None,
    sample: SampleOption = None,
    placeholder: PlaceholderOption = False,
) -> None:
    """Read label image, tables and polygons again and compare ids, pixel counts, areas, outlines and statuses.

    Anything that differs is an error; integrity.json says what was compared. `--settings` takes the section `polygons`
    that the polygons were written with.
    """

    def act() -> None:
        from cellseg.config import InputSettings
        from cellseg.io.settings import read_settings
        from cellseg.polygon_config import PolygonSettings
        from cellseg.stages.integrity import check_integrity
        from cellseg.stages.preprocess import read_recipe

        cut = cut_to(memory_mb, "integrity", tile_px=tile_px, workers=workers)
        with show_progress("integrity") as progress:
            found = check_integrity(
                labels, cells, out, polygons=polygons, settings=read_settings(PolygonSettings, settings),
                mpp=None if recipe is None else read_recipe(recipe).mpp, tile_px=cut.tile_px,
                workers=cut.workers,
                max_decoded_mpx=read_settings(InputSettings, inputs).max_decoded_mpx, progress=progress,
            )  # fmt: skip
        typer.echo(f"{out}: {found['counts']['labels']} cells agree in {len(found['checks'])} checks")

    given = [path for path in (polygons, recipe) if path is not None]
    contain_faults(
        act, stage="integrity", sample=sample or labels.stem,
        inputs=[labels, cells, *(path / "recipe.json" if path.is_dir() else path for path in given)], outputs=[out],
        placeholder=placeholder,
    )  # fmt: skip
