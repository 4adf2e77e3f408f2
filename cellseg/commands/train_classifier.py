"""Training a classifier of cells: `cellseg train classifier`. Floor 7."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cellseg.classify_config import ExcludeSettings, ModelSettings, TrainClassifierSettings
from cellseg.commands.options import OutFile, StainOption, WorkersOption, parse_stain
from cellseg.commands.progress import show_progress
from cellseg.errors import ConfigError
from cellseg.types import Progress

if TYPE_CHECKING:
    from cellseg.stages.train_classifier import LabelledTables
    from cellseg.stages.training_cells import ClassTable


DataOption = Annotated[
    list[Path] | None,
    typer.Option("--data", help="Results folder, or table with sample, cell_id and features; may be repeated."),
]
LabelsOption = Annotated[
    Path | None,
    typer.Option("--labels", help="Table of `cellseg label-cells`: sample, cell_id, class, abnormal, group."),
]
TableOption = Annotated[
    Path | None, typer.Option("--table", help="Instead of both: one table of features with a column of classes.")
]
ClassColumnOption = Annotated[str, typer.Option("--class-column", help="Of --table: the column of classes.")]
AbnormalOption = Annotated[str, typer.Option("--abnormal", help="Of --table: abnormal classes, by commas.")]
HealthyOption = Annotated[
    str, typer.Option("--healthy", help="Of --table: healthy classes, by commas; default: all others.")
]
GroupColumnOption = Annotated[str, typer.Option("--group-column", help="Of --table: the column of patient or slide.")]
ExcludeOption = Annotated[
    str | None, typer.Option("--exclude", help="The section classify.exclude of the settings, as JSON or a file.")
]


def register(app: typer.Typer) -> None:
    """Make `classifier` a command of this app (`cellseg train`)."""
    app.command()(classifier)


def classifier(
    out: OutFile,
    data: DataOption = None,
    labels: LabelsOption = None,
    table: TableOption = None,
    class_column: ClassColumnOption = "class",
    abnormal: AbnormalOption = "",
    healthy: HealthyOption = "",
    group_column: GroupColumnOption = "",
    stain: StainOption = None,
    settings: Annotated[
        str | None, typer.Option("--settings", help="Settings of the training (docs/training.md), as JSON or a file.")
    ] = None,
    exclude: ExcludeOption = None,
    coverage: Annotated[
        float, typer.Option("--coverage", min=0.5, max=0.999, help="What conformal sets are asked for in the test.")
    ] = ModelSettings().coverage,
    permute: Annotated[
        int, typer.Option("--permute", min=0, help="Shuffles of the labels inside of groups, whose AUROC must be 0.5.")
    ] = 0,
    test: Annotated[
        bool, typer.Option("--test/--no-test", help="Test on groups held out from everything, and for leaks.")
    ] = True,
    workers: WorkersOption = 2,
) -> None:
    """Train a model that tells abnormal from healthy cells; writes it, its report and held-out predictions.

    Cells of one patient or slide are never parted: without the column group the command refuses, unless the settings
    say that rows are independent (groups: cells_are_independent).
    """
    from cellseg.io.settings import read_settings
    from cellseg.stages.classifier_report import format_report
    from cellseg.stages.train_classifier import ClassifierRequest, train_classifier

    source = name_source(
        data, labels, table, class_column=class_column, abnormal=abnormal, healthy=healthy, group_column=group_column,
        exclude=read_settings(ExcludeSettings, exclude),
    )  # fmt: skip
    request = ClassifierRequest(
        source, out, read_settings(TrainClassifierSettings, settings), parse_stain(stain or "he"), coverage, permute,
        test, test, workers, shlex.join(["cellseg", *sys.argv[1:]]),
    )  # fmt: skip
    with _steps() as steps:
        report = train_classifier(request, progress=steps)
    typer.echo(format_report(report))
    typer.echo(f"{out}: use it by classify.model.weights")


def name_source(
    data: list[Path] | None,
    labels: Path | None,
    table: Path | None,
    *,
    class_column: str,
    abnormal: str,
    healthy: str,
    group_column: str,
    exclude: ExcludeSettings,
) -> LabelledTables | ClassTable:
    """Where labelled cells come from: results and labels, or one table.

    Raises
    ------
    ConfigError
        If it is neither, or both.
    """
    from cellseg.stages.train_classifier import LabelledTables
    from cellseg.stages.training_cells import ClassTable

    if table is not None and not data and labels is None:
        return ClassTable(table, class_column, parse_names(abnormal), parse_names(healthy), group_column)
    if data and labels is not None and table is None:
        return LabelledTables(tuple(data), labels, exclude)
    raise ConfigError("nothing to train on: give --data and --labels, or --table alone")


@contextmanager
def _steps() -> Iterator[_Steps]:
    with ExitStack() as stack:
        yield _Steps(stack)


class _Steps:
    """One progress display after the other."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def __call__(self, name: str) -> Progress:
        self._stack.close()
        return self._stack.enter_context(show_progress(name))


def parse_names(text: str) -> tuple[str, ...]:
    """Names that are parted by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())
