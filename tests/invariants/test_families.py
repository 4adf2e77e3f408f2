"""Families do not influence one another, whatever is on beside them, and hold for every kind of image."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from fields import blobs, fluorescence_look, he_look
from measuring import measured_bytes, odd_shapes, read_columns, recipe_for, write_pair

from cellseg.columns import find_column
from cellseg.measure.layout import measured_columns
from cellseg.measure.window import measure_image
from cellseg.measure_config import CompartmentFamily, Family, MeasureSettings
from cellseg.stages.look import read_look

AROUND = get_args(CompartmentFamily)
ALL = MeasureSettings(
    families=get_args(Family), cytoplasm_families=AROUND, cell_families=AROUND,
    colour_spaces=True, texture_each_direction=True, texture_distances_px=(1, 3), n_rings=3,
    appearance_network="redcell_look",
)  # fmt: skip
LOOK = read_look(ALL.appearance_network)


@pytest.fixture(scope="module")
def whole():
    labels = blobs((200, 220))
    pixels = he_look(labels)
    return labels, pixels, measure_image(labels, pixels, recipe=recipe_for(pixels), settings=ALL, look=LOOK)


@pytest.mark.parametrize("family", get_args(Family))
def test_a_family_alone_gives_what_it_gives_among_all(whole, family):
    labels, pixels, everything = whole
    recipe = recipe_for(pixels)
    beside = {"contrast": ("shape",), "pleomorphism": ("shape", "intensity"), "compartments": ("intensity",)}
    settings = ALL.model_copy(
        update={
            "families": (family, *beside.get(family, ())),
            "cytoplasm_families": ("intensity",),
            "cell_families": (),
        }
    )

    alone = measure_image(labels, pixels, recipe=recipe, settings=settings, look=LOOK)

    names = [column.name for column in measured_columns(recipe, settings) if column.family == family]
    assert names
    for name in names:
        np.testing.assert_array_equal(alone[name], everything[name], err_msg=name)


@pytest.mark.parametrize("look", [he_look, fluorescence_look, lambda a: fluorescence_look(a, dtype=np.uint16)])
def test_every_column_is_there_within_its_range_and_finite_or_nan(look):
    labels = odd_shapes((150, 160), seed=1)
    pixels = look(labels)
    recipe = recipe_for(pixels, mpp=0.25)
    values = measure_image(labels, pixels, recipe=recipe, settings=ALL, look=LOOK)

    assert {"sample", *values} == {column.name for column in measured_columns(recipe, ALL)}
    for name, column in values.items():
        if column.dtype != np.float64:
            continue
        told = find_column(name)
        assert not np.isinf(column).any(), name
        seen = column[~np.isnan(column)]
        assert told.minimum is None or seen.size == 0 or seen.min() >= told.minimum - 1e-6, name
        assert told.maximum is None or seen.size == 0 or seen.max() <= told.maximum + 1e-6, name


def test_all_families_are_the_same_for_any_tile_and_workers(tmp_path):
    labels = blobs((260, 240))
    pixels = he_look(labels)
    pair, recipe = write_pair(tmp_path, pixels, labels), recipe_for(pixels)

    whole = measured_bytes(*pair, tmp_path / "whole.parquet", recipe, settings=ALL)
    for tile_px, workers in [(64, 2), (100, 1)]:
        cut = measured_bytes(*pair, tmp_path / "cut.parquet", recipe, settings=ALL, tile_px=tile_px, workers=workers)
        assert cut == whole
    assert not list(tmp_path.glob(".tmp-*")), "the first pass leaves nothing behind"
    table = read_columns(tmp_path / "whole.parquet")
    for name, values in measure_image(labels, pixels, recipe=recipe, settings=ALL, look=LOOK).items():
        assert np.array_equal(table[name], values, equal_nan=values.dtype == float), name


def test_no_cells_give_all_columns():
    pixels = np.zeros((20, 20, 3), np.uint8)
    values = measure_image(np.zeros((20, 20), np.uint32), pixels, recipe=recipe_for(pixels), settings=ALL, look=LOOK)
    assert all(len(column) == 0 for column in values.values())
    assert len(values) == len(measured_columns(recipe_for(pixels), ALL)) - 1


def test_a_cell_that_fills_the_image_and_single_pixels():
    labels = np.ones((12, 12), np.uint32)
    labels[3, 3] = 2
    labels[7, 7:9] = 3
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3)).astype(np.uint8)
    for recipe in (recipe_for(pixels), replace(recipe_for(pixels), gray_contrast=0.0)):
        values = measure_image(labels, pixels, recipe=recipe, settings=ALL, look=LOOK)
        assert not any(np.isinf(column).any() for column in values.values() if column.dtype == np.float64)
