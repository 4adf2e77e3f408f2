"""Distribution of planes against numpy, scipy, scikit-image, and the definitions of CellProfiler, HistomicsTK and IBSI.

Each definition is written out in plain numpy on one cell at a time. Tolerances: sums of whole numbers are exact, what
is left is the rounding of the last divisions and roots; of moments of third and fourth order, of sums over n pixels.
"""

from __future__ import annotations

import numpy as np
import pytest
from patching import disc, ellipse, patches_of, plane_of, ring, star
from scipy import ndimage, stats
from skimage.measure import regionprops

from cellseg.measure.distribution import measure_distribution

Cells = tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]
MPP = 0.5


def _field(top: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Forty cells of several forms, some on the border, some that touch, and a plane of skewed values to `top`."""
    rng = np.random.default_rng(seed)
    forms = [disc(7), ellipse(9, 5, 0.4), ring(8, 4), star(8, 0.3, 5), disc(1), disc(0.5), np.ones((1, 7), np.uint32)]
    labels = np.zeros((150, 150), np.uint32)
    for cell in range(1, 41):
        form = forms[rng.integers(len(forms))]
        form = form[form.any(axis=1)][:, form.any(axis=0)]
        y, x = rng.integers(0, 150 - np.array(form.shape))
        labels[y : y + form.shape[0], x : x + form.shape[1]][form > 0] = cell
    labels[0, 140:], labels[140:, 0] = 41, 42
    wave = ndimage.gaussian_filter(rng.standard_normal(labels.shape), 2) * 6 + rng.standard_normal(labels.shape)
    wave = np.exp((wave - wave.min()) / np.ptp(wave) * 2)
    return labels, np.round((wave - wave.min()) / np.ptp(wave) * top).astype(int)


@pytest.fixture(scope="module", params=[(3, 0), (255, 1), (255, 2), (4095, 3), (65535, 4), (65535, 5)])
def cells(request: pytest.FixtureRequest) -> Cells:
    labels, image = _field(*request.param)
    patches = patches_of(labels)
    got = measure_distribution(patches, plane_of(image, patches), scale=1.0, mpp=MPP)
    return labels, image, got


def _values(cells: Cells) -> list[np.ndarray]:
    labels, image, _ = cells
    return [image[labels == cell].astype(float) for cell in np.unique(labels)[1:]]


def test_numpys_and_scipys_statistics(cells: Cells) -> None:
    got = cells[2]
    for at, values in enumerate(_values(cells)):
        row = {name: column[at] for name, column in got.items()}
        q01, q10, q25, q50, q75, q90, q99 = np.quantile(values, [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
        assert row["integrated"] == values.sum()
        assert row["mad"] == stats.median_abs_deviation(values)
        assert row["range"] == np.ptp(values)
        tight = {
            "iqr": stats.iqr(values), "q01": q01, "q10": q10, "q90": q90, "q99": q99,
            "quartile_coefficient_of_dispersion": (q75 - q25) / (q75 + q25) if q75 + q25 > 0 else np.nan,
        }  # fmt: skip
        for name, expected in tight.items():
            assert row[name] == pytest.approx(expected, rel=1e-12, abs=1e-10, nan_ok=True), name
        assert row["mean_median_difference"] == pytest.approx(values.mean() - q50, abs=1e-9)
        if np.ptp(values):
            assert row["coefficient_of_variation"] == pytest.approx(stats.variation(values), rel=1e-10)
            assert row["skewness"] == pytest.approx(stats.skew(values), rel=1e-9, abs=1e-11)
            assert row["kurtosis"] == pytest.approx(stats.kurtosis(values), rel=1e-9, abs=1e-11)
        else:
            assert np.isnan(row["skewness"])
            assert np.isnan(row["kurtosis"])


def test_histogram(cells: Cells) -> None:
    """Bins by whole numbers: edges of numpy's own would be rounded."""
    for at, values in enumerate(_values(cells)):
        whole = values.astype(int)
        counts = np.bincount((whole - whole.min()) * 64 // (np.ptp(whole) + 1), minlength=64)
        assert len(counts) == 64
        share = counts / counts.sum()
        assert cells[2]["entropy_bits"][at] == pytest.approx(stats.entropy(share, base=2), rel=1e-12, abs=1e-14)
        assert cells[2]["energy"][at] == pytest.approx((share**2).sum(), rel=1e-12)


def test_ibsis_robust_mean_absolute_deviation(cells: Cells) -> None:
    for at, values in enumerate(_values(cells)):
        low, high = np.quantile(values, [0.1, 0.9])
        kept = values[(values >= low) & (values <= high)]
        expected = np.abs(kept - kept.mean()).mean() if len(kept) else np.nan
        got = cells[2]["robust_mean_absolute_deviation"][at]
        assert got == pytest.approx(expected, rel=1e-10, abs=1e-9, nan_ok=True)


def test_cellprofilers_displacement_and_greatest_value(cells: Cells) -> None:
    labels, image, got = cells
    for at, cell in enumerate(np.unique(labels)[1:]):
        where = np.argwhere(labels == cell).astype(float)
        values = image[labels == cell].astype(float)
        centre = where.mean(axis=0)
        weighted = (where * values[:, None]).sum(axis=0) / values.sum() if values.sum() else [np.nan, np.nan]
        y, x = (weighted - centre) * MPP
        # the reference takes the difference of two places in the image: some ulps of 150 px
        assert got["weighted_centroid_y_um"][at] == pytest.approx(y, abs=1e-12, nan_ok=True)
        assert got["weighted_centroid_x_um"][at] == pytest.approx(x, abs=1e-12, nan_ok=True)
        assert got["mass_displacement_um"][at] == pytest.approx(np.hypot(y, x), abs=1e-12, nan_ok=True)
        # CellProfiler takes the first of several; ours, their mean, is the same where there is one
        top = where[values == values.max()].mean(axis=0)
        assert got["max_distance_um"][at] == pytest.approx(np.hypot(*(top - centre)) * MPP, abs=1e-12)


def test_cellprofilers_edges(cells: Cells) -> None:
    """Pixels with a neighbour, of 8, of another label, and those on the image's border."""
    labels, image, got = cells
    around = np.pad(labels.astype(int), 1, constant_values=-1)
    shifts = [(y, x) for y in range(3) for x in range(3)]
    height, width = labels.shape
    same = np.all([around[y : y + height, x : x + width] == labels for y, x in shifts], axis=0)
    for at, cell in enumerate(np.unique(labels)[1:]):
        values = image[(labels == cell) & ~same].astype(float)
        assert got["edge_integrated"][at] == values.sum()
        assert got["edge_mean"][at] == pytest.approx(values.mean(), rel=1e-14)
        assert got["edge_sd"][at] == pytest.approx(values.std(), rel=1e-10, abs=1e-12)
        assert (got["edge_min"][at], got["edge_max"][at]) == (values.min(), values.max())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scale", [1.0, 1 / 255])
def test_scikit_images_weighted_hu_moments(seed: int, scale: float) -> None:
    """HistomicsTK's are these. Single pixels and lines are left out: the reference's are rounding errors there."""
    labels, image = _field(255, seed)
    image = image + 1
    patches = patches_of(labels)
    got = measure_distribution(patches, plane_of(image, patches), scale=scale, mpp=MPP)
    for at, cell in enumerate(regionprops(labels.astype(int), image * scale)):
        expected = cell.moments_weighted_hu
        for k, order in enumerate((1, 2, 3, 3, 6, 4, 6)):
            # the higher invariants are differences; what they can lose is told by the first one, raised to their order
            slack = 1e-12 * expected[0] ** order
            assert got[f"weighted_hu_{k + 1}"][at] == pytest.approx(expected[k], rel=1e-7, abs=slack), (cell.label, k)
