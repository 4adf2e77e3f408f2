"""The ledger: what became of every sample, and the gate that makes failures count. Floor 6.

`slides.tsv` has one row a sample. A placeholder or a missing output makes it `failed`, a recipe that is not assessable
`unassessable`, and everything else `done`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from cellseg.cohort_columns import LEDGER_COLUMNS
from cellseg.errors import TableError
from cellseg.io.atomic import write_text
from cellseg.io.samples import Sample
from cellseg.io.table import count_rows
from cellseg.stages.outcome import first_failure, read_failure
from cellseg.stages.results import (
    OPTIONAL_OUTPUTS,
    STAGES,
    lost_shard_logs,
    sample_folder,
    stage_log,
    stage_outputs,
)

Outcome = Literal["done", "failed", "unassessable"]
LEDGER_NAME = "slides.tsv"
_LOG_CHARACTERS = 300
_ERROR = "cellseg: error: "
"""How the last line of a command begins that failed with words."""


@dataclass(frozen=True)
class LedgerRow:
    """One row of `slides.tsv`; the columns are documented in `cohort_columns`."""

    sample: str
    outcome: Outcome
    stage: str
    reason: str
    n_cells: int | None
    path: str


def judge_sample(results: Path, sample: Sample) -> LedgerRow:
    """What became of one sample, from the files that it left."""
    name, path = sample.sample, str(sample.path)
    for stage in STAGES:
        if stage in OPTIONAL_OUTPUTS and not _was_lost(results, name, stage):
            continue
        outputs = stage_outputs(results, name, stage)
        if failure := first_failure(outputs):
            return LedgerRow(name, "failed", failure.stage, failure.reason, None, path)
        if missing := [output for output in outputs if not output.is_file()]:
            ended = _where_it_ended(results, name, stage)
            reason = f"no {missing[0].name}: {_last_words(_log_to_read(results, name, ended))}"
            return LedgerRow(name, "failed", ended, reason, None, path)
    folder = sample_folder(results, name)
    n_cells = count_rows(folder / "cells.parquet")
    recipe = json.loads((folder / "segment/recipe.json").read_text(encoding="utf-8"))
    if recipe["assessable"]:
        return LedgerRow(name, "done", "", _remarks(folder / "segment/labels.json", n_cells), n_cells, path)
    quality = json.loads((folder / "segment/quality.json").read_text(encoding="utf-8"))
    reason = "; ".join(quality["reasons"]) or "its quality does not allow a verdict"
    return LedgerRow(name, "unassessable", "preprocess", reason, n_cells, path)


def _was_lost(results: Path, sample: str, stage: str) -> bool:
    """Whether an optional stage began and ended without outputs, so that the next one never ran.

    Its failures are passed on by the stages after it. What an earlier run with other settings left there means nothing.
    """
    after = stage_outputs(results, sample, STAGES[STAGES.index(stage) + 1])
    return stage_log(results, sample, stage).is_file() and not any(output.is_file() for output in after)


def _remarks(record: Path, n_cells: int) -> str:
    """What the segmentation's record says that one should know: why there are no cells, or what to look at."""
    found = json.loads(record.read_text(encoding="utf-8"))
    if n_cells:
        return "; ".join(found.get("notes", []))
    if not found.get("contrast_enough", True):
        return "no cells: nothing stands out from the background (min_contrast)"
    found_some = "contrast_enough" in found or sum(found["dropped"].values())
    return "no cells of the size asked for" if found_some else "no cells were found"


def _where_it_ended(results: Path, sample: str, stage: str) -> str:
    """The stage whose error took the outputs of `stage` with it: itself, or a later one of the same job.

    Where many samples share a job, snakemake takes away what all of its stages made when one ends with an error.
    """
    own = stage_log(results, sample, stage)
    if not own.is_file():
        return stage
    logs = {later: stage_log(results, sample, later) for later in STAGES[STAGES.index(stage) :]}
    since = own.stat().st_mtime_ns
    recent = (later for later, log in logs.items() if log.is_file() and log.stat().st_mtime_ns >= since)
    return next((later for later in recent if _last_line(logs[later]).startswith(_ERROR)), stage)


def _last_line(log: Path) -> str:
    """The last line of a log that is not empty."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")


def _log_to_read(results: Path, sample: str, stage: str) -> Path:
    """The log of a stage that left no result; that of its first shard that is missing, where it waits for one."""
    log = stage_log(results, sample, stage)
    return log if log.is_file() else next(iter(lost_shard_logs(results, sample, stage)), log)


def _last_words(log: Path) -> str:
    """The last line of a log that is not empty, or that there is no log."""
    if not log.is_file():
        return "the stage did not run to its end and left no log"
    words = _last_line(log)
    shown = words[: 2 * _LOG_CHARACTERS] if words.startswith(_ERROR) else words[-_LOG_CHARACTERS:]
    return f"its log ends with: {shown}" if words else "the stage ended without a word in its log"


def write_ledger(results: Path, rows: Iterable[LedgerRow]) -> None:
    """Write `slides.tsv`; tabs and line ends inside a field become spaces."""
    lines = ["\t".join(column.name for column in LEDGER_COLUMNS)]
    for row in rows:
        values = ("" if value is None else " ".join(str(value).split()) for value in astuple(row))
        lines.append("\t".join(values))
    write_text(results / LEDGER_NAME, "\n".join(lines) + "\n")


def read_ledger(results: Path) -> list[LedgerRow]:
    """The rows of `slides.tsv`.

    Raises
    ------
    TableError
        If it is missing or not a ledger.
    """
    path = results / LEDGER_NAME
    try:
        header, *lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise TableError(f"{path}: no readable ledger ({error}); run `cellseg summary {results}`") from error
    if header.split("\t") != [field.name for field in fields(LedgerRow)]:
        raise TableError(f"{path}: its columns are not those of a ledger; run `cellseg summary {results}` again")
    return [_parse(line, f"{path}, line {number}") for number, line in enumerate(lines, start=2)]


def _parse(line: str, where: str) -> LedgerRow:
    values = line.split("\t")
    if (
        len(values) != len(LEDGER_COLUMNS)
        or values[1] not in get_args(Outcome)
        or not values[4].isdigit() | (values[4] == "")
    ):
        raise TableError(f"{where}: not a row of a ledger; run `cellseg summary` again")
    sample, outcome, stage, reason, n_cells, path = values
    return LedgerRow(sample, outcome, stage, reason, int(n_cells) if n_cells else None, path)  # type: ignore[arg-type]


def check_results(results: Path) -> list[LedgerRow]:
    """The failed samples of `slides.tsv`; takes their placeholders away, so that the next run tries them again.

    Raises
    ------
    TableError
        If there is no ledger.
    """
    failed = [row for row in read_ledger(results) if row.outcome == "failed"]
    for row in failed:
        for path in sorted(sample_folder(results, row.sample).rglob("*")):
            if read_failure(path) is not None:
                path.unlink()
    return failed
