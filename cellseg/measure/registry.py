"""The only list of feature families, and what runs them over a window of cells. Floor 3: arrays in, arrays out.

A new family is one function in its own file, its name in `measure_config.py`, its columns in `cellseg/columns/`, and
one line here: in `COMPARTMENT_FAMILIES` or `PLANE_FAMILIES` (what a compartment's own pixels tell), in `CELL_FAMILIES`
(what a window tells once a cell), in `SLIDE_FAMILIES` (what needs the centroids of the whole slide) or in
`LATE_FAMILIES` (what needs other columns of all its cells).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellseg.columns import Column, columns_of, safe_names
from cellseg.measure.boxes import Cells, scan_cells
from cellseg.measure.compartments import assign_cytoplasm, ring_margin_px
from cellseg.measure.detected import UNSAID, Detected
from cellseg.measure.focus import measure_edge_sharpness
from cellseg.measure.intensity import describe_plane, gather_pixels
from cellseg.measure.neighborhood import measure_neighborhoods
from cellseg.measure.shape import measure_shapes
from cellseg.measure.tissue import no_tissue
from cellseg.measure.view import (
    CellWindow,
    PlaneValues,
    channel_planes,
    derived_planes,
    detail_planes,
    outlined,
    plane_names,
)  # fmt: skip
from cellseg.measure_config import MeasureSettings
from cellseg.preprocess.normalize import gray_plane
from cellseg.preprocess.recipe import Recipe
from cellseg.types import Labels, Pixels, Window

Values = dict[str, NDArray[Any]]
"""Column name to one value a cell."""
_BATCH_CELLS = 1024
_BATCH_PX = 4_000_000
"""Cells measured together, and pixels of their boxes: few enough that they stay in the processor's cache."""
DECIMALS = 6
"""Digits kept after the point, six significant ones of small values: the same text on every machine."""


def _shape(view: CellWindow) -> Values:
    return measure_shapes(view.labels, view.ids, view.boxes, mpp=view.recipe.mpp)


def _intensity(view: CellWindow) -> Values:
    """Of all planes, from the cells' pixels alone: quicker than patches."""
    values, starts = gather_pixels(view.labels, view.pixels, view.ids, view.boxes, view.n_pixels)
    out: Values = {}
    for index, name in enumerate(channel_planes(view.recipe)):
        out |= _named(name, describe_plane(values[:, index], starts))
    for plane in derived_planes(view.recipe):
        out |= _named(plane.name, describe_plane(plane.render(values[None])[0], starts, scale=plane.scale))
    return out


def _focus(view: CellWindow) -> Values:
    recipe = view.recipe
    sharpness = measure_edge_sharpness(
        view.labels, view.pixels, view.ids, view.boxes,
        gray=gray_plane(recipe), contrast=recipe.gray_contrast, mpp=recipe.mpp,
    )  # fmt: skip
    return {"edge_sharpness_per_um": sharpness}


def _neighborhood(cells: Cells, recipe: Recipe, settings: MeasureSettings) -> Values:
    return dict(
        measure_neighborhoods(
            cells.centroids_px, height_px=recipe.height_px, width_px=recipe.width_px, mpp=recipe.mpp,
            radius_um=settings.density_radius_um,
        )
    )  # fmt: skip


COMPARTMENT_FAMILIES: dict[str, Callable[[CellWindow], Values]] = {"shape": _shape, "intensity": _intensity}
"""Families that look at a compartment's mask, or that see to the planes themselves."""
PLANE_FAMILIES: dict[str, Callable[[CellWindow, PlaneValues], Values]] = {}
"""Families that look at one plane in a compartment."""
CELL_FAMILIES: dict[str, Callable[[CellWindow], Values]] = {"focus": _focus}
"""Families that look at the outlined object and its surroundings, once a cell."""
SLIDE_FAMILIES: dict[str, Callable[[Cells, Recipe, MeasureSettings], Values]] = {"neighborhood": _neighborhood}
"""Families that look at all centroids of a slide."""


def measured_columns(recipe: Recipe, settings: MeasureSettings, tissues: Iterable[str] = ()) -> tuple[Column, ...]:
    """The columns of the measurements table of a slide, in order; `tissues` are the classes of its tissue map."""
    detail = detail_planes(recipe, settings)
    planes = dict.fromkeys(PLANE_FAMILIES, detail) | {"intensity": plane_names(recipe)}
    return columns_of(
        ("identity", "position", *settings.families, "detection", "tissue", "flags"),
        compartments=compartment_families(recipe, settings), planes=planes, tissues=safe_names(tissues),
    )  # fmt: skip


def compartment_families(recipe: Recipe, settings: MeasureSettings) -> dict[str, tuple[str, ...]]:
    """The compartments that are measured, in the table's order, and the families of each."""
    own = outlined(recipe, settings)
    if own == "cell" or settings.ring_um == 0:
        return {own: settings.families}
    more = {"cytoplasm": settings.cytoplasm_families, "cell": settings.cell_families}
    return {own: settings.families, **{name: families for name, families in more.items() if families}}


def margin_px(recipe: Recipe, settings: MeasureSettings) -> int:
    """Pixels around a cell's box that bear on its measurements."""
    has_ring = len(compartment_families(recipe, settings)) > 1
    return ring_margin_px(settings.ring_um / recipe.mpp) if has_ring else 1


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
    """All columns of some cells but `sample` and those of whole slides, floats rounded.

    Parameters
    ----------
    labels : (H, W) ndarray of uint32
        The label image in `window`, which holds the cells whole and `margin_px` around them (except where the image
        ends).
    pixels : (H, W, C) ndarray of uint8 or uint16
        The image in `window`.
    cells : Cells
        The n cells to measure, n >= 0; other labels are ignored.
    window : Window
        Where the arrays lie in the image, px.
    recipe : Recipe
        Pixel size, channels, stains and size of the image.
    settings : MeasureSettings
        Which families, in which compartments.
    detected : Detected
        What the segmentation said of the labels.
    tissue : dict of str to (n,) ndarray, optional
        What the tissue map says of the cells (`tissue_of_cells`); None where there is no map.

    Returns
    -------
    dict of str to (n,) ndarray
        Column name to values.
    """
    labels, pixels = np.ascontiguousarray(labels), np.ascontiguousarray(pixels)  # type: ignore[assignment]
    here = Cells(cells.ids, cells.table - np.array([window.y0, window.y0, window.x0, window.x0, 0, 0, 0]))
    out = _positions(cells, recipe)
    chosen = compartment_families(recipe, settings)
    images: dict[str, Labels] = {outlined(recipe, settings): labels}
    if len(chosen) > 1:
        ring = assign_cytoplasm(labels, settings.ring_um / recipe.mpp)
        images |= {"cytoplasm": ring, "cell": np.where(labels > 0, labels, ring)}
    for compartment, families in chosen.items():
        image, own = images[compartment], compartment == outlined(recipe, settings)
        parts = here if own else _parts_of(here, image)
        measured = _measure_batches(image, pixels, parts, recipe, settings, families, compartment, own=own)
        out |= measured if own else _spread(measured, parts.ids, cells.ids)
    out |= detected.columns_of(cells.ids) | (no_tissue(len(cells)) if tissue is None else tissue)
    return _rounded(out)


def _parts_of(cells: Cells, compartment: Labels) -> Cells:
    """Where the compartment of each of these cells lies; those that have none are left out."""
    found = scan_cells(compartment)
    return found.take(np.flatnonzero(np.isin(found.ids, cells.ids)))


def _spread(values: Values, ids: Labels, all_ids: Labels) -> Values:
    """The columns of some cells as columns of all; NaN, or 0 of counts, for those that have no such compartment."""
    if len(ids) == len(all_ids):
        return values
    rows = np.searchsorted(all_ids, ids)
    out: Values = {}
    for name, column in values.items():
        out[name] = np.full(len(all_ids), np.nan if column.dtype == np.float64 else 0, column.dtype)
        out[name][rows] = column
    return out


def _measure_batches(
    labels: Labels,
    pixels: Pixels,
    cells: Cells,
    recipe: Recipe,
    settings: MeasureSettings,
    families: Iterable[str],
    compartment: str,
    *,
    own: bool,
) -> Values:
    """The families of one compartment; of the outlined object also what is measured once a cell."""
    detail = detail_planes(recipe, settings)
    chosen = set(families)
    parts: list[Values] = []
    for rows in _batches(cells):
        view = CellWindow(
            labels, pixels, cells.ids[rows], cells.boxes[rows], cells.n_pixels[rows], recipe, settings
        )  # fmt: skip
        out: Values = {}
        for family in filter(chosen.__contains__, COMPARTMENT_FAMILIES):
            out |= _named(compartment, COMPARTMENT_FAMILIES[family](view))
        for family in filter(chosen.__contains__, PLANE_FAMILIES):
            for plane in detail:
                out |= _named(f"{compartment}_{plane}", PLANE_FAMILIES[family](view, view.plane(plane)))
        for family in filter(chosen.__contains__, CELL_FAMILIES if own else ()):
            out |= CELL_FAMILIES[family](view)
        parts.append(out)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _batches(cells: Cells) -> list[slice]:
    """Rows that are measured together; one empty batch where there is no cell."""
    sides = cells.boxes[:, 1::2] - cells.boxes[:, ::2] + 2
    ends = np.cumsum(sides[:, 0] * sides[:, 1])
    out, start = [], 0
    while start < len(cells):
        before = ends[start - 1] if start else 0
        stop = min(int(np.searchsorted(ends, before + _BATCH_PX, "right")), start + _BATCH_CELLS)
        out.append(slice(start, max(stop, start + 1)))
        start = out[-1].stop
    return out or [slice(0, 0)]


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
        The default families by default.

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


def _named(prefix: str, values: Mapping[str, NDArray[Any]]) -> Values:
    return {f"{prefix}_{name}": column for name, column in values.items()}


def _rounded(values: Values) -> Values:
    """Floats to `DECIMALS`; adding 0 makes -0 plain 0."""
    return {
        name: np.round(column, DECIMALS) + 0.0 if column.dtype == np.float64 else column
        for name, column in values.items()
    }
