"""Which pieces on both sides of a tile border are one cell. Floor 3: pure geometry, no pixels of the slide, no files.

`BasinJoiner` finishes what `cellseg.segment.basins` had to leave open at the rims of tiles. It holds one line of
pixels of the row of tiles above and one of the tile to the left, and a few numbers a cluster: its memory grows with
the cells, not the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.segment.basins import INDEX_BITS, Joining, TileBasins, find, joins, pack_pass
from cellseg.types import Window


@dataclass(frozen=True)
class Line:
    """One line of pixels along a seam: clusters by number in the slide, heights, pointers, index of the first pixel."""

    labels: NDArray[np.int64]
    height: NDArray[np.uint16]
    pointer: NDArray[np.uint8]
    index: int


@dataclass(frozen=True)
class Clusters:
    """The cells of a slide.

    cell_of : (n + 1,) int64, the cell 0..m-1 of every tile-wise cluster (its number in the slide; 0 is background and
    -1).
    summit : (m,) int64, raster index of each cell's summit; first : raster index of its first pixel; count : pixels.
    """

    cell_of: NDArray[np.int64]
    summit: NDArray[np.int64]
    first: NDArray[np.int64]
    count: NDArray[np.int64]


@njit(nogil=True, cache=True)
def _cross(
    la: NDArray[np.int64], ha: NDArray[np.uint16], pa: NDArray[np.uint8], index_a: int,
    lb: NDArray[np.int64], hb: NDArray[np.uint16], pb: NDArray[np.uint8], index_b: int,
    stride: int, across_rows: bool,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # fmt: skip
    """Joins (n, 2) that pointers across the seam demand, and passes (m, 3) of (order, cluster, cluster).

    Line `a` lies above (`across_rows`) or to the left of line `b`.
    """
    n = len(la)
    unions, passes = np.empty((2 * n, 2), np.int64), np.empty((3 * n, 3), np.int64)
    n_unions, n_passes = 0, 0
    for i in range(n):
        if la[i] == 0:
            continue
        for j in range(max(i - 1, 0), min(i + 2, n)):
            if lb[j] == 0:
                continue
            towards_b = 7 + (j - i) if across_rows else 5 + 3 * (j - i)
            towards_a = 1 + (i - j) if across_rows else 3 + 3 * (i - j)
            if pa[i] == towards_b or pb[j] == towards_a:
                unions[n_unions, 0], unions[n_unions, 1] = la[i], lb[j]
                n_unions += 1
            if across_rows:
                index, k = index_a + i, j - i + 2
            elif j >= i:
                index, k = index_a + i * stride, 0 if j == i else 3
            else:
                index, k = index_b + j * stride, 1
            passes[n_passes, 0] = pack_pass(min(ha[i], hb[j]), index, k)
            passes[n_passes, 1], passes[n_passes, 2] = la[i], lb[j]
            n_passes += 1
    return unions[:n_unions], passes[:n_passes]


@njit(nogil=True, cache=True)
def _unite(
    peak: NDArray[np.int64], unions: NDArray[np.int64], passes: NDArray[np.int64], depth: int, permille: int
) -> NDArray[np.int32]:
    """The cluster that each cluster ends in; `passes` come highest first."""
    parent = np.arange(len(peak)).astype(np.int32)
    for i in range(len(unions)):
        p, q = find(parent, unions[i, 0]), find(parent, unions[i, 1])
        if peak[p] > peak[q]:
            p, q = q, p
        parent[p] = q
    for i in range(len(passes)):
        p, q = find(parent, passes[i, 1]), find(parent, passes[i, 2])
        if p == q:
            continue
        if peak[p] > peak[q]:
            p, q = q, p
        if joins(peak[p], passes[i, 0], depth, permille):
            parent[p] = q
    for i in range(len(parent)):
        parent[i] = find(parent, i)
    return parent


@njit(nogil=True, cache=True)
def _gather(
    parent: NDArray[np.int32], first: NDArray[np.int64], count: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First pixel and pixel count of each root, over its members."""
    whole_first, whole_count = first.copy(), np.zeros_like(count)
    for i in range(1, len(parent)):
        root = parent[i]
        whole_first[root] = min(whole_first[root], first[i])
        whole_count[root] += count[i]
    return whole_first, whole_count


def _string(lines: list[Line]) -> Line:
    """The lines of a row of tiles as one."""
    return Line(
        np.concatenate([line.labels for line in lines]),
        np.concatenate([line.height for line in lines]),
        np.concatenate([line.pointer for line in lines]),
        lines[0].index,
    )


class BasinJoiner:
    """Takes the basins of all tiles in raster order and tells which of them are one cell."""

    def __init__(self, *, width_px: int, joining: Joining) -> None:
        self._stride = width_px
        self._joining = joining
        self._n = 0
        self._peak, self._first, self._count = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)], [np.zeros(1, np.int64)]
        self._unions: list[NDArray[np.int64]] = [np.zeros((0, 2), np.int64)]
        self._passes: list[NDArray[np.int64]] = [np.zeros((0, 3), np.int64)]
        self._left: Line | None = None
        self._above: Line | None = None
        self._top: list[Line] = []
        self._bottom: list[Line] = []

    def add(self, core: Window, basins: TileBasins) -> int:
        """Take the next tile in raster order; its cluster `i` is cluster `i + offset` of the slide.

        Returns
        -------
        int
            The offset.
        """
        offset = self._n
        self._n += len(basins.peak) - 1
        self._peak.append(basins.peak[1:])
        self._first.append(basins.first[1:])
        self._count.append(basins.count[1:])
        self._passes.append(np.stack([basins.edges, basins.edge_a + offset, basins.edge_b + offset], axis=1))
        if self._left is not None:
            self._join(self._left, self._line(core, basins, offset, np.s_[:, 0]), across_rows=False)
        self._top.append(self._line(core, basins, offset, np.s_[0]))
        self._bottom.append(self._line(core, basins, offset, np.s_[-1]))
        self._left = self._line(core, basins, offset, np.s_[:, -1])
        if core.x1 == self._stride:
            self._end_row()
        return offset

    def _line(self, core: Window, basins: TileBasins, offset: int, at: tuple[slice, int] | int) -> Line:
        labels = basins.labels[at].astype(np.int64)
        y = core.y1 - 1 if at == -1 else core.y0
        x = core.x1 - 1 if isinstance(at, tuple) and at[1] == -1 else core.x0
        where = np.where(labels > 0, labels + offset, 0)
        return Line(where, basins.height[at].copy(), basins.pointer[at].copy(), y * self._stride + x)

    def _end_row(self) -> None:
        top, bottom = _string(self._top), _string(self._bottom)
        if self._above is not None:
            self._join(self._above, top, across_rows=True)
        self._above, self._left, self._top, self._bottom = bottom, None, [], []

    def _join(self, a: Line, b: Line, *, across_rows: bool) -> None:
        unions, passes = _cross(
            a.labels, a.height, a.pointer, a.index, b.labels, b.height, b.pointer, b.index, self._stride, across_rows
        )
        # copies: what is kept to the end must not keep the arrays that there was room for all of them in
        self._unions.append(unions.copy())
        self._passes.append(passes.copy())

    def finish(self) -> Clusters:
        """The cells, once every tile has been added."""
        peak, first, count = (np.concatenate(parts) for parts in (self._peak, self._first, self._count))
        passes = np.concatenate(self._passes)
        self._passes = []
        passes = passes[np.argsort(passes[:, 0], kind="stable")]
        parent = _unite(peak, np.concatenate(self._unions), passes, self._joining.depth, self._joining.permille)
        first, count = _gather(parent, first, count)
        roots = np.flatnonzero(parent == np.arange(len(parent)))[1:]
        cell = np.full(len(parent), -1, np.int64)
        cell[roots] = np.arange(len(roots))
        cell_of = cell[parent]
        cell_of[0] = -1
        summit = (1 << INDEX_BITS) - 1 - (peak[roots] & ((1 << INDEX_BITS) - 1))
        return Clusters(cell_of, summit, first[roots], count[roots])


def number_cells(clusters: Clusters, kept: NDArray[np.bool_]) -> NDArray[np.uint32]:
    """The id (n + 1,) uint32 of every cluster: 1..N in raster order of first pixels over the kept cells, else 0.

    Parameters
    ----------
    kept : (m,) ndarray of bool
        Which cells of `clusters` are to have a label.
    """
    chosen = np.flatnonzero(kept)
    ids = np.zeros(len(kept) + 1, np.uint32)
    ids[chosen[np.argsort(clusters.first[chosen])]] = np.arange(1, len(chosen) + 1)
    # cluster 0 points at -1: the last entry, which is background
    return ids[clusters.cell_of]
