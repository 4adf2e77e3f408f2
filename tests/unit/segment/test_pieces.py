"""Of each label the largest connected piece, in one array and over strips."""

import numpy as np
import pytest
from asserts import assert_canonical_labels
from scipy import ndimage

from cellseg.segment.pieces import PieceJoiner, find_pieces, largest_pieces


def test_the_largest_piece_stays_and_ids_are_in_raster_order() -> None:
    labels = np.array([[7, 0, 3, 3, 0], [0, 7, 0, 0, 0], [0, 0, 0, 3, 0], [9, 0, 0, 3, 3], [9, 0, 0, 0, 0]], np.uint32)
    found = largest_pieces(labels)
    # 7 hangs together over a corner; of 3 the lower piece is the larger
    assert found.labels.tolist() == [
        [1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 2, 0], [3, 0, 0, 2, 2], [3, 0, 0, 0, 0],
    ]  # fmt: skip
    assert found.ids.tolist() == [7, 3, 9]


def test_of_equal_pieces_the_first_stays() -> None:
    assert largest_pieces(np.array([[5, 0, 5]], np.uint32)).labels.tolist() == [[1, 0, 0]]


def test_nothing() -> None:
    found = largest_pieces(np.zeros((3, 4), np.uint32))
    assert not found.labels.any() and found.ids.size == 0
    joiner = PieceJoiner()
    joiner.add(find_pieces(np.zeros((3, 4), np.uint32)))
    assert joiner.finish().piece_of.tolist() == [-1]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("strip", [1, 3, 16, 64])
def test_strips_give_the_pieces_of_the_whole(seed: int, strip: int) -> None:
    # ragged labels of many pieces, with snakes that meet again strips later
    rng = np.random.default_rng(seed)
    labels = (rng.random((64, 50)) < 0.6) * rng.integers(1, 4, (64, 50))
    labels = np.repeat(np.repeat(labels, 2, 0), 2, 1)[:64, :50].astype(np.uint32)
    joiner, strips = PieceJoiner(), []
    for y in range(0, 64, strip):
        found = find_pieces(labels[y : y + strip], y0=y)
        offset = joiner.add(found)
        strips.append(np.where(found.pieces > 0, found.pieces.astype(np.int64) + offset, 0))
    slide = joiner.finish()
    got = slide.piece_of[np.concatenate(strips)] + 1
    whole = largest_pieces(labels)
    order = np.argsort(np.argsort(slide.first)) + 1
    assert np.array_equal(np.concatenate([[0], order])[got], whole.labels)
    assert_canonical_labels(whole.labels)
    for i, label in enumerate(slide.ids):
        sizes = ndimage.sum_labels(np.ones((64, 50)), *_pieces_of(labels, label))
        assert slide.count[i] == sizes.max()
        mask = got == i + 1
        assert (slide.y[i], slide.x[i]) == pytest.approx(np.argwhere(mask).mean(axis=0))


def _pieces_of(labels: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
    pieces, n = ndimage.label(labels == label, np.ones((3, 3)))
    return pieces, np.arange(1, n + 1)
