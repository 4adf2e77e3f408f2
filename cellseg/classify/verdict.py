"""The verdict on each cell: exclusion first, then the gravest of all judges. Floor 3: tables in, tables out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.classify.calibration import estimate_share
from cellseg.classify.discovery import SlideCalls, call_slide
from cellseg.classify.exclude import assess_cells, check_exclusion, exclusion_columns, find_excluded
from cellseg.classify.finding import Finding, combine_findings, float_column
from cellseg.classify.reference import ReferenceFit, check_reference
from cellseg.classify.reference_judge import judge_by_reference, score_by_reference
from cellseg.classify.rules import apply_rules, check_rules, rule_columns, rules_for, without_rule
from cellseg.classify.supervised import Classifier, check_classifier, even_probability, judge_by_model, see_cells
from cellseg.classify.tissues import TISSUE
from cellseg.classify.travel import EvenDraw, Frame, slide_frame
from cellseg.classify_config import ClassifySettings
from cellseg.types import Stain

_FRAME_CELLS = 20_000
"""Cells of a slide, evenly spaced, that tell what its cells look like."""


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
    learned = model.inputs if model else ()
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


@dataclass(frozen=True)
class SlideFacts:
    """What judges need to know of a whole slide.

    `calls` is how its p-values are read, None where no reference judges; `share` of abnormal cells that probabilities
    of the model assume, None where that is the model's own; `frame` is what its cells look like, None where no model
    judges by values relative to the slide.
    """

    calls: SlideCalls | None = None
    share: float | None = None
    frame: Frame | None = None


class Evidence(NamedTuple):
    """Of the cells of a table that can be judged: p-values, and the model's probability at equal odds; (k,) each.

    A model that judges by values relative to the slide has no probability yet, but its inputs (k, q) as measured.
    """

    p_values: NDArray[np.float64]
    even: NDArray[np.float64]
    inputs: NDArray[np.float64]


def judge_evidence(
    table: pa.Table,
    fit: ReferenceFit | None,
    settings: ClassifySettings,
    model: Classifier | None = None,
    *,
    excluded: Sequence[Finding],
) -> Evidence:
    """What a part of a slide's table adds to its `SlideFacts`; `excluded` is of `find_excluded`."""
    kept = np.ones(table.num_rows, bool)
    for finding in excluded:
        kept[finding.rows] = False
    judge = reference_in_force(fit, settings)
    even, inputs = np.empty(0), np.empty((0, 0))
    if model and model.travel:
        inputs = _inputs(table, model)[kept]
    elif model and settings.model.share == "slide":
        even = even_probability(model, _inputs(table, model)[kept])
    return Evidence(score_by_reference(table, judge)[1][kept] if judge else np.empty(0), even, inputs)


def needs_evidence(fit: ReferenceFit | None, settings: ClassifySettings, model: Classifier | None) -> bool:
    """Whether a slide's cells must be looked at before the first is judged."""
    if model and (model.travel or settings.model.share == "slide"):
        return True
    return reference_in_force(fit, settings) is not None


def gather_facts(parts: Iterable[Evidence], settings: ClassifySettings, model: Classifier | None = None) -> SlideFacts:
    """The facts of a slide from the evidence of all its parts, which are taken one by one.

    Of the inputs of a model that judges by values relative to the slide up to 20,000 cells are kept, evenly spaced in
    the table; what the slide's cells look like, and the share of abnormal ones, is then that of these.
    """
    p_values, even = [np.empty(0)], [np.empty(0)]
    drawn = EvenDraw(len(model.inputs), _FRAME_CELLS) if model and model.travel else None
    for part in parts:
        p_values.append(part.p_values)
        even.append(part.even)
        if drawn:
            drawn.add(part.inputs)
    frame = None
    if drawn and model and model.travel:
        frame = slide_frame(drawn.rows[:, [model.inputs.index(name) for name in model.travel.columns]], model.travel)
        if settings.model.share == "slide":
            even.append(even_probability(model, see_cells(model, drawn.rows, frame)[0]))
    calls, share = call_slide(np.concatenate(p_values), settings.reference), settings.model.share
    if share == "slide":
        return SlideFacts(calls, estimate_share(np.concatenate(even)), frame)
    return SlideFacts(calls, None if share == "model" else share, frame)


def judge_cells(
    table: pa.Table,
    fit: ReferenceFit | None,
    *,
    stain: Stain,
    sharpness: float,
    settings: ClassifySettings,
    area_um2: float = float("nan"),
    model: Classifier | None = None,
    slide: SlideFacts | None = None,
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
    slide : SlideFacts, optional
        What judges need to know of the whole slide; without it the table is taken for that.

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
    called = np.zeros(table.num_rows, bool)
    if slide is None:
        slide = gather_facts([judge_evidence(table, fit, settings, model, excluded=excluded)], settings, model)
    if judge and slide.calls:
        said = judge_by_reference(table, judge, slide.calls, reason_z=settings.reference.reason_z)
        scores, probability, p_values, called = said.score, said.probability, said.p_value, said.called
        findings += said.findings
    if model:
        seen, quoted = see_cells(model, _inputs(table, model), slide.frame)
        said = judge_by_model(seen, model, coverage=settings.model.coverage, share=slide.share, quoted=quoted)
        scores, probability, called = said.score, said.probability, said.called
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
            "called_abnormal": pa.array(called, pa.bool_()),
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


def _inputs(table: pa.Table, model: Classifier) -> NDArray[np.float64]:
    return np.column_stack([float_column(table, name) for name in model.inputs])


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
