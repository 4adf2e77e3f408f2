"""Red cells drawn with known form, spicules and pallor."""

from __future__ import annotations

import numpy as np
import pytest
from patching import disc, ellipse, patches_of, plane_of, star

from cellseg.columns.erythrocyte import COLUMNS
from cellseg.measure.erythrocyte import measure_erythrocyte_rings, measure_erythrocyte_shape


def shape(labels):
    found = measure_erythrocyte_shape(patches_of(labels))
    return {name.removeprefix("erythrocyte_"): column for name, column in found.items()}


def rings(labels, image, *, dark=False, n_levels=4096):
    patches = patches_of(labels)
    found = measure_erythrocyte_rings(patches, plane_of(np.asarray(image), patches), n_levels=n_levels, dark=dark)
    return {name.removeprefix("erythrocyte_"): column for name, column in found.items()}


def distance(labels):
    side = labels.shape[0]
    return np.hypot(*(np.mgrid[:side, :side] - side // 2))


def test_keys_are_the_columns():
    named = {per: [c.name for c in COLUMNS if c.per == per] for per in ("compartment", "plane")}
    labels = disc(5)
    assert [f"erythrocyte_{name}" for name in shape(labels)] == named["compartment"]
    assert [f"erythrocyte_{name}" for name in rings(labels, labels)] == named["plane"][:12]


def test_disc_and_ellipse_have_the_shape_factors_of_the_paper():
    found = shape(disc(30))
    assert found["circular_shape_factor"][0] == pytest.approx(1, abs=0.02)
    assert found["elliptical_shape_factor"][0] == 1
    for minor in (30, 20, 10):
        found = shape(ellipse(40, minor, 0.4))
        ramanujan = np.pi * (3 * (40 + minor) - np.sqrt((120 + minor) * (40 + 3 * minor)))
        assert found["circular_shape_factor"][0] == pytest.approx(4 * np.pi**2 * 40 * minor / ramanujan**2, abs=0.025)
        # a shape of pixels lacks the spread within them: 1/12 px^2 of each moment
        assert found["elliptical_shape_factor"][0] == pytest.approx(minor / 40, abs=0.005)


def test_shape_factor_of_rectangles_is_exact():
    box = np.pad(np.ones((3, 7), np.uint32), 2)
    assert shape(box)["elliptical_shape_factor"][0] == pytest.approx(np.sqrt((9 - 1) / (49 - 1)), rel=1e-12)


@pytest.mark.parametrize(("tips", "depth"), [(3, 0.3), (5, 0.15), (7, 0.25), (12, 0.1), (20, 0.1)])
def test_stars_have_as_many_spicules_as_tips(tips, depth):
    found = shape(star(40, depth, tips))
    assert found["spicule_count"][0] == tips
    # from valley to tip twice the depth, less what smoothing takes; the outline's mean radius is a bit less than 1
    assert found["spicule_height"][0] == pytest.approx(2 * depth, rel=0.15)
    assert found["spicule_spacing_cv"][0] < 0.05


def test_smooth_cells_have_no_spicules():
    for labels in (disc(6), disc(20), disc(50), ellipse(30, 20, 0.3), ellipse(40, 10, 1.0), star(30, 0.02, 7)):
        found = shape(labels)
        assert found["spicule_count"][0] == 0
        assert np.isnan(found["spicule_height"][0])
        assert np.isnan(found["spicule_spacing_cv"][0])


def test_the_stairs_of_small_discs_are_no_spicules():
    for radius in np.arange(2.0, 20.0, 0.25):
        for shift in (0.0, 0.3, 0.5):
            found = shape(disc(radius, (25 + shift, 25 - shift), pad=25))
            assert not found["spicule_count"][0] > 0, (radius, shift)


def test_a_teardrop_has_one_spicule():
    y, x = np.mgrid[-40:41, -60:81]
    labels = (y**2 + x**2 <= 20**2) | ((x > 0) & (x < 55) & (np.abs(y) < 12 * (1 - x / 60)))
    found = shape(labels.astype(np.uint32))
    assert found["spicule_count"][0] == 1
    assert np.isnan(found["spicule_spacing_cv"][0])


def test_uneven_spicules_are_farther_from_even_spacing():
    y, x = np.mgrid[-50:51, -50:51]
    turn = np.arctan2(y, x)
    out = []
    for places in ((0, np.pi / 2, np.pi, -np.pi / 2), (0, 0.8, 1.6, 2.4)):
        edge = 25 + sum(15 * np.exp(-((np.angle(np.exp(1j * (turn - place))) / 0.15) ** 2)) for place in places)
        out.append(shape((np.hypot(y, x) <= edge).astype(np.uint32)))
    even, uneven = out
    assert even["spicule_count"][0] == uneven["spicule_count"][0] == 4
    assert even["spicule_spacing_cv"][0] < 0.05 < 0.3 < uneven["spicule_spacing_cv"][0]


def test_dots_and_lines_have_no_outline():
    line = np.pad(np.ones((1, 9), np.uint32), 2)
    found, dot = shape(line), shape(np.pad(np.ones((1, 1), np.uint32), 2))
    assert found.pop("elliptical_shape_factor")[0] == 0
    assert all(np.isnan(column[0]) for column in (*found.values(), *dot.values()))


def test_a_painted_pallor_has_its_share_and_depth():
    labels = disc(30)
    far = distance(labels)
    for reach, pale in ((6, 500), (12, 1200), (15, 1000)):
        image = np.where(far <= reach, pale, 2000)
        found = rings(labels, image)
        assert found["pallor_area_share"][0] == pytest.approx((far <= reach).sum() / labels.sum(), abs=1e-12)
        assert found["pallor_depth"][0] == pytest.approx(1 - pale / 2000, abs=1e-12)
        assert found["pallor_offset"][0] == pytest.approx(0, abs=1e-12)
        assert found["target_index"][0] == 0
        assert found["ring_1"][0] == pytest.approx(pale / 2000)
        assert found["ring_8"][0] == 1


def test_a_pale_edge_is_no_pallor():
    labels = disc(32)
    far = distance(labels)
    found = rings(labels, np.where((far <= 10) | (far > 28), 500, 2000))
    assert found["pallor_area_share"][0] == pytest.approx((far <= 10).sum() / labels.sum(), abs=1e-12)
    assert found["pallor_depth"][0] == pytest.approx(0.75)


def test_a_cell_of_one_colour_has_no_pallor():
    found = rings(disc(20), np.full((47, 47), 777))
    assert found["pallor_area_share"][0] == found["pallor_depth"][0] == found["target_index"][0] == 0
    assert np.isnan(found["pallor_offset"][0])
    assert all(found[f"ring_{k}"][0] == 1 for k in range(1, 9))


def test_rings_have_the_means_of_a_cone():
    labels = disc(64)
    far = distance(labels)
    found = rings(labels, np.rint(far * 20 + 200))
    middle = (np.arange(8) ** 2 + np.arange(8) + 1 / 3) / (np.arange(8) + 0.5) / 8  # mean radius of a ring, of 64
    expected = middle * 64 * 20 + 200
    for k in range(8):
        # depths are those of pixels: half a pixel of 64
        assert found[f"ring_{k + 1}"][0] == pytest.approx(expected[k] / expected[7], abs=0.012)


def test_target_cells_are_denser_in_the_middle():
    labels = disc(32)
    far = distance(labels)
    image = np.where(far < 5, 1600, np.where(far < 16, 800, 2000))
    found = rings(labels, image)
    assert found["target_index"][0] == pytest.approx((found["ring_1"][0] * 2000 - 800) / 2000)
    assert found["target_index"][0] > 0.3
    assert found["pallor_depth"][0] == pytest.approx(0.6)
    assert found["pallor_area_share"][0] == pytest.approx((image == 800).sum() / labels.sum())
    spherocyte = rings(labels, np.where(far < 16, 2000, 1500))
    assert spherocyte["pallor_depth"][0] == 0
    assert spherocyte["target_index"][0] == 0
    assert spherocyte["ring_1"][0] > 1


def test_the_pallor_of_a_stomatocyte_is_off_the_middle():
    labels = disc(30)
    y, x = np.mgrid[:67, :67] - 33
    image = np.where(np.hypot(y, x - 8) <= 8, 500, 2000)
    found = rings(labels, image)
    assert found["pallor_offset"][0] == pytest.approx(8 / np.sqrt(labels.sum() / np.pi), rel=1e-9)
    assert found["pallor_area_share"][0] == pytest.approx((image == 500).sum() / labels.sum())


def test_stain_and_exposure_drop_out():
    labels = disc(30)
    far = distance(labels)
    thickness = np.where(far <= 12, 0.4, 1.0)
    stain = [rings(labels, np.rint(strength * thickness)) for strength in (1000, 2000)]
    gray = [rings(labels, np.rint(4096 * 10 ** (-od * thickness)) - 1, dark=True) for od in (0.3, 0.6)]
    for name in stain[0]:
        for other in (stain[1], *gray):
            # gray is in steps of 1 / 4096
            assert other[name][0] == pytest.approx(stain[0][name][0], abs=2e-3)


def test_without_density_there_is_no_rim():
    for labels in (disc(9), np.pad(np.ones((1, 1), np.uint32), 2)):
        assert all(np.isnan(column[0]) for column in rings(labels, np.zeros(labels.shape)).values())
        assert all(np.isnan(c[0]) for c in rings(labels, np.full(labels.shape, 4095), dark=True).values())


def test_rings_without_pixels_are_nan():
    found = rings(np.pad(np.ones((3, 3), np.uint32), 2), np.full((7, 7), 9))
    seen = [k for k in range(1, 9) if found[f"ring_{k}"][0] == 1]
    assert seen == [1, 6]  # depths 1.5 and 0.5 of 1.5: two thirds of the way out, 8 * 2/3 rounds down to 5 from 0
    one = rings(np.pad(np.ones((1, 1), np.uint32), 2), np.full((5, 5), 9))
    assert all(np.isnan(column[0]) for column in one.values())  # its one pixel is the centre: there is no rim


def test_nothing_in_nothing_out():
    empty = np.zeros((5, 5), int)
    for found in (shape(empty), rings(empty, empty)):
        assert all(column.shape == (0,) and column.dtype == np.float64 for column in found.values())


@pytest.mark.parametrize("turn", [np.rot90, np.fliplr, np.flipud, lambda a: np.rot90(a, 2), np.transpose])
def test_turned_cells_have_the_same_figures(turn):
    rng = np.random.default_rng(1)
    for size in (1, 2, 3, 5, 8, 13, 20):
        y, x = np.mgrid[-2 * size : 2 * size + 1, -2 * size : 2 * size + 1]
        around = np.arctan2(y, x)
        edge = 1 + sum(rng.normal(0, 0.1) * np.cos(k * around + rng.uniform(0, 6)) for k in range(1, 8))
        labels = (np.hypot(y, x) <= size * edge).astype(np.uint32)
        image = rng.integers(0, 4096, labels.shape)
        turned = np.ascontiguousarray(turn(labels)), np.ascontiguousarray(turn(image))
        for a, b in ((shape(labels), shape(turned[0])), (rings(labels, image), rings(*turned))):
            for name in a:
                assert a[name][0] == pytest.approx(b[name][0], rel=1e-9, abs=1e-9, nan_ok=True), name


def test_neither_place_nor_company_matters():
    shapes = [star(9, 0.2, 5), disc(7), ellipse(12, 5, 0.5)]
    rng = np.random.default_rng(2)
    together = np.zeros((120, 60), np.uint32)
    image = rng.integers(0, 4096, together.shape)
    places = []
    for i, one in enumerate(shapes):
        at = np.s_[i * 40 : i * 40 + one.shape[0], 7 : 7 + one.shape[1]]
        together[at] = one * (i + 1)
        places.append(at)
    whole = shape(together) | rings(together, image)
    for i, at in enumerate(places):
        alone = shape(shapes[i]) | rings(shapes[i], image[at])
        for name in whole:
            np.testing.assert_array_equal(whole[name][i], alone[name][0])


def test_large_cells_of_16_bits():
    labels = np.pad(np.ones((1200, 1200), np.uint32), 1)
    image = np.full(labels.shape, 65535)
    found = shape(labels) | rings(labels, image, n_levels=65536)
    assert found["elliptical_shape_factor"][0] == 1
    assert found["spicule_count"][0] == 4
    assert found["ring_8"][0] == 1
