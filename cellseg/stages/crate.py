"""The metadata of a run as an RO-Crate: JSON-LD by the profile Workflow Run Crate. Floor 6.

References
----------
RO-Crate 1.1 (https://w3id.org/ro/crate/1.1); Leo et al. 2024, PLoS ONE 19:e0309210 (Workflow Run RO-Crate).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from rocrate.model import ComputationalWorkflow, ContextEntity, Dataset, File
from rocrate.rocrate import ROCrate

from cellseg.io.checksum import Checksum
from cellseg.stages.crate_files import CONFIG_NAME, TIMES, WORKFLOW_NAME, ResultFile
from cellseg.stages.crate_inputs import Input
from cellseg.stages.crate_jobs import Job
from cellseg.stages.crate_software import PYTHON, Software
from cellseg.stages.ledger import LedgerRow
from cellseg.stages.results import OPTIONAL_OUTPUTS, STAGE_OUTPUTS

_CONTEXT = "https://w3id.org/ro/terms/workflow-run/context"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
_LICENCE = "https://spdx.org/licenses/Apache-2.0"
_LANGUAGE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
_NO_LICENCE = "#licence"
_BIOSCHEMAS = "https://bioschemas.org/profiles/{}/1.0-RELEASE"
_FORMATS = {
    ".csv": "text/csv", ".tsv": "text/tab-separated-values", ".json": "application/json", ".png": "image/png",
    ".tif": "image/tiff", ".parquet": "application/vnd.apache.parquet", ".gz": "application/gzip",
    ".geojson": "application/geo+json",
}  # fmt: skip
_DONE, _FAILED = "http://schema.org/CompletedActionStatus", "http://schema.org/FailedActionStatus"
_SUMMARIES = (
    "summary.csv", "summary_tissue.csv", "summary_wdbc10.csv", "summary_slide.csv", "summary_patient.csv",
)  # fmt: skip
_OWN, _SHEET = "#cellseg", "#input/samples"

Properties = dict[str, Any]


class Run(NamedTuple):
    """All that a crate tells of a run.

    sheet, images, weights : what it was made from; the images with drawings and what lies beside. rules : the files of
    rules of the workflow, by name. results : every file. left_over : names of results of an earlier run's settings.
    ledger : what became of each sample. own, software, system : by what. jobs : what took how long. end : now.
    """

    sheet: Input
    images: Sequence[Input]
    weights: Sequence[Input]
    rules: Mapping[str, Checksum]
    results: Sequence[ResultFile]
    left_over: frozenset[str]
    ledger: Sequence[LedgerRow]
    own: Software
    software: Sequence[Software]
    system: str
    jobs: Sequence[Job]
    end: datetime


def describe_run(run: Run) -> dict[str, Any]:
    """The run as JSON-LD, for `ro-crate-metadata.json`."""
    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(_CONTEXT)
    workflow = _add_workflow(crate, run)
    _add_software(crate, run)
    given = [_add_input(crate, one, "images") for one in run.images]
    given += [_add_input(crate, one, "weights") for one in run.weights]
    given += [_add_input(crate, run.sheet, "samples", key=_SHEET), {"@id": CONFIG_NAME}]
    made = _add_results(crate, run)
    failed = [row for row in run.ledger if row.outcome == "failed"]
    whole = _add_action(crate, run, given, made, failed)
    jobs = [_add_job(crate, job) for job in run.jobs]
    jobs += [_add_failure(crate, row, run.results) for row in failed]
    root = crate.root_dataset
    root["name"] = f"cellseg: {len(run.ledger)} samples"
    root["description"] = "Cells found, measured and judged in microscope images, and what they were made from and by."
    root["license"] = _context(
        crate, _NO_LICENCE, "CreativeWork", name="No licence stated",
        description="Whoever ran the workflow says how its results may be used.",
    )  # fmt: skip
    root["datePublished"] = _time(run.end)
    root["mainEntity"] = workflow
    root["mentions"] = [whole, *jobs]
    root["conformsTo"] = [_context(crate, at, "CreativeWork", name=n, version=v) for at, (n, v) in _PROFILES.items()]
    found: dict[str, Any] = crate.metadata.generate()
    return found


def _context(crate: ROCrate, key: str, kind: str, **properties: Any) -> Properties:  # noqa: ANN401 - plain values
    """Add an entity that is no file of the crate; what refers to it."""
    about = {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value for name, value in properties.items()
    }
    crate.add(ContextEntity(crate, key, {"@type": kind} | {name: one for name, one in about.items() if one != []}))
    return {"@id": key}


def _add_workflow(crate: ROCrate, run: Run) -> Properties:
    profiles = {
        name: _context(
            crate, _BIOSCHEMAS.format(name), "CreativeWork", name=f"Bioschemas {name}", version="1.0-RELEASE"
        )
        for name in ("FormalParameter", "ComputationalWorkflow")
    }
    parts = [
        _context(
            crate, f"#workflows/{name}", "SoftwareSourceCode", name=name, programmingLanguage={"@id": _LANGUAGE},
            version=run.own.version, **_facts(checksum),
        )
        for name, checksum in run.rules.items()
    ]  # fmt: skip
    inputs = [
        _context(
            crate, f"#parameter/{name}", "FormalParameter", name=name, additionalType="File", description=about,
            conformsTo=profiles["FormalParameter"],
        )
        for name, about in (
            ("images", "images, and drawings of tissues"), ("samples", "sample sheet"),
            ("config", "settings, with all defaults"), *([("weights", "weights and models")] if run.weights else []),
        )
    ]  # fmt: skip
    licence = _context(crate, _LICENCE, "CreativeWork", name="Apache License 2.0")
    workflow = crate.add_workflow(dest_path=WORKFLOW_NAME, main=True, lang="snakemake", cls=ComputationalWorkflow)
    workflow["name"], workflow["version"], workflow["license"] = "cellseg", run.own.version, licence
    workflow["input"], workflow["hasPart"], workflow["encodingFormat"] = inputs, parts, "text/plain"
    workflow["conformsTo"] = profiles["ComputationalWorkflow"]
    return {"@id": WORKFLOW_NAME}


def _add_software(crate: ROCrate, run: Run) -> None:
    needed = []
    for name, version in run.software:
        page = f"https://pypi.org/project/{name}/{version}/" if name != PYTHON else f"https://www.python.org/#{version}"
        needed.append(_context(crate, page, "SoftwareApplication", name=name, softwareVersion=version, url=page))
    _context(
        crate, _OWN, "SoftwareApplication", name=run.own.name, softwareVersion=run.own.version,
        operatingSystem=run.system, softwareRequirements=needed, license={"@id": _LICENCE},
    )  # fmt: skip


def _add_input(crate: ROCrate, one: Input, parameter: str, *, key: str | None = None) -> Properties:
    about: Properties = {"name": one.name, "exampleOfWork": {"@id": f"#parameter/{parameter}"}}
    if one.checksum is None:
        about["description"] = "was not there when the crate was written"
    else:
        about |= _facts(one.checksum) | _format(one.name)
    if "://" in one.name:
        about["contentUrl"] = one.name
    kind = "Dataset" if one.is_folder else "File"
    return _context(crate, key or f"#input/{parameter}/{one.key}", kind, **about)


def _add_results(crate: ROCrate, run: Run) -> list[Properties]:
    """Add every true result; what refers to those that this run made."""
    made = []
    for file in run.results:
        if file.failure is not None:
            continue
        about: Properties = {"name": file.name} | _facts(file.checksum) | _format(file.name)
        if file.name == WORKFLOW_NAME:
            for name, value in _facts(file.checksum).items():
                crate.get(WORKFLOW_NAME)[name] = value
            continue
        if file.name == CONFIG_NAME:
            about["exampleOfWork"] = {"@id": "#parameter/config"}
        elif file.name in run.left_over:
            about["description"] = "of an earlier run with other settings"
        entity = crate.add(File(crate, dest_path=file.name, properties=about))
        if file.name != CONFIG_NAME and file.name not in run.left_over:
            made.append({"@id": entity.id})
    for folder in TIMES:
        about = {"name": folder, "description": "holds times, and has no sha256: no result"}
        crate.add(Dataset(crate, dest_path=folder, properties=about))
    return made


def _add_action(
    crate: ROCrate, run: Run, given: list[Properties], made: list[Properties], failed: Sequence[LedgerRow]
) -> Properties:
    about: Properties = {
        "name": f"cellseg on {len(run.ledger)} samples", "instrument": {"@id": WORKFLOW_NAME}, "object": given,
        "result": made, "endTime": _time(run.end), "actionStatus": _FAILED if failed else _DONE,
        "description": "From images to tables of cells, by snakemake.",
    }  # fmt: skip
    if run.jobs:
        about["startTime"] = _time(min(job.start for job in run.jobs))
    if failed:
        named = ", ".join(f"{row.sample} (at {row.stage})" for row in failed)
        about["error"] = f"{len(failed)} of {len(run.ledger)} samples failed: {named}; slides.tsv says why"
    return _context(crate, "#run", "CreateAction", **about)


def _add_job(crate: ROCrate, job: Job) -> Properties:
    key = f"#job/{job.name}"
    took = [("time", "seconds", job.seconds, "s"), ("memory", "peak resident memory", job.peak_mib, "MiB")]
    usage = [
        _context(crate, f"{key}/{at}", "PropertyValue", name=name, value=value, unitText=unit)
        for at, name, value, unit in took
        if value is not None
    ]
    about: Properties = {
        "name": job.name, "description": f"The rule {job.rule} of the workflow.", "instrument": {"@id": _OWN},
        "startTime": _time(job.start), "endTime": _time(job.end), "resourceUsage": usage,
    }  # fmt: skip
    results = [{"@id": name} for name in _outputs(job) if crate.get(name) is not None]
    return _context(crate, key, "CreateAction", result=results, **about)


def _outputs(job: Job) -> list[str]:
    """What a job leaves, where it is one of a sample or of all."""
    if job.rule == "reference":
        return [f"reference/{job.of}.json"]
    if job.rule == "summary":
        return ["slides.tsv", *_SUMMARIES]
    return [f"samples/{job.of}/{name}" for name in (STAGE_OUTPUTS | OPTIONAL_OUTPUTS).get(job.rule, ())]


def _add_failure(crate: ROCrate, row: LedgerRow, results: Sequence[ResultFile]) -> Properties:
    """Add what became of a sample that failed, with the placeholders that stand where its results would."""
    left = [
        _context(
            crate, f"#placeholder/{file.name}", "CreativeWork", name=file.name, **_facts(file.checksum),
            description=f"no result: says that the sample failed at {file.failure.stage}; taken away for the next run",
        )
        for file in results
        if file.sample == row.sample and file.failure is not None
    ]  # fmt: skip
    return _context(
        crate, f"#failed/{row.sample}", "CreateAction", name=f"{row.sample}: {row.stage}", instrument={"@id": _OWN},
        object=[{"@id": f"#input/images/{row.sample}/image"}], result=left, actionStatus=_FAILED,
        error=f"failed at {row.stage}; slides.tsv says why", description=f"What became of the sample {row.sample}.",
    )  # fmt: skip


def _facts(checksum: Checksum) -> Properties:
    return {"contentSize": str(checksum.n_bytes), "sha256": checksum.sha256}


def _format(name: str) -> Properties:
    known = _FORMATS.get(PurePosixPath(name).suffix.lower())
    return {"encodingFormat": known} if known else {}


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
