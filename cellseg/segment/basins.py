"""Touching cells parted: basins of a landscape, and which basins are one cell. Floor 3: arrays in, arrays out.

The watershed here is the drop-of-water form: every foreground pixel points at its steepest higher neighbour, the
pixels that lead to one summit are a basin, and basins whose summit rises too little over the pass to a higher one are
joined to it (the h-maxima criterion, as persistence). All of it is integer arithmetic on a pixel's 3 x 3
neighbourhood and a global order of passes, so tiles can be cut anywhere: what a tile cannot decide alone is left to
`cellseg.segment.seam`, and the cells are the same for every tile size, however large they are.

Order of heights: the higher level first, then the smaller index in the image's raster; there are no plateaus.

References
----------
Couprie & Bertrand 1997, Topological gray-scale watershed; Cousty et al. 2009, IEEE TPAMI 31:1362 (drop of water);
Edelsbrunner, Letscher & Zomorodian 2002, Discrete Comput Geom 28:511 (persistence).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

INDEX_BITS = 40
"""Bits of a pixel's raster index in packed orders: images up to 2**38 pixels."""
MAX_HEIGHT = 2**16 - 1
DIAGONAL = 724
"""1024 / sqrt(2): weight of a diagonal step when slopes are compared."""
_NO_POINTER = 9


class Joining(NamedTuple):
    """When a basin joins the neighbour over its highest pass: rising less than `depth` or `permille` of its height."""

    depth: int
    permille: int


@dataclass(frozen=True)
class TileBasins:
    """What a tile's core knows of its cells.

    labels : (h, w) uint32, cluster 1..n of each core pixel, 0 = background.
    peak : (n + 1,) int64, packed height and raster index of each cluster's summit.
    first : (n + 1,) int64, raster index of each cluster's first pixel.
    count : (n + 1,) int64, pixels.
    edges : (m,) int64 packed passes, with `edge_a`, `edge_b` (m,) int32 the clusters that they part: those left to
    decide.
    height : (h, w) uint16, the landscape in the core, and `pointer` (h, w) uint8 the direction 0..8 (row by row) that
    each pixel points at, 9 where it is a summit or background: the seams need both.
    """

    labels: NDArray[np.uint32]
    peak: NDArray[np.int64]
    first: NDArray[np.int64]
    count: NDArray[np.int64]
    edges: NDArray[np.int64]
    edge_a: NDArray[np.int32]
    edge_b: NDArray[np.int32]
    height: NDArray[np.uint16]
    pointer: NDArray[np.uint8]


@njit(nogil=True, cache=True)
def squared_distance(mask: NDArray[np.bool_], cap: int) -> NDArray[np.int32]:
    """Exact squared Euclidean distance (H, W) int32 to the nearest background pixel, at most cap**2; 0 on background.

    What lies outside the array is not background. Meijster, Roerdink & Hesselink 2000 in its two passes, the second
    cut off where it can no longer win.
    """
    height, width = mask.shape
    column = np.empty((height, width), np.int32)
    limit = np.int32(cap)
    for x in range(width):
        column[0, x] = limit if mask[0, x] else 0
    for y in range(1, height):
        for x in range(width):
            column[y, x] = min(column[y - 1, x] + 1, limit) if mask[y, x] else 0
    for y in range(height - 2, -1, -1):
        for x in range(width):
            below = column[y + 1, x] + 1
            if below < column[y, x]:
                column[y, x] = below
    out = np.zeros((height, width), np.int32)
    for y in range(height):
        for x in range(width):
            best = column[y, x] * column[y, x]
            step = 1
            while step * step < best:
                if x >= step:
                    d = column[y, x - step] * column[y, x - step] + step * step
                    best = min(best, d)
                if x + step < width:
                    d = column[y, x + step] * column[y, x + step] + step * step
                    best = min(best, d)
                step += 1
            out[y, x] = best
    return out


@njit(nogil=True, cache=True)
def _point_uphill(height: NDArray[np.uint16], y0: int, y1: int, x0: int, x1: int) -> NDArray[np.uint8]:
    """Direction 0..8 of each core pixel's steepest higher neighbour, `_NO_POINTER` at summits and background."""
    rows, columns = height.shape
    out = np.full((y1 - y0, x1 - x0), _NO_POINTER, np.uint8)
    for y in range(y0, y1):
        for x in range(x0, x1):
            here = np.int64(height[y, x])
            if here == 0:
                continue
            best, at = np.int64(0), _NO_POINTER
            flat = _NO_POINTER
            for k in range(9):
                yy, xx = y + k // 3 - 1, x + k % 3 - 1
                if k == 4 or yy < 0 or xx < 0 or yy >= rows or xx >= columns:
                    continue
                rise = np.int64(height[yy, xx]) - here
                if rise > 0:
                    slope = rise * (1024 if k % 2 == 1 else DIAGONAL)
                    if slope > best:
                        best, at = slope, k
                elif rise == 0 and k < 4 and flat == _NO_POINTER:
                    flat = k
            out[y - y0, x - x0] = at if at != _NO_POINTER else flat
    return out


@njit(nogil=True, cache=True)
def _follow(
    pointer: NDArray[np.uint8], height: NDArray[np.uint16], origin: int, stride: int
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Number the basins of a core from 1; of each its summit, first pixel, count and whether it touches the rim.

    A path that leaves the core ends at its last pixel inside: a basin of its own, which the seam joins to the right
    one. `origin` and `stride` turn core coordinates into the image's raster index.
    """
    rows, columns = pointer.shape
    root = np.zeros((rows, columns), np.int32)
    n = 0
    for y in range(rows):
        for x in range(columns):
            if height[y, x] == 0:
                continue
            k = pointer[y, x]
            inside = False
            if k != _NO_POINTER:
                yy, xx = y + k // 3 - 1, x + k % 3 - 1
                inside = yy >= 0 and xx >= 0 and yy < rows and xx < columns
            if not inside:
                n += 1
                root[y, x] = n
    peak, first = np.zeros(n + 1, np.int64), np.full(n + 1, np.int64(1) << 62, np.int64)
    count, rim = np.zeros(n + 1, np.int64), np.zeros(n + 1, np.bool_)
    path = np.empty(rows * columns, np.int32)
    for y in range(rows):
        for x in range(columns):
            if height[y, x] == 0:
                continue
            yy, xx, length = y, x, 0
            while root[yy, xx] == 0:
                path[length] = yy * columns + xx
                length += 1
                k = pointer[yy, xx]
                yy, xx = yy + k // 3 - 1, xx + k % 3 - 1
            label = root[yy, xx]
            for i in range(length):
                root[path[i] // columns, path[i] % columns] = label
            index = origin + y * stride + x
            order = (np.int64(height[y, x]) << INDEX_BITS) | ((np.int64(1) << INDEX_BITS) - 1 - index)
            peak[label] = max(peak[label], order)
            first[label] = min(first[label], index)
            count[label] += 1
            if y == 0 or x == 0 or y == rows - 1 or x == columns - 1:
                rim[label] = True
    return root, peak, first, count, rim


@njit(nogil=True, cache=True)
def _passes(
    labels: NDArray[np.int32], height: NDArray[np.uint16], origin: int, stride: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Every pair of neighbouring pixels of different basins, highest pass first: packed order and the two basins."""
    rows, columns = labels.shape
    histogram = np.zeros(MAX_HEIGHT + 2, np.int64)
    for sweep in range(2):
        if sweep == 1:
            total = 0
            for level in range(MAX_HEIGHT, -1, -1):
                total, histogram[level] = total + histogram[level], total
            packed, a, b = np.empty(total, np.int64), np.empty(total, np.int32), np.empty(total, np.int32)
        for y in range(rows):
            for x in range(columns):
                here = labels[y, x]
                if here == 0:
                    continue
                for k in range(4):
                    yy, xx = (y, x + 1) if k == 0 else (y + 1, x + k - 2)
                    if yy >= rows or xx < 0 or xx >= columns:
                        continue
                    other = labels[yy, xx]
                    if other == 0 or other == here:
                        continue
                    level = min(height[y, x], height[yy, xx])
                    if sweep == 0:
                        histogram[level] += 1
                    else:
                        i = histogram[level]
                        histogram[level] += 1
                        packed[i] = pack_pass(level, origin + y * stride + x, k)
                        a[i], b[i] = here, other
    return packed, a, b


@njit(nogil=True, cache=True)
def pack_pass(level: int, index: int, k: int) -> int:
    """A pass as one number that sorts the highest first, then by raster index of its upper pixel and direction 0..3."""
    order = np.int64(MAX_HEIGHT - level) << INDEX_BITS
    return order | (np.int64(index) * 4 + k)  # type: ignore[return-value]


@njit(nogil=True, cache=True)
def find(parent: NDArray[np.int32], i: int) -> int:
    """The representative of `i`, halving its path."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(nogil=True, cache=True)
def joins(peak: int, packed: int, depth: int, permille: int) -> bool:
    """Whether a cluster with this summit joins its neighbour over this pass, if it is its highest."""
    top = peak >> INDEX_BITS
    rise = top - (MAX_HEIGHT - (packed >> INDEX_BITS))
    return bool(rise < depth or rise * 1000 < permille * top)


@njit(nogil=True, cache=True)
def _join_closed(
    packed: NDArray[np.int64], a: NDArray[np.int32], b: NDArray[np.int32], peak: NDArray[np.int64],
    rim: NDArray[np.bool_], depth: int, permille: int,
) -> NDArray[np.int32]:  # fmt: skip
    """Join what the core can decide alone: off the rim, a cluster has shown all its passes, so its highest is final."""
    parent = np.arange(len(peak)).astype(np.int32)
    for i in range(len(packed)):
        p, q = find(parent, a[i]), find(parent, b[i])
        if p == q:
            continue
        if peak[p] > peak[q]:
            p, q = q, p
        low = not rim[p] and joins(peak[p], packed[i], depth, permille)
        high = not rim[q] and joins(peak[q], packed[i], depth, permille)
        if low or high:
            parent[p] = q
            rim[q] = rim[q] or rim[p]
    return parent


@njit(nogil=True, cache=True)
def _compact(
    parent: NDArray[np.int32], peak: NDArray[np.int64], first: NDArray[np.int64], count: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Renumber the clusters 1..n and add up what their basins hold."""
    number = np.zeros(len(parent), np.int32)
    n = 0
    for i in range(1, len(parent)):
        if parent[i] == i:
            n += 1
            number[i] = n
    new_peak, new_first = np.zeros(n + 1, np.int64), np.full(n + 1, np.int64(1) << 62, np.int64)
    new_count = np.zeros(n + 1, np.int64)
    for i in range(1, len(parent)):
        j = number[find(parent, i)]
        number[i] = j
        new_peak[j] = max(new_peak[j], peak[i])
        new_first[j] = min(new_first[j], first[i])
        new_count[j] += count[i]
    return number, new_peak, new_first, new_count


@njit(nogil=True, cache=True)
def _rename(labels: NDArray[np.int32], number: NDArray[np.int32]) -> NDArray[np.uint32]:
    out = np.empty(labels.shape, np.uint32)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            out[y, x] = number[labels[y, x]]
    return out


@njit(nogil=True, cache=True)
def _open_edges(
    packed: NDArray[np.int64], a: NDArray[np.int32], b: NDArray[np.int32], number: NDArray[np.int32],
    open_cluster: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:  # fmt: skip
    """The passes that still matter: between clusters of which one touches the rim; others have been decided."""
    keep = np.zeros(len(packed), np.bool_)
    for i in range(len(packed)):
        p, q = number[a[i]], number[b[i]]
        keep[i] = p != q and (open_cluster[p] or open_cluster[q])
    kept = np.flatnonzero(keep)
    return packed[kept], number[a[kept]], number[b[kept]]


def find_basins(
    height: NDArray[np.uint16], core: tuple[int, int, int, int], *, origin: int, stride: int, joining: Joining
) -> TileBasins:
    """The clusters of basins in the core of a tile, joined as far as the tile can decide alone.

    Parameters
    ----------
    height : (H, W) ndarray of uint16
        Landscape of the core and at least one pixel around it where the image goes on; 0 = background.
    core : (y0, y1, x0, x1)
        The core within `height`.
    origin : int
        Raster index in the image of the core's first pixel.
    stride : int
        Width of the image, px.
    joining : Joining
        When basins are one cell.
    """
    y0, y1, x0, x1 = core
    pointer = _point_uphill(height, y0, y1, x0, x1)
    inner = np.ascontiguousarray(height[y0:y1, x0:x1])
    basins, peak, first, count, rim = _follow(pointer, inner, origin, stride)
    packed, a, b = _passes(basins, inner, origin, stride)
    parent = _join_closed(packed, a, b, peak.copy(), rim, joining.depth, joining.permille)
    number, peak, first, count = _compact(parent, peak, first, count)
    open_cluster = np.zeros(len(peak), np.bool_)
    for line in (basins[0], basins[-1], basins[:, 0], basins[:, -1]):
        open_cluster[number[line]] = True
    open_cluster[0] = False
    edges, edge_a, edge_b = _open_edges(packed, a, b, number, open_cluster)
    return TileBasins(_rename(basins, number), peak, first, count, edges, edge_a, edge_b, inner, pointer)


def empty_basins(height_px: int, width_px: int) -> TileBasins:
    """The basins of a core that holds no foreground."""
    nothing: Any = np.zeros(0, np.int64)
    return TileBasins(
        np.zeros((height_px, width_px), np.uint32), np.zeros(1, np.int64), np.full(1, 1 << 62, np.int64),
        np.zeros(1, np.int64), nothing, nothing.astype(np.int32), nothing.astype(np.int32),
        np.zeros((height_px, width_px), np.uint16), np.full((height_px, width_px), _NO_POINTER, np.uint8),
    )  # fmt: skip
