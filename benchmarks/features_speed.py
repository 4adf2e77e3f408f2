"""Cells measured per second of CPU time, family by family, beside cp_measure and Nyxus; one thread, arrays in memory.

    python -m venv peers && peers/bin/pip install cp_measure nyxus
    python benchmarks/features_speed.py --peers peers/bin/python [--data ../shared/data] [--cells 1000 10000 100000]

One gray channel. The peers measure the first and the smallest field alone (their speed falls or stays with more cells)
in an environment of their own, with the arrays that ours measured, in the same run. Ours are the best of three runs,
compiled before. Columns are those of the family and channel; positions are in all of ours. Peak memory is that of the
process that measured everything once.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
from nuclei import real_field, recipe_of, synthetic_labels, synthetic_pixels

from cellseg.measure.layout import measured_columns
from cellseg.measure.window import measure_image
from cellseg.measure_config import Family, MeasureSettings

FAMILIES: dict[str, tuple[str, ...]] = {
    "shape": ("shape", "form", "moments"),
    "zernike": ("zernike",),
    "intensity": ("intensity", "distribution"),
    "radial": ("radial",),
    "radial_zernike": ("radial_zernike",),
    "granularity": ("granularity",),
    "haralick": ("haralick",),
    "run_length": ("run_length",),
    "size_zone": ("size_zone",),
    "dependence": ("dependence",),
    "neighborhood": ("neighborhood", "touching"),
    "outline": ("outline", "fourier"),
    "gradient": ("gradient",),
    "lbp": ("lbp",),
    "named sets": ("wdbc10", "erythrocyte", "chromatin"),
    "graph": ("delaunay", "contrast", "pleomorphism"),
    # no peer has a network of ours
    "all": tuple(family for family in get_args(Family) if family != "appearance"),
}
"""Ours by the peers' families; those that they lack stand last."""


def cpu_seconds(act: Callable[[], object], repeats: int) -> float:
    """The least CPU time of some runs."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        act()
        times.append(time.process_time() - start)
    return min(times)


def settings_of(family: str) -> MeasureSettings:
    """Of these families alone, without cytoplasm; contrast needs the shapes it contrasts."""
    chosen = FAMILIES[family]
    distances = (1, 2, 4) if family == "all" else (1,)
    extra = ("shape",) if "contrast" in chosen and "shape" not in chosen else ()
    return MeasureSettings.model_validate(
        {
            "families": (*extra, *chosen), "ring_um": 0, "texture_each_direction": True,
            "texture_distances_px": distances,
        }
    )  # fmt: skip


def field_of(name: str, n_cells: int, data: Path | None) -> tuple[Any, Any]:
    """Labels (H, W) and gray pixels (H, W, 1)."""
    if name == "real" and data is not None:
        return real_field(data, n_cells)
    labels = synthetic_labels(n_cells)
    return labels, np.ascontiguousarray(synthetic_pixels(labels)[..., :1])


def time_ours(name: str, n_cells: int, data: Path | None, repeats: int, queue: Any) -> None:
    """Seconds, columns and peak memory of each family, put into the queue."""
    small = field_of(name, 200, data)
    labels, gray = field_of(name, n_cells, data)
    found = {}
    for family in FAMILIES:
        settings = settings_of(family)
        measure_image(*small, recipe=recipe_of(small[1]), settings=settings)
        recipe = recipe_of(gray)
        seconds = cpu_seconds(lambda s=settings, r=recipe: measure_image(labels, gray, recipe=r, settings=s), repeats)
        chosen = set(FAMILIES[family])
        found[family] = (seconds, sum(column.family in chosen for column in measured_columns(recipe, settings)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    queue.put((len(np.unique(labels)) - 1, found, peak))


def time_peers(python: Path, name: str, n_cells: int, data: Path | None) -> dict[str, Any]:
    """What `peers.py` says of the same field."""
    labels, gray = field_of(name, n_cells, data)
    with tempfile.TemporaryDirectory() as folder:
        given, said = Path(folder) / "field.npz", Path(folder) / "peers.json"
        np.savez(given, labels=labels, gray=gray[..., 0])
        script = Path(__file__).with_name("peers.py")
        subprocess.run([python, script, given, said], check=True, stdout=subprocess.DEVNULL)
        return dict(json.loads(said.read_text(encoding="utf-8")))


def print_field(name: str, n_cells: int, ours: dict[str, tuple[float, int]], peers: dict[str, Any] | None) -> None:
    """A line a family."""
    tools = ("cp_measure", "nyxus") if peers else ()
    head = "".join(f"{tool + ' columns':>20}{'cells/s':>10}{'ours/theirs':>13}" for tool in tools)
    print(f"\n{name}: {n_cells:,} nuclei\n{'family':16}{'columns':>9}{'cells/s':>12}{head}")
    for family, (seconds, n_columns) in ours.items():
        line = f"{family:16}{n_columns:>9}{n_cells / seconds:>12,.0f}"
        for tool in tools:
            if theirs := peers and peers[tool].get(family):
                rate = peers["n_cells"] / theirs["seconds"]
                line += f"{theirs['columns']:>20}{rate:>10,.0f}{n_cells / seconds / rate:>12.0f}x"
            else:
                line += " " * 43
        print(line.rstrip())


def main() -> None:
    """Print a table a field."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--peers", type=Path, help="python of an environment with cp_measure and nyxus")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CELLSEG_DATA", "../shared/data")))
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    data = given.data if (given.data / "dsb2018").is_dir() else None
    fields = [*([("real", 1_000)] if data else []), *(("synthetic", n) for n in given.cells)]
    context = multiprocessing.get_context("spawn")
    for number, (name, size) in enumerate(fields):
        queue = context.Queue()
        process = context.Process(target=time_ours, args=(name, size, data, given.repeats, queue))
        process.start()
        n_cells, ours, peak = queue.get()
        process.join()
        compared = given.peers and (number == 0 or size == min(given.cells))
        print_field(name, n_cells, ours, time_peers(given.peers, name, size, data) if compared else None)
        print(f"peak memory of the process, image and labels in it: {peak:,.0f} MB")


if __name__ == "__main__":
    main()
