"""Speed of threshold segmentation in memory, beside the same steps written plainly with scikit-image, in one run.

    python benchmarks/segment_speed.py [--size-px 2048] [--repeats 3]

Both get the same simulated H&E field and use one thread: hematoxylin OD, Gaussian, Otsu, opening, small holes, exact
distance, h-maxima, watershed, area bounds, labels in raster order. The plain script is written twice: with
`h_maxima`, which does the same, and with `peak_local_max`, which most scripts take for its speed. Prints Mpx/s of
CPU time, the ratio, and how far the cells agree. Compilation is left out (one run before).
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"))

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import color, feature, filters, measure, morphology, segmentation

from cellseg.config import SegmentationSettings, ThresholdSettings
from cellseg.evaluate.matching import figures, score_image
from cellseg.preprocess.recipe import Recipe
from cellseg.preprocess.stain import ruifrok_vectors
from cellseg.segment.whole import segment_pixels
from cellseg.simulate import simulate_tissue
from cellseg.stages.simulate import CROWDED

MPP = 0.5


def make_recipe(height_px: int, width_px: int) -> Recipe:
    """The recipe of a simulated field: published vectors, white glass."""
    names, matrix = ruifrok_vectors("he")
    return Recipe(
        height_px=height_px, width_px=width_px, channel_names=("red", "green", "blue"), dtype="uint8", is_rgb=True,
        mpp=MPP, mpp_source="benchmark", stain="he", channel=None, background=(255.0,) * 3, low=(0.0,) * 3,
        high=(255.0,) * 3, gray_low=0.0, gray_high=255.0, gray_contrast=200.0, gamma=1.0, stain_names=names,
        stain_matrix=matrix, dark_eosin_share=0.0, tissue_block_px=32, assessable=True, notes=(),
    )  # fmt: skip


def plain(pixels: NDArray[np.uint8], settings: ThresholdSettings, *, exact_maxima: bool) -> NDArray[np.int32]:
    """The chain as a careful user would write it with scikit-image and scipy."""
    stain = filters.gaussian(color.rgb2hed(pixels)[..., 0], settings.smooth_um / MPP)
    threshold = filters.threshold_otsu(stain)
    background = stain[stain <= threshold].mean()
    mask = stain > background + settings.factor * (threshold - background)
    mask = ndimage.binary_opening(mask, morphology.disk(round(settings.open_um / MPP)))
    mask = morphology.remove_small_holes(mask, max_size=round((settings.max_hole_um / MPP) ** 2))
    depth = ndimage.distance_transform_edt(mask)
    if exact_maxima:
        # h_maxima wants integers of one step: the same 1/64 px as ours
        peaks = morphology.h_maxima(np.round(depth * 64).astype(np.int32), round(settings.split_depth_um / MPP * 64))
    else:
        peaks = np.zeros(mask.shape, bool)
        peaks[tuple(feature.peak_local_max(depth, min_distance=5, labels=measure.label(mask)).T)] = True
    labels = segmentation.watershed(-depth, measure.label(peaks), mask=mask)
    area_um2 = np.bincount(labels.ravel()) * MPP**2
    labels[((area_um2 < settings.min_area_um2) | (area_um2 > settings.max_area_um2))[labels]] = 0
    return segmentation.relabel_sequential(labels)[0]


def best_of(function: Callable[[], NDArray[np.generic]], repeats: int) -> tuple[float, NDArray[np.generic]]:
    """Least CPU time of some runs, s, and the last result."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        result = function()
        seconds.append(time.process_time() - start)
    return min(seconds), result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size-px", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    settings = SegmentationSettings().for_stain("he")
    simulated = simulate_tissue(given.size_px, given.size_px, tissue=CROWDED, seed=1)
    mpx = given.size_px**2 / 1e6
    recipe = make_recipe(given.size_px, given.size_px)
    segment_pixels(simulated.pixels[:256, :256], recipe=make_recipe(256, 256), settings=settings)
    print(f"{mpx:.1f} Mpx, {simulated.labels.max()} nuclei, one thread, CPU time")
    ours, found = best_of(lambda: segment_pixels(simulated.pixels, recipe=recipe, settings=settings), given.repeats)
    rows = [("cellseg", ours, found)]
    rows.append(("scikit-image, h_maxima", *best_of(lambda: plain(simulated.pixels, settings, exact_maxima=True), 1)))
    peaks = best_of(lambda: plain(simulated.pixels, settings, exact_maxima=False), given.repeats)
    rows.append(("scikit-image, peak_local_max", *peaks))
    print(f"{'':30} {'Mpx/s':>8} {'cells/s':>9} {'ratio':>7} {'cells':>7} {'F1@0.5 to truth':>16}")
    for name, seconds, labels in rows:
        f1 = figures([score_image(simulated.labels, labels.astype(np.uint32))])["f1@0.5"]
        n_cells = int(labels.max())
        print(f"{name:30} {mpx / seconds:8.2f} {n_cells / seconds:9.0f} {seconds / ours:7.1f} {n_cells:7d} {f1:16.3f}")


if __name__ == "__main__":
    main()
