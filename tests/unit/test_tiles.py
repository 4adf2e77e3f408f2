"""Cores part the image and context is clipped to it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellseg.tiles import TileGrid, WindowGrid
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


@pytest.mark.parametrize(("height", "width"), [(1, 1), (95, 96), (96, 97), (300, 1000), (511, 2049), (193, 30011)])
@pytest.mark.parametrize(("window_px", "overlap_px"), [(96, 32), (97, 31), (512, 96), (300, 99)])
def test_windows_share_the_overlap_and_their_cores_cover_the_image_once(height, width, window_px, overlap_px):
    grid = WindowGrid(height, width, window_px, overlap_px)
    tiles = list(grid.tiles())
    assert len(tiles) == len(grid) == grid.n_rows * grid.n_columns
    covered, looked_at = np.zeros((height, width), int), np.zeros((height, width), int)
    for tile in tiles:
        assert max(tile.read.height, tile.read.width) <= window_px
        covered[tile.core.y0 : tile.core.y1, tile.core.x0 : tile.core.x1] += 1
        looked_at[tile.read.y0 : tile.read.y1, tile.read.x0 : tile.read.x1] += 1
    assert (covered == 1).all()
    assert looked_at.max() <= 4 and looked_at[:, 0].max() <= 2 and looked_at[0].max() <= 2
    for left, right in pairwise(tiles):
        if right.index % grid.n_columns:
            shared = left.read.x1 - right.read.x0
            assert overlap_px <= shared <= overlap_px + 2
            assert left.core.x1 - right.read.x0 == shared // 2
    assert len({(tile.read.height, tile.read.width) for tile in tiles}) == 1


def test_windows_are_as_few_and_as_equal_as_can_be():
    sizes = [tile.read.width for tile in WindowGrid(10, 4096, 1024, 96).tiles()]
    assert sizes == [896] * 5 and len(WindowGrid(1024, 1024, 1024, 96)) == 1


def test_window_out_of_range():
    with pytest.raises(IndexError):
        WindowGrid(10, 10, 96, 32).tile(1)
