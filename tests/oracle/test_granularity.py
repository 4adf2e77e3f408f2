"""Granularity against erosions and scikit-image's reconstruction, size by size."""

import numpy as np
import pytest
from measuring import odd_shapes
from patching import patches_of, plane_of
from scipy import ndimage
from skimage.morphology import reconstruction

from cellseg.measure.granularity import measure_granularity

CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]])


@pytest.mark.parametrize("smooth", [0.0, 1.5])
def test_equals_reconstruction(smooth):
    labels = odd_shapes((130, 130), seed=2)
    noise = np.random.default_rng(0).random(labels.shape)
    image = (ndimage.gaussian_filter(noise, smooth) * 4000).astype(np.uint16) if smooth else (noise * 4000).astype(int)
    patches = patches_of(labels)
    values = plane_of(image, patches)
    got = measure_granularity(patches, values)
    for at in range(0, len(patches), 3):
        part = slice(patches.starts[at], patches.starts[at + 1])
        shape = patches.heights[at], patches.widths[at]
        mask, v = patches.mask[part].reshape(shape) > 0, values[part].reshape(shape).astype(int)
        low = v[mask].min()
        levels = np.where(mask, v - low, 0)
        whole = left = levels[mask].sum()
        eroded = levels
        for scale in range(1, 17):
            beyond = np.where(mask, eroded, 99999)  # pixels outside do not exist
            least = ndimage.minimum_filter(beyond, footprint=CROSS, mode="constant", cval=99999)
            eroded = np.where(mask, least, 0)
            after = reconstruction(eroded, levels, footprint=CROSS)[mask].sum()
            expected = (left - after) / whole if whole else np.nan
            assert got[f"granularity_{scale}"][at] == pytest.approx(expected, abs=1e-12, nan_ok=True), (at, scale)
            left = after
