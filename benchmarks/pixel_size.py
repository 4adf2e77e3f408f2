"""What the gate of pixel sizes makes of real images whose pixel size is declared right and wrong, by both methods.

    CELLSEG_DATA=../shared/data python benchmarks/pixel_size.py

Prints a row a set and method: the middle diameter of the cells (um; the median of a set's images) with the pixel size
declared right, half, twice, a quarter and four times as large, with a star where that is beyond what the gate allows.
`refused`: the method itself does not go on.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import tifffile

from cellseg.config import InputSettings, SegmentationSettings
from cellseg.errors import CellsegError
from cellseg.input_config import PixelSizeSettings
from cellseg.io.slide import open_slide
from cellseg.stages.preprocess import preprocess_slide
from cellseg.stages.segment import segment_slide
from cellseg.types import Stain, Window

FACTORS = (1.0, 0.5, 2.0, 0.25, 4.0)
# every image is looked at to the end, and small ones are judged too
NOTED = InputSettings(pixel_size=PixelSizeSettings(action="note", min_cells=1))


class Set(NamedTuple):
    """Images of one kind: their name, fields, stain, and pixel size, um."""

    name: str
    fields: list[np.ndarray]
    stain: Stain
    mpp: float


def sets(data: Path) -> Iterator[Set]:
    """The sets that are there."""
    slide = data / "slides" / "CMU-1-Small-Region.svs"
    if slide.is_file():
        with open_slide(slide) as opened:
            pixels = opened.read(Window(0, opened.height, 0, opened.width))
            yield Set("CMU-1 small region", [pixels], "he", opened.pixel_size.mpp if opened.pixel_size else 0.499)
    tiles = sorted((data / "nucls").glob("*_labels.png"))
    if tiles:
        yield Set("NuCLS", [read(tile.with_name(tile.name.replace("_labels", ""))) for tile in tiles], "he", 0.2)
    smears = data / "chula_rbc12"
    if smears.is_dir():
        with (smears / "index.csv").open(newline="") as stream:
            names = [row["id"] for row in csv.DictReader(stream)]
        chosen = names[:: len(names) // 12][:12]
        yield Set("Chula RBC-12", [read(smears / "images" / f"{name}.jpg") for name in chosen], "giemsa", 0.19)


def read(path: Path) -> np.ndarray:
    """An image (h, w, 3), red first."""
    return cv2.imread(str(path), cv2.IMREAD_COLOR)[:, :, ::-1]


def middle_um(image: Path, out: Path, one: Set, factor: float, method: str) -> float:
    """The middle diameter of an image's cells, um; NaN without cells."""
    recipe = preprocess_slide(image, out / "preprocess", stain=one.stain, mpp=one.mpp * factor, inputs=NOTED)
    record = segment_slide(
        image, out / "labels.ome.tif", recipe=recipe, tissue=out / "preprocess" / "tissue.png", inputs=NOTED,
        settings=SegmentationSettings(method=method),
    )  # fmt: skip
    found = record["pixel_size"]["diameter_um"]
    return np.nan if found is None else float(found)


def looked(images: list[Path], out: Path, one: Set, factor: float, method: str) -> str:
    """The median over images, with a star where the gate would stop a slide of such cells."""
    try:
        found = [middle_um(image, out, one, factor, method) for image in images]
    except CellsegError:
        return "refused"
    if np.isnan(found).all():
        return "no cells"
    middle = float(np.nanmedian(found))
    least, most = NOTED.pixel_size.cell_diameter_um[one.stain]
    stopped = max(least / middle, middle / most) > NOTED.pixel_size.max_disagreement
    return f"{middle:.1f}{'*' * stopped}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CELLSEG_DATA", "../shared/data")))
    given = parser.parse_args()
    if not given.data.is_dir():
        parser.exit(1, f"{given.data}: no such folder; set CELLSEG_DATA to the labelled images\n")
    print(f"{'set':20} {'um/px':>6} {'method':10}" + "".join(f"{f'x {factor:g}':>10}" for factor in FACTORS))
    with tempfile.TemporaryDirectory() as name:
        for one in sets(given.data):
            images = [Path(name) / f"{number}.tif" for number in range(len(one.fields))]
            for image, field in zip(images, one.fields, strict=True):
                tifffile.imwrite(image, np.ascontiguousarray(field), photometric="rgb")
            for method in ("threshold", "maskrcnn"):
                found = [looked(images, Path(name) / "out", one, factor, method) for factor in FACTORS]
                print(
                    f"{one.name:20} {one.mpp:6.3f} {method:10}" + "".join(f"{text:>10}" for text in found), flush=True
                )


if __name__ == "__main__":
    main()
