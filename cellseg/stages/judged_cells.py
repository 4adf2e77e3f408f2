"""Cells with a true class and a verdict, read from a table of predictions, results or label images. Floor 6."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cellseg.errors import TableError
from cellseg.evaluate.by_group import GroupedCells
from cellseg.evaluate.matching import match_instances
from cellseg.evaluate.verdict import JudgedCells, judge_cells, pair_rows
from cellseg.io.cell_labels import read_labelled
from cellseg.io.table import read_schema, read_table
from cellseg.stages.evaluate import read_overlaps
from cellseg.stages.results import sample_folder
from cellseg.types import STATUSES

_WORDS = {"true": True, "1": True, "false": False, "0": False}
_NEEDED = ("group", "abnormal", "status")
_RANKED_BY = ("abnormal_probability", "abnormal_score")
_SETS = ("healthy_plausible", "abnormal_plausible")
_OPTIONAL = ("sample", "cell_id", "class", "called", "threshold", "scored_by", *_SETS)
THRESHOLD = 0.5
"""Probability over which a cell is called abnormal, where no table and no option says."""


@dataclass(frozen=True)
class JudgedTable:
    """What was read: the cells, where from (`name`), and `notes`, one line each, on what was left out.

    `threshold` is the probability over which cells are called abnormal, where it is one for all.
    """

    data: GroupedCells
    name: str
    notes: tuple[str, ...] = ()
    threshold: float | None = None


@dataclass(frozen=True)
class VerdictCase:
    """One image's verdicts and truth: cells table, label image, true label image, true table (cell_id, abnormal)."""

    cells: Path
    labels: Path
    truth_labels: Path
    truth_table: Path
    group: str = "all"


def read_predictions(path: Path, *, threshold: float | None = None) -> JudgedTable:
    """The cells of one table of truth and verdicts, such as the predictions that `cellseg train classifier` writes.

    Needed columns are group, abnormal, status, and abnormal_probability or abnormal_score. Taken where they are there:
    sample, cell_id, class; called (the decision) or threshold (of each row's model); healthy_plausible and
    abnormal_plausible (the conformal set).

    Parameters
    ----------
    path : Path
        CSV or Parquet.
    threshold : float, optional
        Probability over which a cell is called abnormal, in place of what the table says; default 0.5.

    Raises
    ------
    TableError
        If the table cannot be read, lacks a column or a group, or holds what is no status, truth or probability.
    """
    table = _read_known(path, (*_NEEDED, *_RANKED_BY, *_OPTIONAL))
    names = table.column_names
    if missing := [name for name in _NEEDED if name not in names]:
        raise TableError(
            f"{path}: no column {', '.join(missing)}; expected group, abnormal, status and abnormal_probability or "
            "abnormal_score; add what is missing"
        )
    if not set(_RANKED_BY) & set(names):
        raise TableError(f"{path}: neither abnormal_probability nor abnormal_score; add what ranks the cells")
    if not table.num_rows:
        raise TableError(f"{path}: no rows; expected one a cell")
    _check_once(table, path)
    abnormal, status = _bools(table, "abnormal", path), _statuses(table, path)
    by_reference = _by_reference(table)
    said = _thresholds(table, path) if threshold is None else np.full(table.num_rows, threshold)
    if threshold is None:
        said = np.where(by_reference, np.nan, said)
    called = _bools(table, "called", path) if threshold is None and "called" in names else None
    sides = [_bools(table, name, path) for name in _SETS if set(_SETS) <= set(names)]
    cells = judge_cells(
        abnormal, status, _floats(table, "abnormal_score", path), _probabilities(table, path), threshold=said,
        called=called, plausible=np.stack(sides, axis=1) if sides else None, by_score=bool(by_reference.all()),
    )  # fmt: skip
    one = float(said[0]) if called is None and np.unique(said).size == 1 and np.isfinite(said[0]) else None
    return _grouped(cells, table, path, (), one)


def read_judged(results: Path, truth: Path, *, threshold: float | None = None) -> JudgedTable:
    """The labelled cells among those of a results folder; cells that nobody labelled are unknown, and left out.

    Parameters
    ----------
    results : Path
        Results folder: samples/NAME/cells.parquet.
    truth : Path
        Table of labelled cells, as `cellseg label-cells` makes it.
    threshold : float, optional
        Probability over which a cell of a model is called abnormal, in place of what the tables say.

    Raises
    ------
    TableError
        If a table cannot be read or lacks a column, a labelled cell has no group, or none is among the cells.
    """
    labelled = read_labelled(truth)
    samples, ids = _texts(labelled, "sample"), labelled["cell_id"].to_numpy()
    rows, parts, without = [np.empty(0, np.int64)], [], 0
    for sample in np.unique(samples):
        path = sample_folder(results, str(sample)) / "cells.parquet"
        if not path.is_file():
            without += 1
            continue
        own = np.flatnonzero(samples == sample)
        found, part = _verdicts_of(path, ids[own])
        rows.append(own[found])
        parts.append(part)
    at = np.concatenate(rows)
    if not at.size:
        raise TableError(
            f"{results}: none of the {len(samples)} labelled cells of {truth} is among its cells ({without} of "
            f"{np.unique(samples).size} samples are not there); check that results and labels are of one run"
        )
    chosen = labelled.take(pa.array(at))
    verdicts = _Verdicts(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    cells = _judge(_bools(chosen, "abnormal", truth), verdicts, threshold)
    lost = len(samples) - at.size
    lacks = f", which lacks {without} samples" if without else ""
    note = f"{lost} of {len(samples)} labelled cells left out: not among the cells of {results}{lacks}"
    return _grouped(cells, chosen, truth, (note,) if lost else (), threshold)


class _Verdicts(NamedTuple):
    """Columns of a cells table."""

    status: NDArray[np.str_]
    score: NDArray[np.float64]
    probability: NDArray[np.float64]
    by_reference: NDArray[np.bool_]
    called: NDArray[np.bool_]

    def take(self, rows: NDArray[np.int64]) -> _Verdicts:
        return _Verdicts(
            self.status[rows], self.score[rows], self.probability[rows], self.by_reference[rows], self.called[rows]
        )


def _read_verdicts(path: Path) -> tuple[NDArray[np.uint32], _Verdicts]:
    cells = _read_known(path, ("cell_id", "status", "scored_by", "called_abnormal", *_RANKED_BY))
    if missing := [name for name in ("cell_id", "status", "abnormal_score") if name not in cells.column_names]:
        raise TableError(f"{path}: no column {', '.join(missing)}; make the table again with `cellseg tables`")
    status, probability = _statuses(cells, path), _probabilities(cells, path)
    called = np.nan_to_num(probability) > THRESHOLD
    if "called_abnormal" in cells.column_names:
        called = _bools(cells, "called_abnormal", path)
    score = _floats(cells, "abnormal_score", path)
    # a rule may call what the judges do not
    verdicts = _Verdicts(status, score, probability, _by_reference(cells), called | (status == "abnormal"))
    return cells["cell_id"].to_numpy(), verdicts


def _verdicts_of(path: Path, wanted: NDArray[np.uint32]) -> tuple[NDArray[np.bool_], _Verdicts]:
    """Which of these ids a cells table has, and the verdicts of those, in the order asked for."""
    ids, verdicts = _read_verdicts(path)
    at_of = {int(number): at for at, number in enumerate(ids)}
    found = np.array([int(number) in at_of for number in wanted], bool)
    at = np.array([at_of[int(number)] for number in wanted[found]], np.int64)
    return found, verdicts.take(at)


def read_cases(cases: Sequence[VerdictCase], *, iou: float = 0.5, threshold: float | None = None) -> JudgedTable:
    """The cells of images that match truth at IoU >= `iou`; each image is a sample.

    Raises
    ------
    LabelError, TableError
        If a file cannot be read or lacks a column.
    """
    parts = [_judge_case(case, iou, threshold) for case in cases]
    n = [part.abnormal.size for part in parts]
    cells = JudgedCells(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in JudgedCells.__dataclass_fields__)
    )
    groups = np.repeat(np.array([case.group for case in cases], str), n)
    samples = np.repeat(np.arange(len(cases)).astype(str), n)
    return JudgedTable(GroupedCells(cells, groups, samples, np.full(sum(n), "")), cases[0].cells.stem, (), threshold)


def _judge_case(case: VerdictCase, iou: float, threshold: float | None) -> JudgedCells:
    matching = match_instances(read_overlaps(case.labels, case.truth_labels), iou)
    ids, verdicts = _read_verdicts(case.cells)
    true_ids, abnormal = read_truth(case.truth_table)
    t, p = pair_rows(matching, true_ids, ids)
    return _judge(abnormal[t], verdicts.take(p), threshold)


def _judge(abnormal: NDArray[np.bool_], verdicts: _Verdicts, threshold: float | None) -> JudgedCells:
    """Cells are called as their table says, those of a model over `threshold` where there is one.

    Scores of a reference rank its cells, for its probabilities tie.
    """
    own, called = verdicts.by_reference, verdicts.called
    if threshold is not None:
        stated = np.isfinite(verdicts.probability) & ~own
        called = np.where(stated, np.nan_to_num(verdicts.probability) > threshold, called)
    return judge_cells(
        abnormal, verdicts.status, verdicts.score, verdicts.probability, called=called, by_score=bool(own.all())
    )


def read_truth(path: Path) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """True ids and whether each is abnormal, of a CSV with columns cell_id and abnormal (true or false).

    Raises
    ------
    TableError
        If the file cannot be read, lacks a column, or says something else.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [(int(row["cell_id"]), row["abnormal"].strip().lower()) for row in csv.DictReader(file)]
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise TableError(f"{path}: not a truth table ({error!r}); expected the columns cell_id and abnormal") from error
    if wrong := sorted({word for _, word in rows} - _WORDS.keys()):
        raise TableError(f"{path}: abnormal is {wrong[0]!r} in a row; expected true or false")
    return np.array([i for i, _ in rows], np.uint32), np.array([_WORDS[word] for _, word in rows], bool)


def _grouped(
    cells: JudgedCells, table: pa.Table, path: Path, notes: tuple[str, ...], threshold: float | None
) -> JudgedTable:
    groups, classes = _texts(table, "group"), _texts(table, "class")
    if without := int((groups == "").sum()):
        raise TableError(
            f"{path}: {without} of {groups.size} cells have no group; figures and intervals are of whole patients or "
            "slides; fill the column group"
        )
    for name in np.unique(classes[classes != ""]):
        if np.unique(cells.abnormal[classes == name]).size > 1:
            raise TableError(f"{path}: class {str(name)!r} is abnormal in some rows and healthy in others; keep one")
    return JudgedTable(GroupedCells(cells, groups, _texts(table, "sample"), classes), path.stem, notes, threshold)


def _read_known(path: Path, wanted: tuple[str, ...]) -> pa.Table:
    """Those of the wanted columns that a table has."""
    if path.suffix != ".csv":
        return read_table(path, [name for name in wanted if name in read_schema(path).names])
    table = read_table(path)
    return table.select([name for name in wanted if name in table.column_names])


def _check_once(table: pa.Table, path: Path) -> None:
    if {"sample", "cell_id"} <= set(table.column_names):
        n = table.group_by(["sample", "cell_id"]).aggregate([]).num_rows
        if n < table.num_rows:
            raise TableError(f"{path}: {table.num_rows - n} cells are there more than once; keep one row a cell")


def _by_reference(table: pa.Table) -> NDArray[np.bool_]:
    """Whose score is that of a healthy reference, not of a model; nobody's where the table does not say."""
    return np.asarray(_texts(table, "scored_by") == "reference", bool)


def _texts(table: pa.Table, name: str) -> NDArray[np.str_]:
    if name not in table.column_names:
        return np.full(table.num_rows, "")
    filled = pc.fill_null(pc.cast(table[name], pa.string()), "")
    return np.array(pc.utf8_trim_whitespace(filled).to_pylist(), dtype=str)


def _statuses(table: pa.Table, path: Path) -> NDArray[np.str_]:
    status = _texts(table, "status")
    if unknown := sorted(set(status.tolist()) - set(STATUSES)):
        raise TableError(f"{path}: status {unknown[0]!r} in a row; expected {', '.join(STATUSES)}; correct it")
    return status


def _bools(table: pa.Table, name: str, path: Path) -> NDArray[np.bool_]:
    words = np.char.lower(_texts(table, name))
    if wrong := sorted(set(words.tolist()) - _WORDS.keys()):
        raise TableError(f"{path}: {name} is {wrong[0]!r} in a row; expected true or false; correct it")
    return np.isin(words, ["true", "1"])


def _floats(table: pa.Table, name: str, path: Path) -> NDArray[np.float64]:
    """NaN where there is no value, or no such column."""
    if name not in table.column_names:
        return np.full(table.num_rows, np.nan)
    try:
        return np.array(pc.fill_null(pc.cast(table[name], pa.float64()), float("nan")).to_numpy(), np.float64)
    except pa.ArrowException as error:
        raise TableError(f"{path}: {name} holds what is no number ({' '.join(str(error).split())})") from error


def _probabilities(table: pa.Table, path: Path) -> NDArray[np.float64]:
    return _fractions(table, "abnormal_probability", path)


def _thresholds(table: pa.Table, path: Path) -> NDArray[np.float64]:
    if "threshold" not in table.column_names:
        return np.full(table.num_rows, THRESHOLD)
    return _fractions(table, "threshold", path)


def _fractions(table: pa.Table, name: str, path: Path) -> NDArray[np.float64]:
    values = _floats(table, name, path)
    if wrong := values[(values < 0) | (values > 1)].tolist():
        raise TableError(f"{path}: {name} is {wrong[0]:g} in a row; expected 0 to 1, or nothing; correct it")
    return values
