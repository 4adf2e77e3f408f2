"""Family fourier: ellipses, stars, NaN rules, invariance."""

import numpy as np
import pytest
from patching import disc, ellipse, patches_of, star

from cellseg.columns import fourier as columns
from cellseg.measure.fourier import measure_fourier

ODD = star(17, 0.2, 3)
ODD[10:14, 20:30] = 0
ODD[20:23, :12] = 0
COEFFICIENTS = [f"efd_{letter}_{n}" for n in range(2, 11) for letter in "abcd"]


def fourier_of(mask, mpp=1.0):
    return {name: values[0].item() for name, values in measure_fourier(patches_of(np.asarray(mask)), mpp=mpp).items()}


def ellipse_by_arc_length(a, b, n_points=4096):
    """Points of an ellipse at equal steps along it, from the end of the long axis."""
    t = np.linspace(0, 2 * np.pi, 200001)
    x, y = a * np.cos(t), b * np.sin(t)
    way = np.append(0, np.cumsum(np.hypot(np.diff(x), np.diff(y))))
    at = np.interp(np.arange(n_points) / n_points * way[-1], way, t)
    return a * np.cos(at), b * np.sin(at)


def test_keys_are_the_columns_of_the_family():
    got = measure_fourier(patches_of(disc(5)), mpp=0.5)

    assert list(got) == [column.name for column in columns.COLUMNS]
    assert all(values.dtype == np.float64 and values.shape == (1,) for values in got.values())
    assert {column.family for column in columns.COLUMNS} == {"fourier"}


def test_no_cells():
    got = measure_fourier(patches_of(np.zeros((4, 4), int)), mpp=0.5)

    assert all(values.shape == (0,) and values.dtype == np.float64 for values in got.values())


@pytest.mark.parametrize("mask", [[[1]], np.ones((1, 50)), np.eye(12), np.ones((2, 2))])
def test_dots_and_lines_have_none(mask):
    assert np.isnan(list(fourier_of(mask).values())).all()


@pytest.mark.parametrize(("a", "b"), [(40, 20), (60, 45), (15.5, 8.5)])
@pytest.mark.parametrize("angle", [0, 0.4, 1.3])
def test_an_ellipse_has_odd_harmonics_as_its_arc_length_makes_them(a, b, angle):
    # Harmonics are ellipses run through at even angles; at even speed an ellipse is the first one and a little of the
    # third, fifth, ...; none of the even ones, for it is its own half turn.
    got = fourier_of(ellipse(a, b, angle))
    x, y = ellipse_by_arc_length(a, b)
    fx, fy = 2 * np.fft.rfft(x).real / len(x), -2 * np.fft.rfft(y).imag / len(y)

    # stairs: about 0.1 px
    close = 0.2 / a
    assert got["efd_d_1"] == pytest.approx(fy[1] / fx[1], abs=2 * close)
    for n in range(2, 11):
        assert got[f"efd_a_{n}"] == pytest.approx(fx[n] / fx[1], abs=close)
        assert got[f"efd_d_{n}"] == pytest.approx(fy[n] / fx[1], abs=close)
        assert got[f"efd_b_{n}"] == pytest.approx(0, abs=close)
        assert got[f"efd_c_{n}"] == pytest.approx(0, abs=close)
    assert got["fsd_2"] > 0.6 > 0.01 > got["fsd_1"]  # two waves of the tangent's angle


@pytest.mark.parametrize("mask", [disc(12), disc(31), np.ones((20, 20), int)])
def test_where_the_first_harmonic_is_a_circle_nothing_tells_how_to_turn(mask):
    got = fourier_of(mask)

    assert got["efd_d_1"] == 1
    assert {name for name, value in got.items() if np.isnan(value)} == set(COEFFICIENTS)


@pytest.mark.parametrize("radius", [12, 40])
def test_a_disc_is_its_first_harmonic(radius):
    got = fourier_of(disc(radius))

    # stairs of a tenth of a pixel or two
    assert got["efd_residual_1"] < 0.2 / radius
    assert all(got[f"efd_amplitude_{n}"] < 0.1 / radius for n in range(2, 11))


@pytest.mark.parametrize(("tips", "band"), [(3, 2), (5, 3), (7, 3), (9, 4)])
def test_a_star_waves_as_often_as_it_has_tips(tips, band):
    got = fourier_of(star(40, 0.1, tips))
    amplitudes = {n: got[f"efd_amplitude_{n}"] for n in range(2, 11)}

    # r = 1 + d cos(k phi) is the circle and, half each, the harmonics k - 1 and k + 1
    assert set(sorted(amplitudes, key=amplitudes.get)[-2:]) == {tips - 1, tips + 1}
    assert max((got[f"fsd_{n}"], n) for n in range(1, 7))[1] == band
    assert sum(got[f"fsd_{n}"] for n in range(1, 7)) == pytest.approx(1, rel=1e-12)


def test_residuals_fall_with_every_harmonic():
    got = fourier_of(ODD)

    assert 1 > got["efd_residual_1"] > got["efd_residual_2"] > got["efd_residual_4"] > got["efd_residual_8"] > 0


@pytest.mark.parametrize("turn", range(4))
def test_turned(turn):
    # sums begin at another corner: the last bits differ
    assert fourier_of(np.rot90(ODD, turn)) == pytest.approx(fourier_of(ODD), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("turn", range(4))
def test_flipped_coefficients_keep_their_sizes_and_all_else_its_value(turn):
    before, after = fourier_of(ODD), fourier_of(np.rot90(ODD[::-1], turn))

    for name, value in before.items():
        if name in COEFFICIENTS:
            assert abs(after[name]) == pytest.approx(abs(value), rel=1e-9, abs=1e-9), name
        else:
            assert after[name] == pytest.approx(value, rel=1e-9, abs=1e-9), name


def test_size_and_turn_by_any_angle_change_little():
    small, large = fourier_of(ellipse(20, 12, 0.2)), fourier_of(ellipse(80, 48, 1.0))

    for name in ("efd_d_1", "efd_a_3", "efd_amplitude_3", "efd_residual_1"):
        assert small[name] == pytest.approx(large[name], abs=0.02)


def test_moved_to_elsewhere_it_is_the_same_to_the_bit_and_mpp_does_not_matter():
    alone = fourier_of(ODD)
    labels = np.zeros((90, 120), int)
    labels[31 : 31 + ODD.shape[0], 44 : 44 + ODD.shape[1]] = ODD
    labels[:20, :20] = 2
    got = measure_fourier(patches_of(labels), mpp=0.1)

    assert {name: values[0] for name, values in got.items()} == alone


@pytest.mark.parametrize("seed", range(4))
def test_ragged_cells_stay_finite_and_within_their_bounds(seed):
    rng = np.random.default_rng(seed)
    labels = np.zeros((400, 400), int)
    for k in range(100):
        y, x = 40 * (k // 10), 40 * (k % 10)
        labels[y + 1 : y + 39, x + 1 : x + 39] = (k + 1) * (rng.random((38, 38)) < rng.uniform(0.02, 0.98))
    got = measure_fourier(patches_of(labels), mpp=0.25)

    for column in columns.COLUMNS:
        values = got[column.name]
        assert not np.isinf(values).any()
        known = values[~np.isnan(values)]
        assert column.minimum is None or (known >= column.minimum).all(), column.name
        assert column.maximum is None or (known <= column.maximum).all(), column.name
