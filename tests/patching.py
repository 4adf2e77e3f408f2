"""Patches for the tests of feature families: of masks, of label images, of shapes with a closed form."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cellseg.measure.boxes import scan_cells
from cellseg.measure.patches import Patches, cut_patches, cut_pixels


def patches_of(labels: NDArray[np.integer]) -> Patches:
    """The patches of all labels of an image, by rising id."""
    labels = np.ascontiguousarray(labels, dtype=np.uint32)
    cells = scan_cells(labels)
    return cut_patches(labels, cells.ids, cells.boxes, cells.n_pixels)


def plane_of(image: NDArray[np.integer], patches: Patches) -> NDArray[np.uint16]:
    """The values (m,) of an image (H, W) in the patches."""
    return np.ascontiguousarray(cut_pixels(image.astype(np.uint16)[..., None], patches)[:, 0])


def disc(radius: float, centre: tuple[float, float] | None = None, pad: int = 3) -> NDArray[np.uint32]:
    """A label image with one disc: pixels whose centre lies within `radius` px of `centre`."""
    side = int(2 * np.ceil(radius)) + 2 * pad + 1
    cy, cx = centre or (side // 2, side // 2)
    y, x = np.mgrid[:side, :side]
    return ((y - cy) ** 2 + (x - cx) ** 2 <= radius**2).astype(np.uint32)


def ellipse(major: float, minor: float, angle: float = 0.0, pad: int = 3) -> NDArray[np.uint32]:
    """A label image with one ellipse of these half axes (px), its long axis turned by `angle` rad from x towards y."""
    side = int(2 * np.ceil(major)) + 2 * pad + 1
    y, x = np.mgrid[:side, :side] - side // 2
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return ((u / major) ** 2 + (v / minor) ** 2 <= 1).astype(np.uint32)


def star(radius: float, depth: float, n_tips: int, pad: int = 3) -> NDArray[np.uint32]:
    """A label image with one star: r(phi) = radius (1 + depth cos(n_tips phi))."""
    side = int(2 * np.ceil(radius * (1 + depth))) + 2 * pad + 1
    y, x = np.mgrid[:side, :side] - side // 2
    return (np.hypot(y, x) <= radius * (1 + depth * np.cos(n_tips * np.arctan2(y, x)))).astype(np.uint32)


def ring(outer: float, inner: float, pad: int = 3) -> NDArray[np.uint32]:
    """A label image with one ring."""
    side = int(2 * np.ceil(outer)) + 2 * pad + 1
    r = np.hypot(*(np.mgrid[:side, :side] - side // 2))
    return ((r <= outer) & (r >= inner)).astype(np.uint32)
