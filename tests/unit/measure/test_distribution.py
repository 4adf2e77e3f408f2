"""Distribution of a plane in odd cells, by hand and by what must not change."""

from __future__ import annotations

import numpy as np
import pytest
from patching import disc, patches_of, plane_of, ring

from cellseg.columns.distribution import COLUMNS
from cellseg.measure.distribution import measure_distribution

LEVELS = [
    "integrated", "mad", "iqr", "range", "mean_median_difference", "skewness", "kurtosis", "entropy_bits", "energy",
    "q01", "q10", "q90", "q99", "robust_mean_absolute_deviation", "coefficient_of_variation",
    "quartile_coefficient_of_dispersion",
]  # fmt: skip


def _measure(labels: np.ndarray, image: np.ndarray, *, scale: float = 1.0, mpp: float = 1.0, offset: float = 0.0):
    patches = patches_of(labels)
    return measure_distribution(patches, plane_of(image, patches), scale=scale, mpp=mpp, offset=offset)


def _one(labels: np.ndarray, image: np.ndarray, **settings: float) -> dict[str, float]:
    return {name: float(column[0]) for name, column in _measure(labels, image, **settings).items()}


def _row(values: list[int]) -> dict[str, float]:
    """Levels of a cell that is one row of pixels."""
    return _one(np.ones((1, len(values)), np.uint32), np.array([values]))


def _field(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Blobs of all kinds and a noisy plane of 16 bits, (60, 60)."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((60, 60), np.uint32)
    labels[:25, :25][disc(9, pad=3)[:25, :25] > 0] = 1
    labels[30:57, 30:57][ring(10, 5)[:27, :27] > 0] = 2
    labels[2:20:2, 40:55] = 3  # many pieces
    labels[40:58, 3:20][rng.random((18, 17)) < 0.7] = 4
    labels[59, 40:60] = 5  # a line on the border
    return labels, rng.integers(0, 65535, labels.shape, endpoint=True)


def test_columns_are_those_of_the_table() -> None:
    labels, image = _field()
    got = _measure(labels, image)
    assert list(got) == [column.name for column in COLUMNS]
    for column in COLUMNS:
        values = got[column.name]
        assert values.dtype == np.float64
        assert np.isfinite(values).all()
        assert column.minimum is None or (values >= column.minimum).all()
        assert column.maximum is None or (values <= column.maximum + 1e-12).all()
        assert (column.family, column.per) == ("distribution", "plane")


def test_no_cells() -> None:
    got = _measure(np.zeros((4, 4), np.uint32), np.zeros((4, 4), int))
    assert list(got) == [column.name for column in COLUMNS]
    assert all(column.shape == (0,) for column in got.values())


def test_row_by_hand() -> None:
    got = _row([1, 2, 2, 3, 12])
    assert got["integrated"] == 20
    assert got["mad"] == 1  # of 1, 0, 0, 1, 10
    assert got["iqr"] == 1
    assert got["range"] == 11
    assert got["mean_median_difference"] == 2
    assert got["q10"] == pytest.approx(1.4)
    assert got["q90"] == pytest.approx(8.4)
    # 2, 2, 3 lie within 1.4 and 8.4; their mean is 7/3
    assert got["robust_mean_absolute_deviation"] == pytest.approx((2 / 3 + 2 / 3 - 1 / 3 + 1 / 3) / 3)
    assert got["quartile_coefficient_of_dispersion"] == pytest.approx(1 / 5)
    assert got["entropy_bits"] == pytest.approx(3 * 0.2 * np.log2(5) - 0.4 * np.log2(0.4))
    assert got["energy"] == pytest.approx((1 + 4 + 1 + 1) / 25)


def test_median_deviation_of_an_even_number() -> None:
    # median 2.5, deviations 2.5, 1.5, 0.5, 0.5, 1.5, 4.5
    assert _row([0, 1, 2, 3, 4, 7])["mad"] == 1.5
    assert _row([0, 1])["mad"] == 0.5


def test_robust_deviation_of_few_pixels() -> None:
    assert np.isnan(_row([0, 1])["robust_mean_absolute_deviation"])
    assert _row([4, 4])["robust_mean_absolute_deviation"] == 0
    assert _row([0, 5, 9])["robust_mean_absolute_deviation"] == 0
    # 0.4 and 4.6 leave 1, 2, 4
    assert _row([0, 1, 2, 4, 5])["robust_mean_absolute_deviation"] == pytest.approx((4 / 3 + 1 / 3 + 5 / 3) / 3)


def test_bins_are_exact_where_a_width_is_no_power_of_two() -> None:
    # 65 levels in 64 bins: levels 0 and 1 share the first
    got = _row(list(range(65)))
    assert got["energy"] == pytest.approx((63 + 4) / 65**2, rel=1e-14)
    for span in (3, 7, 48, 63, 64):
        assert _row(list(range(span)))["energy"] == pytest.approx(1 / span, rel=1e-14)
        assert _row(list(range(span)))["entropy_bits"] == pytest.approx(np.log2(span), rel=1e-14)


def test_levels_on_the_edge_of_a_bin() -> None:
    """Spans of which 64 / span, rounded, would put a level that begins a bin into the one before."""
    for span in (98, 196, 206, 322, 412, 788):
        values = np.repeat(np.arange(span), 1 + np.arange(span) ** 2 % 7)
        share = np.bincount(values * 64 // span) / len(values)
        assert _row(values.tolist())["energy"] == pytest.approx((share**2).sum(), rel=1e-14)


def test_flat_cell() -> None:
    got = _one(ring(8, 3), np.full((25, 25), 7), scale=0.5)
    n = ring(8, 3).sum()
    assert got["integrated"] == 3.5 * n
    flat = (
        "mad", "iqr", "range", "mean_median_difference", "robust_mean_absolute_deviation", "coefficient_of_variation",
        "quartile_coefficient_of_dispersion", "entropy_bits", "mass_displacement_um", "weighted_centroid_y_um",
        "weighted_centroid_x_um", "max_distance_um", "edge_sd",
    )  # fmt: skip
    for name in flat:
        assert got[name] == 0, name
    assert got["energy"] == 1
    assert [got[name] for name in ("q01", "q10", "q90", "q99", "edge_mean", "edge_min", "edge_max")] == [3.5] * 7
    assert np.isnan(got["skewness"])
    assert np.isnan(got["kurtosis"])


def test_lopsided_flat_cells_have_no_displacement() -> None:
    """n * sum(v r) and sum(r) * sum(v) are whole numbers: their difference is 0, not a rounding error."""
    labels = _field()[0]
    got = _measure(labels, np.full(labels.shape, 60_001))
    assert not got["mass_displacement_um"].any()
    assert not got["max_distance_um"].any()


def test_black_cell() -> None:
    got = _one(disc(4), np.zeros((15, 15), int))
    nan = {name for name, value in got.items() if np.isnan(value)}
    assert nan == {
        "skewness", "kurtosis", "coefficient_of_variation", "quartile_coefficient_of_dispersion",
        "mass_displacement_um", "weighted_centroid_y_um", "weighted_centroid_x_um",
        *(f"weighted_hu_{k}" for k in range(1, 8)),
    }  # fmt: skip
    assert got["max_distance_um"] == 0


def test_one_pixel() -> None:
    labels = np.zeros((5, 5), np.uint32)
    labels[2, 3] = 9
    got = _one(labels, np.arange(25).reshape(5, 5), scale=2.0)
    assert got["integrated"] == got["edge_integrated"] == got["q01"] == got["q99"] == 26
    assert np.isnan(got["skewness"])
    assert np.isnan(got["kurtosis"])
    assert not any(got[f"weighted_hu_{k}"] for k in range(1, 8))
    assert got["mass_displacement_um"] == got["max_distance_um"] == got["edge_sd"] == 0


def test_places_by_hand() -> None:
    labels, image = np.zeros((5, 6), np.uint32), np.zeros((5, 6), int)
    labels[1:4, 1:5] = 1
    image[1, 1], image[3, 3] = 1, 3
    image[0] = 1000  # outside of the cell
    got = _one(labels, image, mpp=0.25)
    # centroid 2, 2.5; weighted 2.5, 2.5; greatest 3, 3
    assert got["weighted_centroid_y_um"] == 0.125
    assert got["weighted_centroid_x_um"] == 0.0
    assert got["mass_displacement_um"] == 0.125
    assert got["max_distance_um"] == pytest.approx(0.25 * np.hypot(1, 0.5))


def test_greatest_value_in_several_places() -> None:
    labels, image = np.ones((3, 7), np.uint32), np.zeros((3, 7), int)
    image[0, 0] = image[2, 6] = 5
    assert _one(labels, image)["max_distance_um"] == 0
    image[2, 6] = 4
    assert _one(labels, image)["max_distance_um"] == pytest.approx(np.hypot(1, 3))
    image[1, 2:4] = 6
    assert _one(labels, image)["max_distance_um"] == 0.5


def test_neighbours_values_do_not_matter() -> None:
    labels, image = _field()
    other = np.where(labels > 0, image, 65535 - image)
    for labelled in range(1, 6):
        own = np.where(labels == labelled, labels, 0)
        a, b = _one(own, image), _one(own, other)
        assert a == b
        whole = _measure(labels, image)
        assert {name: column[labelled - 1] for name, column in whole.items()} == a


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_turned_and_mirrored(turns: int, mirrored: bool) -> None:
    labels, image = _field(3)

    def turn(array: np.ndarray) -> np.ndarray:
        return np.rot90(array[:, ::-1] if mirrored else array, turns)

    before, after = _measure(labels, image, mpp=0.5), _measure(turn(labels), turn(image), mpp=0.5)
    for name in (*LEVELS, *(name for name in before if name.startswith("edge_"))):
        assert np.array_equal(before[name], after[name]), name
    y, x = before["weighted_centroid_y_um"], before["weighted_centroid_x_um"]
    x = -x if mirrored else x
    for _ in range(turns):
        y, x = -x, y
    assert np.array_equal(after["weighted_centroid_y_um"], y)
    assert np.array_equal(after["weighted_centroid_x_um"], x)
    for name in ("mass_displacement_um", "max_distance_um"):
        assert np.allclose(after[name], before[name], rtol=1e-14, atol=0), name
    for k in range(1, 8):
        sign = -1 if mirrored and k == 7 else 1
        # moments are whole numbers; what is left is the rounding of some dozen operations, relative to the
        # invariant's own size (the seventh may be next to nothing)
        size = np.abs(before[f"weighted_hu_{k}"]) + 1e-12 * before["weighted_hu_1"] ** (1, 2, 3, 3, 6, 4, 6)[k - 1]
        assert (np.abs(after[f"weighted_hu_{k}"] * sign - before[f"weighted_hu_{k}"]) <= 1e-9 * size).all(), k


def test_moved() -> None:
    labels, image = _field(4)
    before = _measure(labels, image)
    after = _measure(np.pad(labels, ((7, 0), (11, 3))), np.pad(image, ((7, 0), (11, 3))))
    for name, column in before.items():
        assert np.array_equal(column, after[name]), name


def test_units() -> None:
    labels, image = _field(5)
    image = image // 2 + 10
    counts, native = _measure(labels, image, mpp=1.0), _measure(labels, image, scale=0.25, mpp=0.5, offset=3.0)
    n = patches_of(labels).n_pixels
    for name in ("mad", "iqr", "range", "mean_median_difference", "robust_mean_absolute_deviation", "edge_sd"):
        assert np.allclose(native[name], counts[name] / 4, rtol=1e-14), name
    for name in ("q01", "q10", "q90", "q99", "edge_mean", "edge_min", "edge_max"):
        assert np.allclose(native[name], counts[name] / 4 + 3, rtol=1e-14), name
    for name in ("skewness", "kurtosis", "entropy_bits", "energy"):
        assert np.array_equal(native[name], counts[name]), name
    for name in ("mass_displacement_um", "weighted_centroid_y_um", "weighted_centroid_x_um", "max_distance_um"):
        assert np.allclose(native[name], counts[name] / 2, rtol=1e-14), name
    assert np.allclose(native["integrated"], counts["integrated"] / 4 + 3 * n)
    # the first invariant goes with 1 / unit
    assert np.allclose(native["weighted_hu_1"], counts["weighted_hu_1"] * 4, rtol=1e-13)


def test_coefficients_of_a_plane_that_can_be_negative() -> None:
    below = _one(disc(4), np.arange(225).reshape(15, 15), offset=-500.0)
    assert np.isnan(below["coefficient_of_variation"])
    assert np.isnan(below["quartile_coefficient_of_dispersion"])
    assert np.isfinite(below["mass_displacement_um"])
    zero = _row([0, 0, 0, 0, 9])
    assert np.isnan(zero["quartile_coefficient_of_dispersion"])
    assert zero["coefficient_of_variation"] == pytest.approx(2.0)


def test_large_bright_cell_does_not_overflow() -> None:
    """A square of 1,100 px at the greatest values: sums of products exceed int64."""
    side = 1_100
    image = np.full((side, side), 65535)
    image[: side // 2] = 65533
    got = _one(np.ones((side, side), np.uint32), image)
    assert got["integrated"] == 65534 * side**2
    assert got["mad"] == 1
    assert got["coefficient_of_variation"] == pytest.approx(1 / 65534, rel=1e-12)
    assert got["skewness"] == pytest.approx(0, abs=1e-9)
    assert got["kurtosis"] == pytest.approx(-2)
    assert got["robust_mean_absolute_deviation"] == 1
    assert got["entropy_bits"] == pytest.approx(1)
    assert got["energy"] == pytest.approx(0.5)
    # halves of weights w and w + 2: their middles lie side / 4 off
    assert got["weighted_centroid_y_um"] == pytest.approx(side / 4 * 2 / (2 * 65534), rel=1e-12)
    assert got["weighted_centroid_x_um"] == 0
    assert got["max_distance_um"] == side / 4
    # a square's, 1/6 of its side squared over its weight, side^2 times 65534
    assert got["weighted_hu_1"] == pytest.approx(1 / 6 / 65534, rel=1e-4)
    assert got["edge_mean"] == pytest.approx(65534, rel=1e-12)
    assert got["edge_sd"] == pytest.approx(1, rel=1e-6)


def test_large_cell_of_black_and_white_does_not_overflow() -> None:
    """Here what is left of the products exceeds int64 too."""
    side = 1_100
    image = np.zeros((side, side), int)
    image[: side // 2] = 65535
    got, turned = (_one(np.ones((side, side), np.uint32), plane) for plane in (image, image.T))
    assert got["coefficient_of_variation"] == pytest.approx(1, rel=1e-12)
    assert got["weighted_centroid_y_um"] == turned["weighted_centroid_x_um"] == -side / 4
    assert got["mass_displacement_um"] == side / 4
    assert got["weighted_hu_1"] == pytest.approx((1 / 12 + 1 / 48) * 2 / 65535, rel=1e-4)


def test_sorting_is_right_at_every_span_of_values() -> None:
    rng = np.random.default_rng(6)
    for low, span in (
        (0, 256),
        (1, 255),
        (200, 256),
        (65_279, 256),
        (65_278, 257),
        (0, 257),
        (100, 4_000),
        (0, 65_535),
    ):
        values = np.append(rng.integers(low, low + span, 499), [low, low + span])
        got = _row(values.tolist())
        assert got["q90"] == pytest.approx(np.quantile(values, 0.9), rel=1e-14)
        assert got["mad"] == np.median(np.abs(values - np.median(values)))
