"""How much of the outlines touch: by hand, against plain loops, in odd cases."""

import numpy as np
import pytest

from cellseg.columns.neighborhood import TOUCHING
from cellseg.measure.boxes import scan_cells
from cellseg.measure.touching import measure_touching


def touching_of(labels):
    labels = np.ascontiguousarray(labels, dtype=np.uint32)
    cells = scan_cells(labels)
    return measure_touching(labels, cells.ids, cells.boxes)


def plain(labels):
    """The definition, pixel by pixel, cell by cell."""
    padded = np.pad(labels.astype(np.int64), 1)
    shares, numbers = [], []
    for value in np.unique(labels[labels > 0]):
        outline, touching, others = 0, 0, set()
        for y, x in np.argwhere(padded == value):
            around = set(padded[y - 1 : y + 2, x - 1 : x + 2].ravel().tolist())
            outline += around != {value}
            touching += bool(around - {0, value})
            others |= around - {0, value}
        shares.append(touching / outline)
        numbers.append(len(others))
    return shares, numbers


def test_columns_are_those_that_are_defined():
    got = touching_of([[0, 0, 0], [0, 1, 0], [0, 0, 0]])

    assert list(got) == [column.name for column in TOUCHING]
    assert [column.dtype for column in got.values()] == [np.float64, np.int64]
    assert got["touching_share"].tolist() == [0] and got["n_touching"].tolist() == [0]


def test_by_hand():
    labels = np.array(
        [
            [1, 1, 1, 2, 2],
            [1, 1, 1, 2, 2],
            [1, 1, 1, 0, 0],
            [0, 0, 0, 3, 0],
            [0, 5, 0, 0, 0],
        ]
    )
    got = touching_of(labels)

    # cell 1: 8 of its 9 pixels are outline; the right column touches 2, its last pixel 3 too
    assert got["touching_share"].tolist() == [3 / 8, 2 / 4, 1, 0]
    assert got["n_touching"].tolist() == [2, 1, 1, 0]


def test_holes_have_an_outline_too():
    labels = np.zeros((7, 7), np.uint32)
    labels[1:6, 1:6] = 1
    labels[3, 3] = 2
    got = touching_of(labels)

    assert got["touching_share"].tolist() == [8 / 24, 1] and got["n_touching"].tolist() == [1, 1]


@pytest.mark.parametrize("seed", range(4))
def test_equal_plain_loops(seed):
    rng = np.random.default_rng(seed)
    coarse = rng.choice([0, 0, 1, 2, 3, 4_000_000_000], (9, 11)).astype(np.uint32)
    labels = np.kron(coarse, np.ones((3, 2), np.uint32))
    labels[rng.uniform(size=labels.shape) < 0.1] = 7
    shares, numbers = plain(labels)

    got = touching_of(labels)
    assert got["touching_share"].tolist() == shares and got["n_touching"].tolist() == numbers


def test_one_cell_among_thousands():
    labels = np.arange(1, 121 * 121 + 1, dtype=np.uint32).reshape(121, 121)
    labels[::3, ::3] = 500_000
    shares, numbers = plain(labels[:40, :40])
    got = touching_of(labels[:40, :40])

    assert got["n_touching"].tolist() == numbers and got["touching_share"].tolist() == shares
    assert touching_of(labels)["n_touching"][-1] == 121 * 121 - 41 * 41


def test_nothing_depends_on_names_or_place_or_turning():
    rng = np.random.default_rng(1)
    labels = np.kron(rng.integers(0, 8, (8, 8)), np.ones((4, 4), int)).astype(np.uint32)
    labels[[0, -1]] = labels[:, [0, -1]] = 0
    expected = touching_of(labels)
    names = np.concatenate([[0], 1000 - np.arange(1, 8)])
    renamed = touching_of(names[labels])
    for name in expected:
        assert np.array_equal(renamed[name][::-1], expected[name])
        for turned in (labels[::-1], labels[:, ::-1], np.rot90(labels), np.pad(labels, ((5, 2), (3, 9)))):
            assert np.array_equal(touching_of(turned)[name], expected[name])


def test_batches_are_independent_and_empty_is_empty():
    labels = np.kron(np.arange(1, 31).reshape(5, 6), np.ones((4, 4), int)).astype(np.uint32)
    cells = scan_cells(labels)
    whole = touching_of(labels)
    for start in range(0, 30, 7):
        part = measure_touching(labels, cells.ids[start : start + 7], cells.boxes[start : start + 7])
        assert all(np.array_equal(part[name], whole[name][start : start + 7]) for name in whole)

    none = measure_touching(labels, cells.ids[:0], cells.boxes[:0])
    assert [column.shape for column in none.values()] == [(0,), (0,)]


def test_wide_cell():
    labels = np.zeros((1202, 1302), np.uint32)
    labels[1:-1, 1:-1] = 1
    labels[0] = 2
    got = touching_of(labels)

    assert got["touching_share"][0] == 1300 / (2 * 1300 + 2 * 1198) and got["touching_share"][1] == 1
