"""Which instances of overlapping windows are one cell. Floor 3: pure geometry, no pixels of the slide, no files.

A cell whole in a window counts when its centroid lies in the window's core; one off the core counts when the window
that owns the place sees it cut, or when two windows see it whole and each takes it for the other's. (To let a margin
around the core count gives doubtful cells two chances: cutting otherwise would find other ones.) Instances of different
windows of which the smaller lies at least half in the other are twins: the more certain is the cell. A piece cut by a
window's edge counts if it reaches as far in from each edge that cuts it as windows overlap (less a margin): otherwise
the window beyond sees all of it, and more. Pieces that agree where their windows overlap are one cell.

`WindowJoiner` holds what a row of windows shares with the next, and a few numbers an instance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.segment.contract import TileCells
from cellseg.tiles import Tile, WindowGrid
from cellseg.types import Labels, Window

IGNORED, PIECE, OUTER, INNER = range(4)
"""What an instance is: a piece that the next window sees whole, a piece of a giant, whole but off-core, whole."""
TWIN_SHARE = 0.5
_INSTANCE, _OTHER, _SHARED, _AREA, _OTHER_AREA = range(5)
_N_SPARE_PX = 2
"""How much more than `overlap_px` windows may share."""


@dataclass(frozen=True)
class JoinedCells:
    """The cells of a slide, before any is dropped for its size or place; most certain first.

    cell_of : (n + 1,) uint32, the cell 1..m of every instance (its number in the slide; 0 is background), 0 where it is
    none. scores : (m,) float32. classes : (m,) uint8. joined : (m,) bool, put together from pieces of several windows.
    n_cut : cells of which only a piece was found, cut straight at a window's edge.
    """

    cell_of: NDArray[np.uint32]
    scores: NDArray[np.float32]
    classes: NDArray[np.uint8]
    joined: NDArray[np.bool_]
    n_cut: int


class _Facts(NamedTuple):
    area: NDArray[np.int64]
    y: NDArray[np.float64]
    x: NDArray[np.float64]
    boxes: NDArray[np.int64]


class _Held(NamedTuple):
    """What a window may share with windows to come: labels of its last rows and of its last columns."""

    offset: int
    window: Window
    parts: tuple[tuple[Window, Labels], ...]

    def cut(self, region: Window) -> Labels:
        for window, labels in self.parts:
            if window.y0 <= region.y0 and window.x0 <= region.x0:
                return labels[region.inside(window)]
        raise IndexError(f"{region} is not held of {self.window}")


@njit(nogil=True, cache=True)
def _describe(
    labels: NDArray[np.uint32], n: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Area, sums of y and x, and boxes (y0, y1, x0, x1) of labels 1..n, px of the array."""
    height, width = labels.shape
    area, sum_y, sum_x = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    boxes = np.zeros((n, 4), np.int64)
    boxes[:, 0], boxes[:, 2] = height, width
    for y in range(height):
        for x in range(width):
            if labels[y, x] == 0:
                continue
            i = int(labels[y, x]) - 1
            area[i] += 1
            sum_y[i] += y
            sum_x[i] += x
            boxes[i, 0], boxes[i, 1] = min(boxes[i, 0], y), y + 1
            boxes[i, 2], boxes[i, 3] = min(boxes[i, 2], x), max(boxes[i, 3], x + 1)
    return area, sum_y, sum_x, boxes


def _facts(labels: Labels, n: int) -> _Facts:
    area, sum_y, sum_x, boxes = _describe(np.ascontiguousarray(labels), n)
    filled = np.maximum(area, 1)
    return _Facts(area, sum_y / filled, sum_x / filled, boxes)


def count_shared(first: Labels, second: Labels) -> NDArray[np.int64]:
    """Labels of two arrays (h, w) that agree: rows of (label, other, pixels in both, pixels, the other's pixels).

    Pairs of which less than half of the smaller is shared are left out.
    """
    area, other = np.bincount(first.ravel()), np.bincount(second.ravel())
    both = (first > 0) & (second > 0)
    keys = first[both].astype(np.int64) * len(other) + second[both]
    pairs, shared = np.unique(keys, return_counts=True)
    i, j = np.divmod(pairs, len(other))
    agree = shared >= TWIN_SHARE * np.minimum(area[i], other[j])
    rows: NDArray[np.int64] = np.stack([i, j, shared, area[i], other[j]], axis=1)[agree].astype(np.int64)
    return rows


@njit(nogil=True, cache=True)
def _suppress(order: NDArray[np.int64], start: NDArray[np.int64], twin: NDArray[np.int64], n: int) -> NDArray[np.bool_]:
    """Which of n instances stay, taken in `order`, when each takes away its twins `twin[start[i] : start[i + 1]]`."""
    kept, gone = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    for i in order:
        if gone[i]:
            continue
        kept[i] = True
        for k in range(start[i], start[i + 1]):
            gone[twin[k]] = True
    return kept


@njit(nogil=True, cache=True)
def _groups(n: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """The least member of the group of each of n."""
    parent = np.arange(n)
    for k in range(len(pairs)):
        i, j = pairs[k, 0], pairs[k, 1]
        while parent[i] != i:
            i = parent[i]
        while parent[j] != j:
            j = parent[j]
        low = min(i, j)
        parent[i], parent[j] = low, low
        parent[pairs[k, 0]], parent[pairs[k, 1]] = low, low
    for i in range(n):
        parent[i] = parent[parent[i]]
    return parent


class WindowJoiner:
    """Takes the cells of all windows in raster order and tells which of them are one."""

    def __init__(self, grid: WindowGrid) -> None:
        self._grid = grid
        self._margin = max(_N_SPARE_PX, grid.overlap_px // 8)
        self._n = 0
        self._state, self._area = [np.zeros(0, np.uint8)], [np.zeros(0, np.int64)]
        self._scores, self._classes = [np.zeros(0, np.float32)], [np.zeros(0, np.uint8)]
        self._pairs = [np.zeros((0, 5), np.int64)]
        self._held: dict[int, _Held] = {}

    def add(self, tile: Tile, cells: TileCells) -> int:
        """Take the next window; its cell `i` is instance `i + offset` of the slide.

        Windows may be left out where there is nothing to find.

        Returns
        -------
        int
            The offset.
        """
        offset = self._n
        self._n += len(cells.scores)
        facts = _facts(cells.labels, len(cells.scores))
        self._state.append(self._judge(tile, facts))
        self._area.append(facts.area)
        self._scores.append(cells.scores)
        self._classes.append(cells.classes)
        self._meet(tile, cells.labels, offset)
        self._hold(tile, cells.labels, offset)
        return offset

    def _judge(self, tile: Tile, facts: _Facts) -> NDArray[np.uint8]:
        grid, window, margin = self._grid, tile.read, self._margin
        # an outline may end a little short of the edge that cuts it
        touch = max(1, grid.overlap_px // 48)
        inner = np.array([window.y0 > 0, window.y1 < grid.height, window.x0 > 0, window.x1 < grid.width])
        ends = np.array([0, window.height, 0, window.width])
        cut = inner & (np.abs(facts.boxes - ends) < touch)
        reach = np.abs(facts.boxes[:, [1, 0, 3, 2]] - ends)
        whole, far = ~cut.any(axis=1), ((reach >= grid.overlap_px - margin) | ~cut).all(axis=1)
        core = tile.core
        y, x = facts.y + window.y0, facts.x + window.x0
        central = (y >= core.y0) & (y < core.y1) & (x >= core.x0) & (x < core.x1)
        return np.select([whole & central, whole, far], [INNER, OUTER, PIECE], IGNORED).astype(np.uint8)

    def _meet(self, tile: Tile, labels: Labels, offset: int) -> None:
        """Compare with the windows before: left, and the three above."""
        row, column = divmod(tile.index, self._grid.n_columns)
        for up, left in ((0, -1), (-1, -1), (-1, 0), (-1, 1)):
            other = self._held.get((row + up) * self._grid.n_columns + column + left)
            if other is None or not 0 <= column + left < self._grid.n_columns:
                continue
            window, theirs = tile.read, other.window
            region = Window(
                max(window.y0, theirs.y0),
                min(window.y1, theirs.y1),
                max(window.x0, theirs.x0),
                min(window.x1, theirs.x1),
            )
            if region.height <= 0 or region.width <= 0:
                continue
            pairs = count_shared(labels[region.inside(window)], other.cut(region))
            # instances are counted from 0 from here on
            self._pairs.append(pairs + np.array([offset - 1, other.offset - 1, 0, 0, 0]))

    def _hold(self, tile: Tile, labels: Labels, offset: int) -> None:
        for index in [i for i in self._held if i < tile.index - self._grid.n_columns]:
            del self._held[index]
        window, strip = tile.read, self._grid.overlap_px + _N_SPARE_PX
        rims = (
            Window(max(window.y1 - strip, window.y0), window.y1, window.x0, window.x1),
            Window(window.y0, window.y1, max(window.x1 - strip, window.x0), window.x1),
        )
        parts = tuple((rim, labels[rim.inside(window)].copy()) for rim in rims)
        self._held[tile.index] = _Held(offset, window, parts)

    def finish(self) -> JoinedCells:
        """The cells, once every window has been added."""
        state, area = np.concatenate(self._state), np.concatenate(self._area)
        scores, classes = np.concatenate(self._scores), np.concatenate(self._classes)
        pairs = np.concatenate(self._pairs)
        both_ways = np.concatenate([pairs, pairs[:, [_OTHER, _INSTANCE, _SHARED, _OTHER_AREA, _AREA]]])
        whole = _choose_wholes(state, area, scores, both_ways)
        group, whole = _join_pieces(state, area, scores, both_ways, whole)
        return _rank(group, whole, scores, classes)


def _choose_wholes(
    state: NDArray[np.uint8], area: NDArray[np.int64], scores: NDArray[np.float32], pairs: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Which whole instances are cells: of twins the most certain, those off their core only where it is needed."""
    a, b, shared, other_area = pairs[:, _INSTANCE], pairs[:, _OTHER], pairs[:, _SHARED], pairs[:, _OTHER_AREA]
    candidate = state == INNER
    # the window to which the cell belongs sees it cut: the one that sees it whole is right
    needed = (state[a] == OUTER) & (state[b] <= PIECE) & (shared >= TWIN_SHARE * other_area)
    disowned = (state[a] == OUTER) & (state[b] == OUTER) & (shared >= TWIN_SHARE * np.minimum(area[a], other_area))
    owned = np.zeros(len(state), np.bool_)
    owned[a[(state[b] == INNER) & (shared >= TWIN_SHARE * np.minimum(area[a], other_area))]] = True
    candidate[a[needed | (disowned & ~owned[a])]] = True
    twins = candidate[a] & candidate[b] & (shared >= TWIN_SHARE * np.minimum(area[a], area[b]))
    a, b = a[twins], b[twins]
    by_instance = np.argsort(a, kind="stable")
    start = np.searchsorted(a[by_instance], np.arange(len(state) + 1))
    chosen = np.flatnonzero(candidate)
    order = chosen[np.lexsort((chosen, -scores[chosen], -state[chosen].astype(np.int64)))]
    kept: NDArray[np.bool_] = _suppress(order, start, b[by_instance], len(state))
    return kept


def _join_pieces(
    state: NDArray[np.uint8],
    area: NDArray[np.int64],
    scores: NDArray[np.float32],
    pairs: NDArray[np.int64],
    whole: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The group of each piece that counts (its least member; -1 for other instances), and the wholes that stay."""
    a, b, shared = pairs[:, _INSTANCE], pairs[:, _OTHER], pairs[:, _SHARED]
    piece = state == PIECE
    seen_whole = piece[a] & whole[b] & (shared >= TWIN_SHARE * pairs[:, _AREA])
    piece[a[seen_whole]] = False
    agree = piece[a] & piece[b] & (shared >= TWIN_SHARE * np.minimum(pairs[:, _AREA], pairs[:, _OTHER_AREA]))
    group = np.where(piece, _groups(len(state), pairs[agree][:, :2]), -1)
    best = np.zeros(len(state), np.float32)
    np.maximum.at(best, group[piece], scores[piece])
    inside = piece[a] & whole[b] & (shared >= TWIN_SHARE * area[b]) & (best[group[a]] >= scores[b])
    stays = whole.copy()
    stays[b[inside]] = False
    return group, stays


def _rank(
    group: NDArray[np.int64], whole: NDArray[np.bool_], scores: NDArray[np.float32], classes: NDArray[np.uint8]
) -> JoinedCells:
    """Number the cells, most certain first and then by their first instance."""
    n = len(group)
    leader = np.where(whole, np.arange(n), group)
    member = np.flatnonzero(leader >= 0)
    # the most certain of a cell's pieces speaks for it; of equal ones the first
    order = member[np.lexsort((member, -scores[member], leader[member]))]
    speaks = np.diff(leader[order], prepend=-1) > 0
    speaker = order[speaks]
    n_pieces = np.diff(np.flatnonzero(np.append(speaks, True)))
    ranked = np.lexsort((leader[speaker], -scores[speaker]))
    speaker, n_pieces = speaker[ranked], n_pieces[ranked]
    number = np.zeros(n + 1, np.uint32)
    number[leader[speaker]] = np.arange(1, len(speaker) + 1)
    cell_of = np.zeros(n + 1, np.uint32)
    cell_of[1 + member] = number[leader[member]]
    lone = int(((n_pieces == 1) & ~whole[speaker]).sum())
    return JoinedCells(cell_of, scores[speaker], classes[speaker], n_pieces > 1, lone)
