"""Form of the pale part of red cells: round, slit, target, ragged. Floor 3: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.inner_distance import square_depths
from cellseg.measure.patches import Patches

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
INNER_FROM = 0.25
"""Of the greatest distance to the edge; what lies nearer to the edge belongs to the rim's outer flank."""
PALE_QUANTILE, DENSE_QUANTILE = 0.03, 0.8
"""Of the inner pixels' densities: what counts as the palest and as the dense part."""
BANDS = (0.3, 0.5, 0.7, 0.85, 1.0)
"""Bounds of the bands of depth whose evenness is measured, from the edge (0) to the deepest pixel (1)."""
MIN_INNER_PX = 20
"""px; with fewer inner pixels nothing is measured."""
N_HARMONICS = 4
_MIN_CONTRAST = 1e-6
_NAMES = (
    "pallor_contrast", "pallor_axis_ratio", "pallor_shift", "pallor_edge",
    "pale_piece_count", "pale_piece_share", "pale_piece_axis_ratio", "pale_piece_compactness", "pale_piece_circularity",
    *(f"pallor_harmonic_{order}" for order in range(1, N_HARMONICS + 1)),
    *(f"band_{band}_cv" for band in range(1, len(BANDS))),
)  # fmt: skip


def measure_pallor(patches: Patches, values: NDArray[np.uint16], *, n_levels: int, dark: bool) -> dict[str, Floats]:
    """Form of the pale part of each cell, in parts of the cell's own densities and size.

    Values are smoothed by a binomial of 3 x 3 pixels and turned into densities as in `measure_erythrocyte_rings`. Of
    the inner pixels, deeper than a quarter of the greatest distance to the edge, the density that 3 % fall under is
    the palest and the one that 80 % fall under the dense level; paleness falls from 1 at the former to 0 at the latter.
    Neither brightness nor strength of a stain moves any of these figures much, and slits (stomatocytes), rings (target
    cells) and ragged pallors differ from round ones in them.

    Parameters
    ----------
    patches : Patches
        n cells.
    values : (m,) ndarray of uint16
        Counts of the patches' pixels, 0 to `n_levels` - 1.
    n_levels : int
        Levels that a count may have.
    dark : bool
        True where dense cells have low values, False where they have high ones.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        `erythrocyte_NAME` of the names in `columns/erythrocyte.py`. NaN in cells with fewer than 20 inner pixels or
        without contrast; the piece's form also where the largest pale piece has fewer than 4 pixels.
    """
    levels = np.arange(n_levels)
    density = np.log10(n_levels / (levels + 1.0)) if dark else levels.astype(np.float64)
    table = _pallor(patches.mask, values, patches.starts, patches.widths, square_depths(patches), density)
    return {f"erythrocyte_{name}": table[:, i].copy() for i, name in enumerate(_NAMES)}


@njit(nogil=True, cache=True)
def _smooth(values: NDArray[np.uint16], i: int, width: int) -> int:
    """The count at a pixel that is not on the patch's margin, smoothed by a binomial of 3 x 3 pixels."""
    up, down = i - width, i + width
    total = 4 * np.int64(values[i])
    total += 2 * (np.int64(values[i - 1]) + np.int64(values[i + 1]) + np.int64(values[up]) + np.int64(values[down]))
    total += np.int64(values[up - 1]) + np.int64(values[up + 1])
    total += np.int64(values[down - 1]) + np.int64(values[down + 1])
    return int((total + 8) >> 4)


@njit(nogil=True, cache=True)
def _axes(weight: Floats, chosen: Ints, n: int, width: int) -> tuple[float, float, float, float, float, float]:
    """Sum, centroid and second central moments (yy, xx, yx) of the weights of the first n chosen pixels."""
    total, sum_y, sum_x = 0.0, 0.0, 0.0
    for k in range(n):
        i = chosen[k]
        total += weight[i]
        sum_y += weight[i] * (i // width)
        sum_x += weight[i] * (i % width)
    if total <= 0:
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    cy, cx = sum_y / total, sum_x / total
    yy, xx, yx = 0.0, 0.0, 0.0
    for k in range(n):
        i = chosen[k]
        dy, dx = i // width - cy, i % width - cx
        yy += weight[i] * dy * dy
        xx += weight[i] * dx * dx
        yx += weight[i] * dy * dx
    # a pixel has a spread of its own, without which a line of pixels would have no width
    return total, cy, cx, yy / total + 1 / 12, xx / total + 1 / 12, yx / total


@njit(nogil=True, cache=True)
def _ratio(yy: float, xx: float, yx: float) -> float:
    """Short over long axis of the ellipse with these second moments."""
    half, root = (yy + xx) / 2, np.sqrt(((yy - xx) / 2) ** 2 + yx * yx)
    return float(np.sqrt(max(half - root, 0.0) / (half + root)))


@njit(nogil=True, cache=True)
def _largest_piece(
    pale: NDArray[np.uint8], chosen: Ints, n: int, width: int, stack: Ints, piece: Ints, best: Ints
) -> tuple[int, int]:
    """Size of the largest 8-connected piece, whose pixels go to `best`, and number of pieces of 4 pixels or more.

    `pale` is 1 at pale pixels and is used up. Of equally large pieces the first in raster order counts.
    """
    most, count = 0, 0
    for k in range(n):
        if pale[chosen[k]] != 1:
            continue
        size, top = 0, 1
        stack[0] = chosen[k]
        pale[chosen[k]] = 2
        while top:
            top -= 1
            i = stack[top]
            piece[size] = i
            size += 1
            for step in (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1):
                if pale[i + step] == 1:
                    pale[i + step] = 2
                    stack[top] = i + step
                    top += 1
        count += size >= 4
        if size > most:
            most = size
            best[:size] = piece[:size]
    return most, count


@njit(nogil=True, cache=True)
def _crack_length(pale: NDArray[np.uint8], piece: Ints, n: int, width: int) -> int:
    """Sides between the piece's pixels and others; `pale` is 3 in the piece."""
    sides = 0
    for k in range(n):
        i = piece[k]
        sides += (pale[i - 1] != 3) + (pale[i + 1] != 3) + (pale[i - width] != 3) + (pale[i + width] != 3)
    return sides


@njit(nogil=True, cache=True)
def _harmonics(
    weight: Floats, chosen: Ints, n: int, width: int, body: tuple[float, float, float, float, float, float], out: Floats
) -> None:
    """How far paleness varies around the cell's centre, in coordinates in which the cell's own ellipse is a circle."""
    _, cy, cx, yy, xx, yx = body
    # Cholesky factor of the covariance: whitened coordinates
    a = np.sqrt(yy)
    b = yx / a
    c = np.sqrt(max(xx - b * b, 1e-9))
    total = 0.0
    real, imaginary = np.zeros(N_HARMONICS), np.zeros(N_HARMONICS)
    for k in range(n):
        i = chosen[k]
        v = (i // width - cy) / a
        u = ((i % width - cx) - b * v) / c
        radius = np.sqrt(u * u + v * v)
        total += weight[i] * radius
        if radius == 0:
            continue
        cosine, sine = u / radius, v / radius
        power_re, power_im = 1.0, 0.0
        for order in range(N_HARMONICS):
            power_re, power_im = power_re * cosine - power_im * sine, power_re * sine + power_im * cosine
            real[order] += weight[i] * radius * power_re
            imaginary[order] += weight[i] * radius * power_im
    for order in range(N_HARMONICS):
        out[order] = np.sqrt(real[order] ** 2 + imaginary[order] ** 2) / total if total > 0 else np.nan


@njit(nogil=True, cache=True)
def _bands(smooth: Floats, depth: Floats, chosen: Ints, n: int, dense: float, out: Floats) -> None:
    """Standard deviation of the density in each band of depth, over the dense level; NaN in bands of under 6 pixels."""
    count, total, squares = np.zeros(len(BANDS) - 1), np.zeros(len(BANDS) - 1), np.zeros(len(BANDS) - 1)
    for k in range(n):
        i = chosen[k]
        for band in range(len(BANDS) - 1):
            if BANDS[band] < depth[i] <= BANDS[band + 1]:
                value = smooth[i] / dense
                count[band] += 1
                total[band] += value
                squares[band] += value * value
    for band in range(len(BANDS) - 1):
        if count[band] >= 6:
            mean = total[band] / count[band]
            out[band] = np.sqrt(max(squares[band] / count[band] - mean * mean, 0.0))


@njit(nogil=True, cache=True)
def _steepest(smooth: Floats, chosen: Ints, n: int, width: int, buffer: Floats) -> float:
    """The 95 % quantile of the density's gradient, per px, over pixels whose neighbours are known."""
    for k in range(n):
        i = chosen[k]
        dy, dx = smooth[i + width] - smooth[i - width], smooth[i + 1] - smooth[i - 1]
        buffer[k] = np.sqrt(dy * dy + dx * dx) / 2
    ordered = np.sort(buffer[:n])
    return float(ordered[min(int(0.95 * n), n - 1)])


@njit(nogil=True, cache=True)
def _pallor(
    mask: NDArray[np.uint8], values: NDArray[np.uint16], starts: Ints, widths: Ints, squares: NDArray[np.int32],
    density: Floats,
) -> Floats:  # fmt: skip
    n_cells = len(widths)
    table = np.full((n_cells, 13 + len(BANDS) - 1), np.nan)
    room = 0
    for cell in range(n_cells):
        room = max(room, starts[cell + 1] - starts[cell])
    smooth, depth, weight, ones, buffer = np.empty(room), np.empty(room), np.empty(room), np.ones(room), np.empty(room)
    body, inner, stack, piece, best = (
        np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64),
        np.empty(room, np.int64),
    )  # fmt: skip
    pale = np.zeros(room, np.uint8)
    for cell in range(n_cells):
        start, width = starts[cell], widths[cell]
        size = starts[cell + 1] - start
        inside, counts, depths = mask[start : start + size], values[start : start + size], squares[start : start + size]
        high = 0
        for i in range(size):
            high = max(high, depths[i])
        reach = np.sqrt(np.float64(high)) - 0.5
        n_body, n_inner = 0, 0
        pale[:size] = 0
        for i in range(size):
            if inside[i]:
                body[n_body] = i
                n_body += 1
                depth[i] = (np.sqrt(np.float64(depths[i])) - 0.5) / reach
                smooth[i] = density[_smooth(counts, i, width)]
                if depth[i] > INNER_FROM:
                    inner[n_inner] = i
                    buffer[n_inner] = smooth[i]
                    n_inner += 1
        if n_inner < MIN_INNER_PX:
            continue
        ordered = np.sort(buffer[:n_inner])
        palest, dense = ordered[int(PALE_QUANTILE * n_inner)], ordered[int(DENSE_QUANTILE * n_inner)]
        if dense <= 0 or dense - palest < _MIN_CONTRAST * dense:
            continue
        _one_cell(table[cell], smooth, depth, weight, ones, buffer, body, n_body, inner, n_inner, stack, piece, best,
                  pale, depths, width, palest, dense)  # fmt: skip
    return table


@njit(nogil=True, cache=True)
def _one_cell(
    row: Floats, smooth: Floats, depth: Floats, weight: Floats, ones: Floats, buffer: Floats, body: Ints, n_body: int,
    inner: Ints, n_inner: int, stack: Ints, piece: Ints, best: Ints, pale: NDArray[np.uint8],
    depths: NDArray[np.int32], width: int, palest: float, dense: float,
) -> None:  # fmt: skip
    radius = np.sqrt(n_body / np.pi)
    for k in range(n_inner):
        i = inner[k]
        part = min(max((dense - smooth[i]) / (dense - palest), 0.0), 1.0)
        weight[i] = part * part
        pale[i] = part > 0.5
    whole = _axes(ones, body, n_body, width)
    _, cy, cx, yy, xx, yx = _axes(weight, inner, n_inner, width)
    row[0] = 1 - palest / dense
    row[1] = _ratio(yy, xx, yx)
    row[2] = np.sqrt((cy - whole[1]) ** 2 + (cx - whole[2]) ** 2) / radius
    n_piece, row[4] = _largest_piece(pale, inner, n_inner, width, stack, piece, best)
    row[5] = n_piece / n_body
    if n_piece >= 4:
        for k in range(n_piece):
            pale[best[k]] = 3
        _, _, _, yy, xx, yx = _axes(ones, best, n_piece, width)
        row[6] = _ratio(yy, xx, yx)
        row[7] = min(n_piece / (2 * np.pi * (yy + xx)), 1.0)
        # a disc of pixels has 8 radii of sides, a circle 2 pi
        row[8] = min(4 * np.pi * n_piece / (np.pi / 4 * _crack_length(pale, best, n_piece, width)) ** 2, 1.0)
    _harmonics(weight, inner, n_inner, width, whole, row[9 : 9 + N_HARMONICS])
    _bands(smooth, depth, body, n_body, dense, row[9 + N_HARMONICS :])
    n_deep = 0
    for k in range(n_inner):
        # of pixels beside the edge one neighbour is outside
        if depths[inner[k]] > 1:
            stack[n_deep] = inner[k]
            n_deep += 1
    if n_deep:
        row[3] = _steepest(smooth, stack, n_deep, width, buffer) * radius / (dense - palest)
