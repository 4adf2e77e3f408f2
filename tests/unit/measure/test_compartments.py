"""Cytoplasm: the pixels near a nucleus and nearer to no other."""

import numpy as np
import pytest
from measuring import recipe_for

from cellseg.measure.boxes import scan_cells
from cellseg.measure.compartments import assign_cytoplasm, ring_margin_px
from cellseg.measure.layout import compartment_families, margin_px, measured_columns
from cellseg.measure.window import measure_image, measure_window
from cellseg.measure_config import MeasureSettings
from cellseg.types import Window


def brute(labels, reach_px):
    """Every background pixel against every nuclear one."""
    places, ids = np.argwhere(labels > 0), labels[labels > 0]
    out = np.zeros_like(labels)
    for y, x in np.argwhere(labels == 0):
        squares = ((places - [y, x]) ** 2).sum(axis=1)
        nearest = np.unique(ids[squares == squares.min()])
        if squares.min() <= reach_px**2 and len(nearest) == 1:
            out[y, x] = nearest[0]
    return out


def crowd(seed=0, shape=(60, 70), n=14):
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint32)
    for number in range(n):
        y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        labels[max(y - 2, 0) : y + 3, max(x - 3, 0) : x + 2] = 1000 - number
    return labels


@pytest.mark.parametrize("reach_px", [0.0, 0.5, 1.0, 2.5, 5.0, 7.3, 100.0])
def test_equals_brute_force(reach_px):
    labels = crowd()
    assert np.array_equal(assign_cytoplasm(labels, reach_px), brute(labels, reach_px))


def test_half_the_way_to_the_neighbour_belongs_to_none():
    labels = np.zeros((1, 7), np.uint32)
    labels[0, 0], labels[0, 6] = 4, 9

    assert assign_cytoplasm(labels, 10).tolist() == [[0, 4, 4, 0, 9, 9, 0]]


def test_turned_and_renamed_nuclei_have_the_same_cytoplasm():
    labels = crowd(3)
    ring = assign_cytoplasm(labels, 6)
    names = np.arange(1001, dtype=np.uint32)
    names[1:] = names[:0:-1]

    assert np.array_equal(assign_cytoplasm(np.ascontiguousarray(np.rot90(labels)), 6), np.rot90(ring))
    assert np.array_equal(
        assign_cytoplasm(np.where(labels > 0, names[labels], 0), 6), np.where(ring > 0, names[ring], 0)
    )


def test_a_window_with_its_margin_says_the_same_as_the_whole():
    labels = crowd(1, (120, 120), 60)
    recipe, settings = recipe_for(np.zeros((120, 120, 3), np.uint8), mpp=0.5), MeasureSettings(ring_um=2.7)
    pixels = np.random.default_rng(0).integers(0, 256, (120, 120, 3)).astype(np.uint8)
    whole = measure_image(labels, pixels, recipe=recipe, settings=settings)
    cells = scan_cells(labels)

    for row in range(len(cells)):
        one = cells.take(np.array([row]))
        window = one.window().grow(margin_px(recipe, settings)).clip(120, 120)
        place = window.inside(Window(0, 120, 0, 120))
        alone = measure_window(labels[place], pixels[place], one, window, recipe=recipe, settings=settings)
        for name, values in alone.items():
            if name.startswith(("cytoplasm", "cell_")):
                assert np.array_equal(values, whole[name][row : row + 1], equal_nan=True), name
    assert margin_px(recipe, settings) == ring_margin_px(5.4)


def test_a_nucleus_without_room_has_no_cytoplasm():
    labels = np.full((6, 6), 3, np.uint32)
    labels[:, 3:] = 8
    pixels = np.zeros((6, 6, 3), np.uint8)
    values = measure_image(labels, pixels, recipe=recipe_for(pixels))

    assert np.isnan(values["cytoplasm_od_hematoxylin_mean"]).all()
    assert values["cell_n_pixels"].tolist() == values["nucleus_n_pixels"].tolist() == [18, 18]


def test_whole_cells_and_a_ring_of_nothing_have_no_cytoplasm():
    pixels = np.zeros((6, 6, 3), np.uint8)
    recipe = recipe_for(pixels)

    assert list(compartment_families(recipe, MeasureSettings(outlined="cell"))) == ["cell"]
    assert list(compartment_families(recipe, MeasureSettings(ring_um=0))) == ["nucleus"]
    names = [column.name for column in measured_columns(recipe, MeasureSettings(outlined="cell"))]
    assert "cell_area_um2" in names and not any(name.startswith(("nucleus", "cytoplasm")) for name in names)
