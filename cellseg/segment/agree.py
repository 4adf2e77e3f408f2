"""Which cells of two label images of one window are the same, pixel for pixel. Floor 3: arrays in, arrays out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellseg.types import Labels


class Agreement(NamedTuple):
    """What a comparison came to, of the cells that have a pixel in the part that was asked about.

    alike : ids of the first that are a cell of the second, to the pixel. differing : ids of the first that are not.
    unknown : (n, 2) int64, y and x of the first pixel of cells of the second that meet no cell of the first. open : how
    many of either could not be judged, as they reach the rim.
    """

    alike: NDArray[np.int64]
    differing: NDArray[np.int64]
    unknown: NDArray[np.int64]
    open: int


class _Side(NamedTuple):
    """One label image: ids by rising value, the index of each pixel's among them, pixels of each, and what is asked."""

    ids: NDArray[np.int64]
    place: NDArray[np.int64]
    n_pixels: NDArray[np.int64]
    asked: NDArray[np.bool_]
    rim: NDArray[np.bool_]


def compare_cells(
    first: Labels, second: Labels, part: tuple[slice, slice], goes_on: tuple[bool, bool, bool, bool]
) -> Agreement:
    """Compare two label images (h, w) of one window up to the names of their cells.

    Parameters
    ----------
    first, second : (h, w) ndarray of uint32
        0 = background.
    part : tuple of slice
        Rows and columns; cells without a pixel there are not looked at.
    goes_on : tuple of bool
        Whether the image goes on above, below, to the left and to the right of the window: a cell that touches such a
        rim may go on too, and is not judged.

    Examples
    --------
    >>> one = np.array([[0, 7, 7], [3, 0, 0]], np.uint32)
    >>> other = np.array([[0, 1, 1], [2, 2, 0]], np.uint32)
    >>> found = compare_cells(one, other, np.s_[:, :], (False,) * 4)
    >>> found.alike.tolist(), found.differing.tolist()
    ([7], [3])
    """
    a, b = _describe(first, part, goes_on), _describe(second, part, goes_on)
    both = (first.ravel() > 0) & (second.ravel() > 0)
    keys, shared = np.unique(a.place[both] * len(b.ids) + b.place[both], return_counts=True)
    i, j = np.divmod(keys, len(b.ids))
    same = (shared == a.n_pixels[i]) & (shared == b.n_pixels[j])
    same_a, same_b = np.zeros(len(a.ids), np.bool_), np.zeros(len(b.ids), np.bool_)
    same_a[i[same]] = same_b[j[same]] = True
    judged_a, judged_b = a.asked & ~a.rim, b.asked & ~b.rim
    met = np.zeros(len(b.ids), np.bool_)
    met[j[a.asked[i]]] = True
    unknown = np.flatnonzero(judged_b & ~same_b & ~met)
    at = [np.argwhere(second == b.ids[k])[0] for k in unknown]
    n_open = int((a.asked & a.rim).sum() + (b.asked & b.rim & ~met).sum())
    return Agreement(a.ids[judged_a & same_a], a.ids[judged_a & ~same_a], np.array(at, np.int64).reshape(-1, 2), n_open)


def _describe(labels: Labels, part: tuple[slice, slice], goes_on: tuple[bool, bool, bool, bool]) -> _Side:
    ids, index = np.unique(labels, return_inverse=True)
    index = index.reshape(labels.shape).astype(np.int64)
    asked, rim = np.zeros(len(ids), np.bool_), np.zeros(len(ids), np.bool_)
    asked[index[part]] = True
    for line, open_ in zip((index[0], index[-1], index[:, 0], index[:, -1]), goes_on, strict=True):
        rim[line] |= open_
    asked[ids == 0] = False
    count = np.bincount(index.ravel(), minlength=len(ids))
    return _Side(ids.astype(np.int64), index.ravel(), count, asked, rim)
