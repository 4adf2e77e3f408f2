"""Does it matter how a slide is cut? The cells that Mask R-CNN finds in windows against those of the slide as a whole.

    python benchmarks/seams.py [--weights FILE] [--size-px 1152] [--windows 512 1024] [--workers 2]
        [--image FILE --stain he --mpp 0.5]

A simulated H&E field of over 3,000 crowded nuclei (or an image of yours) goes through the stages of the pipeline, once
in a single window and once for each window size (px of the network). Printed for every size: `missed`, cells of the
whole that no cell of the windows matches at IoU >= 0.5; `extra`, cells that match none of the whole; `doubled`, cells
that lie (half of the smaller one) on a cell that has another already; and the share of matched cells whose masks agree
at IoU >= 0.9. `at cut`: of missed and extra, those whose score is within 0.05 of `min_score`, which context can tip.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellseg.config import SegmentationSettings
from cellseg.evaluate.matching import Overlaps, match_instances
from cellseg.io.table import read_table
from cellseg.network_config import MaskRcnnSettings
from cellseg.preprocess.recipe import Recipe
from cellseg.stages.evaluate import format_rows, read_overlaps
from cellseg.stages.preprocess import preprocess_slide
from cellseg.stages.segment import instances_path, segment_slide
from cellseg.stages.simulate import CROWDED, simulate_slide

WHOLE_PX = 8192
NEAR_CUT = 0.05
COLUMNS = (
    "window", "n_windowed", "n_whole", "n_missed", "n_extra", "n_doubled", "n_at_cut", "n_joined", "iou>=0.9",
    "least_iou",
)  # fmt: skip


class Slide(NamedTuple):
    """What is segmented again and again."""

    image: Path
    recipe: Recipe
    tissue: Path
    workers: int


def main() -> None:
    """Print one row a window size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="nucleus")
    parser.add_argument("--windows", type=int, nargs="+", default=[512, 1024], help="px of the network")
    parser.add_argument("--size-px", type=int, default=1152, help="side of the simulated field at 0.5 um/px")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder that keeps the label images")
    parser.add_argument("--image", type=Path, help="instead of the simulated field")
    parser.add_argument("--stain", default="he")
    parser.add_argument("--mpp", type=float, default=0.5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        image = given.image or folder / "field.tif"
        if not given.image:
            size = given.size_px
            n_nuclei = simulate_slide(image, height_px=size, width_px=size, seed=5, tissue=CROWDED, compression="zlib")
            print(f"simulated field, {size} x {size} px, {n_nuclei} nuclei", flush=True)
        recipe = preprocess_slide(image, folder / "recipe", stain=given.stain, mpp=given.mpp)
        slide = Slide(image, recipe, folder / "recipe" / "tissue.png", given.workers)
        whole = find_cells(slide, folder / "whole.ome.tif", given.weights, WHOLE_PX)
        rows = []
        for window_px in given.windows:
            labels = find_cells(slide, folder / f"{window_px}.ome.tif", given.weights, window_px)
            rows.append({"window": window_px} | compare(labels, whole, MaskRcnnSettings().min_score))
        print(format_rows(rows, COLUMNS))


def find_cells(slide: Slide, labels: Path, weights: str, window_px: int) -> Path:
    """The label image for one window size."""
    settings = SegmentationSettings(method="maskrcnn", maskrcnn=MaskRcnnSettings(weights=weights, window_px=window_px))
    segment_slide(
        slide.image, labels, recipe=slide.recipe, tissue=slide.tissue, settings=settings, workers=slide.workers
    )
    return labels


def compare(windowed: Path, whole: Path, min_score: float) -> dict[str, float]:
    """What differs between two label images of one slide."""
    overlaps = read_overlaps(windowed, whole)  # "true" is the whole
    matching = match_instances(overlaps, 0.5)
    missed = np.setdiff1d(overlaps.true_ids, matching.true_ids)
    extra = np.setdiff1d(overlaps.predicted_ids, matching.predicted_ids)
    scores, joined = read_instances(windowed)
    whole_scores, _ = read_instances(whole)
    near = np.concatenate([whole_scores[missed - 1], scores[extra - 1]]) < min_score + NEAR_CUT
    ious = matched_ious(overlaps)
    return {
        "n_windowed": overlaps.predicted_ids.size, "n_whole": overlaps.true_ids.size, "n_missed": missed.size,
        "n_extra": extra.size, "n_doubled": count_doubled(overlaps), "n_at_cut": int(near.sum()),
        "n_joined": int(joined.sum()), "iou>=0.9": float((ious >= 0.9).mean()), "least_iou": float(ious.min()),
    }  # fmt: skip


def read_instances(labels: Path) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Score and seam flag of every cell."""
    table = read_table(instances_path(labels), ["score", "seam_joined"])
    return table["score"].to_numpy(), table["seam_joined"].to_numpy(zero_copy_only=False)


def matched_ious(overlaps: Overlaps) -> NDArray[np.float64]:
    """IoU of every matched pair; at 0.5 and over a cell has one partner at most."""
    ious = overlaps.ious
    return np.asarray(ious[ious > 0.5], np.float64) if (ious > 0.5).any() else np.zeros(1)


def count_doubled(overlaps: Overlaps) -> int:
    """Cells of the windows beyond the first that lie on one cell of the whole."""
    smaller = np.minimum(overlaps.true_areas[overlaps.true_index], overlaps.predicted_areas[overlaps.predicted_index])
    on = overlaps.true_index[overlaps.intersections >= 0.5 * smaller]
    return int(np.maximum(np.bincount(on, minlength=1) - 1, 0).sum())


if __name__ == "__main__":
    main()
