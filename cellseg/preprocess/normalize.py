"""From stored pixels to planes (gray, channel, stain OD, segmentation signal) by look-up tables. Floor 3.

A plane is a sum over channels of one table entry each, in fixed-point integers: the same bytes wherever the window
lies, and one compiled loop for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.errors import ConfigError
from cellseg.preprocess.recipe import Recipe
from cellseg.types import Pixels

SIGNAL_MAX = 4095
"""Greatest count of a plane: 12 bits hold OD in steps of 0.001 and leave the histogram small."""
OD_SCALE = 0.001
_SHIFT = 12
_GRAY_WEIGHTS = (0.2125, 0.7154, 0.0721)


@dataclass(frozen=True)
class Plane:
    """A plane that can be made from a window of pixels; its values are `count * scale`.

    `table` is (channels, gray levels) int32, in units of 2**-12 counts; `curve` (4096,) uint16 bends their sum.
    """

    name: str
    unit: str
    scale: float
    table: NDArray[np.int32]
    curve: NDArray[np.uint16]

    def render(self, pixels: Pixels) -> NDArray[np.uint16]:
        """Counts (h, w) uint16, 0 to 4095, of pixels (h, w, C)."""
        return _apply(np.ascontiguousarray(pixels), self.table, self.curve)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Signal:
    """The plane that segmentation looks at: cells are high. `to_native` turns a count back into the user's unit."""

    plane: Plane
    channel: str
    unit: str
    low: float
    high: float
    gamma: float
    dark: bool

    def to_native(self, count: float) -> float:
        """The gray level (or OD) that a count stands for."""
        share = float((count / SIGNAL_MAX) ** (1.0 / self.gamma))
        return self.high - share * (self.high - self.low) if self.dark else self.low + share * (self.high - self.low)

    def to_count(self, native: float) -> int:
        """The count that a gray level (or OD) has in the plane."""
        return int(_bend(np.array([native]), self.low, self.high, self.gamma, dark=self.dark)[0])

    def part_at(self, native: float) -> tuple[Signal, int]:
        """The signal for a threshold that the user names, and the count that just what lies beyond it exceeds.

        A count of a 16-bit image stands for some 16 gray levels; the table of one channel is moved so that the
        threshold parts it between the right two. Colour and stains are parted as finely as their counts go.
        """
        used = np.flatnonzero(self.plane.table.any(axis=1))
        if self.unit == "OD" or len(used) != 1:
            return self, self.to_count(native)
        at = min(self.to_count(native), SIGNAL_MAX - 1)
        counts = self.plane.table[used[0]] >> _SHIFT
        levels = np.arange(len(counts))
        cell = levels < native if self.dark else levels > native
        table = self.plane.table.copy()
        table[used[0]] = np.where(cell, np.maximum(counts, at + 1), np.minimum(counts, at)) << _SHIFT
        return replace(self, plane=replace(self.plane, table=table)), at


@njit(nogil=True, cache=True)
def _apply(pixels: NDArray[Any], table: NDArray[np.int32], curve: NDArray[np.uint16]) -> NDArray[np.uint16]:
    height, width, n_channels = pixels.shape
    out = np.empty((height, width), np.uint16)
    half = np.int64(1) << (_SHIFT - 1)
    for y in range(height):
        for x in range(width):
            total = half
            if n_channels == 3:  # written out, colour takes half the time
                total += table[0, pixels[y, x, 0]] + table[1, pixels[y, x, 1]] + table[2, pixels[y, x, 2]]
            else:
                for c in range(n_channels):
                    total += table[c, pixels[y, x, c]]
            count = total >> _SHIFT
            out[y, x] = curve[min(max(count, np.int64(0)), np.int64(SIGNAL_MAX))]
    return out


def _bend(values: NDArray[Any], low: float, high: float, gamma: float, *, dark: bool) -> NDArray[np.uint16]:
    """Counts of native values: scaled to low..high, turned where cells are dark, raised to gamma."""
    share = np.clip((values - low) / max(high - low, 1e-9), 0.0, 1.0)
    return np.round((1.0 - share if dark else share) ** gamma * SIGNAL_MAX).astype(np.uint16)


def _linear(recipe: Recipe, weights: tuple[float, ...]) -> NDArray[np.int32]:
    """A table whose sum is the weighted gray level, the pixel type's whole range spread over 0..4095."""
    levels = np.arange(recipe.max_level + 1) * (SIGNAL_MAX / recipe.max_level)
    return np.asarray(np.round(np.outer(weights, levels) * 2**_SHIFT), np.int32)


def _weights(recipe: Recipe, channel: str) -> tuple[float, ...]:
    if channel == "gray" and recipe.is_rgb:
        return _GRAY_WEIGHTS
    name = recipe.channel_names[gray_channel(recipe)] if channel == "gray" else channel
    return tuple(float(other == name) for other in recipe.channel_names)


def gray_channel(recipe: Recipe) -> int:
    """Index of the channel that stands for gray where the image is not colour: the sheet's, or the first."""
    return recipe.channel_names.index(recipe.channel) if recipe.channel in recipe.channel_names else 0


def _identity() -> NDArray[np.uint16]:
    return np.arange(SIGNAL_MAX + 1, dtype=np.uint16)


def gray_plane(recipe: Recipe) -> Plane:
    """Gray in steps of 1/4095 of the range: ITU-R BT.709 weights for colour, else the sheet's channel or the first."""
    return Plane(
        "intensity_gray",
        "gray level",
        recipe.max_level / SIGNAL_MAX,
        _linear(recipe, _weights(recipe, "gray")),
        _identity(),
    )


def stain_plane(recipe: Recipe, stain: str) -> Plane:
    """Optical density (log10) of one separated stain, after Ruifrok & Johnston 2001; negative amounts count as 0.

    Raises
    ------
    ConfigError
        If the slide's recipe has no such stain.
    """
    if stain not in recipe.stain_names:
        raise ConfigError(
            f"channel {stain!r}: the slide has the stains {', '.join(recipe.stain_names) or 'none'} and the channels "
            f"{', '.join(recipe.channel_names)}; choose one of them, gray or auto"
        )
    unmix = np.linalg.inv(np.array(recipe.stain_matrix))[:, recipe.stain_names.index(stain)]
    levels = np.arange(recipe.max_level + 1)
    density = np.stack([-np.log10((levels + 1.0) / (level + 1.0)) for level in recipe.background])
    table = np.round(unmix[:, None] * density / OD_SCALE * 2**_SHIFT).astype(np.int32)
    return Plane(f"od_{stain}", "OD", OD_SCALE, table, _identity())


def measured_stains(recipe: Recipe) -> tuple[Plane, ...]:
    """The stain planes that the measurements describe; a residual is not a stain."""
    return tuple(stain_plane(recipe, name) for name in recipe.stain_names if name != "residual")


def segmentation_signal(recipe: Recipe, channel: str, foreground: str, *, max_eosin_share: float = 1.0) -> Signal:
    """The plane that thresholding looks at, turned so that cells are high.

    `channel` and `foreground` are the settings of the same names; `auto` goes by the slide's stain, and for H&E by
    whether the stain vectors fit it: where more than `max_eosin_share` of the darkest tissue counts as eosin, gray is
    safer.

    Raises
    ------
    ConfigError
        If the slide has no such channel or stain, or a stain is asked for with dark foreground.
    """
    if recipe.channel:
        channel = recipe.channel
    elif channel == "auto":
        separable = recipe.stain in ("he", "hdab") and recipe.dark_eosin_share <= max_eosin_share
        channel = "hematoxylin" if separable else "gray"
    if channel != "gray" and channel not in recipe.channel_names:
        if foreground == "dark":
            raise ConfigError(f"channel {channel!r} with foreground dark: cells have more stain, not less; use auto")
        plane = stain_plane(recipe, channel)
        return Signal(plane, channel, "OD", 0.0, SIGNAL_MAX * OD_SCALE, 1.0, dark=False)
    dark = recipe.stain != "fluorescence" if foreground == "auto" else foreground == "dark"
    low, high, gamma = 0.0, float(recipe.max_level), 1.0
    if recipe.stain == "fluorescence":
        index = gray_channel(recipe) if channel == "gray" else recipe.channel_names.index(channel)
        colour = channel == "gray" and recipe.is_rgb
        low, high = (recipe.gray_low, recipe.gray_high) if colour else (recipe.low[index], recipe.high[index])
        gamma = recipe.gamma
    weights = _weights(recipe, channel)
    if max(weights) == 1.0:
        # one channel: bent before it is cut to 12 bits, so that a dim 16-bit image keeps its levels
        counts = _bend(np.arange(recipe.max_level + 1), low, high, gamma, dark=dark)
        table = np.outer(weights, counts).astype(np.int32) << _SHIFT
        curve = _identity()
    else:
        table = _linear(recipe, weights)
        curve = _bend(np.arange(SIGNAL_MAX + 1) * (recipe.max_level / SIGNAL_MAX), low, high, gamma, dark=dark)
    return Signal(Plane(f"signal_{channel}", "count", 1.0, table, curve), channel, "gray level", low, high, gamma, dark)
