"""Cells measured per second of CPU time against `skimage.measure.regionprops_table`, one thread, arrays in memory.

    python benchmarks/measure_speed.py [--cells 1000 10000 100000]

Nuclei are turned ellipses (mean area about 450 px) with waves and noise in a field that grows with their number. Three
figures of ours stand beside one of scikit-image's: the shared columns (families shape and intensity of one gray
channel, which hold more than regionprops is asked for: quantiles, least Feret diameter, convex area), all families of
that channel, and all families of an H&E image (3 channels, gray, 2 stains: 83 columns). All are from the same label
image in one run; the best of three runs of ours, one of scikit-image's. Compiling is left out: a small field is
measured first. Peak memory is that of the whole process, so each size is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from skimage.measure import regionprops_table

from cellseg.measure.window import measure_image
from cellseg.measure_config import MeasureSettings
from cellseg.preprocess.recipe import Recipe

SPACING_PX = 34
SHARED = (
    "label", "area", "centroid", "bbox", "perimeter_crofton", "equivalent_diameter_area", "axis_major_length",
    "axis_minor_length", "orientation", "eccentricity", "solidity", "extent", "feret_diameter_max", "intensity_mean",
    "intensity_min", "intensity_max",
)  # fmt: skip
STAIN_MATRIX = ((0.650, 0.704, 0.286), (0.072, 0.990, 0.105), (0.268, 0.570, 0.776))


def field(n_cells: int, seed: int = 0) -> NDArray[np.uint32]:
    """A square field of `n_cells` ellipses that do not touch, ids in raster order of their lattice."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(n_cells)))
    labels = np.zeros((side * SPACING_PX, side * SPACING_PX), np.uint32)
    y, x = np.mgrid[: SPACING_PX - 1, : SPACING_PX - 1] - SPACING_PX / 2
    for cell in range(n_cells):
        row, column = divmod(cell, side)
        (a, b), angle = rng.uniform(8.5, 15.5, 2), rng.uniform(0, np.pi)
        u, v = y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)
        y0, x0 = row * SPACING_PX, column * SPACING_PX
        box = labels[y0 : y0 + SPACING_PX - 1, x0 : x0 + SPACING_PX - 1]
        box[(u / a) ** 2 + (v / b) ** 2 <= 1] = cell + 1
    return labels


def texture(labels: NDArray[np.uint32], seed: int = 0) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: cells darker than their surroundings, each with its own level, waves and noise."""
    rng = np.random.default_rng(seed)
    level = rng.integers(50, 120, int(labels.max()) + 1)
    level[0] = 210
    wave = 12 * np.sin(np.arange(labels.shape[1]) / 5) * np.cos(np.arange(labels.shape[0]) / 7)[:, None]
    base = (level[labels] + wave).astype(np.float32)
    noise = rng.standard_normal(labels.shape, np.float32) * 4
    return np.stack([np.clip(base + noise + shift, 0, 255).astype(np.uint8) for shift in (0, -20, 15)], axis=2)


def recipe_of(pixels: NDArray[np.uint8]) -> Recipe:
    """A recipe for the benchmark's images."""
    n = pixels.shape[2]
    rgb = n == 3
    return Recipe(
        height_px=pixels.shape[0], width_px=pixels.shape[1],
        channel_names=("red", "green", "blue") if rgb else ("gray",),
        dtype="uint8", is_rgb=rgb, mpp=0.5, mpp_source="benchmark", stain="he" if rgb else "fluorescence", channel=None,
        background=(240.0,) * n, low=(0.0,) * n, high=(255.0,) * n, gray_low=0.0, gray_high=255.0, gray_contrast=160.0,
        gamma=1.0, stain_names=("hematoxylin", "eosin", "residual") if rgb else (),
        stain_matrix=STAIN_MATRIX if rgb else (),
        dark_eosin_share=0.0,
        tissue_block_px=32, assessable=True, notes=(),
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
    small = texture(field(100))
    for pixels in (small, np.ascontiguousarray(small[..., :1])):
        measure_image(field(100), pixels, recipe=recipe_of(pixels))
    labels = field(n_cells)
    colour = texture(labels)
    gray = np.ascontiguousarray(colour[..., :1])
    cases = {
        "shared": (gray, MeasureSettings(families=some)),
        "all, gray": (gray, MeasureSettings()),
        "all, H&E": (colour, MeasureSettings()),
    }
    ours = {
        name: cpu_seconds(lambda p=pixels, s=settings: measure_image(labels, p, recipe=recipe_of(p), settings=s), 3)
        for name, (pixels, settings) in cases.items()
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    theirs = cpu_seconds(lambda: regionprops_table(labels, gray[..., 0], properties=SHARED))
    rates = "".join(f"{n_cells / seconds:>12,.0f}" for seconds in (*ours.values(), theirs))
    print(f"{n_cells:>8,}{(labels > 0).sum() / n_cells:>9.0f}{rates}{theirs / ours['shared']:>8.0f}x{peak:>10,.0f}")


def main() -> None:
    """Print one line for each number of cells."""
    parser = argparse.ArgumentParser(description="Cells measured per second of CPU time, one thread.")
    parser.add_argument("--cells", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    sizes = parser.parse_args().cells
    head = "".join(f"{name:>12}" for name in ("shared", "all, gray", "all, H&E", "regionprops"))
    print("cells per second of CPU time, one thread; peak memory of ours, MB (image and labels in memory)")
    print(f"{'cells':>8}{'area px':>9}{head}{'ratio':>9}{'peak':>10}")
    for n_cells in sizes:
        process = multiprocessing.get_context("spawn").Process(target=compare, args=(n_cells,))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
