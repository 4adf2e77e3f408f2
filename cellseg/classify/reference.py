"""Robust z against healthy cells: the fit, the score and its reasons. Floor 3: arrays in, findings out.

A feature's robust z is (value - median) / (1.4826 MAD) of the healthy cells, so that up to half of them may be wild
without moving it (Rousseeuw & Croux 1993, JASA 88:1273). A cell's score is the root mean square, or the largest, of
its clipped absolute z; its cut-offs are quantiles of the scores that the pooled healthy cells themselves have.
A reference may hold a fit for each tissue beside that of all cells: cells are judged by their own tissue's where it is
usable, else by that of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.classify.finding import Finding, float_column
from cellseg.classify.tissues import in_tissues, list_tissues
from cellseg.classify.words import write_apart, write_interval, write_number
from cellseg.classify_config import ReferenceSettings
from cellseg.errors import ModelError
from cellseg.types import Stain

FORMAT_VERSION = 1
TISSUE_FORMAT_VERSION = 2
"""Of references with fits for tissues, which programs that know version 1 alone must not take for the plain kind."""
MAD_TO_SD = 1.4826
"""The MAD of a normal distribution times this is its standard deviation."""
_DECIMALS = 6


@dataclass(frozen=True)
class FeatureFit:
    """One feature among healthy cells: median, MAD * 1.4826 and the interval that reasons quote, in its unit."""

    median: float
    mad: float
    low: float
    high: float


@dataclass(frozen=True)
class ReferenceFit:
    """What healthy cells of one stain look like; `fault` says why it can judge nothing, and is empty when it can.

    `tissues` holds the fits of cells in one tissue alone, by its name; those have none of their own.
    """

    stain: Stain
    n_cells: int
    features: Mapping[str, FeatureFit]
    left_out: Mapping[str, str]
    score: Literal["rms", "max"]
    z_clip: float
    uncertain_over: float
    abnormal_over: float
    fault: str = ""
    tissues: Mapping[str, ReferenceFit] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether cells can be judged by it."""
        return not self.fault

    @property
    def all_features(self) -> tuple[str, ...]:
        """Features of this fit and of those of the tissues, each once."""
        return tuple(dict.fromkeys(name for fit in (self, *self.tissues.values()) for name in fit.features))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; with fits for tissues under `tissues` where there are any."""
        if not self.tissues:
            return self._plain(FORMAT_VERSION)
        tissues = {name: fit._plain(TISSUE_FORMAT_VERSION) for name, fit in sorted(self.tissues.items())}
        return self._plain(TISSUE_FORMAT_VERSION) | {"tissues": tissues}

    def _plain(self, version: int) -> dict[str, Any]:
        """Plain values of this fit, without those of tissues."""
        cutoffs = {"uncertain_over": self.uncertain_over, "abnormal_over": self.abnormal_over}
        return {
            "format_version": version,
            "stain": self.stain,
            "n_cells": self.n_cells,
            "usable": self.usable,
            "reason": self.fault,
            "features": {name: asdict(feature) for name, feature in self.features.items()},
            "features_left_out": dict(self.left_out),
            "score": self.score,
            "z_clip": self.z_clip,
            "cutoffs": cutoffs if self.usable else None,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> ReferenceFit:
        """The fit that `to_dict` wrote.

        Raises
        ------
        ModelError
            If it is of another version, or not a reference at all.
        """
        try:
            if values["format_version"] not in (FORMAT_VERSION, TISSUE_FORMAT_VERSION):
                known = f"{FORMAT_VERSION} or {TISSUE_FORMAT_VERSION}"
                raise ValueError(f"format_version {values['format_version']}, not {known}")
            cutoffs = values["cutoffs"] or {"uncertain_over": np.inf, "abnormal_over": np.inf}
            return cls(
                stain=values["stain"],
                n_cells=values["n_cells"],
                features={name: FeatureFit(**feature) for name, feature in values["features"].items()},
                left_out=values["features_left_out"],
                score=values["score"],
                z_clip=values["z_clip"],
                uncertain_over=cutoffs["uncertain_over"],
                abnormal_over=cutoffs["abnormal_over"],
                fault=values["reason"],
                tissues={
                    name: cls.from_dict(fit, f"{where}, tissue {name}")
                    for name, fit in values.get("tissues", {}).items()
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelError(
                f"{where}: not a reference of this version ({error!r}); run `cellseg reference`"
            ) from error


def fit_feature(values: NDArray[np.float64], *, interval: float) -> FeatureFit:
    """Median, MAD * 1.4826 and the central `interval` of the finite values, 6 decimals; all NaN if none."""
    values = values[np.isfinite(values)]
    if values.size == 0:
        return FeatureFit(np.nan, np.nan, np.nan, np.nan)
    median = np.median(values)
    mad = MAD_TO_SD * np.median(np.abs(values - median))
    low, high = np.quantile(values, [(1 - interval) / 2, (1 + interval) / 2])
    return FeatureFit(*(float(np.round(figure, _DECIMALS)) for figure in (median, mad, low, high)))


def score_cells(
    columns: Iterable[NDArray[np.float64]], n_cells: int, *, score: Literal["rms", "max"], z_clip: float
) -> NDArray[np.float64]:
    """One score a cell (n_cells,) from the robust z of its features, a column (n_cells,) each.

    NaN is left out; a cell without any finite z scores NaN. Rounded to 6 decimals, so that the table decides as we do.
    """
    total, counted = np.zeros(n_cells), np.zeros(n_cells, np.int32)
    for column in columns:
        size = np.minimum(np.abs(column), z_clip)
        measured = ~np.isnan(size)
        counted += measured
        if score == "max":
            np.fmax(total, size, out=total)
        else:
            total += np.where(measured, size * size, 0.0)
    total[counted == 0] = np.nan
    result = total if score == "max" else np.sqrt(total / np.maximum(counted, 1))
    return np.round(result, _DECIMALS)


def fit_healthy(
    read_feature: Callable[[str], NDArray[np.float64]],
    names: Sequence[str],
    *,
    stain: Stain,
    n_cells: int,
    left_out: Mapping[str, str],
    settings: ReferenceSettings,
) -> ReferenceFit:
    """The reference that healthy cells of one stain give, those of all samples pooled.

    Parameters
    ----------
    read_feature : callable
        Gives the (n_cells,) float64 values of a feature; called twice for each, so that one is in memory at a time.
    names : sequence of str
        Features that were measured in every sample.
    stain : str
        The stain of all these cells.
    n_cells : int
        Cells in all; fewer than `settings.min_cells` give an unusable reference.
    left_out : mapping
        Features that the settings name and that are not in `names`, with the reason.
    settings : ReferenceSettings
        Score, quantiles and interval. Features whose MAD is 0 are left out as well.
    """
    dropped = dict(left_out)
    features: dict[str, FeatureFit] = {}
    for name in names:
        fit = fit_feature(read_feature(name), interval=settings.interval)
        if fit.mad > 0:
            features[name] = fit
        else:
            dropped[name] = "measured in no cell" if np.isnan(fit.mad) else "the same in most cells (MAD 0)"
    fault = ""
    if n_cells < settings.min_cells:
        fault = f"{n_cells} cells, {settings.min_cells} needed"
    elif not features:
        fault = "none of its features is measured and varies"
    cutoffs = (float("inf"), float("inf"))
    if not fault:
        columns = ((read_feature(name) - feature.median) / feature.mad for name, feature in features.items())
        cutoffs = _cutoffs(score_cells(columns, n_cells, score=settings.score, z_clip=settings.z_clip), settings)
        if cutoffs[1] >= settings.z_clip:
            fault = f"its cut-off reaches z_clip {settings.z_clip:g}: raise z_clip, or take score rms"
    return ReferenceFit(stain, n_cells, features, dropped, settings.score, settings.z_clip, *cutoffs, fault)


def _cutoffs(scores: NDArray[np.float64], settings: ReferenceSettings) -> tuple[float, float]:
    found = np.nanquantile(scores, [settings.uncertain_quantile, settings.abnormal_quantile])
    return float(np.round(found[0], _DECIMALS)), float(np.round(found[1], _DECIMALS))


def check_reference(fit: ReferenceFit, names: Sequence[str], stain: Stain, where: str) -> None:
    """Refuse to judge a table by a reference of another stain or with features that the table lacks.

    Raises
    ------
    ModelError
        With what does not fit.
    """
    if fit.stain != stain:
        raise ModelError(
            f"{where}: the slide's stain is {stain}, the reference was fitted on {fit.stain}; "
            f"give the reference of {stain}"
        )
    missing = [name for name in fit.all_features if name not in names]
    if missing:
        raise ModelError(
            f"{where}: the reference judges by {', '.join(missing)}, which this table lacks; measure the same families "
            "for all samples of a stain, or leave them out of classify.reference.features and fit again"
        )


def judge_by_reference(
    table: pa.Table, fit: ReferenceFit, *, reason_z: float
) -> tuple[NDArray[np.float64], list[Finding]]:
    """Scores (n,) and the findings against cells that score over a cut-off, or that could not be scored.

    Cells in a tissue with a usable fit of its own are judged by that, the others by `fit`. Each cell over a cut-off is
    told by its features with an absolute robust z of `reason_z` or more, the wildest first.
    """
    own = {name: part for name, part in fit.tissues.items() if part.usable}
    groups = [name for name in list_tissues(table) if name in own] if own else []
    everyone = np.arange(table.num_rows)
    if not groups:
        return _judge_group(table, everyone, fit, "", reason_z)
    scores = np.full(table.num_rows, np.nan)
    findings: list[Finding] = []
    members = {name: np.flatnonzero(in_tissues(table, [name])) for name in groups}
    members[""] = np.flatnonzero(~in_tissues(table, groups))
    for name, rows in members.items():
        scores[rows], held = _judge_group(table.take(rows), rows, own.get(name, fit), name, reason_z)
        findings += held
    return scores, findings


def _judge_group(
    table: pa.Table, rows: NDArray[np.int64], fit: ReferenceFit, tissue: str, reason_z: float
) -> tuple[NDArray[np.float64], list[Finding]]:
    """Scores and findings of cells that are judged by one fit; `rows` are those of the findings."""
    names = tuple(fit.features)
    values = np.stack([float_column(table, name) for name in names], axis=1)
    centre = np.array([fit.features[name].median for name in names])
    z = (values - centre) / np.array([fit.features[name].mad for name in names])
    scores = score_cells(z.T, len(z), score=fit.score, z_clip=fit.z_clip)
    abnormal = scores > fit.abnormal_over
    uncertain = (scores > fit.uncertain_over) & ~abnormal
    group = _Group(fit, tissue, scores, values, z, reason_z)
    found = [
        *_over(np.flatnonzero(abnormal), "abnormal", fit.abnormal_over, group),
        *_over(np.flatnonzero(uncertain), "uncertain", fit.uncertain_over, group),
        Finding(np.flatnonzero(np.isnan(scores)), "uncertain", "none of the reference's features could be measured"),
    ]
    return scores, [Finding(rows[finding.rows], finding.status, finding.texts) for finding in found]


@dataclass(frozen=True)
class _Group:
    """Cells judged by one fit, of all tissues ("") or of one: scores (n,), values and robust z (n, features)."""

    fit: ReferenceFit
    tissue: str
    scores: NDArray[np.float64]
    values: NDArray[np.float64]
    z: NDArray[np.float64]
    reason_z: float


def _over(
    rows: NDArray[np.int64], status: Literal["abnormal", "uncertain"], cutoff: float, group: _Group
) -> Iterable[Finding]:
    """Findings for the cells over one cut-off: one a rank of |z|, and one for those without a wild feature."""
    size = np.nan_to_num(np.abs(group.z[rows]), nan=-1.0, posinf=np.inf)
    order = np.argsort(-size, axis=1, kind="stable")
    phrases = [_phrase(name, feature, group.tissue) for name, feature in group.fit.features.items()]
    for rank in range(order.shape[1]):
        column = order[:, rank]
        told = size[np.arange(len(rows)), column] >= group.reason_z
        if not told.any():
            break
        at, which = rows[told], column[told]
        pairs = zip(which.tolist(), group.values[at, which].tolist(), strict=True)
        yield Finding(at, status, [phrases[feature](value) for feature, value in pairs])
    plain = rows[size.max(axis=1, initial=-1.0) < group.reason_z]
    of = f" of healthy {group.tissue}" if group.tissue else ""
    tail = f"over {write_number(cutoff)}{of} (no single feature stands out)"
    rounded = float(write_number(cutoff))
    texts = [f"abnormal_score {write_apart(score, rounded)} {tail}" for score in group.scores[plain].tolist()]
    yield Finding(plain, status, texts)


def _phrase(name: str, feature: FeatureFit, tissue: str) -> Callable[[float], str]:
    """How a value of this feature is told: "area_um2 142 (healthy 38-91)", or "(healthy stroma 38-91)"."""
    healthy = f"healthy {tissue}" if tissue else "healthy"
    interval = write_interval(feature.low, feature.high)
    low, high = float(write_number(feature.low)), float(write_number(feature.high))

    def tell(value: float) -> str:
        if value > high:
            return f"{name} {write_apart(value, high)} ({healthy} {interval})"
        if value < low:
            return f"{name} {write_apart(value, low)} ({healthy} {interval})"
        # a skewed feature may be far in robust z and yet be met in healthy cells: say so rather than puzzle the reader
        side = "high" if value > feature.median else "low"
        return f"{name} {write_number(value)} ({side} in {healthy} {interval})"

    return tell
