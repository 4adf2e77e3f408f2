"""Cells are the same, at the same places, whatever format a slide is in; nothing of the patient is in any result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from fields import he_field
from slide_files import PLANTED, WRITERS, plain_tiff

from cellseg.io.slide import open_slide
from cellseg.stages.overlay import read_reduced
from cellseg.stages.preprocess import preprocess_slide
from cellseg.stages.segment import segment_slide

FIELD = he_field(shape=(512, 768), seed=5)


def cells_of(image: Path, out: Path):
    """The recipe (without names and sources) and the labels of a slide, cut into tiles that two threads work on."""
    recipe = preprocess_slide(image, out, stain="he", tile_px=200, workers=2)
    segment_slide(image, out / "labels.ome.tif", recipe=recipe, tissue=out / "tissue.png", tile_px=200, workers=2)
    with open_slide(image) as slide:
        small = read_reduced(slide, recipe, 64, 96)
    return recipe, tifffile.imread(out / "labels.ome.tif"), small


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What a plain TIFF of the field gives; most formats hold the very same pixels."""
    folder = tmp_path_factory.mktemp("plain")
    return cells_of(plain_tiff(folder / "plain.tif", FIELD.pixels, mpp=FIELD.mpp), folder / "out")


@pytest.mark.parametrize("name", list(WRITERS))
def test_the_cells_of_a_maker_s_slide_are_those_of_the_plain_tiff(name, plain, tmp_path):
    path, pixels = WRITERS[name](tmp_path, FIELD.pixels, mpp=FIELD.mpp)
    recipe, labels, small = cells_of(path, tmp_path / "out")
    if not np.array_equal(pixels, FIELD.pixels):  # JPEG has changed them
        plain = cells_of(plain_tiff(tmp_path / "plain.tif", pixels, mpp=FIELD.mpp), tmp_path / "plain")
    truth, expected, small_plain = plain
    assert labels.dtype == np.uint32 and labels.max() > 0.9 * FIELD.labels.max() > 100
    assert np.array_equal(labels, expected)
    assert recipe.mpp == pytest.approx(truth.mpp, rel=1e-6)
    assert (recipe.stain_matrix, recipe.low, recipe.high) == (truth.stain_matrix, truth.low, truth.high)
    # the levels are decimated and not averaged: the same places with more noise; a picture of other places has r = 0
    assert np.corrcoef(small.ravel(), small_plain.ravel())[0, 1] > 0.9
    for file in (tmp_path / "out").rglob("*"):
        if file.is_file():
            assert not any(word.encode() in file.read_bytes() for word in PLANTED), file
