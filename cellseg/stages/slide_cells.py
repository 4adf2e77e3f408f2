"""What segmenting a slide takes and gives, whatever the method. Floor 6."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from cellseg.io.scratch import ClusterScratch
from cellseg.io.shard import Shards
from cellseg.preprocess.recipe import Recipe
from cellseg.preprocess.tissue_mask import TissueMask
from cellseg.types import Progress, Slide

REACH_BLOCKS = 2
"""How many blocks beyond tissue a cell may reach; farther out nothing is looked for."""


@dataclass(frozen=True)
class SlideJob:
    """One slide to segment: what is read, where clusters go (`folder` is for other scratch), how the work is cut.

    With `shards`, what other jobs found in the tiles stands in for looking at them.
    """

    slide: Slide
    recipe: Recipe
    tissue: TissueMask
    scratch: ClusterScratch
    folder: Path
    tile_px: int
    workers: int
    progress: Progress
    shards: Shards | None = None


@dataclass(frozen=True)
class FoundCells:
    """The N cells of a slide, whose clusters lie in the job's scratch.

    cell_of : (n + 1,) uint32, the id 1..N (in raster order of the first pixel) of every cluster, 0 where it is none.
    Of each cell (N,): `scores` float64, 0..1 or NaN; `classes` uint8, 1 + its position in `class_names`, 0 where there
    are none; `seam_joined` bool. `record` goes into labels.json. `piece_px` : (m,) int64, pixels of each piece found in
    tissue, whatever its size: those that the bounds on areas took for no cells are among them.
    """

    cell_of: NDArray[np.uint32]
    scores: NDArray[np.float64]
    classes: NDArray[np.uint8]
    class_names: tuple[str, ...]
    seam_joined: NDArray[np.bool_]
    record: dict[str, Any]
    piece_px: NDArray[np.int64]

    @classmethod
    def unscored(
        cls, cell_of: NDArray[np.uint32], n_cells: int, record: dict[str, Any], piece_px: NDArray[np.int64]
    ) -> Self:
        """Cells of one kind, of a method that knows no scores and joins nothing."""
        nothing, none = np.full(n_cells, np.nan), np.zeros(n_cells, np.uint8)
        return cls(cell_of, nothing, none, (), none.astype(np.bool_), record, piece_px)


class Segmenter(Protocol):
    """Finds the cells of a whole slide; the same ones for every `tile_px` and number of workers."""

    def find(self, job: SlideJob) -> FoundCells:
        """Put clusters into the job's scratch and say which are cells."""
        ...
