"""Planes of colour spaces: CIELAB and the saturation of HSV, of RGB images. Floor 3.

All in whole numbers from tables: the same bytes on every machine. Stored values are taken for sRGB (IEC 61966-2-1) with
its white, D65; L*, a*, b* are those of CIE 1976 (CIE 15:2018), so that grays have a* = b* = 0 exactly. Hue goes round
in a circle and has no mean or quantiles of the common kind, and the value of HSV is just the greatest channel: neither
is a plane here; a* and b* hold the hue.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.preprocess.normalize import SIGNAL_MAX
from cellseg.preprocess.recipe import Recipe
from cellseg.types import Pixels

_XYZ_OF_SRGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_BITS = 20
"""Fixed point of the matrix and of the cube root: 2^-20."""
_LIGHT_BITS = 24
"""Fixed point of linear light: 2^-24; the upper 12 bits look up the cube root, the lower ones lie between."""
_NODE_BITS = 12
_AB_STEPS = 16
_AB_LEAST = -128


@dataclass(frozen=True)
class ColourPlane:
    """A plane of a colour space; its values are `count * scale + offset`.

    Attributes
    ----------
    name, unit : str
        `lab_l`, `lab_a`, `lab_b` or `hsv_saturation`; all without a unit.
    scale, offset : float
        L* in steps of 100/4095, a* and b* in steps of 1/16 from -128, saturation in steps of 1/4095.
    channel : int
        Its place in what `render_colours` gives.
    """

    name: str
    unit: str
    scale: float
    offset: float
    channel: int

    def render(self, pixels: Pixels) -> NDArray[np.uint16]:
        """Counts (h, w) uint16, 0 to 4095, of pixels (h, w, 3) uint8 or uint16."""
        return _render(pixels, self.channel, self.channel + 1)[..., 0]


COLOUR_PLANES = (
    ColourPlane("lab_l", "1", 100 / SIGNAL_MAX, 0.0, 0),
    ColourPlane("lab_a", "1", 1 / _AB_STEPS, float(_AB_LEAST), 1),
    ColourPlane("lab_b", "1", 1 / _AB_STEPS, float(_AB_LEAST), 2),
    ColourPlane("hsv_saturation", "1", 1 / SIGNAL_MAX, 0.0, 3),
)
"""In the order of `render_colours`."""


def colour_planes(recipe: Recipe) -> tuple[ColourPlane, ...]:
    """The colour planes that a slide has: all for colour of 8 or 16 bits, none else."""
    return COLOUR_PLANES if recipe.is_rgb else ()


def render_colours(pixels: Pixels) -> NDArray[np.uint16]:
    """All colour planes of some pixels at once, in less time than one by one.

    Parameters
    ----------
    pixels : (h, w, 3) ndarray of uint8 or uint16
        Red, green, blue; sRGB over the whole range of the type.

    Returns
    -------
    (h, w, 4) ndarray of uint16
        Counts from 0 to 4095 of L*, a*, b* and saturation; `COLOUR_PLANES` says what a count stands for.
    """
    return _render(pixels, 0, len(COLOUR_PLANES))


def _render(pixels: Pixels, first: int, last: int) -> NDArray[np.uint16]:
    height, width, _ = pixels.shape
    out = np.empty((height, width, last - first), np.uint16)
    flat, target = np.ascontiguousarray(pixels).reshape(-1, 3), out.reshape(-1, last - first)
    _convert(flat, _light(int(np.iinfo(pixels.dtype).max)), _matrix(), _roots(), first, target)
    return out


@lru_cache(maxsize=2)
def _light(max_level: int) -> NDArray[np.int64]:
    """Linear light of each stored level."""
    level = np.arange(max_level + 1) / max_level
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.round(linear * 2**_LIGHT_BITS), np.int64)


@lru_cache(maxsize=1)
def _matrix() -> NDArray[np.int64]:
    """From light to X, Y, Z relative to white; rows sum to 1, so that equal channels stay equal."""
    share = np.array(_XYZ_OF_SRGB) / np.sum(_XYZ_OF_SRGB, axis=1, keepdims=True)
    table: NDArray[np.int64] = np.round(share * 2**_BITS).astype(np.int64)
    table[:, 1] += 2**_BITS - table.sum(axis=1)
    return table


@lru_cache(maxsize=1)
def _roots() -> NDArray[np.int64]:
    """The cube root of CIE 1976 with its straight foot, at 4097 places from 0 to 1, and one more to lie between."""
    t = np.arange(2**_NODE_BITS + 2) / 2**_NODE_BITS
    foot = 6 / 29
    root = np.where(t > foot**3, np.cbrt(t), t / (3 * foot**2) + 4 / 29)
    return np.asarray(np.round(root * 2**_BITS), np.int64)


@njit(nogil=True, cache=True)
def _root(light: int, roots: NDArray[np.int64]) -> int:
    node, part = light >> _NODE_BITS, light & ((1 << _NODE_BITS) - 1)
    here = roots[node]
    return int(here + (((roots[node + 1] - here) * part) >> _NODE_BITS))


@njit(nogil=True, cache=True)
def _clip(count: int) -> int:
    return int(min(max(count, 0), SIGNAL_MAX))


@njit(nogil=True, cache=True)
def _convert(
    pixels: NDArray[Any],
    light: NDArray[np.int64],
    matrix: NDArray[np.int64],
    roots: NDArray[np.int64],
    first: int,
    out: NDArray[np.uint16],
) -> None:
    """Counts of the planes from `first` on, as many as `out` has columns."""
    last = first + out.shape[1]
    half = np.int64(1) << (_BITS - 1)
    zero = -_AB_LEAST * _AB_STEPS
    for i in range(len(pixels)):
        red, green, blue = light[pixels[i, 0]], light[pixels[i, 1]], light[pixels[i, 2]]
        if first < 3:
            y = _root((matrix[1, 0] * red + matrix[1, 1] * green + matrix[1, 2] * blue + half) >> _BITS, roots)
            if first == 0:
                # (116 f - 16) / 100 is (29 f - 4) / 25
                count = SIGNAL_MAX * (29 * y - (np.int64(4) << _BITS))
                out[i, 0] = _clip((count + 25 * half) // (25 << _BITS))
            if first <= 1 < last:
                x = _root((matrix[0, 0] * red + matrix[0, 1] * green + matrix[0, 2] * blue + half) >> _BITS, roots)
                out[i, 1 - first] = _clip(((500 * _AB_STEPS * (x - y) + half) >> _BITS) + zero)
            if first <= 2 < last:
                z = _root((matrix[2, 0] * red + matrix[2, 1] * green + matrix[2, 2] * blue + half) >> _BITS, roots)
                out[i, 2 - first] = _clip(((200 * _AB_STEPS * (y - z) + half) >> _BITS) + zero)
        if last == 4:
            r, g, b = np.int64(pixels[i, 0]), np.int64(pixels[i, 1]), np.int64(pixels[i, 2])
            most, least = max(r, g, b), min(r, g, b)
            out[i, 3 - first] = (SIGNAL_MAX * (most - least) + most // 2) // most if most else 0
