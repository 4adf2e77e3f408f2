"""Texture against the digital phantom of the Image Biomarker Standardisation Initiative, and against counting by hand.

The phantom (5 x 4 x 4 voxels, levels 1, 3, 4 and 6) and its figures are those of the reference manual (Zwanenburg et
al., arXiv:1612.07003), as github.com/oncoray/mirp keeps them in test/data/ibsi_1_reference_values: those for features
of single slices that are averaged over the four slices, "2D, slice-merged" for run lengths, "2D" for zones and
dependence, "2D, averaged" for co-occurrence. They are given to three digits, and to three digits ours must be the same.
The zones of the phantom's slices are the manual's too (github.com/theibsi/ibsi-doc,
docs/06_Digital_phantom_texture_matrices.rst): they prove the phantom that is typed here.
"""

from itertools import pairwise

import numpy as np
import pytest
from patching import disc, ellipse, patches_of, plane_of, ring, star
from scipy.ndimage import convolve
from scipy.ndimage import label as label_pieces

from cellseg.columns.ibsi import DEPENDENCE, RUN_LENGTH, SIZE_ZONE
from cellseg.measure.dependence import measure_dependence
from cellseg.measure.grey_levels import quantize
from cellseg.measure.haralick import measure_haralick
from cellseg.measure.run_length import measure_run_length
from cellseg.measure.size_zone import measure_size_zone

PHANTOM = np.array([
    [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
    [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [0, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
    [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [1, 1, 6, 1, 1]],
    [[1, 4, 4, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
])  # fmt: skip
"""Slice by slice; 0 lies outside of the region."""
ZONES = (
    {(1, 3): 1, (1, 6): 1, (4, 2): 1, (4, 6): 1, (6, 3): 1},
    {(1, 4): 1, (1, 8): 1, (3, 1): 1, (4, 2): 2, (6, 1): 2},
    {(1, 14): 1, (4, 2): 1, (6, 1): 1},
    {(1, 15): 1, (4, 2): 1, (6, 1): 1},
)
"""Zones of (level, size) in each slice."""
MERGED_RUNS = {
    "short_runs_emphasis": 0.661, "long_runs_emphasis": 3.51, "low_grey_level_run_emphasis": 0.609,
    "high_grey_level_run_emphasis": 9.74, "short_run_low_grey_level_emphasis": 0.311,
    "short_run_high_grey_level_emphasis": 8.67, "long_run_low_grey_level_emphasis": 2.92,
    "long_run_high_grey_level_emphasis": 16.1, "grey_level_non_uniformity": 20.5,
    "normalised_grey_level_non_uniformity": 0.456, "run_length_non_uniformity": 21.6,
    "normalised_run_length_non_uniformity": 0.441, "run_percentage": 0.627, "grey_level_variance": 3.37,
    "run_length_variance": 0.778, "run_entropy": 2.57,
}  # fmt: skip
OF_ZONES = {
    "small_zone_emphasis": 0.363, "large_zone_emphasis": 43.9, "low_grey_level_zone_emphasis": 0.371,
    "high_grey_level_zone_emphasis": 16.4, "small_zone_low_grey_level_emphasis": 0.0259,
    "small_zone_high_grey_level_emphasis": 10.3, "large_zone_low_grey_level_emphasis": 40.4,
    "large_zone_high_grey_level_emphasis": 113, "grey_level_non_uniformity": 1.41,
    "normalised_grey_level_non_uniformity": 0.323, "zone_size_non_uniformity": 1.49,
    "normalised_zone_size_non_uniformity": 0.333, "zone_percentage": 0.24, "grey_level_variance": 3.97,
    "zone_size_variance": 21, "zone_size_entropy": 1.93,
}  # fmt: skip
OF_DEPENDENCE = {
    "low_dependence_emphasis": 0.158, "high_dependence_emphasis": 19.2, "low_grey_level_count_emphasis": 0.702,
    "high_grey_level_count_emphasis": 7.49, "low_dependence_low_grey_level_emphasis": 0.0473,
    "low_dependence_high_grey_level_emphasis": 3.06, "high_dependence_low_grey_level_emphasis": 17.6,
    "high_dependence_high_grey_level_emphasis": 49.5, "grey_level_non_uniformity": 10.2,
    "normalised_grey_level_non_uniformity": 0.562, "dependence_count_non_uniformity": 3.96,
    "normalised_dependence_count_non_uniformity": 0.212, "dependence_count_percentage": 1, "grey_level_variance": 2.7,
    "dependence_count_variance": 2.73, "dependence_count_entropy": 2.71, "dependence_count_energy": 0.17,
}  # fmt: skip
AVERAGED_PAIRS = {
    "asm": 0.368, "contrast": 5.28, "correlation": -0.0121, "variance": 2.69, "inverse_difference_moment": 0.619,
    "sum_average": 4.28, "sum_variance": 5.47, "sum_entropy": 1.6, "entropy": 2.05, "difference_variance": 2.9,
    "difference_entropy": 1.4, "imc1": -0.155, "imc2": 0.487,
}  # fmt: skip
MEASURES = {
    "run_length": (measure_run_length, RUN_LENGTH, "glrlm_"),
    "size_zone": (measure_size_zone, SIZE_ZONE, "glszm_"),
    "dependence": (measure_dependence, DEPENDENCE, "ngldm_"),
}


def phantom_patches():
    """The four slices as four cells, and their gray levels as they are."""
    labels = np.hstack([(piece > 0) * (k + 1) for k, piece in enumerate(PHANTOM)])
    patches = patches_of(labels)
    return patches, (plane_of(np.hstack(PHANTOM), patches) * patches.mask).astype(np.uint8)


def assert_three_digits(got, published, prefix, suffix=""):
    for name, value in published.items():
        ours = got[f"{prefix}{name}{suffix}"].mean()
        assert f"{ours:.3g}" == f"{value:.3g}", (name, ours, value)


def zones_of(image):
    zones: dict[tuple[int, int], int] = {}
    for level in np.unique(image[image > 0]):
        pieces, _ = label_pieces(image == level, np.ones((3, 3)))
        for size in np.bincount(pieces.ravel())[1:]:
            zones[level, size] = zones.get((level, size), 0) + 1
    return zones


def test_the_phantom_has_the_manuals_zones():
    assert [zones_of(piece) for piece in PHANTOM] == list(ZONES)


@pytest.mark.parametrize(
    ("family", "published"), [("run_length", MERGED_RUNS), ("size_zone", OF_ZONES), ("dependence", OF_DEPENDENCE)]
)
def test_equal_the_manuals_figures(family, published):
    measure, columns, prefix = MEASURES[family]
    patches, quantized = phantom_patches()
    assert [prefix + name for name in published] == [column.name for column in columns]
    assert_three_digits(measure(patches, quantized, levels=6), published, prefix)


def test_co_occurrence_equals_the_manuals_figures():
    patches, quantized = phantom_patches()
    assert_three_digits(measure_haralick(patches, quantized, levels=6), AVERAGED_PAIRS, "haralick_", "_d1_mean")


def runs_of(image):
    """Runs of (level, length) along rows, columns and both diagonals."""
    h, w = image.shape
    lines = [*image, *image.T]
    lines += [np.diagonal(a, k) for a in (image, image[:, ::-1]) for k in range(-h + 1, w)]
    runs: dict[tuple[int, int], int] = {}
    for line in lines:
        ends = np.flatnonzero(np.diff(line, prepend=-1, append=-1))
        for first, last in pairwise(ends):
            if line[first]:
                runs[line[first], last - first] = runs.get((line[first], last - first), 0) + 1
    return runs


def dependence_of(image):
    counts: dict[tuple[int, int], int] = {}
    for level in np.unique(image[image > 0]):
        alike = convolve((image == level).astype(int), np.ones((3, 3), int), mode="constant")
        for count in alike[image == level]:
            counts[level, count] = counts.get((level, count), 0) + 1
    return counts


def by_hand(matrix, n_pixels):
    """The manual's features, in its order, of a matrix {(level, size): count}."""
    (i, j), r = np.array(list(matrix), float).T, np.array(list(matrix.values()), float)
    n = r.sum()
    p = r / n
    of_level = np.array([r[i == level].sum() for level in np.unique(i)])
    of_size = np.array([r[j == size].sum() for size in np.unique(j)])
    return [
        (p / j**2).sum(), (p * j**2).sum(), (p / i**2).sum(), (p * i**2).sum(), (p / i**2 / j**2).sum(),
        (p * i**2 / j**2).sum(), (p * j**2 / i**2).sum(), (p * i**2 * j**2).sum(), (of_level**2).sum() / n,
        (of_level**2).sum() / n**2, (of_size**2).sum() / n, (of_size**2).sum() / n**2, n / n_pixels,
        (p * (i - (p * i).sum()) ** 2).sum(), (p * (j - (p * j).sum()) ** 2).sum(), -(p * np.log2(p)).sum(),
        (p**2).sum(),
    ]  # fmt: skip


SHAPES = {
    "disc": disc(11), "ellipse": ellipse(15, 5, 0.6), "star": star(10, 0.4, 5), "ring": ring(9, 6),
    "scattered": (np.random.default_rng(5).random((20, 24)) < 0.6).astype(np.uint32),
    "line": np.ones((1, 9), np.uint32), "large": disc(60), "pixel": np.ones((1, 1), np.uint32),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("levels", [2, 3, 8, 32, 256])
@pytest.mark.parametrize("family", MEASURES)
def test_equal_counting_by_hand(family, levels, shape):
    """To 1e-9: sums of up to some 1,000 terms, each good to 1e-16, variances against the square of their mean."""
    measure, columns, _prefix = MEASURES[family]
    labels = SHAPES[shape]
    image = np.random.default_rng(levels).integers(0, 256, labels.shape)
    patches = patches_of(labels)
    quantized = quantize(patches, plane_of(image, patches), n_levels_in=256, levels=levels)
    cut = quantized.reshape(patches.heights[0], patches.widths[0]).astype(int)
    n = int(patches.n_pixels[0])
    matrix, looked_at = {"run_length": (runs_of, 4 * n), "size_zone": (zones_of, n), "dependence": (dependence_of, n)}[
        family
    ]
    expected = by_hand(matrix(cut), looked_at)
    got = measure(patches, quantized, levels=levels)
    for column, value in zip(columns, expected, strict=False):
        assert got[column.name][0] == pytest.approx(value, rel=1e-9, abs=1e-12), column.name
