"""Tiles of a slide segmented again and compared with its label image. Floor 6."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellseg.errors import ConfigError
from cellseg.io.labels import LabelImage
from cellseg.segment.agree import Agreement, compare_cells
from cellseg.segment.clean import context_px
from cellseg.stages.slide_cells import Segmenter, SlideJob
from cellseg.stages.threshold import ThresholdSegmenter
from cellseg.stages.windowed import WindowedSegmenter
from cellseg.tiles import Tile, TileGrid, WindowGrid
from cellseg.types import Labels, Window

_CONTEXTS = (2, 4, 8)
"""How far around a tile is done again by thresholds, in contexts; farther where that does not settle it."""
_NEIGHBOURS = (1, 2)
"""The same by windows, in windows."""
_LEAST_PX = 64


class TileCompared(NamedTuple):
    """A tile that was done again, and how its cells compare; `unknown` in px of the slide."""

    tile: Tile
    found: Agreement


class Redoer:
    """Segments tiles of a slide again, with its recorded recipe, mask of tissue and, by thresholds, threshold.

    Basins are one cell or two, and twins of windows one, by what lies around them; so a tile is done with a margin, and
    only cells that keep off the margin's rim are judged. Where one differs, or reaches the rim, the tile is done again
    with more around it, and what differs then is said to differ.

    Raises
    ------
    ConfigError
        If the method cannot do a part of a slide.
    """

    def __init__(self, segmenter: Segmenter, job: SlideJob, record: Mapping[str, Any]) -> None:
        if not isinstance(segmenter, ThresholdSegmenter | WindowedSegmenter):
            raise ConfigError(f"method {record.get('method')}: cannot do a part of a slide again")
        self._segmenter, self._job, self._record = segmenter, job, record
        self.grid: TileGrid | WindowGrid = segmenter.grid(job)

    def compare(self, tiles: Iterable[Tile], labels: LabelImage) -> Iterator[TileCompared]:
        """How the cells of each of these tiles compare with the label image.

        Raises
        ------
        KeyError
            If the record does not say what is needed.
        ImageError, ModelError
            If image or weights cannot be used.
        """
        for tile in tiles:
            for window, redone in self._tries(tile):
                found = self._compare(tile, labels.read(window), redone, window)
                if not (len(found.differing) or len(found.unknown) or found.open):
                    break
            yield TileCompared(tile, found)

    def _tries(self, tile: Tile) -> Iterator[tuple[Window, Labels]]:
        """The tile done with more and more around it."""
        job, segmenter = self._job, self._segmenter
        height, width = job.recipe.height_px, job.recipe.width_px
        if isinstance(segmenter, ThresholdSegmenter):
            context = max(context_px(segmenter.settings, job.recipe.mpp), _LEAST_PX)
            for times in _CONTEXTS:
                window = tile.core.grow(times * context).clip(height, width)
                yield window, segmenter.redo(job, self._record, window)
                if window == Window(0, height, 0, width):
                    return
        elif isinstance(self.grid, WindowGrid):
            for reach in _NEIGHBOURS:
                block = _block(self.grid, tile, reach)
                yield segmenter.redo(job, self.grid, block)
                if len(block) == len(self.grid):
                    return

    def _compare(self, tile: Tile, stored: Labels, redone: Labels, window: Window) -> Agreement:
        recipe = self._job.recipe
        goes_on = (window.y0 > 0, window.y1 < recipe.height_px, window.x0 > 0, window.x1 < recipe.width_px)
        found = compare_cells(stored, redone, tile.core.inside(window), goes_on)
        return found._replace(unknown=found.unknown + np.array([window.y0, window.x0]))


def choose_tiles(
    grid: TileGrid | WindowGrid, centroids: NDArray[np.float64], share: float, rng: np.random.Generator
) -> list[tuple[Tile, NDArray[np.int64]]]:
    """Tiles drawn at random, and the cells whose centroid lies in each, in raster order.

    Parameters
    ----------
    centroids : (n, 2) ndarray of float64
        y and x of each cell, px, 0 at the centre of the first pixel.
    share : float
        Of the tiles, 0..1; one at least, and one that holds cells where there is any.
    """
    order, n_tiles = rng.permutation(len(grid)), max(1, int(np.ceil(share * len(grid))))
    places = np.floor(centroids + 0.5).astype(np.int64)

    def cells_of(index: int) -> NDArray[np.int64]:
        core, (y, x) = grid.tile(index).core, places.T
        return np.flatnonzero((y >= core.y0) & (y < core.y1) & (x >= core.x0) & (x < core.x1))

    chosen = {int(index): cells_of(int(index)) for index in order[:n_tiles]}
    if len(places) and not any(map(len, chosen.values())):
        held = next(int(index) for index in order[n_tiles:] if len(cells_of(int(index))))
        chosen = dict(list(chosen.items())[:-1]) | {held: cells_of(held)}
    return [(grid.tile(index), chosen[index]) for index in sorted(chosen)]


def _block(grid: WindowGrid, tile: Tile, reach: int) -> list[Tile]:
    """A window and as many on every side of it, in raster order."""
    row, column = divmod(tile.index, grid.n_columns)
    rows = range(max(row - reach, 0), min(row + reach + 1, grid.n_rows))
    columns = range(max(column - reach, 0), min(column + reach + 1, grid.n_columns))
    return [grid.tile(y * grid.n_columns + x) for y in rows for x in columns]
