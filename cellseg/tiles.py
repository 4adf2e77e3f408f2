"""How an image is cut into tiles. Floor 1: pure arithmetic, no pixels, no files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
