"""What a run was made by: versions of cellseg, Python and every package that it needs. Floor 6."""

from __future__ import annotations

import platform
import re
from collections import deque
from importlib import metadata
from typing import NamedTuple

import cellseg
from cellseg.segment.contract import ENTRY_POINTS

PYTHON = "python"
_PLUGINS = ("snakemake-executor-plugin-", "snakemake-storage-plugin-")


class Software(NamedTuple):
    """A package and its version."""

    name: str
    version: str


def installed(method: str) -> list[Software]:
    """Python, and every package that cellseg needs or snakemake may have called on, by name.

    Parameters
    ----------
    method : str
        How cells were segmented: the package that registers it is one of them.
    """
    roots = ["cellseg", *(point.dist.name for point in _points(method) if point.dist)]
    found = {Software(name, version) for name, version in _closure(roots).items() if name != "cellseg"}
    for one in metadata.distributions():
        name = _normal(one.name)
        if name.startswith(_PLUGINS):
            found.add(Software(name, one.version))
    return [Software(PYTHON, platform.python_version()), *sorted(found)]


def own_version() -> Software:
    """The version of cellseg."""
    return Software("cellseg", cellseg.__version__)


def system() -> str:
    """Operating system and processor, as `Linux x86_64`; nothing that tells one machine from another of its kind."""
    return f"{platform.system()} {platform.machine()}"


def _points(method: str) -> metadata.EntryPoints:
    return metadata.entry_points(group=ENTRY_POINTS, name=method)


def _closure(roots: list[str]) -> dict[str, str]:
    """Versions of these packages and of what they require, extras left out, by normal name; of what is installed."""
    versions: dict[str, str] = {}
    waiting = deque(_normal(name) for name in roots)
    while waiting:
        name = waiting.popleft()
        if name in versions:
            continue
        try:
            one = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # for another system, or cellseg itself without an installation
            continue
        versions[name] = one.version
        for required in one.requires or ():
            if "extra ==" not in required and (match := re.match(r"[A-Za-z0-9._-]+", required)):
                waiting.append(_normal(match[0]))
    return versions


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
