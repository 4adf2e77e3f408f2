"""Cells measured per second of CPU time against `skimage.measure.regionprops_table`, one thread, arrays in memory.

    python benchmarks/measure_speed.py [--cells 1000 10000 100000] [--slide-cells 160000]

Nuclei are turned ellipses (mean area about 450 px) with waves and noise in a field that grows with their number. Three
figures of ours stand beside one of scikit-image's: the shared columns (families shape and intensity of one gray
channel, which hold more than regionprops is asked for: quantiles, least Feret diameter, convex area), the default
families of that channel, and those of an H&E image (3 channels, gray, 2 stains: 207 columns, cytoplasm among them). All
are from the same label image in one run; the best of three runs of ours, one of scikit-image's. Compiling is left out:
a small field is measured first. Peak memory is that of the whole process, so each size is measured in a process of its
own.

Last, the default families of a slide on disk by the stage itself, wall time with one worker and with two.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from nuclei import recipe_of, synthetic_labels, synthetic_pixels
from skimage.measure import regionprops_table

from cellseg.io.labels import STRIP_PX, write_labels
from cellseg.measure.window import measure_image
from cellseg.measure_config import MeasureSettings
from cellseg.stages.measure import measure_cells

SHARED = (
    "label", "area", "centroid", "bbox", "perimeter_crofton", "equivalent_diameter_area", "axis_major_length",
    "axis_minor_length", "orientation", "eccentricity", "solidity", "extent", "feret_diameter_max", "intensity_mean",
    "intensity_min", "intensity_max",
)  # fmt: skip


def cpu_seconds(act: Callable[[], object], repeats: int = 1) -> float:
    """The least CPU time of some runs."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        act()
        times.append(time.process_time() - start)
    return min(times)


def compare(n_cells: int) -> None:
    """Measure one size and print its line."""
    some = ("shape", "intensity")
    small = synthetic_pixels(synthetic_labels(100))
    for pixels in (small, np.ascontiguousarray(small[..., :1])):
        measure_image(synthetic_labels(100), pixels, recipe=recipe_of(pixels))
    labels = synthetic_labels(n_cells)
    colour = synthetic_pixels(labels)
    gray = np.ascontiguousarray(colour[..., :1])
    cases = {
        "shared": (gray, MeasureSettings(families=some, ring_um=0)),
        "default": (gray, MeasureSettings()),
        "default, H&E": (colour, MeasureSettings()),
    }
    ours = {
        name: cpu_seconds(lambda p=pixels, s=settings: measure_image(labels, p, recipe=recipe_of(p), settings=s), 3)
        for name, (pixels, settings) in cases.items()
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    theirs = cpu_seconds(lambda: regionprops_table(labels, gray[..., 0], properties=SHARED))
    rates = "".join(f"{n_cells / seconds:>14,.0f}" for seconds in (*ours.values(), theirs))
    print(f"{n_cells:>8,}{(labels > 0).sum() / n_cells:>9.0f}{rates}{theirs / ours['shared']:>8.0f}x{peak:>10,.0f}")


def compare_workers(n_cells: int) -> None:
    """Wall seconds of the stage with one worker and with two, the best of two runs each."""
    labels = synthetic_labels(n_cells)
    pixels = synthetic_pixels(labels)
    recipe, height, width = recipe_of(pixels), *labels.shape
    with tempfile.TemporaryDirectory() as name:
        image, label_file, out = (Path(name) / file for file in ("slide.tif", "labels.ome.tif", "cells.parquet"))
        tifffile.imwrite(image, pixels, tile=(512, 512), photometric="rgb", compression="zlib")
        strips = (labels[y : y + STRIP_PX] for y in range(0, height, STRIP_PX))
        write_labels(label_file, strips, height_px=height, width_px=width, mpp=recipe.mpp)
        seconds = []
        for workers in (1, 2, 1, 2):
            start = time.perf_counter()
            measure_cells(
                image, label_file, out, recipe=recipe, settings=MeasureSettings(), sample="slide", workers=workers
            )
            seconds.append(time.perf_counter() - start)
    one, two = min(seconds[::2]), min(seconds[1::2])
    print(f"\n{n_cells:,} nuclei on {height:,} x {width:,} px, default families: {one:.1f} s, two workers {two:.1f} s:")
    print(f"{one / two:.2f} times as fast; {n_cells / two:,.0f} cells/s")


def main() -> None:
    """Print one line for each number of cells."""
    parser = argparse.ArgumentParser(description="Cells measured per second of CPU time, one thread.")
    parser.add_argument("--cells", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--slide-cells", type=int, default=160_000, help="of the slide for the workers; 0: none")
    given = parser.parse_args()
    sizes = given.cells
    head = "".join(f"{name:>14}" for name in ("shared", "default", "default, H&E", "regionprops"))
    print("cells per second of CPU time, one thread; peak memory of ours, MB (image and labels in memory)")
    print(f"{'cells':>8}{'area px':>9}{head}{'ratio':>9}{'peak':>10}")
    for n_cells in sizes:
        process = multiprocessing.get_context("spawn").Process(target=compare, args=(n_cells,))
        process.start()
        process.join()
    if given.slide_cells:
        compare_workers(given.slide_cells)


if __name__ == "__main__":
    main()
