"""A picture made presentable: title, panels side by side, scale bars, legend. Floor 3: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cellseg.report.cells import Picture
from cellseg.report.palette import FAINT, INK, PAPER, RGB, typeface

_BAR_SHARE = 0.22
_ROUND = (1.0, 2.0, 5.0)
_MIN_WIDTH_PX = 420


@dataclass(frozen=True)
class Panel:
    """A picture (H, W, 3), how many um one of its pixels is, and a line under it (may be empty)."""

    picture: Picture
    um_per_px: float
    caption: str = ""


def round_length_um(longest_um: float) -> float:
    """The greatest of 1, 2, 5, 10, 20, ... (or 0.5, 0.2, ...) that is no longer than `longest_um` (> 0).

    Examples
    --------
    >>> round_length_um(73.0), round_length_um(100.0), round_length_um(0.7)
    (50.0, 100.0, 0.5)
    """
    power = 10.0 ** np.floor(np.log10(longest_um))
    return float(max(step * power for step in _ROUND if step * power <= longest_um * (1 + 1e-9)))


def length_label(length_um: float) -> str:
    """The length as people write it: "50 µm", "2 mm".

    Examples
    --------
    >>> length_label(50.0), length_label(2000.0), length_label(0.5)
    ('50 µm', '2 mm', '0.5 µm')
    """
    return f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um:g} µm"


def draw_scale_bar(picture: Picture, *, um_per_px: float, size: int) -> Picture:
    """The picture with a scale bar of a round length in its lower right corner; as it was where there is no room.

    `size` is the height of the label, px.
    """
    height, width = picture.shape[:2]
    if height < 5 * size or width < 6 * size:
        return picture
    font, pad, thick = typeface(size), max(size // 2, 4), max(size // 5, 3)
    # short enough for the share, yet never shorter than reads as a bar
    length_um = round_length_um(max(_BAR_SHARE * width, 3 * size) * um_per_px)
    label, bar_px = length_label(length_um), round(length_um / um_per_px)
    box_w = max(bar_px, int(font.getlength(label))) + 2 * pad
    box_h = size + thick + 2 * pad + pad // 2
    x0, y0 = width - box_w - pad, height - box_h - pad
    image = Image.fromarray(picture)
    shade = Image.new("RGBA", (box_w, box_h), (0, 0, 0, 0))
    ImageDraw.Draw(shade).rounded_rectangle((0, 0, box_w - 1, box_h - 1), pad // 2, fill=(0, 0, 0, 165))
    image.paste(shade, (x0, y0), shade)
    draw = ImageDraw.Draw(image)
    middle = x0 + box_w // 2
    bar_x, bar_y = middle - bar_px // 2, y0 + box_h - pad - thick
    draw.rectangle((bar_x, bar_y, bar_x + bar_px - 1, bar_y + thick - 1), fill=PAPER)
    draw.text((middle, bar_y - pad // 2), label, font=font, fill=PAPER, anchor="ms")
    return np.asarray(image)


def compose_sheet(
    panels: Sequence[Panel],
    *,
    title: str,
    subtitle: str,
    legend: Mapping[str, RGB],
) -> Picture:
    """One picture with a title, the panels side by side with their scale bars, and a legend of words and colours."""
    size = _font_px(sum(panel.picture.shape[1] for panel in panels))
    gap = size
    inner_w = max(sum(panel.picture.shape[1] for panel in panels) + gap * (len(panels) - 1), _MIN_WIDTH_PX)
    panel_h = max(panel.picture.shape[0] for panel in panels)
    caption_h = round(1.8 * size) if any(panel.caption for panel in panels) else 0
    lines = _legend_lines(legend, inner_w, size)
    header_lines = _header(title, subtitle, inner_w, size)
    header_h = round(1.5 * size * len(header_lines)) + gap // 2
    legend_h = round(1.7 * size) * len(lines)
    sheet = Image.new("RGB", (inner_w + 2 * gap, header_h + panel_h + caption_h + legend_h + 3 * gap), PAPER)
    draw = ImageDraw.Draw(sheet)
    _draw_header(draw, header_lines, gap, inner_w, size)
    x, top = gap + max(0, (inner_w - _panels_width(panels, gap)) // 2), gap + header_h
    for panel in panels:
        sheet.paste(Image.fromarray(draw_scale_bar(panel.picture, um_per_px=panel.um_per_px, size=size)), (x, top))
        if panel.caption:
            draw.text((x, top + panel.picture.shape[0] + size // 2), panel.caption, font=typeface(size), fill=FAINT)
        x += panel.picture.shape[1] + gap
    _draw_legend(draw, lines, gap, top + panel_h + caption_h + gap, size)
    return np.asarray(sheet)


def _font_px(width_px: int) -> int:
    """A size that reads well on a picture of this width."""
    return min(max(width_px // 62, 13), 46)


def _panels_width(panels: Sequence[Panel], gap: int) -> int:
    return int(sum(panel.picture.shape[1] for panel in panels)) + gap * (len(panels) - 1)


def _header(title: str, subtitle: str, width: int, size: int) -> list[tuple[str, str]]:
    """Title and subtitle on one line where both fit, else on two; too long a title is cut."""
    bold = typeface(size, bold=True)
    if bold.getlength(title) + typeface(size).getlength(subtitle) + 2 * size <= width:
        return [(title, subtitle)]
    while bold.getlength(title) > width and len(title) > 1:
        title = title.removesuffix("…")[:-1] + "…"
    return [(title, ""), ("", subtitle)]


def _draw_header(draw: ImageDraw.ImageDraw, lines: list[tuple[str, str]], gap: int, width: int, size: int) -> None:
    for number, (left, right) in enumerate(lines):
        y = gap + round(1.5 * size * number)
        draw.text((gap, y), left, font=typeface(size, bold=True), fill=INK)
        at, anchor = ((gap, y), "la") if len(lines) > 1 else ((gap + width, y), "ra")
        draw.text(at, right, font=typeface(size), fill=FAINT, anchor=anchor)


def _legend_lines(legend: Mapping[str, RGB], width: int, size: int) -> list[list[tuple[RGB, str, int]]]:
    """The legend's entries (colour, words, width in px) broken into lines that fit."""
    lines: list[list[tuple[RGB, str, int]]] = [[]]
    used = 0
    for words, colour in legend.items():
        entry_px = int(typeface(size).getlength(words)) + round(3.2 * size)
        if lines[-1] and used + entry_px > width:
            lines.append([])
            used = 0
        lines[-1].append((colour, words, entry_px))
        used += entry_px
    return lines


def _draw_legend(
    draw: ImageDraw.ImageDraw, lines: list[list[tuple[RGB, str, int]]], gap: int, top: int, size: int
) -> None:
    for number, line in enumerate(lines):
        x, y = gap, top + round(1.7 * size) * number
        for colour, words, entry_px in line:
            draw.rounded_rectangle((x, y, x + size, y + size), max(size // 6, 2), fill=colour, outline=INK)
            draw.text((x + round(1.5 * size), y + size // 2), words, font=typeface(size), fill=INK, anchor="lm")
            x += entry_px


def mark_field(picture: Picture, *, y0: int, y1: int, x0: int, x1: int) -> NDArray[np.uint8]:
    """The picture with a frame around a field, white in black so that it shows on any tissue."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    width = max(_font_px(max(picture.shape[:2])) // 12, 1)
    for grow, colour in ((2 * width, (0, 0, 0)), (width, PAPER), (0, (0, 0, 0))):
        draw.rectangle((x0 - grow, y0 - grow, x1 + grow, y1 + grow), outline=colour, width=width)
    return np.asarray(image)
