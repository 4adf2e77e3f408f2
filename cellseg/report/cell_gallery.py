"""Cells of known class in rows: those called wrongly, and some called rightly. Floor 3: arrays in, a picture out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cellseg.report.cells import Picture
from cellseg.report.palette import (
    FAINT,
    INK,
    PAPER,
    RGB,
    STATUS_RGB,
    STATUS_RGB_ON_DARK,
    STATUS_RGB_ON_TISSUE,
    typeface,
)
from cellseg.report.sheet import length_label, round_length_um

Font = ImageFont.FreeTypeFont
_SIDE = 136
"""Side of a cell's picture, px of the sheet."""
_GAP = 8
_LEFT = 236
_BETWEEN = 44
"""Room between cells called wrongly and rightly."""
_WORDS = 40
"""Room under a cell."""
_ROW_GAP = 16
_MARGIN = 24
_RULE: RGB = (225, 225, 225)
_SHARED_BAR = 0.5


@dataclass(frozen=True)
class CellCrop:
    """A cell in the middle of its surroundings, and what is written under it.

    Attributes
    ----------
    picture : (h, w, 3) ndarray of uint8
        At least as large as the field that is shown.
    mask : (h, w) ndarray of bool
        The cell.
    um_per_px : float
        Microns per pixel of both.
    called_abnormal : bool
        The decision; it colours the outline.
    value, sample, cell : str
        Probability or score; where the cell is from.
    """

    picture: Picture
    mask: NDArray[np.bool_]
    um_per_px: float
    called_abnormal: bool
    value: str
    sample: str
    cell: str


@dataclass(frozen=True)
class ClassCells:
    """One true class: its share called right of `n_cells`, and cells of it, the most telling first."""

    name: str
    abnormal: bool
    weak: bool
    called_right: float
    n_cells: int
    wrong: Sequence[CellCrop]
    right: Sequence[CellCrop]


def plot_cells(
    classes: Sequence[ClassCells], *, field_um: float, title: str, notes: Sequence[str] = (), dark: bool = False
) -> bytes:
    """A PNG with a row a class: its figures, cells called wrongly and, after a gap, cells called rightly.

    All cells are shown at one scale, outlined in the colour of what they were called.

    Parameters
    ----------
    classes : sequence of ClassCells
        Shown from top to bottom. May be empty.
    field_um : float
        Side of what is shown of each cell's surroundings, um, > 0.
    title : str
        Above all.
    notes : sequence of str
        Lines under the title.
    dark : bool
        Lighter lines, for pictures on a black ground.
    """
    n_wrong = max([len(row.wrong) for row in classes] + [3])
    n_right = max([len(row.right) for row in classes] + [2])
    step = _SIDE + _GAP
    right_x = _MARGIN + _LEFT + n_wrong * step - _GAP + _BETWEEN
    width = right_x + n_right * step - _GAP + _MARGIN
    head = _MARGIN + 34 + 24 * len(notes) + 52
    row_h = _SIDE + _WORDS + _ROW_GAP
    sheet = Image.new("RGB", (width, head + 26 + max(len(classes), 1) * row_h + _MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    colours = STATUS_RGB_ON_DARK if dark else STATUS_RGB_ON_TISSUE
    lines = colours["healthy"], colours["abnormal"]
    _write_head(draw, title, notes, width - 2 * _MARGIN)
    _draw_legend(draw, head - 28, lines, field_um)
    for x, words in ((_MARGIN + _LEFT, "called wrongly, the worst first"), (right_x, "called rightly, the surest")):
        draw.text((x, head + 2), words, font=typeface(15, bold=True), fill=INK)
    if not classes:
        draw.text((_MARGIN, head + 34), "no cells of a known class", font=typeface(15), fill=FAINT)
    for number, row in enumerate(classes):
        top = head + 26 + number * row_h
        draw.line((_MARGIN, top, width - _MARGIN - 1, top), fill=_RULE)
        _write_class(draw, row, top + _ROW_GAP // 2)
        for x0, cells in ((_MARGIN + _LEFT, row.wrong), (right_x, row.right)):
            for at, cell in enumerate(cells):
                _paste(sheet, draw, cell, (x0 + at * step, top + _ROW_GAP // 2), field_um, lines)
            if not cells:
                draw.text((x0, top + _ROW_GAP // 2 + _SIDE // 2), "none", font=typeface(15), fill=FAINT, anchor="lm")
    _, data = cv2.imencode(".png", cv2.cvtColor(np.asarray(sheet), cv2.COLOR_RGB2BGR))
    return bytes(data.tobytes())


def _write_head(draw: ImageDraw.ImageDraw, title: str, notes: Sequence[str], width: int) -> None:
    bold, plain = typeface(22, bold=True), typeface(15)
    draw.text((_MARGIN, _MARGIN), _cut(title, bold, width), font=bold, fill=INK)
    for number, note in enumerate(notes):
        draw.text((_MARGIN, _MARGIN + 36 + 24 * number), _cut(note, plain, width), font=plain, fill=FAINT)


def _draw_legend(draw: ImageDraw.ImageDraw, y: int, lines: tuple[RGB, RGB], field_um: float) -> None:
    """What the outlines mean, and a bar of the scale that all cells share; `y` is the line's middle."""
    font, x = typeface(15), _MARGIN + _LEFT
    for colour, words in zip(lines, ("called healthy", "called abnormal"), strict=True):
        draw.ellipse((x, y - 8, x + 16, y + 8), outline=colour, width=2)
        draw.text((x + 24, y), words, font=font, fill=INK, anchor="lm")
        x += 24 + round(font.getlength(words)) + 36
    length_um = round_length_um(_SHARED_BAR * field_um)
    bar = round(length_um / field_um * _SIDE)
    draw.rectangle((x, y - 2, x + bar - 1, y + 1), fill=INK)
    draw.text((x + bar + 10, y), length_label(length_um), font=font, fill=INK, anchor="lm")


def _write_class(draw: ImageDraw.ImageDraw, row: ClassCells, top: int) -> None:
    bold, plain = typeface(18, bold=True), typeface(14)
    strong = STATUS_RGB["abnormal"] if row.weak else INK
    draw.text((_MARGIN, top + 4), _cut(row.name, bold, _LEFT - 12), font=bold, fill=strong)
    share = "-" if np.isnan(row.called_right) else f"{row.called_right:.2f}"
    said = [
        (f"{share} of {row.n_cells:,} called right", INK),
        (f"truly {'abnormal' if row.abnormal else 'healthy'}", FAINT),
    ]
    said += [("a weak class", strong)] if row.weak else []
    for number, (words, colour) in enumerate(said):
        draw.text((_MARGIN, top + 34 + 22 * number), _cut(words, plain, _LEFT - 12), font=plain, fill=colour)


def _paste(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    cell: CellCrop,
    corner: tuple[int, int],
    field_um: float,
    lines: tuple[RGB, RGB],
) -> None:
    x, y = corner
    sheet.paste(
        Image.fromarray(draw_cell(cell, field_um=field_um, side=_SIDE, colour=lines[cell.called_abnormal])), corner
    )
    middle, plain = x + _SIDE // 2, typeface(13)
    draw.text((middle, y + _SIDE + 11), cell.value, font=typeface(15, bold=True), fill=INK, anchor="mm")
    number = f" / {cell.cell}"
    name = _cut(cell.sample, plain, _SIDE - round(plain.getlength(number)))
    draw.text((middle, y + _SIDE + 29), name + number, font=plain, fill=FAINT, anchor="mm")


def draw_cell(cell: CellCrop, *, field_um: float, side: int, colour: RGB) -> Picture:
    """The middle `field_um` x `field_um` of a cell's surroundings, with a thin line just outside of the cell.

    Parameters
    ----------
    cell : CellCrop
        The cell.
    field_um : float
        Side of what is shown, um, > 0.
    side : int
        Side of the picture, px.
    colour : (int, int, int)
        Of the line.

    Returns
    -------
    (side, side, 3) ndarray of uint8
    """
    scale = side / field_um * cell.um_per_px
    size = [max(round(n * scale), side) for n in cell.mask.shape]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    large = cv2.resize(cell.picture, (size[1], size[0]), interpolation=way)
    mask = cv2.resize(cell.mask.astype(np.float32), (size[1], size[0]), interpolation=cv2.INTER_LINEAR)
    # a step of pixels is no feature of the cell
    mask = cv2.GaussianBlur(mask, (0, 0), max(0.5 * scale, 0.5))
    y0, x0 = (size[0] - side) // 2, (size[1] - side) // 2
    picture = np.ascontiguousarray(large[y0 : y0 + side, x0 : x0 + side])
    inside = cv2.dilate((mask > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8))
    outlines, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    shifted = [outline - np.array([x0, y0], np.int32) for outline in outlines]
    cv2.polylines(picture, shifted, isClosed=True, color=colour, thickness=1, lineType=cv2.LINE_AA)
    return picture


def _cut(text: str, font: Font, width: int) -> str:
    """The text, its middle left out where it is wider than `width` px."""
    if font.getlength(text) <= width:
        return text
    kept = len(text)
    while kept > 1 and font.getlength(_middle_out(text, kept)) > width:
        kept -= 1
    return _middle_out(text, kept)


def _middle_out(text: str, kept: int) -> str:
    head = -(-kept // 2)
    return f"{text[:head]}…{text[len(text) - (kept - head) :]}"
