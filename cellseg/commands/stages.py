"""The stages of the chain as commands, one each, and `analyze`, which is all of them. Floor 7."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cellseg.commands.contain import contain_faults
from cellseg.commands.options import (
    ChannelOption,
    DeviceOption,
    ImageArgument,
    InputsOption,
    MemoryOption,
    MethodOption,
    MppOption,
    OutFile,
    OutFolder,
    PlaceholderOption,
    PreprocessOption,
    RecipeOption,
    SampleOption,
    SettingsOption,
    ShardsOption,
    StainOption,
    TileOption,
    TilesOption,
    WorkersOption,
    cut_to,
    parse_device,
    parse_stain,
    recipe_of,
    sample_name,
)
from cellseg.commands.polygons import LabelsArgument, describe_drawing, integrity, parse_outline, polygons
from cellseg.commands.progress import show_progress
from cellseg.commands.reference import reference
from cellseg.commands.tissue import tissue
from cellseg.errors import ConfigError
from cellseg.stages.results import STAGE_OUTPUTS, beside_labels

if TYPE_CHECKING:
    from cellseg.stages.ledger import LedgerRow

_TILE_PX = 2048

OutlinesArgument = Annotated[
    Path,
    typer.Argument(
        metavar="LABELS",
        help="Label image (PNG, TIFF; 0 background, one value a cell), or GeoJSON polygons of cells (.geojson, .gz).",
    ),
]
MeasurementsArgument = Annotated[Path, typer.Argument(metavar="MEASUREMENTS", help="measurements.parquet of a slide.")]


def preprocess(
    image: ImageArgument,
    out: OutFolder,
    stain: Annotated[str, typer.Option("--stain", help="he, hdab, giemsa, fluorescence or brightfield.")] = "he",
    mpp: MppOption = None,
    channel: ChannelOption = None,
    settings: SettingsOption = None,
    inputs: InputsOption = None,
    tile_px: TileOption = _TILE_PX,
    workers: WorkersOption = 1,
    memory_mb: MemoryOption = None,
    sample: SampleOption = None,
    placeholder: PlaceholderOption = False,
) -> None:
    """Look at a slide once: recipe.json, quality.json, tiles.parquet, small pictures; never a copy of its pixels."""

    def act() -> None:
        from cellseg.config import InputSettings
        from cellseg.io.settings import read_settings
        from cellseg.preprocess_config import PreprocessSettings
        from cellseg.stages.preprocess import preprocess_slide

        cut = cut_to(memory_mb, "preprocess", tile_px=tile_px, workers=workers)
        with show_progress("preprocess") as progress:
            preprocess_slide(
                image, out, stain=parse_stain(stain), mpp=mpp, channel=channel,
                settings=read_settings(PreprocessSettings, settings), inputs=read_settings(InputSettings, inputs),
                tile_px=cut.tile_px, workers=cut.workers, progress=progress,
            )  # fmt: skip

    contain_faults(
        act, stage="preprocess", sample=sample_name(image, sample), inputs=[],
        outputs=[out / Path(name).name for name in STAGE_OUTPUTS["preprocess"]], placeholder=placeholder,
    )  # fmt: skip


def segment(
    image: ImageArgument,
    out: OutFile,
    method: MethodOption = None,
    recipe: RecipeOption = None,
    stain: StainOption = None,
    mpp: MppOption = None,
    channel: ChannelOption = None,
    settings: SettingsOption = None,
    inputs: InputsOption = None,
    preprocess_settings: PreprocessOption = None,
    tile_px: TileOption = _TILE_PX,
    workers: WorkersOption = 1,
    memory_mb: MemoryOption = None,
    device: DeviceOption = None,
    shards: ShardsOption = None,
    sample: SampleOption = None,
    placeholder: PlaceholderOption = False,
) -> None:
    """Outline the cells: a uint32 OME-TIFF label image; beside it a record (labels.json), scores, the recipe in force.

    `--settings` takes the section `segmentation` of config.yaml, or just the part of it that the method reads.
    """

    def act() -> None:
        from cellseg.config import InputSettings
        from cellseg.io.settings import read_segmentation, read_settings
        from cellseg.preprocess_config import PreprocessSettings
        from cellseg.stages.segment import segment_slide

        chosen, reading = read_segmentation(settings, method), read_settings(InputSettings, inputs)
        cut = cut_to(
            memory_mb, "segment" if chosen.method == "threshold" else "maskrcnn", tile_px=tile_px, workers=workers
        )
        made_or_read = recipe_of(image, recipe, out, stain=stain, mpp=mpp, channel=channel, inputs=reading, cut=cut)
        with made_or_read as (made, tissue), show_progress("segment") as progress:
            record = segment_slide(
                image, out, recipe=made, tissue=tissue, settings=chosen, inputs=reading,
                preprocess=read_settings(PreprocessSettings, preprocess_settings),
                tile_px=cut.tile_px, workers=cut.workers, device=parse_device(device), shards=shards or (),
                progress=progress,
            )  # fmt: skip
        typer.echo(f"{out}: {_describe(record)}")

    contain_faults(
        act, stage="segment", sample=sample_name(image, sample), inputs=[*_files(recipe), *(shards or [])],
        outputs=[out, *(beside_labels(out, Path(name).name) for name in STAGE_OUTPUTS["segment"][1:])],
        placeholder=placeholder,
    )  # fmt: skip


def _describe(record: dict[str, Any]) -> str:
    """A record of segmentation in a line."""
    said = f"{record['n_cells']} cells"
    if record["method"] == "threshold":
        where = f"({record['channel']}, {record['threshold_unit']})"
        how = f"{said}, {record['cells_are']} than {record['threshold']:g} {where}"
    else:
        how = f"{said} by {record['method']}"
        how += f", {record['n_seam_joined']} joined at seams" if record["n_seam_joined"] else ""
    return "; ".join([how, *record["notes"]])


def _files(recipe: Path | None) -> list[Path]:
    return [] if recipe is None else [recipe / "recipe.json" if recipe.is_dir() else recipe]


def measure(
    image: ImageArgument,
    labels: OutlinesArgument,
    out: OutFile,
    outline: Annotated[
        str, typer.Option("--outline", help="Of GeoJSON: cell, or nucleus for the nuclei that QuPath's cells have.")
    ] = "cell",
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
    recipe: RecipeOption = None,
    stain: StainOption = None,
    mpp: MppOption = None,
    channel: ChannelOption = None,
    settings: SettingsOption = None,
    inputs: InputsOption = None,
    tile_px: TileOption = _TILE_PX,
    workers: WorkersOption = 1,
    memory_mb: MemoryOption = None,
    shards: ShardsOption = None,
    sample: SampleOption = None,
    placeholder: PlaceholderOption = False,
) -> None:
    """Measure each cell in physical units: a Parquet table, one row a label.

    Polygons are drawn first: a pixel is in a cell when its middle is, and of overlapping cells the smaller is on top.
    cell_id is the measurement cell_id where all have one, else 1, 2, ... in the file's order.
    """

    def act() -> None:
        from cellseg.config import InputSettings
        from cellseg.io.settings import read_settings
        from cellseg.measure_config import MeasureSettings
        from cellseg.network_config import TissueSettings
        from cellseg.stages.measure import measure_cells
        from cellseg.stages.polygons import labels_of

        kind = parse_outline(outline)
        chosen, reading = read_settings(MeasureSettings, settings), read_settings(InputSettings, inputs)
        cut = cut_to(memory_mb, "measure", tile_px=tile_px, workers=workers)
        made_or_read = recipe_of(image, recipe, out, stain=stain, mpp=mpp, channel=channel, inputs=reading, cut=cut)
        limit = reading.max_decoded_mpx
        with (
            made_or_read as (made, _),
            labels_of(labels, image, out, mpp=made.mpp, outline=kind, max_decoded_mpx=limit) as (drawn, drawing),
            show_progress("measure") as progress,
        ):
            n_cells = measure_cells(
                image, drawn, out, recipe=made, settings=chosen, sample=sample_name(image, sample),
                tile_px=cut.tile_px, workers=cut.workers, max_decoded_mpx=limit, instances=instances, tissue=tissue,
                tissue_settings=read_settings(TissueSettings, tissue_settings), tiles=tiles,
                shards=shards or (), progress=progress,
            )  # fmt: skip
        for note in describe_drawing(drawing):
            typer.echo(note)
        typer.echo(f"{out}: {n_cells} cells")

    contain_faults(
        act, stage="measure", sample=sample_name(image, sample),
        inputs=[labels, *_files(recipe), *filter(None, [instances, tissue, tiles]), *(shards or [])], outputs=[out],
        placeholder=placeholder,
    )  # fmt: skip


def classify(
    measurements: MeasurementsArgument,
    out: OutFile,
    recipe: Annotated[Path, typer.Option("--recipe", help="recipe.json of the slide, or its folder.")],
    reference: Annotated[Path | None, typer.Option("--reference", help="reference.json of the slide's stain.")] = None,
    settings: SettingsOption = None,
    sample: SampleOption = None,
    placeholder: PlaceholderOption = False,
) -> None:
    """Give each cell its status, score and reasons: a Parquet table, one row a cell."""

    def act() -> None:
        from cellseg.classify_config import ClassifySettings
        from cellseg.io.settings import read_settings
        from cellseg.stages.classify import classify_cells, drift_notes, tissue_notes
        from cellseg.stages.preprocess import read_recipe

        made, chosen = read_recipe(recipe), read_settings(ClassifySettings, settings)
        counts = classify_cells(measurements, out, reference=reference, recipe=made, settings=chosen)
        for note in [*tissue_notes(measurements, made, chosen), *drift_notes(measurements, reference, chosen)]:
            typer.echo(f"note: {note}")
        typer.echo(f"{out}: " + ", ".join(f"{n} {status}" for status, n in counts.items()))

    contain_faults(
        act, stage="classify", sample=sample or measurements.stem, inputs=[measurements, *_files(recipe)],
        outputs=[out], placeholder=placeholder,
    )  # fmt: skip


def tables(
    measurements: MeasurementsArgument,
    verdicts: Annotated[Path, typer.Argument(metavar="VERDICTS", help="verdicts.parquet of the same slide.")],
    out: OutFolder,
    sample: SampleOption = None,
    placeholder: PlaceholderOption = False,
) -> None:
    """Write cells.csv and .parquet, one CSV a status, and columns.json."""

    def act() -> None:
        from cellseg.stages.tables import write_tables

        write_tables(measurements, verdicts, out)

    contain_faults(
        act, stage="tables", sample=sample or out.name, inputs=[measurements, verdicts],
        outputs=[out / name for name in STAGE_OUTPUTS["tables"]], placeholder=placeholder,
    )  # fmt: skip


def overlay(
    image: ImageArgument,
    labels: LabelsArgument,
    cells: Annotated[Path, typer.Argument(metavar="CELLS", help="cells.parquet of the slide.")],
    out: OutFolder,
    recipe: Annotated[Path, typer.Option("--recipe", help="recipe.json of the slide, or its folder.")],
    reference: Annotated[
        Path | None, typer.Option("--reference", help="reference.json, for the healthy intervals.")
    ] = None,
    settings: SettingsOption = None,
    inputs: InputsOption = None,
    sample: SampleOption = None,
    placeholder: PlaceholderOption = False,
) -> None:
    """Draw overlay.png (cells outlined by status) and features.png (main features by status)."""

    def act() -> None:
        from cellseg.config import InputSettings, ReportSettings
        from cellseg.io.settings import read_settings
        from cellseg.stages.overlay import draw_overlay
        from cellseg.stages.preprocess import read_recipe

        draw_overlay(
            image, labels, cells, out, recipe=read_recipe(recipe), reference=reference,
            settings=read_settings(ReportSettings, settings),
            max_decoded_mpx=read_settings(InputSettings, inputs).max_decoded_mpx,
        )  # fmt: skip

    contain_faults(
        act, stage="overlay", sample=sample or sample_name(image, sample), inputs=[labels, cells, *_files(recipe)],
        outputs=[out / name for name in STAGE_OUTPUTS["overlay"]], placeholder=placeholder,
    )  # fmt: skip


def summary(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder of results.")],
    samples: Annotated[Path, typer.Option("--samples", help="The sample sheet.")] = Path("samples.tsv"),
) -> None:
    """Write the cohort's tables: summaries by sample, by tissue and of wdbc10, and slides.tsv (what became of each)."""
    from cellseg.stages.summary import summarize_cohort

    summarize_cohort(results, samples)


def check(results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder of results.")]) -> None:
    """Exit with status 1 if a sample failed, naming each; the next run then redoes those and no others."""
    from cellseg.stages.ledger import check_results

    _tell_failures(check_results(results))


def _tell_failures(failed: list[LedgerRow]) -> None:
    for row in failed:
        typer.echo(f"cellseg: {row.sample} failed at {row.stage}: {row.reason}", err=True)
    if failed:
        raise typer.Exit(1)


def analyze(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Images of one stain.")],
    out: OutFolder,
    stain: Annotated[str, typer.Option("--stain", help="he, hdab, giemsa, fluorescence or brightfield.")] = "he",
    mpp: MppOption = None,
    channel: ChannelOption = None,
    reference: Annotated[
        Path | None, typer.Option("--reference", help="reference.json of healthy cells of this stain.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="config.yaml; default: all defaults.")] = None,
    method: MethodOption = None,
    device: DeviceOption = None,
    workers: WorkersOption = 1,
) -> None:
    """Run the whole chain on a few images, one after the other; one that fails does not stop the rest."""
    from cellseg.io.settings import read_config
    from cellseg.stages.analyze import Acquisition, analyze_images
    from cellseg.stages.inputs import name_faults

    if mpp is not None and mpp <= 0:
        raise ConfigError(f"--mpp {mpp:g}: microns per pixel are greater than 0")
    given = {"segmentation.method": method, "compute.device": device and parse_device(device)}
    settings = read_config(config, {key: value for key, value in given.items() if value is not None})
    if faults := name_faults(settings):
        raise ConfigError("; ".join(faults))
    with show_progress("analyze") as progress:
        failed = analyze_images(
            images, out, acquisition=Acquisition(parse_stain(stain), mpp, channel), reference=reference,
            config=settings, workers=workers, progress=progress,
        )  # fmt: skip
    typer.echo(f"{out}: {len(images) - len(failed)} of {len(images)} images done; see slides.tsv and summary.csv there")
    _tell_failures(failed)


def register(app: typer.Typer) -> None:
    """Add the stages to the command line, in the order of the chain."""
    for command in (
        preprocess, segment, tissue, measure, reference, classify, tables, overlay, polygons, integrity, summary,
        check, analyze,
    ):  # fmt: skip
        app.command()(command)
