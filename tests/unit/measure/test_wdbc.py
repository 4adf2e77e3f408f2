"""The ten Wisconsin features by closed forms, and their summaries by hand."""

from __future__ import annotations

import numpy as np
import pytest
from patching import disc, ellipse, patches_of, plane_of, star

from cellseg.columns.wdbc import COLUMNS
from cellseg.measure.contour import smooth_contours, trace_contours
from cellseg.measure.wdbc import FEATURES, SUMMARIES, measure_wdbc10, summarize_wdbc10


def measure(labels, image=None, mpp=0.5, n_levels=256):
    patches = patches_of(labels)
    image = np.zeros(labels.shape, int) if image is None else image
    found = measure_wdbc10(patches, plane_of(image, patches), n_levels=n_levels, mpp=mpp)
    return {name.removeprefix("wdbc10_"): column for name, column in found.items()}


def gathered(*shapes):
    """A label image with shapes below each other."""
    width = max(shape.shape[1] for shape in shapes)
    rows = [np.pad(shape * (i + 1), ((1, 1), (1, 1 + width - shape.shape[1]))) for i, shape in enumerate(shapes)]
    return np.concatenate(rows)


def test_keys_are_the_columns_in_the_tables_order():
    found = measure_wdbc10(patches_of(disc(5)), np.zeros(len(patches_of(disc(5)).mask), np.uint16), n_levels=4, mpp=1)
    assert tuple(found) == FEATURES == tuple(column.name for column in COLUMNS)
    assert [name.split("_")[1] for name in FEATURES[:2]] == ["radius", "texture"]


def test_disc():
    found = measure(disc(20), mpp=0.5)
    # pixels leave a stair or two: 1 % of a length
    assert found["radius_um"][0] == pytest.approx(10, rel=0.01)
    assert found["perimeter_um"][0] == pytest.approx(20 * np.pi, rel=0.012)
    assert found["area_um2"][0] == pytest.approx(100 * np.pi, rel=0.01)
    assert 0 <= found["compactness"][0] < 0.02
    assert found["smoothness"][0] < 0.03  # what smoothing leaves of the stairs
    assert found["concavity"][0] == found["concave_points"][0] == 0
    assert found["symmetry"][0] < 0.03
    # of a circle the ruler of an n-th part gives n / pi sin(pi / n) of the length
    n = np.array([32, 16, 8, 4])
    slope = np.polyfit(-np.log(n), np.log(n / np.pi * np.sin(np.pi / n)), 1)[0]
    assert found["fractal_dimension"][0] == pytest.approx(-slope, abs=0.002)


def test_ellipse():
    found = measure(ellipse(40, 20, 0.3), mpp=1)
    ramanujan = np.pi * (3 * 60 - np.sqrt((3 * 40 + 20) * (40 + 3 * 20)))
    assert found["perimeter_um"][0] == pytest.approx(ramanujan, rel=0.012)
    assert found["compactness"][0] == pytest.approx(ramanujan**2 / (4 * np.pi * np.pi * 800) - 1, abs=0.02)
    turn = np.linspace(0, 2 * np.pi, 20_001)[:-1]
    y, x = 20 * np.sin(turn), 40 * np.cos(turn)
    speed = np.hypot(20 * np.cos(turn), 40 * np.sin(turn))
    assert found["radius_um"][0] == pytest.approx(np.average(np.hypot(y, x), weights=speed), rel=0.01)
    place = np.concatenate([[0], np.cumsum(speed)[:-1]]) * ramanujan / speed.sum()
    r, h = np.hypot(y, x), ramanujan / 24
    around = [np.interp(place + step, place, r, period=ramanujan) for step in (-h, h)]
    expected = np.average(np.abs(r - sum(around) / 2), weights=speed) / h
    assert found["smoothness"][0] == pytest.approx(expected, rel=0.1)
    assert found["concavity"][0] == 0
    assert found["symmetry"][0] < 0.02


def test_star_is_hollow_as_often_as_it_has_tips():
    round_, shallow, deep = (measure(star(30, depth, 5)) for depth in (0.0, 0.1, 0.3))
    assert round_["concave_points"][0] == 0 < shallow["concave_points"][0] < deep["concave_points"][0] < 0.5
    assert 0 < shallow["concavity"][0] < deep["concavity"][0]
    for name in ("smoothness", "compactness", "fractal_dimension"):
        assert round_[name][0] < shallow[name][0] < deep[name][0]


def test_depth_of_a_known_notch():
    """A right angle turned inwards: from chord to corner half the chord where the neighbours lie on its sides."""
    labels = np.zeros((124, 124), np.uint32)
    labels[2:122, 2:122] = 1
    y, x = np.mgrid[:124, :124]
    labels[x > 62 + np.abs(y - 62) - 0.5] = 0
    found = measure(labels)
    # an L of 90 degrees seen from both of its arms: within a step h of the corner, at t from it, chord and depth are
    # those of the triangle with arms h - t and h + t whose nearer side holds the point
    t = np.linspace(0, 1, 2001)[:-1]
    chord = np.hypot(1 - t, 1 + t)
    inside = t * (1 - t) / chord + 0  # distance of the point at t on one arm from the chord, before the corner's part
    depth = np.abs((1 - t) * t - (1 - t) * (1 + t)) / chord
    assert inside.min() >= 0
    expected = np.trapezoid(depth / chord, t) * 2  # 24 points, each of a 24th of the length
    assert found["concavity"][0] == pytest.approx(expected, rel=0.05)
    assert found["concave_points"][0] == pytest.approx(2 / 24, rel=0.1)


def test_symmetry_of_a_half_disc_with_a_known_axis():
    """Of a kite the long axis is its mirror; of a half disc the diameter's side leaves everything on one side."""
    y, x = np.mgrid[-60:61, -60:61]
    kite = (np.abs(y) <= np.where(x < 0, (x + 50) / 2.5, (50 - x) / 2.5)).astype(np.uint32)
    # the nearest of 256 chords is a third of a degree off the axis: 50 px * sin / (half the mean width, 10 px) * 1/2
    assert measure(kite)["symmetry"][0] < 0.04
    half = ((y * y + x * x <= 50**2) & (y >= 0)).astype(np.uint32)
    assert measure(half)["symmetry"][0] > 0.2


def test_texture_is_the_spread_in_255ths():
    labels = np.ones((1, 4), np.uint32)
    labels = np.pad(labels, 2)
    image = np.full(labels.shape, 77)
    image[2, 2:6] = [10, 20, 30, 40]
    spread = np.sqrt(125.0)
    assert measure(labels, image)["texture"][0] == pytest.approx(spread, rel=1e-12)
    assert measure(labels, image * 16, n_levels=4081)["texture"][0] == pytest.approx(spread, rel=1e-12)
    big = np.zeros((310, 310), np.uint32)
    big[2:-2, 2:-2] = 1
    steps = np.where(np.arange(310)[:, None] % 2, 65535, 0) * np.ones(310, int)
    assert measure(big, steps, n_levels=65536)["texture"][0] == pytest.approx(127.5, rel=1e-12)


def test_dots_and_lines_have_only_a_texture():
    line = np.zeros((5, 12), np.uint32)
    line[2, 1:11] = 1
    for labels in (np.pad(np.ones((1, 1), np.uint32), 2), line):
        found = measure(labels)
        assert found.pop("texture")[0] == 0
        assert all(np.isnan(column[0]) for column in found.values())


def test_a_hole_and_a_crumb_do_not_count():
    whole = disc(12)
    pierced = whole.copy()
    pierced[14:17, 14:17] = 0
    pierced[0, 0] = 1
    a, b = measure(whole), measure(pierced)
    for name in set(a) - {"texture"}:
        assert a[name][0] == pytest.approx(b[name][0], rel=1e-12, abs=1e-12)


def test_nothing_in_nothing_out():
    patches = patches_of(np.zeros((5, 5), int))
    found = measure_wdbc10(patches, np.zeros(0, np.uint16), n_levels=256, mpp=1)
    assert tuple(found) == FEATURES
    assert all(column.shape == (0,) and column.dtype == np.float64 for column in found.values())


def blobs(seed=3):
    """Random lumps, some tiny."""
    rng = np.random.default_rng(seed)
    out = []
    for size in (2, 3, 5, 8, 12, 16, 16, 20):
        y, x = np.mgrid[-2 * size : 2 * size + 1, -2 * size : 2 * size + 1]
        turn = np.arctan2(y, x)
        edge = 1 + sum(rng.normal(0, 0.12) * np.cos(k * turn + rng.uniform(0, 6)) for k in range(1, 6))
        out.append((np.hypot(y, x) <= size * edge).astype(np.uint32))
    return out


def brute(labels):
    """The features from 9,600 points spread evenly along the smoothed outline, straight from the definitions."""
    traced = trace_contours(patches_of(labels))
    corners = smooth_contours(traced, np.ones(1)).points
    closed = np.vstack([corners, corners[:1]])
    place = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    n, length = 9600, place[-1]
    y, x = (np.interp(np.arange(n) * length / n, place, closed[:, axis]) for axis in (0, 1))
    y, x = y - y.mean(), x - x.mean()
    r, h, k = np.hypot(y, x), length / 24, n // 24
    y0, x0, y1, x1 = np.roll(y, k), np.roll(x, k), np.roll(y, -k), np.roll(x, -k)
    chord = np.hypot(y1 - y0, x1 - x0)
    depth = ((x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)) / chord**2
    lengths = [np.hypot(np.roll(y, -n // m) - y, np.roll(x, -n // m) - x).mean() * m for m in (32, 16, 8, 4)]
    turn = np.sort(np.arctan2(y, x)), np.argsort(np.arctan2(y, x))
    angles = np.linspace(0, np.pi, 4001)
    both = [np.interp(np.angle(np.exp(1j * (angles + more))), turn[0], r[turn[1]]) for more in (0, np.pi)]
    axis = angles[np.argmax(sum(both))]
    along, beside = x * np.cos(axis) + y * np.sin(axis), y * np.cos(axis) - x * np.sin(axis)
    station = np.floor((along - along.min()) / np.ptp(along) * 200).astype(int)
    sides = np.array([(beside[station == s].max(), -beside[station == s].min()) for s in range(200)])
    return {
        "radius_um": r.mean(),
        "smoothness": np.abs(r - (np.roll(r, k) + np.roll(r, -k)) / 2).mean() / h,
        "concavity": 24 * np.where(depth > 0.01, depth, 0).mean(),
        "concave_points": (depth > 0.01).mean(),
        "symmetry": np.abs(sides[:, 0] - sides[:, 1]).sum() / (sides.sum() / 2),
        "fractal_dimension": np.polyfit(-np.log([32, 16, 8, 4]), np.log(lengths), 1)[0] * -1,
    }


def test_lumps_by_brute_force():
    for seed in range(4):
        for labels in blobs(seed)[4:]:
            found, expected = measure(labels, mpp=1), brute(labels)
            for name, value in expected.items():
                # corners are some 100 against 9,600 points, chords every 0.7 degrees, 32 perpendiculars against 200
                tolerance = {"symmetry": 0.15, "concave_points": 0.1, "concavity": 0.1, "smoothness": 0.04}.get(
                    name, 0.01
                )
                assert found[name][0] == pytest.approx(value, rel=tolerance, abs=0.02), (name, seed)


@pytest.mark.parametrize("turn", [np.rot90, np.fliplr, np.flipud, lambda a: np.rot90(a, 2), np.transpose])
def test_turned_cells_have_the_same_figures(turn):
    rng = np.random.default_rng(0)
    for shape in blobs():
        image = rng.integers(0, 256, shape.shape)
        a, b = measure(shape, image), measure(np.ascontiguousarray(turn(shape)), np.ascontiguousarray(turn(image)))
        for name in a:
            assert a[name][0] == pytest.approx(b[name][0], rel=1e-9, abs=1e-9, nan_ok=True), name


def test_neither_place_nor_company_nor_pixel_size_matters():
    shapes = blobs()
    together = measure(gathered(*shapes))
    alone = [measure(np.pad(shape, ((7, 0), (0, 5)))) for shape in shapes]
    coarse = measure(gathered(*shapes), mpp=1.0)
    for name, column in together.items():
        np.testing.assert_array_equal(column, [one[name][0] for one in alone])
        factor = 4 if name.endswith("um2") else 2 if name.endswith("um") else 1
        np.testing.assert_allclose(coarse[name], column * factor, rtol=1e-12)


def test_figures_of_form_are_the_same_at_twice_the_resolution():
    fine, coarse = measure(star(40, 0.2, 4), mpp=0.25), measure(star(20, 0.2, 4), mpp=0.5)
    for name in set(fine) - {"texture"}:
        # stairs are half as high, smoothing reaches half as far
        assert fine[name][0] == pytest.approx(coarse[name][0], rel=0.12, abs=0.02), name


def test_summaries_by_hand():
    columns = {name: np.array([1.0, 5.0, np.nan, 3.0, 2.0, 4.0]) * (i + 1) for i, name in enumerate(FEATURES)}
    found = summarize_wdbc10(columns)
    assert tuple(found) == tuple(f"{name}_{summary}" for summary in SUMMARIES for name in FEATURES)
    assert len(found) == 30
    assert found["wdbc10_radius_um_mean"] == pytest.approx(3)
    assert found["wdbc10_radius_um_standard_error"] == pytest.approx(np.sqrt(2.5) / np.sqrt(5))
    assert found["wdbc10_radius_um_worst"] == pytest.approx(4)
    assert found["wdbc10_texture_worst"] == pytest.approx(8)


def test_summaries_of_few_cells():
    few = [summarize_wdbc10({name: np.arange(1.0, n + 1) for name in FEATURES}) for n in (0, 1, 2)]
    assert all(np.isnan(value) for value in few[0].values())
    assert few[1]["wdbc10_symmetry_mean"] == 1
    assert np.isnan(few[1]["wdbc10_symmetry_standard_error"])
    assert few[2]["wdbc10_symmetry_standard_error"] == pytest.approx(0.5)
    assert np.isnan(few[2]["wdbc10_symmetry_worst"])
