"""Which columns a slide's table has, from its planes and the settings. Floor 3: no pixels."""

from __future__ import annotations

from collections.abc import Iterable

from cellseg.columns import Column, columns_of, full_name, safe_names
from cellseg.columns.haralick import DIRECTIONS
from cellseg.errors import ConfigError
from cellseg.measure.compartments import ring_margin_px
from cellseg.measure.crops import CropField, network_name
from cellseg.measure.neighborhood import N_NEAREST, radius_text
from cellseg.measure.registry import PLANE_FAMILIES, PLEOMORPHIC
from cellseg.measure.view import detail_planes, outlined, plane_names, staining_plane
from cellseg.measure_config import MeasureSettings
from cellseg.preprocess.recipe import Recipe

_OF_RINGS = ("compartments", "herlev20")
"""Families that have no columns where there is no cytoplasm."""


def measured_columns(recipe: Recipe, settings: MeasureSettings, tissues: Iterable[str] = ()) -> tuple[Column, ...]:
    """The columns of the measurements table of a slide, in order; `tissues` are the classes of its tissue map."""
    chosen = compartment_families(recipe, settings)
    planes = dict.fromkeys(PLANE_FAMILIES, detail_planes(recipe, settings)) | {
        "intensity": plane_names(recipe, colour_spaces=settings.colour_spaces)
    }
    without = () if len(chosen) > 1 else _OF_RINGS
    families = (family for family in settings.families if family not in without)
    return columns_of(
        ("identity", "position", *families, "detection", "tissue", "flags", "quality"),
        compartments=chosen, planes=planes, tissues=safe_names(tissues), values=_texts(recipe, settings),
    )  # fmt: skip


def _texts(recipe: Recipe, settings: MeasureSettings) -> dict[str, list[str]]:
    """What stands for the placeholders in names of columns."""
    both = "intensity" in settings.families and "intensity" in settings.cytoplasm_families
    return {
        "k": [str(k) for k in range(2, N_NEAREST + 1)],
        "radius": [radius_text(radius) for radius in settings.density_radii_um],
        "distance": [str(distance) for distance in settings.texture_distances_px],
        "direction": [str(degrees) for degrees in DIRECTIONS] if settings.texture_each_direction else [],
        "network": [network_name(settings.appearance_network)] if settings.appearance_network else [],
        "ring": [str(ring + 1) for ring in range(settings.n_rings)],
        "feature": list(settings.contrast_features),
        "plane": list(detail_planes(recipe, settings)) if both else [],
    }


def compartment_families(recipe: Recipe, settings: MeasureSettings) -> dict[str, tuple[str, ...]]:
    """The compartments that are measured, in the table's order, and the families of each."""
    own = outlined(recipe, settings)
    if own == "cell" or settings.ring_um == 0:
        return {own: settings.families}
    more = {"cytoplasm": settings.cytoplasm_families, "cell": settings.cell_families}
    return {own: settings.families, **{name: families for name, families in more.items() if families}}


def margin_px(recipe: Recipe, settings: MeasureSettings, field: CropField | None = None) -> int:
    """Pixels around a cell's box that bear on its measurements; `field` is of the network that looks at it, if any."""
    has_ring = len(compartment_families(recipe, settings)) > 1
    margin = ring_margin_px(settings.ring_um / recipe.mpp) if has_ring else 1
    return max(margin, field.reach_px(recipe.mpp)) if field else margin


def late_inputs(names: Iterable[str], recipe: Recipe, settings: MeasureSettings) -> list[str]:
    """The columns that the late families of these settings look at, of a table with these names.

    Raises
    ------
    ConfigError
        If a column to contrast is not in the table.
    """
    present = set(names)
    contrasted = settings.contrast_features if "contrast" in settings.families else ()
    wanted = [full_name(name, present) for name in contrasted]
    if missing := [name for name in wanted if name not in present]:
        raise ConfigError(
            f"measure.contrast_features: {', '.join(missing)} is not measured; add its family to measure.families, or "
            "take it away"
        )
    if "pleomorphism" in settings.families:
        own = outlined(recipe, settings)
        plain = [f"{own}_{name}" for name in (*PLEOMORPHIC, f"{staining_plane(recipe)}_mean")]
        wanted += [name for name in plain if name in present]
    return list(dict.fromkeys(wanted))
