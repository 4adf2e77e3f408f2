"""Maps of tissue against truth, as tables: per class, per group of classes, per case, with intervals. Floor 6."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellseg.errors import ConfigError, LabelError
from cellseg.evaluate.bootstrap import bootstrap_intervals
from cellseg.evaluate.semantic import (
    SemanticScore,
    add_scores,
    default_tolerance_px,
    group_map,
    score_map,
    semantic_figures,
)
from cellseg.io.class_map import NO_CLASS, open_class_map
from cellseg.io.labels import LabelImage
from cellseg.stages.evaluate import Row, format_rows
from cellseg.stages.pairs import Pair
from cellseg.types import Progress, Window, silent

_STRIP_PX = 2048
_MEASURES = ("dice", "iou", "boundary_f1")
ALL = "mean over classes"


@dataclass(frozen=True)
class SemanticSettings:
    """What is scored.

    classes : names of the values 0, 1, ... of truth. levels : groups of classes that are scored as well, by name.
    no_class_is : the class that pixels without one count as in predictions (glass, mostly); "" leaves them wrong.
    tolerance_px : of boundary F1; None for 0.75 % of each image's diagonal.
    """

    classes: tuple[str, ...]
    levels: tuple[Mapping[str, tuple[str, ...]], ...] = ()
    no_class_is: str = ""
    tolerance_px: float | None = None

    def all_levels(self) -> tuple[Mapping[str, tuple[str, ...]], ...]:
        """The groups of every level, the classes themselves last."""
        return (*self.levels, {name: (name,) for name in self.classes})

    def tolerance_of(self, height: int, width: int) -> float:
        """Tolerance of boundary F1 on an image of this size, px."""
        return default_tolerance_px(height, width) if self.tolerance_px is None else self.tolerance_px


@dataclass(frozen=True)
class SemanticResult:
    """Rows to print: `classes` one a class and level, `cases` one a case; and the scores of the classes, by level."""

    classes: list[Row]
    cases: list[Row]
    totals: list[SemanticScore]


def parse_levels(texts: Sequence[str], classes: Sequence[str]) -> tuple[dict[str, tuple[str, ...]], ...]:
    """Levels from texts such as "stroma=stroma; gland=normal,polyp".

    Raises
    ------
    ConfigError
        If a text names no group, or a class that there is not.
    """
    levels = []
    for text in texts:
        level: dict[str, tuple[str, ...]] = {}
        for part in filter(None, (piece.strip() for piece in text.split(";"))):
            name, _, members = part.partition("=")
            own = tuple(member.strip() for member in members.split(",") if member.strip())
            if not name.strip() or not own:
                raise ConfigError(
                    f"--groups {text!r}: expected name=class,class; name=class ..., as gland=normal,polyp"
                )
            if wrong := [member for member in own if member not in classes]:
                raise ConfigError(f"--groups {text!r}: no class {wrong[0]!r}; known are {', '.join(classes)}")
            level[name.strip()] = own
        levels.append(level)
    return tuple(levels)


def read_cases(index: Path) -> dict[str, str]:
    """The case of each image of an index.csv with the columns id and case (or group, or patient).

    Raises
    ------
    ConfigError
        If it cannot be read or lacks a column.
    """
    try:
        with index.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{index}: cannot be read ({error}); give a CSV with the columns id and case") from error
    key = next((key for key in ("case", "group", "patient") if rows and key in rows[0]), None)
    if key is None or "id" not in rows[0]:
        found = ", ".join(map(str, rows[0])) if rows else "no rows"
        raise ConfigError(f"{index}: {found}; expected the columns id and case")
    return {row["id"]: row[key] or row["id"] for row in rows}


def evaluate_semantic(
    pairs: Sequence[Pair],
    settings: SemanticSettings,
    *,
    cases: Mapping[str, str] | None = None,
    n_draws: int = 1000,
    seed: int = 0,
    progress: Progress = silent,
) -> SemanticResult:
    """Dice, IoU, boundary F1 and pixel accuracy of maps on disk against truth.

    Parameters
    ----------
    cases : mapping of str to str
        Case of each image, by the name of its truth without endings; else each pair's group, or each image by itself.

    Raises
    ------
    LabelError
        If a file cannot be read, sizes have other proportions, or a map's classes are none of those of truth.
    """
    found: dict[str, list[list[SemanticScore]]] = {}
    for done, pair in enumerate(pairs, start=1):
        name = pair.truth.name.split(".")[0].removesuffix("_mask")
        case = (cases or {}).get(name) or (pair.group if pair.group != "all" else name)
        found.setdefault(case, []).append(score_files(pair.prediction, pair.truth, settings))
        progress(done, len(pairs))
    return semantic_rows(found, settings, n_draws=n_draws, seed=seed)


class _Plane(LabelImage):
    """A map of ours, with its names, or any image of class numbers, without."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            with open_class_map(path) as own:
                self.names = own.names
        except LabelError:
            self.names = ()

    def classes(self, window: Window) -> NDArray[np.uint8]:
        return np.minimum(self.read(window), NO_CLASS).astype(np.uint8)


def map_names(path: Path) -> tuple[str, ...]:
    """The names that a map gives its classes; none for other images."""
    with _Plane(path) as plane:
        return plane.names


def score_files(prediction: Path, truth: Path, settings: SemanticSettings) -> list[SemanticScore]:
    """Scores of each level of one map, read strip by strip."""
    with _Plane(truth) as true, _Plane(prediction) as own:
        table = _numbers(own, true, settings)
        tolerance = settings.tolerance_of(true.height, true.width)
        margin = int(np.ceil(tolerance)) + 2
        parts = []
        for y in range(0, true.height, _STRIP_PX):
            y1 = min(y + _STRIP_PX, true.height)
            window = Window(max(y - margin, 0), min(y1 + margin, true.height), 0, true.width)
            classes = table[_read_like(own, true, window)]
            core = (slice(y - window.y0, y1 - window.y0), slice(None))
            parts.append(score_arrays(true.classes(window), classes, settings, tolerance, core))
    return [add_scores(level) for level in zip(*parts, strict=True)]


def score_arrays(
    truth: NDArray[np.uint8],
    found: NDArray[np.uint8],
    settings: SemanticSettings,
    tolerance_px: float | None = None,
    core: tuple[slice, slice] = (slice(None), slice(None)),
) -> list[SemanticScore]:
    """Scores of each level of one map in memory; both arrays hold numbers of `settings.classes`."""
    tolerance = settings.tolerance_of(*truth.shape) if tolerance_px is None else tolerance_px
    return [
        score_map(
            group_map(truth, settings.classes, groups), group_map(found, settings.classes, groups), len(groups),
            tolerance_px=tolerance, core=core,
        )
        for groups in settings.all_levels()
    ]  # fmt: skip


def _numbers(own: _Plane, true: _Plane, settings: SemanticSettings) -> NDArray[np.uint8]:
    """(256,): number in `settings.classes` of each value of the prediction."""
    names = own.names or settings.classes
    if unknown := [name for name in names if name not in settings.classes]:
        raise LabelError(
            f"{own.path}: has the class {unknown[0]!r}, truth has {', '.join(settings.classes)}; give --classes as in "
            "truth, and a map of those"
        )
    table = np.full(256, 255, np.uint8)
    table[: len(names)] = [settings.classes.index(name) for name in names]
    if settings.no_class_is:
        table[255] = settings.classes.index(settings.no_class_is)
    if true.names and true.names != settings.classes:
        raise LabelError(f"{true.path}: its classes are {', '.join(true.names)}; give --classes in that order")
    return table


def _read_like(own: _Plane, true: _Plane, window: Window) -> NDArray[np.uint8]:
    """What the prediction says of a window of truth; nearest where it has another resolution."""
    if (own.height, own.width) == (true.height, true.width):
        return own.classes(window)
    scales = own.height / true.height, own.width / true.width
    if abs(scales[0] * true.width - own.width) > 1.5 and abs(scales[1] * true.height - own.height) > 1.5:
        raise LabelError(
            f"{own.path} is {own.height} x {own.width} px, {true.path} is {true.height} x {true.width} px: other "
            "proportions; compare the files that belong together"
        )
    rows, columns = (
        np.minimum((np.arange(*ends) + 0.5) * scale, side - 1).astype(np.int64)
        for ends, scale, side in (
            ((window.y0, window.y1), scales[0], own.height), ((window.x0, window.x1), scales[1], own.width),
        )
    )  # fmt: skip
    values = own.classes(Window(int(rows[0]), int(rows[-1]) + 1, 0, own.width))
    return np.asarray(values[(rows - rows[0])[:, None], columns[None, :]], np.uint8)


def semantic_rows(
    cases: Mapping[str, Sequence[Sequence[SemanticScore]]], settings: SemanticSettings, *, n_draws: int, seed: int
) -> SemanticResult:
    """Rows from the scores (one a level) of the images of each case; intervals are over cases."""
    own = {case: [add_scores(level) for level in zip(*images, strict=True)] for case, images in sorted(cases.items())}
    rows, totals = [], []
    for number, groups in enumerate(settings.all_levels()):
        level = "classes" if number == len(settings.levels) else f"level {number + 1}"
        scores, names = [own[case][number] for case in own], list(groups)
        statistic = _pooled(scores, names)
        whole = statistic(np.arange(len(scores)))
        intervals = bootstrap_intervals(len(scores), statistic, n_draws=n_draws, seed=seed)
        by_case = [semantic_figures(score, names) for score in scores]
        total = add_scores(scores)
        totals.append(total)
        for at, name in enumerate([*names, ALL]):
            keys = {m: f"mean_{m}" if name == ALL else f"{m} {name}" for m in _MEASURES}
            if name == ALL:
                keys["pixel_accuracy"] = "pixel_accuracy"
            true = total.confusion.sum(axis=1)
            row: Row = {"level": level, "class": name, "n_pixels": int(true.sum() if name == ALL else true[at])}
            for key, long in keys.items():
                row[key] = whole[long]
                row[f"{key}_low"], row[f"{key}_high"] = intervals[long]
            row["dice_by_case"] = _mean_where_true(by_case, scores, keys["dice"], None if name == ALL else at)
            rows.append(row)
    return SemanticResult(rows, _case_rows(own, cases, settings), totals)


def _pooled(
    scores: Sequence[SemanticScore], names: Sequence[str]
) -> Callable[[NDArray[np.int64]], Mapping[str, float]]:
    return lambda index: semantic_figures(add_scores([scores[at] for at in index]), names)


def _mean_where_true(
    figures: Sequence[Mapping[str, float]], scores: Sequence[SemanticScore], key: str, at: int | None
) -> float:
    """Mean of a figure over the cases whose truth has the class."""
    there = [at is None or bool(score.confusion[at].sum()) for score in scores]
    own = np.array([f[key] for f, known in zip(figures, there, strict=True) if known])
    own = own[np.isfinite(own)]
    return float(own.mean()) if own.size else float("nan")


def _case_rows(
    own: Mapping[str, Sequence[SemanticScore]],
    cases: Mapping[str, Sequence[Sequence[SemanticScore]]],
    settings: SemanticSettings,
) -> list[Row]:
    rows = []
    for case, scores in own.items():
        row: Row = {"case": case, "n_images": len(cases[case])}
        for number, groups in enumerate(settings.all_levels()):
            found = semantic_figures(scores[number], list(groups))
            prefix = "" if number == len(settings.levels) else f"level{number + 1} "
            row[f"{prefix}pixel_accuracy"] = found["pixel_accuracy"]
            row |= {f"{prefix}dice {name}": found[f"dice {name}"] for name in groups}
        rows.append(row)
    return rows


def format_semantic(result: SemanticResult, settings: SemanticSettings) -> str:
    """All of it as text: classes and levels, the confusion matrix of the classes, the cases."""
    names = ["class", "n_pixels", *_MEASURES, "pixel_accuracy", "dice_by_case"]
    blocks = []
    for level in dict.fromkeys(row["level"] for row in result.classes):
        own = [row for row in result.classes if row["level"] == level]
        blocks.append(f"{level} (intervals over {len(result.cases)} cases)\n{format_rows(own, names)}")
    confusion = confusion_rows(result, settings)
    blocks.append("share of the true pixels (rows) that got each class\n" + format_rows(confusion, list(confusion[0])))
    blocks.append("cases\n" + format_rows(result.cases, list(result.cases[0]) if result.cases else None))
    return "\n\n".join(blocks)


def confusion_rows(result: SemanticResult, settings: SemanticSettings) -> list[Row]:
    """The confusion matrix of the classes, each row divided by its true pixels."""
    table = result.totals[-1].confusion
    rows = []
    for name, counts in zip(settings.classes, table, strict=True):
        shares = counts / counts.sum() if counts.sum() else np.full(len(counts), np.nan)
        row: Row = {"true": name} | dict(zip([*settings.classes, "none"], map(float, shares), strict=True))
        rows.append(row)
    return rows
