"""Results against truth, as tables: labels and points; how rows are shown and written. Floor 6."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
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
    merge_overlaps,
    score_overlaps,
)
from cellseg.evaluate.points import add_counts, count_points
from cellseg.io.atomic import write_json
from cellseg.io.labels import open_labels
from cellseg.stages.pairs import Pair
from cellseg.types import Progress, Window, silent

Row = dict[str, Any]
_STRIP_PX = 1024

LABEL_FIGURES = (
    "ap@0.5", "ap_by_image@0.5", "ap@0.75", "ap_mean", "precision@0.5", "recall@0.5", "f1@0.5", "pq", "aji", "dice",
    "object_dice",
)  # fmt: skip
POINT_FIGURES = ("alone", "shared", "outside")


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


def _row(
    group: str,
    n_images: int,
    statistic: Callable[[NDArray[np.int64]], Mapping[str, float]],
    names: Sequence[str],
    *,
    n_draws: int,
    seed: int,
) -> Row:
    row: Row = {"group": group, "n_images": n_images, **statistic(np.arange(n_images))}
    intervals = bootstrap_intervals(n_images, statistic, n_draws=n_draws, seed=seed)
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
