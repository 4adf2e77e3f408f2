"""A slide with its tissues in colour. Floor 3: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cellseg.report.cells import Picture
from cellseg.report.palette import RGB

TINT, FAINT_TINT = 0.38, 0.10
"""How much of a tissue's colour its pixels get; the first class, mostly background, gets the second."""
_ROWS = 256


def tint_tissues(picture: Picture, classes: NDArray[np.uint8], colours: Sequence[RGB], *, line_px: int = 2) -> Picture:
    """The picture with each tissue tinted and its boundary drawn.

    Parameters
    ----------
    picture : (H, W, 3) ndarray of uint8
    classes : (H, W) ndarray of uint8
        Class of each pixel of the picture; values without a colour are left as they are.
    colours : sequence of RGB
        Of the classes 0, 1, ...
    line_px : int
        Width of the boundaries, drawn inside of every class but the first.
    """
    table = np.zeros((256, 3), np.float32)
    table[: len(colours)] = colours
    strength = np.zeros(256, np.float32)
    strength[: len(colours)] = TINT
    strength[0] = FAINT_TINT
    out = np.empty_like(picture)
    for y in range(0, len(picture), _ROWS):
        rows = slice(y, y + _ROWS)
        own = strength[classes[rows]][:, :, None]
        out[rows] = np.floor(picture[rows] * (1 - own) + table[classes[rows]] * own + np.float32(0.5))
    lines = _rims(classes, line_px) & (classes > 0) & (classes < len(colours))
    out[lines] = table[classes[lines]]
    return out


def _rims(classes: NDArray[np.uint8], width_px: int) -> NDArray[np.bool_]:
    """Pixels with another class within `width_px` rows or columns; the picture's border is no boundary."""
    out = np.zeros(classes.shape, bool)
    for step in range(1, width_px + 1):
        down, across = classes[step:] != classes[:-step], classes[:, step:] != classes[:, :-step]
        out[step:] |= down
        out[:-step] |= down
        out[:, step:] |= across
        out[:, :-step] |= across
    return out
