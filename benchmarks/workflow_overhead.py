"""What the workflow itself costs: the share of the cores' time that does not go into the stages of samples.

    python benchmarks/workflow_overhead.py --samples 1000 --samples-per-job 100 --cores 2

The samples are simulated fields of H&E, 1024 x 1024 px at 0.5 um with some 900 nuclei each, 20 different ones. The run
is a whole one, by thresholds, with all settings at their defaults: tables, overlays, outlines, summaries and crate.

All time is wall time x cores. Of it only what passes inside the stages of samples counts as work, as the jobs of a
batch write it into their logs; from that is taken off what the first sample of a job takes longer than the others,
since that is imports and loading of compiled loops. All else is the workflow's own share: snakemake, the start of every
process, what is done once for all samples, and idle cores. It needs about 14 MB of disk a sample.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
N_IMAGES = 20
ONCE = ("reference", "summary", "provenance", "check")
TOLD = re.compile(r"^(\w+): (\d+) samples, ([\d.]+) s, the first ([\d.]+) s$", re.M)


class Span(NamedTuple):
    """When a job ran, seconds of the clock, by snakemake's benchmark of it."""

    rule: str
    start: float
    end: float


class Stages(NamedTuple):
    """Seconds inside of each stage of all samples, and those that the first samples of jobs took longer."""

    seconds: dict[str, float]
    first: float


def make_project(folder: Path, n_samples: int, size_px: int) -> None:
    """Fields of `size_px`, a sheet of `n_samples` of them and the default settings."""
    for number in range(min(N_IMAGES, n_samples)):
        size, seed = ["--size-px", str(size_px)], ["--seed", str(number)]
        name = ["--name", f"image_{number}"]
        subprocess.run([BIN / "cellseg", "simulate", folder, *name, *size, *seed], check=True, capture_output=True)
    lines = [f"s{number}\timage_{number % N_IMAGES}.tif\t0.5" for number in range(n_samples)]
    (folder / "samples.tsv").write_text("\n".join(["sample\tpath\tmpp", *lines]) + "\n")
    shutil.copy(REPOSITORY / "config.yaml", folder)


def spans_of(results: Path) -> list[Span]:
    """All jobs; a benchmark is written when its job ends."""
    spans = []
    for path in (results / "benchmarks").rglob("*.tsv"):
        rule = path.stem if path.parent.name == "benchmarks" else path.parent.name
        with path.open(newline="") as stream:
            seconds = sum(float(row["s"]) for row in csv.DictReader(stream, delimiter="\t"))
        end = path.stat().st_mtime
        spans.append(Span(rule, end - seconds, end))
    return spans


def read_stages(results: Path) -> Stages:
    """What the logs of the jobs of a batch say of their stages."""
    seconds: dict[str, float] = {}
    longer = 0.0
    for path in [*results.glob("logs/look/*.log"), *results.glob("logs/judge/*.log")]:
        for stage, count, spent, first in TOLD.findall(path.read_text()):
            n, all_, one = int(count), float(spent), float(first)
            excess = max(0.0, one - (all_ - one) / (n - 1)) if n > 1 else 0.0
            seconds[stage] = seconds.get(stage, 0.0) + all_ - excess
            longer += excess
    return Stages(seconds, longer)


def run(folder: Path, cores: int, samples_per_job: int) -> tuple[float, float]:
    """Begin and end of one run of the workflow, seconds of the clock."""
    command = [BIN / "snakemake", "-s", REPOSITORY / "Snakefile", "--cores", str(cores), "--quiet"]
    command += ["--config", f"compute={{samples_per_job: {samples_per_job}}}"]
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    start = time.time()
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=os.environ | single)
    return start, time.time()


def shares_of(spans: list[Span], stages: Stages, began: float, ended: float, cores: int) -> dict[str, float]:
    """Where the time that is not work went: seconds on all cores, which add up to all but the work."""
    work = sum(stages.seconds.values())
    batches = sum(span.end - span.start for span in spans if span.rule in ("look", "judge"))
    shares = {
        "before the first job": cores * (min(span.start for span in spans) - began),
        "jobs of samples: start of Python": batches - work - stages.first,
        "jobs of samples: first imports": stages.first,
    }
    for rule in ONCE:
        if seconds := sum(span.end - span.start for span in spans if span.rule == rule):
            shares[f"rule {rule}"] = seconds
    shares["after the last job"] = cores * (ended - max(span.end for span in spans))
    shares["idle cores, snakemake in between"] = cores * (ended - began) - work - sum(shares.values())
    return shares


def tell(asked: argparse.Namespace, folder: Path, began: float, ended: float) -> None:
    """Print what a run took and what of it was work."""
    results, n, cores = folder / "results", asked.samples, asked.cores
    spans, stages = spans_of(results), read_stages(results)
    work, all_time = sum(stages.seconds.values()), cores * (ended - began)
    print(f"{n} samples of {asked.size_px} px, {asked.samples_per_job} a job, {cores} cores: {ended - began:.1f} s")
    print(f"on all cores {all_time:.1f} s, of it in the stages of samples {work:.1f} s:")
    for stage, seconds in stages.seconds.items():
        print(f"    {stage:34} {seconds:8.1f} s, {1000 * seconds / n:6.1f} ms a sample")
    print(f"the workflow's own share: {100 * (all_time - work) / all_time:.1f} %, that is {all_time - work:.1f} s:")
    for what, seconds in shares_of(spans, stages, began, ended, cores).items():
        print(f"    {what:34} {seconds:8.1f} s, {100 * seconds / all_time:6.2f} %")


def main() -> None:
    """Print the run's time, what of it was work, the workflow's own share, and a run that finds nothing to do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--samples-per-job", type=int, default=25)
    parser.add_argument("--size-px", type=int, default=1024)
    parser.add_argument("--cores", type=int, default=2)
    asked = parser.parse_args()
    if asked.samples_per_job < 2:
        parser.error("--samples-per-job: with one sample a job, stages do not tell their time; give 2 or more")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_project(folder, asked.samples, asked.size_px)
        tell(asked, folder, *run(folder, asked.cores, asked.samples_per_job))
        began, ended = run(folder, asked.cores, asked.samples_per_job)
    print(f"a run that finds nothing to do: {ended - began:.1f} s")


if __name__ == "__main__":
    main()
