"""Whether results, and what they were made from, are still what their crate knows. Floor 6."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from cellseg.errors import CellsegError, ConfigError
from cellseg.io.checksum import Checksum, checksum_of
from cellseg.io.samples import read_samples
from cellseg.io.shipped import SHIPPED
from cellseg.stages.crate_files import result_names
from cellseg.stages.crate_inputs import sample_inputs
from cellseg.stages.crate_reading import KnownInput, KnownRun, read_run
from cellseg.stages.outcome import read_failure
from cellseg.stream import map_tiles
from cellseg.types import Progress, silent

What = Literal["changed", "missing", "new"]
_PACKAGE = "cellseg/weights/"


class Fault(NamedTuple):
    """A file that is not what the crate knows, by its path from the results or as sheet or settings call it."""

    what: What
    name: str
    detail: str


class Verified(NamedTuple):
    """Faults, how many results and inputs are as they were, inputs that are not here, failed samples."""

    faults: list[Fault]
    n_results: int
    n_inputs: int
    absent: list[str]
    failed: list[str]


class Places:
    """Where the inputs of a run lie here: beside the sheet, in the package, or where the settings' paths start from.

    Parameters
    ----------
    sheet : Path or None
        The sample sheet; None: where the crate has it from the results.
    """

    def __init__(self, results: Path, run: KnownRun, sheet: Path | None = None) -> None:
        self.sheet = sheet or results / run.sheet.name
        self._named: dict[str, Path] = {}
        try:
            samples = read_samples(self.sheet, check_files=False)
        except ConfigError:  # it is not here or was changed since: names lead from where it was
            return
        self._named = {one.key: one.path for one in sample_inputs(samples, self.sheet.parent, images={}, tissues={})}

    def image(self, one: KnownInput) -> Path:
        """An image, or what belongs to it."""
        return self._named.get(one.key, self.sheet.parent / one.name)

    def weights(self, one: KnownInput) -> Path:
        """A file of weights or a model."""
        if one.name.startswith(_PACKAGE):
            return SHIPPED / one.name.removeprefix(_PACKAGE)
        return Path(one.name)


def verify_results(
    results: Path, *, sheet: Path | None = None, workers: int = 1, progress: Progress = silent
) -> Verified:
    """Hash everything again that the crate of a folder of results knows, and look for files that it does not.

    Inputs that are not here are no fault, and neither are placeholders of failed samples, which are cleared away for
    the next run. Logs and benchmarks are not looked at.

    Parameters
    ----------
    sheet : Path or None
        The sample sheet, from which images are found; None: where the crate has it from the results.
    workers : int
        Threads.

    Raises
    ------
    TableError
        If there is no crate of ours.
    """
    run = read_run(results)
    places = Places(results, run, sheet)
    inputs = list(_inputs_here(run, places))
    there = set(result_names(results))
    wanted = [(name, results / name, known) for name, known in run.results.items()]
    wanted += [(one.name, path, known) for one, path in inputs if path.exists() and (known := one.checksum)]
    compared: list[Fault | None] = []
    for fault in map_tiles(lambda item: _compare(*item), wanted, workers=workers):
        compared.append(fault)
        progress(len(compared), len(wanted))
    strange = there - set(run.results) - {name for name in run.placeholders if read_failure(results / name)}
    faults = [fault for fault in compared if fault]
    faults += [Fault("new", name, "not in the crate") for name in sorted(strange)]
    absent = [one.name for one, path in inputs if not path.exists()]
    absent += [one.name for one in (*run.images, *run.weights) if one.is_elsewhere]
    n_results = compared[: len(run.results)].count(None)
    return Verified(faults, n_results, compared[len(run.results) :].count(None), absent, run.failed)


def _inputs_here(run: KnownRun, places: Places) -> Iterator[tuple[KnownInput, Path]]:
    """The inputs that the crate knows by their bytes and that may lie here, and where."""
    given = [(run.sheet, places.sheet)]
    given += [(one, places.image(one)) for one in run.images] + [(one, places.weights(one)) for one in run.weights]
    return ((one, path) for one, path in given if one.checksum is not None and not one.is_elsewhere)


def _compare(name: str, path: Path, known: Checksum) -> Fault | None:
    if not path.exists():
        return Fault("missing", name, f"had {known.n_bytes} bytes")
    try:
        found = checksum_of(path)
    except CellsegError as error:
        return Fault("changed", name, str(error))
    if found == known:
        return None
    sizes = f"{found.n_bytes} bytes, expected {known.n_bytes}; " if found.n_bytes != known.n_bytes else ""
    return Fault("changed", name, f"{sizes}sha256 {found.sha256[:16]}, expected {known.sha256[:16]}")
