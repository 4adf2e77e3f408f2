"""What a feature family sees: a batch of cells in a window, and what several families need, made once. Floor 3."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from cellseg.errors import ConfigError
from cellseg.measure.crops import CropField
from cellseg.measure.grey_levels import Levels, quantize
from cellseg.measure.patches import Patches, cut_patches, cut_pixels
from cellseg.measure.radial import Rings, assign_rings
from cellseg.measure_config import MeasureSettings
from cellseg.preprocess.colour import ColourPlane, colour_planes
from cellseg.preprocess.normalize import SIGNAL_MAX, Plane, gray_plane, measured_stains
from cellseg.preprocess.recipe import Recipe
from cellseg.types import Labels, Pixels

_WHOLE_CELLS = ("giemsa", "brightfield")


@dataclass(frozen=True)
class PlaneValues:
    """A plane in a batch's patches: counts (m,) uint16, less than `n_levels`; each is `count * scale + offset`."""

    name: str
    counts: NDArray[np.uint16]
    scale: float
    offset: float
    n_levels: int


class Look(Protocol):
    """A network that looks at pictures of cells (`crop_network.py`), which needs torch."""

    @property
    def field(self) -> CropField:
        """Side and scale of its pictures."""
        ...

    @property
    def name(self) -> str:
        """The word in its column's name."""
        ...

    def logits(self, crops: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Log-odds (n,) of being abnormal of pictures (n, S, S, C)."""
        ...


@dataclass(frozen=True)
class CellWindow:
    """Some cells whole, in a window with a margin of 1 px where the image has it.

    `boxes` are y0, y1, x0, x1 in px of this window; labels of other cells are there too and are to be ignored.
    """

    labels: Labels
    pixels: Pixels
    ids: Labels
    boxes: NDArray[np.int64]
    n_pixels: NDArray[np.int64]
    recipe: Recipe
    settings: MeasureSettings
    look: Look | None = None

    @cached_property
    def patches(self) -> Patches:
        """The cells cut out one by one."""
        return cut_patches(self.labels, self.ids, self.boxes, self.n_pixels)

    @cached_property
    def patch_pixels(self) -> Pixels:
        """(m, C): the stored pixels of the patches."""
        return cut_pixels(self.pixels, self.patches)

    @cached_property
    def _planes(self) -> dict[str, PlaneValues]:
        return {}

    def plane(self, name: str) -> PlaneValues:
        """The plane of this name in the patches, made when it is first asked for."""
        if name not in self._planes:
            self._planes[name] = self._render(name)
        return self._planes[name]

    @cached_property
    def rings(self) -> Rings:
        """Ring and wedge of every pixel of the patches."""
        return assign_rings(self.patches, self.settings.n_rings)

    def quantized(self, plane: PlaneValues) -> Levels:
        """(m,): the gray levels 1 to `texture_levels` of the plane in the cells, 0 outside of them."""
        if plane.name not in self._levels:
            self._levels[plane.name] = quantize(
                self.patches, plane.counts, n_levels_in=plane.n_levels, levels=self.settings.texture_levels
            )
        return self._levels[plane.name]

    @cached_property
    def _levels(self) -> dict[str, Levels]:
        return {}

    def _render(self, name: str) -> PlaneValues:
        channels = channel_planes(self.recipe)
        if name in channels:
            counts = self.patch_pixels[:, channels.index(name)].astype(np.uint16)
            return PlaneValues(name, counts, 1.0, 0.0, self.recipe.max_level + 1)
        made: tuple[Plane | ColourPlane, ...] = (*derived_planes(self.recipe), *colour_planes(self.recipe))
        plane = next(plane for plane in made if plane.name == name)
        counts = np.ascontiguousarray(plane.render(self.patch_pixels[None])[0])
        return PlaneValues(
            name, counts, plane.scale, plane.offset if isinstance(plane, ColourPlane) else 0.0, SIGNAL_MAX + 1
        )


@lru_cache(maxsize=8)
def derived_planes(recipe: Recipe) -> tuple[Plane, ...]:
    """Gray of colour and stains; kept, for tables of 16-bit images take milliseconds to make."""
    return (*((gray_plane(recipe),) if recipe.is_rgb else ()), *measured_stains(recipe))


@lru_cache(maxsize=8)
def channel_planes(recipe: Recipe) -> tuple[str, ...]:
    """`intensity_<channel>` of each stored channel: lower case, no signs but `_`, each name once."""
    names: list[str] = []
    for index, channel in enumerate(recipe.channel_names):
        name = "intensity_" + (re.sub(r"[^a-z0-9]+", "_", channel.lower()).strip("_") or f"channel_{index + 1}")
        copies = sum(other == name or re.fullmatch(rf"{name}_\d+", other) is not None for other in names)
        names.append(f"{name}_{copies + 1}" if name in names else name)
    return tuple(names)


def plane_names(recipe: Recipe, *, colour_spaces: bool = False) -> tuple[str, ...]:
    """The planes of a slide in the table's order: stored channels, gray of colour, stains, those of colour spaces."""
    more = (plane.name for plane in colour_planes(recipe)) if colour_spaces else ()
    return (*channel_planes(recipe), *(plane.name for plane in derived_planes(recipe)), *more)


def detail_planes(recipe: Recipe, settings: MeasureSettings) -> tuple[str, ...]:
    """The planes that texture and the like look at: those of the settings, else gray and stains, or all channels.

    Raises
    ------
    ConfigError
        If the settings name a plane that the slide does not have.
    """
    known = plane_names(recipe, colour_spaces=True)
    if unknown := [name for name in settings.planes if name not in known]:
        raise ConfigError(
            f"measure.planes: this slide has no plane {', '.join(unknown)}, only {', '.join(known)}; name some of these"
        )
    return settings.planes or (tuple(p.name for p in derived_planes(recipe)) or channel_planes(recipe))


def gray_name(recipe: Recipe) -> str:
    """The plane that stands for gray: that of colour, else the sheet's channel or the first."""
    if recipe.is_rgb:
        return "intensity_gray"
    at = recipe.channel_names.index(recipe.channel) if recipe.channel in recipe.channel_names else 0
    return channel_planes(recipe)[at]


def staining_plane(recipe: Recipe) -> str:
    """The plane that shows how much of its stain a nucleus has: the first stain's, else gray."""
    return next((name for name in plane_names(recipe) if name.startswith("od_")), gray_name(recipe))


def outlined(recipe: Recipe, settings: MeasureSettings) -> Literal["nucleus", "cell"]:
    """What the labels of the slide outline."""
    if settings.outlined != "auto":
        return settings.outlined
    return "cell" if recipe.stain in _WHOLE_CELLS else "nucleus"
