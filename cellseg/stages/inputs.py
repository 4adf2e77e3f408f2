"""All that can be wrong with settings and sample sheet, found before any work is done. Floor 6."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cellseg.config import Config
from cellseg.errors import ConfigError
from cellseg.io.samples import read_samples
from cellseg.io.settings import read_config


def check_inputs(settings: Mapping[str, Any]) -> int:
    """Check the settings and the sample sheet they name; the number of samples.

    A missing image is no fault here: it fails its own sample, and the others go on.

    Raises
    ------
    ConfigError
        With every fault of both, each with its place and its cure.
    """
    faults: list[str] = []
    try:
        read_config(None, dict(settings))
    except ConfigError as error:
        faults.append(str(error))
    sheet = settings.get("samples", Config().samples)
    samples = 0
    if isinstance(sheet, str):  # otherwise among the faults of the settings
        try:
            samples = len(read_samples(Path(sheet), check_files=False))
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(faults))
    return samples
