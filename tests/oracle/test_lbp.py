"""Local binary patterns against scikit-image, on the pixels whose neighbours are all in the cell."""

import numpy as np
import pytest
from measuring import odd_shapes
from patching import patches_of, plane_of
from scipy import ndimage
from skimage.feature import local_binary_pattern

from cellseg.measure.lbp import measure_lbp


@pytest.mark.parametrize("top", [256, 65536])
def test_equals_scikit_image(top):
    labels = odd_shapes((150, 150), seed=2)
    # no ties: in flat places scikit-image's interpolation rounds either way
    image = np.random.default_rng(0).permutation(labels.size).reshape(labels.shape) * top // labels.size
    patches = patches_of(labels)
    got = measure_lbp(patches, plane_of(image, patches))
    whole = local_binary_pattern(image, 8, 1, "uniform").astype(int)
    seen = 0
    for at, value in enumerate(np.unique(labels)[1:]):
        inner = ndimage.binary_erosion(labels == value, np.ones((3, 3)))
        if inner.any():
            seen += 1
            counts = np.bincount(whole[inner], minlength=10)
            tied = 0 if top == 65536 else 2  # 8-bit values may be equal
            for k in range(10):
                assert abs(got[f"lbp_{k}"][at] * inner.sum() - counts[k]) <= tied + 1e-9, (value, k)
    assert seen > 10


def at_least_half_way(across, corner):
    """Whether (1 - a) * across + a * corner >= 0, a = sqrt(1/2): sqrt(2) * across >= across - corner, by squares."""
    right = across - corner
    if across >= 0:
        return right <= 0 or 2 * across**2 >= right**2
    return right < 0 and 2 * across**2 <= right**2


def patterns(mask, values):
    """The pattern of each pixel with all neighbours inside, pixel by pixel."""
    ways = [(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)]
    for y, x in np.argwhere(ndimage.binary_erosion(mask, np.ones((3, 3)))):
        rise = [int(values[y + dy, x + dx]) - int(values[y, x]) for dy, dx in ways]
        bits = [
            at_least_half_way(rise[k - 1] + rise[(k + 1) % 8], rise[k]) if k % 2 else rise[k] >= 0 for k in range(8)
        ]
        changes = sum(bits[k] != bits[k - 1] for k in range(8))
        yield sum(bits) if changes <= 2 else 9


@pytest.mark.parametrize("levels", [3, 256, 65536])
def test_equals_whole_number_arithmetic(levels):
    labels = odd_shapes((150, 150), seed=6)
    image = np.random.default_rng(1).integers(0, levels, labels.shape)  # of 3 levels most are ties
    patches = patches_of(labels)
    got = measure_lbp(patches, plane_of(image, patches))
    for at, value in enumerate(np.unique(labels)[1:]):
        expected = np.bincount(list(patterns(labels == value, image)), minlength=10)
        for k in range(10):
            share = expected[k] / expected.sum() if expected.sum() else np.nan
            np.testing.assert_equal(got[f"lbp_{k}"][at], share, err_msg=str((value, k)))
