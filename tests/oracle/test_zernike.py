"""Zernike moments against the radial formula evaluated at every pixel."""

from math import factorial

import numpy as np
import pytest
from measuring import odd_shapes
from patching import patches_of, plane_of

from cellseg.measure.enclosing import enclose_cells
from cellseg.measure.zernike import measure_radial_zernike, measure_zernike


def polynomial(n, m, y, x):
    """V_nm at points of the unit disc, by the definition."""
    r, phi = np.hypot(y, x), np.arctan2(y, x)
    radial = sum(
        (-1) ** s * factorial(n - s)
        / (factorial(s) * factorial((n + m) // 2 - s) * factorial((n - m) // 2 - s)) * r ** (n - 2 * s)
        for s in range((n - m) // 2 + 1)
    )  # fmt: skip
    return radial * np.exp(1j * m * phi)


@pytest.mark.parametrize("size_px", [(150, 150), (40, 900)])
def test_equal_the_definition(size_px):
    labels = odd_shapes(size_px, seed=3, sigma_px=3.0 if size_px[0] > 100 else 9.0)
    image = np.random.default_rng(0).integers(0, 256, labels.shape)
    patches = patches_of(labels)
    values = plane_of(image, patches)
    mask, plane = measure_zernike(patches), measure_radial_zernike(patches, values, scale=0.01, offset=-0.4)
    circles = enclose_cells(patches, corners=False)
    for at, (cy, cx, radius) in enumerate(circles):
        if radius == 0:
            continue
        start, stop = patches.starts[at : at + 2]
        shape = patches.heights[at], patches.widths[at]
        inside = patches.mask[start:stop].reshape(shape) > 0
        v = values[start:stop].reshape(shape)[inside] * 0.01 - 0.4
        y, x = np.nonzero(inside)
        for n in range(10):
            for m in range(n % 2, n + 1, 2):
                terms = polynomial(n, m, (y - cy) / radius, (x - cx) / radius)
                # coefficients up to some hundreds, and powers up to 9 of lines far from the middle, lose some digits
                assert mask[f"zernike_{n}_{m}"][at] == pytest.approx(abs(terms.sum()) / (np.pi * radius**2), abs=1e-9)
                total = (terms * v).sum()
                assert plane[f"zernike_magnitude_{n}_{m}"][at] == pytest.approx(abs(total) / len(y), abs=1e-9)
                if m and abs(total) > 1e-6 * len(y):
                    turn = plane[f"zernike_phase_{n}_{m}_rad"][at] - np.angle(total)
                    assert abs(np.sin(turn / 2)) < 1e-5
