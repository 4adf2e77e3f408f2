"""Radial distribution against CellProfiler's scheme in plain numpy, on 200 shapes like nuclei.

It is not the same on purpose: distances run straight and wedges lie about axes and diagonals, so that a turned cell
has the same figures. The test holds how far that goes, as the module says it.
"""

import numpy as np
import pytest
from patching import patches_of, plane_of
from scipy import ndimage
from skimage.graph import MCP_Geometric

from cellseg.measure.radial import assign_rings, measure_radial

SIDE = 48


def nuclei(n=200, seed=0):
    """Waved ellipses of 435 px on average, and a plane with blobs and noise."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((n // 20 * SIDE, 20 * SIDE), np.uint32)
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    for cell in range(n):
        a, b, angle = rng.uniform(9, 17), rng.uniform(8, 13), rng.uniform(0, np.pi)
        dy, dx = rng.uniform(-0.5, 0.5, 2)
        u = (x - dx) * np.cos(angle) + (y - dy) * np.sin(angle)
        v = (y - dy) * np.cos(angle) - (x - dx) * np.sin(angle)
        phi, (p, q) = np.arctan2(v, u), rng.uniform(0, 2 * np.pi, 2)
        mask = np.hypot(u / a, v / b) <= 1 + 0.1 * np.cos(3 * phi + p) + 0.06 * np.cos(5 * phi + q)
        row, column = divmod(cell, 20)
        labels[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE][mask] = cell + 1
    noise = rng.standard_normal((2, *labels.shape))
    plane = 1000 + 400 * ndimage.gaussian_filter(noise[0], 2) + 100 * noise[1]
    return labels, np.clip(plane, 1, 4095).astype(np.uint16)


def rings_inside(mask):
    """Ring and wedge of the pixels: distances from the first of the deepest pixels, by steps to 8 neighbours inside."""
    depth = ndimage.distance_transform_edt(mask)
    middle = np.unravel_index(np.argmax(depth), mask.shape)
    away = MCP_Geometric(np.where(mask, 1.0, -1.0)).find_costs([middle])[0][mask]
    dy, dx = (np.argwhere(mask) - middle).T
    ring = np.minimum((4 * away / (away + depth[mask] + 0.001)).astype(int), 3)
    return ring, (dy > 0) + 2 * (dx > 0) + 4 * (abs(dy) > abs(dx))


def theirs(labels, image):
    """Shares, shares over pixels and variation of four rings, (n, 3, 4); and the rings of all pixels."""
    out, rings = [], []
    for cell, box in enumerate(ndimage.find_objects(labels), 1):
        mask, v = np.pad(labels[box] == cell, 1), np.pad(image[box], 1).astype(float)
        (ring, wedge), v = rings_inside(mask), v[mask]
        rings.append(ring)
        share = np.bincount(ring, v, 4) / v.sum()
        means = [[v[(ring == k) & (wedge == w)] for w in range(8)] for k in range(4)]
        means = [[part.mean() for part in one if len(part)] for one in means]
        cv = [np.std(one) / np.mean(one) for one in means]
        out.append((share, share / (np.bincount(ring, minlength=4) / len(ring)), cv))
    return np.array(out), np.concatenate(rings)


@pytest.fixture(scope="module")
def both():
    labels, image = nuclei()
    patches = patches_of(labels)
    rings = assign_rings(patches)
    got = measure_radial(rings, plane_of(image, patches))
    names = ("fraction", "mean_fraction", "cv")
    ours = np.array([[got[f"radial_{name}_{k}"] for k in range(1, 5)] for name in names]).transpose(2, 0, 1)
    return ours, rings.codes[rings.codes >= 0] // 9, *theirs(labels, image)


def test_most_pixels_are_in_the_same_ring(both):
    _, ours, _, theirs_of_pixels = both

    # steps to 8 neighbours are up to 8 % longer than the straight way, which takes pixels one ring out, and no farther
    assert np.mean(ours != theirs_of_pixels) < 0.05
    assert np.abs(ours - theirs_of_pixels).max() == 1


@pytest.mark.parametrize(("at", "least", "apart"), [(0, 0.6, 0.015), (1, 0.96, 0.007), (2, 0.4, 0.02)])
def test_what_is_measured_is_alike(both, at, least, apart):
    ours, _, expected, _ = both
    for ring in range(4):
        a, b = ours[:, at, ring], expected[:, at, ring]
        assert np.abs(a - b).mean() < apart
        assert np.corrcoef(a, b)[0, 1] > least


def test_a_plane_darker_outwards_is_ranked_the_same(both):
    labels, _ = nuclei()
    rng = np.random.default_rng(7)
    depth, slope = ndimage.distance_transform_edt(labels > 0), rng.uniform(-1, 1, labels.max() + 1)
    image = np.clip(1000 + 60 * slope[labels] * depth + 20 * rng.standard_normal(labels.shape), 1, 4095).astype(int)
    patches = patches_of(labels)
    got = measure_radial(assign_rings(patches), plane_of(image, patches))
    expected = theirs(labels, image)[0][:, 1]
    for ring in (0, 3):
        # the slope is what differs between these cells: it outweighs where the bounds of rings lie
        assert np.corrcoef(got[f"radial_mean_fraction_{ring + 1}"], expected[:, ring])[0, 1] > 0.995
