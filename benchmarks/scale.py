"""The whole chain on large slides: seconds per stage and per Mpx, and the most memory of all processes together.

    python benchmarks/scale.py [--sizes 10000 20000] [--workers 2] [--folder DIR]

Simulates an H&E slide of each size (tiled JPEG TIFF, about 2,600 nuclei a Mpx) and runs every stage as its own
command, as the workflow does. Memory is the resident set of the command and all its children, looked at every 50 ms.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from cellseg.stages.simulate import simulate_slide

MIB = 2**20


def run(*arguments: str) -> tuple[float, float]:
    """Wall seconds and peak MiB of a command and its children."""
    start = time.perf_counter()
    process = psutil.Popen([sys.executable, "-m", "cellseg", *arguments], stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        try:
            family = [process, *process.children(recursive=True)]
            peak = max(peak, sum(one.memory_info().rss for one in family))
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"cellseg {arguments[0]} ended with {process.returncode}")
    return time.perf_counter() - start, peak / MIB


def chain(image: Path, out: Path, workers: int) -> list[tuple[str, float, float]]:
    """Stage, seconds and peak MiB of the whole chain on one slide."""
    labels, measured, verdicts = out / "labels.ome.tif", out / "measurements.parquet", out / "verdicts.parquet"
    recipe, reference, tables = out / "recipe", out / "reference.json", out / "tables"
    cells, polygons = tables / "cells.parquet", tables / "cells.geojson.gz"
    threads = ("--workers", str(workers))
    commands = [
        ("preprocess", str(image), "-o", str(recipe), "--stain", "he", *threads),
        ("segment", str(image), "-o", str(labels), "--recipe", str(recipe), *threads),
        ("measure", str(image), str(labels), "-o", str(measured), "--recipe", str(recipe), *threads),
        ("reference", str(measured), "-o", str(reference), "--stain", "he"),
        ("classify", str(measured), "-o", str(verdicts), "--recipe", str(recipe), "--reference", str(reference)),
        ("tables", str(measured), str(verdicts), "-o", str(tables)),
        ("overlay", str(image), str(labels), str(cells), "-o", str(tables), "--recipe", str(recipe)),
        ("polygons", str(labels), str(cells), "-o", str(polygons), *threads),
        ("integrity", str(labels), str(cells), str(polygons), "-o", str(tables / "integrity.json"),
         "--recipe", str(recipe)),
    ]  # fmt: skip
    return [(command[0], *run(*command)) for command in commands]


def main() -> None:
    """Print a table a size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10000, 20000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keep slides and results here; default: a temporary folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        # the first run compiles the loops; it is not counted
        small = folder / "warm.tif"
        simulate_slide(small, height_px=1024, width_px=1024, seed=0)
        chain(small, folder / "warm", given.workers)
        for size_px in given.sizes:
            image = folder / f"slide_{size_px}.tif"
            n_nuclei = simulate_slide(image, height_px=size_px, width_px=size_px, seed=1)
            stages = chain(image, folder / f"results_{size_px}", given.workers)
            mpx = size_px**2 / 1e6
            print(f"\n{size_px} x {size_px} px, {mpx:.0f} Mpx, {n_nuclei} nuclei, {given.workers} workers")
            for name, seconds, peak in stages:
                print(f"{name:12} {seconds:8.1f} s {seconds / mpx:8.4f} s/Mpx {peak:8.0f} MiB")
            seconds = sum(stage[1] for stage in stages)
            print(f"{'all':12} {seconds:8.1f} s {seconds / mpx:8.4f} s/Mpx {max(s[2] for s in stages):8.0f} MiB")


if __name__ == "__main__":
    main()
