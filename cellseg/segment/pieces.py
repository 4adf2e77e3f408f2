"""One connected piece a label. Floor 3: arrays in, arrays out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.types import Labels


class Pieces(NamedTuple):
    """Labels of one piece each.

    labels : (h, w) uint32, 1..n in raster order of the first pixel, each one 8-connected piece; ids : (n,) uint32, what
    each was called before.
    """

    labels: Labels
    ids: NDArray[np.uint32]


@njit(nogil=True, cache=True)
def _root(parent: NDArray[np.int64], i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(nogil=True, cache=True)
def _components(labels: NDArray[np.uint32]) -> tuple[NDArray[np.int64], int]:
    """8-connected pieces of equal labels (h, w), 1..n in raster order of the first pixel, and n."""
    height, width = labels.shape
    out = np.zeros((height, width), np.int64)
    parent = np.zeros(64, np.int64)
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
                root = _root(parent, out[j, i])
                if found == 0:
                    found = root
                elif root != found:
                    low, high = min(root, found), max(root, found)
                    parent[high] = low
                    found = low
            if found == 0:
                n += 1
                if n == len(parent):
                    parent = np.concatenate((parent, np.zeros(len(parent), np.int64)))
                parent[n] = n
                found = n
            out[y, x] = found
    number = np.zeros(n + 1, np.int64)
    m = 0
    for i in range(1, n + 1):
        if parent[i] == i:
            m += 1
            number[i] = m
        else:
            number[i] = number[_root(parent, i)]
    for y in range(height):
        for x in range(width):
            out[y, x] = number[out[y, x]]
    return out, m


def largest_pieces(labels: Labels) -> Pieces:
    """Of each label its largest 8-connected piece (of equal ones the first in raster order), numbered in raster order.

    Parameters
    ----------
    labels : (h, w) ndarray of uint32
        Any ids, 0 = background.
    """
    pieces, n = _components(np.ascontiguousarray(labels))
    if n == 0:
        return Pieces(np.zeros(labels.shape, np.uint32), np.zeros(0, np.uint32))
    flat = pieces.ravel()
    count = np.bincount(flat, minlength=n + 1)[1:]
    inside = np.flatnonzero(flat)
    owner = np.zeros(n + 1, np.uint32)
    owner[flat[inside]] = labels.ravel()[inside]
    owner = owner[1:]
    order = np.lexsort((np.arange(n), -count, owner))
    first = np.ones(n, bool)
    first[1:] = owner[order][1:] != owner[order][:-1]
    kept = np.sort(order[first])
    number = np.zeros(n + 1, np.uint32)
    number[1 + kept] = np.arange(1, len(kept) + 1)
    return Pieces(number[pieces], owner[kept])
