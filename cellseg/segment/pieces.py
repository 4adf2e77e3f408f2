"""One connected piece a label, also where a label image is known strip by strip. Floor 3: arrays in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.types import Labels

Counts = NDArray[np.int64]


class LargestPieces(NamedTuple):
    """Labels of one piece each.

    labels : (h, w) uint32, 1..n in raster order of the first pixel, each one 8-connected piece; ids : (n,) uint32, what
    each was called before.
    """

    labels: Labels
    ids: NDArray[np.uint32]


@dataclass(frozen=True)
class StripPieces:
    """The 8-connected pieces of equal labels in a strip of a slide.

    pieces : (h, W) uint32, 1..n in raster order of the first pixel, 0 = background. Of each piece (n,): `ids` its
    label, `count` pixels, `first` raster index in the slide of its first pixel, `sum_y`, `sum_x` of its pixels' places,
    px.
    """

    pieces: Labels
    ids: NDArray[np.uint32]
    count: Counts
    first: Counts
    sum_y: Counts
    sum_x: Counts


@dataclass(frozen=True)
class SlidePieces:
    """The pieces of a slide's labels, and the largest of each label.

    piece_of : (n + 1,) int64, position of the strip-wise piece (its number in the slide; 0 is background) among the m
    kept pieces, -1 where it is none of them. Of each kept piece (m,): `ids`, `count`, `first` and the centroid `y`,
    `x`, px.
    """

    piece_of: Counts
    ids: NDArray[np.uint32]
    count: Counts
    first: Counts
    y: NDArray[np.float64]
    x: NDArray[np.float64]


@njit(nogil=True, cache=True)
def _root(parent: NDArray[np.uint32], i: int) -> int:
    root: int = i
    while parent[root] != root:
        parent[root] = parent[parent[root]]
        root = parent[root]
    return root


@njit(nogil=True, cache=True)
def _unite(parent: NDArray[np.uint32], i: int, j: int) -> int:
    a, b = _root(parent, i), _root(parent, j)
    low: int = min(a, b)
    parent[max(a, b)] = low
    return low


@njit(nogil=True, cache=True)
def _components(labels: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], int]:
    """8-connected pieces of equal labels (h, w), 1..n in raster order of the first pixel, and n."""
    height, width = labels.shape
    out = np.zeros((height, width), np.uint32)
    parent = np.zeros(1024, np.uint32)
    n = 0
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if label == 0:
                continue
            found = 0
            for dy, dx in ((-1, -1), (-1, 0), (-1, 1), (0, -1)):
                j, i = y + dy, x + dx
                if j < 0 or i < 0 or i >= width or labels[j, i] != label:
                    continue
                found = int(out[j, i]) if found == 0 else _unite(parent, found, int(out[j, i]))
            if found == 0:
                n += 1
                if n == len(parent):
                    parent = np.concatenate((parent, np.zeros(len(parent), np.uint32)))
                parent[n] = n
                found = n
            out[y, x] = found
    number = np.zeros(n + 1, np.uint32)
    m = 0
    for i in range(1, n + 1):
        root = _root(parent, i)
        if root == i:  # roots are the least of their piece: its first pixel in raster order
            m += 1
            number[i] = m
        else:
            number[i] = number[root]
    for y in range(height):
        for x in range(width):
            out[y, x] = number[out[y, x]]
    return out, m


@njit(nogil=True, cache=True)
def _sums(
    pieces: NDArray[np.uint32], labels: NDArray[np.uint32], n: int, y0: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    height, width = pieces.shape
    ids, count, first = np.zeros(n, np.uint32), np.zeros(n, np.int64), np.full(n, -1, np.int64)
    sum_y, sum_x = np.zeros(n, np.int64), np.zeros(n, np.int64)
    for y in range(height):
        for x in range(width):
            if pieces[y, x] == 0:
                continue
            i = np.int64(pieces[y, x]) - 1
            if first[i] < 0:
                first[i], ids[i] = (y0 + y) * width + x, labels[y, x]
            count[i] += 1
            sum_y[i] += y0 + y
            sum_x[i] += x
    return ids, count, first, sum_y, sum_x


def find_pieces(labels: Labels, *, y0: int = 0) -> StripPieces:
    """The pieces of a strip (h, W) as wide as the slide that begins at row `y0`."""
    labels = np.ascontiguousarray(labels)
    pieces, n = _components(labels)
    return StripPieces(pieces, *_sums(pieces, labels, n, y0))


def largest_pieces(labels: Labels) -> LargestPieces:
    """Of each label its largest 8-connected piece (of equal ones the first in raster order), numbered in raster order.

    Parameters
    ----------
    labels : (h, w) ndarray of uint32
        Any ids, 0 = background.
    """
    found = find_pieces(labels)
    kept = np.sort(_largest(found.ids, found.count, found.first))
    number = np.zeros(len(found.ids) + 1, np.uint32)
    number[1 + kept] = np.arange(1, len(kept) + 1)
    return LargestPieces(number[found.pieces], found.ids[kept])


def _largest(ids: NDArray[np.uint32], count: Counts, first: Counts) -> NDArray[np.intp]:
    """Index of the largest piece of each label, by rising label."""
    order = np.lexsort((first, -count, ids))
    return order[np.diff(ids[order], prepend=np.uint32(0)) > 0]


@njit(nogil=True, cache=True)
def _roots(n: int, unions: NDArray[np.int64]) -> NDArray[np.uint32]:
    """The least member of the group of each of 0..n."""
    parent = np.arange(n + 1).astype(np.uint32)
    for k in range(len(unions)):
        _unite(parent, unions[k, 0], unions[k, 1])
    for i in range(n + 1):
        parent[i] = _root(parent, i)
    return parent


class PieceJoiner:
    """Takes the pieces of a slide's strips from top to bottom and tells which are one."""

    def __init__(self) -> None:
        self._n = 0
        self._facts: list[tuple[NDArray[np.uint32], Counts, Counts, Counts, Counts]] = []
        self._unions: list[Counts] = [np.zeros((0, 2), np.int64)]
        self._above: tuple[Counts, Labels] | None = None

    def add(self, strip: StripPieces) -> int:
        """Take the next strip; its piece `i` is piece `i + offset` of the slide.

        Returns
        -------
        int
            The offset.
        """
        offset = self._n
        self._n += len(strip.ids)
        self._facts.append((strip.ids, strip.count, strip.first, strip.sum_y, strip.sum_x))
        if self._above is not None:
            self._join(self._above, self._line(strip, 0, offset))
        self._above = self._line(strip, -1, offset)
        return offset

    def _line(self, strip: StripPieces, row: int, offset: int) -> tuple[Counts, Labels]:
        pieces = strip.pieces[row].astype(np.int64)
        ids = np.concatenate([np.zeros(1, np.uint32), strip.ids])
        return np.where(pieces > 0, pieces + offset, 0), ids[pieces]

    def _join(self, above: tuple[Counts, Labels], below: tuple[Counts, Labels]) -> None:
        width = len(above[0])
        for shift in (-1, 0, 1):
            a, b = slice(max(-shift, 0), width - max(shift, 0)), slice(max(shift, 0), width - max(-shift, 0))
            meet = (above[1][a] == below[1][b]) & (above[0][a] > 0)
            if meet.any():
                self._unions.append(np.unique(np.stack([above[0][a][meet], below[0][b][meet]], axis=1), axis=0))

    def finish(self) -> SlidePieces:
        """The largest piece of each label, once every strip has been added."""
        root = _roots(self._n, np.concatenate(self._unions)).astype(np.int64)
        empty = (np.zeros(0, np.uint32), *(np.zeros(0, np.int64) for _ in range(4)))
        ids, count, first, sum_y, sum_x = (np.concatenate(column) for column in zip(empty, *self._facts, strict=True))
        whole = np.zeros((3, self._n + 1), np.int64)
        for row, values in zip(whole, (count, sum_y, sum_x), strict=True):
            np.add.at(row, root[1:], values)
        roots = np.flatnonzero(root == np.arange(self._n + 1))[1:]
        kept = roots[_largest(ids[roots - 1], whole[0, roots], first[roots - 1])]
        position = np.full(self._n + 1, -1, np.int64)
        position[kept] = np.arange(len(kept))
        piece_of = position[root]
        piece_of[0] = -1
        y, x = whole[1:, kept] / whole[0, kept]
        return SlidePieces(piece_of, ids[kept - 1], whole[0, kept], first[kept - 1], y, x)
