"""Moments against scikit-image, closed forms, and what must not change them."""

import numpy as np
import pytest
from measuring import odd_shapes
from patching import ellipse, patches_of
from skimage.measure import regionprops

from cellseg.columns.moments import COLUMNS
from cellseg.measure.moment_invariants import measure_moments
from cellseg.measure.power_sums import sum_powers, sum_weighted_powers


def moments(labels, mpp=1.0):
    return measure_moments(patches_of(labels), mpp=mpp)


def test_keys_are_the_columns():
    names = [column.name for column in COLUMNS]
    assert list(moments(np.ones((3, 3), np.uint32))) == names
    assert all(len(values) == 0 for values in moments(np.zeros((5, 5), np.uint32)).values())


def test_sums_of_powers_by_brute_force():
    patches = patches_of(odd_shapes(seed=1))
    values = np.random.default_rng(0).integers(0, 65536, len(patches.mask)).astype(np.uint16)
    plain, weighted = sum_powers(patches, 9), sum_weighted_powers(patches, values, 9)
    for at in range(len(patches)):
        start, stop = patches.starts[at : at + 2]
        shape = patches.heights[at], patches.widths[at]
        mask, v = patches.mask[start:stop].reshape(shape) > 0, values[start:stop].reshape(shape).astype(float)
        y, x = (np.argwhere(mask) - [shape[0] // 2, shape[1] // 2]).T.astype(float)
        for p in range(10):
            for q in range(10 - p):
                terms = y**p * x**q
                size = np.abs(terms).sum()  # whole numbers beyond 2^53 lose their last bits
                assert plain[at, p, q] == pytest.approx(terms.sum(), abs=1e-14 * size)
                assert weighted[at, p, q] == pytest.approx((terms * v[mask]).sum(), abs=1e-9 * size)
    assert (plain[:, 5, 5] == 0).all()


def test_equal_regionprops():
    labels = odd_shapes((220, 240), seed=4)
    got = moments(labels)
    for at, region in enumerate(regionprops(labels)):
        offset = np.abs(region.coords - region.centroid)
        for p in range(3):
            for q in range(4):
                unit = f"um{p + q + 2}"
                assert got[f"spatial_moment_{p}_{q}_{unit}"][at] == pytest.approx(region.moments[p, q], rel=1e-12)
                # odd moments cancel: their error is relative to what is summed up
                size = (offset[:, 0] ** p * offset[:, 1] ** q).sum()
                expected = region.moments_central[p, q]
                assert got[f"central_moment_{p}_{q}_{unit}"][at] == pytest.approx(expected, abs=1e-9 * size + 1e-9)
        for p in range(4):
            for q in range(4):
                if p + q >= 2:
                    expected = region.moments_normalized[p, q]
                    assert got[f"normalized_moment_{p}_{q}"][at] == pytest.approx(expected, abs=1e-12)
        for k in range(7):
            assert got[f"hu_{k + 1}"][at] == pytest.approx(region.moments_hu[k], abs=1e-12)
        tensor, values = region.inertia_tensor, region.inertia_tensor_eigvals
        for name, expected in (
            ("inertia_tensor_yy_um2", tensor[0, 0]), ("inertia_tensor_xx_um2", tensor[1, 1]),
            ("inertia_tensor_yx_um2", tensor[0, 1]), ("inertia_eigenvalue_1_um2", values[0]),
            ("inertia_eigenvalue_2_um2", values[1]),
        ):  # fmt: skip
            assert got[name][at] == pytest.approx(expected, rel=1e-9, abs=1e-9), name


def test_a_rectangle_by_its_closed_forms():
    got = {name: values[0] for name, values in moments(np.pad(np.ones((4, 6), np.uint32), 3), mpp=0.5).items()}

    assert got["spatial_moment_0_0_um2"] == 6.0
    assert got["spatial_moment_1_0_um3"] == (0 + 1 + 2 + 3) * 6 * 0.5**3
    assert got["inertia_tensor_yy_um2"] == pytest.approx((36 - 1) / 12 * 0.25)
    assert got["inertia_eigenvalue_2_um2"] == pytest.approx((16 - 1) / 12 * 0.25)
    assert got["hu_1"] == pytest.approx(((36 - 1) + (16 - 1)) / 12 / 24)
    assert got["hu_3"] == got["central_moment_1_0_um3"] == 0.0


def test_hu_does_not_change_with_turns_and_mirrors():
    labels = odd_shapes(seed=5)
    before = moments(labels)
    for turn, sign in ((np.rot90, 1), (np.fliplr, -1)):
        after = moments(np.ascontiguousarray(turn(labels)))
        for k in range(1, 8):
            factor = sign if k == 7 else 1
            np.testing.assert_allclose(after[f"hu_{k}"], factor * before[f"hu_{k}"], rtol=1e-9, atol=1e-13)


def test_hu_hardly_changes_with_size():
    small, large = moments(ellipse(20, 12, 0.5)), moments(ellipse(80, 48, 0.5))
    assert small["hu_1"] == pytest.approx(large["hu_1"], rel=0.01)


def test_units():
    labels = odd_shapes(seed=3)
    whole, half = moments(labels), moments(labels, mpp=0.5)
    for column in COLUMNS:
        power = int(column.unit.removeprefix("um") or 1) if column.unit != "1" else 0
        np.testing.assert_allclose(half[column.name], whole[column.name] * 0.5**power, rtol=1e-14)
