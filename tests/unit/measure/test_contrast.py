"""Contrast with the neighbours and variation around a cell: by hand, NaN rules, invariance."""

import numpy as np
import pytest

from cellseg.columns.neighborhood import COLUMNS
from cellseg.measure.cell_graph import delaunay_edges
from cellseg.measure.contrast import measure_contrast, measure_pleomorphism

SIDE = 300
SETTINGS = {"height_px": SIDE, "width_px": SIDE, "mpp": 0.5, "radius_um": 25.0}
STAR = np.array([[0, k] for k in range(1, 7)], dtype=np.int32)


def scattered(n, seed=0):
    return np.random.default_rng(seed).uniform(0, SIDE - 1, (n, 2))


def features_of(n, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "area_um2": rng.lognormal(4, 0.5, n),
        "circularity": rng.uniform(0.4, 1, n),
        "eccentricity": rng.uniform(0, 1, n),
        "orientation_rad": rng.uniform(-np.pi / 2, np.pi / 2, n),
        "od_mean": rng.normal(0.6, 0.1, n),
    }


def test_contrast_by_hand():
    values = np.array([10.0, 1, 2, 3, 4, 6, 9])
    got = measure_contrast({"area_um2": values, "b": -values}, STAR)

    # median of the six 3.5, deviations 2.5 1.5 0.5 0.5 2.5 5.5
    assert list(got) == ["contrast_area_um2", "contrast_b"]
    assert got["contrast_area_um2"][0] == pytest.approx(6.5 / (1.482602218505602 * 2.0))
    assert got["contrast_b"][0] == -got["contrast_area_um2"][0]
    # all others see each other through the first: of 10 2 3 4 6 9, median 5, deviations 5 3 2 1 1 4
    assert got["contrast_area_um2"][1] == pytest.approx((1 - 5) / (1.482602218505602 * 2.5))


def test_contrast_that_cannot_be_measured_is_nan():
    values = np.array([10.0, 1, 2, 3, 4, 6, 9])
    few = measure_contrast({"v": values}, STAR[:4])["contrast_v"]
    assert np.isnan(few).all()

    flat = measure_contrast({"v": np.array([9.0, 5, 5, 5, 5, 1, 5])}, STAR)["contrast_v"]
    assert np.isnan(flat).all()

    holes = np.where(np.arange(7) == 3, np.nan, values)
    got = measure_contrast({"v": holes}, STAR)["contrast_v"]
    assert np.isnan(got[3]) and not np.isnan(np.delete(got, 3)).any()

    holes[4] = np.nan
    assert np.isnan(measure_contrast({"v": holes}, STAR)["contrast_v"])[[0, 3, 4]].all()


def test_contrast_of_nobody():
    assert measure_contrast({"v": np.empty(0)}, np.empty((0, 2), np.int32))["contrast_v"].shape == (0,)
    assert measure_contrast({}, np.empty((0, 2), np.int32)) == {}
    assert np.isnan(measure_contrast({"v": np.ones(1)}, np.empty((0, 2), np.int32))["contrast_v"]).all()


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6, 40, 101])
def test_the_median_is_numpys(n):
    rng = np.random.default_rng(n)
    star = np.array([[0, k] for k in range(1, n + 1)], dtype=np.int32)
    for values in (rng.normal(size=n + 1), rng.integers(0, 4, n + 1).astype(float), np.arange(n + 1.0)):
        got = measure_contrast({"v": values}, star)["contrast_v"][0]
        median = np.median(values[1:])
        mad = np.median(np.abs(values[1:] - median))
        expected = (values[0] - median) / (1.482602218505602 * mad) if n >= 5 and mad > 0 else np.nan
        assert got == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_contrast_keeps_its_value_when_units_or_names_change():
    points, values = scattered(200), features_of(200)["area_um2"]
    order = np.random.default_rng(3).permutation(200)
    expected = measure_contrast({"v": values}, delaunay_edges(points))["contrast_v"]

    assert np.allclose(measure_contrast({"v": 7 * values}, delaunay_edges(points))["contrast_v"], expected, rtol=1e-12)
    turned = np.stack([SIDE - 1 - points[:, 1], points[:, 0]], axis=1)
    assert np.array_equal(measure_contrast({"v": values}, delaunay_edges(turned))["contrast_v"], expected)
    renamed = measure_contrast({"v": values[order]}, delaunay_edges(points[order]))["contrast_v"]
    assert np.array_equal(renamed, expected[order])


def test_pleomorphism_has_the_columns_that_are_defined():
    got = measure_pleomorphism(scattered(40), features_of(40), **SETTINGS)

    assert list(got) == [column.name for column in COLUMNS if column.family == "pleomorphism"]
    types = {column.name: column.dtype for column in COLUMNS}
    assert all(str(column.dtype) == types[name] and column.shape == (40,) for name, column in got.items())


def test_pleomorphism_by_hand():
    points = np.array([[100.0, 100.0 + 5 * k] for k in range(5)] + [[250.0, 250.0]])
    features = {
        "area_um2": np.array([10.0, 10, 10, 10, 60, 1]),
        "circularity": np.array([0.5, 0.7, 0.9, 0.7, 0.7, 1]),
        "eccentricity": np.array([0.0, 0.6, 0.8, 0.6, 1.0, 1]),
        "orientation_rad": np.array([np.pi / 2, -np.pi / 2, 0, 0.1, 1.0, 0]),
        "od_mean": np.array([0.5, 0.5, 0.5, 0.5, 0.5, 1]),
    }
    got = measure_pleomorphism(points, features, **SETTINGS)

    assert got["pleomorphism_n_cells"].tolist() == [5] * 5 + [1]
    assert got["pleomorphism_area_cv"][:5] == pytest.approx(np.full(5, np.sqrt(500) / 20))
    assert got["pleomorphism_area_max_ratio"][:5].tolist() == [6] * 5
    assert got["pleomorphism_circularity_sd"][0] == pytest.approx(np.sqrt(0.02))
    # 1 - minor / major: 0, 0.2, 0.4, 0.2, 1
    assert got["pleomorphism_elongation_sd"][0] == pytest.approx(np.std([0, 0.2, 0.4, 0.2, 1], ddof=1))
    assert got["pleomorphism_od_cv"][0] == 0
    # up and down are one direction; so are 0 and 0.1 rad
    assert got["pleomorphism_orientation_entropy_bits"][0] == pytest.approx(0.8 * np.log2(2.5) + 0.2 * np.log2(5))
    assert all(np.isnan(got[name][5]) for name in got if name != "pleomorphism_n_cells")


def test_cells_at_the_very_radius_count():
    points = np.array([[50.0, 50.0 + 7 * k] for k in range(5)])
    got = measure_pleomorphism(points, {}, **SETTINGS | {"mpp": 0.1, "radius_um": 0.7})

    assert 0.7 / 0.1 < 7
    assert got["pleomorphism_n_cells"].tolist() == [2, 3, 3, 3, 2]


def test_pleomorphism_without_values_is_nan():
    points = np.full((6, 2), 50.0)
    got = measure_pleomorphism(points, {"area_um2": np.zeros(6), "od_mean": np.full(6, -1.0)}, **SETTINGS)
    assert got["pleomorphism_n_cells"].tolist() == [6] * 6
    assert all(np.isnan(got[name]).all() for name in got if name != "pleomorphism_n_cells")

    holes = np.array([1.0, 2, 3, 4, np.nan, np.nan])
    assert np.isnan(measure_pleomorphism(points, {"area_um2": holes}, **SETTINGS)["pleomorphism_area_cv"]).all()

    none = measure_pleomorphism(np.empty((0, 2)), {}, **SETTINGS)
    assert all(column.shape == (0,) for column in none.values())


def test_orientations_all_alike_and_all_over():
    points, n = np.full((120, 2), 50.0), 120
    for angle in (-np.pi / 2, -np.pi / 4, 0.0, 0.123, np.pi / 4, np.pi / 2):
        alike = measure_pleomorphism(points, {"orientation_rad": np.full(n, angle)}, **SETTINGS)
        assert set(alike["pleomorphism_orientation_entropy_bits"]) == {0}

    spread = np.linspace(-np.pi / 2, np.pi / 2, n, endpoint=False) + np.pi / 4 / n
    over = measure_pleomorphism(points, {"orientation_rad": spread}, **SETTINGS)
    assert np.allclose(over["pleomorphism_orientation_entropy_bits"], np.log2(12))


def rot90(angle):
    return np.mod(angle + np.pi, np.pi) - np.pi / 2


TURNS = {
    "down": (lambda p: np.stack([SIDE - 1 - p[:, 0], p[:, 1]], axis=1), lambda a: -a),
    "right": (lambda p: np.stack([p[:, 0], SIDE - 1 - p[:, 1]], axis=1), lambda a: -a),
    "rot90": (lambda p: np.stack([SIDE - 1 - p[:, 1], p[:, 0]], axis=1), rot90),
}


@pytest.mark.parametrize("turn", TURNS)
def test_pleomorphism_is_the_same_when_turned_flipped_or_renamed(turn):
    points, features = scattered(300), features_of(300)
    order = np.random.default_rng(3).permutation(300)
    move, rotate = TURNS[turn]
    turned = features | {"orientation_rad": rotate(features["orientation_rad"])}
    expected = measure_pleomorphism(points, features, **SETTINGS)
    got = measure_pleomorphism(move(points)[order], {name: v[order] for name, v in turned.items()}, **SETTINGS)

    assert all(np.allclose(got[name], expected[name][order], rtol=1e-9, equal_nan=True) for name in got)


def test_pleomorphism_scales_with_the_pixel():
    points, features = scattered(300), features_of(300)
    fine = measure_pleomorphism(points, features, **SETTINGS)
    coarse = measure_pleomorphism(
        points, features | {"area_um2": 4 * features["area_um2"]}, **SETTINGS | {"mpp": 1.0, "radius_um": 50.0}
    )

    assert all(np.allclose(coarse[name], fine[name], rtol=1e-12, equal_nan=True) for name in fine)
