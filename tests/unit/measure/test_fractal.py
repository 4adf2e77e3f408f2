"""Fractal dimensions of smooth outlines, of Koch's snowflake, and of outlines too small."""

import numpy as np
import pytest
from patching import disc, ellipse, patches_of
from skimage.draw import polygon

from cellseg.measure.contour import trace_contours
from cellseg.measure.fractal import measure_fractals


def fractals_of(mask):
    got = measure_fractals(trace_contours(patches_of(np.asarray(mask))))
    return got["fractal_dimension_box"][0], got["fractal_dimension_perimeter"][0]


def snowflake(side, depth):
    """Koch's snowflake: dimension log 4 / log 3 = 1.26."""
    z = np.exp(2j * np.pi * np.array([0, 1, 2, 0]) / 3) * side / np.sqrt(3)
    for _ in range(depth):
        a, step = z[:-1], np.diff(z) / 3
        z = np.append(np.stack([a, a + step, a + step * (1 + np.exp(-1j * np.pi / 3)), a + 2 * step], 1).ravel(), z[-1])
    z -= complex(z.real.min() - 3, z.imag.min() - 3)
    mask = np.zeros((int(z.imag.max()) + 4, int(z.real.max()) + 4), int)
    mask[polygon(z.imag, z.real, mask.shape)] = 1
    return mask


@pytest.mark.parametrize("mask", [disc(60), disc(200), ellipse(120, 50, 0.3), np.ones((128, 128))])
def test_smooth_outlines_have_dimension_one(mask):
    box, ruler = fractals_of(mask)

    # few sizes, stairs at the lower end and large chords at the upper one
    assert box == pytest.approx(1, abs=0.1)
    assert ruler == pytest.approx(1, abs=0.03)


def test_snowflake():
    box, ruler = fractals_of(snowflake(300, 4))

    assert box == pytest.approx(np.log(4) / np.log(3), abs=0.08)
    assert ruler == pytest.approx(np.log(4) / np.log(3), abs=0.08)


def test_a_square_by_hand():
    # corners of the outline of 8 x 8 px in boxes of 1, 2 and 4 px, each lattice from a corner of the square. Its own
    # two sides next to that corner fall into the first boxes, the two far sides into boxes beyond the last ones.
    counts = []
    for size in (1, 2, 4):
        middles = np.arange(8) + 0.5
        points = [(y, e) for y in middles for e in (0, 8)] + [(e, x) for x in middles for e in (0, 8)]
        counts.append(len({(int(y // size), int(x // size)) for y, x in points}))
    slope = np.polyfit(np.log([1, 2, 4]), np.log(counts), 1)[0]

    assert fractals_of(np.ones((8, 8)))[0] == pytest.approx(-slope, rel=1e-12)


def test_small_outlines_have_none():
    assert np.isfinite(fractals_of(np.ones((8, 8)))).all()
    assert np.isnan(fractals_of(np.ones((7, 7)))[0])  # boxes of 1 and 2 px only
    assert np.isnan(fractals_of(np.ones((7, 8)))[1])  # 30 corners
    assert np.isnan(fractals_of([[1]])).all()


@pytest.mark.parametrize("turn", range(4))
def test_turned_and_flipped(turn):
    mask = np.pad(snowflake(60, 3), ((0, 5), (2, 0)))

    assert fractals_of(np.rot90(mask.T, turn)) == pytest.approx(fractals_of(mask), rel=1e-9)
