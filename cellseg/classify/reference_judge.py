"""Cells against healthy ones: scores, p-values, findings and their reasons. Floor 3: tables in, findings out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.classify.discovery import SlideCalls
from cellseg.classify.finding import N_REASONS, Finding, Judgement, float_column
from cellseg.classify.reference import FeatureFit, ReferenceFit
from cellseg.classify.tissues import in_tissues, list_tissues
from cellseg.classify.words import write_apart, write_interval, write_number, write_unit

Floats = NDArray[np.float64]


def score_by_reference(table: pa.Table, fit: ReferenceFit) -> tuple[Floats, Floats]:
    """Scores and p-values (n,) of a table's cells, each by the fit of its own tissue where that is usable."""
    scores, p_values = np.full(table.num_rows, np.nan), np.full(table.num_rows, np.nan)
    for group in _groups(table, fit):
        scores[group.rows], p_values[group.rows] = group.scores, group.fit.held_out.p_values(group.scores)
    return scores, p_values


def judge_by_reference(table: pa.Table, fit: ReferenceFit, calls: SlideCalls, *, reason_z: float) -> Judgement:
    """What a reference says of a table's cells.

    Cells in a tissue with a usable fit of its own are judged by that, the others by `fit`. `calls` are those of the
    whole slide. Each cell that is called is told by its features with an absolute robust z of `reason_z` or more, the
    wildest first, three at most.
    """
    scores, p_values = np.full(table.num_rows, np.nan), np.full(table.num_rows, np.nan)
    called = np.zeros(table.num_rows, bool)
    findings: list[Finding] = []
    for group in _groups(table, fit):
        p_value = group.fit.held_out.p_values(group.scores)
        scores[group.rows], p_values[group.rows] = group.scores, p_value
        abnormal = p_value <= calls.abnormal_at
        called[group.rows] = abnormal
        uncertain = (p_value <= calls.uncertain_at) & ~abnormal
        found = [
            *_over(np.flatnonzero(abnormal), "abnormal", calls.abnormal_at, group, reason_z),
            *_over(np.flatnonzero(uncertain), "uncertain", calls.uncertain_at, group, reason_z),
            Finding(
                np.flatnonzero(np.isnan(p_value)), "uncertain", "none of the reference's features could be measured"
            ),
        ]
        findings += [Finding(group.rows[one.rows], one.status, one.texts) for one in found]
    return Judgement(scores, calls.probabilities(p_values), p_values, called, findings)


@dataclass(frozen=True)
class _Group:
    """Cells judged by one fit, of all tissues ("") or of one: rows, scores (n,), values and robust z (n, features)."""

    rows: NDArray[np.int64]
    fit: ReferenceFit
    tissue: str
    scores: Floats
    values: Floats
    z: Floats


def _groups(table: pa.Table, fit: ReferenceFit) -> Iterable[_Group]:
    own = {name: part for name, part in fit.tissues.items() if part.usable}
    names = [name for name in list_tissues(table) if name in own] if own else []
    if not names:
        yield _group(table, np.arange(table.num_rows), fit, "")
        return
    members = {name: np.flatnonzero(in_tissues(table, [name])) for name in names}
    members[""] = np.flatnonzero(~in_tissues(table, names))
    for name, rows in members.items():
        yield _group(table.take(rows), rows, own.get(name, fit), name)


def _group(table: pa.Table, rows: NDArray[np.int64], fit: ReferenceFit, tissue: str) -> _Group:
    values = np.stack([float_column(table, name) for name in fit.features], axis=1)
    z = fit.robust_z(values)
    return _Group(rows, fit, tissue, fit.score(z), values, z)


def _over(
    rows: NDArray[np.int64], status: Literal["abnormal", "uncertain"], p_at: float, group: _Group, reason_z: float
) -> Iterable[Finding]:
    """Findings for the cells that are called: one a rank of |z|, and one for those without a wild feature."""
    size = np.nan_to_num(np.abs(group.z[rows]), nan=-1.0, posinf=np.inf)
    order = np.argsort(-size, axis=1, kind="stable")
    phrases = [_phrase(name, feature, group.tissue) for name, feature in group.fit.features.items()]
    for rank in range(min(order.shape[1], N_REASONS)):
        column = order[:, rank]
        told = size[np.arange(len(rows)), column] >= reason_z
        if not told.any():
            break
        at, which = rows[told], column[told]
        pairs = zip(which.tolist(), group.values[at, which].tolist(), strict=True)
        yield Finding(at, status, [phrases[feature](value) for feature, value in pairs])
    plain = rows[size.max(axis=1, initial=-1.0) < reason_z]
    of = f" of healthy {group.tissue}" if group.tissue else ""
    cutoff = group.fit.held_out.score_at(p_at)
    tail = f"over {write_number(cutoff)}{of} (no single feature stands out)"
    rounded = float(write_number(cutoff))
    texts = [f"abnormal_score {write_apart(score, rounded)} {tail}" for score in group.scores[plain].tolist()]
    yield Finding(plain, status, texts)


def _phrase(name: str, feature: FeatureFit, tissue: str) -> Callable[[float], str]:
    """How a value is told: "nucleus_area_um2 142 um2 (healthy 38-91, high)", or "(healthy stroma 38-91, high)"."""
    healthy = f"healthy {tissue}" if tissue else "healthy"
    interval = write_interval(feature.low, feature.high)
    low, high = float(write_number(feature.low)), float(write_number(feature.high))
    tail = write_unit(name)

    def tell(value: float) -> str:
        if value > high:
            return f"{name} {write_apart(value, high)}{tail} ({healthy} {interval}, high)"
        if value < low:
            return f"{name} {write_apart(value, low)}{tail} ({healthy} {interval}, low)"
        # a skewed feature may be far in robust z and yet be met in healthy cells: say so rather than puzzle the reader
        side = "upper" if value > feature.median else "lower"
        return f"{name} {write_number(value)}{tail} ({healthy} {interval}, {side} part)"

    return tell
