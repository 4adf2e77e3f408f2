"""The commands about where results come from: `cellseg provenance`. Floor 7."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cellseg.commands.options import WorkersOption
from cellseg.errors import ConfigError

ResultsArgument = Annotated[Path, typer.Argument(metavar="RESULTS", help="Folder of results.")]


def provenance(
    results: ResultsArgument,
    samples: Annotated[Path, typer.Option("--samples", help="The sample sheet.")] = Path("samples.tsv"),
    settings: Annotated[str, typer.Option("--settings", help="All settings of the run, as JSON or a file.")] = "{}",
    workflow: Annotated[
        Path | None, typer.Option("--workflow", help="The Snakefile; default: the one beside the package.")
    ] = None,
    fetched: Annotated[
        list[str] | None,
        typer.Option("--fetched", help="SAMPLE=FILE: where an image lies that the sheet names by a URL."),
    ] = None,
    fetched_tissue: Annotated[
        list[str] | None, typer.Option("--fetched-tissue", help="SAMPLE=FILE: the same of a drawing of tissues.")
    ] = None,
    workers: WorkersOption = 1,
) -> None:
    """Write an RO-Crate of a run: inputs, settings, versions, weights and results, each with its sha256; run times."""
    from cellseg.config import Config
    from cellseg.io.settings import read_settings
    from cellseg.stages.crate_files import CRATE_NAME
    from cellseg.stages.provenance import write_provenance

    done = write_provenance(
        results, samples, settings=read_settings(Config, settings), workflow=workflow,
        images=_places("--fetched", fetched), tissues=_places("--fetched-tissue", fetched_tissue), workers=workers,
    )  # fmt: skip
    failed = f"; {done.n_failed} samples failed" if done.n_failed else ""
    typer.echo(f"{results / CRATE_NAME}: {done.n_results} results, {done.n_inputs} inputs{failed}")


def _places(option: str, given: list[str] | None) -> dict[str, Path]:
    """Files by sample."""
    places = {}
    for text in given or []:
        sample, sign, path = text.partition("=")
        if not sign:
            raise ConfigError(f"{option} {text}: expected SAMPLE=FILE")
        places[sample] = Path(path)
    return places


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(provenance)
