"""What the summaries read of a sample's cells: verdicts, places, probabilities, and their figures. Floor 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cellseg.classify.finding import float_column
from cellseg.classify.shares import Share, estimate_share, group_into_fields, wilson_interval
from cellseg.cohort_columns import SUMMARY_FLAGS
from cellseg.io.samples import Sample
from cellseg.io.table import TableColumns
from cellseg.types import STATUSES

NAN = float("nan")
_DECIMALS = 6
_HEALTHY, _ABNORMAL, _EXCLUDED = (STATUSES.index(name) for name in ("healthy", "abnormal", "excluded"))


@dataclass(frozen=True)
class SampleVerdicts:
    """What was found of the cells of a sample, in the order of its table.

    `status` (n,) int8 is the place in `STATUSES`; `y_um`, `x_um` (n,) float64 are the centroids, um; `probability`
    (n,) float64 is `abnormal_probability`, NaN where there is none; `called` (n,) bool is `called_abnormal`.
    """

    sample: Sample
    status: NDArray[np.int8]
    y_um: NDArray[np.float64]
    x_um: NDArray[np.float64]
    probability: NDArray[np.float64]
    called: NDArray[np.bool_]

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which cells are not excluded."""
        return np.not_equal(self.status, _EXCLUDED)

    @property
    def abnormal(self) -> NDArray[np.bool_]:
        """Which cells are abnormal."""
        return np.equal(self.status, _ABNORMAL)

    @property
    def decided(self) -> NDArray[np.bool_]:
        """Which cells are healthy or abnormal."""
        return self.abnormal | np.equal(self.status, _HEALTHY)

    def select(self, rows: NDArray[np.bool_]) -> SampleVerdicts:
        """These cells alone."""
        names = ("status", "y_um", "x_um", "probability", "called")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})


VERDICT_COLUMNS = (
    "status", "centroid_y_um", "centroid_x_um", "abnormal_probability", "called_abnormal", "scored_by", *SUMMARY_FLAGS,
)  # fmt: skip
"""What is read here of a table of cells, where it has it."""


def read_verdicts(cells: TableColumns, sample: Sample) -> SampleVerdicts:
    """The verdicts in a sample's `cells.parquet`."""
    found = pc.index_in(cells.read("status")["status"], value_set=pa.array(STATUSES))
    status = found.to_numpy().astype(np.int8)
    y_um, x_um = read_floats(cells, "centroid_y_um"), read_floats(cells, "centroid_x_um")
    probability, called = (
        read_if_there(cells, name, status.size) for name in ("abnormal_probability", "called_abnormal")
    )
    return SampleVerdicts(sample, status, y_um, x_um, probability, called == 1)


def read_floats(cells: TableColumns, name: str) -> NDArray[np.float64]:
    """A column of a table of cells."""
    return float_column(cells.read(name), name)


def read_if_there(cells: TableColumns, name: str, n_cells: int) -> NDArray[np.float64]:
    """A column of a table of cells; NaN where the table lacks it."""
    return read_floats(cells, name) if name in cells.names else np.full(n_cells, NAN)


def judges_of(cells: TableColumns, kept: NDArray[np.bool_]) -> set[str]:
    """What scored the kept cells: model, reference; empty where the table does not say."""
    if "scored_by" not in cells.names:
        return set()
    column = cells.read("scored_by")["scored_by"]
    return set(pc.unique(column.filter(pa.array(kept))).to_pylist()) - {"", None}


def count_statuses(part: SampleVerdicts) -> dict[str, int]:
    """`n_cells` and `n_STATUS`."""
    counts = np.bincount(part.status, minlength=len(STATUSES)).tolist()
    return {"n_cells": sum(counts), **{f"n_{name}": n for name, n in zip(STATUSES, counts, strict=True)}}


def count_flags(cells: TableColumns) -> dict[str, int | None]:
    """`n_FLAG` of every flag of the summary; None where the table lacks it."""
    return {f"n_{name}": _count_true(cells, name) if name in cells.names else None for name in SUMMARY_FLAGS}


def _count_true(cells: TableColumns, name: str) -> int:
    return int(np.count_nonzero(cells.read(name)[name].to_numpy()))


@dataclass(frozen=True)
class SampleTotals:
    """What summaries of several samples need of one.

    `counts` is of `count_statuses`; `field_abnormal`, `field_decided` (g,) int64 count the cells of each field of the
    image, of squares of `field_side_um`; `probability` is the sum of `abnormal_probability` over the `n_probable` cells
    that have one and are not excluded.
    """

    sample: Sample
    counts: dict[str, int]
    field_abnormal: NDArray[np.int64]
    field_decided: NDArray[np.int64]
    field_side_um: float
    probability: float
    n_probable: int


def total_up(part: SampleVerdicts) -> SampleTotals:
    """The totals of a sample, or of some of its cells."""
    decided = part.select(part.decided)
    field, side_um = group_into_fields(decided.y_um, decided.x_um)
    n_decided = np.bincount(field)
    n_abnormal = np.bincount(field[decided.abnormal], minlength=n_decided.size)
    probable = part.probability[part.kept & np.isfinite(part.probability)]
    return SampleTotals(
        part.sample, count_statuses(part), n_abnormal, n_decided, side_um, float(probable.sum()), probable.size
    )


def share_columns(share: Share) -> dict[str, float]:
    """`share_abnormal`, its interval and `design_effect`, rounded."""
    names = {"share_abnormal": share.share, "share_abnormal_low": share.low, "share_abnormal_high": share.high}
    return {name: round(value, _DECIMALS) for name, value in (names | {"design_effect": share.design_effect}).items()}


def field_share(totals: SampleTotals) -> dict[str, float]:
    """`share_columns` of one image, clustered by its fields, with `n_fields` and `field_side_um`."""
    share = estimate_share(totals.field_abnormal, totals.field_decided)
    return share_columns(share) | {"n_fields": share.n_clusters, "field_side_um": totals.field_side_um}


def wilson_columns(counts: dict[str, int]) -> dict[str, float]:
    """The interval of the share if cells were independent."""
    ends = wilson_interval(counts["n_abnormal"], counts["n_abnormal"] + counts["n_healthy"])
    return {f"share_abnormal_wilson_{end}": round(at, _DECIMALS) for end, at in zip(("low", "high"), ends, strict=True)}


def exclusion_columns(part: SampleVerdicts, counts: dict[str, int]) -> dict[str, float]:
    """What the excluded cells could change: shares with and without them, and between which bounds."""
    abnormal, excluded = counts["n_abnormal"], counts["n_excluded"]
    everyone = counts["n_healthy"] + abnormal + excluded
    called, judged = part.called, np.isfinite(part.probability)
    return {
        "share_excluded": ratio(excluded, counts["n_cells"]),
        "share_abnormal_least": ratio(abnormal, everyone),
        "share_abnormal_most": ratio(abnormal + excluded, everyone),
        "share_abnormal_without_excluded": _mean(called[judged & part.kept]),
        "share_abnormal_with_excluded": _mean(called[judged]),
    }


def mean_probability(totals: Sequence[SampleTotals]) -> float:
    """Mean probability of being abnormal over the cells that are not excluded; NaN without a model."""
    return ratio(sum(part.probability for part in totals), sum(part.n_probable for part in totals))


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return round(float(values.mean()), _DECIMALS) if values.size else NAN


def ratio(part: float, whole: float) -> float:
    """A rounded ratio; NaN of nothing."""
    return round(part / whole, _DECIMALS) if whole else NAN
