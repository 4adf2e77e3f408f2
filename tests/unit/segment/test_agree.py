"""Cells that are the same to the pixel, whatever they are called; those that go on beyond the rim are not judged."""

from __future__ import annotations

import numpy as np

from cellseg.segment.agree import Agreement, compare_cells

WHOLE = np.s_[:, :]
ENDS, GOES_ON = (False,) * 4, (True,) * 4
STORED = np.array([[5, 5, 0, 0, 0], [5, 0, 0, 9, 9], [0, 0, 0, 9, 9], [2, 2, 0, 0, 0], [2, 2, 0, 4, 0]], np.uint32)


def compare(redone: np.ndarray, part=WHOLE, goes_on=ENDS) -> Agreement:
    return compare_cells(STORED, redone, part, goes_on)


def test_the_same_cells_by_other_names_are_alike() -> None:
    redone = np.choose(np.searchsorted([0, 2, 4, 5, 9], STORED), [0, 3, 1, 4, 2]).astype(np.uint32)
    found = compare(redone)
    assert found.alike.tolist() == [2, 4, 5, 9]
    assert (found.differing.tolist(), found.unknown.tolist(), found.open) == ([], [], 0)


def test_one_pixel_more_or_less_or_two_cells_of_one_differ() -> None:
    for y, x, value in ((1, 1, 5), (0, 1, 0), (1, 0, 1)):
        redone = STORED.copy()
        redone[y, x] = value
        assert compare(redone).differing.tolist() == [5]
    joined = STORED.copy()
    joined[STORED == 2] = 4
    assert compare(joined).differing.tolist() == [2, 4]


def test_cells_without_a_counterpart_are_named_by_id_or_place() -> None:
    redone = STORED.copy()
    redone[STORED == 9] = 0
    redone[2, 1] = 7
    found = compare(redone)
    assert (found.differing.tolist(), found.unknown.tolist()) == ([9], [[2, 1]])


def test_only_the_part_is_asked_about_and_rims_where_the_image_goes_on_are_open() -> None:
    found = compare(np.zeros_like(STORED), part=np.s_[:3, :3])
    assert found.differing.tolist() == [5]
    found = compare(STORED, goes_on=(True, False, False, True))
    assert (found.alike.tolist(), found.open) == ([2, 4], 2)
    found = compare(np.zeros_like(STORED), goes_on=GOES_ON)
    assert (found.differing.tolist(), found.open) == ([], 4)


def test_nothing_agrees_with_nothing() -> None:
    nothing = np.zeros((3, 4), np.uint32)
    found = compare_cells(nothing, nothing, WHOLE, GOES_ON)
    assert [len(found.alike), len(found.differing), len(found.unknown), found.open] == [0, 0, 0, 0]
