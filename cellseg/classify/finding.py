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
    of healthy cells being as strange; NaN where the judge states none.
    """

    score: NDArray[np.float64]
    probability: NDArray[np.float64]
    p_value: NDArray[np.float64]
    findings: list[Finding]


def float_column(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A numeric or bool column as float64, nulls as NaN."""
    return np.asarray(table[name].to_numpy(), dtype=np.float64)


def combine_findings(n_cells: int, findings: Iterable[Finding]) -> tuple[list[Status], NDArray[np.int32], list[str]]:
    """Status, number of reasons and joined reasons of each cell; the gravest status wins, no finding means healthy.

    An excluded cell keeps the reasons for its exclusion alone, another the reasons of all that spoke against it, in the
    order of the findings.
    """
    findings = tuple(findings)
    codes = np.full(n_cells, MOST_GRAVE.index("healthy"), np.int8)
    for finding in findings:
        codes[finding.rows] = np.minimum(codes[finding.rows], MOST_GRAVE.index(finding.status))
    excluded = codes == MOST_GRAVE.index("excluded")
    n_reasons = np.zeros(n_cells, np.int32)
    reasons = np.full(n_cells, "", object)
    for finding in findings:
        keep = excluded[finding.rows] == (finding.status == "excluded")
        rows = finding.rows[keep]
        before = reasons[rows] + np.array(["", SEPARATOR], object)[(n_reasons[rows] > 0).astype(np.intp)]
        reasons[rows] = before + _texts(finding, keep)
        n_reasons[rows] += 1
    return [MOST_GRAVE[code] for code in codes.tolist()], n_reasons, reasons.tolist()


def _texts(finding: Finding, keep: NDArray[np.bool_]) -> str | NDArray[Any]:
    return finding.texts if isinstance(finding.texts, str) else np.array(finding.texts, object)[keep]
