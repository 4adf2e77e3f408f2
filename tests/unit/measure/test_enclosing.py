"""The smallest circle: holds every point, and no smaller one does."""

from itertools import combinations

import numpy as np
import pytest
from measuring import odd_shapes
from patching import disc, patches_of
from scipy.spatial import ConvexHull

from cellseg.measure.enclosing import enclose_cells


def smallest(points):
    """The smallest circle over all pairs and triples of hull points, by brute force."""
    best = np.inf
    for count in (2, 3):
        for chosen in combinations(range(len(points)), count):
            corner = points[list(chosen)]
            if count == 2:
                centre, radius = corner.mean(axis=0), np.hypot(*(corner[0] - corner[1])) / 2
            else:
                system = 2 * (corner[1:] - corner[0])
                if abs(np.linalg.det(system)) < 1e-9:
                    continue
                centre = np.linalg.solve(system, (corner[1:] ** 2).sum(axis=1) - (corner[0] ** 2).sum())
                radius = np.hypot(*(corner[0] - centre))
            if radius < best and np.hypot(*(points - centre).T).max() <= radius + 1e-9:
                best = radius
    return best


@pytest.mark.parametrize("corners", [False, True])
def test_holds_every_pixel_and_is_the_smallest(corners):
    patches = patches_of(odd_shapes((160, 160), seed=2))
    circles = enclose_cells(patches, corners=corners)
    compared = 0
    for at, (y, x, radius) in enumerate(circles):
        start, stop = patches.starts[at : at + 2]
        points = np.argwhere(patches.mask[start:stop].reshape(patches.heights[at], patches.widths[at])).astype(float)
        if corners:
            steps = np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]])
            points = (points[:, None] + steps).reshape(-1, 2)
        assert np.hypot(points[:, 0] - y, points[:, 1] - x).max() <= radius + 1e-9
        if np.ptp(points, axis=0).min() > 1:
            hull = points[ConvexHull(points).vertices]
            if len(hull) <= 16:
                compared += 1
                assert radius == pytest.approx(smallest(hull), abs=1e-9)
    assert compared > 20


def test_by_hand():
    line, pixel = np.pad(np.ones((1, 5), np.uint32), 1), np.pad(np.ones((1, 1), np.uint32), 1)

    assert enclose_cells(patches_of(line), corners=False).tolist() == [[1.0, 3.0, 2.0]]
    assert enclose_cells(patches_of(pixel), corners=False).tolist() == [[1.0, 1.0, 0.0]]
    assert enclose_cells(patches_of(pixel), corners=True)[0, 2] == pytest.approx(np.sqrt(0.5))
    assert enclose_cells(patches_of(disc(10)), corners=False)[0, 2] == pytest.approx(10)
    assert enclose_cells(patches_of(np.zeros((4, 4), np.uint32)), corners=True).shape == (0, 3)
