"""Nuclei with painted clumps, rims and nucleoli."""

from __future__ import annotations

import numpy as np
import pytest
from patching import disc, ellipse, patches_of, plane_of
from scipy import ndimage
from skimage.filters import threshold_otsu

from cellseg.columns.chromatin import COLUMNS
from cellseg.measure.chromatin import measure_chromatin


def measure(labels, image, mpp=0.5):
    patches = patches_of(labels)
    found = measure_chromatin(patches, plane_of(np.asarray(image), patches), mpp=mpp)
    return {name.removeprefix("chromatin_"): column for name, column in found.items()}


def spots(labels, places, radius, value, ground=1000):
    """An image with discs of a value on a ground."""
    image = np.full(labels.shape, ground)
    y, x = np.mgrid[: labels.shape[0], : labels.shape[1]]
    for cy, cx in places:
        image[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = value
    return image


def test_keys_are_the_columns():
    assert [f"chromatin_{name}" for name in measure(disc(5), disc(5))] == [column.name for column in COLUMNS]


def test_painted_clumps_are_counted():
    labels = disc(20)
    image = spots(labels, [(15, 15), (15, 30), (31, 20)], 3, 2000)
    found = measure(labels, image)
    n = (image == 2000).sum()
    assert found["clump_count"][0] == 3
    assert found["heterochromatin_share"][0] == n / labels.sum()
    assert found["largest_clump_um2"][0] == pytest.approx(n / 3 * 0.25)
    assert found["clump_contrast"][0] == pytest.approx(1000 / image[labels > 0].mean())
    assert found["boundary_share"][0] == 0


def test_clumps_join_over_corners_and_crumbs_do_not_count():
    labels = np.pad(np.ones((9, 9), np.uint32), 2)
    image = np.zeros(labels.shape, int)
    image[4, 4] = image[5, 5] = 9
    image[8, 8] = 9
    assert measure(labels, image, mpp=0.5)["clump_count"][0] == 2
    assert measure(labels, image, mpp=0.4)["clump_count"][0] == 1  # 1 px is 0.16 um2, 2 px are 0.32 um2
    assert measure(labels, image, mpp=0.5)["largest_clump_um2"][0] == 0.5


def test_chromatin_at_the_envelope_is_marginated():
    labels = disc(24)
    depth = ndimage.distance_transform_edt(labels)
    rim = measure(labels, np.where(depth <= 2, 2000, 1000))
    middle = measure(labels, np.where(depth >= 12, 2000, 1000))
    share = ((depth - 0.5 <= 0.25 * (depth.max() - 0.5)) & (labels > 0)).sum() / labels.sum()
    assert rim["margination"][0] == pytest.approx(1 / share)
    assert rim["boundary_share"][0] == 1
    assert measure(labels, np.where((depth > 1) & (depth < 3), 2000, 1000))["boundary_share"][0] == 0
    assert rim["edge_correlation"][0] < -0.5
    assert middle["margination"][0] == middle["boundary_share"][0] == 0
    assert middle["edge_correlation"][0] > 0.5
    half = np.where(np.arange(labels.shape[1]) > labels.shape[1] // 2, 2000, 1000) * np.ones(labels.shape, int)
    assert measure(labels, half)["margination"][0] == pytest.approx(1, abs=0.05)


def test_correlation_and_threshold_are_those_of_numpy_and_scikit_image():
    rng = np.random.default_rng(0)
    for high in (50, 4096, 60_000):
        labels = ellipse(16, 11, 0.4)
        image = rng.integers(0, high, labels.shape)
        found = measure(labels, image)
        inside = labels > 0
        depth = ndimage.distance_transform_edt(labels)
        expected = np.corrcoef(image[inside], depth[inside])[0, 1]
        assert found["edge_correlation"][0] == pytest.approx(expected, rel=1e-9)
        low, shift = image[inside].min(), max(0, int(np.ptp(image[inside])).bit_length() - 12)
        steps = (image - low) >> shift
        dense = inside & (steps > threshold_otsu(steps[inside], nbins=4096) + 0) if shift == 0 else None
        steps_in = steps[inside]
        between = [
            (steps_in <= t).sum()
            * (steps_in > t).sum()
            * (steps_in[steps_in > t].mean() - steps_in[steps_in <= t].mean()) ** 2
            for t in np.unique(steps_in)[:-1]
        ]
        best = steps > np.unique(steps_in)[int(np.argmax(between))]
        assert found["heterochromatin_share"][0] == (best & inside).sum() / inside.sum()
        if dense is not None and high == 50:
            assert (dense == (best & inside)).mean() > 0.95
        groups, n = ndimage.label(best & inside, np.ones((3, 3)))
        assert found["clump_count"][0] == n
        assert found["largest_clump_um2"][0] == np.bincount(groups[groups > 0]).max() * 0.25


def test_nucleoli_of_known_number_and_area():
    labels = disc(24)
    dark = measure(labels, spots(labels, [(20, 20), (34, 30)], 2.5, 1650))
    assert dark["dark_nucleolus_count"][0] == 2
    assert dark["bright_nucleolus_count"][0] == dark["bright_nucleolus_area_um2"][0] == 0
    # the mean over 3 x 3 moves the edge by half a pixel at most
    assert dark["dark_nucleolus_area_um2"][0] == pytest.approx(2 * 21 * 0.25, rel=0.25)
    bright = measure(labels, spots(labels, [(27, 27)], 3, 100))
    assert bright["bright_nucleolus_count"][0] == 1
    assert bright["dark_nucleolus_count"][0] == 0


@pytest.mark.parametrize(
    ("places", "radius", "value"),
    [
        ([(27, 27)], 2.5, 1250),  # not dense enough
        ([(27, 27)], 0.5, 5000),  # too small: 3 px after smoothing to 9, spread thin
        ([(27, 27)], 9.0, 3000),  # too large
        ([(27, 4)], 2.5, 3000),  # at the envelope
    ],
)
def test_what_is_no_nucleolus(places, radius, value):
    labels = disc(24)
    found = measure(labels, spots(labels, places, radius, value), mpp=0.5 if radius > 1 else 0.25)
    assert found["dark_nucleolus_count"][0] == found["dark_nucleolus_area_um2"][0] == 0


def test_bars_and_crosses_are_no_nucleoli():
    labels = disc(24)
    bar, cross = np.full(labels.shape, 1000), np.full(labels.shape, 1000)
    bar[27, 22:33] = 6000  # 3 x 13 px after the mean: 9.75 um2
    cross[27, 20:35] = cross[20:35, 27] = 6000  # 93 px of 17 x 17: 8.4 um2
    assert measure(labels, bar)["dark_nucleolus_count"][0] == 0
    assert measure(labels, cross, mpp=0.3)["dark_nucleolus_count"][0] == 0


def test_flat_nuclei_have_no_clumps_to_measure():
    for labels in (disc(6), np.pad(np.ones((1, 1), np.uint32), 2)):
        for level in (0, 7, 65535):
            found = measure(labels, np.full(labels.shape, level))
            for name, column in found.items():
                assert column[0] == 0 if "nucleolus" in name else np.isnan(column[0])


def test_correlation_needs_depths_that_differ():
    line = np.pad(np.ones((1, 5), np.uint32), 1)
    found = measure(line, np.arange(line.size).reshape(line.shape))
    assert np.isnan(found["edge_correlation"][0])
    assert found["boundary_share"][0] == found["heterochromatin_share"][0]
    assert found["margination"][0] == 1


def test_pixels_outside_of_the_nucleus_do_not_matter():
    labels = disc(12)
    image = spots(labels, [(15, 15)], 3, 2500)
    other = np.where(labels > 0, image, 65535)
    a, b = measure(labels, image), measure(labels, other)
    for name in a:
        assert a[name][0] == b[name][0]


def test_nothing_in_nothing_out():
    found = measure(np.zeros((5, 5), int), np.zeros((5, 5), int))
    assert all(column.shape == (0,) and column.dtype == np.float64 for column in found.values())


@pytest.mark.parametrize("turn", [np.rot90, np.fliplr, np.flipud, lambda a: np.rot90(a, 2), np.transpose])
def test_turned_nuclei_have_the_same_figures(turn):
    rng = np.random.default_rng(1)
    for size in (1, 2, 4, 9, 16):
        labels = ellipse(size, 0.7 * size, 0.5)
        image = np.rint(ndimage.gaussian_filter(rng.uniform(0, 65535, labels.shape), 1.5)).astype(int)
        a, b = measure(labels, image), measure(np.ascontiguousarray(turn(labels)), np.ascontiguousarray(turn(image)))
        for name in a:
            if name == "edge_correlation":
                assert a[name][0] == pytest.approx(b[name][0], rel=1e-9, nan_ok=True)
            else:
                np.testing.assert_array_equal(a[name], b[name])


def test_neither_place_nor_company_matters():
    rng = np.random.default_rng(2)
    shapes = [disc(9), ellipse(12, 7, 0.3), disc(3)]
    labels, image = np.zeros((110, 50), np.uint32), rng.integers(0, 4096, (110, 50))
    for i, one in enumerate(shapes):
        labels[i * 36 : i * 36 + one.shape[0], 5 : 5 + one.shape[1]] = one * (i + 1)
    together = measure(labels, image)
    for i, one in enumerate(shapes):
        alone = measure(one, image[i * 36 : i * 36 + one.shape[0], 5 : 5 + one.shape[1]])
        for name in together:
            np.testing.assert_array_equal(together[name][i], alone[name][0])


def test_large_nuclei_of_16_bits():
    labels = np.pad(np.ones((1000, 1000), np.uint32), 1)
    image = np.where(np.arange(1002) % 2, 65535, 1)[:, None] * np.ones(1002, int)
    found = measure(labels, image)
    assert found["heterochromatin_share"][0] == 0.5
    assert found["clump_count"][0] == 500
    assert found["clump_contrast"][0] == pytest.approx(65534 / 32768, rel=0.01)
