"""What is flagged as pen, fold, dirt, edge or blur on real images that have none, and on a real slide that was soiled.

    CELLSEG_DATA=../shared/data python benchmarks/tile_quality.py

Prints, for each set of clean images, how many have a tile with a flag, and which. Then the real slide with its left
half blurred (Gaussian), and with three bands of doubled density: the share of tiles with tissue that get the flag,
where it is deserved and elsewhere.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import tifffile

from cellseg.io.slide import open_slide
from cellseg.io.table import read_table
from cellseg.stages.preprocess import preprocess_slide
from cellseg.types import Stain, Window

MPP = {"nucls": 0.2, "ebhi": 0.25, "dsb2018": 0.5, "chula_rbc12": 0.19}
"""um per pixel; of ebhi and dsb2018 nominal."""
BLURS_UM = (1.0, 1.5, 2.0, 3.0)
BAND_UM = 150.0


def clean(data: Path) -> Iterator[tuple[str, Stain, float | None, list[Path]]]:
    """Name, stain, pixel size and images of each set that is there."""
    slide = data / "slides" / "CMU-1-Small-Region.svs"
    if slide.is_file():
        yield "CMU-1 small region", "he", None, [slide]
    tiles = [path.with_name(path.name.replace("_labels", "")) for path in sorted((data / "nucls").glob("*_labels.png"))]
    yield "nucls", "he", MPP["nucls"], tiles
    yield "ebhi", "he", MPP["ebhi"], sorted((data / "ebhi" / "images").glob("*"))
    if (data / "dsb2018" / "index.csv").is_file():
        with (data / "dsb2018" / "index.csv").open(newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if row["kind"] == "histology"]
        yield "dsb2018", "he", MPP["dsb2018"], [data / "dsb2018" / row["split"] / f"{row['id']}.png" for row in rows]
    yield "chula_rbc12", "giemsa", MPP["chula_rbc12"], sorted((data / "chula_rbc12" / "images").glob("*"))


def tiles_of(image: Path, out: Path, stain: Stain, mpp: float | None) -> dict[str, np.ndarray]:
    """The quality tiles of an image, by column."""
    preprocess_slide(image, out, stain=stain, mpp=mpp)
    table = read_table(out / "tiles.parquet")
    return {name: table[name].to_numpy() for name in table.column_names}


def shares(tiles: dict[str, np.ndarray], flag: str, deserved: np.ndarray) -> str:
    """Of the tiles with tissue the share with the flag, where it is deserved and elsewhere."""
    tissue = tiles["tissue_fraction"] >= 0.2
    hit = np.array([flag in words.split(";") for words in tiles["flags"]])
    return ", ".join(
        f"{hit[tissue & at].mean():.2f} of {np.count_nonzero(tissue & at)}" for at in (deserved, ~deserved)
    )


def soil(pixels: np.ndarray, mpp: float, folder: Path) -> None:
    """Print what becomes of the slide blurred and folded."""
    image = folder / "soiled.tif"
    middle = pixels.shape[1] // 2
    for sigma_um in BLURS_UM:
        dirty = pixels.copy()
        dirty[:, :middle] = cv2.GaussianBlur(pixels, (0, 0), sigma_um / mpp)[:, :middle]
        tifffile.imwrite(image, dirty, photometric="rgb")
        tiles = tiles_of(image, folder / "soiled", "he", mpp)
        told = shares(tiles, "out_of_focus", tiles["x1_px"] <= middle)
        print(f"left half blurred by {sigma_um:g} um: out_of_focus {told}")
    dirty, folded = pixels.astype(np.float32), np.zeros(pixels.shape[0], bool)
    for part in (0.2, 0.5, 0.8):
        y0 = round(part * pixels.shape[0])
        folded[y0 : y0 + round(BAND_UM / mpp)] = True
    dirty[folded] = dirty[folded] ** 2 / 243  # glass of this slide is at 243
    tifffile.imwrite(image, np.clip(dirty, 0, 255).astype(np.uint8), photometric="rgb")
    tiles = tiles_of(image, folder / "soiled", "he", mpp)
    inside = np.array(
        [folded[int(y0) : int(y1)].mean() > 0.5 for y0, y1 in zip(tiles["y0_px"], tiles["y1_px"], strict=True)]
    )
    print(f"three bands of {BAND_UM:g} um folded: fold {shares(tiles, 'fold', inside)}")


def main() -> None:
    """Print the counts of clean images, then the soiled slide."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CELLSEG_DATA", "../shared/data")))
    given = parser.parse_args()
    if not given.data.is_dir():
        parser.exit(1, f"{given.data}: no such folder; set CELLSEG_DATA to the labelled images\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for title, stain, mpp, images in clean(given.data):
            flags: Counter[str] = Counter()
            flagged = 0
            for image in images:
                words = [
                    word
                    for text in tiles_of(image, folder / "clean", stain, mpp)["flags"]
                    for word in text.split(";")
                    if word
                ]
                flags.update(words)
                flagged += bool(words)
            print(f"{title}: {flagged} of {len(images)} images have a flag {dict(flags) or ''}", flush=True)
        slide = given.data / "slides" / "CMU-1-Small-Region.svs"
        if slide.is_file():
            with open_slide(slide) as opened:
                pixels = opened.read(Window(0, opened.height, 0, opened.width))
                mpp = opened.pixel_size.mpp if opened.pixel_size else 0.499
            soil(pixels, mpp, folder)


if __name__ == "__main__":
    main()
