"""Gradient and edges inside of cells: against plain numpy, on ramps and steps, and by what must not change."""

from __future__ import annotations

import numpy as np
import pytest
from patching import disc, patches_of, plane_of, ring, star
from scipy import ndimage, stats

from cellseg.columns.gradient import COLUMNS
from cellseg.measure.gradient import measure_gradient

EIGHT = np.ones((3, 3), bool)


def _measure(labels: np.ndarray, image: np.ndarray, *, scale: float = 1.0, mpp: float = 1.0):
    patches = patches_of(labels)
    return measure_gradient(patches, plane_of(image, patches), scale=scale, mpp=mpp)


def _one(labels: np.ndarray, image: np.ndarray, **settings: float) -> dict[str, float]:
    return {name: float(column[0]) for name, column in _measure(labels, image, **settings).items()}


def _field(top: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Odd cells on a smooth plane with noise, of `top` levels, (70, 70)."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((70, 70), np.uint32)
    labels[:25, :25][disc(9, pad=3)[:25, :25] > 0] = 1
    labels[30:57, 30:57][ring(10, 5)[:27, :27] > 0] = 2
    labels[2:20:2, 40:55] = 3  # many pieces without a pixel inside
    labels[40:68, 1:29][star(10, 0.3, 5, pad=1)[:28, :28] > 0] = 4
    labels[58:70, 35:70] = 5  # on the border
    labels[30, 1] = 6
    wave = ndimage.gaussian_filter(rng.standard_normal(labels.shape), 1.5) * 4 + rng.standard_normal(labels.shape) * 0.2
    return labels, np.round((wave - wave.min()) / np.ptp(wave) * top).astype(int)


def _lengths(image: np.ndarray) -> np.ndarray:
    """Numpy's gradient, once the image's border pixels go on beyond it."""
    y, x = np.gradient(np.pad(image.astype(float), 1, mode="edge"))
    return np.hypot(y, x)[1:-1, 1:-1]


def _edges(cell: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Canny's edges in a cell, pixel by pixel; Sobel's lengths per px."""
    around = np.pad(image.astype(float), 1, mode="edge")
    gy, gx = (ndimage.sobel(around, axis=axis)[1:-1, 1:-1] for axis in (0, 1))
    length = np.hypot(gy, gx)
    inner = ndimage.binary_erosion(cell, EIGHT, border_value=0)
    span = np.ptp(image[cell])
    ridge = np.zeros_like(cell)
    for y, x in np.argwhere(inner):
        dy, dx = gy[y, x], gx[y, x]
        if span == 0 or length[y, x] / 8 < 0.1 * span - 1e-9:
            continue
        # one step along the gradient in its longer direction, less than one in the other: between two pixels
        far = max(abs(dy), abs(dx))
        sy, sx = dy / far, dx / far
        beside = []
        for sign in (1, -1):
            ends = [(y + sign * int(np.sign(sy)), x) if abs(sy) == 1 else (y, x + sign * int(np.sign(sx)))]
            ends.append((y + sign * (1 if sy > 0 else -1), x + sign * (1 if sx > 0 else -1)))
            weight = min(abs(sy), abs(sx))
            beside.append(length[ends[0]] * (1 - weight) + length[ends[1]] * weight)
        ridge[y, x] = length[y, x] >= max(beside) * (1 - 1e-12)
    pieces, _ = ndimage.label(ridge, EIGHT)
    strong = np.unique(pieces[ridge & (length / 8 >= 0.2 * span - 1e-9)])
    return np.isin(pieces, strong[strong > 0]), length / 8


@pytest.mark.parametrize("top", [3, 255, 4095, 65535])
def test_equals_plain_numpy(top: int) -> None:
    labels, image = _field(top)
    got, lengths = _measure(labels, image), _lengths(image)
    for cell in range(1, 7):
        values = lengths[labels == cell]
        row = {name: column[cell - 1] for name, column in got.items()}
        # sums of square roots in another order: some ulps of the largest
        assert row["gradient_mean_per_um"] == pytest.approx(values.mean(), rel=1e-12)
        assert row["gradient_sd_per_um"] == pytest.approx(values.std(), rel=1e-10)
        if len(values) > 1:
            assert row["gradient_skewness"] == pytest.approx(stats.skew(values), rel=1e-9)
            assert row["gradient_kurtosis"] == pytest.approx(stats.kurtosis(values), rel=1e-9)
            share = np.histogram(values, bins=64)[0] / len(values)
            assert row["gradient_energy"] == pytest.approx((share**2).sum(), rel=1e-12)
            assert row["gradient_entropy_bits"] == pytest.approx(stats.entropy(share, base=2), rel=1e-12)


@pytest.mark.parametrize("top", [3, 12, 255, 65535])
@pytest.mark.parametrize("seed", range(4))
def test_edges_equal_a_search_pixel_by_pixel(top: int, seed: int) -> None:
    labels, image = _field(top, seed)
    got = _measure(labels, image)
    total = 0
    for cell in range(1, 7):
        edges, strength = _edges(labels == cell, image)
        total += edges.sum()
        assert got["canny_n_pixels"][cell - 1] == edges.sum()
        inner = ndimage.binary_erosion(labels == cell, EIGHT, border_value=0).any()
        expected = edges.sum() / (labels == cell).sum() if inner else np.nan
        assert got["canny_share"][cell - 1] == pytest.approx(expected, nan_ok=True)
        mean = strength[edges].mean() if edges.any() else np.nan
        assert got["canny_mean_per_um"][cell - 1] == pytest.approx(mean, nan_ok=True)
    assert total > 50


def test_columns_are_those_of_the_table() -> None:
    got = _measure(*_field(255))
    assert list(got) == [column.name for column in COLUMNS]
    for column in COLUMNS:
        assert got[column.name].dtype == column.dtype
        values = got[column.name][:2]
        assert (values >= (-np.inf if column.minimum is None else column.minimum)).all()
        assert column.maximum is None or (values <= column.maximum + 1e-12).all()
        assert (column.family, column.per) == ("gradient", "plane")


def test_ramp() -> None:
    """Its gradient is the same everywhere; it has no edges, for it is a twentieth of its range steep."""
    image = np.arange(40)[:, None] * 3 + np.arange(40) * 4
    labels = np.zeros((40, 40), np.uint32)
    labels[10:30, 10:30] = 1
    got = _one(labels, image, scale=0.1, mpp=0.5)
    assert got["gradient_mean_per_um"] == pytest.approx(5 * 0.1 / 0.5, rel=1e-15)
    assert got["gradient_sd_per_um"] == got["gradient_entropy_bits"] == got["canny_n_pixels"] == got["canny_share"] == 0
    assert got["gradient_energy"] == 1
    for name in ("gradient_skewness", "gradient_kurtosis", "canny_mean_per_um"):
        assert np.isnan(got[name])


def test_step() -> None:
    """A step of 100 in a cell of 20 x 20: both its sides, but not at the cell's edge."""
    labels = np.zeros((30, 30), np.uint32)
    labels[5:25, 5:25] = 1
    image = np.where(np.arange(30) < 15, 20, 120) * np.ones((30, 1), int)
    got = _one(labels, image, mpp=0.25)
    assert got["canny_n_pixels"] == 36
    assert got["canny_share"] == 36 / 400
    assert got["canny_mean_per_um"] == 50 / 0.25
    assert got["gradient_mean_per_um"] == pytest.approx(40 * 50 / 400 / 0.25)


def test_weak_edges_count_where_they_go_on_from_strong_ones() -> None:
    labels = np.zeros((40, 30), np.uint32)
    labels[4:36, 3:27] = 1
    x, upper = np.arange(30), np.arange(40)[:, None] < 20
    # one step, its lower half 30 % as high: both halves are an edge
    assert _one(labels, np.where(x < 15, 0, np.where(upper, 100, 30)))["canny_n_pixels"] >= 2 * 28
    # the same two steps side by side: the weak one is none
    apart = np.where(x < 9, 0, np.where(x < 20, 100, 130)) * np.ones((40, 1), int)
    assert _one(labels, apart)["canny_n_pixels"] == 2 * 30
    # and it is one where the other is not there to make the range
    assert _one(labels, np.minimum(apart, 100))["canny_n_pixels"] == 2 * 30
    assert _one(labels, np.maximum(apart, 100))["canny_n_pixels"] == 2 * 30


def test_outline_is_no_edge() -> None:
    """A flat cell on another ground has a gradient along its outline, from the pixels outside, and no edges."""
    labels = disc(8)
    got = _one(labels, np.where(labels, 50, 200))
    assert got["gradient_mean_per_um"] > 0
    assert got["canny_n_pixels"] == 0


def test_flat_plane() -> None:
    got = _one(disc(6), np.full((19, 19), 65535))
    assert got["gradient_mean_per_um"] == got["gradient_sd_per_um"] == got["canny_n_pixels"] == got["canny_share"] == 0
    assert np.isnan(got["gradient_skewness"])


def test_one_pixel_looks_at_its_neighbours() -> None:
    labels, image = np.zeros((3, 3), np.uint32), np.array([[0, 10, 0], [4, 99, 12], [0, 4, 0]])
    labels[1, 1] = 1
    got = _one(labels, image)
    assert got["gradient_mean_per_um"] == 5
    assert got["canny_n_pixels"] == 0
    assert np.isnan(got["canny_share"])
    corner = np.zeros((3, 3), np.uint32)
    corner[0, 0] = 1
    assert _one(corner, image)["gradient_mean_per_um"] == pytest.approx(np.hypot(2, 5))


def test_no_cells() -> None:
    got = _measure(np.zeros((3, 3), np.uint32), np.zeros((3, 3), int))
    assert list(got) == [column.name for column in COLUMNS]
    assert all(column.shape == (0,) for column in got.values())


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("top", [5, 65535])
def test_turned_and_mirrored(turns: int, mirrored: bool, top: int) -> None:
    labels, image = _field(top, 7)

    def turn(array: np.ndarray) -> np.ndarray:
        return np.rot90(array[:, ::-1] if mirrored else array, turns)

    before, after = _measure(labels, image), _measure(turn(labels), turn(image))
    for name in ("canny_n_pixels", "canny_share", "gradient_energy", "gradient_entropy_bits"):
        assert np.array_equal(before[name], after[name], equal_nan=True), name
    for name in before:
        assert np.allclose(before[name], after[name], rtol=1e-9, atol=0, equal_nan=True), name


def test_units_and_batches() -> None:
    labels, image = _field(255, 8)
    one, half = _measure(labels, image), _measure(labels, image, scale=0.5, mpp=0.25)
    for name in one:
        factor = 2 if name.endswith("per_um") else 1
        assert np.array_equal(one[name] * factor, half[name], equal_nan=True), name
    for cell in range(1, 7):
        alone = _one(np.where(labels == cell, labels, 0), image)
        assert np.array_equal([column[cell - 1] for column in one.values()], list(alone.values()), equal_nan=True)


def test_large_bright_cell_does_not_overflow() -> None:
    """Stripes of the least and greatest value of 16 bits: Sobel's sums take 18 bits, their squares 37."""
    side = 600
    image = np.where(np.arange(side) // 4 % 2, 65535, 0) * np.ones((side, 1), int)
    got = _one(np.ones((side, side), np.uint32), image)
    edges, strength = _edges(np.ones((40, side), bool), image[:40])
    rows = edges[1:-1].sum() / 38
    assert got["canny_n_pixels"] == rows * (side - 2)
    assert got["canny_mean_per_um"] == pytest.approx(strength[edges].mean())
    assert got["gradient_mean_per_um"] == pytest.approx(_lengths(image).mean(), rel=1e-12)
