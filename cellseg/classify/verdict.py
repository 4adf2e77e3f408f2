"""The verdict on each cell: exclusion first, then the gravest of all judges. Floor 3: tables in, tables out."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.classify.discovery import SlideCalls, call_slide
from cellseg.classify.exclude import assess_cells, check_exclusion, exclusion_columns, find_excluded
from cellseg.classify.finding import Finding, combine_findings, float_column
from cellseg.classify.reference import ReferenceFit, check_reference
from cellseg.classify.reference_judge import judge_by_reference, score_by_reference
from cellseg.classify.rules import apply_rules, check_rules, rule_columns, rules_for, without_rule
from cellseg.classify.supervised import Classifier, check_classifier, judge_by_model
from cellseg.classify.tissues import TISSUE
from cellseg.classify_config import ClassifySettings
from cellseg.columns import Column, find_column
from cellseg.types import Stain

VERDICT_COLUMNS: tuple[Column, ...] = tuple(
    find_column(name)
    for name in (
        "cell_id", "status", "abnormal_probability", "abnormal_score", "scored_by", "healthy_p_value",
        "n_reasons", "reason_1", "reason_2", "reason_3", "reasons", "assessable", "out_of_focus", "overlapping",
        "saturated", "too_small",
    )
)  # fmt: skip
"""Columns of the verdicts table."""


def reference_in_force(fit: ReferenceFit | None, settings: ClassifySettings) -> ReferenceFit | None:
    """The reference that judges: None where there is none, it is unusable, or the settings turn it off."""
    return fit if fit is not None and fit.usable and settings.reference.enabled else None


def verdict_inputs(
    names: Collection[str],
    fit: ReferenceFit | None,
    stain: Stain,
    settings: ClassifySettings,
    model: Classifier | None = None,
) -> tuple[str, ...]:
    """The columns that verdicts on a table with these names are made from, each once, `cell_id` first."""
    judge = reference_in_force(fit, settings)
    rules = rules_for(settings.rules, stain)
    tissue = (TISSUE,) if any(rule.tissues for rule in rules) or (judge and judge.tissues) else ()
    features = judge.all_features if judge else ()
    learned = model.names if model else ()
    columns = (
        *exclusion_columns(settings.exclude, names), *rule_columns(rules, names), *features, *tissue, *learned,
    )  # fmt: skip
    return tuple(dict.fromkeys(["cell_id", *columns]))


def check_verdict_inputs(
    schema: pa.Schema,
    fit: ReferenceFit | None,
    stain: Stain,
    settings: ClassifySettings,
    where: str,
    model: Classifier | None = None,
) -> None:
    """Refuse a table that the settings, the reference or the model do not fit.

    Raises
    ------
    ConfigError
        If a rule or the exclusion names a column that the table lacks, or tissues where there is no map.
    ModelError
        If the reference or the model is of another stain or needs columns that the table lacks.
    """
    check_exclusion(settings.exclude, schema.names, where)
    check_rules(rules_for(settings.rules, stain), schema, where)
    if judge := reference_in_force(fit, settings):
        check_reference(judge, schema.names, stain, where)
    if model:
        check_classifier(model, schema.names, stain, where)


def judge_cells(
    table: pa.Table,
    fit: ReferenceFit | None,
    *,
    stain: Stain,
    sharpness: float,
    settings: ClassifySettings,
    area_um2: float = float("nan"),
    model: Classifier | None = None,
    calls: SlideCalls | None = None,
) -> pa.Table:
    """The verdicts (VERDICT_COLUMNS) on the cells of a table, row by row.

    Parameters
    ----------
    table : pyarrow.Table
        With the columns of `verdict_inputs`, checked by `check_verdict_inputs`; may be a part of the slide's table.
    fit : ReferenceFit or None
        What healthy cells look like.
    stain : str
        The slide's stain; it chooses the rules.
    sharpness : float
        `median_sharpness` of the whole slide, 1/um.
    settings : ClassifySettings
        What excludes a cell, the rules, and how reference and model are used.
    area_um2 : float
        `median_area` of the whole slide where clumps are looked for.
    model : Classifier or None
        A supervised model; its score and probability stand where there is one, else the reference's.
    calls : SlideCalls, optional
        `call_slide` of the whole slide's `healthy_p_values`; without it the table is taken for the whole slide.

    Returns
    -------
    pyarrow.Table
        Each cell is healthy unless something speaks against it, and uncertain where nothing can judge it.
    """
    excluded = find_excluded(table, settings.exclude, sharpness=sharpness, area_um2=area_um2)
    flags = assess_cells(table, settings.exclude, sharpness=sharpness, area_um2=area_um2)
    rules = rules_for(settings.rules, stain)
    judge = reference_in_force(fit, settings)
    findings = [*excluded, *apply_rules(table, rules)]
    scores, probability, p_values = (np.full(table.num_rows, np.nan) for _ in range(3))
    if judge:
        if calls is None:
            calls = call_slide(_kept_p_values(table, judge, excluded), settings.reference)
        said = judge_by_reference(table, judge, calls, reason_z=settings.reference.reason_z)
        scores, probability, p_values = said.score, said.probability, said.p_value
        findings += said.findings
    if model:
        matrix = np.column_stack([float_column(table, name) for name in model.names])
        said = judge_by_model(matrix, model, coverage=settings.model.coverage)
        scores, probability = said.score, said.probability
        findings += said.findings
    by = "model" if model else "reference"
    if not judge and not model and (rows := without_rule(table, rules)).size:
        findings.append(Finding(rows, "uncertain", _nothing_to_judge_by(table, rows, fit, stain, settings)))
    verdict = combine_findings(table.num_rows, findings)
    reasons = {f"reason_{rank}": pa.array(texts, pa.string()) for rank, texts in enumerate(verdict.first, start=1)}
    return pa.table(
        {
            "cell_id": table["cell_id"],
            "status": pa.array(verdict.status, pa.string()),
            "abnormal_probability": pa.array(probability, pa.float64()),
            "abnormal_score": pa.array(scores, pa.float64()),
            "scored_by": pa.array(np.where(np.isnan(scores), "", by), pa.string()),
            "healthy_p_value": pa.array(p_values, pa.float64()),
            "n_reasons": pa.array(verdict.n_reasons, pa.int32()),
            **reasons,
            "reasons": pa.array(verdict.reasons, pa.string()),
            "assessable": pa.array(flags.assessable, pa.bool_()),
            "out_of_focus": pa.array(flags.out_of_focus, pa.bool_()),
            "overlapping": pa.array(flags.overlapping, pa.bool_()),
            "saturated": pa.array(flags.saturated, pa.bool_()),
            "too_small": pa.array(flags.too_small, pa.bool_()),
        }
    )


def healthy_p_values(
    table: pa.Table, fit: ReferenceFit, settings: ClassifySettings, *, sharpness: float, area_um2: float = float("nan")
) -> NDArray[np.float64]:
    """The p-values of the cells of a table, or a part of it, that can be judged: what `call_slide` looks at."""
    return _kept_p_values(table, fit, find_excluded(table, settings.exclude, sharpness=sharpness, area_um2=area_um2))


def _kept_p_values(table: pa.Table, fit: ReferenceFit, excluded: list[Finding]) -> NDArray[np.float64]:
    kept = np.ones(table.num_rows, bool)
    for finding in excluded:
        kept[finding.rows] = False
    return score_by_reference(table, fit)[1][kept]


def _nothing_to_judge_by(
    table: pa.Table, rows: NDArray[np.int64], fit: ReferenceFit | None, stain: Stain, settings: ClassifySettings
) -> str | list[str]:
    """Why these cells cannot be judged; where there are rules for some tissues, in words of each cell's own."""
    if not rules_for(settings.rules, stain):
        return _unjudged(f"stain {stain}", fit, stain, settings)
    tissues = table[TISSUE].take(rows).to_pylist()
    words = {
        tissue: _unjudged(f"tissue {tissue}" if tissue else "cells without tissue", fit, stain, settings)
        for tissue in set(tissues)
    }
    return [words[tissue] for tissue in tissues]


def _unjudged(ruleless: str, fit: ReferenceFit | None, stain: Stain, settings: ClassifySettings) -> str:
    if not settings.reference.enabled:
        return f"the reference is turned off and there is no rule for {ruleless}: nothing to judge by"
    if fit is None:
        return f"no healthy reference and no rule for {ruleless}: nothing to judge by"
    return f"no usable healthy reference for stain {stain} ({fit.fault})"
