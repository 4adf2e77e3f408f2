"""The verdict on each cell: exclusion first, then the gravest of all judges. Floor 3: tables in, tables out."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.classify.exclude import assess_cells, check_exclusion, exclusion_columns, find_excluded
from cellseg.classify.finding import Finding, combine_findings, float_column
from cellseg.classify.reference import ReferenceFit, check_reference, judge_by_reference
from cellseg.classify.rules import apply_rules, check_rules, rule_columns, rules_for, without_rule
from cellseg.classify.supervised import Classifier, check_classifier, judge_by_model
from cellseg.classify.tissues import TISSUE
from cellseg.classify_config import ClassifySettings
from cellseg.columns import Column, find_column
from cellseg.types import Stain

VERDICT_COLUMNS: tuple[Column, ...] = tuple(
    find_column(name)
    for name in (
        "cell_id", "status", "abnormal_probability", "abnormal_score", "n_reasons", "reasons",
        "assessable", "out_of_focus", "overlapping", "saturated", "too_small",
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
        A supervised model; its score stands where there is one, else the reference's.

    Returns
    -------
    pyarrow.Table
        Each cell is healthy unless something speaks against it, and uncertain where nothing can judge it.
    """
    findings = find_excluded(table, settings.exclude, sharpness=sharpness, area_um2=area_um2)
    flags = assess_cells(table, settings.exclude, sharpness=sharpness, area_um2=area_um2)
    rules = rules_for(settings.rules, stain)
    judge = reference_in_force(fit, settings)
    findings += apply_rules(table, rules)
    scores, probability = np.full(table.num_rows, np.nan), np.full(table.num_rows, np.nan)
    if judge:
        scores, held = judge_by_reference(table, judge, reason_z=settings.reference.reason_z)
        findings += held
    if model:
        matrix = np.column_stack([float_column(table, name) for name in model.names])
        said = judge_by_model(matrix, model, coverage=settings.model.coverage)
        scores, probability = said.score, said.probability
        findings += said.findings
    if not judge and not model and (rows := without_rule(table, rules)).size:
        findings.append(Finding(rows, "uncertain", _nothing_to_judge_by(table, rows, fit, stain, settings)))
    status, n_reasons, reasons = combine_findings(table.num_rows, findings)
    return pa.table(
        {
            "cell_id": table["cell_id"],
            "status": pa.array(status, pa.string()),
            "abnormal_probability": pa.array(probability, pa.float64()),
            "abnormal_score": pa.array(scores, pa.float64()),
            "n_reasons": pa.array(n_reasons, pa.int32()),
            "reasons": pa.array(reasons, pa.string()),
            "assessable": pa.array(flags.assessable, pa.bool_()),
            "out_of_focus": pa.array(flags.out_of_focus, pa.bool_()),
            "overlapping": pa.array(flags.overlapping, pa.bool_()),
            "saturated": pa.array(flags.saturated, pa.bool_()),
            "too_small": pa.array(flags.too_small, pa.bool_()),
        }
    )


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
