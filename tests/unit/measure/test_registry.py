"""Names of planes, and the list of families against the settings."""

from typing import get_args

import numpy as np
from measuring import recipe_for

from cellseg.columns.families import ABOUT, OF_CELLS, OF_COMPARTMENTS
from cellseg.measure.layout import measured_columns
from cellseg.measure.registry import (
    CELL_FAMILIES,
    COMPARTMENT_FAMILIES,
    LATE_FAMILIES,
    PLANE_FAMILIES,
    RING_FAMILIES,
    SLIDE_FAMILIES,
)
from cellseg.measure.view import channel_planes, plane_names
from cellseg.measure.window import measure_image
from cellseg.measure_config import CompartmentFamily, Family, MeasureSettings


def test_families_are_those_of_the_settings():
    inner = {*COMPARTMENT_FAMILIES, *PLANE_FAMILIES}
    once = {*CELL_FAMILIES, *RING_FAMILIES, *SLIDE_FAMILIES, *LATE_FAMILIES, "compartments"}

    assert inner | once == set(get_args(Family)) == set(ABOUT)
    assert {*COMPARTMENT_FAMILIES, *PLANE_FAMILIES} >= set(get_args(CompartmentFamily))
    assert {column.family for column in OF_COMPARTMENTS} == inner
    assert {column.family for column in OF_CELLS} == once


def test_planes_of_colour_and_of_gray():
    colour, gray = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 1), np.uint16)

    assert plane_names(recipe_for(colour)) == (
        "intensity_red", "intensity_green", "intensity_blue", "intensity_gray", "od_hematoxylin", "od_eosin",
    )  # fmt: skip
    assert plane_names(recipe_for(gray)) == ("intensity_gray",)


def test_channel_names_become_safe_and_stay_apart():
    pixels = np.zeros((4, 4, 6), np.uint16)
    names = ("DAPI", "dapi", "CD8 (Opal-520)", "µ", "DAPI ", "Ki-67")

    assert channel_planes(recipe_for(pixels, names=names)) == (
        "intensity_dapi", "intensity_dapi_2", "intensity_cd8_opal_520", "intensity_channel_4", "intensity_dapi_3",
        "intensity_ki_67",
    )  # fmt: skip


def test_arrays_give_every_column_but_the_sample():
    labels = np.zeros((9, 9), np.uint32)
    labels[2:5, 3:6] = 4
    pixels = np.zeros((9, 9, 3), np.uint8)
    recipe = recipe_for(pixels)

    got = measure_image(labels, pixels, recipe=recipe)

    assert {"sample", *got} == {column.name for column in measured_columns(recipe, MeasureSettings())}
    assert all(len(values) == 1 for values in got.values())
    assert measure_image(labels * 0, pixels, recipe=recipe)["nucleus_area_um2"].shape == (0,)
