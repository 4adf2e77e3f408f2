"""The verdict on each cell of one slide: measurements in, verdicts.parquet out. Floor 6."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np

from cellseg.classify.exclude import find_excluded
from cellseg.classify.finding import float_column
from cellseg.classify.reference import ReferenceFit, find_drift
from cellseg.classify.rules import rules_for
from cellseg.classify.tissues import unknown_tissues
from cellseg.classify.verdict import (
    SlideFacts,
    check_verdict_inputs,
    gather_facts,
    judge_cells,
    judge_evidence,
    needs_evidence,
    reference_in_force,
    verdict_inputs,
)
from cellseg.classify_config import ClassifySettings
from cellseg.columns import VERDICT_COLUMNS
from cellseg.errors import ModelError
from cellseg.io.table import TableWriter, count_rows, read_batches, read_schema
from cellseg.preprocess.recipe import Recipe
from cellseg.stages.classifier_model import read_classifier
from cellseg.stages.reference import read_median_area, read_sharpness
from cellseg.types import STATUSES, Status

_DRIFT_CELLS = 20_000


def classify_cells(
    measurements: Path, out: Path, *, reference: Path | None, recipe: Recipe, settings: ClassifySettings
) -> dict[Status, int]:
    """Give each cell its status, score and reasons, row group by row group.

    What was fitted (features, score, held-out scores) is taken from the reference file, whatever the settings now say.
    With a reference, a model that judges by values relative to the slide, or a share of abnormal cells estimated from
    the slide, the table is read twice.

    Parameters
    ----------
    measurements : Path
        `measurements.parquet` of the slide.
    out : Path
        The `verdicts.parquet` to write, in the same order of rows.
    reference : Path or None
        `reference.json` of the slide's stain, or None where there is none: then only rules judge.
    recipe : Recipe
        The slide's recipe; its stain chooses the rules.
    settings : ClassifySettings
        What excludes a cell, the rules, how the reference is used, and which model judges.

    Returns
    -------
    dict
        Cells per status.

    Raises
    ------
    ConfigError
        If a rule or the exclusion names a column that was not measured, or tissues where the slide has no map.
    ModelError
        If the reference or the model cannot be read or does not fit the slide.
    """
    fit = None if reference is None else read_reference(reference)
    model = read_classifier(settings.model.weights) if settings.model.weights else None
    where, stain = str(measurements), recipe.stain
    schema = read_schema(measurements)
    check_verdict_inputs(schema, fit, stain, settings, where, model)
    columns = verdict_inputs(schema.names, fit, stain, settings, model)
    sharpness = read_sharpness(measurements, settings.exclude)
    area_um2 = read_median_area(measurements, settings.exclude, stain)
    slide = SlideFacts(share=None if isinstance(settings.model.share, str) else settings.model.share)
    if needs_evidence(fit, settings, model):
        slide = gather_facts(
            (
                judge_evidence(
                    batch, fit, settings, model,
                    excluded=find_excluded(batch, settings.exclude, sharpness=sharpness, area_um2=area_um2),
                )
                for batch in read_batches(measurements, columns)
            ),
            settings,
            model,
        )  # fmt: skip
    counts: Counter[Status] = Counter()
    with TableWriter(out, VERDICT_COLUMNS) as writer:
        for batch in read_batches(measurements, columns):
            verdicts = judge_cells(
                batch, fit, stain=stain, sharpness=sharpness, settings=settings, area_um2=area_um2, model=model,
                slide=slide,
            )  # fmt: skip
            writer.write(verdicts)
            counts.update(verdicts["status"].to_pylist())
    return {status: counts[status] for status in STATUSES}


def drift_notes(measurements: Path, reference: Path | None, settings: ClassifySettings) -> list[str]:
    """Features in which the slide's cells lie far from the healthy ones as a whole, for the log, the farthest first.

    Looked at are up to about 20,000 cells, evenly spaced in the table; of tissues the fit of all is asked.
    """
    fit = reference_in_force(None if reference is None else read_reference(reference), settings)
    if fit is None:
        return []
    names = [name for name in fit.features if name in read_schema(measurements).names]
    step = max(1, count_rows(measurements) // _DRIFT_CELLS)
    parts = [batch.take(np.arange(0, batch.num_rows, step)) for batch in read_batches(measurements, names)]
    medians = {}
    for name in names:
        values = np.concatenate([float_column(part, name) for part in parts])
        values = values[np.isfinite(values)]
        if values.size >= settings.reference.min_cells:
            medians[name] = float(np.median(values))
    return find_drift(fit, medians, settings.reference.drift_shift)


def tissue_notes(measurements: Path, recipe: Recipe, settings: ClassifySettings) -> list[str]:
    """What is worth a word in the log: tissues that the settings name and the slide's map does not have."""
    return unknown_tissues(read_schema(measurements).names, rules_for(settings.rules, recipe.stain), settings.exclude)


def read_reference(path: Path) -> ReferenceFit:
    """The reference that `cellseg reference` wrote.

    Raises
    ------
    ModelError
        If the file is missing, is no JSON or is of another version.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not a readable reference ({error}); run `cellseg reference`") from error
    return ReferenceFit.from_dict(values, str(path))
