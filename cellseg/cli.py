"""The command line: the only place that catches `CellsegError`. Floor 7.

Nothing heavy is imported before a command runs, so that `--help` is immediate.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cellseg import __version__
from cellseg.commands import batch, evaluate, features, label, project, provenance, shards, stages, train
from cellseg.errors import CellsegError, is_machine_fault

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Per-cell tables from microscope images: which cells are abnormal, with the measurements and the reasons.\n\n"
    "A stage runs alone on one image: preprocess, segment, measure, classify, tables, overlay, polygons, integrity. "
    "`cellseg analyze IMAGE... -o DIR` runs the whole chain on a few images; for batches, `cellseg init` makes a "
    "project that snakemake runs.",
)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"cellseg {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


stages.register(app)
shards.register(app)
provenance.register(app)
project.register(app)
app.command("label-cells")(label.label_cells)
app.add_typer(batch.app, name="batch")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(features.app, name="features")
app.add_typer(train.app, name="train")


def main() -> None:
    """Run the command line; a `CellsegError` is one line on stderr and exit status 1, anything else our bug."""
    try:
        app()
    except CellsegError as error:
        sys.stderr.write(f"cellseg: error: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("cellseg: interrupted; finished files are whole, start again to go on\n")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)
    except (MemoryError, OSError) as error:
        if not is_machine_fault(error):
            raise
        cure = "make room on the disk, give the job more memory, or take fewer --workers and smaller --tile-px"
        sys.stderr.write(f"cellseg: error: the machine failed ({error or 'out of memory'}); {cure}\n")
        sys.exit(1)
