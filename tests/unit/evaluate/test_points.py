import numpy as np
import pytest

from cellseg.errors import TableError
from cellseg.evaluate.points import PointCounts, add_counts, count_points

LABELS = np.array([[1, 1, 0, 2], [1, 1, 0, 2], [0, 0, 0, 3]], np.uint32)


def test_alone_shared_and_outside():
    # two points in cell 1, one in 2, one on background, none in 3
    points = np.array([[0, 0], [1, 1], [0.4, 3.2], [2, 0]])
    counts = count_points(LABELS, points)
    assert counts == PointCounts(4, 1, 2, 1)
    assert counts.shares() == {"n_points": 4.0, "alone": 0.25, "shared": 0.5, "outside": 0.25}


def test_two_points_on_background_are_outside_not_shared():
    assert count_points(LABELS, np.array([[0, 2], [1, 2]])) == PointCounts(2, 0, 0, 2)


def test_no_points():
    counts = count_points(LABELS, np.empty((0, 2)))
    assert counts == PointCounts(0, 0, 0, 0)
    assert np.isnan(counts.shares()["alone"])


def test_a_point_outside_the_image_is_an_error_that_names_it():
    with pytest.raises(TableError, match=r"y 0, x 9.*3 x 4 px.*swapped"):
        count_points(LABELS, np.array([[0, 9]]))


def test_a_point_on_the_very_edge_counts():
    assert count_points(LABELS, np.array([[2.6, 3.5]])).n_alone == 1


def test_counts_add():
    assert add_counts([PointCounts(4, 1, 2, 1), PointCounts(1, 1, 0, 0)]) == PointCounts(5, 2, 2, 1)
