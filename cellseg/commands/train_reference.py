"""A healthy reference from labelled cells: `cellseg train reference`. Floor 7."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from cellseg.classify_config import ExcludeSettings, ReferenceSettings
from cellseg.commands.options import OutFile, StainOption, parse_stain
from cellseg.commands.progress import show_progress
from cellseg.commands.train_classifier import (
    AbnormalOption,
    ClassColumnOption,
    DataOption,
    ExcludeOption,
    GroupColumnOption,
    HealthyOption,
    LabelsOption,
    TableOption,
    name_source,
    parse_names,
)


def register(app: typer.Typer) -> None:
    """Make `reference` a command of this app (`cellseg train`)."""
    app.command()(reference)


def reference(
    out: OutFile,
    data: DataOption = None,
    labels: LabelsOption = None,
    table: TableOption = None,
    class_column: ClassColumnOption = "class",
    abnormal: AbnormalOption = "",
    healthy: HealthyOption = "",
    group_column: GroupColumnOption = "",
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
    exclude: ExcludeOption = None,
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
