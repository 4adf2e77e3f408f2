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
