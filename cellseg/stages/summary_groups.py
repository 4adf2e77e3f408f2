"""Summaries of several samples together: by slide and by patient of the sheet. Floor 6."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from cellseg.classify.shares import Share, estimate_share
from cellseg.io.samples import Sample
from cellseg.stages.sample_verdicts import (
    SampleTotals,
    mean_probability,
    share_columns,
)
from cellseg.types import STATUSES

K = TypeVar("K")
COUNTS = ("n_cells", *(f"n_{name}" for name in STATUSES))


def slide_of(sample: Sample) -> tuple[str, str]:
    """Patient and slide of a sample, since two patients may both have a slide 1; without a name it is its own slide."""
    return sample.patient or "", sample.slide or sample.sample


def summarize_slides(sheet: Sequence[Sample], done: Mapping[str, SampleTotals]) -> list[dict[str, Any]]:
    """Rows of `summary_slide.csv` in the order of the sheet; none where it names no slide.

    Parameters
    ----------
    sheet : sequence of Sample
        All samples.
    done : mapping of str to SampleTotals
        Those that did not fail, by name.
    """
    if not any(sample.slide for sample in sheet):
        return []
    return [
        {"slide": slide, "patient": patient} | _group_row(samples, done)
        for (patient, slide), samples in _group(sheet, slide_of).items()
    ]


def summarize_patients(sheet: Sequence[Sample], done: Mapping[str, SampleTotals]) -> list[dict[str, Any]]:
    """Rows of `summary_patient.csv` in the order of the sheet; none where it names no patient."""
    named = [sample for sample in sheet if sample.patient]
    return [
        {"patient": patient, "n_slides": len({slide_of(sample) for sample in samples if sample.sample in done})}
        | _group_row(samples, done)
        for patient, samples in _group(named, lambda sample: sample.patient).items()
    ]


def _group_row(samples: Sequence[Sample], done: Mapping[str, SampleTotals]) -> dict[str, Any]:
    parts = [done[sample.sample] for sample in samples if sample.sample in done]
    clusters, share = _estimate(parts)
    return {
        # a group has samples of both only by mistake, or where a patient is their own control
        "group": ", ".join(dict.fromkeys(sample.group for sample in samples)),
        "n_samples": len(parts),
        "n_failed": len(samples) - len(parts),
        **{name: sum(part.counts[name] for part in parts) for name in COUNTS},
        **share_columns(share),
        "clusters": clusters,
        "n_clusters": share.n_clusters,
        "mean_abnormal_probability": mean_probability(parts),
    }


def _estimate(parts: Sequence[SampleTotals]) -> tuple[str, Share]:
    """The share of these samples, and what it was clustered by: the widest of which there are two or more."""
    judged = [part for part in parts if part.field_decided.any()]
    for name, keys in (("slides", [slide_of(part.sample) for part in judged]), ("images", [*range(len(judged))])):
        places = {key: at for at, key in enumerate(dict.fromkeys(keys))}
        if len(places) > 1:
            counts = np.zeros((len(places), 2), np.int64)
            for key, part in zip(keys, judged, strict=True):
                counts[places[key]] += (part.field_abnormal.sum(), part.field_decided.sum())
            return name, estimate_share(counts[:, 0], counts[:, 1])
    if judged:
        return "fields", estimate_share(judged[0].field_abnormal, judged[0].field_decided)
    return "", estimate_share(np.zeros(0, np.int64), np.zeros(0, np.int64))


def _group(samples: Iterable[Sample], key: Callable[[Sample], K]) -> dict[K, list[Sample]]:
    """Samples by key, keys in the order in which they come."""
    groups: dict[K, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(key(sample), []).append(sample)
    return groups
