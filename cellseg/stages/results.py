"""Where a run's results lie: the files that each stage leaves in a sample's folder. Floor 6."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

STAGE_OUTPUTS: dict[str, tuple[str, ...]] = {
    "preprocess": (
        "preprocess/recipe.json", "preprocess/tissue.png", "preprocess/thumbnail.png", "preprocess/quality.json",
        "preprocess/tiles.parquet", "preprocess/quality.png",
    ),
    "segment": (
        "segment/labels.ome.tif", "segment/labels.json", "segment/instances.parquet", "segment/recipe.json",
        "segment/tissue.png", "segment/quality.json", "segment/tiles.parquet",
    ),
    "measure": ("measure/measurements.parquet",),
    "classify": ("classify/verdicts.parquet",),
    "tables": (
        "cells.csv", "cells.parquet", "healthy.csv", "abnormal.csv", "uncertain.csv", "excluded.csv", "columns.json",
    ),
    "overlay": ("overlay.png", "features.png"),
    "integrity": ("integrity.json",),
}  # fmt: skip
"""Stages that every sample passes, in the order of the chain, and their outputs below the sample's folder."""

TISSUE_MAP = "tissue/tissue.ome.tif"
"""The map of tissue in the sample's folder, where `tissue.enabled` is true."""
CELL_POLYGONS = "cells.geojson.gz"
"""The outlines of all cells in the sample's folder, where `polygons.enabled` is true."""
OPTIONAL_OUTPUTS: dict[str, tuple[str, ...]] = {
    "tissue": (TISSUE_MAP, "tissue/tissue.overlay.png", "tissue/tissue.geojson", "tissue/tissue.json"),
    "polygons": (CELL_POLYGONS,),
}
"""The same of stages that run where settings ask for them; what comes after passes their failures on."""
STAGES = ("preprocess", "segment", "tissue", "measure", "classify", "tables", "overlay", "polygons", "integrity")
"""All stages in the order of the chain."""


SHARD_ROUNDS: dict[str, tuple[tuple[str, str], ...]] = {
    "segment": (("segment_count", "segment/count"), ("segment_find", "segment/find")),
    "measure": (("measure_shard", "measure/rows"),),
}
"""Of stages that are cut where `compute.shards` says so: the rules of their rounds, and how their files begin."""
SHARD_ENDING = ".arrow"
"""How the files of shards end, which are gone when they have been put together."""


@dataclass(frozen=True)
class MapFiles:
    """A map of tissue, X.ome.tif, and what lies beside it."""

    map: Path

    @property
    def probability(self) -> Path:
        """X.probability.ome.tif: how likely the class shown is; not for maps that a person drew."""
        return self._beside(".probability.ome.tif")

    @property
    def overlay(self) -> Path:
        """X.overlay.png."""
        return self._beside(".overlay.png")

    @property
    def polygons(self) -> Path:
        """X.geojson."""
        return self._beside(".geojson")

    @property
    def record(self) -> Path:
        """X.json."""
        return self._beside(".json")

    @property
    def always(self) -> tuple[Path, ...]:
        """What every map has."""
        return (self.map, self.overlay, self.polygons, self.record)

    def _beside(self, ending: str) -> Path:
        stem = self.map.name.removesuffix(".tif").removesuffix(".ome")
        return self.map.with_name(stem + ending)


def sample_folder(results: Path, sample: str) -> Path:
    """The folder of one sample's results."""
    return results / "samples" / sample


def stage_outputs(results: Path, sample: str, stage: str) -> tuple[Path, ...]:
    """The files that `stage` leaves for `sample`."""
    return tuple(sample_folder(results, sample) / name for name in (STAGE_OUTPUTS | OPTIONAL_OUTPUTS)[stage])


def stage_log(results: Path, sample: str, stage: str) -> Path:
    """The log of one stage for one sample."""
    return results / "logs" / stage / f"{sample}.log"


def lost_shard_logs(results: Path, sample: str, stage: str) -> list[Path]:
    """Logs of the jobs that were to do a shard of `stage` and left none, of the last round that began."""
    for rule, begins in reversed(SHARD_ROUNDS.get(stage, ())):
        logs = {
            log: match[1]
            for log in sorted((results / "logs" / rule).glob("*.log"))
            if (match := re.fullmatch(rf"{re.escape(sample)}\.(\d+-of-\d+)\.log", log.name))
        }
        if logs:
            folder = sample_folder(results, sample)
            return [log for log, item in logs.items() if not (folder / f"{begins}.{item}{SHARD_ENDING}").is_file()]
    return []


def beside_labels(labels: Path, name: str) -> Path:
    """Where a file lies that belongs to a label image: `name` beside `labels.ome.tif`, `a.name` beside `a.ome.tif`."""
    stem = labels.name.removesuffix(".tif").removesuffix(".ome")
    return labels.with_name(name if stem == "labels" else f"{stem}.{name}")


def record_path(labels: Path) -> Path:
    """Where the record of a label image lies: `labels.json` beside `labels.ome.tif`."""
    return labels.with_name(labels.name.removesuffix(".tif").removesuffix(".ome") + ".json")


def instances_path(labels: Path) -> Path:
    """Where score and class of each label lie: `instances.parquet` beside `labels.ome.tif`.

    Beside label images of other names it is called after them: `a.instances.parquet` for `a.ome.tif`.
    """
    return beside_labels(labels, "instances.parquet")
