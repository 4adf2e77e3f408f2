"""What `BasinJoiner` keeps until the last tile; that its cells are right is in invariants/test_segment_tiles.py."""

import numpy as np

from cellseg.segment.basins import Joining, find_basins
from cellseg.segment.seam import BasinJoiner
from cellseg.tiles import TileGrid


def test_what_is_kept_of_a_seam_has_the_size_of_what_was_found_there() -> None:
    """Compiled code gives memory that no tool of Python's sees; an array that is a view of it keeps all of it."""
    height = np.zeros((512, 4096), np.uint16)
    height[250:260, 100:110] = np.arange(10, dtype=np.uint16) + 5  # one cell across a seam
    joiner = BasinJoiner(width_px=4096, joining=Joining(1, 0))
    for tile in TileGrid(*height.shape, 256, context_px=1).tiles():
        rows, columns = tile.core.inside(tile.read)
        seen, core = height[tile.read.y0 : tile.read.y1, tile.read.x0 : tile.read.x1], tile.core
        inside = (rows.start, rows.stop, columns.start, columns.stop)
        joiner.add(
            core,
            find_basins(seen, inside, origin=core.y0 * 4096 + core.x0, stride=4096, joining=Joining(1, 0)),
        )
    kept = [*joiner._unions, *joiner._passes]
    assert sum(map(len, kept)) > 0
    assert sum((one if one.base is None else one.base).nbytes for one in kept) < 3000
    assert len(joiner.finish().count) == 1
