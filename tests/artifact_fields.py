"""A synthetic H&E slide with pen, edges, dirt, a fold and a blurred place where the tests know them to be."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from tests.fields import EOSIN, discs, he_look

MPP = 1.0
SIDE = 1664
GLASS = 245
Box = tuple[slice, slice]

TISSUE: Box = (slice(192, 1088), slice(192, 1088))
PALE: Box = (slice(192, 640), slice(1152, 1408))
BLURRED: Box = (slice(256, 512), slice(640, 1024))
FOLD: Box = (slice(768, 864), slice(256, 1024))
BORDER: Box = (slice(0, SIDE), slice(1600, SIDE))
LINE: Box = (slice(0, SIDE), slice(1500, 1508))
PENS: dict[str, tuple[tuple[int, int, int], Box]] = {
    "blue": ((40, 60, 160), (slice(1168, 1296), slice(192, 700))),
    "green": ((30, 140, 90), (slice(1360, 1488), slice(192, 700))),
    "black": ((35, 32, 38), (slice(1168, 1296), slice(800, 1300))),
    "red": ((200, 30, 40), (slice(1360, 1488), slice(800, 1300))),
}
SPECKS = ((96, 420), (96, 900), (1580, 300))


def clean(side: int = SIDE, *, seed: int = 0) -> np.ndarray:
    """Tissue with nuclei, and a piece of pale pink without any, on glass: (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    pixels = np.clip(rng.normal(GLASS, 1.0, (side, side, 3)), 0, 255).round().astype(np.uint8)
    shape = tuple(part.stop - part.start for part in TISSUE)
    pixels[TISSUE] = he_look(discs(shape, radius_px=4, spacing_px=14, seed=seed), seed=seed, noise=1.0)
    pixels[PALE] = np.round(GLASS * 10.0 ** (-0.07 * np.array(EOSIN))).astype(np.uint8)
    return pixels


def soiled() -> np.ndarray:
    """The same with all that the constants say."""
    pixels = clean()
    pixels[BLURRED] = ndimage.gaussian_filter(pixels[BLURRED].astype(float), (6, 6, 0)).round().astype(np.uint8)
    over = pixels[FOLD].astype(float) * np.roll(pixels[TISSUE], 37, axis=1)[: 864 - 768, : 1024 - 256] / GLASS
    pixels[FOLD] = over.round().astype(np.uint8)
    for colour, box in PENS.values():
        pixels[box] = colour
    y, x = np.mgrid[:SIDE, :SIDE]
    for row, column in SPECKS:
        pixels[np.hypot(y - row, x - column) < 12] = (120, 122, 121)
    pixels[LINE] = (150, 149, 151)
    pixels[BORDER] = 0
    return pixels


def covers(box: Box, shape: tuple[int, int], side_px: int) -> np.ndarray:
    """What share of each square (h, w) of `side_px` lies in the box."""
    out = np.zeros((shape[0] * side_px, shape[1] * side_px))
    out[box] = 1
    return out.reshape(shape[0], side_px, shape[1], side_px).mean((1, 3))
