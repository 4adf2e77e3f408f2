"""The commands `cellseg features`: which families there are, and what other tools call their columns. Floor 7."""

from __future__ import annotations

from typing import Annotated

import typer

from cellseg.errors import ConfigError

app = typer.Typer(
    no_args_is_help=True, help="Which features there are, and what CellProfiler, QuPath and HistomicsTK call them."
)


@app.command("list")
def list_features(
    family: Annotated[str | None, typer.Option("--family", help="Only this family, with every column of it.")] = None,
) -> None:
    """The families that `measure.families` takes; with --family, its columns with unit, meaning, formula and source."""
    from cellseg.columns.families import ABOUT
    from cellseg.stages.describe import family_columns, family_overview

    if family is None:
        typer.echo(family_overview())
        return
    if family not in ABOUT:
        raise ConfigError(f"--family {family}: no such family; choose one of {', '.join(ABOUT)}")
    typer.echo(family_columns(family))


@app.command("compare")
def compare_features(
    tool: Annotated[
        str | None, typer.Option("--tool", help="cellprofiler, qupath or histomicstk; default: all of them.")
    ] = None,
) -> None:
    """Each measurement of another tool beside the column that holds it here, and where the two differ."""
    from cellseg.columns.equivalents import TOOLS
    from cellseg.stages.describe import equivalents_table

    if tool is not None and tool not in TOOLS:
        raise ConfigError(f"--tool {tool}: not a tool that is compared; choose one of {', '.join(TOOLS)}")
    typer.echo(equivalents_table(TOOLS if tool is None else (tool,)))
