"""Pictures of labelled cells, cut out of the images that results were made from. Floor 6."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cellseg.errors import ConfigError, TableError
from cellseg.io.slide import open_slide
from cellseg.io.table import read_table
from cellseg.measure.crops import CropField, cut_crops
from cellseg.stages.ledger import read_ledger
from cellseg.stages.preprocess import check_recipe, read_recipe
from cellseg.stages.results import sample_folder
from cellseg.types import Progress, Slide, Window, silent

_BOX = ("bbox_y0_px", "bbox_y1_px", "bbox_x0_px", "bbox_x1_px")


def read_crops(
    sources: Sequence[Path],
    sample: NDArray[np.str_],
    cell_id: NDArray[np.uint32],
    field: CropField,
    *,
    progress: Progress = silent,
) -> NDArray[np.uint8]:
    """Pictures (n, side, side, C) of the cells of these samples and ids, from the images in the results' ledgers.

    Parameters
    ----------
    sources : sequence of Path
        Results folders, with slides.tsv and samples/NAME; relative paths of images are from the working folder.
    sample, cell_id : (n,) ndarray
        The cells.
    field : CropField
        Side and scale of a picture.
    progress : Progress
        Called with samples done and samples in all.

    Raises
    ------
    ConfigError
        If a source is no results folder.
    TableError
        If a sample or a cell is not there, or images have different numbers of channels.
    ImageError
        If an image cannot be read, or is not the one that was measured.
    """
    images = _find_images(sources)
    names = np.unique(sample).tolist()
    out: NDArray[np.uint8] | None = None
    for done, name in enumerate(names, start=1):
        if name not in images:
            raise TableError(f"{sources[0]}: no sample {name!r} in its slides.tsv; give the results that labels are of")
        rows = np.flatnonzero(sample == name)
        some = _of_sample(*images[name], name, cell_id[rows], field)
        if out is None:
            out = np.zeros((len(sample), *some.shape[1:]), np.uint8)
        if some.shape[1:] != out.shape[1:]:
            raise TableError(
                f"{images[name][1]}: {some.shape[3]} channels, other images have {out.shape[3]}; train on images of "
                "one kind"
            )
        out[rows] = some
        progress(done, len(names))
    return np.zeros((0, field.side_px, field.side_px, 1), np.uint8) if out is None else out


def _find_images(sources: Sequence[Path]) -> dict[str, tuple[Path, Path]]:
    """Results folder and image of each sample."""
    found: dict[str, tuple[Path, Path]] = {}
    for source in sources:
        if not (source / "slides.tsv").is_file():
            raise ConfigError(
                f"{source}: no slides.tsv there; a network that looks at cells needs results folders, whose ledger "
                "says where the images are; give those, or leave out look"
            )
        for row in read_ledger(source):
            if row.outcome != "failed":
                found.setdefault(row.sample, (source, Path(row.path)))
    return found


def _of_sample(results: Path, image: Path, name: str, ids: NDArray[np.uint32], field: CropField) -> NDArray[np.uint8]:
    folder = sample_folder(results, name)
    table = read_table(folder / "measure" / "measurements.parquet", ["cell_id", *_BOX])
    every = table["cell_id"].to_numpy()
    at = np.searchsorted(every, ids)
    if (at >= every.size).any() or not np.array_equal(every[np.minimum(at, every.size - 1)], ids):
        raise TableError(f"{folder}: a labelled cell has no measurements; label the cells of these results again")
    boxes = np.stack([table[column].to_numpy()[at] for column in _BOX], axis=1).astype(np.int64)
    recipe = read_recipe(folder / "segment")
    with open_slide(image) as slide:
        check_recipe(slide, recipe)
        return np.concatenate([_one(slide, box, field, recipe.mpp) for box in boxes])


def _one(slide: Slide, box: NDArray[np.int64], field: CropField, mpp: float) -> NDArray[np.uint8]:
    reach = field.reach_px(mpp)
    window = Window(*box.tolist()).grow(reach).clip(slide.height, slide.width)
    inside = box - np.array([window.y0, window.y0, window.x0, window.x0])
    return cut_crops(slide.read(window), inside[None], field, mpp=mpp)
