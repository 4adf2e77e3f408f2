"""Tissue maps of a large mosaic: does the cut matter, how much memory does it take, how fast beside stock networks.

    python benchmarks/tissue_speed.py --data DIR [--side-px 10000] [--windows 512 1024] [--workers 2] [--weights colon]

A mosaic of the fields in DIR/images (drawn at random, mirrored; at the pixel size of the weights) goes through
`cellseg tissue` once for each window size and once more with one worker. Printed for each run: seconds, Mpx/s from file
to map, overlay and polygons, the most memory of the process, and sha256 of the map; then the share of pixels in which
the maps of two window sizes agree, and whether the maps of both worker counts are the same bytes.

Beside it, in the same run and on the same number of threads, torchvision's `lraspp_mobilenet_v3_large` and
`deeplabv3_mobilenet_v3_large` as they come (random weights: they cost what trained ones cost), plain inference on
windows of 1024 px of the same mosaic, in memory, without context, reading or writing. Ours alone, on such windows in
memory, is the line `network alone`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from scale import run

from cellseg.io.class_map import open_class_map
from cellseg.io.weights import find_weights, read_weights
from cellseg.network_config import TissueSettings
from cellseg.types import Window

WINDOW_PX = 1024
STOCK = ("lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large")
FIELD_PX = 224


def main() -> None:
    """Print the runs, the agreement and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with images/")
    parser.add_argument("--side-px", type=int, default=10_000)
    parser.add_argument("--windows", type=int, nargs=2, default=[512, 1024])
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--weights", default="colon")
    parser.add_argument("--stock-windows", type=int, default=8, help="windows that stock networks are timed on")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--mosaic", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.contender:
        print(json.dumps(time_network(given)))
        return
    mpp = read_weights(find_weights(given.weights)).metadata["architecture"]["mpp"] or 1.0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        given.mosaic = folder / "mosaic.tif"
        write_mosaic(given.data, given.mosaic, given.side_px)
        mpx = given.side_px**2 / 1e6
        print(f"mosaic of {given.side_px} x {given.side_px} px, {mpx:.0f} Mpx, {mpp:g} um a pixel")
        run("preprocess", str(given.mosaic), "-o", str(folder / "recipe"), "--mpp", str(mpp))
        runs = [(window, given.workers) for window in given.windows] + [(given.windows[1], 1)]
        maps = [map_mosaic(given, folder, window, workers, mpx) for window, workers in runs]
        same = "yes" if digest(maps[1]) == digest(maps[2]) else "NO"
        print(f"windows of {given.windows[0]} and {given.windows[1]} px agree in {100 * agreement(*maps[:2]):.5f} %")
        print(f"the same bytes with {given.workers} workers and with one: {same}")
        compare(given)


def write_mosaic(data: Path, path: Path, side_px: int) -> None:
    """Fields side by side, drawn and mirrored at random, as a JPEG-tiled TIFF."""
    files = sorted((data / "images").iterdir())
    rng = np.random.default_rng(0)
    count = -(-side_px // FIELD_PX)
    mosaic = np.empty((count * FIELD_PX, count * FIELD_PX, 3), np.uint8)
    for y, x in np.ndindex(count, count):
        field = cv2.imread(str(files[rng.integers(len(files))]), cv2.IMREAD_COLOR)[:, :, ::-1]
        field = np.rot90(field, rng.integers(4))[:: rng.choice([-1, 1])]
        mosaic[y * FIELD_PX : (y + 1) * FIELD_PX, x * FIELD_PX : (x + 1) * FIELD_PX] = field
    tifffile.imwrite(
        path, mosaic[:side_px, :side_px], tile=(512, 512), photometric="rgb", compression="jpeg",
        compressionargs={"level": 95},
    )  # fmt: skip


def map_mosaic(given: argparse.Namespace, folder: Path, window: int, workers: int, mpx: float) -> Path:
    """Run `cellseg tissue`, print what it took; returns the map."""
    out = folder / f"map_{window}_{workers}.ome.tif"
    settings = TissueSettings(weights=given.weights, window_px=window).model_dump_json()
    seconds, peak = run(
        "tissue", str(given.mosaic), "-o", str(out), "--recipe", str(folder / "recipe"), "--settings", settings,
        "--workers", str(workers),
    )  # fmt: skip
    print(
        f"cellseg tissue, windows of {window:4} px, {workers} workers: {seconds:6.1f} s {mpx / seconds:6.2f} Mpx/s "
        f"{peak:6.0f} MiB  {digest(out)[:12]}",
        flush=True,
    )
    return out


def digest(path: Path) -> str:
    """Sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def agreement(one: Path, other: Path) -> float:
    """Share of the pixels of two maps that are the same."""
    same = total = 0
    with open_class_map(one) as first, open_class_map(other) as second:
        for y in range(0, first.height, 1024):
            window = Window(y, min(y + 1024, first.height), 0, first.width)
            equal = first.read(window) == second.read(window)
            same, total = same + int(equal.sum()), total + equal.size
    return same / total


def compare(given: argparse.Namespace) -> None:
    """Print Mpx/s of the bare networks, each in a process of its own."""
    speeds: dict[str, float] = {}
    for name in ("cellseg", *STOCK):
        command = [sys.executable, __file__, "--contender", name, "--data", str(given.data), "--weights", given.weights]
        command += ["--mosaic", str(given.mosaic), "--workers", str(given.workers)]
        command += ["--stock-windows", str(given.stock_windows)]
        environment = os.environ | {"OMP_NUM_THREADS": "1" if name == "cellseg" else str(given.workers)}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        speeds[name] = json.loads(done.stdout.strip().splitlines()[-1])
        title = "network alone" if name == "cellseg" else f"torchvision {name}"
        ratio = speeds["cellseg"] / speeds[name]
        print(f"{title:42} {speeds[name]:6.2f} Mpx/s, ours {ratio:.2f} times as fast", flush=True)


def time_network(given: argparse.Namespace) -> float:
    """Mpx/s of one network on windows in memory: the best of three rounds after one to warm up."""
    with tifffile.TiffFile(given.mosaic) as tiff:
        mosaic = tiff.asarray()
    per_row = mosaic.shape[1] // WINDOW_PX
    corners = [divmod(number, per_row) for number in range(given.stock_windows)]
    windows = [
        np.ascontiguousarray(mosaic[y * WINDOW_PX : (y + 1) * WINDOW_PX, x * WINDOW_PX : (x + 1) * WINDOW_PX])
        for y, x in corners
    ]
    every = be_cellseg(given) if given.contender == "cellseg" else be_stock(given)
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        every(windows)
        seconds.append(time.perf_counter() - start)
    return len(windows) * WINDOW_PX**2 / 1e6 / min(seconds[1:])


def be_cellseg(given: argparse.Namespace) -> Callable[[list[NDArray[np.uint8]]], None]:
    """Ours: one window a thread."""
    from cellseg.segment.tissue import load_tissue_network

    network = load_tissue_network(read_weights(find_weights(given.weights)), device="cpu")

    def every(windows: list[NDArray[np.uint8]]) -> None:
        with ThreadPoolExecutor(given.workers) as pool:
            list(pool.map(network.look, windows))

    return every


def be_stock(given: argparse.Namespace) -> Callable[[list[NDArray[np.uint8]]], None]:
    """A network of torchvision, float32, all threads on one window."""
    import torch
    from torchvision.models import segmentation

    torch.set_num_threads(given.workers)
    torch.manual_seed(0)
    build = getattr(segmentation, given.contender)
    model = build(weights=None, weights_backbone=None, num_classes=7).eval()

    def every(windows: list[NDArray[np.uint8]]) -> None:
        with torch.inference_mode():
            for window in windows:
                pixels = torch.from_numpy(window).permute(2, 0, 1)[None].float() / 255
                model(pixels)["out"].argmax(1)

    return every


if __name__ == "__main__":
    main()
