"""Reading a slide from the level that fits a network's scale, instead of reducing all of its pixels. Floor 6."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cellseg.segment.scale import View
from cellseg.types import Level, Pixels, Slide, Window

_TOLERANCE = 0.01


def fitting_level(levels: Sequence[Level], scale: float) -> tuple[int, float]:
    """The smallest level that has at least the network's pixels, and how many pixels of the slide one of its is wide.

    Parameters
    ----------
    levels : sequence of Level
        Of a slide, the first its own pixels.
    scale : float
        Pixels of the network per pixel of the slide.

    Returns
    -------
    int, float
        Index of the level and its downsample: a whole number where the level's size is that of one, rounded.

    Examples
    --------
    >>> fitting_level((Level(1001, 900, 1.0), Level(250, 225, 4.002), Level(62, 56, 16.11)), scale=0.2)
    (1, 4.0)
    """
    pitches = [_pitch(levels[0], level) for level in levels]
    fits = [index for index, pitch in enumerate(pitches) if pitch * scale <= 1 + _TOLERANCE]
    best = max(fits, key=pitches.__getitem__, default=0)
    return best, pitches[best]


def _pitch(base: Level, level: Level) -> float:
    """The downsample that the level was made with; the ratio of sides is off by what they were rounded by."""
    whole = max(round(level.downsample), 1)
    near = all(
        own in (side // whole, -(-side // whole))
        for own, side in ((level.height, base.height), (level.width, base.width))
    )
    return float(whole) if near else level.downsample


def view_of_slide(slide: Slide, scale: float) -> tuple[View, Callable[[Window], Pixels]]:
    """The view of a network at `scale`, and what reads its windows: both in pixels of the level that fits.

    A slide without levels, and a network that looks closer than its pixels, get the slide's own pixels.

    Parameters
    ----------
    slide : Slide
        Open.
    scale : float
        Pixels of the network per pixel of the slide.

    Returns
    -------
    View, callable
        The callable gives (h, w, C) of a window inside the view; where a level was rounded down, its last row or column
        is repeated.
    """
    index, pitch = fitting_level(slide.levels, scale)
    level = slide.levels[index]
    # black begins where the slide ends, to half a pixel of the level
    height, width = (max(int(np.floor(side / pitch + 0.5)), 1) for side in (slide.height, slide.width))

    def read(window: Window) -> Pixels:
        inside = Window(
            min(window.y0, level.height - 1), min(window.y1, level.height),
            min(window.x0, level.width - 1), min(window.x1, level.width),
        )  # fmt: skip
        pixels = slide.read(inside, index)
        beyond = (window.height - inside.height, window.width - inside.width)
        if any(beyond):
            pixels = np.asarray(np.pad(pixels, ((0, beyond[0]), (0, beyond[1]), (0, 0)), mode="edge"), slide.dtype)
        return pixels

    return View(scale * pitch, height, width), read
