"""A healthy reference from labelled cells: `cellseg train reference`. Floor 7."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from cellseg.classify_config import ExcludeSettings, ReferenceSettings
from cellseg.commands.options import OutFile, StainOption, parse_stain
from cellseg.commands.progress import show_progress
from cellseg.commands.train_classifier import name_source, parse_names


def register(app: typer.Typer) -> None:
    """Make `reference` a command of this app (`cellseg train`)."""
    app.command()(reference)


def reference(
    out: OutFile,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="Results folder, or table with sample, cell_id and features; may be repeated."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="Table of `cellseg label-cells`: sample, cell_id, class, abnormal, group."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--table", help="Instead of both: one table of features with a column of classes.")
    ] = None,
    class_column: Annotated[str, typer.Option("--class-column", help="Of --table: the column of classes.")] = "class",
    abnormal: Annotated[str, typer.Option("--abnormal", help="Of --table: abnormal classes, by commas.")] = "",
    healthy: Annotated[
        str, typer.Option("--healthy", help="Of --table: healthy classes, by commas; default: all others.")
    ] = "",
    group_column: Annotated[
        str, typer.Option("--group-column", help="Of --table: the column of patient or slide.")
    ] = "",
    train_only: Annotated[
        str, typer.Option("--train-only", help="Groups that are only fitted on, never tested, by commas.")
    ] = "",
    independent: Annotated[
        bool, typer.Option("--independent-rows", help="Rows are patients: tested in ten parts drawn at random.")
    ] = False,
    stain: StainOption = None,
    settings: Annotated[
        str | None, typer.Option("--settings", help="Section classify.reference of the settings, as JSON or a file.")
    ] = None,
    exclude: Annotated[
        str | None, typer.Option("--exclude", help="The section classify.exclude of the settings, as JSON or a file.")
    ] = None,
    test: Annotated[bool, typer.Option("--test/--no-test", help="Test on groups that the fit never saw.")] = True,
) -> None:
    """Fit what healthy cells look like on cells labelled healthy, where no slide is healthy throughout.

    Abnormal cells shape nothing; they, and the healthy ones, of each group in turn are judged by a fit on the others.
    """
    from cellseg.io.settings import read_settings
    from cellseg.stages.train_reference import ReferenceRequest, format_reference, train_reference

    source = name_source(
        data, labels, table, class_column=class_column, abnormal=abnormal, healthy=healthy, group_column=group_column,
        exclude=read_settings(ExcludeSettings, exclude),
    )  # fmt: skip
    request = ReferenceRequest(
        source, out, read_settings(ReferenceSettings, settings), parse_stain(stain or "he"), parse_names(train_only),
        independent, test, shlex.join(["cellseg", *sys.argv[1:]]),
    )  # fmt: skip
    with show_progress("test") as progress:
        record = train_reference(request, progress=progress)
    typer.echo(format_reference(record))
    typer.echo(f"{out}: use it by --reference of `cellseg classify` and `cellseg analyze`")
