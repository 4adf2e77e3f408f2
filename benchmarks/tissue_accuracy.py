"""How right the tissue maps in the box are, by case: through the whole pipeline, beside thresholds on hematoxylin.

    python benchmarks/tissue_accuracy.py --data DIR [--split val] [--weights colon] [--mpp 1.4]
        [--json FILE] [--keep DIR]

DIR holds images/, masks/ (values 0, 1, ...: the classes of the weights) and index.csv (id, split, case), as EBHI-Seg
is laid out. Every image of the split goes through preprocessing and `cellseg tissue`; pixels without a class (glass)
count as the first class, stroma and background. Printed, for the network and for the rule: Dice, IoU and boundary F1 of
every class and of every level of groups that the weights have, pooled over pixels, with 95 % bootstrap intervals over
cases, and the confusion matrix of the classes.

The rule is hematoxylin alone (Ruifrok and Johnston 2001), smoothed: a threshold parts gland from the rest, further
thresholds part the classes of gland. Smoothing and all thresholds are fitted on the `train` images of the same folder.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.color import rgb2hed

from cellseg.io.class_map import open_class_map
from cellseg.io.weights import find_weights, read_weights
from cellseg.network_config import TissueSettings
from cellseg.segment.tissue_architecture import TissueArchitecture
from cellseg.stages.evaluate_semantic import (
    SemanticSettings,
    confusion_rows,
    format_semantic,
    score_arrays,
    semantic_rows,
)
from cellseg.stages.preprocess import preprocess_slide
from cellseg.stages.tissue import map_tissue
from cellseg.types import Window

N_BINS = 64
SIGMAS_PX = (1.0, 2.0, 4.0, 8.0)
Map = NDArray[np.uint8]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--weights", default="colon")
    parser.add_argument("--mpp", type=float, default=1.4, help="um a pixel; EBHI-Seg states none, see the model card")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="write all rows there too")
    parser.add_argument("--keep", type=Path, help="folder that keeps the maps, and cases.json")
    given = parser.parse_args()
    with (given.data / "index.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    own, train = ([row for row in rows if row["split"] == split] for split in (given.split, "train"))
    architecture = TissueArchitecture.model_validate(read_weights(find_weights(given.weights)).metadata["architecture"])
    levels = tuple({name: tuple(group) for name, group in level.items()} for level in architecture.levels)
    settings = SemanticSettings(architecture.classes, levels, architecture.classes[0])
    told: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        rule = fit_rule(given.data, train, len(settings.classes))
        finders: dict[str, Callable[[dict[str, str]], Map]] = {
            "segnet": lambda row: by_network(image_of(given.data, row), folder / row["id"], given),
            "hematoxylin": lambda row: rule(read_image(image_of(given.data, row))),
        }
        for method, find in finders.items():
            scores: dict[str, list[Any]] = {}
            for row in own:
                truth = read_mask(given.data, row)
                scores.setdefault(row["case"], []).append(score_arrays(truth, find(row), settings))
            result = semantic_rows(scores, settings, n_draws=given.draws, seed=0)
            result.cases.sort(key=lambda case: case["pixel_accuracy"])
            print(f"== {method}: {given.split}, {len(own)} images, {len(scores)} cases\n")
            print(format_semantic(result, settings) + "\n", flush=True)
            about = {"method": method, "split": given.split, "n_images": len(own), "n_cases": len(scores)}
            told += [about | row for row in result.classes]
            told += [{"method": method, "confusion": row} for row in confusion_rows(result, settings)]
    worse = rows_not_better(told)
    print(
        "better than hematoxylin in every row" if not worse else f"NOT better than hematoxylin in: {', '.join(worse)}"
    )
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(told, indent=1), encoding="utf-8")
    if given.keep:
        cases = [row | files_of(given, row) for row in own]
        (given.keep / "cases.json").write_text(json.dumps(cases, indent=1), encoding="utf-8")


def files_of(given: argparse.Namespace, row: dict[str, str]) -> dict[str, str]:
    """Where image, mask and map of a row lie."""
    kept = given.keep / row["id"] / "tissue.ome.tif"
    return {"image": str(image_of(given.data, row)), "mask": str(mask_of(given.data, row)), "map": str(kept)}


def rows_not_better(told: Sequence[dict[str, Any]]) -> list[str]:
    """Rows of classes and levels in which the network's Dice is not above the rule's."""
    dice = {(r["method"], r["level"], r["class"]): r["dice"] for r in told if "dice" in r}
    return [
        f"{level}: {name}"
        for method, level, name in dice
        if method == "segnet" and not dice["segnet", level, name] > dice["hematoxylin", level, name]
    ]


def image_of(data: Path, row: dict[str, str]) -> Path:
    """The image of a row of the index."""
    return next(path for path in (data / "images").glob(f"{row['id']}.*") if path.stem == row["id"])


def mask_of(data: Path, row: dict[str, str]) -> Path:
    """Its mask."""
    return data / "masks" / f"{row['id']}.png"


def read_image(path: Path) -> Map:
    """(H, W, 3), RGB."""
    return np.ascontiguousarray(cv2.imread(str(path), cv2.IMREAD_COLOR)[:, :, ::-1])


def read_mask(data: Path, row: dict[str, str]) -> Map:
    """(H, W) class numbers."""
    return np.asarray(cv2.imread(str(mask_of(data, row)), cv2.IMREAD_UNCHANGED), np.uint8)


def by_network(image: Path, folder: Path, given: argparse.Namespace) -> Map:
    """The map that the pipeline makes, at the size of the image; no class counts as the first."""
    recipe = preprocess_slide(image, folder / "recipe", stain="he", mpp=given.mpp)
    out = folder / "tissue.ome.tif"
    settings = TissueSettings(weights=given.weights)
    map_tissue(image, out, recipe=recipe, tissue=folder / "recipe" / "tissue.png", settings=settings, workers=1)
    with open_class_map(out) as made:
        classes = made.read(Window(0, made.height, 0, made.width))
    if classes.shape != (recipe.height_px, recipe.width_px):
        classes = cv2.resize(classes, (recipe.width_px, recipe.height_px), interpolation=cv2.INTER_NEAREST)
    return np.where(classes == 255, 0, classes).astype(np.uint8)


def fit_rule(data: Path, rows: Sequence[dict[str, str]], n_classes: int) -> Callable[[Map], Map]:
    """The smoothing and the thresholds on hematoxylin that do best on these images."""
    images = [read_image(image_of(data, row)) for row in rows]
    masks = [read_mask(data, row) for row in rows]
    best: tuple[float, float, int, NDArray[np.int64]] | None = None
    for sigma in SIGMAS_PX:
        counts = np.zeros((n_classes, N_BINS), np.int64)
        for image, mask in zip(images, masks, strict=True):
            np.add.at(counts, (mask, bins(image, sigma)), 1)
        gland, rest = counts[1:].sum(axis=0), counts[0]
        # everything from this bin on is gland
        inside, outside = gland[::-1].cumsum()[::-1], rest[::-1].cumsum()[::-1]
        missed = gland.sum() - inside
        kept = rest.sum() - outside
        dice = inside / (inside + outside + gland.sum()) + kept / (kept + missed + rest.sum())
        at = int(dice.argmax())
        if best is None or dice[at] > best[0]:
            best = float(dice[at]), sigma, at, counts
    if best is None:
        raise SystemExit("no smoothing to choose from")
    _, sigma, cut, counts = best
    shares = counts[1:] / np.maximum(counts[1:].sum(axis=1, keepdims=True), 1)
    table = (1 + shares.argmax(axis=0)).astype(np.uint8)
    table[:cut] = 0
    return lambda image: table[bins(image, sigma)]


def bins(image: Map, sigma: float) -> NDArray[np.intp]:
    """Which of `N_BINS` steps of smoothed hematoxylin each pixel has."""
    plane = cv2.GaussianBlur(rgb2hed(image)[:, :, 0].astype(np.float32), (0, 0), sigma)
    return np.clip(plane / 0.3 * N_BINS, 0, N_BINS - 1).astype(np.intp)


if __name__ == "__main__":
    main()
