"""Haralick's features against the paper's formulas written out in numpy, and against mahotas.

Tolerance: probabilities are sums of up to 1,000 terms of 1e-16 each; 1e-9 is far above them and far below any slip in a
formula. The second information measure is a root that magnifies what is left of zero: its square is compared.
"""

import numpy as np
import pytest
from patching import disc, ellipse, patches_of, plane_of, ring, star

from cellseg.columns.haralick import FEATURES
from cellseg.measure.grey_levels import quantize
from cellseg.measure.haralick import measure_haralick

STEPS = {0: (0, 1), 45: (-1, 1), 90: (-1, 0), 135: (-1, -1)}
SHAPES = {
    "disc": disc(11), "ellipse": ellipse(15, 5, 0.6), "star": star(10, 0.4, 5), "ring": ring(9, 6),
    "scattered": (np.random.default_rng(5).random((20, 24)) < 0.6).astype(np.uint32),
    "small": np.ones((2, 3), np.uint32),
}  # fmt: skip


def image_of(shape, seed):
    rng = np.random.default_rng(seed)
    return np.clip(120 + 40 * np.sin(np.arange(shape[1]) / 3) + rng.normal(0, 10, shape), 0, 255).astype(np.uint16)


def levels_of(labels, image, levels):
    patches = patches_of(labels)
    return patches, quantize(patches, plane_of(image, patches), n_levels_in=256, levels=levels)


def matrix_of(cut, step, distance, levels):
    p = np.zeros((levels, levels))
    for y, x in np.argwhere(cut > 0):
        v, u = y + step[0] * distance, x + step[1] * distance
        if 0 <= v < cut.shape[0] and 0 <= u < cut.shape[1] and cut[v, u]:
            p[cut[y, x] - 1, cut[v, u] - 1] += 1
            p[cut[v, u] - 1, cut[y, x] - 1] += 1
    return p


def entropy(p):
    p = p[p > 0]
    return -(p * np.log2(p)).sum()


def by_the_paper(matrix):
    if matrix.sum() == 0:
        return np.full(13, np.nan)
    p = matrix / matrix.sum()
    n = len(p)
    i, j = np.mgrid[1 : n + 1, 1 : n + 1]
    px, py = p.sum(1), p.sum(0)
    k = np.arange(1, n + 1)
    mx, my = (k * px).sum(), (k * py).sum()
    sx, sy = np.sqrt(((k - mx) ** 2 * px).sum()), np.sqrt(((k - my) ** 2 * py).sum())
    plus = np.array([p[i + j == s].sum() for s in range(2, 2 * n + 1)])
    minus = np.array([p[abs(i - j) == d].sum() for d in range(n)])
    s, d = np.arange(2, 2 * n + 1), np.arange(n)
    average = (s * plus).sum()
    hxy, hx, hy = entropy(p), entropy(px), entropy(py)
    product = np.outer(px, py)
    some = product > 0
    hxy1 = -(p[some] * np.log2(product[some])).sum()
    hxy2 = entropy(product)
    flat = (matrix > 0).sum() == 1
    return np.array([
        (p**2).sum(), (d**2 * minus).sum(), np.nan if flat else ((i * j * p).sum() - mx * my) / (sx * sy),
        ((i - mx) ** 2 * p).sum(), (p / (1 + (i - j) ** 2)).sum(), average, ((s - average) ** 2 * plus).sum(),
        entropy(plus), hxy, ((d - (d * minus).sum()) ** 2 * minus).sum(), entropy(minus),
        np.nan if flat else (hxy - hxy1) / max(hx, hy), np.sqrt(1 - np.exp(-2 * max(hxy2 - hxy, 0))),
    ])  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("levels", "distance"), [(2, 1), (8, 1), (32, 1), (32, 2), (64, 5), (256, 1)])
def test_equal_the_papers_formulas(shape, levels, distance):
    labels = SHAPES[shape]
    patches, quantized = levels_of(labels, image_of(labels.shape, levels), levels)
    got = measure_haralick(patches, quantized, levels=levels, distances=(distance,), each_direction=True)
    cut = quantized.reshape(patches.heights[0], patches.widths[0])
    expected = np.array([by_the_paper(matrix_of(cut, step, distance, levels)) for step in STEPS.values()])
    for column, (name, *_rest) in zip(expected.T, FEATURES, strict=True):
        ours = np.array([got[f"haralick_{name}_d{distance}_{degrees}"][0] for degrees in STEPS])
        power = 2 if name == "imc2" else 1
        assert np.allclose(ours**power, column**power, rtol=1e-9, atol=1e-12, equal_nan=True), name
        there = column[~np.isnan(column)]
        mean, span = (there.mean(), np.ptp(there)) if len(there) else (np.nan, np.nan)
        if name != "imc2":
            summed = [got[f"haralick_{name}_d{distance}_{suffix}"][0] for suffix in ("mean", "range")]
            assert np.allclose(summed, [mean, span], rtol=1e-9, atol=1e-12, equal_nan=True), name


def test_equal_mahotas():
    """All but the difference variance, which is there the variance of the probabilities themselves."""
    texture = pytest.importorskip("mahotas.features.texture")
    for seed, (shape, labels) in enumerate(SHAPES.items()):
        if shape == "small":
            continue
        patches, quantized = levels_of(labels, image_of(labels.shape, seed), 32)
        cut = quantized.reshape(patches.heights[0], patches.widths[0])
        theirs = texture.haralick(cut.astype(np.uint8), ignore_zeros=True)
        got = measure_haralick(patches, quantized, levels=32, each_direction=True)
        for k, degrees in enumerate((0, 135, 90, 45)):
            for value, (name, *_rest) in zip(theirs[k], FEATURES, strict=True):
                if name != "difference_variance":
                    ours = got[f"haralick_{name}_d1_{degrees}"][0]
                    assert ours == pytest.approx(value, rel=1e-8, abs=1e-9), (shape, name, degrees)
