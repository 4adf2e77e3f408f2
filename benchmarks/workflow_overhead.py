"""What the workflow itself costs: wall time of a run on one core, less the time its jobs say they took.

Run it as `python benchmarks/workflow_overhead.py [SAMPLES]`; the samples are tiny simulated slides.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


def make_project(folder: Path, n_samples: int) -> None:
    """`n_samples` slides of 256 x 256 px, a sheet and the default settings."""
    subprocess.run([BIN / "cellseg", "simulate", folder, "--name", "s0", "--size-px", "256"], check=True)
    lines = [f"s{number}\ts0.tif\t0.5" for number in range(n_samples)]
    (folder / "samples.tsv").write_text("\n".join(["sample\tpath\tmpp", *lines]) + "\n")
    shutil.copy(REPOSITORY / "config.yaml", folder)


def job_seconds(results: Path) -> list[float]:
    """Wall time of every job, from the benchmark files."""
    seconds = []
    for path in results.glob("benchmarks/**/*.tsv"):
        with path.open(newline="") as stream:
            seconds += [float(row["s"]) for row in csv.DictReader(stream, delimiter="\t")]
    return seconds


def run(folder: Path) -> float:
    """Seconds of one run of the workflow on one core."""
    command = [BIN / "snakemake", "-s", REPOSITORY / "Snakefile", "--cores", "1", "--quiet"]
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Print the run's time, its jobs' time, what is left for each sample, and a run that finds nothing to do."""
    n_samples = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_project(folder, n_samples)
        whole, again = run(folder), run(folder)
        jobs = job_seconds(folder / "results")
    print(f"{n_samples} samples, {len(jobs)} jobs: {whole:.1f} s, of which in jobs {sum(jobs):.1f} s")
    print(f"workflow's own: {whole - sum(jobs):.1f} s, {(whole - sum(jobs)) / n_samples:.2f} s a sample")
    print(f"a run that finds nothing to do: {again:.1f} s")


if __name__ == "__main__":
    main()
