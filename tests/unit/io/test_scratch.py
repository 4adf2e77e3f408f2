"""Labels of tiles kept on disk come back by strips, whole or some columns of them."""

from pathlib import Path

import numpy as np

from cellseg.io.scratch import ClusterScratch
from cellseg.types import Window


def test_columns_of_a_strip_are_those_of_the_whole_strip(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    tiles = [Window(0, 50, 0, 30), Window(0, 50, 20, 64), Window(0, 50, 64, 100)]
    cell_of = np.concatenate([[0], rng.permutation(30) + 1]).astype(np.uint32)
    with ClusterScratch(tmp_path, width_px=100, strip_px=32) as scratch:
        for number, tile in enumerate(tiles):
            labels = rng.integers(0, 11, (tile.height, tile.width)).astype(np.uint32)
            scratch.put(scratch.pack(tile, labels), 10 * number)
        for strip in (0, 1):
            pieces = scratch.fetch(strip)
            whole = scratch.unpack(strip, pieces, 50, cell_of)
            assert whole.shape == ((32, 100) if strip == 0 else (18, 100)) and whole.any()
            cuts = [(0, 25), (25, 26), (26, 64), (64, 100)]
            parts = [scratch.unpack(strip, pieces, 50, cell_of, columns=cut) for cut in cuts]
            np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
