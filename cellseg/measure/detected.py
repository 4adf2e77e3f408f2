"""What the segmentation said of each cell, for the cells table. Floor 3: arrays in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Detected:
    """Of the labels `ids` (n,), rising: `score` float64, `names` of their classes (text), `seam_joined` bool."""

    ids: NDArray[np.uint32]
    score: NDArray[np.float64]
    names: NDArray[np.object_]
    seam_joined: NDArray[np.bool_]

    def columns_of(self, ids: NDArray[np.uint32]) -> dict[str, NDArray[Any]]:
        """The columns of labels, rising; NaN, no name and False for those that nothing was said of."""
        at = np.searchsorted(self.ids, ids)
        known = np.append(self.ids, 0)[at] == ids
        out: dict[str, NDArray[Any]] = {}
        for name, values, unsaid in (
            ("score", self.score, np.nan), ("class", self.names, ""), ("seam_joined", self.seam_joined, False),
        ):  # fmt: skip
            column = np.full(len(ids), unsaid, values.dtype)
            column[known] = values[at[known]]
            out[name] = column
        return out


UNSAID = Detected(np.zeros(0, np.uint32), np.zeros(0), np.zeros(0, object), np.zeros(0, bool))
"""Nothing was said of any label: a label image from elsewhere."""
