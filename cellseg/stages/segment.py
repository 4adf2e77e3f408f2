"""Stage segment: a label image from a slide, and a table of what was found. Floor 6."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.columns import columns_of
from cellseg.config import InputSettings, SegmentationSettings
from cellseg.io.atomic import write_json
from cellseg.io.labels import STRIP_PX, EncodedStrip, encode_strip, write_labels
from cellseg.io.scratch import ClusterScratch
from cellseg.io.slide import open_slide
from cellseg.io.table import TableWriter
from cellseg.preprocess.recipe import Recipe
from cellseg.preprocess.tissue_mask import whole_slide
from cellseg.stages.preprocess import check_recipe, read_tissue
from cellseg.stages.results import instances_path, record_path
from cellseg.stages.segmenters import choose_segmenter
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
    inputs: InputSettings | None = None,
    tile_px: int = 2048,
    workers: int = 1,
    device: str = "auto",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write the label image of a slide, and beside it a record (method, counts, settings) and scores and classes.

    Labels are uint32, 0 = background, ids 1..N in raster order of the first pixel, one 8-connected piece each; the same
    bytes for every `tile_px` and `workers`. A slide that is not assessable or has no cells gets an empty label image.

    Parameters
    ----------
    tissue : Path or None
        tissue.png of the slide; without it everything counts as tissue.
    device : str
        auto, cpu or cuda: where a network runs.

    Returns
    -------
    dict
        The record.

    Raises
    ------
    ImageError
        If the image cannot be read or is not the one that the recipe was made from.
    ConfigError
        If the settings name a method that there is not, or a channel that the slide does not have.
    ModelError
        If the weights of a network cannot be used.
    """
    segmenter = choose_segmenter(settings or SegmentationSettings(), recipe, device=device)
    mask = (
        read_tissue(tissue, recipe)
        if tissue
        else whole_slide(recipe.height_px, recipe.width_px, recipe.tissue_block_px)
    )
    with (
        open_slide(image, max_decoded_mpx=(inputs or InputSettings()).max_decoded_mpx) as slide,
        ClusterScratch(labels.parent, width_px=recipe.width_px, strip_px=STRIP_PX) as scratch,
    ):
        check_recipe(slide, recipe)
        found = segmenter.find(SlideJob(slide, recipe, mask, scratch, labels.parent, tile_px, workers, progress))
        strips = _strips(scratch, recipe.height_px, found.cell_of, workers)
        write_labels(labels, strips, height_px=recipe.height_px, width_px=recipe.width_px, mpp=recipe.mpp)
    write_instances(instances_path(labels), found)
    write_json(record_path(labels), found.record)
    return found.record


def _strips(
    scratch: ClusterScratch, height_px: int, cell_of: NDArray[np.uint32], workers: int
) -> Iterator[EncodedStrip]:
    numbers = range(-(-height_px // STRIP_PX))
    packed = ((strip, scratch.fetch(strip)) for strip in numbers)
    # compressed by the worker: a strip of a large slide takes hundreds of megabytes, and none is to wait in full
    return map_tiles(
        lambda item: encode_strip(scratch.unpack(item[0], item[1], height_px, cell_of)), packed, workers=workers
    )


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
