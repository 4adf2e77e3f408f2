"""From what people say of cells to the table of labelled cells, which models are trained on and judged by. Floor 6.

A cell that nobody marked has no row: it is unknown, never healthy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.classify_config import LabelSettings
from cellseg.columns.labels import LABEL_COLUMNS
from cellseg.errors import ConfigError, TableError
from cellseg.evaluate.labelled import Side, class_sides, settle_marks
from cellseg.io.atomic import write_json
from cellseg.io.cell_labels import Marks
from cellseg.io.labels import LabelImage, open_labels
from cellseg.io.table import TableWriter, schema_of
from cellseg.stages.label_sources import CellsOf, Source, find_cells, named_cells, sources_by_sample
from cellseg.stages.match_marks import Pairs, match_marks
from cellseg.stages.outcome import read_failure
from cellseg.types import Labels, Progress, silent


@dataclass(frozen=True)
class LabelOptions:
    """How marks become labels."""

    settings: LabelSettings = field(default_factory=LabelSettings)
    groups: Mapping[str, str] = field(default_factory=dict)
    """sample -> patient or slide, for cells of which the source itself says none."""
    tolerance_um: float = 0.0
    """um; a point in no cell belongs to the nearest one so far away that holds no point; 0: to none."""
    mpp: float | None = None
    """um per pixel for the tolerance, where label images say none."""


@dataclass(frozen=True)
class SampleLabels:
    """What became of a sample's marks (points, outlines, rows of tables)."""

    sample: str
    n_marks: int
    n_undecided: int
    """marks without a class, or `uncertain`, `skip`."""
    n_matched: int
    """marks that stand for a cell."""
    n_near: int
    """of these, points beside their cell."""
    n_outside: int
    """marks that stand for no cell."""
    n_cells: int = 0
    """cells with marks."""
    n_shared: int = 0
    """of these, cells with several marks."""
    n_ambiguous: int = 0
    """cells whose marks differ in class; they get no row."""
    n_ignored: int = 0
    """cells of ignored classes; they get no row."""
    n_healthy: int = 0
    n_abnormal: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    """cells of each class, the ignored ones too."""
    failed: str = ""
    """why the sample has no cells; its marks are lost."""


@dataclass(frozen=True)
class LabelReport:
    """What became of all marks."""

    samples: tuple[SampleLabels, ...]
    sides: dict[str, Side]
    """healthy, abnormal or ignored, of each class."""
    class_marks: dict[str, int]
    """marks of each class."""
    groups: dict[str, int]
    """labelled cells of each patient or slide; "" those without."""
    n_unmarked: int
    """samples without marks."""

    def total(self) -> dict[str, int]:
        """The counts of all samples together."""
        names = [name for name in SampleLabels.__dataclass_fields__ if name.startswith("n_")]
        return {name: sum(getattr(sample, name) for sample in self.samples) for name in names}

    def class_cells(self) -> dict[str, int]:
        """Cells of each class, those of ignored classes too."""
        found: Counter[str] = Counter(dict.fromkeys(self.sides, 0))
        for sample in self.samples:
            found.update(sample.classes)
        return dict(found)


@dataclass(frozen=True)
class _Found:
    """Marks of a sample that stand for cells."""

    ids: Labels
    codes: NDArray[np.int64]
    sources: NDArray[np.int64]
    groups: NDArray[np.object_]


def label_cells(
    cells: Path,
    sources: Sequence[Path],
    out: Path,
    *,
    options: LabelOptions,
    sample: str | None = None,
    progress: Progress = silent,
) -> LabelReport:
    """Write the table of the cells that have one class; see `LABEL_COLUMNS` for what it holds.

    A mark is a row that names a cell, a point in a cell, or an outline; see `match_marks` for which cell it stands for.
    A cell takes the class that its marks agree on; where they differ it is ambiguous and gets no row. Cells without
    marks get none either. The same input gives the same bytes; rows are by sample and cell id.

    Parameters
    ----------
    cells : Path
        A results folder, a label image, a folder of label images, or a table of cells (Parquet, CSV; for rows that name
        cells). A slide that failed in the batch loses its marks, which the report says.
    sources : sequence of Path
        Tables, lists of points and GeoJSON files, or folders of them. A file is about the samples of its column
        `sample`, else about the sample that it is named after, else about the only one.
    out : Path
        The table (.parquet or .csv).
    options : LabelOptions
        Meaning of classes, groups, tolerance.
    sample : str, optional
        Name of the only sample; default: the file's.

    Raises
    ------
    ConfigError
        If a file or folder is not there, a source is about no known sample, a class has no meaning, or a tolerance is
        asked for where there is no pixel size.
    LabelError, TableError
        If a file cannot be read, a point lies outside of its image, or a cell id is not among the cells.
    """
    places = find_cells(cells, sample)
    by_sample = sources_by_sample(sources, places)
    class_marks = _count_classes(by_sample, options.settings)
    sides = class_sides(class_marks, options.settings)
    tables, reports = [], []
    for done, name in enumerate(sorted(by_sample), start=1):
        table, report = _label_sample(name, by_sample[name], places[name], sides, options)
        tables.append(table)
        reports.append(report)
        progress(done, len(by_sample))
    schema = schema_of(LABEL_COLUMNS)
    whole = pa.concat_tables([schema.empty_table(), *tables]).combine_chunks()
    with TableWriter(out, LABEL_COLUMNS) as writer:
        writer.write(whole)
    groups = Counter(whole["group"].to_pylist())
    unmarked = len(places.keys() - by_sample.keys())
    return LabelReport(tuple(reports), sides, class_marks, dict(sorted(groups.items())), unmarked)


def _count_classes(by_sample: Mapping[str, Sequence[Source]], settings: LabelSettings) -> dict[str, int]:
    """Marks of each class, by the names that settings give."""
    found: Counter[str] = Counter()
    for sources in by_sample.values():
        for source in sources:
            found.update(_names(source.marks, settings))
    del found[""]
    return dict(sorted(found.items()))


def _names(marks: Marks, settings: LabelSettings) -> list[str]:
    return [settings.names.get(name, name) for name in marks.classes.tolist()]


def _label_sample(
    name: str, sources: Sequence[Source], place: CellsOf, sides: Mapping[str, Side], options: LabelOptions
) -> tuple[pa.Table, SampleLabels]:
    """The rows and the counts of one sample."""
    n_marks = sum(len(source.marks) for source in sources)
    n_undecided = sum(int((source.marks.classes == "").sum()) for source in sources)
    failure = read_failure(place.labels) if place.labels is not None else None
    if failure is not None:
        said = f"{failure.stage}: {failure.reason}"
        report = SampleLabels(name, n_marks, n_undecided, 0, 0, n_marks - n_undecided, failed=said)
        return schema_of(LABEL_COLUMNS).empty_table(), report
    codes = {class_name: code for code, class_name in enumerate(sides)}
    found, n_near, n_outside = _find(name, sources, place, codes, options)
    settled = settle_marks(found.ids, found.codes)
    of_class = np.array([*sides], object)[settled.codes]
    of_side = np.array([*sides.values()], object)[settled.codes]
    clear = settled.codes >= 0
    kept = clear & (of_side != "ignored")
    first = settled.first[kept]
    groups = _groups(name, settled.ids[kept], found, options)
    table = pa.table(
        {
            "sample": pa.array([name] * len(first), pa.string()),
            "cell_id": pa.array(settled.ids[kept]),
            "class": pa.array(of_class[kept], pa.string()),
            "abnormal": pa.array(of_side[kept] == "abnormal", pa.bool_()),
            "group": pa.array(groups, pa.string()),
            "source": pa.array([sources[at].path.name for at in found.sources[first]], pa.string()),
        }
    )
    report = SampleLabels(
        name,
        n_marks,
        n_undecided,
        n_matched=n_marks - n_undecided - n_outside,
        n_near=n_near,
        n_outside=n_outside,
        n_cells=len(settled.ids),
        n_shared=int((settled.n_marks > 1).sum()),
        n_ambiguous=int((~clear).sum()),
        n_ignored=int((clear & (of_side == "ignored")).sum()),
        n_healthy=int((kept & (of_side == "healthy")).sum()),
        n_abnormal=int((kept & (of_side == "abnormal")).sum()),
        classes=dict(sorted(Counter(of_class[clear].tolist()).items())),
    )
    return table, report


def _find(
    name: str, sources: Sequence[Source], place: CellsOf, codes: Mapping[str, int], options: LabelOptions
) -> tuple[_Found, int, int]:
    """Cells of all marks of a sample, how many marks are only near their cell, and how many have none."""
    parts: list[_Found] = []
    n_near = n_outside = 0
    with ExitStack() as stack:
        image: LabelImage | None = None
        for at, source in enumerate(sources):
            marks = source.marks
            if marks.points_px is None and marks.polygons is None:
                pairs = named_cells(name, source, place)
            else:
                image = image or stack.enter_context(_open(name, source, place))
                pairs = _match(name, source, image, options)
            of = np.array([codes.get(n, -1) for n in _names(marks, options.settings)], np.int64)
            said = of[pairs.rows] >= 0
            rows = pairs.rows[said]
            n_near += int(pairs.near[said].sum())
            n_outside += int((of >= 0).sum()) - len(np.unique(rows))
            groups = np.full(len(rows), "", object) if marks.groups is None else marks.groups[rows]
            parts.append(_Found(pairs.ids[said], of[rows], np.full(len(rows), at), groups))
    joined = (np.concatenate([getattr(part, key) for part in parts]) for key in _Found.__dataclass_fields__)
    return _Found(*joined), n_near, n_outside


def _open(name: str, source: Source, place: CellsOf) -> LabelImage:
    if place.labels is None:
        raise ConfigError(
            f"{source.path}: points and outlines are matched to a label image, and of sample {name} there is only a "
            "table of cells; give the label image or the results folder"
        )
    return open_labels(place.labels)


def _match(name: str, source: Source, image: LabelImage, options: LabelOptions) -> Pairs:
    mpp = options.mpp or image.mpp
    if options.tolerance_um > 0 and mpp is None:
        raise ConfigError(
            f"{image.path}: no pixel size, which a tolerance of {options.tolerance_um:g} um needs; give --mpp, or no "
            "tolerance"
        )
    try:
        return match_marks(source.marks, image, reach_px=options.tolerance_um / mpp if mpp else 0.0)
    except TableError as error:
        raise TableError(f"{source.path}: sample {name}: {error}") from error


def _groups(name: str, cells: Labels, found: _Found, options: LabelOptions) -> NDArray[np.object_]:
    """Patient or slide of some cells: what a source says, else what is said of the sample."""
    said = found.groups != ""
    values, codes = np.unique(found.groups[said].astype(str), return_inverse=True)
    settled = settle_marks(found.ids[said], codes)
    if (settled.codes < 0).any():
        cell = settled.ids[settled.codes < 0][0]
        listed = ", ".join(sorted({*found.groups[said & (found.ids == cell)]})[:5])
        raise TableError(
            f"sample {name}: cell {cell} is of several groups ({listed}); a cell is of one patient or slide; correct "
            "the column group"
        )
    groups = np.full(len(cells), options.groups.get(name, ""), object)
    _, at, of = np.intersect1d(cells, settled.ids, assume_unique=True, return_indices=True)
    groups[at] = values[settled.codes[of]]
    return groups


def write_report(path: Path, report: LabelReport) -> None:
    """Write the counts as JSON: in all, by class, by group, by sample.

    Raises
    ------
    CellsegError
        If the file cannot be written.
    """
    cells = report.class_cells()
    classes = {
        name: {"side": side, "n_marks": report.class_marks[name], "n_cells": cells[name]}
        for name, side in report.sides.items()
    }
    samples = {sample.sample: {**asdict(sample)} for sample in report.samples}
    for counts in samples.values():
        del counts["sample"]
    write_json(
        path,
        {
            "classes": classes,
            "groups": report.groups,
            "n_samples": len(samples),
            "n_samples_failed": sum(bool(sample.failed) for sample in report.samples),
            "n_samples_without_marks": report.n_unmarked,
            "samples": samples,
            "total": report.total(),
        },
    )


def format_report(report: LabelReport) -> str:
    """The counts as plain text: in all, then by class."""
    total, cells = report.total(), report.class_cells()
    failed = [sample for sample in report.samples if sample.failed]
    lines = [
        f"{len(report.samples)} samples with marks, {report.n_unmarked} without, {len(failed)} failed",
        f"{total['n_marks']} marks: {total['n_matched']} in a cell ({total['n_near']} of them beside it), "
        f"{total['n_outside']} in none, {total['n_undecided']} undecided",
        f"{total['n_cells']} cells with marks: {total['n_shared']} with several, {total['n_ambiguous']} ambiguous, "
        f"{total['n_ignored']} of ignored classes",
        f"{total['n_healthy'] + total['n_abnormal']} cells labelled: {total['n_healthy']} healthy, "
        f"{total['n_abnormal']} abnormal, in {len(report.groups.keys() - {''})} groups "
        f"({report.groups.get('', 0)} cells without a group)",
    ]
    rows = [("class", "counts as", "marks", "cells")]
    rows += [(n, side, str(report.class_marks[n]), str(cells[n])) for n, side in report.sides.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines += [
        f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}" for row in rows
    ]
    return "\n".join([*lines, *(f"{sample.sample} failed at {sample.failed}" for sample in failed)])
