"""Accuracy of both methods of segmentation on labelled images, beside a plain scikit-image script in the same run.

    CELLSEG_DATA=../shared/data python benchmarks/accuracy.py [--method maskrcnn] [--weights FILE] [--split train]
        [--only dsb2018] [--settings '{...}'] [--json figures.json] [--keep DIR]

Prints, per kind of image, AP, F1, PQ and AJI with 95 % intervals over images (dsb2018, nucls), and the share of
labelled points that have a cell of their own (chula_rbc12, by block and in all; red cells, so without the network for
nuclei). `--method` may be repeated; all are run by default. `--split train` is for choosing settings, `val` for the
figures that the docs quote. No image of these sets states its pixel size; what is assumed instead is printed, and the
network finds the size of cells for itself (`rescale: auto`). Every image goes through the stages of the pipeline.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from cellseg.config import InputSettings, SegmentationSettings
from cellseg.input_config import PixelSizeSettings
from cellseg.io.labels import write_labels
from cellseg.io.settings import read_settings
from cellseg.preprocess_config import PreprocessSettings
from cellseg.stages.evaluate import Row, evaluate_labels, evaluate_points, format_rows, read_points, write_rows
from cellseg.stages.pairs import Pair
from cellseg.stages.preprocess import preprocess_slide
from cellseg.stages.segment import segment_slide
from cellseg.types import Labels, Stain

NOMINAL_MPP = 0.5
NUCLS_MPP = 0.2
RED_CELL_UM = 7.5
STAIN_OF_KIND: dict[str, Stain] = {"fluorescence": "fluorescence", "histology": "he", "brightfield": "brightfield"}

# the pixel sizes here are nominal, so cells of another size than usual are no reason to stop
_INPUTS = InputSettings(pixel_size=PixelSizeSettings(action="note"))

METHODS = {
    "threshold": "threshold",
    "maskrcnn": "maskrcnn",
    "plain": "plain script",
}
LABEL_COLUMNS = (
    "group", "method", "n_images", "n_true", "n_predicted", "ap@0.5", "ap_by_image@0.5", "ap@0.75", "f1@0.5", "pq",
    "aji",
)  # fmt: skip
POINT_COLUMNS = ("group", "method", "n_images", "n_points", "alone", "shared", "outside")


class Case(NamedTuple):
    """One labelled image."""

    image: Path
    truth: Path
    group: str
    stain: Stain
    mpp: float


class Chosen(NamedTuple):
    """The settings of a run."""

    preprocess: PreprocessSettings
    segmentation: SegmentationSettings
    methods: tuple[str, ...]


def main() -> None:
    """Run the sets that are asked for and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CELLSEG_DATA", "../shared/data")))
    parser.add_argument(
        "--split", choices=("train", "val", "all"), default="val", help="of dsb2018; val of nucls is its test"
    )
    parser.add_argument("--only", choices=("dsb2018", "nucls", "chula_rbc12"), help="one set; all by default")
    parser.add_argument("--method", choices=tuple(METHODS), action="append", help="may be repeated; all by default")
    parser.add_argument("--weights", help="of maskrcnn: a name or a .safetensors file; those of the settings if absent")
    parser.add_argument("--settings", help="segmentation settings, JSON or a path; the defaults if absent")
    parser.add_argument("--preprocess", help="preprocess settings, JSON or a path; the defaults if absent")
    parser.add_argument("--kind", choices=tuple(STAIN_OF_KIND), help="of dsb2018")
    parser.add_argument("--limit", type=int, help="images a set, spread over it; all by default")
    parser.add_argument("--keep", type=Path, help="folder that keeps the label images, and cases.json that lists them")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    if not options.data.is_dir():
        parser.exit(1, f"{options.data}: no such folder; set CELLSEG_DATA to the labelled images\n")
    segmentation = read_settings(SegmentationSettings, options.settings)
    if options.weights:
        own = segmentation.maskrcnn.model_copy(update={"weights": options.weights})
        segmentation = segmentation.model_copy(update={"maskrcnn": own})
    preprocess = read_settings(PreprocessSettings, options.preprocess)
    settings = Chosen(preprocess, segmentation, tuple(dict.fromkeys(options.method or METHODS)))
    cases = {"dsb2018": dsb_cases, "nucls": nucls_cases, "chula_rbc12": chula_cases}
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, find in cases.items():
            if options.only in (None, name) and (options.data / name).is_dir():
                found = [c for c in find(options.data / name, options.split) if options.kind in (None, c.group)]
                step = max(len(found) // options.limit, 1) if options.limit else 1
                own_rows = report(name, found[::step], (options.keep or Path(scratch)) / name, settings)
                rows += [{"set": name, "split": options.split} | row for row in own_rows]
    if options.json:
        write_rows(options.json, rows)


def report(name: str, cases: list[Case], folder: Path, settings: Chosen) -> list[Row]:
    """Segment every case by every method and print the figures in one table."""
    methods = [m for m in settings.methods if not (name == "chula_rbc12" and m == "maskrcnn")]
    if not cases or not methods:
        return []
    pixel_sizes = sorted({round(case.mpp, 4) for case in cases})
    print(f"\n{name}: {len(cases)} images, assumed {', '.join(map(str, pixel_sizes))} um/px", flush=True)
    pairs: dict[str, list[Pair]] = {method: [] for method in methods}
    for number, case in enumerate(cases):
        for method, labels in segment(case, folder / str(number), settings, methods).items():
            pairs[method].append(Pair(labels, case.truth, case.group))
    write_cases(folder / "cases.json", cases, pairs)
    rows: list[Row] = []
    for method, own in pairs.items():
        if name == "chula_rbc12":
            found = evaluate_points(own) + evaluate_points([replace(pair, group="in all") for pair in own])
        else:
            found = evaluate_labels(own)
        rows += [row | {"method": METHODS[method]} for row in found]
    rows.sort(key=lambda row: (row["group"] == "in all", row["group"]))
    print(format_rows(rows, POINT_COLUMNS if name == "chula_rbc12" else LABEL_COLUMNS), flush=True)
    return rows


def write_cases(path: Path, cases: list[Case], pairs: dict[str, list[Pair]]) -> None:
    """List image, truth and label images, for whatever looks at single images later."""
    listed = [
        {
            "image": str(case.image.resolve()), "truth": str(case.truth.resolve()), "group": case.group,
            "predictions": {method: str(own[number].prediction.resolve()) for method, own in pairs.items()},
        }
        for number, case in enumerate(cases)
    ]  # fmt: skip
    path.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")


def segment(case: Case, folder: Path, settings: Chosen, methods: list[str]) -> dict[str, Path]:
    """The label images of one case: by the stages of the package, and by the plain script."""
    recipe = preprocess_slide(
        case.image, folder / "preprocess", stain=case.stain, mpp=case.mpp, settings=settings.preprocess
    )
    out = {}
    for method in methods:
        out[method] = labels = folder / f"{method}.ome.tif"
        if method == "plain":
            found = plain_labels(case)
            strips = (found[y : y + 512] for y in range(0, found.shape[0], 512))
            write_labels(labels, strips, height_px=found.shape[0], width_px=found.shape[1], mpp=case.mpp)
            continue
        own = settings.segmentation.model_copy(update={"method": method})
        segment_slide(
            case.image, labels, recipe=recipe, tissue=folder / "preprocess" / "tissue.png", settings=own, inputs=_INPUTS
        )
    return out


def plain_labels(case: Case) -> Labels:
    """What a short script does: Otsu of gray, holes filled, specks dropped, watershed of the distance transform."""
    gray = cv2.imread(str(case.image), cv2.IMREAD_GRAYSCALE)
    if gray is None:
        raise SystemExit(f"{case.image}: cannot be read")
    return otsu_watershed(gray, dark=case.stain != "fluorescence")


def otsu_watershed(gray: np.ndarray, *, dark: bool) -> Labels:
    """Labels of a gray image, cells dark or bright."""
    smooth = ndimage.gaussian_filter(gray.astype(np.float32), 1.0)
    threshold = threshold_otsu(smooth)
    mask = ndimage.binary_fill_holes(smooth < threshold if dark else smooth > threshold)
    pieces, _ = ndimage.label(mask, np.ones((3, 3)))
    mask &= (np.bincount(pieces.ravel()) >= 20)[pieces]
    distance = ndimage.distance_transform_edt(mask)
    peaks = peak_local_max(distance, min_distance=5, labels=ndimage.label(mask)[0])
    markers = np.zeros(gray.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return watershed(-distance, markers, mask=mask).astype(np.uint32)


def dsb_cases(folder: Path, split: str) -> Iterable[Case]:
    """BBBC038: nuclei, outlined; the nominal pixel size stands for one that is not known."""
    for row in read_index(folder):
        if split in (row["split"], "all"):
            image = folder / row["split"] / f"{row['id']}.png"
            truth = image.with_name(f"{row['id']}_labels.png")
            yield Case(image, truth, row["kind"], STAIN_OF_KIND[row["kind"]], NOMINAL_MPP)


def nucls_cases(folder: Path, split: str) -> Iterable[Case]:
    """NuCLS: nuclei of H&E breast tissue, outlined."""
    part = {"train": "train_", "val": "test_", "all": ""}[split]
    for truth in sorted(folder.glob(f"{part}*_labels.png")):
        image = truth.with_name(truth.name.replace("_labels", ""))
        yield Case(image, truth, "he", "he", NUCLS_MPP)


def chula_cases(folder: Path, split: str) -> Iterable[Case]:
    """Chula RBC-12: blood smears with a point for each labelled cell; there is no split of images, so all are used."""
    rows = read_index(folder)
    diameter_px = red_cell_diameter_px(folder, [row["id"] for row in rows][:: max(len(rows) // 40, 1)])
    print(f"\nchula_rbc12: a normal red cell is {diameter_px:.1f} px across (median), taken as {RED_CELL_UM} um")
    for row in rows:
        truth = folder / "labels" / f"{row['id']}.txt"
        yield Case(folder / "images" / f"{row['id']}.jpg", truth, row["block"], "giemsa", RED_CELL_UM / diameter_px)


def red_cell_diameter_px(folder: Path, names: list[str]) -> float:
    """Median diameter of the disc of equal area, px, over pieces that hold one point, labelled normal."""
    areas: list[int] = []
    for name in names:
        truth = folder / "labels" / f"{name}.txt"
        gray = cv2.imread(str(folder / "images" / f"{name}.jpg"), cv2.IMREAD_COLOR)[..., 1]
        mask = ndimage.binary_fill_holes(gray < threshold_otsu(gray))
        pieces, n_pieces = ndimage.label(mask)
        at = np.rint(read_points(truth)).astype(int)
        at = np.clip(at, 0, np.array(gray.shape) - 1)
        held = pieces[at[:, 0], at[:, 1]]
        normal = np.array([line.split()[2] == "0" for line in truth.read_text().splitlines() if line.strip()])
        alone = np.bincount(held, minlength=n_pieces + 1)[held] == 1
        areas += np.bincount(pieces.ravel())[held[normal & alone & (held > 0)]].tolist()
    return float(np.median(np.sqrt(4 * np.array(areas) / np.pi)))


def read_index(folder: Path) -> list[dict[str, str]]:
    """The rows of the set's index.csv."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main()
