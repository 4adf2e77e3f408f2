"""Results against truth, as tables: labels, points and verdicts. Floor 6."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellseg.errors import LabelError, TableError
from cellseg.evaluate.bootstrap import bootstrap_intervals
from cellseg.evaluate.matching import (
    IOU_THRESHOLDS,
    Overlaps,
    Score,
    figures,
    match_instances,
    merge_overlaps,
    score_overlaps,
)
from cellseg.evaluate.points import add_counts, count_points
from cellseg.evaluate.verdict import JudgedCells, pair_verdicts, verdict_figures
from cellseg.io.atomic import write_json
from cellseg.io.labels import open_labels
from cellseg.io.table import read_table
from cellseg.stages.pairs import Pair
from cellseg.types import Progress, Window, silent

Row = dict[str, Any]
_STRIP_PX = 1024

LABEL_FIGURES = (
    "ap@0.5", "ap_by_image@0.5", "ap@0.75", "ap_mean", "precision@0.5", "recall@0.5", "f1@0.5", "pq", "aji", "dice",
    "object_dice",
)  # fmt: skip
POINT_FIGURES = ("alone", "shared", "outside")
VERDICT_FIGURES = ("auroc", "average_precision", "balanced_accuracy", "sensitivity", "specificity")


@dataclass(frozen=True)
class VerdictCase:
    """One image's verdicts and truth: cells table, label image, true label image, true table (cell_id, abnormal)."""

    cells: Path
    labels: Path
    truth_labels: Path
    truth_table: Path
    group: str = "all"


def read_overlaps(prediction: Path, truth: Path) -> Overlaps:
    """The overlaps of two label images on disk, read strip by strip.

    Raises
    ------
    LabelError
        If a file cannot be read or their sizes differ.
    """
    with open_labels(prediction) as predicted, open_labels(truth) as true:
        if (predicted.height, predicted.width) != (true.height, true.width):
            raise LabelError(
                f"{prediction} is {predicted.height} x {predicted.width} px, {truth} is {true.height} x {true.width} "
                "px; expected label images of one image; compare the files that belong together"
            )
        parts = []
        for y in range(0, true.height, _STRIP_PX):
            window = Window(y, min(y + _STRIP_PX, true.height), 0, true.width)
            keys = true.read(window).astype(np.uint64) << np.uint64(32) | predicted.read(window)
            parts.append(np.unique(keys, return_counts=True))
    return merge_overlaps(parts)


def evaluate_labels(
    pairs: Sequence[Pair], *, n_draws: int = 1000, seed: int = 0, progress: Progress = silent
) -> list[Row]:
    """Detection and outline figures of label images against truth, one row a group.

    Each row has `group`, `n_images`, all of `cellseg.evaluate.matching.figures`, and for `LABEL_FIGURES` a 95 %
    interval over images (`NAME_low`, `NAME_high`; NaN for one image).

    Raises
    ------
    LabelError
        If a file cannot be read or sizes differ.
    """
    scores: dict[str, list[Score]] = {}
    for done, pair in enumerate(pairs, start=1):
        scores.setdefault(pair.group, []).append(score_overlaps(read_overlaps(pair.prediction, pair.truth)))
        progress(done, len(pairs))
    return [
        _row(group, len(own), _pooled(own), LABEL_FIGURES, n_draws=n_draws, seed=seed)
        for group, own in sorted(scores.items())
    ]


def _pooled(scores: list[Score]) -> Callable[[NDArray[np.int64]], Mapping[str, float]]:
    return lambda index: figures([scores[at] for at in index], IOU_THRESHOLDS)


def evaluate_points(
    pairs: Sequence[Pair], *, n_draws: int = 1000, seed: int = 0, progress: Progress = silent
) -> list[Row]:
    """Shares of true points that have a cell of their own, share one or have none, one row a group, with intervals.

    `truth` of each pair is a CSV with columns `y_px`, `x_px` (or `y`, `x`, or `centroid_y_px`, `centroid_x_px`), or a
    text file of lines `x y class`.

    Raises
    ------
    LabelError, TableError
        If a file cannot be read or a point lies outside its image.
    """
    counts: dict[str, list[Any]] = {}
    for done, pair in enumerate(pairs, start=1):
        points = read_points(pair.truth)
        with open_labels(pair.prediction) as labels:
            whole = labels.read(Window(0, labels.height, 0, labels.width))
        try:
            counts.setdefault(pair.group, []).append(count_points(whole, points))
        except TableError as error:
            raise TableError(f"{pair.truth}: {error}") from error
        progress(done, len(pairs))
    rows = []
    for group, own in sorted(counts.items()):

        def shares(index: NDArray[np.int64], own: list[Any] = own) -> Mapping[str, float]:
            return add_counts([own[at] for at in index]).shares()

        rows.append(_row(group, len(own), shares, POINT_FIGURES, n_draws=n_draws, seed=seed))
    return rows


def read_points(path: Path) -> NDArray[np.float64]:
    """Points (N, 2), y and x in px, of a CSV with named columns or a text file of lines `x y class`.

    Raises
    ------
    TableError
        If the file cannot be read or has no such columns.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
        if path.suffix.lower() == ".txt":
            rows = [line.split()[:2] for line in lines if line.strip()]
            return np.array([(float(y), float(x)) for x, y in rows], np.float64).reshape(-1, 2)
        table = list(csv.DictReader(lines))
        names = lines[0].strip().split(",")
        for y, x in (("y_px", "x_px"), ("y", "x"), ("centroid_y_px", "centroid_x_px")):
            if y in names and x in names:
                return np.array([(float(row[y]), float(row[x])) for row in table], np.float64).reshape(-1, 2)
    except (OSError, ValueError, TypeError) as error:
        raise TableError(f"{path}: cannot be read as points ({error}); give a CSV with columns y_px, x_px") from error
    raise TableError(f"{path}: columns {', '.join(names)}; expected y_px and x_px (or y and x); rename them")


def evaluate_verdict(
    cases: Sequence[VerdictCase], *, threshold: float = 0.5, n_draws: int = 1000, seed: int = 0
) -> list[Row]:
    """How well verdicts part abnormal from healthy cells that match truth at IoU >= `threshold`, one row a group.

    Rows are as of `evaluate_labels`, with the figures of `cellseg.evaluate.verdict`; the interval is over images, or
    over cells where a group has one image (`interval_over` says which).

    Raises
    ------
    LabelError, TableError
        If a file cannot be read or lacks a column.
    """
    judged: dict[str, list[JudgedCells]] = {}
    for case in cases:
        judged.setdefault(case.group, []).append(judge_case(case, threshold=threshold))
    rows = []
    for group, own in sorted(judged.items()):
        over_cells = len(own) == 1

        def statistic(index: NDArray[np.int64], own: list[JudgedCells] = own) -> Mapping[str, float]:
            return verdict_figures(own[0].take(index) if len(own) == 1 else _join([own[at] for at in index]))

        n_items = own[0].abnormal.size if over_cells else len(own)
        row = _row(group, len(own), statistic, VERDICT_FIGURES, n_items=n_items, n_draws=n_draws, seed=seed)
        rows.append(row | {"interval_over": "cells" if over_cells else "images"})
    return rows


def judge_case(case: VerdictCase, *, threshold: float = 0.5) -> JudgedCells:
    """Truth and verdict of one image's cells that match at IoU >= `threshold`.

    Raises
    ------
    LabelError, TableError
        If a file cannot be read or lacks a column.
    """
    matching = match_instances(read_overlaps(case.labels, case.truth_labels), threshold)
    cells = read_table(case.cells, ["cell_id", "status", "abnormal_score"])
    true_ids, abnormal = read_truth(case.truth_table)
    return pair_verdicts(
        matching,
        true_ids,
        abnormal,
        cells["cell_id"].to_numpy(),
        cells["abnormal_score"].to_numpy(),
        np.array(cells["status"].to_pylist(), dtype=str),
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
    words = {"true": True, "1": True, "false": False, "0": False}
    if wrong := sorted({word for _, word in rows} - words.keys()):
        raise TableError(f"{path}: abnormal is {wrong[0]!r} in a row; expected true or false")
    return np.array([i for i, _ in rows], np.uint32), np.array([words[word] for _, word in rows], bool)


def _join(parts: list[JudgedCells]) -> JudgedCells:
    return JudgedCells(
        np.concatenate([p.abnormal for p in parts]),
        np.concatenate([p.score for p in parts]),
        np.concatenate([p.called for p in parts]),
        np.concatenate([p.judged for p in parts]),
    )


def _row(
    group: str,
    n_images: int,
    statistic: Callable[[NDArray[np.int64]], Mapping[str, float]],
    names: Sequence[str],
    *,
    n_draws: int,
    seed: int,
    n_items: int | None = None,
) -> Row:
    n_items = n_images if n_items is None else n_items
    row: Row = {"group": group, "n_images": n_images, **statistic(np.arange(n_items))}
    intervals = bootstrap_intervals(n_items, statistic, n_draws=n_draws, seed=seed)
    for name in names:
        row[f"{name}_low"], row[f"{name}_high"] = intervals[name]
    return row


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as JSON; NaN becomes null.

    Raises
    ------
    CellsegError
        If the file cannot be written.
    """
    write_json(path, [{key: _plain(value) for key, value in row.items()} for row in rows])


def _plain(value: str | float | None) -> str | float | None:
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    return value


def format_rows(rows: Sequence[Row], names: Sequence[str] | None = None) -> str:
    """Rows as a plain text table; figures that have an interval show it: `0.812 (0.790-0.833)`.

    Without `names` it shows counts and every figure with an interval.
    """
    if not rows:
        return "nothing to evaluate"
    if names is None:
        keys = list(rows[0])
        names = [
            key
            for key in keys
            if key in ("group", "sample", "interval_over") or key.startswith("n_") or f"{key}_low" in keys
        ]
    cells = [list(names)] + [[_cell(row, name) for name in names] for row in rows]
    widths = [max(len(line[at]) for line in cells) for at in range(len(names))]
    lines = []
    for line in cells:
        padded = [text.rjust(width) for text, width in zip(line, widths, strict=True)]
        lines.append("  ".join([line[0].ljust(widths[0]), *padded[1:]]).rstrip())
    return "\n".join(lines)


def format_label_rows(rows: Sequence[Row]) -> str:
    """The rows of `evaluate_labels` as text: figures with their intervals, then AP at every IoU threshold."""
    if not rows:
        return format_rows(rows)
    names = [f"ap@{threshold:g}" for threshold in IOU_THRESHOLDS]
    curve = [{"group": row["group"], **{name: row[name] for name in names}} for row in rows]
    return f"{format_rows(rows)}\n\n{format_rows(curve, ['group', *names])}"


def _cell(row: Row, name: str) -> str:
    value = row.get(name, "")
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "-"
    if name.startswith("n_"):
        return f"{value:.0f}"
    low, high = row.get(f"{name}_low", float("nan")), row.get(f"{name}_high", float("nan"))
    return f"{value:.3f}" if math.isnan(low) else f"{value:.3f} ({low:.3f}-{high:.3f})"
