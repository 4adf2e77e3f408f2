"""Rows of cells called wrongly and rightly: one scale for all, thin outlines by decision, the same bytes twice."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from cellseg.report.cell_gallery import CellCrop, ClassCells, draw_cell, plot_cells
from cellseg.report.palette import RGB, STATUS_RGB, STATUS_RGB_ON_DARK

INSIDE, OUTSIDE = (150, 60, 60), (225, 215, 220)
NAN = float("nan")


def crop(*, mpp: float = 0.1, radius_um: float = 3.0, side_um: float = 12.0, called: bool = False, **named) -> CellCrop:
    """A round cell in the middle."""
    n = round(side_um / mpp)
    y, x = (np.indices((n, n)) - (n - 1) / 2) * mpp
    mask = np.hypot(y, x) <= radius_um
    picture = np.where(mask[..., None], INSIDE, OUTSIDE).astype(np.uint8)
    return CellCrop(picture, mask, mpp, called, **({"value": "0.12", "sample": "A", "cell": "7"} | named))


def row(n_wrong: int = 2, n_right: int = 1, **fields) -> ClassCells:
    plain = {"name": "burr", "abnormal": True, "weak": False, "called_right": 0.8, "n_cells": 9}
    wrong, right = [crop(called=False)] * n_wrong, [crop(called=True)] * n_right
    return ClassCells(**(plain | {"wrong": wrong, "right": right} | fields))


def picture(classes: list[ClassCells], **options) -> np.ndarray:
    one, two = (plot_cells(classes, **({"field_um": 10.0, "title": "slides"} | options)) for _ in range(2))
    assert one == two
    return cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def count(pixels: np.ndarray, colour: RGB) -> int:
    return int((pixels == np.array(colour)).all(axis=2).sum())


def outlined(cell: CellCrop, **options) -> np.ndarray:
    return draw_cell(cell, **({"field_um": 10.0, "side": 100, "colour": (0, 255, 0)} | options))


def green(pixels: np.ndarray) -> np.ndarray:
    return pixels[..., 1].astype(int) - pixels[..., 0] > 100


@pytest.mark.parametrize("mpp", [0.04, 0.1, 0.25])
def test_a_cell_is_shown_at_one_scale_whatever_the_pixels_size(mpp: float) -> None:
    found = np.argwhere(green(outlined(crop(mpp=mpp))))
    # 6 um across are 60 of 100 px, with the line around it; half a pixel of the image to each side
    tolerance = 3 + 10 * mpp
    assert found.max(axis=0) - found.min(axis=0) + 1 == pytest.approx([63, 63], abs=tolerance)
    assert found.mean(axis=0) == pytest.approx([49.5, 49.5], abs=1.5)


def test_the_line_is_thin_and_outside_of_the_cell() -> None:
    pixels = outlined(crop())
    assert 150 < green(pixels).sum() < 400
    y, x = np.indices((100, 100)) - 49.5
    radius = np.hypot(y, x)
    # the cell's own is 30
    assert 30.2 < radius[green(pixels)].mean() < 32
    assert (pixels[radius < 28] == INSIDE).all()
    assert (pixels[radius > 36] == OUTSIDE).all()


def test_a_cell_larger_than_the_field_is_cut() -> None:
    pixels = outlined(crop(radius_um=5.8), field_um=6.0)
    assert pixels.shape == (100, 100, 3)
    assert (pixels == INSIDE).all()


@pytest.mark.parametrize("n", [0, 1, 12])
def test_any_number_of_classes(n: int) -> None:
    pixels = picture([row(name=f"class $_{at}", called_right=NAN) for at in range(n)], notes=["one", "two"])
    assert (pixels < 100).any()
    assert count(pixels, INSIDE) >= n * 3 * 1000
    assert count(pixels, INSIDE) == n * count(picture([row(name="class", called_right=NAN)]), INSIDE)


@pytest.mark.parametrize(("n_wrong", "n_right"), [(0, 0), (0, 3), (10, 0), (10, 3)])
def test_any_number_of_cells(n_wrong: int, n_right: int) -> None:
    pixels = picture([row(n_wrong, n_right)])
    # smoothed lines: near to their colour; the legend has a circle of each
    redder = pixels[..., 0].astype(int) - pixels[..., 2]
    assert ((redder < -130).sum() > 150) == (n_wrong > 0)
    assert ((redder > 130).sum() > 150) == (n_right > 0)


def test_lines_are_lighter_on_a_dark_ground() -> None:
    light = STATUS_RGB_ON_DARK["healthy"]
    assert count(picture([row()], dark=True), light) > 60
    assert count(picture([row()]), light) == 0


def test_weak_classes_stand_out() -> None:
    assert count(picture([row(weak=True)]), STATUS_RGB["abnormal"]) > 100
    assert count(picture([row(weak=False)]), STATUS_RGB["abnormal"]) == 0


def test_long_names_are_cut_and_stay_in_their_place() -> None:
    long = "a name that is far too long for the place that it has " * 4
    classes = [row(1, 1)]
    names = [row(1, 1, name=long, wrong=[replace(crop(), sample=long)])]
    plain, cut = picture(classes), picture(names, title=long * 3, notes=[long * 3])
    assert plain.shape[1] == cut.shape[1]
    # nothing is written over the cells or the margins
    assert count(cut, INSIDE) == count(plain, INSIDE)
    assert (cut[:, :24] == 255).all()
    assert (cut[:, -24:] == 255).all()


def test_the_bar_is_of_the_scale_of_the_cells() -> None:
    pixels = picture([])
    ink = (pixels == 34).all(axis=2)
    longest = max(len(run) for line in ink for run in "".join("x" if dark else " " for dark in line).split())
    # 5 of 10 um are half of a cell's picture of 136 px
    assert longest == 68
