"""All that can be wrong with settings and sample sheet, found before any work is done. Floor 6."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cellseg.config import Config
from cellseg.errors import ConfigError
from cellseg.io.samples import read_samples
from cellseg.io.settings import read_config


def check_inputs(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with every default filled in, after a check of them and of the sample sheet that they name.

    A missing image is no fault here: it fails its own sample, and the others go on.

    Raises
    ------
    ConfigError
        With every fault of both, each with its place and its cure.
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
    if config is None or faults:
        raise ConfigError("; ".join(faults))
    return config.model_dump(mode="json")
