"""The cells that a classifier is trained on: measurements and labels, or one table of both. Floor 6."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cellseg.classify.exclude import (
    SHARPNESS,
    check_exclusion,
    clump_column,
    exclusion_columns,
    find_excluded,
    median_area,
    median_sharpness,
)
from cellseg.classify.finding import float_column
from cellseg.classify_config import ExcludeSettings, TrainClassifierSettings
from cellseg.errors import ConfigError, TableError
from cellseg.io.table import read_batches, read_schema, read_table
from cellseg.stages.feature_choice import choose_features
from cellseg.stages.outcome import read_failure
from cellseg.train.margins import SlideCells, TrainingCells
from cellseg.types import Stain

_LABELS = ("sample", "cell_id", "class", "abnormal", "group")


_FRAME_CELLS = 500
"""Cells of a sample, evenly spaced by id, that tell what its cells look like."""


@dataclass(frozen=True)
class ReadCells:
    """Cells to train on, sorted by sample and id, and what was left out.

    `sample` (n,) str and `cell_id` (n,) uint32 name them; `n_excluded` labelled cells cannot be judged; `missing` are
    features that some table lacks.
    """

    cells: TrainingCells
    sample: NDArray[np.str_]
    cell_id: NDArray[np.uint32]
    n_excluded: int = 0
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClassTable:
    """A table whose rows have a class: `class_column`, and what its values mean; "" as group column: none."""

    path: Path
    class_column: str
    abnormal: tuple[str, ...]
    healthy: tuple[str, ...] = ()
    group_column: str = ""


def find_measurements(sources: Sequence[Path]) -> list[Path]:
    """Tables as they are, and of results folders the measurements of each sample; failed samples are left out.

    Raises
    ------
    ConfigError
        If a source is missing, or a folder holds no measurements.
    """
    found: list[Path] = []
    for source in sources:
        inside = [source]
        if source.is_dir():
            folders = ("samples/*/", "*/", "")
            patterns = (f"{folder}measure/measurements.parquet" for folder in folders)
            inside = next((sorted(paths) for pattern in patterns if (paths := list(source.glob(pattern)))), [])
        if not inside or not inside[0].exists():
            raise ConfigError(
                f"{source}: no measurements there; give a results folder of cellseg, or tables with the columns "
                "sample, cell_id and features"
            )
        found += [path for path in inside if read_failure(path) is None]
    return list(dict.fromkeys(found))


def read_training_cells(
    sources: Sequence[Path],
    labelled: Path,
    settings: TrainClassifierSettings,
    exclude: ExcludeSettings,
    *,
    stain: Stain = "he",
) -> ReadCells:
    """The labelled cells of measured slides, with their features.

    Where values relative to the slide are asked for, up to 500 cells of each of their samples come along that can be
    judged, labelled or not.

    Parameters
    ----------
    sources : sequence of Path
        Results folders, or Parquet or CSV tables with `sample`, `cell_id` and features; in any order.
    labelled : Path
        Table of `cellseg label-cells`: sample, cell_id, class, abnormal, group.
    settings : TrainClassifierSettings
        Which features, and whether relative ones.
    exclude : ExcludeSettings
        Cells that cannot be judged are not trained on.
    stain : str
        Of the slides; it says which of them clumps are looked for on.

    Raises
    ------
    ConfigError
        If a setting names what the tables lack.
    TableError
        If a table cannot be read, or a labelled cell has no row or several.
    """
    labels = _read_labels(labelled)
    paths = find_measurements(sources)
    if not paths:
        raise ConfigError(f"{', '.join(map(str, sources))}: every sample failed; nothing to train on")
    schemas = {path: _schema(path) for path in paths}
    chosen = {path: choose_features(schema, settings, str(path)) for path, schema in schemas.items()}
    everywhere = set.intersection(*(set(names) for names in chosen.values()))
    names = tuple(name for name in chosen[paths[0]] if name in everywhere)
    missing = sorted(set().union(*chosen.values()) - everywhere)
    drawn = {} if settings.relative == "none" else _draw_cells(paths, labels, exclude, stain)
    parts = [part for path in paths for part in _read_path(path, names, labels, drawn, exclude, stain)]
    table = _Part.joined(parts, len(names))
    return _labelled_rows(table, names, labels, drawn, settings, str(labelled), tuple(missing))


@dataclass(frozen=True)
class _Part:
    """Some cells of one table."""

    sample: NDArray[np.str_]
    cell_id: NDArray[np.uint32]
    matrix: NDArray[np.float64]
    assessable: NDArray[np.bool_]

    @staticmethod
    def joined(parts: Sequence[_Part], n_features: int) -> _Part:
        none = _Part(np.empty(0, np.str_), np.empty(0, np.uint32), np.empty((0, n_features)), np.empty(0, bool))
        parts = [none, *parts]
        return _Part(
            np.concatenate([part.sample for part in parts]), np.concatenate([part.cell_id for part in parts]),
            np.concatenate([part.matrix for part in parts]), np.concatenate([part.assessable for part in parts]),
        )  # fmt: skip


Labels = dict[str, dict[int, tuple[str, bool, str]]]
"""sample -> cell_id -> class, abnormal, group."""


def _read_labels(path: Path) -> Labels:
    table = read_table(path, _LABELS)
    if not pa.types.is_boolean(table.schema.field("abnormal").type):
        raise TableError(f"{path}: column abnormal is no true or false; make the table by `cellseg label-cells`")
    columns = [pc.fill_null(pc.cast(table[name], pa.string()), "").to_pylist() for name in ("sample", "class", "group")]
    ids, abnormal = table["cell_id"].to_pylist(), table["abnormal"].to_pylist()
    out: Labels = {}
    for sample, name, group, cell_id, is_abnormal in zip(*columns, ids, abnormal, strict=True):
        of_sample = out.setdefault(sample, {})
        if cell_id is None or is_abnormal is None or cell_id in of_sample:
            raise TableError(
                f"{path}: cell {cell_id} of sample {sample!r} has no class or two; keep one row a labelled cell"
            )
        of_sample[cell_id] = (name, is_abnormal, group)
    if not out:
        raise TableError(f"{path}: no labelled cell; label some by `cellseg label-cells`")
    return out


def _schema(path: Path) -> pa.Schema:
    return read_table(path).schema if path.suffix == ".csv" else read_schema(path)


def _draw_cells(
    paths: Sequence[Path], labels: Labels, exclude: ExcludeSettings, stain: Stain
) -> dict[str, NDArray[np.uint32]]:
    """Ids of cells of each sample that can be judged: all, or 500 evenly spaced ones, however tables are parted."""
    found: dict[str, list[NDArray[np.uint32]]] = {sample: [np.empty(0, np.uint32)] for sample in labels}
    for path in paths:
        for sample, own, assessable in _assess(path, (), labels, exclude, stain):
            found[sample].append(own["cell_id"].to_numpy()[assessable].astype(np.uint32))
    out = {}
    for sample, parts in found.items():
        ids = np.unique(np.concatenate(parts))
        out[sample] = ids[np.linspace(0, ids.size - 1, min(ids.size, _FRAME_CELLS)).astype(np.int64)]
    return out


def _read_path(
    path: Path,
    names: tuple[str, ...],
    labels: Labels,
    drawn: Mapping[str, NDArray[np.uint32]],
    exclude: ExcludeSettings,
    stain: Stain,
) -> Iterator[_Part]:
    """The cells of a table that are labelled or drawn."""
    for sample, own, assessable in _assess(path, names, labels, exclude, stain):
        ids = own["cell_id"].to_numpy()
        kept = np.isin(ids, list(labels[sample])) | np.isin(ids, drawn.get(sample, ()))
        own = own.filter(pa.array(kept))
        matrix = np.empty((own.num_rows, len(names)))
        for at, name in enumerate(names):
            matrix[:, at] = float_column(own, name)
        yield _Part(np.full(own.num_rows, sample), ids[kept].astype(np.uint32), matrix, assessable[kept])


def _assess(
    path: Path, names: tuple[str, ...], labels: Labels, exclude: ExcludeSettings, stain: Stain
) -> Iterator[tuple[str, pa.Table, NDArray[np.bool_]]]:
    """Piece by piece the cells of samples that have labels, with these columns, and which of them can be judged."""
    present = _schema(path).names
    check_exclusion(exclude, present, str(path))
    looked_at = exclusion_columns(exclude, present)
    sharpness = _of_samples(path, SHARPNESS if SHARPNESS in looked_at else "", median_sharpness)
    area = _of_samples(path, clump_column(exclude, present, stain), lambda values: median_area(values, exclude))
    for batch in read_batches(path, list(dict.fromkeys(["sample", "cell_id", *looked_at, *names]))):
        for sample, own in _by_sample(batch):
            if sample not in labels:
                continue
            found = find_excluded(
                own, exclude, sharpness=sharpness.get(sample, np.nan), area_um2=area.get(sample, np.nan)
            )
            assessable = np.ones(own.num_rows, bool)
            for finding in found:
                assessable[finding.rows] = False
            yield sample, own, assessable


def _by_sample(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    samples = np.array(table["sample"].to_pylist(), dtype=np.str_)
    names = np.unique(samples).tolist()
    for name in names:
        yield name, table if len(names) == 1 else table.filter(pa.array(samples == name))


def _of_samples(path: Path, column: str, figure: Callable[[NDArray[np.float64]], float]) -> dict[str, float]:
    """A figure of a column over all cells of each sample of a table; nothing where the column has no name."""
    if not column:
        return {}
    return {name: figure(float_column(own, column)) for name, own in _by_sample(read_table(path, ["sample", column]))}


def _labelled_rows(
    table: _Part,
    names: tuple[str, ...],
    labels: Labels,
    drawn: Mapping[str, NDArray[np.uint32]],
    settings: TrainClassifierSettings,
    where: str,
    missing: tuple[str, ...],
) -> ReadCells:
    """The rows that have a label, sorted by sample and id; each label must have its row."""
    at = {key: row for row, key in enumerate(zip(table.sample.tolist(), table.cell_id.tolist(), strict=True))}
    if len(at) < table.cell_id.size:
        raise TableError(f"{where}: a cell stands twice in the measurements; give each table once")
    keys = [(sample, cell_id) for sample in sorted(labels) for cell_id in sorted(labels[sample])]
    if lost := [key for key in keys if key not in at]:
        raise TableError(
            f"{where}: {len(lost)} of {len(keys)} labelled cells have no measurements (first: sample {lost[0][0]!r}, "
            f"cell_id {lost[0][1]}); give the results that the labels were made for"
        )
    kept = [key for key in keys if table.assessable[at[key]]]
    rows = np.array([at[key] for key in kept], np.int64)
    said = [labels[sample][cell_id] for sample, cell_id in kept]
    slides = None
    if settings.relative != "none":
        samples = sorted(labels)
        values = (table.matrix[[at[sample, cell_id] for cell_id in drawn[sample].tolist()]] for sample in samples)
        of = np.searchsorted(samples, [sample for sample, _ in kept])
        slides = SlideCells(settings.relative, settings.relative_share, tuple(values), of)
    cells = TrainingCells(
        table.matrix[rows], np.array([abnormal for _, abnormal, _ in said], bool),
        np.array([group for *_, group in said], np.str_), np.array([name for name, *_ in said], np.str_), names,
        where, slides,
    )  # fmt: skip
    return ReadCells(cells, table.sample[rows], table.cell_id[rows], len(keys) - len(kept), missing)


def read_class_table(source: ClassTable, settings: TrainClassifierSettings) -> ReadCells:
    """The rows of a table whose class is known; without a choice every numeric column is a feature.

    Raises
    ------
    ConfigError
        If a class is neither healthy nor abnormal, a setting names what the table lacks, or asks for values relative to
        slides.
    TableError
        If the table cannot be read or lacks a column.
    """
    if settings.relative != "none":
        raise ConfigError(
            f"{source.path}: relative is {settings.relative!r}, but a table of features and classes does not hold the "
            "other cells of its slides; give measurements and labels, or leave it at 'none'"
        )
    table = read_table(source.path)
    for name in (source.class_column, *filter(None, [source.group_column])):
        if name not in table.column_names:
            raise TableError(f"{source.path}: no column {name!r}; it has {', '.join(table.column_names[:20])}")
    where = str(source.path)
    named = {source.class_column, source.group_column, "sample", "cell_id"}
    numeric = [
        field.name
        for field in table.schema
        if field.name not in named and (pa.types.is_integer(field.type) or pa.types.is_floating(field.type))
    ]
    names = tuple(numeric)
    if settings.features or settings.without:
        every = settings.features or ("*",)
        names = choose_features(table.select(numeric).schema, settings.model_copy(update={"features": every}), where)
    classes = _texts(table, source.class_column)
    matrix = np.empty((table.num_rows, len(names)))
    for at, name in enumerate(names):
        matrix[:, at] = float_column(table, name)
    cells = TrainingCells(
        matrix,
        _sides(classes, source),
        _texts(table, source.group_column),
        classes,
        names,
        where,
    )
    return ReadCells(cells, _texts(table, ""), np.arange(1, table.num_rows + 1, dtype=np.uint32))


def _texts(table: pa.Table, name: str) -> NDArray[np.str_]:
    if not name:
        return np.full(table.num_rows, "", np.str_)
    return np.array(pc.fill_null(pc.cast(table[name], pa.string()), "").to_pylist(), dtype=np.str_)


def _sides(classes: NDArray[np.str_], source: ClassTable) -> NDArray[np.bool_]:
    """Whether each class is abnormal; without named healthy classes all others are healthy."""
    present = set(np.unique(classes).tolist())
    healthy = set(source.healthy) or present - set(source.abnormal)
    strange = sorted((present - healthy - set(source.abnormal)) | (set(source.abnormal) - present))
    if strange or healthy & set(source.abnormal):
        raise ConfigError(
            f"{source.path}: column {source.class_column} has the classes {', '.join(sorted(present)[:20])}; of "
            f"{', '.join(strange or sorted(healthy))} it is not clear whether they are healthy or abnormal; name each "
            "once"
        )
    return np.isin(classes, list(source.abnormal))
