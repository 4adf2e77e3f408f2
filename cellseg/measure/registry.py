"""The only list of feature families. Floor 3: arrays in, arrays out.

A new family is one function in its own file, its name in `measure_config.py`, its columns in `cellseg/columns/`, and
one line here: in `COMPARTMENT_FAMILIES` or `PLANE_FAMILIES` (what a compartment's own pixels tell), in `CELL_FAMILIES`
(what a window tells once a cell), in `RING_FAMILIES` (nucleus and cytoplasm together), in `SLIDE_FAMILIES` (what needs
the centroids of the whole slide) or in `LATE_FAMILIES` (what needs other columns of all its cells).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from cellseg.measure.boxes import Cells
from cellseg.measure.focus import measure_edge_sharpness
from cellseg.measure.intensity import describe_plane, gather_pixels
from cellseg.measure.neighborhood import measure_neighborhoods
from cellseg.measure.shape import measure_shapes
from cellseg.measure.view import CellWindow, PlaneValues, channel_planes, derived_planes
from cellseg.measure_config import MeasureSettings
from cellseg.preprocess.normalize import gray_plane
from cellseg.preprocess.recipe import Recipe

Values = dict[str, NDArray[Any]]
"""Column name to one value a cell."""


def named(prefix: str, values: Mapping[str, NDArray[Any]]) -> Values:
    """The columns with a prefix and `_` before their names."""
    return {f"{prefix}_{name}": column for name, column in values.items()}


def _shape(view: CellWindow) -> Values:
    return measure_shapes(view.labels, view.ids, view.boxes, mpp=view.recipe.mpp)


def _intensity(view: CellWindow) -> Values:
    """Of all planes, from the cells' pixels alone: quicker than patches."""
    values, starts = gather_pixels(view.labels, view.pixels, view.ids, view.boxes, view.n_pixels)
    out: Values = {}
    for index, name in enumerate(channel_planes(view.recipe)):
        out |= named(name, describe_plane(values[:, index], starts))
    for plane in derived_planes(view.recipe):
        out |= named(plane.name, describe_plane(plane.render(values[None])[0], starts, scale=plane.scale))
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
            radius_um=settings.density_radius_um, radii_um=settings.density_radii_um,
        )
    )  # fmt: skip


COMPARTMENT_FAMILIES: dict[str, Callable[[CellWindow], Values]] = {"shape": _shape, "intensity": _intensity}
"""Families that look at a compartment's mask, or that see to the planes themselves."""
PLANE_FAMILIES: dict[str, Callable[[CellWindow, PlaneValues], Values]] = {}
"""Families that look at one plane in a compartment."""
CELL_FAMILIES: dict[str, Callable[[CellWindow], Values]] = {"focus": _focus}
"""Families that look at the outlined object and its surroundings, once a cell."""
RING_FAMILIES: dict[str, Callable[[CellWindow, CellWindow], Values]] = {}
"""Families that look at nucleus and cytoplasm of the same cells; `compartments` is made of other columns."""
SLIDE_FAMILIES: dict[str, Callable[[Cells, Recipe, MeasureSettings], Values]] = {"neighborhood": _neighborhood}
"""Families that look at all centroids of a slide."""
LATE_FAMILIES: dict[str, Callable[[Cells, Values, Recipe, MeasureSettings], Values]] = {}
"""Families that look at other columns of all cells of a slide."""
PLEOMORPHIC = ("area_um2", "circularity", "eccentricity", "orientation_rad")
"""What the family pleomorphism looks at, beside the mean of the first stain, or of gray."""
