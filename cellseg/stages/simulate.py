"""Simulated H&E slides as files, with their truth beside them. Floor 6."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage

from cellseg.errors import ConfigError
from cellseg.io.atomic import atomic_path, write_text
from cellseg.io.labels import write_labels
from cellseg.simulate import ABNORMAL, HEALTHY, Simulated, Tissue, simulate_tissue
from cellseg.types import Progress, silent

_TILE_PX = 512
_STRIP_PX = 512
_PATCH_PX = 1024

CROWDED = Tissue(
    nuclei_per_mm2=10_600.0,
    abnormal_share=0.1,
    spacing=1.1,
    healthy=replace(HEALTHY, area_um2=28.0),
    abnormal=replace(ABNORMAL, area_um2=50.0),
)
"""Tissue as dense as a lymph node: about a million nuclei in 20,000 x 20,000 px at 0.5 um/px."""


@dataclass(frozen=True)
class SimulatedSample:
    """Where a simulated sample's files are and what they hold."""

    image: Path
    truth_labels: Path
    truth_table: Path
    n_nuclei: int
    n_abnormal: int


def simulate_sample(
    folder: Path,
    name: str,
    *,
    kind: Literal["healthy", "mixed"],
    seed: int,
    size_px: int = 1024,
    mpp: float = 0.5,
    abnormal_share: float = 0.25,
) -> SimulatedSample:
    """A square H&E-like image `NAME.tif` in `folder`, with its truth in `folder/truth`.

    Parameters
    ----------
    folder : Path
        Made when missing. Gets `NAME.tif`, `truth/NAME.ome.tif` (label image) and `truth/NAME.csv` (cell_id,
        centroid_y_px, centroid_x_px, area_um2, abnormal).
    name : str
        Stem of the files.
    kind : {"healthy", "mixed"}
        Whether `abnormal_share` of the nuclei are abnormal, or none.
    seed : int
        >= 0; the same seed gives the same bytes.
    size_px : int
        Side, px, 64 to 8192.
    mpp : float
        Microns per pixel, 0.1 to 2.
    abnormal_share : float
        Fraction, 0 to 1.

    Raises
    ------
    ConfigError
        If an option is out of its bounds.
    CellsegError
        If the files cannot be written.
    """
    _check("size_px", size_px, 64, 8192)
    _check("abnormal_share", abnormal_share, 0.0, 1.0)
    _check("seed", seed, 0, 2**63)
    _check("mpp", mpp, 0.1, 2.0)
    tissue = Tissue(mpp=mpp, abnormal_share=abnormal_share if kind == "mixed" else 0.0)
    simulated = simulate_tissue(size_px, size_px, tissue=tissue, seed=seed)
    image, truth = folder / f"{name}.tif", folder / "truth"
    write_tiff(image, _cut_tiles(simulated.pixels), size_px, size_px, mpp=mpp, compression="zlib")
    labels = truth / f"{name}.ome.tif"
    rows = range(0, size_px, _STRIP_PX)
    write_labels(
        labels, (simulated.labels[y : y + _STRIP_PX] for y in rows), height_px=size_px, width_px=size_px, mpp=mpp
    )
    write_text(truth / f"{name}.csv", _truth_csv(simulated, mpp))
    return SimulatedSample(image, labels, truth / f"{name}.csv", simulated.abnormal.size, int(simulated.abnormal.sum()))


def simulate_slide(
    path: Path,
    *,
    height_px: int,
    width_px: int,
    seed: int,
    mpp: float = 0.5,
    compression: Literal["jpeg", "zlib"] = "jpeg",
    tissue: Tissue = CROWDED,
    n_fields: int = 12,
    tissue_share: float = 1.0,
    pyramid: bool = False,
    progress: Progress = silent,
) -> int:
    """A large tiled H&E-like TIFF, written in bounded memory; returns the number of nuclei whose middle lies in it.

    The slide is laid from `n_fields` fields of 1024 px that continue into one another, so that no seam shows and nuclei
    cross every joint; the fields are drawn from `seed`, and so is their order. With a `tissue_share` (fraction) under 1
    the rest is empty glass, in a few large pieces whose rim follows the fields' edges. With `pyramid` smaller levels, a
    quarter of the size each, follow as sub-IFDs.

    Raises
    ------
    ConfigError
        If an option is out of its bounds.
    CellsegError
        If the file cannot be written.
    """
    _check("height_px", height_px, 1, 200_000)
    _check("width_px", width_px, 1, 200_000)
    _check("seed", seed, 0, 2**32)
    _check("tissue_share", tissue_share, 0.0, 1.0)
    tissue = replace(tissue, mpp=mpp)
    bank = []
    for number in range(n_fields):
        bank.append(simulate_tissue(_PATCH_PX, _PATCH_PX, tissue=tissue, seed=seed * 1000 + number, border_seed=seed))
        progress(number + 1, n_fields)
    plan = np.random.default_rng((seed, 3)).integers(
        0, n_fields, (-(-height_px // _PATCH_PX), -(-width_px // _PATCH_PX))
    )
    if tissue_share < 1:
        glass = replace(tissue, cleft_level=-np.inf, nuclei_per_mm2=0.0)
        bank.append(simulate_tissue(_PATCH_PX, _PATCH_PX, tissue=glass, seed=seed, border_seed=seed))
        plan = np.where(_in_tissue(plan.shape, tissue_share, seed), plan, n_fields)
    fields = np.stack([patch.pixels for patch in bank])
    tiles = _laid_tiles(fields, plan, height_px, width_px)
    levels = list(_reduced_levels(fields, plan, height_px, width_px)) if pyramid else []
    write_tiff(path, tiles, height_px, width_px, mpp=mpp, compression=compression, levels=levels)
    return _count_nuclei([patch.centers_px for patch in bank], plan, height_px, width_px)


def write_tiff(
    path: Path,
    tiles: Iterator[NDArray[np.uint8]],
    height_px: int,
    width_px: int,
    *,
    mpp: float,
    compression: Literal["jpeg", "zlib"],
    levels: Sequence[tuple[Iterator[NDArray[np.uint8]], int, int]] = (),
) -> None:
    """A tiled RGB TIFF with its pixel size in the resolution tags; `tiles` are (512, 512, 3), in raster order.

    `levels` are the tiles, height and width (px) of the smaller levels of its pyramid.

    Raises
    ------
    CellsegError
        If the file cannot be written.
    """
    options: dict[str, Any] = {"compressionargs": {"level": 90}} if compression == "jpeg" else {"predictor": True}
    options |= {"photometric": "rgb", "tile": (_TILE_PX, _TILE_PX), "compression": compression, "dtype": np.uint8}
    big = height_px * width_px * 3 > 2**31
    with atomic_path(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=big) as tiff:
        for number, (some, height, width) in enumerate([(tiles, height_px, width_px), *levels]):
            per_cm = 1e4 / mpp * height / height_px
            about: dict[str, Any] = {"subifds": len(levels)} if number == 0 else {"subfiletype": 1}
            tiff.write(
                some, shape=(height, width, 3), resolution=(per_cm, per_cm), resolutionunit="CENTIMETER",
                metadata=None, software="cellseg simulate", maxworkers=2, **options, **about,
            )  # fmt: skip


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"simulate: {name} is {value}; expected {low} to {high}; choose another")


def _cut_tiles(pixels: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    for y in range(0, pixels.shape[0], _TILE_PX):
        for x in range(0, pixels.shape[1], _TILE_PX):
            yield _full_tile(pixels[y : y + _TILE_PX, x : x + _TILE_PX])


def _full_tile(part: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A tile of full size: what hangs over the image repeats its last row and column."""
    short = [(0, _TILE_PX - part.shape[0]), (0, _TILE_PX - part.shape[1]), (0, 0)]
    return np.pad(part, short, mode="edge") if any(s for _, s in short) else np.ascontiguousarray(part)


def _in_tissue(shape: tuple[int, int], share: float, seed: int) -> NDArray[np.bool_]:
    """Which fields of a plan hold tissue: `share` of them, in a few pieces away from the border."""
    noise = np.random.default_rng((seed, 4)).normal(size=shape)
    smooth = ndimage.gaussian_filter(noise, max(shape) / 12, mode="wrap")
    y, x = (np.abs(np.linspace(-1, 1, n)) if n > 1 else np.zeros(1) for n in shape)
    height = smooth / (smooth.std() or 1.0) - 2 * np.maximum(y[:, None], x) ** 4
    order = np.argsort(-height, axis=None, kind="stable")
    inside = np.zeros(height.size, np.bool_)
    inside[order[: round(share * height.size)]] = True
    return inside.reshape(shape)


def _laid_tiles(
    fields: NDArray[np.uint8], plan: NDArray[np.int64], height_px: int, width_px: int
) -> Iterator[NDArray[np.uint8]]:
    for y in range(0, height_px, _TILE_PX):
        for x in range(0, width_px, _TILE_PX):
            patch = fields[plan[y // _PATCH_PX, x // _PATCH_PX]]
            top, left = y % _PATCH_PX, x % _PATCH_PX
            yield np.ascontiguousarray(patch[top : top + _TILE_PX, left : left + _TILE_PX])


def _reduced_levels(
    fields: NDArray[np.uint8], plan: NDArray[np.int64], height_px: int, width_px: int
) -> Iterator[tuple[Iterator[NDArray[np.uint8]], int, int]]:
    """Tiles, height and width of the levels below the full one: means of 4 x 4 px of the level before."""
    while max(height_px, width_px) > 2 * _PATCH_PX and fields.shape[1] >= 4:
        n, side = fields.shape[0], fields.shape[1] // 4
        means = fields.reshape(n, side, 4, side, 4, 3).mean(axis=(2, 4))
        fields, height_px, width_px = np.rint(means).astype(np.uint8), -(-height_px // 4), -(-width_px // 4)
        yield _composed_tiles(fields, plan, height_px, width_px), height_px, width_px


def _composed_tiles(
    fields: NDArray[np.uint8], plan: NDArray[np.int64], height_px: int, width_px: int
) -> Iterator[NDArray[np.uint8]]:
    """Tiles of a level whose fields are smaller than a tile."""
    side = fields.shape[1]
    n = _TILE_PX // side
    for y in range(0, height_px, _TILE_PX):
        for x in range(0, width_px, _TILE_PX):
            part = fields[plan[y // side : y // side + n, x // side : x // side + n]]
            rows, columns = part.shape[:2]
            yield _full_tile(part.swapaxes(1, 2).reshape(rows * side, columns * side, 3))


def _count_nuclei(centers: list[NDArray[np.float64]], plan: NDArray[np.int64], height_px: int, width_px: int) -> int:
    total = 0
    for (row, column), number in np.ndenumerate(plan):
        middles = centers[number] + (row * _PATCH_PX, column * _PATCH_PX)
        total += int(np.count_nonzero((middles[:, 0] < height_px) & (middles[:, 1] < width_px)))
    return total


def _truth_csv(simulated: Simulated, mpp: float) -> str:
    labels, n_cells = simulated.labels, simulated.abnormal.size
    flat = labels.ravel()
    y, x = np.divmod(np.arange(flat.size), labels.shape[1])
    n_pixels = np.bincount(flat, minlength=n_cells + 1)[1:]
    center_y = np.bincount(flat, weights=y, minlength=n_cells + 1)[1:] / n_pixels
    center_x = np.bincount(flat, weights=x, minlength=n_cells + 1)[1:] / n_pixels
    lines = ["cell_id,centroid_y_px,centroid_x_px,area_um2,abnormal"]
    for number in range(n_cells):
        values = (center_y[number], center_x[number], n_pixels[number] * mpp**2)
        lines.append(
            f"{number + 1},{','.join(f'{value:.3f}' for value in values)},{str(simulated.abnormal[number]).lower()}"
        )
    return "\n".join(lines) + "\n"
