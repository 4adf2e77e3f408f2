"""The recipe: all that later stages need to look at a slide in the same way, window by window. Floor 3."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cellseg.errors import ImageError
from cellseg.types import Stain


@dataclass(frozen=True)
class Recipe:
    """How a slide's pixels become stain and gray planes; a small JSON file, never pixels.

    `background`, `low` and `high` are gray levels per channel, as stored in the file, `gray_low` and `gray_high` the
    same of gray, `gray_contrast` the 99 % minus the 1 % quantile of gray over the slide. `stain_matrix` has one unit
    vector of optical density (red, green, blue) a row, in the order of `stain_names`; both are empty where nothing is
    separated. `dark_eosin_share` says how much of the darkest tissue these vectors take for eosin (H&E only).
    `pixel_sizes` is what sheet, file and objective say of the pixel size, um, and who says it.
    """

    height_px: int
    width_px: int
    channel_names: tuple[str, ...]
    dtype: str
    is_rgb: bool
    mpp: float
    mpp_source: str
    stain: Stain
    channel: str | None
    background: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    gray_low: float
    gray_high: float
    gray_contrast: float
    gamma: float
    stain_names: tuple[str, ...]
    stain_matrix: tuple[tuple[float, float, float], ...]
    dark_eosin_share: float
    tissue_block_px: int
    assessable: bool
    notes: tuple[str, ...]
    pixel_sizes: tuple[tuple[float, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any], where: str) -> Recipe:
        """The recipe that `to_dict` wrote.

        Raises
        ------
        ImageError
            If fields are missing or unknown: the file is of another version or not a recipe.
        """
        try:
            listed: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
            listed["stain_matrix"] = tuple(tuple(row) for row in values["stain_matrix"])
            listed["pixel_sizes"] = tuple((float(mpp), str(source)) for mpp, source in values["pixel_sizes"])
            return cls(**listed)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ImageError(
                f"{where}: not a recipe of this version ({error}); run `cellseg preprocess` again"
            ) from error

    @property
    def max_level(self) -> int:
        """The greatest gray level that the pixel type can hold."""
        return int(np.iinfo(self.dtype).max)
