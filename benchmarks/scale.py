"""The whole chain on large slides: seconds per stage and per Mpx, and the most memory of all processes together.

    python benchmarks/scale.py [--sizes 10000 20000] [--workers 2] [--folder DIR]
    python benchmarks/scale.py --whole-slide --sizes 10000 30000 100000
    python benchmarks/scale.py --whole-slide --sizes 10000 30000 --method maskrcnn

Simulates an H&E slide of each size (tiled JPEG TIFF) and runs every stage as its own command, as the workflow does:
tissue throughout, at 0.5 um with about 2,600 nuclei a Mpx; or, with `--whole-slide`, as a 40x scanner gives it: at
0.25 um, a pyramid, a third of it tissue with 5,000 nuclei a mm2, the rest glass. Memory is the resident set of the
command and all its children, looked at every 50 ms.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from cellseg.simulate import Tissue
from cellseg.stages.simulate import simulate_slide

MIB = 2**20
TISSUE_SHARE = 1 / 3
WHOLE_SLIDE = {
    "mpp": 0.25, "tissue": Tissue(nuclei_per_mm2=5000.0, abnormal_share=0.1), "tissue_share": TISSUE_SHARE,
    "pyramid": True,
}  # fmt: skip


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


def chain(image: Path, out: Path, workers: int, method: str) -> list[tuple[str, float, float]]:
    """Stage, seconds and peak MiB of the whole chain on one slide."""
    labels, measured, verdicts = out / "labels.ome.tif", out / "measurements.parquet", out / "verdicts.parquet"
    recipe, reference, tables = out / "recipe", out / "reference.json", out / "tables"
    cells, polygons = tables / "cells.parquet", tables / "cells.geojson.gz"
    threads = ("--workers", str(workers))
    commands = [
        ("preprocess", str(image), "-o", str(recipe), "--stain", "he", *threads),
        ("segment", str(image), "-o", str(labels), "--recipe", str(recipe), "--method", method, *threads),
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
    parser.add_argument("--whole-slide", action="store_true", help="a third of the slide is tissue, the rest glass")
    parser.add_argument("--method", default="threshold", help="of segmentation")
    parser.add_argument("--folder", type=Path, help="keep slides and results here; default: a temporary folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        # the first run compiles the loops; it is not counted
        small = folder / "warm.tif"
        simulate_slide(small, height_px=1024, width_px=1024, seed=0)
        chain(small, folder / "warm", given.workers, given.method)
        for size_px in given.sizes:
            image = folder / f"slide_{size_px}.tif"
            options = WHOLE_SLIDE if given.whole_slide else {}
            n_nuclei = simulate_slide(image, height_px=size_px, width_px=size_px, seed=1, **options)
            stages = chain(image, folder / f"results_{size_px}", given.workers, given.method)
            mpx = size_px**2 / 1e6 * (TISSUE_SHARE if given.whole_slide else 1)
            about = f"{mpx:.0f} Mpx of tissue, {n_nuclei} nuclei, {given.method}, {given.workers} workers"
            print(f"\n{size_px} x {size_px} px, {about}")
            for name, seconds, peak in stages:
                print(f"{name:12} {seconds:8.1f} s {seconds / mpx:8.4f} s/Mpx {peak:8.0f} MiB")
            seconds = sum(stage[1] for stage in stages)
            print(f"{'all':12} {seconds:8.1f} s {seconds / mpx:8.4f} s/Mpx {max(s[2] for s in stages):8.0f} MiB")


if __name__ == "__main__":
    main()
