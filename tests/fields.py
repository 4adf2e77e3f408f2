"""Synthetic tissue with known answers, as arrays: what the tests measure against. The same seed gives the same bytes.

Label fields return (H, W) uint32 with ids 1..N in raster order of the first pixel, each id one 8-connected piece.
`he_look` and `fluorescence_look` dress a label field as an image.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Labels = NDArray[np.uint32]

# unit vectors of optical density (red, green, blue), Ruifrok & Johnston 2001; written here again so that tests do not
# take the package's word for them
HEMATOXYLIN = (0.650, 0.704, 0.286)
EOSIN = (0.072, 0.990, 0.105)


class Field(NamedTuple):
    """An image with its truth: `pixels` (H, W, C), `labels` (H, W) uint32, `mpp` um per pixel."""

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    labels: Labels
    mpp: float


def raster_ids(labels: NDArray[np.integer]) -> Labels:
    """The same cells with ids 1..N in raster order of the first pixel."""
    ids, first = np.unique(labels, return_index=True)
    order = np.argsort(first[ids != 0])
    table = np.zeros(int(ids.max(initial=0)) + 1, np.uint32)
    table[ids[ids != 0][order]] = np.arange(1, order.size + 1)
    return table[labels]


def ellipses(shape: tuple[int, int], centers: NDArray[np.floating], axes: NDArray[np.floating], angles=None) -> Labels:
    """Ellipses at `centers` (N, 2) with half axes (N, 2), px, turned by `angles`, rad; the first keeps a pixel."""
    out = np.zeros(shape, np.uint32)
    angles = np.zeros(len(centers)) if angles is None else angles
    for number, ((y, x), (a, b), angle) in enumerate(zip(centers, axes, angles, strict=True), start=1):
        reach = int(np.ceil(max(a, b))) + 1
        y0, x0 = max(int(y) - reach, 0), max(int(x) - reach, 0)
        y1, x1 = min(int(y) + reach + 1, shape[0]), min(int(x) + reach + 1, shape[1])
        dy, dx = np.mgrid[y0:y1, x0:x1] - np.array([y, x])[:, None, None]
        u, v = dy * np.cos(angle) + dx * np.sin(angle), -dy * np.sin(angle) + dx * np.cos(angle)
        box = out[y0:y1, x0:x1]
        box[((u / a) ** 2 + (v / b) ** 2 <= 1) & (box == 0)] = number
    return raster_ids(out)


def discs(
    shape: tuple[int, int] = (256, 256), *, radius_px: float = 7.0, spacing_px: int = 24, seed: int = 0
) -> Labels:
    """Discs of one radius on a jittered lattice; none touches another or the border (spacing >= 2 radius + 6)."""
    rng = np.random.default_rng(seed)
    room = max((spacing_px - 2 * radius_px - 2) / 2, 0)
    grid = np.mgrid[spacing_px / 2 : shape[0] - spacing_px / 2 + 1 : spacing_px,
                    spacing_px / 2 : shape[1] - spacing_px / 2 + 1 : spacing_px].reshape(2, -1).T  # fmt: skip
    centers = grid + rng.uniform(-room, room, grid.shape)
    return ellipses(shape, centers, np.full((len(centers), 2), radius_px))


def blobs(
    shape: tuple[int, int] = (256, 256), *, mean_radius_px: float = 7.0, spacing_px: int = 24, seed: int = 0
) -> Labels:
    """Turned ellipses of many sizes on a jittered lattice, some cut by the border, none touching another."""
    rng = np.random.default_rng(seed)
    grid = np.mgrid[0 : shape[0] + 1 : spacing_px, 0 : shape[1] + 1 : spacing_px].reshape(2, -1).T.astype(float)
    axes = mean_radius_px * rng.uniform(0.6, 1.25, grid.shape)
    room = np.maximum((spacing_px - 2 * axes.max(axis=1) - 2) / 2, 0)[:, None]
    centers = grid + rng.uniform(-1, 1, grid.shape) * room
    return ellipses(shape, centers, axes, rng.uniform(0, np.pi, len(centers)))


def bricks(
    shape: tuple[int, int] = (256, 256), *, height_px: int = 16, width_px: int = 24, mortar_px: int = 0
) -> Labels:
    """A wall of bricks, every second course moved by half a brick; with mortar 0 all cells touch and fill the field."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    course = y // height_px
    shifted = x + (course % 2) * (width_px // 2)
    labels = course * (shape[1] // width_px + 2) + shifted // width_px + 1
    mortar = (y % height_px >= height_px - mortar_px) | (shifted % width_px >= width_px - mortar_px)
    return raster_ids(np.where(mortar, 0, labels))


def touching_pairs(
    shape: tuple[int, int] = (256, 256), *, radius_px: float = 9.0, gap_px: float = -2.0, spacing_px: int = 48
) -> Labels:
    """Pairs of discs side by side, `gap_px` apart (negative: they overlap and are parted along the middle)."""
    grid = np.mgrid[
        spacing_px // 2 : shape[0] - radius_px : spacing_px, spacing_px // 2 : shape[1] - 2 * radius_px : spacing_px
    ]
    middles = grid.reshape(2, -1).T.astype(float)
    offset = np.array([0, radius_px + gap_px / 2])
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    out = np.zeros(shape, np.uint32)
    for number, middle in enumerate(middles):
        for side, center in enumerate((middle - offset, middle + offset)):
            disc = np.hypot(y - center[0], x - center[1]) <= radius_px
            half = x < middle[1] if side == 0 else x >= middle[1]
            out[disc & half] = 2 * number + side + 1
    return raster_ids(out)


def seam_cells(tile_px: int = 64, *, n_tiles: int = 3, radius_px: float = 8.0) -> Labels:
    """Discs whose middle lies on the seams of tiles of `tile_px`: on edges, on corners and one px to either side."""
    side = tile_px * n_tiles
    seams = np.arange(1, n_tiles) * tile_px
    on_corners = [(y, x) for y in seams for x in seams]
    on_edges = [(s + d, m) for s in seams for d, m in ((-1, tile_px // 2), (0, side - tile_px // 2))]
    centers = np.array(on_corners + on_edges + [(x, y) for y, x in on_edges], float)
    return ellipses((side, side), centers, np.full((len(centers), 2), radius_px))


def giant(shape: tuple[int, int] = (256, 256), *, share: float = 0.7) -> Labels:
    """One cell that spans `share` of both sides, larger than any tile that the tests use, among small discs."""
    axes = [[share * shape[0] / 2, share * shape[1] / 2]] + [[5.0, 5.0]] * 4
    edge = 10.0
    corners = [[edge, edge], [edge, shape[1] - edge], [shape[0] - edge, edge], [shape[0] - edge, shape[1] - edge]]
    return ellipses(shape, np.array([[shape[0] / 2, shape[1] / 2], *corners]), np.array(axes))


def he_look(labels: Labels, *, seed: int = 0, nucleus_od: float = 0.9, noise: float = 2.0, blur_px: float = 0.7):
    """The labels as H&E: (H, W, 3) uint8; hematoxylin in the cells, eosin around them, by Beer and Lambert."""
    rng = np.random.default_rng(seed)
    strength = nucleus_od * rng.uniform(0.85, 1.15, int(labels.max(initial=0)) + 1)
    strength[0] = 0.04
    hematoxylin = ndimage.gaussian_filter(strength[labels], blur_px)
    wave = ndimage.gaussian_filter(rng.standard_normal(labels.shape), 6)
    eosin = 0.25 + 0.05 * wave / max(float(wave.std()), 1e-9)
    density = hematoxylin[..., None] * HEMATOXYLIN + np.maximum(eosin, 0)[..., None] * EOSIN
    pixels = 255 * 10.0**-density + rng.normal(0, noise, (*labels.shape, 3)) if noise else 255 * 10.0**-density
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def fluorescence_look(
    labels: Labels, *, seed: int = 0, dtype: type = np.uint8, noise: float = 0.01, blur_px: float = 0.8
):
    """The labels as a DAPI channel: (H, W, 1) of `dtype`, uneven bright cells on a dim, tilted background."""
    rng = np.random.default_rng(seed)
    strength = rng.uniform(0.35, 0.8, int(labels.max(initial=0)) + 1)
    strength[0] = 0.0
    background = np.linspace(0.03, 0.07, labels.shape[1])[None, :]
    image = background + ndimage.gaussian_filter(strength[labels], blur_px)
    image = image + rng.normal(0, noise, labels.shape)
    top = np.iinfo(dtype).max
    return np.clip(np.rint(image * top), 0, top).astype(dtype)[..., None]


def he_field(*, shape: tuple[int, int] = (256, 256), seed: int = 0, mpp: float = 0.5) -> Field:
    """H&E-like tissue of separate elliptic nuclei, some cut by the border."""
    labels = blobs(shape, seed=seed)
    return Field(he_look(labels, seed=seed), labels, mpp)


def crowded_he_field(*, shape: tuple[int, int] = (256, 256), seed: int = 0, mpp: float = 0.5) -> Field:
    """H&E-like tissue of touching pairs of nuclei."""
    labels = touching_pairs(shape)
    return Field(he_look(labels, seed=seed), labels, mpp)


def fluorescence_field(
    *, shape: tuple[int, int] = (256, 256), seed: int = 0, mpp: float = 0.5, dtype: type = np.uint8
) -> Field:
    """A DAPI-like field of separate nuclei, some cut by the border."""
    labels = blobs(shape, seed=seed)
    return Field(fluorescence_look(labels, seed=seed, dtype=dtype), labels, mpp)
