"""Which files of a folder of results are a run's, and what each is known by. Floor 6."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from cellseg.io.checksum import Checksum, checksum_of, files_below
from cellseg.stages.outcome import Failure, read_failure
from cellseg.stages.results import CELL_POLYGONS, SHARD_ENDING, TISSUE_MAP
from cellseg.stream import map_tiles

CRATE_NAME = "ro-crate-metadata.json"
"""The metadata file of the crate, in the folder of results; an RO-Crate has it there and by this name."""
CONFIG_NAME, WORKFLOW_NAME = "provenance/config.json", "provenance/Snakefile"
"""What the crate itself leaves beside: the settings of the run with all defaults, and the workflow's main file."""
TIMES = ("logs", "benchmarks")
"""Folders of what holds times: named in the crate, not hashed."""
_FOLDERS = ("samples", "reference", "provenance")
"""Folders of results; others (trained weights, another run's results) are not the run's."""


class ResultFile(NamedTuple):
    """A file of the results by its path from their folder, with slashes; `failure` if it is a placeholder for one."""

    name: str
    checksum: Checksum
    failure: Failure | None

    @property
    def sample(self) -> str:
        """The sample whose result it is; empty where it is of all."""
        parts = self.name.split("/")
        return parts[1] if parts[0] == "samples" else ""

    def is_left_over(self, *, tissue: bool, polygons: bool) -> bool:
        """Whether another run left it: one that mapped tissues or drew polygons, or was stopped (a shard)."""
        own = self.name.split("/", 2)[-1]
        if own.startswith(TISSUE_MAP.split("/")[0] + "/"):
            return not tissue
        return own.endswith(SHARD_ENDING) or (own == CELL_POLYGONS and not polygons)


def result_names(results: Path) -> list[str]:
    """The files of a folder of results that a crate speaks of, but for itself, logs, benchmarks and hidden files."""
    top = sorted(path for path in results.iterdir() if path.is_file() and not path.name.startswith("."))
    below = [path for folder in _FOLDERS for path in files_below(results / folder)]
    return [path.relative_to(results).as_posix() for path in (*top, *below) if path != results / CRATE_NAME]


def read_results(results: Path, names: Collection[str], *, workers: int) -> Iterator[ResultFile]:
    """Size and sha256 of each of these files, in their order.

    Raises
    ------
    CellsegError
        If one cannot be read.
    """

    def read(name: str) -> ResultFile:
        path = results / name
        return ResultFile(name, checksum_of(path), read_failure(path))

    return map_tiles(read, names, workers=workers)
