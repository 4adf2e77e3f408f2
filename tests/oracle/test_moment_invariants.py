"""Moments against exact fractions: where scikit-image's own rounding would hide ours."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from measuring import odd_shapes
from patching import patches_of

from cellseg.measure.moment_invariants import hu_invariants, measure_moments

POWERS = [(p, q) for p in range(4) for q in range(4)]


def exact_moments(mask):
    """Central moments of a mask as fractions, its raw moments as whole numbers, by (p, q), p the power of y."""
    rows = [[int(total) for total in mask @ np.arange(mask.shape[1], dtype=np.int64) ** q] for q in range(4)]
    raw = {(p, q): sum(total * y**p for y, total in enumerate(rows[q])) for p, q in POWERS}
    y, x = Fraction(raw[1, 0], raw[0, 0]), Fraction(raw[0, 1], raw[0, 0])
    central = {
        (p, q): sum(
            comb(p, i) * comb(q, j) * (-y) ** (p - i) * (-x) ** (q - j) * raw[i, j]
            for i in range(p + 1) for j in range(q + 1)
        )
        for p, q in POWERS
    }  # fmt: skip
    return raw, central


def compare(labels):
    patches = patches_of(labels)
    got = measure_moments(patches, mpp=1.0)
    for at in range(len(patches)):
        shape = patches.heights[at], patches.widths[at]
        mask = patches.mask[patches.starts[at] : patches.starts[at + 1]].reshape(shape)[1:-1, 1:-1].astype(np.int64)
        raw, central = exact_moments(mask)
        y, x = np.abs(np.argwhere(mask) - np.argwhere(mask).mean(axis=0)).T
        n = raw[0, 0]
        for p, q in POWERS:
            # odd moments cancel: what an error is relative to is the sum of their terms' sizes
            size = float((y**p * x**q).sum())
            if p < 3:
                unit = f"um{p + q + 2}"
                assert got[f"spatial_moment_{p}_{q}_{unit}"][at] == pytest.approx(raw[p, q], rel=1e-13)
                expected = float(central[p, q])
                assert abs(got[f"central_moment_{p}_{q}_{unit}"][at] - expected) <= 1e-12 * size, (p, q)
            if p + q >= 2:
                scale = n ** ((p + q) / 2 + 1)
                error = got[f"normalized_moment_{p}_{q}"][at] - float(central[p, q]) / scale
                assert abs(error) <= 1e-12 * size / scale, (p, q)
        for name, (p, q), sign in (("yy", (0, 2), 1), ("xx", (2, 0), 1), ("yx", (1, 1), -1)):
            expected = sign * float(central[p, q] / n)
            size = float((y**p * x**q).mean())
            assert abs(got[f"inertia_tensor_{name}_um2"][at] - expected) <= 1e-12 * size


def test_odd_shapes_have_the_exact_moments():
    compare(odd_shapes((120, 140), seed=11))


def angle(side):
    """Two long thin arms, whose centroid lies far from the middle of the box: the most that cancels."""
    labels = np.zeros((side, side), np.uint32)
    labels[:, :2] = labels[-2:] = 1
    return labels


@pytest.mark.parametrize(
    "labels",
    [angle(1000), np.ones((1000, 700), np.uint32), np.eye(800, dtype=np.uint32), np.ones((1, 1000), np.uint32)],
    ids=["angle", "block", "diagonal", "line"],
)
def test_cells_of_a_thousand_pixels_across_have_the_exact_moments(labels):
    compare(labels)


def test_hu_invariants_are_those_of_complex_moments():
    """Flusser's form (2000, Pattern Recognit 33:1405): products of c_pq = sum of (x + iy)^p (x - iy)^q."""
    labels = odd_shapes((150, 150), seed=12)
    patches = patches_of(labels)
    got = measure_moments(patches, mpp=1.0)
    for at in range(len(patches)):
        shape = patches.heights[at], patches.widths[at]
        points = np.argwhere(patches.mask[patches.starts[at] : patches.starts[at + 1]].reshape(shape))
        n = len(points)
        # x is the first index of Hu's formulas as it is written there, the power of rows in scikit-image's
        z = ((points - points.mean(axis=0)) @ [1, 1j]) / np.sqrt(n)
        c11, c20, c30, c21 = ((z**p * z.conj() ** q).sum() / n for p, q in ((1, 1), (2, 0), (3, 0), (2, 1)))
        expected = (
            c11.real, abs(c20) ** 2, abs(c30) ** 2, abs(c21) ** 2,
            (c30 * c21.conj() ** 3).real, (c20 * c21.conj() ** 2).real, (c30 * c21.conj() ** 3).imag,
        )  # fmt: skip
        sizes = [(np.abs(z) ** k).sum() / n for k in (2, 4, 6, 6, 12, 8, 12)]
        for k, (value, size) in enumerate(zip(expected, sizes, strict=True), start=1):
            assert abs(got[f"hu_{k}"][at] - value) <= 1e-11 * max(size, 1.0), k


def test_hu_of_one_moment_by_hand():
    zero, one = np.zeros(1), np.ones(1)
    moments = dict.fromkeys(((2, 0), (0, 2), (1, 1), (3, 0), (0, 3), (2, 1), (1, 2)), zero)

    assert [float(column[0]) for column in hu_invariants(moments | {(3, 0): one})] == [0, 0, 1, 1, 1, 0, 0]
    assert [float(column[0]) for column in hu_invariants(moments | {(2, 0): one})] == [1, 1, 0, 0, 0, 0, 0]
