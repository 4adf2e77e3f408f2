"""Speed and memory of Mask R-CNN on the CPU, beside torchvision's stock network and StarDist 2D, on the same tiles.

    python benchmarks/maskrcnn_speed.py [--tiles 4] [--threads 2] [--weights FILE] [--stardist-python PYTHON]

Tiles of 1024 x 1024 px with about 500 simulated nuclei each, 28 px across as the networks want them. Every contender
has a process of its own, one tile to warm up, and gives whole answers:

- cellseg: the shipped weights, from native pixels to a label image, one tile a thread.
- torchvision `maskrcnn_resnet50_fpn_v2` as it comes (float32, random weights, its own paste), with limits set so that
  it gives 500 objects a tile at that size; its N x H x W masks are not even made into labels.
- the same under bfloat16 autocast and channels_last.
- StarDist 2D: its Keras network of the published H&E model's size (32 rays, grid 2) with random weights, plus its NMS
  and polygons on the distances of the true nuclei, which is what a perfect network would hand it. It lives in an
  environment of its own: `python -m venv sd; sd/bin/pip install stardist tensorflow-cpu`, then
  `--stardist-python sd/bin/python`.

Printed: seconds per Mpx (least of some rounds), objects a tile, most resident memory of the process, and the ratio to
ours. Random weights cost what trained ones cost; they only find nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

TILE_PX = 1024
N_NUCLEI = 500
MPP = 0.25
TITLES = {
    "cellseg": "cellseg",
    "stock": "torchvision maskrcnn_resnet50_fpn_v2",
    "stock_bf16": "the same, bfloat16, channels_last",
    "stardist": "StarDist 2D",
}
Round = Callable[[], int]


def main() -> None:
    """Print the table; with `--contender`, be one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nuclei", type=int, default=N_NUCLEI, help="a tile; memory wants 1000")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--weights", default="nucleus")
    parser.add_argument("--stardist-python", default=os.environ.get("STARDIST_PYTHON"), help="where stardist lives")
    parser.add_argument("--only", choices=tuple(TITLES), nargs="+", default=list(TITLES))
    parser.add_argument("--contender", choices=tuple(TITLES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.contender:
        print(json.dumps(CONTENDERS[given.contender](given)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        n_nuclei = write_tiles(folder, given.tiles, given.nuclei)
        print(f"{given.tiles} tiles of {TILE_PX} px, {n_nuclei / given.tiles:.0f} nuclei each, {given.threads} threads")
        print(f"{'':38} {'s/Mpx':>7} {'objects':>8} {'MiB':>6} {'ratio':>6}", flush=True)
        ours = float("nan")
        for name in given.only:
            found = run(name, given, folder)
            if found is None:
                continue
            ours = found["seconds_per_mpx"] if name == "cellseg" else ours
            figures = f"{found['seconds_per_mpx']:7.3f} {found['objects']:8.0f} {found['mib']:6.0f}"
            print(f"{TITLES[name]:38} {figures} {found['seconds_per_mpx'] / ours:6.1f}", flush=True)


def write_tiles(folder: Path, n_tiles: int, n_nuclei: int) -> int:
    """Simulate the tiles: `N.png`, and pixels and truth in `tiles.npz`; returns how many nuclei."""
    from dataclasses import replace

    import imagecodecs

    from cellseg.simulate import HEALTHY, Tissue, simulate_tissue

    healthy = replace(HEALTHY, area_um2=38.0 * min(1.0, N_NUCLEI / n_nuclei))
    density = n_nuclei / (TILE_PX * MPP / 1000) ** 2
    tissue = Tissue(mpp=MPP, nuclei_per_mm2=density, spacing=1.1, healthy=healthy, cleft_level=9)
    made = [simulate_tissue(TILE_PX, TILE_PX, tissue=tissue, seed=seed) for seed in range(n_tiles)]
    for number, tile in enumerate(made):
        (folder / f"{number}.png").write_bytes(imagecodecs.png_encode(tile.pixels))
    np.savez(folder / "tiles.npz", pixels=[t.pixels for t in made], labels=[t.labels for t in made])
    return sum(int(tile.labels.max()) for tile in made)


def run(name: str, given: argparse.Namespace, folder: Path) -> dict[str, float] | None:
    """What a contender measured in its own process; None, with a word why, where it cannot run."""
    python = given.stardist_python if name == "stardist" else sys.executable
    if not python:
        print(f"{TITLES[name]:38} left out: give --stardist-python (see --help)")
        return None
    threads = str(given.threads)
    environment = os.environ | {
        "OMP_NUM_THREADS": "1" if name == "cellseg" else threads, "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip
    command = [python, str(Path(__file__).resolve()), "--contender", name, "--folder", str(folder)]
    command += ["--threads", threads, "--rounds", str(given.rounds), "--weights", given.weights]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{TITLES[name]:38} failed: {done.stderr.strip().splitlines()[-1]}")
        return None
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def measure(one_round: Round, n_tiles: int, rounds: int) -> dict[str, float]:
    """Least wall time of some rounds over all tiles, objects a tile, peak memory of this process."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        objects = one_round()
        seconds.append(time.perf_counter() - start)
    return {
        "seconds_per_mpx": min(seconds) / (n_tiles * TILE_PX**2 / 1e6),
        "objects": objects / n_tiles,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def be_cellseg(given: argparse.Namespace) -> dict[str, float]:
    """Ours, on native pixels in memory."""
    from concurrent.futures import ThreadPoolExecutor

    from cellseg.io.weights import find_weights, read_weights
    from cellseg.network_config import MaskRcnnSettings
    from cellseg.segment.detect import make_detector
    from cellseg.stages.preprocess import preprocess_slide
    from cellseg.types import Window

    tiles = np.load(given.folder / "tiles.npz")["pixels"]
    recipe = preprocess_slide(given.folder / "0.png", given.folder / "recipe", stain="he", mpp=MPP)
    weights = read_weights(find_weights(given.weights))
    diameter_px = weights.metadata["architecture"]["diameter_px"]
    settings = MaskRcnnSettings(weights=given.weights, diameter_px=diameter_px, rescale="never")
    segmenter = make_detector(weights, settings, recipe, device="cpu")
    window = Window(0, TILE_PX, 0, TILE_PX)

    def find(pixels: np.ndarray) -> int:
        cells = segmenter.find_cells(lambda w: pixels[w.y0 : w.y1, w.x0 : w.x1], window)
        return len(cells.scores)

    with ThreadPoolExecutor(given.threads) as pool:
        list(pool.map(find, tiles[: given.threads]))
        return measure(lambda: sum(pool.map(find, tiles)), len(tiles), given.rounds)


def be_stock(given: argparse.Namespace, *, half: bool = False) -> dict[str, float]:
    """The network of torchvision with its own transform and paste."""
    import torch
    from torchvision.models.detection import maskrcnn_resnet50_fpn_v2

    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    model = maskrcnn_resnet50_fpn_v2(
        weights=None, weights_backbone=None, num_classes=2, min_size=TILE_PX, max_size=TILE_PX,
        box_score_thresh=0.0, box_nms_thresh=0.9, box_detections_per_img=N_NUCLEI,
    ).eval()  # fmt: skip
    if half:
        model = model.to(memory_format=torch.channels_last)
    tiles = [torch.from_numpy(p).permute(2, 0, 1).float() / 255 for p in np.load(given.folder / "tiles.npz")["pixels"]]

    def find(image: torch.Tensor) -> int:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            return len(model([image])[0]["masks"])

    find(tiles[0])
    return measure(lambda: sum(map(find, tiles)), len(tiles), min(given.rounds, 1))


def be_stardist(given: argparse.Namespace) -> dict[str, float]:
    """StarDist's network on the pixels, its NMS and polygons on the distances of the true nuclei."""
    from stardist.geometry import star_dist
    from stardist.models import Config2D, StarDist2D
    from stardist.utils import edt_prob

    model = StarDist2D(Config2D(n_rays=32, grid=(2, 2), n_channel_in=3), name=None, basedir=None)
    stored = np.load(given.folder / "tiles.npz")
    tiles = (stored["pixels"] / 255).astype(np.float32)
    every = slice(None, None, 2)
    perfect = [
        (edt_prob(labels)[every, every], star_dist(labels.astype(np.uint16), 32, grid=(2, 2)))
        for labels in stored["labels"]
    ]

    def find(number: int) -> int:
        model.predict(tiles[number], show_tile_progress=False, verbose=0)
        prob, dist = perfect[number]
        labels, _ = model._instances_from_prediction((TILE_PX, TILE_PX), prob, dist, prob_thresh=0.5, nms_thresh=0.3)
        return int(labels.max())

    find(0)
    return measure(lambda: sum(map(find, range(len(tiles)))), len(tiles), given.rounds)


CONTENDERS: dict[str, Callable[[argparse.Namespace], dict[str, float]]] = {
    "cellseg": be_cellseg,
    "stock": be_stock,
    "stock_bf16": lambda given: be_stock(given, half=True),
    "stardist": be_stardist,
}

if __name__ == "__main__":
    main()
