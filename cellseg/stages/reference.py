"""Fitting the healthy reference of one stain: measurements in, reference.json out. Floor 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
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
from cellseg.classify.reference import ReferenceFit
from cellseg.classify.tissues import TISSUE
from cellseg.classify_config import ClassifySettings, ExcludeSettings, ReferenceSettings
from cellseg.io.atomic import write_json
from cellseg.io.table import read_batches, read_schema
from cellseg.stages.feature_choice import match_features
from cellseg.stages.outcome import read_failure
from cellseg.train.reference import draw_evenly, fit_healthy
from cellseg.types import Stain


@dataclass(frozen=True)
class _Healthy:
    """One reference sample: its measurements, and which of its cells shape the reference.

    The cells lie in `tissues`, by their position there; both are empty where fits for tissues are not wanted.
    """

    path: Path
    sample: str
    names: tuple[str, ...]
    kept: NDArray[np.bool_]
    tissues: tuple[str, ...] = ()
    tissue_of: NDArray[np.int32] | None = None

    @property
    def n_kept(self) -> int:
        return int(self.kept.sum())

    def within(self, tissue: str) -> _Healthy:
        """The same sample, its cells in one tissue alone."""
        if self.tissue_of is None or tissue not in self.tissues:
            return replace(self, kept=np.zeros_like(self.kept))
        return replace(self, kept=self.kept & (self.tissue_of == self.tissues.index(tissue)))


def fit_reference(measurements: Sequence[Path], out: Path, *, stain: Stain, settings: ClassifySettings) -> ReferenceFit:
    """Fit what healthy cells look like on the pooled cells of the reference samples of one stain.

    Cells that the settings exclude (cut by the border, tiny, out of focus) shape nothing. Samples whose
    measurements are placeholders of a failure are left out and named. Of more than `max_fit_cells` cells an even draw
    of each sample is fitted, so that no sample outweighs the others more than it must. P-values come from samples that
    were held out; with one sample, from cells held out, which are tight for a new slide.

    Parameters
    ----------
    measurements : sequence of Path
        `measurements.parquet` of the reference samples, in any order.
    out : Path
        The `reference.json` to write: the fit, cells per sample, what was left out and why, the settings used. With
        fewer cells than `settings.reference.min_cells` it says `usable: false` and why.
    stain : str
        Stain of these samples.
    settings : ClassifySettings
        The sections `exclude` and `reference` are used.

    Returns
    -------
    ReferenceFit
        What was written.

    Raises
    ------
    ConfigError
        If the exclusion looks at a column that was not measured.
    TableError
        If a table cannot be read.
    """
    failures = {path: read_failure(path) for path in measurements}
    left_out = {failure.sample: f"{failure.stage}: {failure.reason}" for failure in failures.values() if failure}
    read = [path for path, failure in failures.items() if failure is None]
    healthy = [_read_healthy(path, stain, settings.exclude, by_tissue=settings.reference.by_tissue) for path in read]
    healthy.sort(key=lambda one: one.sample)
    features = _chosen(healthy, settings.reference)
    missing = _missing_features(healthy, features)
    fit = _fit(healthy, features, missing, stain, settings.reference)
    if settings.reference.by_tissue:
        known = sorted({tissue for one in healthy for tissue in one.tissues if tissue})
        parts = {tissue: [one.within(tissue) for one in healthy] for tissue in known}
        fits = {tissue: _fit(part, features, missing, stain, settings.reference) for tissue, part in parts.items()}
        fit = replace(fit, tissues=fits)
    samples = {one.sample: {"n_cells": one.n_kept, "n_excluded": one.kept.size - one.n_kept} for one in healthy}
    used = {"exclude": settings.exclude.model_dump(), "reference": settings.reference.model_dump()}
    write_json(out, fit.to_dict() | {"samples": samples, "left_out": left_out, "settings": used})
    return fit


def _chosen(healthy: Sequence[_Healthy], settings: ReferenceSettings) -> list[str]:
    """Columns that the settings name; what the first sample does not have stays as it is written."""
    if not healthy:
        return list(settings.features)
    schema = read_schema(healthy[0].path)
    return list(dict.fromkeys(name for entry in settings.features for name in match_features(entry, schema) or [entry]))


def _fit(
    healthy: Sequence[_Healthy],
    features: Sequence[str],
    missing: dict[str, str],
    stain: Stain,
    settings: ReferenceSettings,
) -> ReferenceFit:
    """The fit on a draw of the kept cells of all samples."""
    names = [name for name in features if name not in missing]
    drawn = draw_evenly([np.flatnonzero(one.kept) for one in healthy], settings.max_fit_cells)
    parts = [_matrix(one, rows, names) for one, rows in zip(healthy, drawn, strict=True)]
    groups = np.repeat(np.array([one.sample for one in healthy], np.str_), [rows.size for rows in drawn])
    matrix = np.concatenate([*parts, np.empty((0, len(names)))])
    return fit_healthy(matrix, names, groups, stain=stain, left_out=missing, settings=settings)


def _matrix(one: _Healthy, rows: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.float64]:
    """The features (n, p) of these rows of a sample, a row group in memory at a time."""
    out, before, filled = np.empty((rows.size, len(names))), 0, 0
    if not rows.size or not names:
        return out
    for batch in read_batches(one.path, list(names)):
        own = rows[(rows >= before) & (rows < before + batch.num_rows)] - before
        part = slice(filled, filled + own.size)
        for at, name in enumerate(names):
            out[part, at] = float_column(batch, name)[own]
        before, filled = before + batch.num_rows, filled + own.size
    return out


def _read_healthy(path: Path, stain: Stain, settings: ExcludeSettings, *, by_tissue: bool) -> _Healthy:
    names = tuple(read_schema(path).names)
    check_exclusion(settings, list(names), str(path))
    sharpness, area_um2 = read_sharpness(path, settings), read_median_area(path, settings, stain)
    sample, kept = "", []
    for batch in read_batches(path, ["sample", *exclusion_columns(settings, names)]):
        mask = np.ones(batch.num_rows, bool)
        for finding in find_excluded(batch, settings, sharpness=sharpness, area_um2=area_um2):
            mask[finding.rows] = False
        kept.append(mask)
        sample = sample or (batch["sample"][0].as_py() if batch.num_rows else "")
    # a sample without cells has no row to name it
    one = _Healthy(path, sample or path.as_posix(), names, np.concatenate([*kept, np.ones(0, bool)]))
    return _with_tissues(one) if by_tissue and TISSUE in names else one


def _with_tissues(one: _Healthy) -> _Healthy:
    """The sample with the tissue of each of its cells: a number a cell, for names would take far more."""
    chunks = [chunk for batch in read_batches(one.path, [TISSUE]) for chunk in batch[TISSUE].chunks]
    column = pa.chunked_array(chunks, pa.string())
    coded = column.combine_chunks().dictionary_encode()
    return replace(one, tissues=tuple(coded.dictionary.to_pylist()), tissue_of=coded.indices.to_numpy())


def read_sharpness(path: Path, settings: ExcludeSettings) -> float:
    """The median edge sharpness of a slide's cells, 1/um, from one pass over that column; NaN where it is not used."""
    if SHARPNESS not in exclusion_columns(settings, ()):
        return float("nan")
    parts = [float_column(batch, SHARPNESS) for batch in read_batches(path, [SHARPNESS])]
    return median_sharpness(np.concatenate([*parts, np.empty(0)]))


def read_median_area(path: Path, settings: ExcludeSettings, stain: Stain) -> float:
    """The median area of a slide's cells, um2, from one pass over that column; NaN where no clumps are looked for."""
    column = clump_column(settings, read_schema(path).names, stain)
    if not column:
        return float("nan")
    parts = [float_column(batch, column) for batch in read_batches(path, [column])]
    return median_area(np.concatenate([*parts, np.empty(0)]), settings)


def _missing_features(healthy: Sequence[_Healthy], features: Sequence[str]) -> dict[str, str]:
    lacking = {name: [one.sample for one in healthy if name not in one.names] for name in features}
    return {name: f"not measured in {', '.join(samples)}" for name, samples in lacking.items() if samples}
