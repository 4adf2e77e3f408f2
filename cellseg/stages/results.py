"""Where a run's results lie: the files that each stage leaves in a sample's folder. Floor 6."""

from __future__ import annotations

from pathlib import Path

STAGE_OUTPUTS: dict[str, tuple[str, ...]] = {
    "preprocess": (
        "preprocess/recipe.json", "preprocess/tissue.png", "preprocess/thumbnail.png", "preprocess/quality.json",
    ),
    "segment": ("segment/labels.ome.tif", "segment/labels.json"),
    "measure": ("measure/measurements.parquet",),
    "classify": ("classify/verdicts.parquet",),
    "tables": (
        "cells.csv", "cells.parquet", "healthy.csv", "abnormal.csv", "uncertain.csv", "excluded.csv", "columns.json",
    ),
    "overlay": ("overlay.png", "features.png"),
}  # fmt: skip
"""Stages in the order of the chain, and their outputs below the sample's folder."""


def sample_folder(results: Path, sample: str) -> Path:
    """The folder of one sample's results."""
    return results / "samples" / sample


def stage_outputs(results: Path, sample: str, stage: str) -> tuple[Path, ...]:
    """The files that `stage` leaves for `sample`."""
    return tuple(sample_folder(results, sample) / name for name in STAGE_OUTPUTS[stage])


def stage_log(results: Path, sample: str, stage: str) -> Path:
    """The log of one stage for one sample."""
    return results / "logs" / stage / f"{sample}.log"
