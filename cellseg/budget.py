"""How large tiles may be, and how many of them are worked on at once, in a given memory. Floor 1: pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

_LEAST_TILE_PX = 256
_COARSE_TILE_PX = 1024
_FOR_TILES = 0.8


class Cut(NamedTuple):
    """Side of a tile, px, and how many are worked on at once."""

    tile_px: int
    workers: int


@dataclass(frozen=True)
class Need:
    """What a stage takes; measured by benchmarks/memory.py on a crowded slide.

    `base_mb`: program, libraries, caches and weights. Each worker: `worker_mb`, and `tile_bytes` a pixel of its tile.
    """

    base_mb: float
    worker_mb: float
    tile_bytes: float

    def megabytes(self, cut: Cut) -> float:
        """MB (10^6 bytes) at this tile size and number of workers, without what grows with the number of cells."""
        return self.base_mb + cut.workers * (self.worker_mb + self.tile_bytes * cut.tile_px**2 / 1e6)


NEEDS = {
    "preprocess": Need(420, 0, 30),
    "segment": Need(440, 0, 30),
    "maskrcnn": Need(1150, 350, 0),
    "tissue": Need(1250, 50, 0),
    "measure": Need(780, 0, 40),
    "polygons": Need(480, 25, 5),
    "integrity": Need(540, 15, 2),
}
"""By stage; segmenting by a network is a stage of its own, whose windows have the size that its settings say."""


def fit_tiles(stage: str, memory_mb: int | None, *, tile_px: int, workers: int, same_tiles: bool = False) -> Cut:
    """The tiles and workers that a memory budget has room for, no larger and no more than asked for.

    A fifth of the budget is left for what grows with the slide and its cells. Tiles are made smaller first, by halves
    down to 1024 px, then workers fewer, then tiles smaller again, down to 256 px; a budget that has no room for that
    either gets the least there is.

    Parameters
    ----------
    stage : str
        One of `NEEDS`.
    memory_mb : int or None
        MB (10^6 bytes) for the whole process; None: as asked for.
    tile_px, workers : int
        What is asked for.
    same_tiles : bool
        Tiles keep their size, as those of a slide's shards must, and only workers go.
    """
    if memory_mb is None:
        return Cut(tile_px, workers)
    if same_tiles:
        fewer = (Cut(tile_px, n) for n in range(workers, 1, -1))
        return next((cut for cut in fewer if _fits(stage, cut, memory_mb)), Cut(tile_px, 1))
    sides = [side for side in (tile_px >> n for n in range(16)) if side >= _LEAST_TILE_PX] or [tile_px]
    coarse = [side for side in sides if side >= _COARSE_TILE_PX] or sides[:1]
    cuts = [Cut(side, workers) for side in coarse]
    cuts += [Cut(coarse[-1], n) for n in range(workers - 1, 0, -1)]
    cuts += [Cut(side, 1) for side in sides[len(coarse) :]]
    return next((cut for cut in cuts if _fits(stage, cut, memory_mb)), cuts[-1])


def _fits(stage: str, cut: Cut, memory_mb: int) -> bool:
    return NEEDS[stage].megabytes(cut) <= _FOR_TILES * memory_mb


def least_mb(stage: str) -> int:
    """MB: about what a stage takes at the least."""
    return round(NEEDS[stage].megabytes(Cut(_LEAST_TILE_PX, 1)) / _FOR_TILES)
