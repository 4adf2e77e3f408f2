"""All that can be wrong with settings and sample sheet, found before any work is done. Floor 6."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, get_args

from cellseg.classify.rules import conditions_of
from cellseg.columns import find_measured
from cellseg.columns.families import ABOUT
from cellseg.config import Config
from cellseg.errors import ConfigError, TableError
from cellseg.io.samples import read_samples
from cellseg.io.settings import read_config
from cellseg.measure_config import Family
from cellseg.stages.look import NO_NETWORK
from cellseg.stages.methods import method_fault, shards_fault

SWITCHED = get_args(Family)
"""Families of columns that `measure.families` switches."""


def check_inputs(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with every default filled in, after a check of them, the sample sheet and the results folder.

    A missing image is no fault here: it fails its own sample, and the others go on.

    Raises
    ------
    ConfigError
        With every fault of all three, each with its place and its cure.
    """
    faults: list[str] = []
    config = None
    try:
        config = read_config(None, dict(settings))
    except ConfigError as error:
        faults.append(str(error))
    sheet = settings.get("samples", Config().samples)
    try:
        read_samples(Path(str(sheet)), check_files=False)
    except ConfigError as error:
        faults.append(str(error))
    results = Path(str(settings.get("results", Config().results)))
    if fault := _folder_fault(results):
        faults.append(fault)
    if config is not None:
        faults += name_faults(config)
        faults += _weights_faults(config)
        faults += _shards_faults(config)
    if config is None or faults:
        raise ConfigError("; ".join(faults))
    return config.model_dump(mode="json")


def name_faults(config: Config) -> list[str]:
    """Names that nothing answers to: segmentation methods, and columns that no table will have (or has by default)."""
    named = [
        (f"{path}.column", one.column)
        for at, rule in enumerate(config.classify.rules)
        for path, one in conditions_of(rule, f"classify.rules.{at}")
    ]
    if config.classify.exclude.min_area_um2 > 0:
        named.append(("classify.exclude.min_area_um2", "area_um2"))
    if config.classify.exclude.min_focus_fraction > 0:
        named.append(("classify.exclude.min_focus_fraction", "edge_sharpness_per_um"))
    if config.classify.exclude.max_overlap_fraction < 1:
        named.append(("classify.exclude.max_overlap_fraction", "touching_share"))
    if "contrast" in config.measure.families:
        named += [(f"measure.contrast_features.{at}", f) for at, f in enumerate(config.measure.contrast_features)]
    faults = [f"{where}: {fault}" for where, name in named if (fault := _name_fault(name, config.measure.families))]
    if config.classify.reference.enabled:
        faults += [
            f"classify.reference.features.{at}: {fault}"
            for at, entry in enumerate(config.classify.reference.features)
            if (fault := _entry_fault(entry, config.measure.families))
        ]
    if "appearance" in config.measure.families and not config.measure.appearance_network:
        faults.append(NO_NETWORK)
    # what is only shown may be missing from a slide, but it must be the name of something
    shown = {"report.plot_features": config.report.plot_features, "polygons.features": config.polygons.features}
    plain = [(f"{where}.{at}", name) for where, names in shown.items() for at, name in enumerate(names)]
    faults += [f"{where}: {fault}" for where, name in plain if (fault := _name_fault(name, SWITCHED))]
    faults += _tissue_faults(config, dict(named))
    unknown = method_fault(config.segmentation)
    return faults if unknown is None else [unknown, *faults]


def _name_fault(name: str, families: Collection[str]) -> str:
    try:
        column = find_measured(name)
    except TableError as error:
        return str(error)
    if column.dtype in ("string", "bool"):
        return f"{name} is no number; name a numeric column"
    if column.family in SWITCHED and column.family not in families:
        return f"{name} is of the family {column.family}, which measure.families leaves out; add it, or take this away"
    return ""


def _entry_fault(entry: str, families: Collection[str]) -> str:
    """As `_name_fault`, of what may be a family or a pattern too; what a pattern fits is told by the tables alone."""
    if entry in ABOUT and entry not in families:
        return f"the family {entry} is not in measure.families; add it, or take this away"
    return "" if entry in ABOUT or set("*?[") & set(entry) else _name_fault(entry, families)


def _tissue_faults(config: Config, named: Mapping[str, str]) -> list[str]:
    """Settings that look at the tissue of cells, of which nothing is known where no slide gets a map."""
    if config.tissue.enabled:
        return []
    classify = config.classify
    wanted = [f"classify.rules.{at}.tissues" for at, rule in enumerate(classify.rules) if rule.tissues]
    wanted += ["classify.exclude.tissues"] if classify.exclude.tissues else []
    wanted += ["classify.reference.by_tissue"] if classify.reference.enabled and classify.reference.by_tissue else []
    wanted += [
        f"{where}: {name}" for where, name in named.items() if not _name_fault(name, SWITCHED) and _is_tissue(name)
    ]
    return [f"{what} looks at the tissue of cells; set tissue.enabled: true, or take it away" for what in wanted]


def _is_tissue(name: str) -> bool:
    return find_measured(name).family == "tissue"


def _weights_faults(config: Config) -> list[str]:
    """That files of weights which the settings name are not there, where they are wanted."""
    segmenting = config.segmentation.method == "maskrcnn"
    named = [("segmentation.maskrcnn", "nucleus", config.segmentation.maskrcnn.weights)] if segmenting else []
    named += [("tissue", "colon", config.tissue.weights)] if config.tissue.enabled else []
    named += [("classify.model", "redcell", config.classify.model.weights)]
    named = [(f"{section}.weights", shipped, weights) for section, shipped, weights in named]
    named.append(("measure.appearance_network", "redcell_look", config.measure.appearance_network))
    return [
        f"{setting} {weights}: no such file; check the path (from where snakemake is started), or name the weights in "
        f"the package: {shipped}"
        for setting, shipped, weights in named
        if weights.endswith(".safetensors") and not Path(weights).is_file()
    ]


def _shards_faults(config: Config) -> list[str]:
    """That slides are to be cut and the method cannot do with parts of one."""
    fault = shards_fault(config.segmentation) if config.compute.shards > 1 else None
    return [] if fault is None else [fault]


def _folder_fault(results: Path) -> str:
    """Why results cannot be written to the folder; empty if they can."""
    there = next(folder for folder in (results, *results.absolute().parents) if folder.exists())
    if not there.is_dir():
        return f"results {results}: {there} is a file, not a folder; set `results` to another folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"results {results}: no permission to write in {there}; set `results` to a folder of yours"
    return ""
