"""How much of a cell's signal openings of growing size take away. Floor 3: arrays in, arrays out.

The spectrum of CellProfiler's MeasureGranularity (Stirling et al. 2021, BMC Bioinformatics 22:433; granulometry:
Vincent 2000, Fundam Inform 41:57): s erosions by a cross of 3 x 3, reconstruction by dilation under the original, and
what that loses against s - 1 erosions. Theirs looks at the whole image, by default shrunk to a quarter of its sides
and less its background; here pixels outside of the cell do not exist, all inside are looked at, and the signal is what
rises over the cell's darkest pixel, so that neighbours, tiles and a constant do not matter.

Reconstruction needs no iteration: in the tree of the connected components of all level sets (max-tree; Salembier,
Oliveras, Garrido 1998, IEEE Trans Image Process 7:555; Berger et al. 2007, ICIP) a component stays whole while one of
its pixels has no way out of it in so many steps, and then goes as a whole. How many steps, for all components at once,
is seen by eroding the pixels' places in the order of brightness in place of their values: the darkest pixel that s
steps reach from another one lies in the brightest component that holds all that they reach.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.patches import Patches

N_SCALES = 16
_DIGIT = 256


def measure_granularity(
    patches: Patches, values: NDArray[np.uint16], *, n_scales: int = N_SCALES
) -> dict[str, NDArray[np.float64]]:
    """The columns of family `granularity` of one plane.

    Parameters
    ----------
    patches : Patches
        n cells.
    values : (m,) ndarray of uint16
        Counts of the plane.
    n_scales : int
        Number of sizes.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        `granularity_s`: share of the sum of (value - least value) that s erosions and reconstruction take away, beyond
        what s - 1 do; NaN where all pixels are alike.
    """
    lost, signal = _spectra(patches.mask, values, patches.starts, patches.widths, n_scales)
    shares = np.where(signal[:, None] > 0, lost / np.maximum(signal, 1)[:, None], np.nan)
    return {f"granularity_{s + 1}": shares[:, s].copy() for s in range(n_scales)}


@njit(nogil=True, cache=True)
def _order_pixels(
    mask: NDArray[np.uint8],
    values: NDArray[np.uint16],
    order: NDArray[np.uint32],
    spare: NDArray[np.uint32],
    counts: NDArray[np.int64],
) -> tuple[int, int]:
    """The cell's pixels from bright to dark in `order`; returns their number and their sum over the darkest.

    Sorted by counting: by the low digit of the depth below the brightest, then by the high one if there is any.
    """
    n, low, high, total = 0, 65535, 0, 0
    for i in range(len(mask)):
        if mask[i]:
            value = int(np.int64(values[i]))
            low = value if value < low else low
            high = value if value > high else high
            total += value
            spare[n] = i
            n += 1
    total -= n * low
    if total == 0:
        return n, 0
    for shift in range(0, 16, 8):
        source, target = (spare, order) if shift == 0 else (order, spare)
        counts[:] = 0
        for k in range(n):
            counts[((high - np.int64(values[source[k]])) >> shift) % _DIGIT] += 1
        begin = 0
        for digit in range(_DIGIT):
            count = int(counts[digit])
            counts[digit] = begin
            begin += count
        for k in range(n):
            place = ((high - np.int64(values[source[k]])) >> shift) % _DIGIT
            target[counts[place]] = source[k]
            counts[place] += 1
        if high - low < _DIGIT:
            return n, total
    order[:n] = spare[:n]
    return n, total


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
    order: NDArray[np.uint32],
    n: int,
    width: int,
    rank: NDArray[np.uint32],
    parent: NDArray[np.uint32],
    of: NDArray[np.uint32],
) -> None:
    """The max-tree: the parent of each pixel, all by rank (1 is the brightest pixel, 0 is none).

    Places are unsigned, which spares a look at each for negative ones and a third of the time.
    """
    line, one = np.uint64(width), np.uint64(1)
    for k in range(n):
        here, me = np.uint64(order[k]), np.uint64(k + 1)
        rank[here] = parent[me] = of[me] = me
        for near in (rank[here - line], rank[here - one], rank[here + one], rank[here + line]):
            if near:
                root = _root(of, np.uint64(near))
                parent[root] = of[root] = me


@njit(nogil=True, cache=True)
def _erode(
    above: NDArray[np.uint32],
    left: NDArray[np.uint32],
    middle: NDArray[np.uint32],
    right: NDArray[np.uint32],
    below: NDArray[np.uint32],
    inside: NDArray[np.uint32],
    out: NDArray[np.uint32],
) -> bool:
    """One erosion by a cross; 0 outside of the cell, where `inside` is 0. All views of one stretch, shifted."""
    changed = np.uint32(0)
    for i in range(len(out)):
        darkest = max(max(above[i], below[i]), max(left[i], right[i]))
        out[i] = max(darkest, middle[i]) & inside[i]
        changed |= out[i] ^ middle[i]
    return bool(changed != 0)


@njit(nogil=True, cache=True)
def _reach(
    rank: NDArray[np.uint32],
    inside: NDArray[np.uint32],
    width: int,
    n_scales: int,
    spare: NDArray[np.uint32],
    steps: NDArray[np.uint32],
) -> None:
    """For each pixel that is the darkest within some steps of some pixel, the most such steps, `n_scales` at most."""
    now, after = rank, spare
    after[:] = 0
    end = len(rank) - width
    for scale in range(1, n_scales + 1):
        changed = _erode(
            now[: end - width], now[width - 1 : end - 1], now[width:end], now[width + 1 : end + 1], now[2 * width :],
            inside[width:end], after[width:end],
        )  # fmt: skip
        if not changed:
            return  # the darkest pixel of each piece is all that is left
        for i in range(width, end):
            steps[after[i]] = scale
        now, after = after, now


@njit(nogil=True, cache=True)
def _lose(
    values: NDArray[np.uint16],
    order: NDArray[np.uint32],
    n: int,
    parent: NDArray[np.uint32],
    steps: NDArray[np.uint32],
    area: NDArray[np.uint32],
    lost: NDArray[np.int64],
) -> None:
    """What goes with one step more than a component stands, from bright to dark.

    A component is done when its last pixel is: only from there it falls, all others have parents as bright as they.
    """
    for k in range(1, n + 1):
        me = np.uint64(k)
        below = np.uint64(parent[me])
        rise = np.int64(values[order[k - 1]]) - np.int64(values[order[below - np.uint64(1)]])
        if steps[me] < len(lost):
            lost[steps[me]] += np.int64(area[me]) * rise
        area[below] += area[me]
        steps[below] = max(steps[below], steps[me])


@njit(nogil=True, cache=True)
def _spectra(
    mask: NDArray[np.uint8],
    values: NDArray[np.uint16],
    starts: NDArray[np.int64],
    widths: NDArray[np.int64],
    n_scales: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What each size takes away, and the whole signal, in counts."""
    n_cells, largest = len(widths), 1
    lost, signal = np.zeros((n_cells, n_scales), np.int64), np.zeros(n_cells, np.int64)
    for cell in range(n_cells):
        largest = max(largest, starts[cell + 1] - starts[cell])
    # each taken by its row: unpacked ones would have strides, and loops over them be several times as slow
    room = np.empty((8, largest + 1), np.uint32)
    order, parent, of, steps = room[0], room[1], room[2], room[3]
    area, ranks, spares, insides = room[4], room[5], room[6], room[7]
    counts = np.empty(_DIGIT, np.int64)
    for cell in range(n_cells):
        patch = slice(starts[cell], starts[cell + 1])
        size, width = starts[cell + 1] - starts[cell], widths[cell]
        inner, level, rank, spare, inside = mask[patch], values[patch], ranks[:size], spares[:size], insides[:size]
        n, signal[cell] = _order_pixels(inner, level, order, spare, counts)
        if signal[cell]:
            for i in range(size):
                rank[i], inside[i] = 0, 0xFFFFFFFF if inner[i] else 0
            _join_pixels(order, n, width, rank, parent, of)
            steps[: n + 1], area[: n + 1] = 0, 1
            _reach(rank, inside, width, n_scales, spare, steps)
            _lose(level, order, n, parent, steps, area, lost[cell])
    return lost, signal
