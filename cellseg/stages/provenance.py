"""Stage provenance: an RO-Crate of a run, which says what was made from what, by what and when. Floor 6.

With logs and benchmarks the only file that holds times.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import cellseg
from cellseg.config import Config
from cellseg.errors import ConfigError
from cellseg.io.atomic import write_json, write_text
from cellseg.io.checksum import Checksum, checksum_of
from cellseg.io.samples import Sample, read_samples
from cellseg.stages.crate import Run, describe_run
from cellseg.stages.crate_files import CONFIG_NAME, CRATE_NAME, WORKFLOW_NAME, ResultFile, read_results, result_names
from cellseg.stages.crate_inputs import Input, look_at, name_of_sheet, plain, sample_inputs, weights_inputs
from cellseg.stages.crate_jobs import Job, read_jobs
from cellseg.stages.crate_software import installed, own_version, system
from cellseg.stages.ledger import LedgerRow, read_ledger

_NO_WORKFLOW = "# The Snakefile of cellseg {version}; it could not be read where this was written (in a container?).\n"


class Written(NamedTuple):
    """What a crate holds: files of results, files and folders of input that were there, samples that failed."""

    n_results: int
    n_inputs: int
    n_failed: int


def write_provenance(
    results: Path,
    sheet: Path,
    *,
    settings: Config,
    workflow: Path | None = None,
    images: Mapping[str, Path] | None = None,
    tissues: Mapping[str, Path] | None = None,
    workers: int = 1,
) -> Written:
    """Write `ro-crate-metadata.json`, and for it the settings and the workflow's main file, into a folder of results.

    Memory: a few kB a sample; files are read in pieces.

    Parameters
    ----------
    results : Path
        The folder, with the ledger that `summarize_cohort` wrote.
    sheet : Path
        The sample sheet.
    settings : Config
        Of the run; paths of the machine in them are not written down.
    workflow : Path or None
        The Snakefile, with the rules in a folder `workflows` beside it; None: the one beside the package, if any.
    images, tissues : mapping of str to Path
        By sample, where what the sheet names by a URL lies now.
    workers : int
        Threads.

    Raises
    ------
    ConfigError
        If the sheet cannot be read, or holds other samples than the ledger.
    TableError
        If there is no ledger.
    CellsegError
        If a file cannot be read or written.
    """
    samples, ledger = read_samples(sheet, check_files=False), read_ledger(results)
    _check_ledger(samples, ledger, results, sheet)
    write_json(results / CONFIG_NAME, plain(settings.model_dump(mode="json")))
    rules = _write_workflow(results / WORKFLOW_NAME, workflow)
    named = sample_inputs(samples, sheet.parent, images=images or {}, tissues=tissues or {})
    weights = weights_inputs(settings)
    # one pass over all of them: few workers, many files
    given = list(look_at([Input("samples", name_of_sheet(sheet, results), sheet), *weights, *named], workers=workers))
    files = _files_of(results, samples, workers)
    switched = {"tissue": settings.tissue.enabled, "polygons": settings.polygons.enabled}
    run = Run(
        sheet=given[0], images=given[1 + len(weights) :], weights=given[1 : 1 + len(weights)], rules=rules,
        results=files, left_over=frozenset(file.name for file in files if file.is_left_over(**switched)),
        ledger=ledger, own=own_version(), software=installed(settings.segmentation.method), system=system(),
        jobs=_jobs_of(results, samples, settings), end=datetime.now(UTC),
    )  # fmt: skip
    write_json(results / CRATE_NAME, describe_run(run))
    n_inputs = sum(one.checksum is not None for one in given)
    return Written(len(files), n_inputs, sum(row.outcome == "failed" for row in ledger))


def _jobs_of(results: Path, samples: tuple[Sample, ...], settings: Config) -> list[Job]:
    cut = settings.compute
    return read_jobs(results, [one.sample for one in samples], batched=cut.samples_per_job > 1, n_shards=cut.shards)


def _check_ledger(samples: tuple[Sample, ...], ledger: list[LedgerRow], results: Path, sheet: Path) -> None:
    if [one.sample for one in samples] != [row.sample for row in ledger]:
        raise ConfigError(
            f"{sheet}: its samples are not those of {results / 'slides.tsv'}; give the sheet of that run, or run "
            f"`cellseg summary {results} --samples {sheet}` first"
        )


def _write_workflow(out: Path, workflow: Path | None) -> dict[str, Checksum]:
    """Copy the main file of the workflow; the files of rules by name."""
    beside = Path(cellseg.__file__).parents[1] / "Snakefile"
    # in a container the one that was given may be out of sight
    found = next((path for path in (workflow, beside) if path is not None and path.is_file()), None)
    if found is None:
        write_text(out, _NO_WORKFLOW.format(version=cellseg.__version__))
        return {}
    write_text(out, found.read_text(encoding="utf-8"))
    return {path.name: checksum_of(path) for path in sorted((found.parent / "workflows").glob("*.smk"))}


def _files_of(results: Path, samples: tuple[Sample, ...], workers: int) -> list[ResultFile]:
    """The results of this run's samples and of all; what lies there of samples that the sheet lacks is left out."""
    folders = {f"samples/{one.sample}/" for one in samples}
    names = [name for name in result_names(results) if not name.startswith("samples/") or _folder(name) in folders]
    return list(read_results(results, names, workers=workers))


def _folder(name: str) -> str:
    return "/".join(name.split("/", 2)[:2]) + "/"
