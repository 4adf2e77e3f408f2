"""wrong_cells.png: cells of each true class that were called wrongly, cut out of their images. Floor 6."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.errors import LabelError, TableError
from cellseg.io.atomic import atomic_path
from cellseg.io.labels import open_labels
from cellseg.io.slide import open_slide
from cellseg.io.table import read_schema, read_table
from cellseg.preprocess.recipe import Recipe
from cellseg.report.cell_gallery import CellCrop, ClassCells, plot_cells
from cellseg.report.cells import Picture
from cellseg.stages.evaluate import Row
from cellseg.stages.evaluate_verdict import VerdictReport
from cellseg.stages.judged_cells import JudgedTable
from cellseg.stages.ledger import read_ledger
from cellseg.stages.overlay import for_display
from cellseg.stages.preprocess import check_recipe, read_recipe
from cellseg.stages.results import sample_folder
from cellseg.types import Window

PICTURE_NAME = "wrong_cells.png"
MAX_CLASSES = 12
N_WRONG = 10
N_RIGHT = 3
MAX_OF_SAMPLE = 3
"""Cells of one sample among those called wrongly, so that a row shows variety."""
_ROOM = 1.45
"""Side of what is shown of a cell, in sides of its box."""
_LARGE = 0.9
_BOX = ("bbox_y0_px", "bbox_y1_px", "bbox_x0_px", "bbox_x1_px")
_OUTSIDE = 232
"""Gray level of what lies beyond the image."""


@dataclass(frozen=True)
class CellImages:
    """Where the cells of a table of predictions are seen.

    `ids` (n,) are the cells' numbers in the order of the table, `images` the slide of each sample that has one, `notes`
    says in one line each which cells cannot be shown.
    """

    results: Path
    ids: NDArray[np.int64]
    images: Mapping[str, Path]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChosenCells:
    """Which cells of a class are shown: its row of figures, and rows of the table, the most telling first."""

    row: Row
    wrong: tuple[int, ...]
    right: tuple[int, ...]


@dataclass(frozen=True)
class Crops:
    """Cut out cells by their row of the table; `field_um` is the side of what is shown of each, um."""

    cells: Mapping[int, CellCrop]
    field_um: float
    dark: bool


def find_images(results: Path, predictions: Path, table: JudgedTable) -> CellImages:
    """The images that the cells of a table of predictions lie in.

    Parameters
    ----------
    results : Path
        Results folder with slides.tsv and samples/NAME.
    predictions : Path
        The file that `table` was read from.
    table : JudgedTable
        Of `cellseg.stages.judged_cells.read_predictions`.

    Raises
    ------
    TableError
        If the table names no samples, cells or classes, there is no ledger, or none of the cells can be shown.
    """
    names = _column_names(predictions)
    if missing := [name for name in ("sample", "cell_id", "class") if name not in names]:
        raise TableError(
            f"{predictions}: no column {', '.join(missing)}; pictures of cells need sample, cell_id and class; add "
            "what is missing, or leave out --results"
        )
    samples = table.data.samples
    if "" in samples or not (table.data.classes != "").any():
        what = "a row without a sample" if "" in samples else "no cell has a class"
        raise TableError(f"{predictions}: {what}; fill the column, or leave out --results")
    images: dict[str, Path] = {}
    lacking: dict[str, str] = {}
    paths = {row.sample: Path(row.path) for row in read_ledger(results) if row.outcome != "failed"}
    for name in np.unique(samples).tolist():
        if name not in paths or not _labels_of(results, name).is_file():
            lacking[name] = f"no sample {name} in {results}"
        elif not paths[name].is_file():
            lacking[name] = f"no image {paths[name]}" + ("" if paths[name].is_absolute() else " in the working folder")
        else:
            images[name] = paths[name]
    if not images:
        first = next(iter(lacking.values()))
        raise TableError(
            f"{predictions}: none of its {len(lacking)} samples can be shown: {first}; give the results folder that "
            "they are of, and put its images back where they were"
        )
    return CellImages(results, _cell_ids(predictions), images, _notes(samples, lacking))


def _labels_of(results: Path, sample: str) -> Path:
    return sample_folder(results, sample) / "segment" / "labels.ome.tif"


def _column_names(path: Path) -> list[str]:
    return list(read_table(path).column_names) if path.suffix == ".csv" else list(read_schema(path).names)


def _cell_ids(path: Path) -> NDArray[np.int64]:
    column = read_table(path, ["cell_id"])["cell_id"]
    try:
        ids = column.cast(pa.int64())
    except pa.ArrowException as error:
        raise TableError(f"{path}: cell_id holds what is no whole number ({' '.join(str(error).split())})") from error
    if ids.null_count:
        raise TableError(f"{path}: {ids.null_count} rows have no cell_id; fill the column, or leave out --results")
    return np.asarray(ids.to_numpy(), np.int64)


def _notes(samples: NDArray[np.str_], lacking: Mapping[str, str]) -> tuple[str, ...]:
    if not lacking:
        return ()
    n_cells = int(np.isin(samples, list(lacking)).sum())
    first = next(iter(lacking.values()))
    more = f" and {len(lacking) - 1} more samples" if len(lacking) > 1 else ""
    return (f"{PICTURE_NAME}: {n_cells} of {samples.size} cells cannot be shown: {first}{more}; the others are drawn",)


def write_wrong_cells(folder: Path, table: JudgedTable, report: VerdictReport, images: CellImages) -> Path:
    """Write wrong_cells.png: a row a true class, weak ones first, of cells called most wrongly and some called rightly.

    Only windows of images are read. The same cells give the same bytes, in whatever order they come.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    table : JudgedTable
        The cells.
    report : VerdictReport
        Of these cells; says which classes are weak.
    images : CellImages
        Of `find_images`, for this table.

    Raises
    ------
    CellsegError
        If an image, its labels or its cells cannot be read or don't fit each other, or the folder cannot be written.
    """
    chosen = choose_cells(table, report, images)
    crops = read_crops(table, images, [at for one in chosen for at in (*one.wrong, *one.right)])
    shown = [
        ClassCells(
            one.row["class"], one.row["side"] == "abnormal", bool(one.row["weak"]), float(one.row["called_right"]),
            int(one.row["n_cells"]), [crops.cells[at] for at in one.wrong], [crops.cells[at] for at in one.right],
        )
        for one in chosen
    ]  # fmt: skip
    rest = sorted({row["class"] for row in report.classes} - {one.row["class"] for one in chosen})
    title = f"{table.name}: cells called wrongly, by true class"
    picture = plot_cells(shown, field_um=crops.field_um, title=title, notes=_explain(table, rest), dark=crops.dark)
    path = folder / PICTURE_NAME
    with atomic_path(path) as temporary:
        temporary.write_bytes(picture)
    return path


def choose_cells(table: JudgedTable, report: VerdictReport, images: CellImages) -> list[ChosenCells]:
    """The classes that are shown, weak ones first, then by the share called right; and the cells of each.

    Called most wrongly are the lowest probabilities (or scores) of abnormal classes and the highest of healthy ones,
    among cells that the default decision calls what they are not. Cells without an image, a value or a verdict are
    passed over.

    Parameters
    ----------
    table : JudgedTable
        The cells.
    report : VerdictReport
        Of these cells.
    images : CellImages
        For this table.
    """
    ranked = sorted(report.classes, key=lambda row: (not row["weak"], _share(row), row["class"]))
    cells, samples = table.data.cells, table.data.samples
    can = cells.judged & np.isfinite(cells.score) & np.isin(samples, list(images.images))
    surely = np.where(cells.abnormal, cells.score, -cells.score)
    right = cells.called == cells.abnormal
    order = np.lexsort((images.ids, samples, surely))
    chosen = []
    for row in ranked[:MAX_CLASSES]:
        own = order[(can & (table.data.classes == row["class"]))[order]]
        wrong_ones, right_ones = own[~right[own]], own[right[own]][::-1]
        # each of another sample, where there are samples enough
        of_sample = 1 if np.unique(samples[right_ones]).size >= N_RIGHT else MAX_OF_SAMPLE
        chosen.append(
            ChosenCells(
                row,
                _varied(wrong_ones, samples, N_WRONG, MAX_OF_SAMPLE),
                _varied(right_ones, samples, N_RIGHT, of_sample),
            )
        )
    return chosen


def _share(row: Row) -> float:
    return float(row["called_right"]) if np.isfinite(row["called_right"]) else 2.0


def _varied(rows: NDArray[np.int64], samples: NDArray[np.str_], n: int, of_sample: int) -> tuple[int, ...]:
    """The first `n` rows with no more than `of_sample` of one sample."""
    taken: Counter[str] = Counter()
    chosen: list[int] = []
    for at in rows.tolist():
        if len(chosen) == n:
            break
        taken[samples[at]] += 1
        if taken[samples[at]] <= of_sample:
            chosen.append(at)
    return tuple(chosen)


def read_crops(table: JudgedTable, images: CellImages, rows: Sequence[int]) -> Crops:
    """These rows' cells with their surroundings, a window of the image each.

    Parameters
    ----------
    table : JudgedTable
        The cells.
    images : CellImages
        For this table; has the samples of `rows`.
    rows : sequence of int
        Of the table. May be empty.

    Raises
    ------
    CellsegError
        If an image, its labels or its cells cannot be read or don't fit each other.
    """
    by_sample: dict[str, list[int]] = {}
    for at in sorted(set(rows)):
        by_sample.setdefault(str(table.data.samples[at]), []).append(at)
    recipes = {name: read_recipe(sample_folder(images.results, name) / "segment") for name in sorted(by_sample)}
    boxes = {name: _boxes(images.results, name, images.ids[own]) for name, own in by_sample.items()}
    longest = [max(box.height, box.width) * recipes[name].mpp for name in sorted(boxes) for box in boxes[name]]
    # a few very large cells are cut, so that the others are not small
    field_um = _ROOM * float(np.quantile(longest, _LARGE)) if longest else 1.0
    crops: dict[int, CellCrop] = {}
    for name, recipe in recipes.items():
        pieces = _pieces(images, name, recipe, images.ids[by_sample[name]], boxes[name], field_um)
        for at, (picture, mask) in zip(by_sample[name], pieces, strict=True):
            called = bool(table.data.cells.called[at])
            crops[at] = CellCrop(
                picture, mask, recipe.mpp, called, _value(table, at), name, str(int(images.ids[at]))
            )  # fmt: skip
    return Crops(crops, field_um, any(recipe.stain == "fluorescence" for recipe in recipes.values()))


def _boxes(results: Path, sample: str, ids: NDArray[np.int64]) -> list[Window]:
    """The bounding box of each of these cells of a sample."""
    path = sample_folder(results, sample) / "cells.parquet"
    cells = read_table(path, ["cell_id", *_BOX])
    row_of = {number: at for at, number in enumerate(cells["cell_id"].to_pylist())}
    if lost := [number for number in ids.tolist() if number not in row_of]:
        raise TableError(
            f"{path}: no cell {lost[0]}, which the predictions name; give the results folder that they are of"
        )
    boxes = np.stack([cells[name].to_numpy() for name in _BOX], axis=1)
    return [Window(*boxes[row_of[number]].tolist()) for number in ids.tolist()]


def _pieces(
    images: CellImages, sample: str, recipe: Recipe, ids: NDArray[np.int64], boxes: Sequence[Window], field_um: float
) -> list[tuple[Picture, NDArray[np.bool_]]]:
    """Picture and mask around each box of a sample's image."""
    labels = _labels_of(images.results, sample)
    with open_slide(images.images[sample]) as slide, open_labels(labels) as label_image:
        check_recipe(slide, recipe)
        if (label_image.height, label_image.width) != (slide.height, slide.width):
            raise LabelError(
                f"{labels}: {label_image.height} x {label_image.width} px, the slide {slide.path} has {slide.height} x "
                f"{slide.width}; segment that slide again"
            )
        pieces = []
        for number, box in zip(ids.tolist(), boxes, strict=True):
            window = _around(box, field_um / recipe.mpp)
            part = window.clip(slide.height, slide.width)
            picture = np.full((window.height, window.width, 3), _OUTSIDE, np.uint8)
            mask = np.zeros(picture.shape[:2], bool)
            picture[part.inside(window)] = for_display(slide.read(part), recipe)
            mask[part.inside(window)] = label_image.read(part) == number
            if not mask.any():
                raise LabelError(f"{labels}: cell {number} is not where its table says; measure this label image again")
            pieces.append((picture, mask))
    return pieces


def _around(box: Window, field_px: float) -> Window:
    """A square around the middle of a box, a pixel more on each side than the field, which drawing cuts to its size."""
    half = int(np.ceil(field_px / 2)) + 1
    y, x = (box.y0 + box.y1) // 2, (box.x0 + box.x1) // 2
    return Window(y - half, y + half, x - half, x + half)


def _by_probability(table: JudgedTable) -> bool:
    """Whether it is probabilities that rank the cells, not scores."""
    cells = table.data.cells
    return bool(np.isfinite(cells.probability).any() and np.array_equal(cells.score, cells.probability, equal_nan=True))


def _value(table: JudgedTable, at: int) -> str:
    value = float(table.data.cells.score[at])
    if not _by_probability(table):
        return f"{value:.3g}"
    return "<0.01" if value < 0.005 else ">0.99" if value > 0.995 else f"{value:.2f}"


def _explain(table: JudgedTable, rest: Sequence[str]) -> tuple[str, ...]:
    what, over = "score, higher is more abnormal", ""
    if _by_probability(table):
        what = "probability of being abnormal"
        over = "" if table.threshold is None else f" (called abnormal over {table.threshold:g})"
    lines = [f"under each cell: {what}{over}, then sample / cell; a row shows at most {MAX_OF_SAMPLE} of one sample"]
    if rest:
        lines.append(f"{len(rest)} more classes are not shown: {', '.join(rest)}")
    return tuple(lines)
