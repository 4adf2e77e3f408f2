"""The share of pixels at the sensor's limit: hand-made pixels, and the same for every tile size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fields import blobs, he_look
from measuring import measured_bytes, read_columns, recipe_for, write_pair

from cellseg.measure.boxes import scan_cells
from cellseg.measure.saturation import measure_saturation
from cellseg.measure.window import measure_image


def share(labels, pixels, **recipe):
    cells = scan_cells(np.array(labels, np.uint32))
    of = replace(recipe_for(pixels), **recipe)
    return measure_saturation(np.array(labels, np.uint32), pixels, cells.ids, cells.boxes, cells.n_pixels, of).tolist()


ROW = np.array(
    [[[255, 255, 255], [0, 0, 0], [255, 255, 254], [0, 0, 1], [255, 0, 90], [9, 9, 9], [255, 255, 255]]], np.uint8
)


def test_transmitted_light_counts_white_and_black_but_not_one_colour_at_its_limit():
    # the last pixel is white and of no cell
    assert share([[7, 7, 7, 7, 7, 7, 0]], ROW) == [pytest.approx(2 / 6)]
    assert share([[1, 2, 3, 4, 5, 6, 0]], ROW) == [1, 1, 0, 0, 0, 0]


def test_fluorescence_in_colour_counts_one_colour_at_the_top_and_no_black():
    assert share([[1, 2, 3, 4, 5, 6, 0]], ROW, stain="fluorescence") == [1, 0, 1, 0, 1, 0]


def test_without_colours_the_channel_that_stands_for_gray_decides():
    pixels = np.zeros((1, 4, 2), np.uint16)
    pixels[0, :, 0] = [65535, 65534, 0, 4095]
    pixels[0, :, 1] = [1, 65535, 65535, 0]
    fields = {"channel_names": ("DAPI", "CD8"), "stain": "fluorescence"}
    assert share([[1, 1, 1, 1]], pixels, **fields) == [0.25]
    assert share([[1, 1, 1, 1]], pixels, channel="CD8", **fields) == [0.5]
    # in transmitted light 0 is a limit too
    assert share([[1, 1, 1, 1]], pixels, channel_names=("a", "b"), stain="brightfield") == [0.5]


def test_the_maximum_is_that_of_the_pixel_type():
    eight = np.full((1, 2, 3), 255)
    assert share([[1, 1]], eight.astype(np.uint8)) == [1]
    assert share([[1, 1]], eight.astype(np.uint16)) == [0]


def test_no_cells():
    assert share(np.zeros((3, 3)), np.full((3, 3, 3), 255, np.uint8)) == []


def test_equals_a_count_over_the_mask_and_ignores_neighbours_in_the_same_box():
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 5, (40, 50)).astype(np.uint32)
    pixels = rng.choice(np.array([0, 128, 255], np.uint8), (40, 50, 3))
    limit = (pixels == 255).all(axis=2) | (pixels == 0).all(axis=2)
    assert share(labels, pixels) == [limit[labels == label].mean() for label in (1, 2, 3, 4)]


def blown(shape=(160, 200)):
    """H&E with patches of white and of black over cells and borders."""
    labels = blobs(shape)
    pixels = he_look(labels)
    pixels[30:60, 20:90] = 255
    pixels[100:130, 100:] = 0
    return labels, pixels


@pytest.mark.parametrize("tile_px", [32, 64, 2048])
def test_the_table_is_the_same_for_every_tile_size(tmp_path, tile_px):
    labels, pixels = blown()
    recipe = recipe_for(pixels)
    measured_bytes(*write_pair(tmp_path, pixels, labels), tmp_path / "t.parquet", recipe, tile_px=tile_px)
    found = read_columns(tmp_path / "t.parquet")["saturated_fraction"]
    limit = (pixels == 255).all(axis=2) | (pixels == 0).all(axis=2)
    expected = [round(limit[labels == label].mean(), 6) for label in range(1, int(labels.max()) + 1)]
    assert found.tolist() == expected
    assert 0 < np.mean(found > 0) < 1
    assert measure_image(labels, pixels, recipe=recipe)["saturated_fraction"].tolist() == expected
