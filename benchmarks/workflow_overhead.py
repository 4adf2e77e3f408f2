"""What the workflow itself costs: the share of the cores' time that does not go into the stages of samples.

    python benchmarks/workflow_overhead.py --samples 1000 --samples-per-job 250 --cores 2

The samples are simulated slides of 256 x 256 px. The workflow's own share is what of wall time x cores is not science.
Science is the time within the stages, as the jobs of a batch write it into their logs, and the jobs of reference and
summary, as snakemake's benchmarks have it; so snakemake, the start of every job's process and idle cores count as the
workflow's own. With one sample a job, stages do not tell their time, and only the time in jobs is shown.
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

REPOSITORY = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
N_IMAGES = 20


def make_project(folder: Path, n_samples: int) -> None:
    """Slides of 256 x 256 px, a sheet of `n_samples` of them and the default settings."""
    for number in range(min(N_IMAGES, n_samples)):
        size, seed = ["--size-px", "256"], ["--seed", str(number)]
        name = ["--name", f"image_{number}"]
        subprocess.run([BIN / "cellseg", "simulate", folder, *name, *size, *seed], check=True, capture_output=True)
    lines = [f"s{number}\timage_{number % N_IMAGES}.tif\t0.5" for number in range(n_samples)]
    (folder / "samples.tsv").write_text("\n".join(["sample\tpath\tmpp", *lines]) + "\n")
    shutil.copy(REPOSITORY / "config.yaml", folder)


def seconds_of_jobs(results: Path, *rules: str) -> float:
    """Wall time of all jobs of these rules, from snakemake's benchmarks."""
    seconds = 0.0
    for rule in rules:
        for path in [results / "benchmarks" / f"{rule}.tsv", *(results / "benchmarks" / rule).glob("*.tsv")]:
            if path.is_file():
                with path.open(newline="") as stream:
                    seconds += sum(float(row["s"]) for row in csv.DictReader(stream, delimiter="\t"))
    return seconds


def seconds_of_stages(results: Path) -> dict[str, float]:
    """Seconds within each stage of all samples, from the logs of the jobs of a batch."""
    seconds: dict[str, float] = {}
    for path in [*results.glob("logs/look/*.log"), *results.glob("logs/judge/*.log")]:
        for stage, spent in re.findall(r"^(\w+): \d+ samples, ([\d.]+) s$", path.read_text(), re.M):
            seconds[stage] = seconds.get(stage, 0.0) + float(spent)
    return seconds


def run(folder: Path, cores: int, samples_per_job: int) -> float:
    """Seconds of one run of the workflow."""
    command = [BIN / "snakemake", "-s", REPOSITORY / "Snakefile", "--cores", str(cores), "--quiet"]
    command += ["--config", f"compute={{samples_per_job: {samples_per_job}}}"]
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=os.environ | single)
    return time.perf_counter() - start


def main() -> None:
    """Print the run's time, what of it was science, the workflow's own share, and a run that finds nothing to do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--samples-per-job", type=int, default=50)
    parser.add_argument("--cores", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_project(folder, asked.samples)
        wall, again = (run(folder, asked.cores, asked.samples_per_job) for _ in range(2))
        results = folder / "results"
        stages = seconds_of_stages(results)
        inside = seconds_of_jobs(
            results, *[path.name.removesuffix(".tsv") for path in (results / "benchmarks").iterdir()]
        )
        rest = seconds_of_jobs(results, "reference", "summary")
    print(f"{asked.samples} samples, {asked.samples_per_job} a job, {asked.cores} cores: {wall:.1f} s")
    print(f"in jobs, with the starts of their processes: {inside:.1f} s")
    if stages:
        for stage, seconds in stages.items():
            print(f"    {stage:12} {seconds:8.1f} s, {1000 * seconds / asked.samples:6.1f} ms a sample")
        science, all_time = sum(stages.values()) + rest, wall * asked.cores
        print(f"science: {science:.1f} s of {all_time:.1f} s on all cores")
        print(f"the workflow's own share: {100 * (all_time - science) / all_time:.1f} %")
    print(f"a run that finds nothing to do: {again:.1f} s")


if __name__ == "__main__":
    main()
