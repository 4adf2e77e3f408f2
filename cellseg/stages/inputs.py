"""All that can be wrong with settings and sample sheet, found before any work is done. Floor 6."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cellseg.config import Config
from cellseg.errors import ConfigError
from cellseg.io.samples import read_samples
from cellseg.io.settings import read_config


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
    if config is None or faults:
        raise ConfigError("; ".join(faults))
    return config.model_dump(mode="json")


def _folder_fault(results: Path) -> str:
    """Why results cannot be written to the folder; empty if they can."""
    there = next(folder for folder in (results, *results.absolute().parents) if folder.exists())
    if not there.is_dir():
        return f"results {results}: {there} is a file, not a folder; set `results` to another folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"results {results}: no permission to write in {there}; set `results` to a folder of yours"
    return ""
