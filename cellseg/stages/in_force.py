"""What a slide is segmented with and later stages go by: its recipe, mask of tissue and quality. Floor 6."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from cellseg.io.atomic import atomic_path, write_json
from cellseg.preprocess.recipe import Recipe
from cellseg.preprocess.tissue_mask import TissueMask, whole_slide
from cellseg.stages.preprocess import read_tissue
from cellseg.stages.results import beside_labels

CARRIED = ("tissue.png", "quality.json", "tiles.parquet")
"""What preprocessing leaves beside recipe.json that rests on the pixel size."""


class PreparedSlide(NamedTuple):
    """A slide's recipe, and its tissue.png, beside which the rest of `CARRIED` lies; None: all counts as tissue."""

    recipe: Recipe
    tissue: Path | None

    def mask(self) -> TissueMask:
        """The mask of tissue.

        Raises
        ------
        ImageError
            If the file is missing or not of this recipe.
        """
        recipe = self.recipe
        if self.tissue is None:
            return whole_slide(recipe.height_px, recipe.width_px, recipe.tissue_block_px)
        return read_tissue(self.tissue, recipe)

    def write_beside(self, labels: Path) -> None:
        """Write recipe.json, and what there is of `CARRIED`, beside a label image."""
        write_json(beside_labels(labels, "recipe.json"), self.recipe.to_dict())
        found = [] if self.tissue is None else [self.tissue.with_name(name) for name in CARRIED]
        for source in filter(Path.is_file, found):
            with atomic_path(beside_labels(labels, source.name)) as temporary:
                shutil.copyfile(source, temporary)
