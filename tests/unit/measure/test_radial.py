"""Radial distribution: closed forms, brute force, NaN, and what must not change it."""

import numpy as np
import pytest
from measuring import odd_shapes
from patching import disc, patches_of, plane_of
from scipy import ndimage

from cellseg.columns.radial import COLUMNS
from cellseg.measure.radial import assign_rings, measure_radial


def radial(labels, image, n_rings=4):
    patches = patches_of(labels)
    return measure_radial(assign_rings(patches, n_rings), plane_of(image, patches))


def test_keys_are_the_columns():
    labels = disc(6)
    names = {column.name.format(ring=k) for column in COLUMNS for k in range(1, 5)}

    assert set(radial(labels, labels * 9)) == names
    assert all(len(values) == 0 for values in radial(labels * 0, labels).values())


def test_a_flat_disc():
    got = {name: values[0] for name, values in radial(disc(40), np.full((99, 99), 50)).items()}

    assert sum(got[f"radial_fraction_{k}"] for k in range(1, 5)) == pytest.approx(1)
    for k in range(1, 5):
        # c + e is the radius: rings of equal width
        assert got[f"radial_fraction_{k}"] == pytest.approx((2 * k - 1) / 16, abs=0.02)
        assert got[f"radial_mean_fraction_{k}"] == pytest.approx(1)
        assert got[f"radial_cv_{k}"] == 0


def test_a_bright_middle_and_a_bright_side():
    labels = disc(20)
    y, x = np.mgrid[: labels.shape[0], : labels.shape[1]] - labels.shape[0] // 2
    middle = radial(labels, np.where(np.hypot(y, x) < 5, 200, 10))
    side = radial(labels, np.where(x > 0, 200, 10))

    assert middle["radial_mean_fraction_1"][0] > 5 * middle["radial_mean_fraction_4"][0]
    # three wedges bright, three dark, two half and half: 0.9 * sqrt(3/4)
    assert side["radial_cv_3"][0] == pytest.approx(0.78, abs=0.05)


def brute(mask, values, n_rings):
    """The definition, pixel by pixel."""
    depth = ndimage.distance_transform_edt(mask)
    places = np.argwhere(np.isclose(depth, depth.max()))
    # in parts of a pixel, whole numbers: thirds would lie beside the bounds of rings that they lie on
    dy, dx = (len(places) * np.argwhere(mask) - places.sum(axis=0)).T
    away = np.hypot(dy, dx)
    ring = np.minimum((n_rings * away / (away + len(places) * depth[mask])).astype(int), n_rings - 1)
    wedge = np.where(away > 0, np.floor(np.mod(np.arctan2(dy, dx) + np.pi / 8, 2 * np.pi) / (np.pi / 4)), -1)
    v = values[mask].astype(float)
    out = {}
    for k in range(n_rings):
        here = ring == k
        share = v[here].sum() / v.sum() if here.any() and v.sum() else np.nan
        means = [v[here & (wedge == w)].mean() for w in range(8) if (here & (wedge == w)).any()]
        varies = len(means) > 1 and np.mean(means) > 0
        out[f"radial_fraction_{k + 1}"] = share
        out[f"radial_mean_fraction_{k + 1}"] = share / here.mean() if here.any() else np.nan
        out[f"radial_cv_{k + 1}"] = np.std(means) / np.mean(means) if varies else np.nan
    return out


@pytest.mark.parametrize("n_rings", [1, 4, 7])
def test_equals_brute_force(n_rings):
    labels = odd_shapes((150, 150), seed=3)
    image = np.random.default_rng(0).integers(0, 4096, labels.shape)
    patches, got = patches_of(labels), radial(labels, image, n_rings)
    values = plane_of(image, patches)
    for at in range(len(patches)):
        part = slice(patches.starts[at], patches.starts[at + 1])
        shape = patches.heights[at], patches.widths[at]
        expected = brute(patches.mask[part].reshape(shape) > 0, values[part].reshape(shape), n_rings)
        for name, value in expected.items():
            assert got[name][at] == pytest.approx(value, rel=1e-12, abs=1e-12, nan_ok=True), (at, name)


@pytest.mark.parametrize("turn", [np.rot90, np.flipud, np.transpose])
def test_turned_cells_are_the_same(turn):
    labels = odd_shapes(seed=5)
    image = np.random.default_rng(1).integers(0, 256, labels.shape)
    before = radial(labels, image)
    after = radial(np.ascontiguousarray(turn(labels)), np.ascontiguousarray(turn(image)))
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values, err_msg=name)


def test_brightness_does_not_matter_and_darkness_has_none():
    labels = odd_shapes(seed=5)
    image = np.random.default_rng(1).integers(1, 256, labels.shape)
    for name, values in radial(labels, image).items():
        np.testing.assert_allclose(radial(labels, image * 100)[name], values, rtol=1e-12, err_msg=name)
    assert all(np.isnan(values).all() for values in radial(labels, image * 0).values())


def test_one_pixel_is_the_first_ring():
    got = radial(np.pad(np.ones((1, 1), np.uint32), 1), np.full((3, 3), 7))

    assert got["radial_fraction_1"][0] == got["radial_mean_fraction_1"][0] == 1
    assert np.isnan(got["radial_fraction_2"][0]) and np.isnan(got["radial_cv_1"][0])
