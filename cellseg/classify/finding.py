"""What a criterion holds against cells, and how findings add up to verdicts. Floor 3: arrays in, tables out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.classify_config import MOST_GRAVE
from cellseg.types import Status

SEPARATOR = "; "
"""What parts the reasons of one cell."""
N_REASONS = 3
"""Reasons with a column of their own, and features that a judge names at most."""


@dataclass(frozen=True)
class Finding:
    """`status` for the cells in `rows` (int64, each once), and why: one text for all of them or one each."""

    rows: NDArray[np.int64]
    status: Status
    texts: str | Sequence[str]


@dataclass(frozen=True)
class Judgement:
    """What one judge says of the cells of a table, in its order.

    `score` (n,) float64 is higher for the more abnormal, `probability` (n,) that of being abnormal, `p_value` (n,) that
    of healthy cells being as strange; NaN where the judge states none. `called` (n,) bool is the answer that it would
    give if it had to.
    """

    score: NDArray[np.float64]
    probability: NDArray[np.float64]
    p_value: NDArray[np.float64]
    called: NDArray[np.bool_]
    findings: list[Finding]


def float_column(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A numeric or bool column as float64, nulls as NaN."""
    return np.asarray(table[name].to_numpy(), dtype=np.float64)


@dataclass(frozen=True)
class Combined:
    """What findings come to: status, number of reasons, all of them joined, and the first ones, a list a rank."""

    status: list[Status]
    n_reasons: NDArray[np.int32]
    reasons: list[str]
    first: tuple[list[str], ...]


def combine_findings(n_cells: int, findings: Iterable[Finding]) -> Combined:
    """Status and reasons of each cell; the gravest status wins, no finding means healthy.

    An excluded cell keeps the reasons for its exclusion alone, another the reasons of all that spoke against it, in the
    order of the findings. Cells with fewer reasons than there are ranks have "" there.
    """
    findings = tuple(findings)
    codes = np.full(n_cells, MOST_GRAVE.index("healthy"), np.int8)
    for finding in findings:
        codes[finding.rows] = np.minimum(codes[finding.rows], MOST_GRAVE.index(finding.status))
    excluded = codes == MOST_GRAVE.index("excluded")
    n_reasons = np.zeros(n_cells, np.int32)
    reasons = np.full(n_cells, "", object)
    first = np.full((N_REASONS, n_cells), "", object)
    for finding in findings:
        keep = excluded[finding.rows] == (finding.status == "excluded")
        rows, texts = finding.rows[keep], _texts(finding, keep)
        before = reasons[rows] + np.array(["", SEPARATOR], object)[(n_reasons[rows] > 0).astype(np.intp)]
        reasons[rows] = before + texts
        ranked = n_reasons[rows] < N_REASONS
        first[n_reasons[rows[ranked]], rows[ranked]] = texts if isinstance(texts, str) else texts[ranked]
        n_reasons[rows] += 1
    return Combined([MOST_GRAVE[code] for code in codes.tolist()], n_reasons, reasons.tolist(), tuple(first.tolist()))


def _texts(finding: Finding, keep: NDArray[np.bool_]) -> str | NDArray[Any]:
    return finding.texts if isinstance(finding.texts, str) else np.array(finding.texts, object)[keep]
