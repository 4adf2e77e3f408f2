"""What is measured of the cells of a window, a slide or an image: families run, columns named. Floor 3.

Arrays in, arrays out. Cells are measured in batches, compartment by compartment; floats are rounded, so that the table
has the same text on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellseg.columns import find_column
from cellseg.measure.boxes import Cells, scan_cells
from cellseg.measure.compartments import assign_cytoplasm
from cellseg.measure.detected import UNSAID, Detected
from cellseg.measure.layout import compartment_families, late_inputs
from cellseg.measure.registry import (
    CELL_FAMILIES,
    COMPARTMENT_FAMILIES,
    LATE_FAMILIES,
    PLANE_FAMILIES,
    RING_FAMILIES,
    SLIDE_FAMILIES,
    Values,
    named,
)
from cellseg.measure.saturation import measure_saturation
from cellseg.measure.slide_tiles import NO_TILES, SlideTiles
from cellseg.measure.tissue import no_tissue
from cellseg.measure.view import CellWindow, Look, detail_planes, outlined
from cellseg.measure_config import MeasureSettings
from cellseg.preprocess.recipe import Recipe
from cellseg.types import Labels, Pixels, Window

_BATCH_CELLS = 1024
_BATCH_PX = 4_000_000
"""Cells measured together, and pixels of their boxes: few enough that they stay in the processor's cache."""
DECIMALS = 6
"""Digits kept after the point, far finer than any measurement."""
_SIGNIFICANT = 9
"""Digits kept of what has a scale of its own: moments are powers of small and of large numbers."""


class _Scene(NamedTuple):
    """A window's pixels, the slide they are of, and what is to be measured."""

    pixels: Pixels
    recipe: Recipe
    settings: MeasureSettings
    look: Look | None = None

    def view(self, labels: Labels, cells: Cells) -> CellWindow:
        return CellWindow(
            labels, self.pixels, cells.ids, cells.boxes, cells.n_pixels, self.recipe, self.settings, self.look
        )


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
    look: Look | None = None,
    tiles: SlideTiles = NO_TILES,
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
    look : Look, optional
        The network of the family `appearance`.
    tiles : SlideTiles
        The quality tiles of the slide.

    Returns
    -------
    dict of str to (n,) ndarray
        Column name to values.
    """
    labels = np.ascontiguousarray(labels)
    here = Cells(cells.ids, cells.table - np.array([window.y0, window.y0, window.x0, window.x0, 0, 0, 0]))
    scene = _Scene(np.ascontiguousarray(pixels), recipe, settings, look)  # type: ignore[arg-type]
    chosen = compartment_families(recipe, settings)
    own = outlined(recipe, settings)
    out = _positions(cells, recipe) | _measure_batches(scene, labels, here, chosen[own], own, once=True)
    if len(chosen) > 1:
        out |= _measure_around(scene, labels, here, out, chosen)
    at_limit = measure_saturation(labels, scene.pixels, here.ids, here.boxes, here.n_pixels, recipe)
    out |= {"saturated_fraction": at_limit}
    out |= detected.columns_of(cells.ids) | tiles.columns_of(cells.centroids_px)
    out |= no_tissue(len(cells)) if tissue is None else tissue
    return round_values(out)


def _measure_around(
    scene: _Scene, nuclei: Labels, cells: Cells, measured: Values, chosen: dict[str, tuple[str, ...]]
) -> Values:
    """What is measured of cytoplasm and cell around nuclei, of which `measured` is known."""
    ring = assign_cytoplasm(nuclei, scene.settings.ring_um / scene.recipe.mpp)
    parts = _parts_of(cells, ring)
    out: Values = {}
    if "cytoplasm" in chosen:
        around = _measure_batches(scene, ring, parts, chosen["cytoplasm"], "cytoplasm")
        out |= _spread(around, parts.ids, cells.ids)
    if "cell" in chosen:
        whole = np.where(nuclei > 0, nuclei, ring)
        out |= _measure_batches(scene, whole, _parts_of(cells, whole), chosen["cell"], "cell")
    families = scene.settings.families
    if "compartments" in families:
        n_around = _spread({"": parts.n_pixels}, parts.ids, cells.ids)[""]
        out |= _ratios(cells.n_pixels, n_around, measured | out, detail_planes(scene.recipe, scene.settings))
    if wanted := [family for family in RING_FAMILIES if family in families]:
        inner = cells.take(np.searchsorted(cells.ids, parts.ids))
        found: list[Values] = []
        for rows in batch_rows(parts):
            views = scene.view(nuclei, inner.take(rows)), scene.view(ring, parts.take(rows))
            found.append({k: v for family in wanted for k, v in RING_FAMILIES[family](*views).items()})
        out |= _spread(_joined(found), parts.ids, cells.ids)
    return out


def _ratios(n_inner: NDArray[np.int64], n_around: NDArray[np.int64], values: Values, planes: Iterable[str]) -> Values:
    """Nucleus over cytoplasm, and over the cell that both make; NaN where there is no cytoplasm."""
    some = np.where(n_around > 0, n_around, 1)
    out: Values = {
        "nucleus_cytoplasm_area_ratio": np.where(n_around > 0, n_inner / some, np.nan),
        "nucleus_cell_area_ratio": n_inner / (n_inner + n_around),
    }
    for plane in planes:
        inner, around = values.get(f"nucleus_{plane}_mean"), values.get(f"cytoplasm_{plane}_mean")
        if inner is not None and around is not None:
            some = np.where(around > 0, around, 1.0)
            out[f"nucleus_cytoplasm_{plane}_ratio"] = np.where(around > 0, inner / some, np.nan)
    return out


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
    scene: _Scene, labels: Labels, cells: Cells, families: Iterable[str], compartment: str, *, once: bool = False
) -> Values:
    """The families of one compartment; with `once` also what is measured once a cell."""
    planes, chosen = detail_planes(scene.recipe, scene.settings), set(families)
    parts: list[Values] = []
    for rows in batch_rows(cells):
        view = scene.view(labels, cells.take(rows))
        out: Values = {}
        for family in filter(chosen.__contains__, COMPARTMENT_FAMILIES):
            out |= named(compartment, COMPARTMENT_FAMILIES[family](view))
        for family in filter(chosen.__contains__, PLANE_FAMILIES):
            for plane in planes:
                out |= named(f"{compartment}_{plane}", PLANE_FAMILIES[family](view, view.plane(plane)))
        for family in filter(chosen.__contains__, CELL_FAMILIES if once else ()):
            out |= CELL_FAMILIES[family](view)
        parts.append(out)
    return _joined(parts)


def _joined(parts: list[Values]) -> Values:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def batch_rows(cells: Cells) -> list[NDArray[np.int64]]:
    """Rows that are measured together; one empty batch where there is no cell."""
    sides = cells.boxes[:, 1::2] - cells.boxes[:, ::2] + 2
    ends = np.cumsum(sides[:, 0] * sides[:, 1])
    out, start = [], 0
    while start < len(cells):
        before = ends[start - 1] if start else 0
        stop = min(int(np.searchsorted(ends, before + _BATCH_PX, "right")), start + _BATCH_CELLS, len(cells))
        out.append(np.arange(start, max(stop, start + 1)))
        start = max(stop, start + 1)
    return out or [np.zeros(0, np.int64)]


def measure_slide(cells: Cells, *, recipe: Recipe, settings: MeasureSettings) -> Values:
    """The columns of the families that need the centroids of all cells of the slide, rounded."""
    out: Values = {}
    for family, measure in SLIDE_FAMILIES.items():
        if family in settings.families:
            out |= measure(cells, recipe, settings)
    return round_values(out)


def measure_late(cells: Cells, inputs: Values, *, recipe: Recipe, settings: MeasureSettings) -> Values:
    """The columns of the late families, rounded; `inputs` are the columns (n,) of `late_inputs`, as in the table."""
    out: Values = {}
    for family, measure in LATE_FAMILIES.items():
        if family in settings.families:
            out |= measure(cells, inputs, recipe, settings)
    return round_values(out)


def measure_image(
    labels: Labels,
    pixels: Pixels,
    *,
    recipe: Recipe,
    settings: MeasureSettings | None = None,
    look: Look | None = None,
) -> Values:
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
    look : Look, optional
        The network of the family `appearance`.

    Returns
    -------
    dict of str to (n,) ndarray
        Empty columns where there is no cell.
    """
    settings = settings or MeasureSettings()
    cells = scan_cells(labels)
    window = Window(0, labels.shape[0], 0, labels.shape[1])
    values = measure_window(labels, pixels, cells, window, recipe=recipe, settings=settings, look=look)
    values |= measure_slide(cells, recipe=recipe, settings=settings)
    inputs = {name: values[name] for name in late_inputs(values, recipe, settings)}
    return values | measure_late(cells, inputs, recipe=recipe, settings=settings)


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


def round_values(values: Values) -> Values:
    """Floats to `DECIMALS`, of columns with a scale of their own to 9 significant digits; -0 becomes plain 0."""
    return {
        name: _rounded(column, significant=find_column(name).significant) if column.dtype == np.float64 else column
        for name, column in values.items()
    }


def _rounded(column: NDArray[np.float64], *, significant: bool) -> NDArray[np.float64]:
    if not significant:
        return np.round(column, DECIMALS) + 0.0
    size = np.abs(column)
    exponent = np.floor(np.log10(np.where((size > 0) & np.isfinite(size), size, 1.0)))
    step = 10.0 ** np.clip(_SIGNIFICANT - 1 - exponent, -290, 290)
    return np.asarray(np.round(column * step) / step + 0.0)
