"""What a slide's tissue map says of its cells. Floor 6.

The map is read around each group of cells as far as distances are measured, strip by strip; only the edges of its
classes are kept. So the answer does not depend on the groups, and memory grows with the length of boundaries around
them, not with the distance.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np

from cellseg.errors import LabelError
from cellseg.io.class_map import ClassMap, open_class_map
from cellseg.measure.boxes import Cells
from cellseg.measure.registry import Values
from cellseg.measure.tissue import Edges, find_edges, join_edges, map_pixels, tissue_of_cells
from cellseg.preprocess.recipe import Recipe
from cellseg.stages.results import MapFiles
from cellseg.types import Window

_STRIP_PIXELS = 16_000_000
"""Map pixels that are looked through at once."""
_SIZE_TOLERANCE_PX = 1
"""Map px; a size that was rounded another way is the same."""
_PROPORTION_TOLERANCE = 0.01


@dataclass(frozen=True)
class TissueMap:
    """An open map of a slide: its classes, its probabilities where it has them, `scale` in map px per slide px.

    `mpp` is um per map pixel. Thread-safe.
    """

    classes: ClassMap
    probability: ClassMap | None
    scale: float
    mpp: float
    max_distance_um: float

    @property
    def names(self) -> tuple[str, ...]:
        """Of the classes, by number."""
        return self.classes.names

    def columns_of(self, cells: Cells) -> Values:
        """The columns of the family `tissue` of these cells, one at least."""
        height, width = self.classes.height, self.classes.width
        places = map_pixels(cells.centroids_px, scale=self.scale, height_px=height, width_px=width)
        low, high = places.min(axis=0), places.max(axis=0) + 1
        window = Window(int(low[0]), int(high[0]), int(low[1]), int(high[1]))
        y, x = (places - low).T
        return tissue_of_cells(
            self.classes.read(window)[y, x],
            None if self.probability is None else self.probability.read(window)[y, x],
            places,
            self._edges(window),
            names=self.names,
            mpp=self.mpp,
            max_distance_um=self.max_distance_um,
        )

    def _edges(self, window: Window) -> Edges:
        """All edges that lie within reach of any place in `window`."""
        reach = window.grow(ceil(self.max_distance_um / self.mpp) + 2)
        reach = reach.clip(self.classes.height, self.classes.width)
        rows = max(1, _STRIP_PIXELS // reach.width)
        parts = []
        for y in range(reach.y0, reach.y1, rows):
            # one row of the next strip shows whether the last one of this strip is an edge
            strip = Window(y, min(y + rows + 1, reach.y1), reach.x0, reach.x1)
            parts.append(find_edges(self.classes.read(strip), strip.y0, strip.x0))
        return join_edges(parts)


@contextmanager
def open_tissue(path: Path, recipe: Recipe, *, max_distance_um: float) -> Iterator[TissueMap]:
    """Open the map `path` of the slide of `recipe`, and its probabilities where they lie beside it.

    Raises
    ------
    LabelError
        If a map cannot be read or is not of this slide.
    """
    with ExitStack() as stack:
        classes = stack.enter_context(open_class_map(path))
        scale = _scale(classes, recipe)
        probability = None
        if (beside := MapFiles(path).probability).is_file():
            probability = stack.enter_context(open_class_map(beside))
            _check_probability(probability, classes)
        yield TissueMap(classes, probability, scale, recipe.mpp / scale, max_distance_um)


def _scale(classes: ClassMap, recipe: Recipe) -> float:
    """Map px per slide px: by the pixel sizes or, where the map says none, by its height."""
    if classes.mpp is None:
        scale, tolerance = classes.height / recipe.height_px, _PROPORTION_TOLERANCE * classes.width
        said = "no pixel size"
    else:
        scale, tolerance = recipe.mpp / classes.mpp, 0.0
        said = f"{classes.mpp:g} um a pixel"
    height, width = ceil(recipe.height_px * scale), ceil(recipe.width_px * scale)
    away = np.abs([classes.height - height, classes.width - width])
    if away.max() > max(_SIZE_TOLERANCE_PX, tolerance):
        slide = f"the slide of {recipe.height_px} x {recipe.width_px} px at {recipe.mpp:g} um"
        raise LabelError(
            f"{classes.path}: the tissue map is {classes.height} x {classes.width} px ({said}), but {slide} would have "
            f"{height} x {width}; make the map from this image, with the same mpp"
        )
    return scale


def _check_probability(probability: ClassMap, classes: ClassMap) -> None:
    if (probability.height, probability.width) != (classes.height, classes.width):
        raise LabelError(
            f"{probability.path}: {probability.height} x {probability.width} px, but the map beside it has "
            f"{classes.height} x {classes.width}; make both again (`cellseg tissue`)"
        )
