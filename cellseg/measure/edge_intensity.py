"""What a plane holds along the inside of each cell's edge. Floor 3: arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.moments import scaled_covariance
from cellseg.measure.patches import Patches

_EXACT_PIXELS = 46_000
"""Up to this many 16-bit pixels the products of the variance fit in int64."""


def measure_edge_intensity(
    patches: Patches, values: NDArray[np.uint16], *, scale: float, offset: float = 0.0
) -> dict[str, NDArray[np.float64]]:
    """Sum, mean, standard deviation (population form) and extremes over the edge pixels of each cell.

    Edge pixels are the cell's pixels of whose 8 neighbours one or more lie outside of the cell; what lies beyond the
    image's border is outside (the rule of CellProfiler's edge intensities: Stirling et al. 2021, BMC Bioinformatics
    22:433). Outlines of holes are edges too. Each cell has at least one edge pixel, so nothing is NaN.

    Parameters
    ----------
    patches : Patches
        n cells.
    values : (m,) ndarray of uint16
        Counts of the plane in the patches.
    scale, offset : float
        A count stands for `count * scale + offset` in the plane's unit.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        `edge_mean`, `edge_sd`, `edge_min`, `edge_max` in the plane's unit, `edge_integrated` in that unit times px.
    """
    sums = _sum_edges(patches.mask, values, patches.starts, patches.widths, int(np.diff(patches.starts).max(initial=1)))
    n, total, squares, low, high = sums.T
    variance = scaled_covariance(n, total, total, squares, large=n > _EXACT_PIXELS)
    integrated = total * scale + n * offset
    return {
        "edge_mean": integrated / n,
        "edge_sd": np.sqrt(variance) / n * scale,
        "edge_min": low * scale + offset,
        "edge_max": high * scale + offset,
        "edge_integrated": integrated,
    }


@njit(nogil=True, cache=True)
def count_neighbours(mask: NDArray[np.uint8], width: int, rows: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """How many of the 3 x 3 pixels around each pixel of a patch (flat, rows of `width`) are set, itself included.

    What `out` holds in the patch's outermost rows is void, and so is its first and last pixel; in the other pixels of
    the outermost columns two rows are mixed up. `rows` is a buffer; both are as long as `mask` at least.
    """
    size = len(mask)
    above, here, below = mask[: size - 2 * width], mask[width : size - width], mask[2 * width :]
    inner = rows[width : size - width]
    for i in range(len(inner)):
        inner[i] = above[i] + here[i] + below[i]
    left, middle, right = (
        rows[width : size - width - 2],
        rows[width + 1 : size - width - 1],
        rows[width + 2 : size - width],
    )
    target = out[width + 1 : size - width - 1]
    for i in range(len(target)):
        target[i] = left[i] + middle[i] + right[i]


@njit(nogil=True, cache=True)
def _sum_edges(
    mask: NDArray[np.uint8],
    values: NDArray[np.uint16],
    starts: NDArray[np.int64],
    widths: NDArray[np.int64],
    largest: int,
) -> NDArray[np.int64]:
    """Number, sum, sum of squares, least and greatest of each cell's edge pixels."""
    out = np.empty((len(widths), 5), np.int64)
    rows, around, edge = np.empty(largest, np.uint8), np.empty(largest, np.uint8), np.empty(largest, np.uint16)
    for cell in range(len(widths)):
        width = widths[cell]
        inside, plane = mask[starts[cell] : starts[cell + 1]], values[starts[cell] : starts[cell + 1]]
        count_neighbours(inside, width, rows, around)
        n = 0
        for i in range(width + 1, len(inside) - width - 1):
            edge[n] = plane[i]
            n += inside[i] & (around[i] < 9)
        low, high, total, squares = np.int64(65535), np.int64(0), np.int64(0), np.int64(0)
        for i in range(n):
            level = np.int64(edge[i])
            low = level if level < low else low
            high = level if level > high else high
            total += level
            squares += level * level
        out[cell, 0], out[cell, 1], out[cell, 2], out[cell, 3], out[cell, 4] = n, total, squares, low, high
    return out
