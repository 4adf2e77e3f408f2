"""The twenty Herlev features of cells drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest
from patching import disc, patches_of, plane_of

from cellseg.columns.herlev import COLUMNS
from cellseg.measure.herlev import join_patches, measure_herlev20


def measure(nuclei, around, image=None, mpp=0.5, scale=1.0):
    inner, outer = patches_of(nuclei), patches_of(around)
    image = np.zeros(nuclei.shape, int) if image is None else image
    values = plane_of(image, inner), plane_of(image, outer)
    found = measure_herlev20(inner, outer, *values, scale=scale, mpp=mpp)
    return {name.removeprefix("herlev20_"): column for name, column in found.items()}


def cell(outer, inner, shift=0):
    """Labels of a disc and of the rest of a larger one around it."""
    whole = disc(outer)
    middle = whole.shape[0] // 2
    nucleus = disc(inner, (middle, middle + shift), pad=outer - inner + 3)
    assert nucleus.shape == whole.shape
    return nucleus, whole - nucleus


def test_keys_are_the_twenty_columns():
    found = measure(*cell(12, 5))
    assert [f"herlev20_{name}" for name in found] == [column.name for column in COLUMNS]
    assert len(found) == 20


def test_concentric_discs():
    nucleus, ring = cell(40, 16)
    found = measure(nucleus, ring, np.where(nucleus > 0, 60, 180), scale=0.5)
    assert found["nucleus_area_um2"][0] == nucleus.sum() * 0.25
    assert found["cytoplasm_area_um2"][0] == ring.sum() * 0.25
    assert found["nucleus_cell_ratio"][0] == nucleus.sum() / (nucleus.sum() + ring.sum())
    assert found["nucleus_brightness"][0] == 30
    assert found["cytoplasm_brightness"][0] == 90
    # a pixel more or less of the diameter
    for name, radius in (("nucleus", 16), ("cytoplasm", 40)):
        for kind in ("shortest", "longest"):
            assert found[f"{name}_{kind}_diameter_um"][0] == pytest.approx(radius, abs=0.75)
        assert found[f"{name}_elongation"][0] == pytest.approx(1, abs=0.04)
        assert found[f"{name}_roundness"][0] == pytest.approx(1, abs=0.07)
        assert found[f"{name}_perimeter_um"][0] == pytest.approx(np.pi * radius, rel=0.015)
    assert found["nucleus_position"][0] == pytest.approx(0, abs=1e-12)


def test_diameters_by_hand():
    nucleus, around = np.zeros((2, 12, 15), np.uint32)
    nucleus[4:7, 3:10] = 1
    around[3:8, 2:11] = 1
    around[nucleus > 0] = 0
    found = measure(nucleus, around, mpp=1)
    assert found["nucleus_shortest_diameter_um"][0] == 4  # the middle row is 2 px from what lies outside
    assert found["nucleus_longest_diameter_um"][0] == pytest.approx(np.hypot(3, 7))
    assert found["nucleus_elongation"][0] == pytest.approx(4 / np.hypot(3, 7))
    assert found["nucleus_roundness"][0] == pytest.approx(21 / (np.pi / 4 * 58))
    assert found["cytoplasm_shortest_diameter_um"][0] == 6
    assert found["cytoplasm_longest_diameter_um"][0] == pytest.approx(np.hypot(5, 9))
    assert found["cytoplasm_roundness"][0] == pytest.approx(45 / (np.pi / 4 * 106))


def test_position_of_a_nucleus_off_the_middle():
    for shift in (0, 5, 12):
        nucleus, ring = cell(30, 10, shift)
        found = measure(nucleus, ring, mpp=1)
        assert found["nucleus_position"][0] == pytest.approx(2 * shift / found["cytoplasm_longest_diameter_um"][0])


def test_extrema_are_the_highest_within_three_pixels():
    nucleus, ring = cell(20, 8)
    image = np.full(nucleus.shape, 100)
    middle = nucleus.shape[0] // 2
    image[middle, middle] = 200
    image[middle, middle + 3] = 150  # within reach of a higher one
    image[middle + 4, middle] = 140  # out of its reach
    image[middle - 3, middle - 3] = 10
    image[middle, middle + 15] = 220
    found = measure(nucleus, ring, image)
    # flat ground next to a lower pixel is a maximum too: count by brute force
    assert found["nucleus_maxima"][0] == brute(image, nucleus)
    assert found["nucleus_minima"][0] == brute(-image, nucleus)
    assert found["cytoplasm_maxima"][0] == brute(image, ring)
    assert found["cytoplasm_minima"][0] == brute(-image, ring)


def brute(image, part):
    """Pixels with none higher in the part within 3 px, but some lower."""
    at = np.argwhere(part > 0)
    values = image[part > 0]
    near = ((at[:, None] - at[None]) ** 2).sum(2) <= 9
    above = (near & (values[None] > values[:, None])).any(1)
    below = (near & (values[None] < values[:, None])).any(1)
    return int((~above & below).sum())


def test_extrema_of_noise_by_brute_force():
    rng = np.random.default_rng(0)
    for high in (4, 300, 65_536):
        nucleus, ring = cell(14, 6, 3)
        image = rng.integers(0, high, nucleus.shape)
        found = measure(nucleus, ring, image)
        assert found["nucleus_maxima"][0] == brute(image, nucleus)
        assert found["nucleus_minima"][0] == brute(-image, nucleus)
        assert found["cytoplasm_maxima"][0] == brute(image, ring)
        assert found["cytoplasm_minima"][0] == brute(-image, ring)


def test_the_brightest_of_16_bits_count_too():
    nucleus, ring = cell(12, 5)
    image = np.full(nucleus.shape, 65535)
    image[nucleus.shape[0] // 2, nucleus.shape[1] // 2] = 65534
    assert measure(nucleus, ring, image)["nucleus_minima"][0] == 1
    image = np.where(image == 65534, 1, 0)
    assert measure(nucleus, ring, image)["nucleus_maxima"][0] == 1


def test_the_perimeter_of_the_cytoplasm_is_that_of_the_cell():
    left, right, whole, other = np.zeros((4, 20, 40), np.uint32)
    left[3:17, 3:15], right[3:17, 15:37], whole[3:17, 3:37], other[0, 0] = 1, 1, 1, 1
    assert (
        measure(left, right)["cytoplasm_perimeter_um"][0]
        == measure(whole, other)["nucleus_perimeter_um"][0]
        > measure(right, other)["nucleus_perimeter_um"][0]
    )


def test_flat_cells_have_no_extrema():
    found = measure(*cell(12, 5))
    assert all(found[f"{part}_{kind}"][0] == 0 for part in ("nucleus", "cytoplasm") for kind in ("maxima", "minima"))


def test_single_pixels():
    nucleus, around = np.zeros((2, 5, 6), np.uint32)
    nucleus[2, 2] = 1
    around[2, 3] = 1
    found = measure(nucleus, around, mpp=1)
    assert np.isnan(found["nucleus_perimeter_um"][0])
    assert np.isnan(found["cytoplasm_perimeter_um"][0])
    assert found["nucleus_elongation"][0] == found["cytoplasm_shortest_diameter_um"][0] / 2 == 1
    assert found["nucleus_cell_ratio"][0] == 0.5
    assert found["nucleus_position"][0] == pytest.approx(1 / np.sqrt(5))
    assert all(np.isfinite(column[0]) for name, column in found.items() if "perimeter" not in name)


def test_patches_are_joined_wherever_their_boxes_begin():
    first, second = np.zeros((2, 20, 20), np.uint32)
    first[0:3, 0:3], second[2:5, 3:6] = 1, 1
    first[10:12, 15:20], second[8:14, 17:20] = 2, 2
    joined = join_patches(patches_of(first), patches_of(second))
    expected = patches_of(np.maximum(first, second))
    np.testing.assert_array_equal(joined.mask, expected.mask)
    for name in ("starts", "heights", "widths", "n_pixels", "origins"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(expected, name))


def test_nothing_in_nothing_out():
    found = measure(np.zeros((5, 5), int), np.zeros((5, 5), int))
    assert all(column.shape == (0,) and column.dtype == np.float64 for column in found.values())


@pytest.mark.parametrize("turn", [np.rot90, np.fliplr, np.flipud, lambda a: np.rot90(a, 2), np.transpose])
def test_turned_cells_have_the_same_figures(turn):
    rng = np.random.default_rng(1)
    for outer, inner, shift in ((4, 1, 1), (9, 4, 2), (20, 8, 5)):
        labels = cell(outer, inner, shift)
        image = rng.integers(0, 256, labels[0].shape)
        turned = [np.ascontiguousarray(turn(part)) for part in (*labels, image)]
        a, b = measure(*labels, image), measure(*turned)
        for name in a:
            assert a[name][0] == pytest.approx(b[name][0], rel=1e-9, abs=1e-12, nan_ok=True), name


def test_neither_place_nor_company_nor_pixel_size_matters():
    rng = np.random.default_rng(2)
    nuclei, around = np.zeros((2, 150, 70), np.uint32)
    image = rng.integers(0, 4096, nuclei.shape)
    cells = [cell(9, 4, 2), cell(20, 8, 5), cell(3, 1)]
    at = [np.s_[i * 50 : i * 50 + c[0].shape[0], 4 : 4 + c[0].shape[1]] for i, c in enumerate(cells)]
    for i, (nucleus, ring) in enumerate(cells):
        nuclei[at[i]], around[at[i]] = nucleus * (i + 1), ring * (i + 1)
    together, coarse = measure(nuclei, around, image), measure(nuclei, around, image, mpp=1.0)
    for i, labels in enumerate(cells):
        alone = measure(*labels, image[at[i]])
        for name in together:
            assert together[name][i] == pytest.approx(alone[name][0], rel=1e-12, abs=1e-12, nan_ok=True)
    for name, column in together.items():
        factor = 4 if name.endswith("um2") else 2 if name.endswith("um") else 1
        np.testing.assert_allclose(coarse[name], column * factor, rtol=1e-12)
