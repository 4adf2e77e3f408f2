"""The only list of feature families, and what runs them over a window of cells. Floor 3: arrays in, arrays out.

A new family is one function in its own file, one line in `WINDOW_FAMILIES` (what a cell's own window tells) or
`SLIDE_FAMILIES` (what needs the centroids of the whole slide), its name in `MeasureSettings.families` and its columns
in `columns.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellseg.columns import Column, Family, columns_of, safe_names
from cellseg.config import MeasureSettings
from cellseg.measure.boxes import Cells, scan_cells
from cellseg.measure.detected import UNSAID, Detected
from cellseg.measure.focus import measure_edge_sharpness
from cellseg.measure.intensity import describe_plane, gather_pixels
from cellseg.measure.neighborhood import measure_neighborhoods
from cellseg.measure.shape import measure_shapes
from cellseg.measure.tissue import no_tissue
from cellseg.preprocess.normalize import Plane, gray_plane, measured_stains
from cellseg.preprocess.recipe import Recipe
from cellseg.types import Labels, Pixels, Window

Values = dict[str, NDArray[Any]]
"""Column name to one value a cell."""
_BATCH = 1024
"""Cells measured together: few enough that their pixels stay in the processor's cache."""
DECIMALS = 6
"""Digits kept after the point: the same text on every machine, far finer than any measurement."""


@dataclass(frozen=True)
class CellWindow:
    """What a family sees: some cells whole, with a margin of 1 px where the image has it.

    `boxes` are y0, y1, x0, x1 in px of this window; labels of other cells are there too and are to be ignored.
    """

    labels: Labels
    pixels: Pixels
    ids: Labels
    boxes: NDArray[np.int64]
    n_pixels: NDArray[np.int64]
    recipe: Recipe


def _shape(view: CellWindow) -> Values:
    return measure_shapes(view.labels, view.ids, view.boxes, mpp=view.recipe.mpp)


def _intensity(view: CellWindow) -> Values:
    values, starts = gather_pixels(view.labels, view.pixels, view.ids, view.boxes, view.n_pixels)
    out: Values = {}
    for index, name in enumerate(channel_planes(view.recipe)):
        out |= _named(name, describe_plane(values[:, index], starts))
    for plane in _derived_planes(view.recipe):
        out |= _named(plane.name, describe_plane(plane.render(values[None])[0], starts, scale=plane.scale))
    return out


@lru_cache(maxsize=8)
def _derived_planes(recipe: Recipe) -> tuple[Plane, ...]:
    """Gray of colour and stains; kept, for tables of 16-bit images take milliseconds to make."""
    return (*((gray_plane(recipe),) if recipe.is_rgb else ()), *measured_stains(recipe))


@lru_cache(maxsize=8)
def _gray(recipe: Recipe) -> Plane:
    return gray_plane(recipe)


def _named(plane: str, statistics: Mapping[str, NDArray[Any]]) -> Values:
    return {f"{plane}_{key}": column for key, column in statistics.items()}


def _focus(view: CellWindow) -> Values:
    recipe = view.recipe
    sharpness = measure_edge_sharpness(
        view.labels, view.pixels, view.ids, view.boxes,
        gray=_gray(recipe), contrast=recipe.gray_contrast, mpp=recipe.mpp,
    )  # fmt: skip
    return {"edge_sharpness_per_um": sharpness}


def _neighborhood(cells: Cells, recipe: Recipe, settings: MeasureSettings) -> Values:
    return dict(
        measure_neighborhoods(
            cells.centroids_px, height_px=recipe.height_px, width_px=recipe.width_px, mpp=recipe.mpp,
            radius_um=settings.density_radius_um,
        )
    )  # fmt: skip


WINDOW_FAMILIES: dict[str, Callable[[CellWindow], Values]] = {
    "shape": _shape,
    "intensity": _intensity,
    "focus": _focus,
}
SLIDE_FAMILIES: dict[str, Callable[[Cells, Recipe, MeasureSettings], Values]] = {"neighborhood": _neighborhood}


def channel_planes(recipe: Recipe) -> tuple[str, ...]:
    """`intensity_<channel>` of each stored channel: lower case, no signs but `_`, each name once."""
    names: list[str] = []
    for index, channel in enumerate(recipe.channel_names):
        name = "intensity_" + (re.sub(r"[^a-z0-9]+", "_", channel.lower()).strip("_") or f"channel_{index + 1}")
        copies = sum(other == name or re.fullmatch(rf"{name}_\d+", other) is not None for other in names)
        names.append(f"{name}_{copies + 1}" if name in names else name)
    return tuple(names)


def plane_names(recipe: Recipe) -> tuple[str, ...]:
    """The planes whose statistics the table holds, in its order: stored channels, gray of colour, stains."""
    return (*channel_planes(recipe), *(plane.name for plane in _derived_planes(recipe)))


def measured_columns(recipe: Recipe, settings: MeasureSettings, tissues: Iterable[str] = ()) -> tuple[Column, ...]:
    """The columns of the measurements table of a slide, in order; `tissues` are the classes of its tissue map."""
    families: tuple[Family, ...] = ("identity", "position", *settings.families, "detection", "tissue", "flags")
    return columns_of(families, plane_names(recipe), safe_names(tissues))


def measure_slide(cells: Cells, *, recipe: Recipe, settings: MeasureSettings) -> Values:
    """The columns of the families that need the centroids of all cells of the slide, rounded."""
    out: Values = {}
    for family, measure in SLIDE_FAMILIES.items():
        if family in settings.families:
            out |= measure(cells, recipe, settings)
    return _rounded(out)


def measure_window(
    labels: Labels,
    pixels: Pixels,
    cells: Cells,
    window: Window,
    *,
    recipe: Recipe,
    settings: MeasureSettings,
    detected: Detected = UNSAID,
    tissue: Values | None = None,
) -> Values:
    """All columns of some cells but `sample` and those of `measure_slide`, floats rounded to 6 decimals.

    Parameters
    ----------
    labels : (H, W) ndarray of uint32
        The label image in `window`, which holds the cells whole and 1 px around them (except where the image ends).
    pixels : (H, W, C) ndarray of uint8 or uint16
        The image in `window`.
    cells : Cells
        The n cells to measure, n >= 0; other labels are ignored.
    window : Window
        Where the arrays lie in the image, px.
    recipe : Recipe
        Pixel size, channels, stains and size of the image.
    settings : MeasureSettings
        Which families.
    detected : Detected
        What the segmentation said of the labels.
    tissue : dict of str to (n,) ndarray, optional
        What the tissue map says of the cells (`tissue_of_cells`); None where there is no map.

    Returns
    -------
    dict of str to (n,) ndarray
        Column name to values.
    """
    labels = np.ascontiguousarray(labels)
    boxes = cells.boxes - np.array([window.y0, window.y0, window.x0, window.x0])
    pixels = np.ascontiguousarray(pixels)  # type: ignore[assignment]
    parts = []
    for start in range(0, max(len(cells), 1), _BATCH):
        batch = slice(start, start + _BATCH)
        view = CellWindow(labels, pixels, cells.ids[batch], boxes[batch], cells.n_pixels[batch], recipe)
        parts.append(_measure_families(view, settings))
    out = _positions(cells, recipe) | {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return _rounded(out | detected.columns_of(cells.ids) | (no_tissue(len(cells)) if tissue is None else tissue))


def _measure_families(view: CellWindow, settings: MeasureSettings) -> Values:
    out: Values = {}
    for family, measure in WINDOW_FAMILIES.items():
        if family in settings.families:
            out |= measure(view)
    return out


def measure_image(labels: Labels, pixels: Pixels, *, recipe: Recipe, settings: MeasureSettings | None = None) -> Values:
    """All columns but `sample` of a whole image in memory, by rising `cell_id`.

    Parameters
    ----------
    labels : (H, W) ndarray of uint32
        0 is background; ids may have gaps.
    pixels : (H, W, C) ndarray of uint8 or uint16
        The image.
    recipe : Recipe
        Of this image.
    settings : MeasureSettings, optional
        All families by default.

    Returns
    -------
    dict of str to (n,) ndarray
        Empty columns where there is no cell.
    """
    settings = settings or MeasureSettings()
    cells = scan_cells(labels)
    window = Window(0, labels.shape[0], 0, labels.shape[1])
    values = measure_window(labels, pixels, cells, window, recipe=recipe, settings=settings)
    return values | measure_slide(cells, recipe=recipe, settings=settings)


def _positions(cells: Cells, recipe: Recipe) -> Values:
    """Identity, position and the border flag, which the boxes tell."""
    y0, y1, x0, x1 = cells.boxes.T
    y, x = cells.centroids_px.T
    return {
        "cell_id": cells.ids,
        "centroid_y_px": y,
        "centroid_x_px": x,
        "centroid_y_um": y * recipe.mpp,
        "centroid_x_um": x * recipe.mpp,
        "bbox_y0_px": y0,
        "bbox_x0_px": x0,
        "bbox_y1_px": y1,
        "bbox_x1_px": x1,
        "touches_border": (y0 == 0) | (x0 == 0) | (y1 == recipe.height_px) | (x1 == recipe.width_px),
    }


def _rounded(values: Values) -> Values:
    """Floats to `DECIMALS`; adding 0 makes -0 plain 0."""
    return {
        name: np.round(column, DECIMALS) + 0.0 if column.dtype == np.float64 else column
        for name, column in values.items()
    }
