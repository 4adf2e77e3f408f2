"""Cells on maps of any resolution: what the table says is what the map shows, however the work is cut."""

from __future__ import annotations

import dataclasses
from math import ceil

import numpy as np
import pyarrow.parquet as pq
import pytest
from fields import blobs, he_look
from measuring import measured_bytes, read_columns, recipe_for, write_pair
from scipy.ndimage import distance_transform_edt

from cellseg.errors import LabelError
from cellseg.io.class_map import NO_CLASS, cut_tiles, write_class_map
from cellseg.measure.window import measure_image
from cellseg.network_config import TissueSettings
from cellseg.stages import cell_tissue
from cellseg.stages.results import MapFiles

MPP = 0.5
NAMES = ("stroma", "high grade")
FAMILY = ("tissue", "tissue_probability", "tissue_distance_um")


def write_map(path, classes, *, mpp, names=NAMES, probability=None):
    """A map as this package writes it, with probabilities beside it where they are given."""
    height, width = classes.shape
    for target, values, kind in ((path, classes, "tissue"), (MapFiles(path).probability, probability, "probability")):
        if values is not None:
            tiles = cut_tiles([values], height_px=height, width_px=width)
            write_class_map(target, tiles, height_px=height, width_px=width, mpp=mpp, names=names, kind=kind)
    return path


def ragged(height, width, seed=0):
    """Blocks of two classes and of glass, an island of one pixel among them."""
    rng = np.random.default_rng(seed)
    blocks = rng.choice(np.array([0, 1, NO_CLASS], np.uint8), (-(-height // 9), -(-width // 7)), p=[0.5, 0.35, 0.15])
    classes = np.kron(blocks, np.ones((9, 7), np.uint8))[:height, :width]
    classes[height // 2, width // 2] = 1 - classes[height // 2, width // 2] % 2
    return classes


def expected(classes, table, *, map_mpp, reach_um, n_names=2):
    """By exact transforms of the whole map, looked up at the centroids."""
    scale = MPP / map_mpp
    y = np.minimum(((table["centroid_y_px"] + 0.5) * scale).astype(int), classes.shape[0] - 1)
    x = np.minimum(((table["centroid_x_px"] + 0.5) * scale).astype(int), classes.shape[1] - 1)
    signed = []
    for number in range(n_names):
        inside = classes == number
        away = np.where(inside, distance_transform_edt(inside) - 0.5, 0.5 - distance_transform_edt(~inside))
        signed.append(np.clip(away * map_mpp, -reach_um, reach_um)[y, x])
    return classes[y, x], np.stack(signed)


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    labels = blobs((301, 338))
    pixels = he_look(labels)
    return *write_pair(tmp_path_factory.mktemp("slide"), pixels, labels, mpp=MPP), recipe_for(pixels, mpp=MPP)


def measure(slide, out, tissue=None, *, reach_um=250.0, **options):
    image, labels, recipe = slide
    settings = TissueSettings(max_distance_um=reach_um)
    return measured_bytes(image, labels, out, recipe, tissue=tissue, tissue_settings=settings, **options)


@pytest.mark.parametrize(("map_mpp", "reach_um"), [(0.5, 6.0), (0.5, 250.0), (2.0, 9.0), (0.3, 4.0)])
def test_every_cell_has_what_the_map_shows(slide, tmp_path, map_mpp, reach_um):
    classes = ragged(ceil(301 * MPP / map_mpp), ceil(338 * MPP / map_mpp))
    probability = np.random.default_rng(1).integers(1, 256, classes.shape).astype(np.uint8)
    path = write_map(tmp_path / "t.ome.tif", classes, mpp=map_mpp, probability=probability)
    measure(slide, tmp_path / "m.parquet", path, reach_um=reach_um, tile_px=64, workers=2)
    table = read_columns(tmp_path / "m.parquet")
    own, signed = expected(classes, table, map_mpp=map_mpp, reach_um=reach_um)
    assert table["tissue"].tolist() == [{0: "stroma", 1: "high grade", 255: ""}[number] for number in own.tolist()]
    assert set(own.tolist()) == {0, 1, NO_CLASS}
    # the table is rounded to 6 decimals
    assert np.allclose(table["signed_distance_stroma_um"], signed[0], atol=6e-7)
    assert np.allclose(table["signed_distance_high_grade_um"], signed[1], atol=6e-7)
    inside = own < 2
    assert np.allclose(table["tissue_distance_um"][inside], signed.max(axis=0)[inside], atol=6e-7)
    assert np.isnan(table["tissue_distance_um"][~inside]).all()
    assert np.array_equal(np.isnan(table["tissue_probability"]), ~inside)
    assert table["tissue_probability"][inside].min() > 0


def test_tile_size_workers_and_strips_do_not_change_a_byte(slide, tmp_path, monkeypatch):
    path = write_map(tmp_path / "t.ome.tif", ragged(151, 169), mpp=1.0)
    whole = measure(slide, tmp_path / "m.parquet", path)
    for tile_px, workers, strip in [(64, 2, 16_000_000), (100, 1, 1000), (2048, 2, 1)]:
        monkeypatch.setattr(cell_tissue, "_STRIP_PIXELS", strip)
        assert measure(slide, tmp_path / "n.parquet", path, tile_px=tile_px, workers=workers) == whole


def test_a_map_adds_its_columns_and_changes_no_other(slide, tmp_path):
    path = write_map(tmp_path / "t.ome.tif", ragged(301, 338), mpp=MPP)
    measure(slide, tmp_path / "with.parquet", path)
    measure(slide, tmp_path / "without.parquet")
    mapped, plain = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("with", "without"))
    signed = ["signed_distance_stroma_um", "signed_distance_high_grade_um"]
    at = mapped.column_names.index("tissue")
    assert mapped.column_names[at - 1 : at + 6] == ["class", *FAMILY, *signed, "tile_flags"]
    others = [name for name in plain.column_names if name not in FAMILY]
    assert [name for name in mapped.column_names if name not in (*FAMILY, *signed)] == others
    assert _same(mapped, plain, others)
    # no probabilities: a map that a person drew
    assert np.isnan(mapped["tissue_probability"].to_numpy()).all()
    assert set(plain["tissue"].to_pylist()) == {""}
    assert all(np.isnan(plain[name].to_numpy()).all() for name in FAMILY[1:])


def _same(one, other, names):
    """Equal, NaN where NaN is."""
    return all(np.array_equal(one[n].to_numpy(), other[n].to_numpy(), equal_nan=one[n].type == "double") for n in names)


def test_no_cells_give_the_columns_of_the_map(tmp_path):
    pixels = np.full((40, 50, 3), 240, np.uint8)
    pair = write_pair(tmp_path, pixels, np.zeros((40, 50), np.uint32))
    path = write_map(tmp_path / "t.ome.tif", np.zeros((40, 50), np.uint8), mpp=1.0)
    measured_bytes(*pair, tmp_path / "m.parquet", recipe_for(pixels), tissue=path)
    table = pq.read_table(tmp_path / "m.parquet")
    assert table.num_rows == 0 and "signed_distance_high_grade_um" in table.column_names


@pytest.mark.parametrize(
    ("shape", "mpp"),
    [((301, 337), 0.5), ((151, 169), 0.5), ((301, 338), 1.0), ((149, 169), 1.0)],
)
def test_a_map_of_another_slide_is_refused(slide, tmp_path, shape, mpp):
    path = write_map(tmp_path / "t.ome.tif", np.zeros(shape, np.uint8), mpp=mpp)
    if shape == (301, 337):  # rounded another way: the same
        measure(slide, tmp_path / "m.parquet", path)
        return
    with pytest.raises(LabelError, match=rf"t\.ome\.tif: the tissue map is {shape[0]} x {shape[1]} px.*301 x 338 px"):
        measure(slide, tmp_path / "m.parquet", path)
    assert not (tmp_path / "m.parquet").exists()


def test_probabilities_of_another_map_are_refused(slide, tmp_path):
    path = write_map(tmp_path / "t.ome.tif", ragged(301, 338), mpp=MPP)
    write_map(MapFiles(path).probability, np.zeros((301, 300), np.uint8), mpp=MPP)
    with pytest.raises(LabelError, match=r"t\.probability\.ome\.tif: 301 x 300 px.*301 x 338"):
        measure(slide, tmp_path / "m.parquet", path)


def test_a_slide_with_another_pixel_size_than_its_map_was_made_with_is_refused(slide, tmp_path):
    path = write_map(tmp_path / "t.ome.tif", ragged(151, 169), mpp=1.0)
    image, labels, recipe = slide
    other = dataclasses.replace(recipe, mpp=0.503)
    with pytest.raises(LabelError, match=r"would have 152 x 171"):
        measured_bytes(image, labels, tmp_path / "m.parquet", other, tissue=path)


def test_arrays_have_the_empty_columns():
    labels = np.zeros((9, 9), np.uint32)
    labels[2:5, 3:6] = 1
    got = measure_image(labels, np.zeros((9, 9, 3), np.uint8), recipe=recipe_for(np.zeros((9, 9, 3), np.uint8)))
    assert got["tissue"].tolist() == [""] and np.isnan(got["tissue_distance_um"]).all()
