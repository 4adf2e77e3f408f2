"""Stage segment: a label image from a slide, and a table of what was found. Floor 6."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.columns import columns_of
from cellseg.config import InputSettings, SegmentationSettings
from cellseg.io.atomic import temporary_folder, write_json
from cellseg.io.labels import PART_PX, STRIP_PX, EncodedStrip, encode_parts, write_labels
from cellseg.io.pixel_size import GIVEN
from cellseg.io.scratch import ClusterScratch
from cellseg.io.slide import open_slide
from cellseg.io.table import TableWriter
from cellseg.preprocess.recipe import Recipe
from cellseg.preprocess.size_gate import CellSize
from cellseg.preprocess_config import PreprocessSettings
from cellseg.stages.in_force import PreparedSlide
from cellseg.stages.preprocess import check_recipe, preprocess_slide
from cellseg.stages.results import instances_path, record_path
from cellseg.stages.segmenters import choose_segmenter, recorded_segmenter
from cellseg.stages.shards import open_segment_shards
from cellseg.stages.size_gate import asks_for_another, corrected_size, judge_found, with_sizes
from cellseg.stages.slide_cells import FoundCells, SlideJob
from cellseg.stream import map_tiles
from cellseg.types import Progress, silent

INSTANCE_COLUMNS = tuple(
    column
    for column in columns_of(("identity", "detection", "flags"))
    if column.name not in ("sample", "touches_border", "saturated_fraction")
)
"""The columns of instances.parquet."""


def segment_slide(
    image: Path,
    labels: Path,
    *,
    recipe: Recipe,
    tissue: Path | None = None,
    settings: SegmentationSettings | None = None,
    preprocess: PreprocessSettings | None = None,
    inputs: InputSettings | None = None,
    tile_px: int = 2048,
    workers: int = 1,
    device: str = "auto",
    shards: Sequence[Path] = (),
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write the label image of a slide, and beside it a record (method, counts, settings) and scores and classes.

    Labels are uint32, 0 = background, ids 1..N in raster order of the first pixel, one 8-connected piece each; the same
    bytes for every `tile_px` and `workers`. A slide that is not assessable or has no cells gets an empty label image.

    The recipe in force is written too, and with `tissue` the mask and quality.json of its folder: as they were, or as
    they are at the pixel size that the cells speak for, where `inputs.pixel_size` asks for that.

    Parameters
    ----------
    tissue : Path or None
        tissue.png of the slide; without it everything counts as tissue.
    preprocess : PreprocessSettings or None
        What the recipe was made with, for a slide that is looked at again with another pixel size.
    device : str
        auto, cpu or cuda: where a network runs.
    shards : sequence of Path
        What `segment_shard` wrote of all tiles: stands in for looking at them. Where the cells ask for another pixel
        size, the slide is looked at again here.

    Returns
    -------
    dict
        The record.

    Raises
    ------
    ImageError
        If the image cannot be read or is not the one that the recipe was made from, or its cells have a size that
        speaks against its pixel size.
    ConfigError
        If the settings name a method that there is not, or a channel that the slide does not have.
    ModelError
        If the weights of a network cannot be used.
    TableError
        If the shards are not all those of this slide, each once, by the same recipe and settings.
    """
    inputs = inputs or InputSettings()
    run = _Run(
        image, labels, settings or SegmentationSettings(), preprocess or PreprocessSettings(), inputs,
        tile_px, workers, device, tuple(shards), progress,
    )  # fmt: skip
    slide, tried = PreparedSlide(recipe, tissue), list[CellSize]()
    with temporary_folder(labels) as folder:
        while (found := run.segment(slide, tried)) is None:
            slide = run.look_again(slide, tried, folder)
        slide.write_beside(labels)
    write_instances(instances_path(labels), found)
    record = with_sizes(found.record, tried)
    write_json(record_path(labels), record)
    return record


class _Run(NamedTuple):
    """What a slide is segmented with, whatever its pixel size."""

    image: Path
    labels: Path
    settings: SegmentationSettings
    preprocess: PreprocessSettings
    inputs: InputSettings
    tile_px: int
    workers: int
    device: str
    shards: tuple[Path, ...]
    progress: Progress

    def segment(self, slide: PreparedSlide, tried: list[CellSize]) -> FoundCells | None:
        """Find the cells and write their labels; None where their size asks for another look. Adds to `tried`."""
        recipe, limit = slide.recipe, self.inputs.max_decoded_mpx
        mask, shards, tile_px = slide.mask(), None, self.tile_px
        # shards were made by the first recipe, and say nothing of the slide at another pixel size
        if self.shards and not tried:
            shards = open_segment_shards(self.shards, self.settings, recipe, mask)
            segmenter = recorded_segmenter(self.settings, recipe, shards.agreed)
            tile_px = shards.agreed.get("tile_px", tile_px)
        else:
            segmenter = choose_segmenter(self.settings, recipe, device=self.device)
        with (
            open_slide(self.image, max_decoded_mpx=limit) as opened,
            ClusterScratch(self.labels.parent, width_px=recipe.width_px, strip_px=STRIP_PX) as scratch,
        ):
            check_recipe(opened, recipe)
            folder = self.labels.parent
            job = SlideJob(opened, recipe, mask, scratch, folder, tile_px, self.workers, self.progress, shards)
            found = segmenter.find(job)
            tried.append(judge_found(found, recipe, self.settings, self.inputs.pixel_size))
            if asks_for_another(tried, self.inputs.pixel_size, str(self.image)):
                return None
            strips = _strips(scratch, recipe, found.cell_of, self.workers)
            write_labels(self.labels, strips, height_px=recipe.height_px, width_px=recipe.width_px, mpp=recipe.mpp)
        return found

    def look_again(self, slide: PreparedSlide, tried: list[CellSize], folder: Path) -> PreparedSlide:
        """The slide prepared anew with the pixel size that its cells speak for."""
        recipe = slide.recipe
        sheet = next((mpp for mpp, source in recipe.pixel_sizes if source == GIVEN), None)
        made = preprocess_slide(
            self.image, folder, stain=recipe.stain, mpp=sheet, channel=recipe.channel, corrected=corrected_size(tried),
            settings=self.preprocess, inputs=self.inputs, tile_px=self.tile_px, workers=self.workers,
        )  # fmt: skip
        return PreparedSlide(made, folder / "tissue.png" if slide.tissue else None)


def _strips(
    scratch: ClusterScratch, recipe: Recipe, cell_of: NDArray[np.uint32], workers: int
) -> Iterator[EncodedStrip]:
    width = recipe.width_px
    parts = [(begin, min(begin + PART_PX, width)) for begin in range(0, width, PART_PX)]

    # part by part and compressed by the worker: a strip of a large slide takes hundreds of megabytes
    def encode(item: tuple[int, Any]) -> EncodedStrip:
        strip, packed = item
        return encode_parts(
            scratch.unpack(strip, packed, recipe.height_px, cell_of, columns=columns) for columns in parts
        )

    numbers = range(-(-recipe.height_px // STRIP_PX))
    return map_tiles(encode, ((strip, scratch.fetch(strip)) for strip in numbers), workers=workers)


def write_instances(path: Path, found: FoundCells) -> None:
    """Write score, class and the seam flag of each cell, one row a cell by rising `cell_id`."""
    names = np.array(["", *found.class_names], dtype=object)
    values: dict[str, NDArray[Any]] = {
        "cell_id": np.arange(1, len(found.scores) + 1, dtype=np.uint32),
        "score": np.round(found.scores, 6),
        "class": names[np.where(found.classes < len(names), found.classes, 0)],
        "seam_joined": found.seam_joined,
    }
    with TableWriter(path, INSTANCE_COLUMNS) as writer:
        types = writer.schema.types
        columns = {c.name: pa.array(values[c.name], kind) for c, kind in zip(INSTANCE_COLUMNS, types, strict=True)}
        writer.write(pa.table(columns))
