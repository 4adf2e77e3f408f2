"""Zernike moments: what a disc must have, NaN, units, and what must not change them."""

import numpy as np
import pytest
from measuring import odd_shapes
from patching import disc, patches_of, plane_of

from cellseg.columns.zernike import MASK, PLANE
from cellseg.measure.zernike import TERMS, measure_radial_zernike, measure_zernike


def flat(patches, level=100):
    return np.full(len(patches.mask), level, np.uint16)


def test_keys_are_the_columns():
    patches, empty = patches_of(disc(5)), patches_of(np.zeros((4, 4), np.uint32))

    assert set(measure_zernike(patches)) == {column.name for column in MASK}
    assert set(measure_radial_zernike(patches, flat(patches), scale=1.0)) == {column.name for column in PLANE}
    assert all(len(values) == 0 for values in measure_zernike(empty).values())
    assert all(len(values) == 0 for values in measure_radial_zernike(empty, flat(empty), scale=1.0).values())


def test_a_disc_has_area_and_nothing_else():
    got = measure_zernike(patches_of(disc(60)))

    # 1 over the unit disc is V_00, to which all others are orthogonal; what is left is the pixels'
    assert got["zernike_0_0"][0] == pytest.approx(1, abs=0.01)
    for n, m in TERMS[1:]:
        assert got[f"zernike_{n}_{m}"][0] == pytest.approx(0, abs=0.02), (n, m)
        if m % 4:
            assert got[f"zernike_{n}_{m}"][0] < 1e-12, "four-fold symmetry leaves m = 0, 4, 8 alone"


def test_half_a_disc_by_its_closed_form():
    labels = disc(80)
    labels[: labels.shape[0] // 2] = 0
    got = measure_zernike(patches_of(labels))

    # over the lower half: V_00 gives pi/2, V_11 = r exp(i phi) gives 2/3
    assert got["zernike_0_0"][0] == pytest.approx(0.5, abs=0.01)
    assert got["zernike_1_1"][0] == pytest.approx(2 / 3 / np.pi, abs=0.01)


def test_single_pixels_have_none():
    patches = patches_of(np.pad(np.ones((1, 1), np.uint32), 2))

    assert all(np.isnan(values).all() for values in measure_zernike(patches).values())
    assert all(np.isnan(values).all() for values in measure_radial_zernike(patches, flat(patches), scale=1.0).values())


@pytest.mark.parametrize("turn", [np.rot90, np.flipud, np.transpose])
def test_turns_leave_magnitudes(turn):
    labels = odd_shapes(seed=6)
    image = np.random.default_rng(0).integers(0, 4096, labels.shape)
    turned = np.ascontiguousarray(turn(labels))
    before, after = patches_of(labels), patches_of(turned)

    for name, values in measure_zernike(before).items():
        np.testing.assert_allclose(measure_zernike(after)[name], values, rtol=0, atol=1e-9, err_msg=name)
    plain = measure_radial_zernike(before, plane_of(image, before), scale=0.001)
    moved = measure_radial_zernike(after, plane_of(np.ascontiguousarray(turn(image)), after), scale=0.001)
    for name, values in plain.items():
        if "magnitude" in name:
            np.testing.assert_allclose(moved[name], values, rtol=0, atol=1e-9, err_msg=name)


def test_phase_turns_with_the_cell():
    labels = odd_shapes(seed=6)
    image = np.random.default_rng(1).integers(1, 4096, labels.shape)
    before, after = patches_of(labels), patches_of(np.ascontiguousarray(np.rot90(labels)))
    plain = measure_radial_zernike(before, plane_of(image, before), scale=1.0)
    turned = measure_radial_zernike(after, plane_of(np.ascontiguousarray(np.rot90(image)), after), scale=1.0)

    for n, m in TERMS:
        if m:
            # y runs down: a turn to the left takes a quarter from every angle
            turn = plain[f"zernike_phase_{n}_{m}_rad"] - turned[f"zernike_phase_{n}_{m}_rad"] - m * np.pi / 2
            sure = plain[f"zernike_magnitude_{n}_{m}"] > 1e-3
            assert np.abs(np.sin(turn[sure] / 2)).max() < 1e-6, (n, m)


def test_a_flat_plane_has_the_masks_moments():
    labels = odd_shapes(seed=8)
    patches = patches_of(labels)
    mask, plane = measure_zernike(patches), measure_radial_zernike(patches, flat(patches, 7), scale=0.5, offset=1.0)
    share = plane["zernike_magnitude_0_0"] / mask["zernike_0_0"]

    for n, m in TERMS:
        np.testing.assert_allclose(
            plane[f"zernike_magnitude_{n}_{m}"], mask[f"zernike_{n}_{m}"] * share, rtol=0, atol=1e-10
        )
    np.testing.assert_allclose(plane["zernike_magnitude_0_0"], np.where(np.isnan(share), np.nan, 4.5))


def test_no_signal_has_no_phase():
    patches = patches_of(disc(6))
    got = measure_radial_zernike(patches, flat(patches, 0), scale=1.0)

    assert got["zernike_magnitude_3_1"][0] == 0 and np.isnan(got["zernike_phase_3_1_rad"][0])


@pytest.mark.parametrize(
    ("level", "scale", "offset"), [(57, 0.01, -0.57), (57, 1.0, -57.0), (128, 1 / 16, -8.0), (3, 0.1, -0.3)]
)
def test_a_plane_that_cancels_to_nothing_has_no_phase(level, scale, offset):
    patches = patches_of(odd_shapes(seed=6))
    got = measure_radial_zernike(patches, flat(patches, level), scale=scale, offset=offset)

    # count * scale + offset is 0 but for rounding: what is left has no direction
    assert all(np.isnan(values).all() for name, values in got.items() if "phase" in name)


def test_a_plane_of_mean_zero_has_the_phases_that_it_has_signal_for():
    labels = np.pad(np.ones((20, 20), np.uint32), 2)
    image = np.full(labels.shape, 100)
    image[:, :12], image[:, 12:] = 90, 110  # odd in x, even in y, mean 0 with the offset
    patches = patches_of(labels)
    got = measure_radial_zernike(patches, plane_of(image, patches), scale=0.1, offset=-10.0)

    assert got["zernike_magnitude_1_1"][0] > 0.1
    assert got["zernike_phase_1_1_rad"][0] == pytest.approx(0, abs=1e-9), "brighter to the right"
    assert np.isnan(got["zernike_phase_2_2_rad"][0]), "even moments of an odd plane are rounding alone"


def test_a_symmetric_cell_has_no_odd_phase_even_where_the_plane_is_its_offset_alone():
    patches = patches_of(np.pad(np.ones((301, 301), np.uint32), 2))
    got = measure_radial_zernike(patches, flat(patches, 0), scale=0.01, offset=-0.5)

    # powers beyond 2^53 are rounded: odd moments are 1e-16 instead of 0
    assert all(np.isnan(got[f"zernike_phase_{n}_{m}_rad"][0]) for n, m in TERMS if m % 2)
    assert got["zernike_magnitude_0_0"][0] == pytest.approx(0.5)
