"""The command `cellseg reference`: what healthy cells of a stain look like. Floor 7."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cellseg.commands.options import OutFile, SettingsOption, parse_stain


def reference(
    measurements: Annotated[
        list[Path], typer.Argument(metavar="MEASUREMENTS...", help="measurements.parquet of healthy slides.")
    ],
    out: OutFile,
    stain: Annotated[str, typer.Option("--stain", help="The stain of these slides.")] = "he",
    settings: SettingsOption = None,
) -> None:
    """Fit what healthy cells look like, from the reference samples of one stain; failed ones are left out and named."""
    from cellseg.classify_config import ClassifySettings
    from cellseg.io.settings import read_settings
    from cellseg.stages.reference import fit_reference

    fit = fit_reference(measurements, out, stain=parse_stain(stain), settings=read_settings(ClassifySettings, settings))
    typer.echo(f"{out}: {fit.n_cells} healthy cells, {len(fit.features)} features")
    if fit.usable and fit.parted_by == "cells":
        typer.echo("note: one sample alone: p-values are of its own cells, and other healthy slides differ by more")
    for name, why in fit.left_out.items():
        typer.echo(f"left out: {name}, {why}")
    for tissue_name, part in fit.tissues.items():
        typer.echo(
            f"in {tissue_name}: {part.n_cells} healthy cells{f' (not usable: {part.fault})' if part.fault else ''}"
        )
