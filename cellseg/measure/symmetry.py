"""How much of a cell lies on its own mirror image and on itself turned half around. Floor 3."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.patches import Patches

Floats = NDArray[np.float64]
Mask = NDArray[np.uint8]


def measure_symmetry(patches: Patches) -> dict[str, Floats]:
    """Shares of each cell's pixels that its mirror image and the half-turned cell cover, pieces and holes as they are.

    `symmetry_mirror` is about the long axis of the second moments through the centroid; where no axis is longer, the
    greatest of the shares about vertical, horizontal and both diagonals. `symmetry_rotation_180` is about the
    centroid. A pixel's centre that falls between pixels takes its value from the four around it (bilinear).

    Parameters
    ----------
    patches : Patches
        n cells.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        0..1, never NaN.
    """
    mirror, rotation = _symmetries(patches.mask, patches.starts, patches.widths, patches.n_pixels)
    return {"symmetry_mirror": mirror, "symmetry_rotation_180": rotation}


@njit(nogil=True, cache=True)
def _half_turn(patch: Mask, width: int, n: int, sum_y: int, sum_x: int) -> float:
    """Twice the centroid less a pixel is its image: the same fraction for all pixels, so that four counts do."""
    height = len(patch) // width
    y2, x2 = 2 * sum_y // n, 2 * sum_x // n
    down, right = (2 * sum_y - y2 * n) / n, (2 * sum_x - x2 * n) / n
    shares = 0.0
    for corner in range(4):
        weight = (down if corner // 2 else 1 - down) * (right if corner % 2 else 1 - right)
        if weight == 0:
            continue
        to_y, to_x = y2 + corner // 2, x2 + corner % 2
        first, last = max(0, to_x - width + 1), min(width - 1, to_x)
        total = 0
        for y in range(max(0, to_y - height + 1), min(height - 1, to_y) + 1):
            row, image = patch[y * width : (y + 1) * width], patch[(to_y - y) * width : (to_y - y + 1) * width]
            for x in range(first, last + 1):
                total += row[x] & image[to_x - x]
        shares += weight * total
    return shares / n


@njit(nogil=True, cache=True)
def _mirror(patch: Mask, width: int, n: int, centre_y: float, centre_x: float, cosine: float, sine: float) -> float:
    """Share of the cell on its image in the axis at half the angle that `cosine` and `sine` are of (y to x)."""
    height = len(patch) // width
    whole, parts = 0, 0.0
    for y in range(1, height - 1):
        row = patch[y * width : (y + 1) * width]
        # of the row's pixel of column 0
        row_y = centre_y + cosine * (y - centre_y) - sine * centre_x
        row_x = centre_x + sine * (y - centre_y) + cosine * centre_x
        for x in range(1, width - 1):
            if row[x] == 0:
                continue
            to_y, to_x = row_y + sine * x, row_x - cosine * x
            # the patch's margin is empty, and so is what lies beyond
            if not (0 <= to_y < height - 1 and 0 <= to_x < width - 1):
                continue
            top, left = int(to_y), int(to_x)
            at = top * width + left
            a, b, c, d = patch[at], patch[at + 1], patch[at + width], patch[at + width + 1]
            if a & b & c & d:
                whole += 1
            elif a | b | c | d:
                down, right = to_y - top, to_x - left
                parts += (1 - down) * ((1 - right) * a + right * b) + down * ((1 - right) * c + right * d)
    return min((whole + parts) / n, 1.0)


@njit(nogil=True, cache=True)
def _symmetries(
    mask: Mask, starts: NDArray[np.int64], widths: NDArray[np.int64], n_pixels: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    n_cells = len(widths)
    mirror, rotation = np.zeros(n_cells), np.zeros(n_cells)
    for cell in range(n_cells):
        patch, width, n = mask[starts[cell] : starts[cell + 1]], widths[cell], n_pixels[cell]
        sy, sx, syy, sxx, sxy = 0, 0, 0, 0, 0
        for y in range(1, len(patch) // width - 1):
            row = patch[y * width : (y + 1) * width]
            count, sum_x = 0, 0
            for x in range(1, width - 1):
                count += row[x]
                sum_x += row[x] * x
                sxx += row[x] * x * x
            sy, sx = sy + y * count, sx + sum_x
            syy, sxy = syy + y * y * count, sxy + y * sum_x
        rotation[cell] = _half_turn(patch, width, n, sy, sx)
        centre_y, centre_x = sy / n, sx / n
        # moments about whole numbers near the centroid; where no axis is longer both sides are small, hence exact
        qy, qx = sy // n, sx // n
        ry, rx = sy - qy * n, sx - qx * n
        wide = float(n) * (syy - sxx - qy * (sy + ry) + qx * (sx + rx)) - (ry * ry - rx * rx)
        skew = 2 * (float(n) * (sxy - qy * sx - qx * ry) - ry * rx)
        if wide == 0 and skew == 0:
            for cosine, sine in ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)):
                mirror[cell] = max(mirror[cell], _mirror(patch, width, n, centre_y, centre_x, cosine, sine))
        else:
            root = np.hypot(wide, skew)
            mirror[cell] = _mirror(patch, width, n, centre_y, centre_x, wide / root, skew / root)
    return mirror, rotation
