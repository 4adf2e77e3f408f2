"""Everything around the chain: projects, images, settings, columns, simulated slides, the demo. Floor 7."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cellseg.commands.options import ImageArgument
from cellseg.commands.progress import show_progress
from cellseg.errors import ConfigError

KINDS = ("healthy", "mixed", "slide")


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The project's folder; made when missing.")],
    images: Annotated[Path, typer.Option("--images", help="Folder with the images.")],
) -> None:
    """Start a project: a commented config.yaml and a samples.tsv for the images in a folder."""
    from cellseg.stages.init import init_project

    report = init_project(folder, images)
    typer.echo(f"{report.sheet}: {len(report.samples)} samples; {report.config}: all settings")
    for line in report.left_out:
        typer.echo(f"left out: {line}", err=True)
    if report.without_mpp:
        typer.echo(f"no pixel size in {', '.join(report.without_mpp)}: fill in the column mpp of {report.sheet}")
    typer.echo(f"next: check the columns stain and group, then from cellseg's folder: snakemake -d {folder} --cores 2")


def info(
    image: ImageArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print an image's size, channels, type, levels, objective, pixel size and where that comes from."""
    from cellseg.stages.info import image_info

    found = image_info(image)
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    levels = [f"{level['width_px']} x {level['height_px']} (1/{level['downsample']:g})" for level in found["levels"]]
    size = "unknown" if found["mpp"] is None else f"{found['mpp']:g} um per pixel"
    for name, value in (
        ("image", found["path"]),
        ("format", found["format"]),
        ("size", f"{found['width_px']} px wide, {found['height_px']} px high"),
        ("channels", ", ".join(found["channels"])),
        ("type", found["type"]),
        ("levels", ", ".join(levels)),
        ("objective", "unknown" if found["objective_power"] is None else f"{found['objective_power']:g}x"),
        ("pixel size", f"{size} ({found['mpp_source']})"),
    ):
        typer.echo(f"{name:12} {value}")


def config(
    readme: Annotated[bool, typer.Option("--readme", help="Print config/README.md.")] = False,
) -> None:
    """Print config.yaml: every setting at its default, with its unit and effect."""
    from cellseg.io.settings import config_yaml
    from cellseg.stages.describe_settings import config_readme

    typer.echo(config_readme() if readme else config_yaml(), nl=False)


def schema(
    of: Annotated[str, typer.Argument(metavar="config|samples", help="Which schema.")],
) -> None:
    """Print the JSON schema of config.yaml or of the sample sheet."""
    from cellseg.stages.describe import config_schema, samples_schema

    if of not in ("config", "samples"):
        raise ConfigError(f"schema {of}: no such schema; choose config or samples")
    typer.echo(json.dumps(config_schema() if of == "config" else samples_schema(), indent=2, ensure_ascii=False))


def check_inputs(
    config_json: Annotated[str, typer.Option("--config-json", help="All settings of a run as JSON.")],
) -> None:
    """Check settings, sheet and results folder; print the settings with all defaults, which the workflow uses."""
    from cellseg.stages.inputs import check_inputs as check_all

    typer.echo(json.dumps(check_all(json.loads(config_json))))


def columns(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/tables.md.")] = False,
) -> None:
    """List every column of the cells table: name, type, unit, meaning."""
    if markdown:
        from cellseg.stages.describe import columns_markdown

        typer.echo(columns_markdown(), nl=False)
        return
    from cellseg.columns import COLUMNS, written_name

    for column in COLUMNS:
        typer.echo(f"{written_name(column):52} {column.dtype:8} {column.unit:12} {column.meaning}")


def simulate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write into.")],
    name: Annotated[str, typer.Option("--name", help="Name of the sample.")] = "simulated",
    kind: Annotated[
        str, typer.Option("--kind", help="healthy; mixed (with abnormal cells); slide (large, no truth).")
    ] = "mixed",
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same bytes.")] = 0,
    size_px: Annotated[int, typer.Option("--size-px", help="Height and width, px.")] = 1024,
    mpp: Annotated[float, typer.Option("--mpp", help="Microns per pixel.")] = 0.5,
    abnormal_share: Annotated[
        float, typer.Option("--abnormal-share", help="Share of abnormal cells (kind mixed).")
    ] = 0.25,
) -> None:
    """Make an H&E-like slide from a seed, with the truth of each cell beside it."""
    from cellseg.stages.simulate import simulate_sample, simulate_slide

    if kind not in KINDS:
        raise ConfigError(f"--kind {kind}: no such kind; choose one of {', '.join(KINDS)}")
    if kind == "slide":
        with show_progress("simulate") as progress:
            n_cells = simulate_slide(
                folder / f"{name}.tif", height_px=size_px, width_px=size_px, seed=seed, mpp=mpp, progress=progress
            )
        typer.echo(f"{folder / f'{name}.tif'}: {n_cells} nuclei")
        return
    made = simulate_sample(
        folder, name, kind="healthy" if kind == "healthy" else "mixed", seed=seed, size_px=size_px, mpp=mpp,
        abnormal_share=abnormal_share,
    )  # fmt: skip
    typer.echo(f"{made.image}: {made.n_nuclei} nuclei, {made.n_abnormal} of them abnormal")


def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the demo's images.")],
    report: Annotated[
        list[Path] | None,
        typer.Option("--report", help="Results of a run on it, also of several: print what was found, against truth."),
    ] = None,
) -> None:
    """Write the demo: a real tissue image, two simulated slides with their truth, and the sample sheet."""
    from cellseg.stages.demo import demo_summary, format_demo, write_demo

    if report:
        rows = [row for results in report for row in demo_summary(results, folder)]
        typer.echo(format_demo(sorted(rows, key=lambda row: row["sample"])))
        for results in report:
            typer.echo(f"look at {results}/samples/*/overlay.png, features.png, cells.csv and {results}/summary.csv")
        return
    typer.echo(f"{write_demo(folder)}: the demo's sample sheet")


def warm_up() -> None:
    """Compile the loops once after installing (about half a minute); otherwise the first run does."""
    from cellseg.stages.warm_up import warm_up as warm

    with show_progress("warm-up") as progress:
        warm(progress=progress)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (init, info, config, columns, schema, simulate, demo, warm_up):
        app.command()(command)
    app.command("check-inputs", hidden=True)(check_inputs)
