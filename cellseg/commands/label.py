"""The command `cellseg label-cells`: the table of labelled cells that models are trained on. Floor 7."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cellseg.commands.options import OutFile
from cellseg.commands.progress import show_progress
from cellseg.errors import ConfigError


def label_cells(
    cells: Annotated[
        Path,
        typer.Argument(
            metavar="CELLS", help="Results folder, label image, folder of label images, or table of cells (for rows)."
        ),
    ],
    sources: Annotated[
        list[Path],
        typer.Argument(
            metavar="LABELS...",
            help="Tables (cell_id, class; a review's decision), points (x, y, class; text of `x y class`), GeoJSON; or "
            "folders of them, each file named after its sample.",
        ),
    ],
    out: OutFile,
    classes: Annotated[
        str | None,
        typer.Option(
            "--classes",
            help="What classes mean: 'normal=healthy,burr=abnormal,junk=ignored,0=normal', JSON, or a JSON or YAML "
            "file with names, healthy, abnormal, ignored.",
        ),
    ] = None,
    groups: Annotated[
        Path | None, typer.Option("--groups", help="CSV with sample and group: patient or slide of each sample.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--sheet", help="Sample sheet, whose patient (or slide) is the group.")
    ] = None,
    tolerance_um: Annotated[
        float, typer.Option("--tolerance-um", min=0, help="A point in no cell belongs to the nearest so far away, um.")
    ] = 0.0,
    mpp: Annotated[
        float | None, typer.Option("--mpp", min=0.01, max=100, help="um per pixel, where label images say none.")
    ] = None,
    sample: Annotated[
        str | None, typer.Option("--sample", help="Name of the only sample; default: the label image's.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the counts of each sample to this file too.")
    ] = None,
) -> None:
    """Make the table of labelled cells: sample, cell_id, class, abnormal, group, source; unmarked cells stay unknown.

    Cells with points of different classes, and points in no cell, are counted and get no row.
    """
    from cellseg.classify_config import LabelSettings
    from cellseg.io.cell_labels import parse_classes, read_groups
    from cellseg.io.samples import read_samples
    from cellseg.stages.label_cells import LabelOptions, format_report, write_report
    from cellseg.stages.label_cells import label_cells as label
    from cellseg.stages.label_sources import sheet_groups

    if groups is not None and sheet is not None:
        raise ConfigError("--groups and --sheet both say groups; give one")
    of = read_groups(groups) if groups is not None else {}
    of = sheet_groups(read_samples(sheet, check_files=False)) if sheet is not None else of
    options = LabelOptions(
        settings=LabelSettings() if classes is None else parse_classes(classes),
        groups=of,
        tolerance_um=tolerance_um,
        mpp=mpp,
    )
    with show_progress("label-cells") as progress:
        report = label(cells, sources, out, options=options, sample=sample, progress=progress)
    if json is not None:
        write_report(json, report)
    typer.echo(format_report(report))
