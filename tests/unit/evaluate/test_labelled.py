"""Marks find their cells, and cells the class that their marks agree on."""

from __future__ import annotations

import numpy as np
import pytest

from cellseg.classify_config import LabelSettings
from cellseg.errors import ConfigError, TableError
from cellseg.evaluate.labelled import class_sides, largest_overlap, nearest_cells, pixels_of_points, settle_marks

LABELS = np.array([[1, 1, 0, 2, 2], [1, 1, 0, 2, 2], [0, 0, 0, 0, 0], [0, 0, 3, 0, 0]], np.uint32)


def test_points_are_rounded_to_the_nearest_pixel_and_the_edge_counts_for_the_pixel_beside() -> None:
    points = np.array([[0.4, 0.6], [-0.5, -0.9], [3.5, 5.0]])
    assert pixels_of_points(points, 4, 5).tolist() == [[0, 1], [0, 0], [3, 4]]
    assert pixels_of_points(np.empty((0, 2)), 4, 5).shape == (0, 2)


@pytest.mark.parametrize("point", [[0, 6], [5, 0], [-2, 0], [0, 1e30]])
def test_points_outside_of_the_image_are_an_error_that_names_the_first(point: list[float]) -> None:
    with pytest.raises(
        TableError, match=rf"1 of 2 points.*4 x 5 px.*y {point[0]:g}, x {point[1]:g}".replace("+", r"\+")
    ):
        pixels_of_points(np.array([[0, 0], point], float), 4, 5)


def test_nearest_cell_within_reach() -> None:
    # 1 px below cell 1; 0.9 px from cell 2 and 1.1 from cell 1; 1.41 px from cell 3
    points = np.array([[2.0, 0.0], [0.0, 2.1], [2.0, 1.0], [2.0, 3.0]])
    assert nearest_cells(LABELS, points, 1.0).tolist() == [1, 2, 1, 2]
    assert nearest_cells(LABELS, points, 0.95).tolist() == [0, 2, 0, 0]


def test_a_point_as_near_to_two_cells_belongs_to_neither() -> None:
    assert nearest_cells(LABELS, np.array([[0.0, 2.0]]), 3.0).tolist() == [0]


def test_largest_overlap_counts_pixels_of_each_cell() -> None:
    mask = np.zeros(LABELS.shape, bool)
    mask[0, 1:] = True
    ids, counts = largest_overlap(LABELS, mask)
    assert (ids.tolist(), counts.tolist()) == ([1, 2], [1, 2])


def test_cells_take_the_class_that_all_their_marks_agree_on() -> None:
    settled = settle_marks(np.array([7, 3, 7, 9, 3], np.uint32), np.array([1, 0, 1, 2, 1]))
    assert settled.ids.tolist() == [3, 7, 9]
    assert settled.codes.tolist() == [-1, 1, 2]
    assert settled.first.tolist() == [1, 0, 3]
    assert settled.n_marks.tolist() == [2, 2, 1]


def test_no_marks_no_cells() -> None:
    settled = settle_marks(np.empty(0, np.uint32), np.empty(0, np.int64))
    assert len(settled.ids) == len(settled.codes) == len(settled.first) == len(settled.n_marks) == 0


def test_sides_of_classes_by_name_or_code() -> None:
    settings = LabelSettings(names={"0": "normal", "8": "burr"}, healthy=("0",), abnormal=("burr",), ignored=("junk",))
    sides = class_sides({"normal": 3, "burr": 1, "junk": 2, "healthy": 1, "abnormal": 1}, settings)
    assert sides == {
        "normal": "healthy", "burr": "abnormal", "junk": "ignored", "healthy": "healthy", "abnormal": "abnormal",
    }  # fmt: skip


def test_a_list_wins_over_the_meaning_of_the_words() -> None:
    assert class_sides({"healthy": 1}, LabelSettings(ignored=("healthy",))) == {"healthy": "ignored"}


def test_a_class_without_meaning_is_an_error_that_lists_all_with_counts() -> None:
    with pytest.raises(ConfigError, match=r"nothing is said of 'b', 'c'; .*'c' \(9\), 'a' \(5\), 'b' \(5\)"):
        class_sides({"a": 5, "b": 5, "c": 9}, LabelSettings(healthy=("a",)))


def test_a_class_in_two_lists_is_refused_also_as_its_code() -> None:
    with pytest.raises(ValueError, match="'burr' is both healthy and abnormal"):
        LabelSettings(names={"8": "burr"}, healthy=("8",), abnormal=("burr",))
