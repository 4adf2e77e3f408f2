"""Colours that colour-blind readers can tell apart, and the typeface. Floor 3: constants and text sizes."""

from __future__ import annotations

import colorsys
from functools import cache

from PIL import ImageFont

from cellseg.types import Status

RGB = tuple[int, int, int]

STATUS_RGB: dict[Status, RGB] = {
    "healthy": (0, 114, 178),
    "abnormal": (213, 94, 0),
    "uncertain": (240, 228, 66),
    "excluded": (150, 150, 150),
}
"""Blue, vermilion, yellow after Okabe & Ito 2008 (Color Universal Design), and gray for what is not judged."""
STATUS_RGB_ON_TISSUE: dict[Status, RGB] = STATUS_RGB | {
    "healthy": (0, 105, 200),
    "abnormal": (255, 80, 0),
    "excluded": (215, 215, 215),
}
"""The same with more glow, for lines on stained tissue."""
STATUS_RGB_ON_DARK: dict[Status, RGB] = STATUS_RGB | {"healthy": (86, 180, 233), "abnormal": (255, 118, 20)}
"""The same with lighter blue and vermilion, for fluorescence."""
DRAW_ORDER: tuple[Status, ...] = ("excluded", "healthy", "uncertain", "abnormal")
"""What is drawn later lies on top."""

TISSUE_RGB: tuple[RGB, ...] = (
    (170, 170, 170), (0, 158, 115), (86, 180, 233), (240, 228, 66), (230, 159, 0), (0, 90, 181), (213, 43, 0),
    (136, 34, 85), (153, 153, 51), (68, 170, 153), (51, 34, 136), (204, 121, 167),
)  # fmt: skip
"""Of tissues by number, after Okabe & Ito 2008 and Tol 2021 (SRON); the first, mostly background, is gray, and those
close to hematoxylin and eosin come last."""


def tissue_colours(n: int) -> tuple[RGB, ...]:
    """A colour for each of `n` tissues; from the thirteenth on they are spread over hues, and less far apart."""
    more = [colorsys.hsv_to_rgb(0.618 * k % 1, 0.55, 0.75) for k in range(max(n - len(TISSUE_RGB), 0))]
    rest = tuple((round(r * 255), round(g * 255), round(b * 255)) for r, g, b in more)
    return (TISSUE_RGB + rest)[:n]


INK: RGB = (34, 34, 34)
FAINT: RGB = (110, 110, 110)
PAPER: RGB = (255, 255, 255)


@cache
def typeface(size_px: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along: it has the micro sign and looks the same on every machine."""
    import matplotlib  # many who want a colour write no text

    name = "DejaVuSans-Bold" if bold else "DejaVuSans"
    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{name}.ttf", size_px)


def hex_colour(rgb: RGB) -> str:
    """The colour as matplotlib and HTML write it: "#d55e00" for (213, 94, 0)."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)
