"""Gray levels by bins of equal width over a cell's own range, against exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from patching import disc, patches_of, plane_of

from cellseg.measure.grey_levels import quantize


def by_fractions(values, levels):
    low, high = int(values.min()), int(values.max())
    if low == high:
        return [1] * len(values)
    return [min(int(Fraction(levels * (int(v) - low), high - low)), levels - 1) + 1 for v in values]


@pytest.mark.parametrize("n_levels_in", [256, 4096, 65_536])
@pytest.mark.parametrize("levels", [2, 3, 8, 32, 255, 256])
def test_equals_exact_division(n_levels_in, levels):
    rng = np.random.default_rng(levels)
    labels = disc(40)
    image = rng.integers(0, n_levels_in, labels.shape)
    image[0, 0] = n_levels_in - 1
    patches = patches_of(labels)
    values = plane_of(image, patches)
    got = quantize(patches, values, n_levels_in=n_levels_in, levels=levels)
    inside = patches.mask == 1
    assert got.dtype == (np.uint8 if levels < 256 else np.uint16)
    assert got[inside].tolist() == by_fractions(values[inside], levels)
    assert not got[~inside].any()


@pytest.mark.parametrize("spread", [1, 2, 3, 31, 32, 33, 255, 257, 4095, 65_521, 65_535])
def test_no_value_falls_on_the_wrong_side_of_an_edge(spread):
    values = np.unique(np.linspace(0, spread, 3000).astype(int))
    labels = np.ones((1, len(values)), np.uint32)
    patches = patches_of(labels)
    for levels in (2, 7, 32, 100, 256):
        got = quantize(patches, plane_of(values[None], patches), n_levels_in=65_536, levels=levels)
        assert got[patches.mask == 1].tolist() == by_fractions(values, levels)


def test_each_cell_has_its_own_range_and_neighbours_do_not_matter():
    labels = np.array([[1, 1, 1, 2, 2]])
    image = np.array([[10, 11, 12, 500, 700]])
    patches = patches_of(labels)
    got = quantize(patches, plane_of(image, patches), n_levels_in=4096, levels=4)
    assert got[patches.mask == 1].tolist() == [1, 3, 4, 1, 4]


@pytest.mark.parametrize("value", [0, 255, 65_535])
def test_flat_cell_and_one_pixel_have_one_level(value):
    labels = np.array([[1, 1, 0, 2]])
    patches = patches_of(labels)
    got = quantize(patches, plane_of(np.full(labels.shape, value), patches), n_levels_in=65_536, levels=32)
    assert np.array_equal(got, patches.mask)


def test_empty():
    patches = patches_of(np.zeros((4, 4), np.uint32))
    assert quantize(patches, np.zeros(0, np.uint16), n_levels_in=256, levels=32).shape == (0,)


@pytest.mark.parametrize(("n_levels_in", "levels"), [(256, 1), (256, 257), (0, 32), (65_537, 32)])
def test_refuses_what_is_out_of_range(n_levels_in, levels):
    patches = patches_of(disc(2))
    with pytest.raises(ValueError, match="must be within"):
        quantize(patches, np.zeros(len(patches.mask), np.uint16), n_levels_in=n_levels_in, levels=levels)
