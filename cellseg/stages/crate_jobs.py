"""What the jobs of a run took, from the benchmarks that snakemake leaves. Floor 6."""

from __future__ import annotations

import csv
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cellseg.stages.results import SHARD_ROUNDS, STAGES

_BATCHED, _WHOLE = ("look", "judge"), ("reference",)


class Job(NamedTuple):
    """A job that ran to its end; `peak_mib` None where it was too short to be measured.

    rule : its rule; `look` and `judge` are batches. of : the sample, the sample and shard, the stain or the number of
    the batch; empty for what is done once.
    """

    rule: str
    of: str
    start: datetime
    end: datetime
    seconds: float
    peak_mib: float | None

    @property
    def name(self) -> str:
        """Rule and sample, as `segment/slide_1`."""
        return f"{self.rule}/{self.of}" if self.of else self.rule


def read_jobs(results: Path, samples: Collection[str], *, batched: bool, n_shards: int = 1) -> list[Job]:
    """The jobs whose benchmarks lie in the results, by rule and sample; none where snakemake did not run them.

    A benchmark is written when its job ends, and says how long that took; so both ends are known.

    Parameters
    ----------
    samples : collection of str
        Those of the run.
    batched : bool
        Whether jobs took several samples; what the other kind of jobs left is another run's.
    n_shards : int
        Into how many shards each slide was cut; likewise.
    """
    known, paths = set(samples), list[tuple[str, Path]]()
    rules = (*(_BATCHED if batched else STAGES), *_WHOLE)
    for rule in rules:
        there = sorted((results / "benchmarks" / rule).glob("*.tsv"))
        paths += [(rule, path) for path in there if rule not in STAGES or path.stem in known]
    if n_shards > 1:
        shards = [f"{sample}.{n}-of-{n_shards}" for sample in sorted(known) for n in range(1, n_shards + 1)]
        rounds = [rule for several in SHARD_ROUNDS.values() for rule, _ in several]
        paths += [(rule, results / "benchmarks" / rule / f"{one}.tsv") for rule in rounds for one in shards]
    found = [_read(path, rule, path.stem) for rule, path in paths]
    found.append(_read(results / "benchmarks" / "summary.tsv", "summary", ""))
    return [job for job in found if job is not None]


def _read(path: Path, rule: str, of: str) -> Job | None:
    """A job from its benchmark; None where that cannot be read: it is no result."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            row = list(csv.DictReader(stream, delimiter="\t"))[-1]
        seconds = float(row["s"])
        ended = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError, KeyError, IndexError):
        return None
    return Job(rule, of, ended - timedelta(seconds=seconds), ended, seconds, _number(row.get("max_rss")))


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:  # `-` and `NA`
        return None
