"""Fitting the healthy reference of one stain: measurements in, reference.json out. Floor 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellseg.classify.exclude import SHARPNESS, check_exclusion, exclusion_columns, find_excluded, median_sharpness
from cellseg.classify.finding import float_column
from cellseg.classify.reference import ReferenceFit, fit_healthy
from cellseg.config import ClassifySettings, ExcludeSettings
from cellseg.io.atomic import write_json
from cellseg.io.table import read_batches, read_schema
from cellseg.stages.outcome import read_failure
from cellseg.types import Stain


@dataclass(frozen=True)
class _Healthy:
    """One reference sample: its measurements, and which of its cells shape the reference."""

    path: Path
    sample: str
    names: tuple[str, ...]
    kept: NDArray[np.bool_]

    @property
    def n_kept(self) -> int:
        return int(self.kept.sum())


def fit_reference(measurements: Sequence[Path], out: Path, *, stain: Stain, settings: ClassifySettings) -> ReferenceFit:
    """Fit what healthy cells look like on the pooled cells of the reference samples of one stain.

    Cells that the settings exclude (cut by the border, tiny, out of focus) shape nothing. Samples whose
    measurements are placeholders of a failure are left out and named. Pooled means that a sample counts by its cells
    and that the cut-offs come from the very cells that were fitted: with few samples they are tight for a new one.

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
    healthy = [_read_healthy(path, settings.exclude) for path, failure in failures.items() if failure is None]
    healthy.sort(key=lambda one: one.sample)
    missing = _missing_features(healthy, settings.reference.features)
    fit = fit_healthy(
        lambda name: _pool(healthy, name),
        [name for name in settings.reference.features if name not in missing],
        stain=stain,
        n_cells=sum(one.n_kept for one in healthy),
        left_out=missing,
        settings=settings.reference,
    )
    samples = {one.sample: {"n_cells": one.n_kept, "n_excluded": one.kept.size - one.n_kept} for one in healthy}
    used = {"exclude": settings.exclude.model_dump(), "reference": settings.reference.model_dump()}
    write_json(out, fit.to_dict() | {"samples": samples, "left_out": left_out, "settings": used})
    return fit


def _read_healthy(path: Path, settings: ExcludeSettings) -> _Healthy:
    names = tuple(read_schema(path).names)
    check_exclusion(settings, list(names), str(path))
    sharpness = read_sharpness(path, settings)
    sample, kept = "", []
    for batch in read_batches(path, ["sample", *exclusion_columns(settings)]):
        mask = np.ones(batch.num_rows, bool)
        for finding in find_excluded(batch, settings, sharpness=sharpness):
            mask[finding.rows] = False
        kept.append(mask)
        sample = sample or (batch["sample"][0].as_py() if batch.num_rows else "")
    # a sample without cells has no row to name it
    return _Healthy(path, sample or path.as_posix(), names, np.concatenate([*kept, np.ones(0, bool)]))


def read_sharpness(path: Path, settings: ExcludeSettings) -> float:
    """The median edge sharpness of a slide's cells, 1/um, from one pass over that column; NaN where it is not used."""
    if SHARPNESS not in exclusion_columns(settings):
        return float("nan")
    parts = [float_column(batch, SHARPNESS) for batch in read_batches(path, [SHARPNESS])]
    return median_sharpness(np.concatenate([*parts, np.empty(0)]))


def _pool(healthy: Sequence[_Healthy], name: str) -> NDArray[np.float64]:
    """The feature's values over the kept cells of all samples."""
    parts = [
        np.concatenate([*(float_column(batch, name) for batch in read_batches(one.path, [name])), np.empty(0)])[
            one.kept
        ]
        for one in healthy
    ]
    return np.concatenate([*parts, np.empty(0)])


def _missing_features(healthy: Sequence[_Healthy], features: Sequence[str]) -> dict[str, str]:
    lacking = {name: [one.sample for one in healthy if name not in one.names] for name in features}
    return {name: f"not measured in {', '.join(samples)}" for name, samples in lacking.items() if samples}
