"""Stain vectors: published ones, and Macenko's estimate from a slide. Floor 3: arrays in, arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellseg.types import Stain

Vector = tuple[float, float, float]

STAIN_VECTORS: dict[Stain, tuple[tuple[str, Vector], ...]] = {
    "he": (("hematoxylin", (0.650, 0.704, 0.286)), ("eosin", (0.072, 0.990, 0.105))),
    "hdab": (("hematoxylin", (0.650, 0.704, 0.286)), ("dab", (0.268, 0.570, 0.776))),
    "giemsa": (("methylene_blue", (0.834750233, 0.513556283, 0.196330403)), ("eosin", (0.092789, 0.954111, 0.283111))),
}
"""Optical density (red, green, blue) of pure stains. Hematoxylin, eosin and DAB: Ruifrok & Johnston 2001, Anal Quant
Cytol Histol 23:291; Giemsa: the vectors of G. Landini's Colour Deconvolution plugin for ImageJ."""
NO_GLASS = "no empty glass was seen: white is taken as the background of optical density"
"""What a recipe notes where `estimate_background` saw none; hues are then against a ground that nobody knows."""
_MIN_SAMPLES = 1000
_BRIGHT = 0.8
_MIN_GLASS = 0.01


def ruifrok_vectors(stain: Stain) -> tuple[tuple[str, ...], tuple[Vector, ...]]:
    """Names and unit vectors of a stain's two dyes and the residual; empty for stains that are not separated."""
    dyes = STAIN_VECTORS.get(stain, ())
    if not dyes:
        return (), ()
    return (*(name for name, _ in dyes), "residual"), _with_residual(np.array([vector for _, vector in dyes]))


def _with_residual(dyes: NDArray[np.float64]) -> tuple[Vector, ...]:
    """Two dyes as unit vectors, and the unit vector at right angles to both, so that the three can be inverted."""
    unit = dyes / np.linalg.norm(dyes, axis=1, keepdims=True)
    cross = np.cross(unit[0], unit[1])
    rows = [*unit, cross / np.linalg.norm(cross)]
    return tuple((round(float(r), 6), round(float(g), 6), round(float(b), 6)) for r, g, b in rows)


def estimate_background(samples: NDArray[Any], max_level: int) -> tuple[tuple[float, ...], bool]:
    """Gray levels of empty glass per channel, and whether glass was seen; white where it was not.

    Glass is what at least 1 % of the sampled pixels (n, C) show with every channel over 80 % of the range; of those,
    the 90 % quantile per channel, since pale tissue is among them.
    """
    bright = samples[samples.min(axis=1) >= _BRIGHT * max_level] if len(samples) else samples
    if len(bright) < max(_MIN_GLASS * len(samples), 1):
        return (float(max_level),) * samples.shape[1], False
    return tuple(float(v) for v in np.quantile(bright, 0.9, axis=0, method="nearest")), True


def eosin_share_of_dark(
    samples: NDArray[Any], background: tuple[float, ...], matrix: tuple[Vector, ...], *, min_od: float
) -> float:
    """How much of the darkest tissue the vectors take for the second dye: its median share of both dyes, 0 to 1.

    Of sampled pixels (n, 3) with a mean optical density over `min_od`, the darkest fifth. In H&E these are nuclei: a
    share near or over a half says that the vectors do not fit the slide (one purple dye, or a stain of another hue),
    and that unmixing would tear the nuclei in two. 0 where nothing is stained.
    """
    density = -np.log10((samples.astype(np.float64) + 1.0) / (np.array(background) + 1.0))
    density = density[density.mean(axis=1) > min_od]
    if not len(density):
        return 0.0
    total = density.sum(axis=1)
    dark = density[total >= np.quantile(total, 0.8)]
    dyes = np.maximum(dark @ np.linalg.inv(np.array(matrix)), 0.0)
    return round(float(np.median(dyes[:, 1] / np.maximum(dyes[:, 0] + dyes[:, 1], 1e-9))), 6)


def macenko_vectors(
    samples: NDArray[Any], background: tuple[float, ...], stain: Stain, *, min_od: float, percentile: float
) -> tuple[tuple[str, ...], tuple[Vector, ...]] | None:
    """Stain vectors of a slide from sampled pixels (n, 3), after Macenko et al. 2009, ISBI 1107.

    The two dyes are the extreme directions, in the plane of most variance, of the optical density of stained pixels;
    each is given the name of the published vector that it lies nearer to.

    Returns
    -------
    (names, vectors) or None
        None where fewer than 1,000 pixels are stained or their densities do not span a plane.
    """
    density = -np.log10((samples.astype(np.float64) + 1.0) / (np.array(background) + 1.0))
    density = density[(density > min_od).all(axis=1)]
    if len(density) < _MIN_SAMPLES:
        return None
    values, vectors = np.linalg.eigh(np.cov(density.T))
    if values[1] <= 1e-6 * values[2]:
        return None
    plane = vectors[:, [2, 1]]
    plane = plane * np.where(plane.sum(axis=0) < 0, -1.0, 1.0)
    angle = np.arctan2(density @ plane[:, 1], density @ plane[:, 0])
    ends = np.percentile(angle, [percentile, 100.0 - percentile])
    dyes = np.stack([plane @ np.array([np.cos(a), np.sin(a)]) for a in ends])
    dyes = np.abs(dyes / np.linalg.norm(dyes, axis=1, keepdims=True))
    names, published = ruifrok_vectors(stain)
    known = np.array(published[:2])
    straight = float(np.sum(dyes * known)) >= float(np.sum(dyes[::-1] * known))
    return names, _with_residual(dyes if straight else dyes[::-1])
