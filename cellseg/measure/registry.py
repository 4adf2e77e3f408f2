"""The only list of feature families. Floor 3: arrays in, arrays out.

A new family is one function in its own file, its name in `measure_config.py`, its columns in `cellseg/columns/`, and
one line here: in `COMPARTMENT_FAMILIES` or `PLANE_FAMILIES` (what a compartment's own pixels tell), in `CELL_FAMILIES`
(what a window tells once a cell), in `RING_FAMILIES` (nucleus and cytoplasm together), in `SLIDE_FAMILIES` (what needs
the centroids of the whole slide) or in `LATE_FAMILIES` (what needs other columns of all its cells).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellseg.columns import full_name
from cellseg.errors import ConfigError
from cellseg.measure.boxes import Cells
from cellseg.measure.cell_graph import CellGraph, build_graph, delaunay_edges
from cellseg.measure.chromatin import measure_chromatin
from cellseg.measure.contrast import measure_contrast, measure_pleomorphism
from cellseg.measure.crops import cut_crops
from cellseg.measure.delaunay import measure_delaunay
from cellseg.measure.dependence import measure_dependence
from cellseg.measure.distribution import measure_distribution
from cellseg.measure.erythrocyte import measure_erythrocyte_rings, measure_erythrocyte_shape
from cellseg.measure.focus import measure_edge_sharpness
from cellseg.measure.form import measure_form
from cellseg.measure.fourier import measure_fourier
from cellseg.measure.gradient import measure_gradient
from cellseg.measure.granularity import measure_granularity
from cellseg.measure.haralick import measure_haralick
from cellseg.measure.herlev import measure_herlev20
from cellseg.measure.intensity import describe_plane, gather_pixels
from cellseg.measure.lbp import measure_lbp
from cellseg.measure.moment_invariants import measure_moments
from cellseg.measure.neighborhood import measure_neighborhoods
from cellseg.measure.outline import measure_outline
from cellseg.measure.pallor import measure_pallor
from cellseg.measure.radial import measure_radial
from cellseg.measure.run_length import measure_run_length
from cellseg.measure.shape import measure_shapes
from cellseg.measure.size_zone import measure_size_zone
from cellseg.measure.touching import measure_touching
from cellseg.measure.view import (
    CellWindow,
    PlaneValues,
    channel_planes,
    derived_planes,
    gray_name,
    outlined,
    staining_plane,
)
from cellseg.measure.wdbc import measure_wdbc10
from cellseg.measure.zernike import measure_radial_zernike, measure_zernike
from cellseg.measure_config import MeasureSettings
from cellseg.preprocess.colour import colour_planes, render_colours
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
    if view.settings.colour_spaces and view.recipe.is_rgb:
        counts = render_colours(values[None])[0]
        for colour in colour_planes(view.recipe):
            plane_counts = np.ascontiguousarray(counts[:, colour.channel])
            out |= named(colour.name, describe_plane(plane_counts, starts, scale=colour.scale, offset=colour.offset))
    return out


def _distribution(view: CellWindow, plane: PlaneValues) -> Values:
    return dict(
        measure_distribution(view.patches, plane.counts, scale=plane.scale, offset=plane.offset, mpp=view.recipe.mpp)
    )


def _form(view: CellWindow) -> Values:
    return dict(measure_form(view.patches, mpp=view.recipe.mpp))


def _outline(view: CellWindow) -> Values:
    return dict(measure_outline(view.patches, mpp=view.recipe.mpp))


def _fourier(view: CellWindow) -> Values:
    return dict(measure_fourier(view.patches, mpp=view.recipe.mpp))


def _moments(view: CellWindow) -> Values:
    return dict(measure_moments(view.patches, mpp=view.recipe.mpp))


def _zernike(view: CellWindow) -> Values:
    return dict(measure_zernike(view.patches))


def _radial_zernike(view: CellWindow, plane: PlaneValues) -> Values:
    return dict(measure_radial_zernike(view.patches, plane.counts, scale=plane.scale, offset=plane.offset))


def _wdbc10(view: CellWindow) -> Values:
    gray = view.plane(gray_name(view.recipe))
    return dict(measure_wdbc10(view.patches, gray.counts, n_levels=gray.n_levels, mpp=view.recipe.mpp))


def _erythrocyte(view: CellWindow) -> Values:
    return dict(measure_erythrocyte_shape(view.patches))


def _erythrocyte_rings(view: CellWindow, plane: PlaneValues) -> Values:
    dark = view.recipe.stain != "fluorescence" and plane.name.startswith(("intensity_", "lab_l"))
    levels = plane.n_levels
    return {
        **measure_erythrocyte_rings(view.patches, plane.counts, n_levels=levels, dark=dark),
        **measure_pallor(view.patches, plane.counts, n_levels=levels, dark=dark),
    }


def _radial(view: CellWindow, plane: PlaneValues) -> Values:
    return dict(measure_radial(view.rings, plane.counts))


def _granularity(view: CellWindow, plane: PlaneValues) -> Values:
    return dict(measure_granularity(view.patches, plane.counts))


def _lbp(view: CellWindow, plane: PlaneValues) -> Values:
    return dict(measure_lbp(view.patches, plane.counts))


def _chromatin(view: CellWindow, plane: PlaneValues) -> Values:
    return dict(measure_chromatin(view.patches, plane.counts, mpp=view.recipe.mpp))


def _herlev20(nucleus: CellWindow, cytoplasm: CellWindow) -> Values:
    gray = gray_name(nucleus.recipe)
    inner, outer = nucleus.plane(gray), cytoplasm.plane(gray)
    return dict(
        measure_herlev20(
            nucleus.patches, cytoplasm.patches, inner.counts, outer.counts, scale=inner.scale, mpp=nucleus.recipe.mpp
        )
    )


def _gradient(view: CellWindow, plane: PlaneValues) -> Values:
    return dict(measure_gradient(view.patches, plane.counts, scale=plane.scale, mpp=view.recipe.mpp))


def _focus(view: CellWindow) -> Values:
    recipe = view.recipe
    sharpness = measure_edge_sharpness(
        view.labels, view.ids, view.boxes, view.patches, view.patch_pixels,
        gray=gray_plane(recipe), contrast=recipe.gray_contrast, mpp=recipe.mpp,
    )  # fmt: skip
    return {"edge_sharpness_per_um": sharpness}


def _appearance(view: CellWindow) -> Values:
    if view.look is None:
        raise ConfigError(
            "measure.families has appearance and no network looks at the cells; name one in measure.appearance_network"
        )
    crops = cut_crops(view.pixels, view.boxes, view.look.field, mpp=view.recipe.mpp)
    return {f"appearance_{view.look.name}_logit": view.look.logits(crops)}


def _neighborhood(cells: Cells, recipe: Recipe, settings: MeasureSettings) -> Values:
    return dict(
        measure_neighborhoods(
            cells.centroids_px, height_px=recipe.height_px, width_px=recipe.width_px, mpp=recipe.mpp,
            radius_um=settings.density_radius_um, radii_um=settings.density_radii_um,
        )
    )  # fmt: skip


def _haralick(view: CellWindow, plane: PlaneValues) -> Values:
    settings = view.settings
    return dict(
        measure_haralick(
            view.patches, view.quantized(plane), levels=settings.texture_levels,
            distances=settings.texture_distances_px, each_direction=settings.texture_each_direction,
        )
    )  # fmt: skip


def _of_levels(measure: Callable[..., Mapping[str, NDArray[Any]]]) -> Callable[[CellWindow, PlaneValues], Values]:
    """A family that looks at the same gray levels as Haralick's."""
    return lambda view, plane: dict(measure(view.patches, view.quantized(plane), levels=view.settings.texture_levels))


def _touching(view: CellWindow) -> Values:
    return dict(measure_touching(view.labels, view.ids, view.boxes))


def _graph(cells: Cells) -> CellGraph:
    """The Delaunay graph of all cells of a slide."""
    if "graph" not in cells.made:
        cells.made["graph"] = build_graph(cells.centroids_px)
    graph: CellGraph = cells.made["graph"]
    return graph


def _delaunay(cells: Cells, recipe: Recipe, settings: MeasureSettings) -> Values:
    return dict(
        measure_delaunay(
            cells.centroids_px, height_px=recipe.height_px, width_px=recipe.width_px, mpp=recipe.mpp,
            max_edge_um=settings.delaunay_max_edge_um, graph=_graph(cells),
        )
    )  # fmt: skip


def _contrast(cells: Cells, inputs: Values, recipe: Recipe, settings: MeasureSettings) -> Values:
    features = {name: inputs[full_name(name, inputs)] for name in settings.contrast_features}
    reach_px = settings.delaunay_max_edge_um / recipe.mpp
    neighbors = delaunay_edges(cells.centroids_px, max_edge_px=reach_px, graph=_graph(cells))
    return dict(measure_contrast(features, neighbors))


def _pleomorphism(cells: Cells, inputs: Values, recipe: Recipe, settings: MeasureSettings) -> Values:
    own = f"{outlined(recipe, settings)}_"
    features = {name: inputs[own + name] for name in PLEOMORPHIC if own + name in inputs}
    if (mean := f"{own}{staining_plane(recipe)}_mean") in inputs:
        features["od_mean"] = inputs[mean]
    return dict(
        measure_pleomorphism(
            cells.centroids_px, features, height_px=recipe.height_px, width_px=recipe.width_px, mpp=recipe.mpp,
            radius_um=settings.pleomorphism_radius_um,
        )
    )  # fmt: skip


COMPARTMENT_FAMILIES: dict[str, Callable[[CellWindow], Values]] = {
    "shape": _shape,
    "form": _form,
    "outline": _outline,
    "fourier": _fourier,
    "moments": _moments,
    "zernike": _zernike,
    "touching": _touching,
    "wdbc10": _wdbc10,
    "erythrocyte": _erythrocyte,
    "intensity": _intensity,
}
"""Families that look at a compartment's mask, or that see to the planes themselves."""
PLANE_FAMILIES: dict[str, Callable[[CellWindow, PlaneValues], Values]] = {
    "distribution": _distribution,
    "gradient": _gradient,
    "radial": _radial,
    "radial_zernike": _radial_zernike,
    "granularity": _granularity,
    "lbp": _lbp,
    "haralick": _haralick,
    "run_length": _of_levels(measure_run_length),
    "size_zone": _of_levels(measure_size_zone),
    "dependence": _of_levels(measure_dependence),
    "erythrocyte": _erythrocyte_rings,
    "chromatin": _chromatin,
}
"""Families that look at one plane in a compartment."""
CELL_FAMILIES: dict[str, Callable[[CellWindow], Values]] = {"focus": _focus, "appearance": _appearance}
"""Families that look at the outlined object and its surroundings, once a cell."""
RING_FAMILIES: dict[str, Callable[[CellWindow, CellWindow], Values]] = {"herlev20": _herlev20}
"""Families that look at nucleus and cytoplasm of the same cells; `compartments` is made of other columns."""
SLIDE_FAMILIES: dict[str, Callable[[Cells, Recipe, MeasureSettings], Values]] = {
    "neighborhood": _neighborhood,
    "delaunay": _delaunay,
}
"""Families that look at all centroids of a slide."""
LATE_FAMILIES: dict[str, Callable[[Cells, Values, Recipe, MeasureSettings], Values]] = {
    "contrast": _contrast,
    "pleomorphism": _pleomorphism,
}
"""Families that look at other columns of all cells of a slide."""
PLEOMORPHIC = ("area_um2", "circularity", "eccentricity", "orientation_rad")
"""What the family pleomorphism looks at, beside the mean of the plane that shows the stain."""
