"""What the quality tiles of a slide say of the cells in them. Floor 3: arrays in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SlideTiles:
    """A slide's quality tiles, squares of `side_px`: each array (h, w), the texts "" where nothing is to be said."""

    side_px: int
    focus_per_um: NDArray[np.float64]
    flags: NDArray[np.object_]
    unassessable_by: NDArray[np.object_]

    def columns_of(self, centroids_px: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        """Flags and focus of the tiles that hold these centroids (n, 2), 0 at the centre of the slide's first pixel."""
        places = np.floor(centroids_px + 0.5).astype(np.int64) // self.side_px
        y, x = np.clip(places, 0, np.array(self.flags.shape) - 1).T
        return {
            "tile_flags": self.flags[y, x],
            "tile_unassessable_by": self.unassessable_by[y, x],
            "tile_focus_per_um": self.focus_per_um[y, x],
        }


NO_TILES = SlideTiles(1, np.full((1, 1), np.nan), np.full((1, 1), "", object), np.full((1, 1), "", object))
"""Nothing is known of the slide's quality."""
