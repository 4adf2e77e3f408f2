"""How right a result is, against truth: `cellseg evaluate labels`, `points`, `verdict`. Floor 7."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cellseg.commands.progress import show_progress
from cellseg.errors import ConfigError

if TYPE_CHECKING:
    from cellseg.stages.evaluate import Row
    from cellseg.stages.pairs import Pair

app = typer.Typer(no_args_is_help=True, help="Compare results with truth: label images, points, verdicts.")

Prediction = Annotated[
    Path | None, typer.Argument(metavar="[PREDICTION", help="Label image, or a folder of them, or a results folder.")
]
PairsOption = Annotated[
    Path | None,
    typer.Option(
        "--pairs", help="CSV with the columns prediction, truth and, if wanted, group; instead of the arguments."
    ),
]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the figures to this file too.")]
DrawsOption = Annotated[int, typer.Option("--draws", min=10, help="Bootstrap draws for the 95 % intervals.")]
SeedOption = Annotated[int, typer.Option("--seed", help="Seed of the bootstrap.")]


def _pairs(
    prediction: Path | None, truth: Path | None, table: Path | None, suffixes: tuple[str, ...] | None = None
) -> tuple[Pair, ...]:
    from cellseg.stages.pairs import find_pairs, read_pairs

    if table is not None and prediction is None:
        return read_pairs(table)
    if table is None and prediction is not None and truth is not None:
        return find_pairs(prediction, truth, suffixes=suffixes) if suffixes else find_pairs(prediction, truth)
    raise ConfigError("give PREDICTION and TRUTH (two files or two folders), or --pairs with a CSV")


def _show(rows: list[Row], json: Path | None) -> None:
    from cellseg.stages.evaluate import format_rows, write_rows

    if json is not None:
        write_rows(json, rows)
    typer.echo(format_rows(rows))


@app.command()
def labels(
    prediction: Prediction = None,
    truth: Annotated[
        Path | None, typer.Argument(metavar="TRUTH]", help="Label image of truth, or a folder of them.")
    ] = None,
    pairs: PairsOption = None,
    json: JsonOption = None,
    draws: DrawsOption = 1000,
    seed: SeedOption = 0,
) -> None:
    """AP at IoU 0.5 to 0.9, precision, recall, F1, PQ, AJI and Dice of label images, per group, with intervals."""
    from cellseg.stages.evaluate import evaluate_labels, format_label_rows, write_rows

    chosen = _pairs(prediction, truth, pairs)
    with show_progress("evaluate") as progress:
        rows = evaluate_labels(chosen, n_draws=draws, seed=seed, progress=progress)
    if json is not None:
        write_rows(json, rows)
    typer.echo(format_label_rows(rows))


@app.command()
def points(
    prediction: Prediction = None,
    truth: Annotated[
        Path | None, typer.Argument(metavar="TRUTH]", help="Points: CSV with y_px, x_px, or text of `x y class`.")
    ] = None,
    pairs: PairsOption = None,
    json: JsonOption = None,
    draws: DrawsOption = 1000,
    seed: SeedOption = 0,
) -> None:
    """Share of true points that lie in a cell of their own, in a shared one, in none; per group, with intervals."""
    from cellseg.stages.evaluate import evaluate_points

    chosen = _pairs(prediction, truth, pairs, (".csv", ".txt"))
    with show_progress("evaluate") as progress:
        rows = evaluate_points(chosen, n_draws=draws, seed=seed, progress=progress)
    _show(rows, json)


@app.command()
def verdict(
    cells: Annotated[Path, typer.Argument(metavar="CELLS", help="cells.parquet or cells.csv of a slide.")],
    label_image: Annotated[Path, typer.Argument(metavar="LABELS", help="Its label image.")],
    truth_labels: Annotated[Path, typer.Argument(metavar="TRUTH_LABELS", help="Label image of truth.")],
    truth: Annotated[
        Path, typer.Argument(metavar="TRUTH", help="CSV with the columns cell_id, abnormal (true or false).")
    ],
    json: JsonOption = None,
    draws: DrawsOption = 1000,
    seed: SeedOption = 0,
) -> None:
    """AUROC, average precision, balanced accuracy, sensitivity, specificity of verdicts on cells matched to truth."""
    from cellseg.stages.evaluate import VerdictCase, evaluate_verdict

    rows = evaluate_verdict([VerdictCase(cells, label_image, truth_labels, truth)], n_draws=draws, seed=seed)
    _show(rows, json)
