"""How much of a cell's signal openings of growing size take away. Floor 3: arrays in, arrays out.

The spectrum of CellProfiler's MeasureGranularity (Stirling et al. 2021, BMC Bioinformatics 22:433; granulometry:
Vincent 1994): s erosions by a cross of 3 x 3, reconstruction by dilation under the original, and what that loses
against s - 1 erosions. Theirs looks at the whole image, less its background; here pixels outside of the cell do not
exist, and the signal is what rises over the cell's darkest pixel, so that neighbours, tiles and a constant do not
matter.

Reconstruction needs no iteration: in the tree of connected components of all level sets (max-tree; Salembier,
Oliveras, Garrido 1998, IEEE Trans Image Process 7:555; Berger et al. 2007, ICIP) a component is kept up to the greatest
eroded value in it. One tree serves all sizes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.patches import Patches

N_SCALES = 16
_LEVELS = 256
_NONE = np.uint32(0xFFFFFFFF)


def measure_granularity(
    patches: Patches, values: NDArray[np.uint16], *, n_scales: int = N_SCALES
) -> dict[str, NDArray[np.float64]]:
    """The columns of family `granularity` of one plane.

    Parameters
    ----------
    patches : Patches
        n cells.
    values : (m,) ndarray of uint16
        Counts of the plane; each cell's own range is parted into 256 levels.
    n_scales : int
        Number of sizes.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        `granularity_s`: share of the sum of (value - least value) that s erosions and reconstruction take away, beyond
        what s - 1 do; NaN where all pixels are of one level.
    """
    lost, signal = _spectra(patches.mask, values, patches.starts, patches.widths, n_scales)
    shares = np.where(signal[:, None] > 0, lost / np.maximum(signal, 1)[:, None], np.nan)
    return {f"granularity_{s + 1}": shares[:, s].copy() for s in range(n_scales)}


@njit(nogil=True, cache=True)
def _level(
    mask: NDArray[np.uint8],
    values: NDArray[np.uint16],
    levels: NDArray[np.uint8],
    outside: NDArray[np.uint8],
    counts: NDArray[np.int64],
) -> int:
    """Levels 0 to 255 of one cell's own range, 255 outside of it, and how often each occurs; returns their sum."""
    counts[:] = 0
    low, high = 65535, 0
    for i in range(len(mask)):
        if mask[i]:
            value = int(np.int64(values[i]))
            low = value if value < low else low
            high = value if value > high else high
    # exact: no quotient of these sizes rounds up to a whole number
    span, total = np.float64(max(high - low, 1)), 0
    for i in range(len(mask)):
        levels[i] = outside[i] = 255
        if mask[i]:
            level = int((np.int64(values[i]) - low) * 255.0 / span)
            levels[i], outside[i] = level, 0
            counts[level] += 1
            total += level
    return total


@njit(nogil=True, cache=True)
def _root(of: NDArray[np.uint32], i: Any) -> Any:  # noqa: ANN401 - an unsigned place, which is no int to a type checker
    """The root of a pixel's tree, with the path halved."""
    while True:
        above = of[i]
        if above == i:
            return i
        of[i] = of[above]
        i = np.uint64(of[i])


@njit(nogil=True, cache=True)
def _join_pixels(
    mask: NDArray[np.uint8],
    levels: NDArray[np.uint8],
    counts: NDArray[np.int64],
    width: int,
    order: NDArray[np.uint32],
    parent: NDArray[np.uint32],
    of: NDArray[np.uint32],
) -> int:
    """The max-tree: pixels from bright to dark in `order`, and each one's parent; returns the number of pixels.

    The parent of a component's head lies in the component below it, that of its other pixels is the head. Places are
    unsigned, which spares a look at each for negative ones and a third of the time.
    """
    place = np.empty(_LEVELS, np.int64)
    n = 0
    for level in range(_LEVELS - 1, -1, -1):
        place[level] = n
        n += counts[level]
    for i in range(len(mask)):
        of[i] = _NONE
        if mask[i]:
            order[place[levels[i]]] = i
            place[levels[i]] += 1
    line, one = np.uint64(width), np.uint64(1)
    for k in range(n):
        here = np.uint64(order[k])
        parent[here] = of[here] = here
        for side in range(4):
            step = one if side % 2 else line
            near = here - step if side < 2 else here + step
            if of[near] != _NONE:
                root = _root(of, np.uint64(of[near]))
                if root != here:
                    parent[root] = of[root] = here
    for k in range(n - 1, -1, -1):  # from the root on: parents become the heads of their components
        here = np.uint64(order[k])
        above = np.uint64(parent[here])
        if levels[parent[above]] == levels[above]:
            parent[here] = parent[above]
    return n


@njit(nogil=True, cache=True)
def _list_components(
    levels: NDArray[np.uint8],
    order: NDArray[np.uint32],
    parent: NDArray[np.uint32],
    n: int,
    of: NDArray[np.uint32],
    tree: NDArray[np.int32],
    pixels: NDArray[np.int32],
) -> int:
    """Components from bright to dark and their pixels side by side; returns their number.

    Rows of `tree`: the component below (itself for the last), its level, the level below, pixels of the component with
    all on top of it, and where its own begin in `pixels`.
    """
    n_nodes = 0
    for k in range(n):
        i = order[k]
        if parent[i] == i or levels[parent[i]] != levels[i]:
            of[i] = n_nodes
            tree[1, n_nodes] = levels[i]
            tree[3, n_nodes] = 0
            n_nodes += 1
    for k in range(n):
        i = order[k]
        head = i if parent[i] == i or levels[parent[i]] != levels[i] else parent[i]
        if head != i:
            of[i] = of[head]
        else:
            below = of[parent[i]] if levels[parent[i]] != levels[i] else of[i]
            tree[0, of[i]], tree[2, of[i]] = below, tree[1, below] if below != of[i] else 0
        tree[3, of[i]] += 1
    begin = 0
    for node in range(n_nodes):
        tree[4, node] = begin
        begin += tree[3, node]
    tree[4, n_nodes] = begin
    for k in range(n):
        node = of[order[k]]
        pixels[tree[4, node]] = order[k]
        tree[4, node] += 1
    for node in range(n_nodes - 1, 0, -1):  # they were moved to their ends
        tree[4, node] = tree[4, node - 1]
    tree[4, 0] = 0
    for node in range(n_nodes):
        if tree[0, node] != node:
            tree[3, tree[0, node]] += tree[3, node]
    return n_nodes


@njit(nogil=True, cache=True)
def _erode(
    above: NDArray[np.uint8],
    left: NDArray[np.uint8],
    middle: NDArray[np.uint8],
    right: NDArray[np.uint8],
    below: NDArray[np.uint8],
    outside: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> None:
    """One erosion by a cross inside of the cell; what is outside stays 255. All views of the same stretch, shifted."""
    for i in range(len(out)):
        least = min(min(above[i], below[i]), min(left[i], right[i]))
        out[i] = min(least, middle[i]) | outside[i]


@njit(nogil=True, cache=True)
def _reconstruct(
    eroded: NDArray[np.uint8], tree: NDArray[np.int32], pixels: NDArray[np.int32], n_nodes: int, kept: NDArray[np.int32]
) -> int:
    """The sum of the reconstruction of `eroded` by dilation under the levels that the tree was made of."""
    kept[:n_nodes] = 0
    total = 0
    for node in range(n_nodes):
        greatest = kept[node]
        for k in range(tree[4, node], tree[4, node + 1]):
            value = np.int32(eroded[pixels[k]])
            greatest = value if value > greatest else greatest
        if greatest > tree[2, node]:
            total += tree[3, node] * (min(greatest, tree[1, node]) - tree[2, node])
        below = tree[0, node]
        kept[below] = greatest if greatest > kept[below] else kept[below]
    return int(total)


@njit(nogil=True, cache=True)
def _lose(
    levels: NDArray[np.uint8],
    outside: NDArray[np.uint8],
    width: int,
    tree: NDArray[np.int32],
    pixels: NDArray[np.int32],
    n_nodes: int,
    total: int,
    room: NDArray[np.uint8],
    kept: NDArray[np.int32],
    lost: NDArray[np.int64],
) -> None:
    """What each size takes away."""
    size = len(levels)
    now, after = room[0, :size], room[1, :size]
    now[:] = levels
    after[:] = levels
    end = size - width
    for scale in range(len(lost)):
        _erode(
            now[: end - width], now[width - 1 : end - 1], now[width:end], now[width + 1 : end + 1], now[2 * width :],
            outside[width:end], after[width:end],
        )  # fmt: skip
        left = _reconstruct(after, tree, pixels, n_nodes, kept)
        lost[scale] = total - left
        total = left
        if left == 0:
            break
        now, after = after, now


@njit(nogil=True, cache=True)
def _spectra(
    mask: NDArray[np.uint8],
    values: NDArray[np.uint16],
    starts: NDArray[np.int64],
    widths: NDArray[np.int64],
    n_scales: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What each size takes away, and the whole signal, in levels."""
    n_cells, largest = len(widths), 1
    lost, signal = np.zeros((n_cells, n_scales), np.int64), np.zeros(n_cells, np.int64)
    for cell in range(n_cells):
        largest = max(largest, starts[cell + 1] - starts[cell])
    room, whole = np.empty((2, largest), np.uint8), np.empty((2, largest), np.uint8)
    order, parent, of = np.empty((3, largest), np.uint32)
    pixels, kept = np.empty((2, largest), np.int32)
    tree, counts = np.empty((5, largest + 1), np.int32), np.empty(_LEVELS, np.int64)
    for cell in range(n_cells):
        patch = slice(starts[cell], starts[cell + 1])
        size, width = starts[cell + 1] - starts[cell], widths[cell]
        levels, outside = whole[0, :size], whole[1, :size]
        signal[cell] = _level(mask[patch], values[patch], levels, outside, counts)
        if signal[cell]:
            n = _join_pixels(mask[patch], levels, counts, width, order, parent, of)
            n_nodes = _list_components(levels, order, parent, n, of, tree, pixels)
            _lose(levels, outside, width, tree, pixels, n_nodes, signal[cell], room, kept, lost[cell])
    return lost, signal
