"""The verdict on each cell of one slide: measurements in, verdicts.parquet out. Floor 6."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from cellseg.classify.reference import ReferenceFit
from cellseg.classify.rules import rules_for
from cellseg.classify.tissues import unknown_tissues
from cellseg.classify.verdict import VERDICT_COLUMNS, check_verdict_inputs, judge_cells, verdict_inputs
from cellseg.classify_config import ClassifySettings
from cellseg.errors import ModelError
from cellseg.io.table import TableWriter, read_batches, read_schema
from cellseg.preprocess.recipe import Recipe
from cellseg.stages.classifier_model import read_classifier
from cellseg.stages.reference import read_median_area, read_sharpness
from cellseg.types import STATUSES, Status


def classify_cells(
    measurements: Path, out: Path, *, reference: Path | None, recipe: Recipe, settings: ClassifySettings
) -> dict[Status, int]:
    """Give each cell its status, score and reasons, row group by row group.

    What was fitted (features, score, cut-offs) is taken from the reference file, whatever the settings now say.

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
    sharpness = read_sharpness(measurements, settings.exclude)
    area_um2 = read_median_area(measurements, settings.exclude, stain)
    counts: Counter[Status] = Counter()
    with TableWriter(out, VERDICT_COLUMNS) as writer:
        for batch in read_batches(measurements, verdict_inputs(schema.names, fit, stain, settings, model)):
            verdicts = judge_cells(
                batch, fit, stain=stain, sharpness=sharpness, settings=settings, area_um2=area_um2, model=model
            )
            writer.write(verdicts)
            counts.update(verdicts["status"].to_pylist())
    return {status: counts[status] for status in STATUSES}


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
