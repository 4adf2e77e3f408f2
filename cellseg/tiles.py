"""How an image is cut into tiles. Floor 1: pure arithmetic, no pixels, no files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from cellseg.types import Window


@dataclass(frozen=True)
class Tile:
    """One tile: it answers for `core` and reads `read`, which is the core and its context."""

    index: int
    core: Window
    read: Window


@dataclass(frozen=True)
class TileGrid:
    """The tiles of an image of `height` x `width` px in raster order.

    Cores are `tile_px` wide (the last ones less), never overlap and cover the image; each tile reads
    `context_px` more on every side, as far as the image goes.
    """

    height: int
    width: int
    tile_px: int
    context_px: int = 0

    @property
    def n_rows(self) -> int:
        """Rows of tiles."""
        return -(-self.height // self.tile_px)

    @property
    def n_columns(self) -> int:
        """Columns of tiles."""
        return -(-self.width // self.tile_px)

    def __len__(self) -> int:
        return self.n_rows * self.n_columns

    def tile(self, index: int) -> Tile:
        """The tile number `index`, counted in raster order.

        Raises
        ------
        IndexError
            If there is no such tile.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"tile {index} of {len(self)}")
        row, column = divmod(index, self.n_columns)
        core = Window(
            row * self.tile_px, (row + 1) * self.tile_px, column * self.tile_px, (column + 1) * self.tile_px
        ).clip(self.height, self.width)
        return Tile(index, core, core.grow(self.context_px).clip(self.height, self.width))

    def tiles(self) -> Iterator[Tile]:
        """All tiles in raster order."""
        return (self.tile(index) for index in range(len(self)))


@dataclass(frozen=True)
class WindowGrid:
    """Overlapping windows over an image of `height` x `width` px, in raster order; what segments windows sees these.

    As few windows as windows of at most `window_px` allow, all of one size, neighbours sharing `overlap_px` (or up to
    2 px more, for the sum to come out even); a core ends in the middle of what is shared. With `window_px` at least
    three times `overlap_px` no pixel lies in more than two windows of a row or of a column.
    """

    height: int
    width: int
    window_px: int
    overlap_px: int

    @property
    def n_rows(self) -> int:
        """Rows of windows."""
        return self._count(self.height)

    @property
    def n_columns(self) -> int:
        """Columns of windows."""
        return self._count(self.width)

    def __len__(self) -> int:
        return self.n_rows * self.n_columns

    def _count(self, length: int) -> int:
        return max(1, -(-(length - self.overlap_px) // (self.window_px - self.overlap_px)))

    def _spans(self, number: int, length: int) -> tuple[int, int, int, int]:
        """Begin and end of the core and of the window `number` along a side of `length` px."""
        n = self._count(length)
        size = -(-(length + (n - 1) * self.overlap_px) // n)
        begins = [i * (length - size) // max(n - 1, 1) for i in (number - 1, number, number + 1)]
        seams = [(begin + before + size) // 2 for before, begin in pairwise(begins)]
        return seams[0] if number else 0, seams[1] if number < n - 1 else length, begins[1], begins[1] + size

    def tile(self, index: int) -> Tile:
        """The window number `index`, counted in raster order, as `read`; its own part of the image as `core`.

        Raises
        ------
        IndexError
            If there is no such window.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        row, column = divmod(index, self.n_columns)
        y, x = self._spans(row, self.height), self._spans(column, self.width)
        return Tile(index, Window(*y[:2], *x[:2]), Window(*y[2:], *x[2:]))

    def tiles(self) -> Iterator[Tile]:
        """All windows in raster order."""
        return (self.tile(index) for index in range(len(self)))
