"""Pictures of labelled cells out of real results: the right cells, in the order asked for, and clear refusals."""

from __future__ import annotations

import numpy as np
import pytest
from fields import blobs, he_look
from PIL import Image

from cellseg.config import Config
from cellseg.errors import ConfigError, ImageError, TableError
from cellseg.io.table import read_table
from cellseg.measure.crops import CropField, cut_crops
from cellseg.stages.analyze import Acquisition, analyze_images
from cellseg.stages.results import sample_folder
from cellseg.stages.training_crops import read_crops

FIELD = CropField(16, 0.5)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    for name, seed in (("a", 0), ("b", 1)):
        Image.fromarray(he_look(blobs((160, 180), seed=seed), seed=seed)).save(folder / f"{name}.png")
    images = [folder / "a.png", folder / "b.png"]
    analyze_images(images, folder / "out", acquisition=Acquisition("he", 0.5, None), config=Config(), reference=None)
    return folder / "out", folder


def cells_of(results, name):
    return read_table(sample_folder(results, name) / "measure" / "measurements.parquet")


def test_each_cell_has_its_own_picture_in_the_order_asked_for(results):
    out, folder = results
    ids = {name: cells_of(out, name)["cell_id"].to_numpy() for name in "ab"}
    sample = np.array(["b", "a", "b", "a"])
    cell_id = np.array([ids["b"][-1], ids["a"][0], ids["b"][0], ids["a"][-1]], np.uint32)
    crops = read_crops([out], sample, cell_id, FIELD)
    assert crops.shape == (4, 16, 16, 3)
    for crop, name, number in zip(crops, sample, cell_id, strict=True):
        table = cells_of(out, name)
        (row,) = np.flatnonzero(table["cell_id"].to_numpy() == number)
        box = [[table[f"bbox_{end}_px"][row].as_py() for end in ("y0", "y1", "x0", "x1")]]
        pixels = np.asarray(Image.open(folder / f"{name}.png"))
        assert np.array_equal(crop, cut_crops(pixels, np.array(box, np.int64), FIELD, mpp=0.5)[0])


def test_refusals(results, tmp_path):
    out, _ = results
    one = np.array([1], np.uint32)
    with pytest.raises(ConfigError, match=r"no slides\.tsv there"):
        read_crops([tmp_path], np.array(["a"]), one, FIELD)
    with pytest.raises(TableError, match=r"no sample 'c' in its slides\.tsv"):
        read_crops([out], np.array(["c"]), one, FIELD)
    with pytest.raises(TableError, match="a labelled cell has no measurements"):
        read_crops([out], np.array(["a"]), np.array([4_000_000], np.uint32), FIELD)


def test_an_image_that_was_changed_is_refused(results):
    out, folder = results
    Image.new("RGB", (90, 80)).save(folder / "b.png")
    number = cells_of(out, "b")["cell_id"].to_numpy()[:1]
    with pytest.raises(ImageError):
        read_crops([out], np.array(["b"]), number, FIELD)
