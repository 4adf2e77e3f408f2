"""The most memory of each stage by tile size and number of workers, against what `--memory-mb` allows for it.

    python benchmarks/memory.py [--side 8192] [--folder DIR] [--stages preprocess segment ...]
    python benchmarks/memory.py --budgets 700 1000 2000 4000 [--workers 8]

On a crowded slide (H&E, tissue throughout, 2,600 nuclei a Mpx). The first form is what the figures in
cellseg/budget.py come from; the second gives each stage a budget and prints what it took of it. Memory is the
resident set of the command and all its children, looked at every 50 ms.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from scale import run

from cellseg.budget import NEEDS, Cut, fit_tiles
from cellseg.stages.simulate import simulate_slide

CUTS = [Cut(512, 1), Cut(2048, 1), Cut(2048, 2), Cut(2048, 4), Cut(4096, 2)]


def commands(image: Path, out: Path, stages: list[str]) -> dict[str, list[str]]:
    """The command of each stage on what `prepare` made; those of a network on a corner, whose windows are as large."""
    labels, cells, recipe = out / "labels.ome.tif", out / "tables" / "cells.parquet", out / "recipe"
    corner, small = image.with_name("corner.tif"), out / "corner"
    known = {
        "preprocess": [str(image), "-o", str(out / "again"), "--stain", "he"],
        "segment": [str(image), "-o", str(out / "again" / "labels.ome.tif"), "--recipe", str(recipe)],
        "maskrcnn": [str(corner), "-o", str(small / "l.ome.tif"), "--recipe", str(small), "--method", "maskrcnn"],
        "tissue": [str(corner), "-o", str(small / "t.ome.tif"), "--recipe", str(small)],
        "measure": [str(image), str(labels), "-o", str(out / "again.parquet"), "--recipe", str(recipe)],
        "polygons": [str(labels), str(cells), "-o", str(out / "again.geojson.gz")],
        "integrity": [str(labels), str(cells), "-o", str(out / "again.json"), "--recipe", str(recipe)],
    }
    names = {"maskrcnn": "segment"}
    return {stage: [names.get(stage, stage), *known[stage]] for stage in stages}


def prepare(folder: Path, side_px: int) -> tuple[Path, Path]:
    """A slide and the results that stages start from."""
    image, out = folder / "slide.tif", folder / "results"
    if not (out / "tables" / "cells.parquet").exists():
        simulate_slide(image, height_px=side_px, width_px=side_px, seed=1)
        simulate_slide(folder / "corner.tif", height_px=2048, width_px=2048, seed=2)
        labels, measured, verdicts = out / "labels.ome.tif", out / "measurements.parquet", out / "verdicts.parquet"
        recipe = ["--recipe", str(out / "recipe")]
        for command in (
            ["preprocess", str(image), "-o", str(out / "recipe"), "--stain", "he"],
            ["preprocess", str(folder / "corner.tif"), "-o", str(out / "corner"), "--stain", "he"],
            ["segment", str(image), "-o", str(labels), *recipe],
            ["measure", str(image), str(labels), "-o", str(measured), *recipe],
            ["classify", str(measured), "-o", str(verdicts), *recipe],
            ["tables", str(measured), str(verdicts), "-o", str(out / "tables")],
        ):
            run(*command)
    return image, out


def main() -> None:
    """Print a line a run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=8192, help="px of the slide")
    parser.add_argument("--folder", type=Path, help="keep the slide and results here; default: a temporary folder")
    parser.add_argument("--stages", nargs="+", default=list(NEEDS), choices=list(NEEDS))
    parser.add_argument("--budgets", type=int, nargs="+", help="MB")
    parser.add_argument("--workers", type=int, default=8, help="with --budgets: how many are asked for")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for stage, command in commands(*prepare(folder, given.side), given.stages).items():
            for budget in given.budgets or ():
                cut = fit_tiles(stage, budget, tile_px=2048, workers=given.workers)
                _, peak = run(*command, "--memory-mb", str(budget), "--workers", str(given.workers))
                took = f"{peak * 2**20 / 1e6:6.0f} of {budget:5} MB"
                print(f"{stage:11} {took}, tiles of {cut.tile_px} px, {cut.workers} workers", flush=True)
            for cut in () if given.budgets else CUTS:
                _, peak = run(*command, "--tile-px", str(cut.tile_px), "--workers", str(cut.workers))
                took, expected = f"{peak * 2**20 / 1e6:6.0f} MB", NEEDS[stage].megabytes(cut)
                print(
                    f"{stage:11} {cut.tile_px:5} px x {cut.workers} workers: {took}, expected {expected:6.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
