"""Curvature against closed forms of circle, ellipse and star."""

import numpy as np
import pytest
from patching import disc, ellipse, patches_of, star

from cellseg.measure.contour import trace_contours
from cellseg.measure.curvature import measure_curvature


def curvature_of(mask, mpp=1.0):
    got = measure_curvature(trace_contours(patches_of(mask)), mpp=mpp)
    return {name.removeprefix("curvature_").removesuffix("_per_um"): values[0] for name, values in got.items()}


@pytest.mark.parametrize("radius", [6, 12, 25, 50, 150])
def test_disc(radius):
    got = curvature_of(disc(radius), mpp=0.5)

    assert got["mean"] == pytest.approx(2 / radius, rel=0.02)
    assert got["abs_mean"] == pytest.approx(got["mean"], rel=1e-12)  # nowhere concave
    # what smoothing leaves of the stairs
    assert got["sd"] < 0.2 * 2 / radius
    assert got["min"] > 0.6 * 2 / radius and got["max"] < 1.4 * 2 / radius
    assert 1 <= got["bending_energy"] < 1.05


@pytest.mark.parametrize(("a", "b"), [(40, 20), (60, 40), (100, 50), (90, 60)])
@pytest.mark.parametrize("angle", [0, 0.5, np.pi / 2])
def test_ellipse(a, b, angle):
    got = curvature_of(ellipse(a, b, angle))
    t = np.linspace(0, 2 * np.pi, 100001)[:-1]
    speed = np.hypot(a * np.sin(t), b * np.cos(t))
    kappa, length = a * b / speed**3, speed.mean() * 2 * np.pi

    # smoothing rounds the tips by a tenth or so; stairs roughen the flanks by three tenths of the mean curvature
    assert got["max"] == pytest.approx(a / b**2, rel=0.12)
    assert got["min"] == pytest.approx(b / a**2, abs=0.3 * 2 * np.pi / length)
    assert got["mean"] == pytest.approx(2 * np.pi / length, rel=0.02)
    energy = (kappa**2 * speed).mean() * 2 * np.pi * length / (4 * np.pi**2)
    assert got["bending_energy"] == pytest.approx(energy, rel=0.05)
    assert got["n_curvature_sign_changes"] == got["concave_length_share"] == 0


def test_star():
    radius, depth, tips = 80, 0.2, 3
    got = curvature_of(star(radius, depth, tips))
    phi = np.linspace(0, 2 * np.pi, 100001)[:-1]
    r = radius * (1 + depth * np.cos(tips * phi))
    r1, r2 = -radius * depth * tips * np.sin(tips * phi), -radius * depth * tips**2 * np.cos(tips * phi)
    speed = np.hypot(r, r1)
    kappa = (r**2 + 2 * r1**2 - r * r2) / speed**3

    assert got["min"] == pytest.approx(kappa.min(), abs=0.12 * kappa.max())
    assert got["max"] == pytest.approx(kappa.max(), rel=0.12)
    assert got["abs_mean"] == pytest.approx((abs(kappa) * speed).sum() / speed.sum(), rel=0.05)
    least = 0.25 * 2 * np.pi / (speed.mean() * 2 * np.pi)
    share = speed[kappa < -least].sum() / speed.sum()
    assert got["concave_length_share"] == pytest.approx(share, abs=0.03)
    assert got["n_curvature_sign_changes"] == 2 * tips


def test_a_square_bends_in_its_corners_alone():
    got = curvature_of(np.ones((60, 60), int))

    assert got["min"] == pytest.approx(0, abs=1e-3)
    assert got["mean"] == pytest.approx(2 * np.pi / 240, rel=0.07)  # 2 pi in all, whatever the form
    # A right angle smoothed by a Gaussian g of variance v: in its middle x' = y' = 1/2, x'' = -y'' = g(0), hence
    # curvature g(0) / (1/2)^(3/2). The traced corner is cut already: a little less.
    v = 60 / np.sqrt(np.pi) / 2
    assert got["max"] == pytest.approx(2**1.5 / np.sqrt(2 * np.pi * v), rel=0.1)


def test_mpp_scales_curvature_by_its_inverse_and_leaves_energy():
    one, fine = curvature_of(star(20, 0.2, 3)), curvature_of(star(20, 0.2, 3), mpp=0.25)

    assert fine["sd"] == pytest.approx(4 * one["sd"], rel=1e-12)
    assert fine["bending_energy"] == one["bending_energy"]
