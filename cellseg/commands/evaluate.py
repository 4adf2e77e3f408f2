"""How right a result is, against truth: `cellseg evaluate labels`, `points`, `semantic`, `verdict`. Floor 7."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cellseg.commands.progress import show_progress
from cellseg.errors import ConfigError

if TYPE_CHECKING:
    from cellseg.stages.evaluate import Row
    from cellseg.stages.judged_cells import JudgedTable
    from cellseg.stages.pairs import Pair

app = typer.Typer(
    no_args_is_help=True, help="Compare results with truth: label images, points, maps of tissue, verdicts."
)

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
    prediction: Path | None,
    truth: Path | None,
    table: Path | None,
    suffixes: tuple[str, ...] = (".tif", ".tiff", ".png"),
    inner: str = "segment/labels.ome.tif",
) -> tuple[Pair, ...]:
    from cellseg.stages.pairs import find_pairs, read_pairs

    if table is not None and prediction is None:
        return read_pairs(table)
    if table is None and prediction is not None and truth is not None:
        return find_pairs(prediction, truth, suffixes=suffixes, inner=inner)
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
def semantic(
    prediction: Annotated[
        Path | None, typer.Argument(metavar="[PREDICTION", help="Map of tissue, a folder of them, or a results folder.")
    ] = None,
    truth: Annotated[Path | None, typer.Argument(metavar="TRUTH]", help="Map or mask of truth, or a folder.")] = None,
    pairs: PairsOption = None,
    classes: Annotated[
        str,
        typer.Option("--classes", help="Names of the values 0, 1, ... of truth, by commas; default: as in the map."),
    ] = "",
    groups: Annotated[
        list[str] | None,
        typer.Option("--groups", help="Score groups too: 'stroma=stroma; gland=normal,polyp'; may be repeated."),
    ] = None,
    index: Annotated[
        Path | None, typer.Option("--index", help="CSV with id and case: intervals are over cases, not images.")
    ] = None,
    no_class_is: Annotated[
        str, typer.Option("--no-class-is", help="Class that pixels without one (glass) count as; default: wrong.")
    ] = "",
    tolerance_px: Annotated[
        float | None, typer.Option("--tolerance-px", min=0, help="Of boundary F1; default: 0.75 % of the diagonal.")
    ] = None,
    json: JsonOption = None,
    draws: DrawsOption = 1000,
    seed: SeedOption = 0,
) -> None:
    """Confusion matrix, Dice, IoU, boundary F1 and pixel accuracy of maps, per class and per case, with intervals."""
    from cellseg.stages.evaluate import write_rows
    from cellseg.stages.evaluate_semantic import (
        SemanticSettings,
        evaluate_semantic,
        format_semantic,
        map_names,
        parse_levels,
        read_cases,
    )

    chosen = _pairs(prediction, truth, pairs, (".png", ".tif", ".tiff"), inner="tissue/tissue.ome.tif")
    names = tuple(name.strip() for name in classes.split(",") if name.strip())
    if not names:
        names = map_names(chosen[0].prediction)
    if not names or (no_class_is and no_class_is not in names):
        raise ConfigError(
            f"--classes: {', '.join(names) or 'the map names none'}; give the names of the values of truth"
        )
    settings = SemanticSettings(names, parse_levels(groups or [], names), no_class_is, tolerance_px)
    cases = read_cases(index) if index is not None else None
    with show_progress("evaluate") as progress:
        result = evaluate_semantic(chosen, settings, cases=cases, n_draws=draws, seed=seed, progress=progress)
    if json is not None:
        write_rows(json, [*result.classes, *result.cases])
    typer.echo(format_semantic(result, settings))


@app.command()
def verdict(
    predictions: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PREDICTIONS",
            help="Table with truth and verdicts (group, abnormal, status, abnormal_probability, ...); "
            "or cells.parquet of a slide, with the next three.",
        ),
    ] = None,
    label_image: Annotated[Path | None, typer.Argument(metavar="LABELS", help="Its label image.")] = None,
    truth_labels: Annotated[Path | None, typer.Argument(metavar="TRUTH_LABELS", help="Label image of truth.")] = None,
    truth_table: Annotated[
        Path | None, typer.Argument(metavar="TRUTH]", help="CSV with the columns cell_id, abnormal (true or false).")
    ] = None,
    cells: Annotated[
        Path | None, typer.Option("--cells", help="Results folder (samples/NAME/cells.parquet); with --truth.")
    ] = None,
    truth: Annotated[
        Path | None, typer.Option("--truth", help="Labelled cells, as `cellseg label-cells` makes them.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold", min=0, max=1, help="Probability over which a cell is called abnormal; default: as the table."
        ),
    ] = None,
    weak: Annotated[
        tuple[float, float], typer.Option("--weak", help="Share called right and AUROC under which a class is weak.")
    ] = (0.7, 0.8),
    plots: Annotated[Path | None, typer.Option("--plots", help="Folder for pictures (PNG) of the figures.")] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            help="Results folder the predictions' cells are of; with it pictures of cells that were called wrongly are "
            "drawn into --plots.",
        ),
    ] = None,
    json: JsonOption = None,
    draws: DrawsOption = 1000,
    seed: SeedOption = 0,
) -> None:
    """AUROC, decision, coverage and calibration of verdicts on cells of known class, by group and class."""
    from cellseg.evaluate.by_group import Draws, WeakBounds
    from cellseg.stages.evaluate import write_rows
    from cellseg.stages.evaluate_verdict import format_verdict, report_rows, report_verdict
    from cellseg.stages.wrong_cells import find_images, write_wrong_cells

    if results is not None and (plots is None or predictions is None or label_image is not None):
        raise ConfigError("--results goes with PREDICTIONS, a table, and --plots, the folder for pictures; give both")
    table = _judged((predictions, label_image, truth_labels, truth_table), cells, truth, threshold)
    # before the figures, which take their time
    images = None if results is None or predictions is None else find_images(results, predictions, table)
    report = report_verdict(table, draws=Draws(draws, seed), bounds=WeakBounds(*weak))
    if json is not None:
        write_rows(json, report_rows(report))
    if plots is not None:
        from cellseg.stages.verdict_pictures import write_verdict_plots

        write_verdict_plots(plots, table, report)
        if images is not None:
            write_wrong_cells(plots, table, report, images)
            for note in images.notes:
                typer.echo(f"cellseg: {note}", err=True)
    typer.echo(format_verdict(report))


def _judged(
    files: tuple[Path | None, Path | None, Path | None, Path | None],
    results: Path | None,
    truth: Path | None,
    threshold: float | None,
) -> JudgedTable:
    from cellseg.stages.judged_cells import VerdictCase, read_cases, read_judged, read_predictions

    first, labels_of, true_labels, true_table = files
    if results is not None and truth is not None and first is None:
        return read_judged(results, truth, threshold=threshold)
    if results is None and truth is None and first is not None:
        if labels_of is None:
            return read_predictions(first, threshold=threshold)
        if true_labels is not None and true_table is not None:
            return read_cases([VerdictCase(first, labels_of, true_labels, true_table)], threshold=threshold)
    raise ConfigError(
        "give PREDICTIONS (a table with truth and verdicts), or --cells (a results folder) with --truth (labelled "
        "cells), or CELLS LABELS TRUTH_LABELS TRUTH of one slide"
    )
