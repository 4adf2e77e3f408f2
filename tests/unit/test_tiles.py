"""Cores part the image and context is clipped to it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellseg.tiles import TileGrid
from cellseg.types import Window


def test_tiles_of_a_small_image_by_hand() -> None:
    grid = TileGrid(5, 7, 4, context_px=2)
    assert (grid.n_rows, grid.n_columns, len(grid)) == (2, 2, 4)
    tiles = list(grid.tiles())
    assert [tile.index for tile in tiles] == [0, 1, 2, 3]
    assert [tile.core for tile in tiles] == [
        Window(0, 4, 0, 4),
        Window(0, 4, 4, 7),
        Window(4, 5, 0, 4),
        Window(4, 5, 4, 7),
    ]
    assert [tile.read for tile in tiles] == [
        Window(0, 5, 0, 6),
        Window(0, 5, 2, 7),
        Window(2, 5, 0, 6),
        Window(2, 5, 2, 7),
    ]


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    tile_px=st.integers(1, 50),
    context_px=st.integers(0, 60),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_pixel_is_in_one_core_and_read_with_its_context(
    height: int, width: int, tile_px: int, context_px: int
) -> None:
    owners = np.zeros((height, width), int)
    for tile in TileGrid(height, width, tile_px, context_px).tiles():
        core, read = tile.core, tile.read
        assert core.height > 0
        assert core.width > 0
        owners[core.y0 : core.y1, core.x0 : core.x1] += 1
        # all of the context, or as far as the image goes
        assert read.y0 == max(core.y0 - context_px, 0)
        assert read.x0 == max(core.x0 - context_px, 0)
        assert read.y1 == min(core.y1 + context_px, height)
        assert read.x1 == min(core.x1 + context_px, width)
    assert (owners == 1).all()


@pytest.mark.parametrize("index", [-1, 4])
def test_no_such_tile(index: int) -> None:
    with pytest.raises(IndexError, match="of 4"):
        TileGrid(5, 7, 4).tile(index)
