"""Fourier descriptors of the outlines of cells: elliptic ones, and energies of the tangent's angle. Floor 3.

Both are exact integrals over the sides of the polygon, not sums over samples: nothing depends on where the outline
begins, and no number of points has to be chosen.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.measure.contour import STAIRS_VARIANCE_PX2, longest, smooth_contours, trace_contours
from cellseg.measure.patches import Patches

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
N_HARMONICS = 10
"""Harmonics of the elliptic descriptors."""
N_BANDS = 6
"""Octaves of frequencies of the tangent's angle: 1, 2-3, 4-7, 8-15, 16-31, 32 and more waves along the outline."""
RESIDUALS = (1, 2, 4, 8)
"""Numbers of harmonics whose distance from the outline is measured."""
_ROUND = 1e-9
"""First harmonics whose axes differ by a smaller part are circles: they have no long axis to be turned to."""


def measure_fourier(patches: Patches, *, mpp: float) -> dict[str, Floats]:
    """The columns of family `fourier` of each cell.

    Of the outline of `trace_contours`, smoothed by a Gaussian of 1 px along its length. NaN where it has fewer than 12
    corners or is narrower than 1.5 px in the mean (dots and lines). The normalised coefficients but d_1 are NaN, too,
    where the first harmonic is a circle (discs and squares whose pixels are as symmetric).

    Parameters
    ----------
    patches : Patches
        n cells.
    mpp : float
        Microns per pixel. All columns are ratios: they don't depend on it.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        `efd_{a,b,c,d}_{1..10}` (without a_1 = 1 and b_1 = c_1 = 0), `efd_amplitude_{2..10}`, `efd_residual_{1,2,4,8}`
        and `fsd_{1..6}`.
    """
    traced = trace_contours(patches)
    smooth = smooth_contours(traced, np.full(len(traced), STAIRS_VARIANCE_PX2))
    raw, bands, spread = _transform(smooth.points, smooth.starts, smooth.lengths_px, longest(smooth.starts))
    columns = _elliptic(raw, spread) | _energies(bands)
    return {name: np.where(traced.measurable, values, np.nan) for name, values in columns.items()}


def _energies(bands: Floats) -> dict[str, Floats]:
    """Shares of the energy; `bands` is (6, n): all of it, then that of the first five octaves."""
    total = np.where(bands[0] > 0, bands[0], np.nan)
    shares = [band / total for band in bands[1:]]
    rest = np.ones_like(total)
    for share in shares:
        # one by one: the order of sums is the same for any number of cells
        rest = rest - share
    shares.append(np.where(np.isnan(total), np.nan, np.maximum(rest, 0.0)))
    return {f"fsd_{at + 1}": share for at, share in enumerate(shares)}


def _elliptic(raw: Floats, spread: Floats) -> dict[str, Floats]:
    """Elliptic descriptors from the coefficients (n, 10, 4) as in the paper and the outline's variance (n,)."""
    power = np.square(raw).sum(axis=2) / 2
    some = np.where(spread > 0, spread, np.nan)
    first = np.where(power[:, 0] > 0, power[:, 0], np.nan)
    residual = {k: np.maximum(spread - power[:, :k].cumsum(axis=1)[:, -1], 0.0) / some for k in RESIDUALS}
    normal = _normalise(raw)
    rows = {
        f"efd_{letter}_{k + 1}": normal[:, k, at]
        for k in range(N_HARMONICS)
        for at, letter in enumerate("abcd")
        if k or letter == "d"
    }
    return {
        **rows,
        **{f"efd_amplitude_{k + 1}": np.sqrt(power[:, k] / first) for k in range(1, N_HARMONICS)},
        **{f"efd_residual_{k}": np.sqrt(share) for k, share in residual.items()},
    }


@njit(nogil=True, cache=True)
def _normalise(raw: Floats) -> Floats:
    """Coefficients that begin at an end of the first ellipse's long axis, with that axis turned to x and of length 1.

    Of the two ends the one counts from which the greatest of the coefficients of harmonics 2, 4, 6, ... is positive.
    """
    n, n_harmonics = raw.shape[0], raw.shape[1]
    out = np.full(raw.shape, np.nan)
    for cell in range(n):
        a, b, c, d = raw[cell, 0]
        # Kuhl & Giardina's eq. 22: where the first ellipse is farthest from its centre
        skew, wide = 2 * (a * b + c * d), a * a + c * c - b * b - d * d
        total = a * a + b * b + c * c + d * d
        if total == 0:
            continue
        if np.hypot(skew, wide) <= _ROUND * total:
            out[cell, 0, 3] = 1.0
            continue
        phase = 0.5 * np.arctan2(skew, wide)
        x, y = a * np.cos(phase) + b * np.sin(phase), c * np.cos(phase) + d * np.sin(phase)
        size = np.hypot(x, y)
        cosine, sine = x / size, y / size
        for k in range(n_harmonics):
            a, b, c, d = raw[cell, k]
            turn_c, turn_s = np.cos((k + 1) * phase), np.sin((k + 1) * phase)
            a, b = a * turn_c + b * turn_s, b * turn_c - a * turn_s
            c, d = c * turn_c + d * turn_s, d * turn_c - c * turn_s
            out[cell, k, 0], out[cell, k, 1] = (cosine * a + sine * c) / size, (cosine * b + sine * d) / size
            out[cell, k, 2], out[cell, k, 3] = (cosine * c - sine * a) / size, (cosine * d - sine * b) / size
        greatest = 0.0
        for k in range(1, n_harmonics, 2):
            for at in range(4):
                if abs(out[cell, k, at]) > abs(greatest):
                    greatest = out[cell, k, at]
        if greatest < 0:
            # half a turn from the other end: harmonics of even number change signs
            out[cell, 1::2] *= -1
    return out


@njit(nogil=True, cache=True)
def _sides(points: Floats, sides: Floats) -> float:
    """Unit vectors (y, x), lengths and turns, at each corner, of the sides that follow; returns the spread.

    The spread is the mean squared distance of the outline from its mean, over its length.
    """
    n = len(points)
    length, sum_y, sum_x, square = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        j = i + 1 if i + 1 < n else 0
        y0, x0 = points[i, 0] - points[0, 0], points[i, 1] - points[0, 1]
        y1, x1 = points[j, 0] - points[0, 0], points[j, 1] - points[0, 1]
        y, x = y1 - y0, x1 - x0
        side = np.sqrt(y * y + x * x)
        sides[0, i], sides[1, i], sides[2, i] = 0.0, 0.0, side
        if side > 0:
            sides[0, i], sides[1, i] = y / side, x / side
        length += side
        sum_y, sum_x = sum_y + side * (y0 + y1) / 2, sum_x + side * (x0 + x1) / 2
        square += side * (y0 * y0 + y0 * y1 + y1 * y1 + x0 * x0 + x0 * x1 + x1 * x1) / 3
    y, x = sides[0, n - 1], sides[1, n - 1]
    for i in range(n):
        sides[3, i] = np.arctan2(x * sides[0, i] - y * sides[1, i], x * sides[1, i] + y * sides[0, i])
        y, x = sides[0, i], sides[1, i]
    if length == 0:
        return 0.0
    return float(square / length - (sum_y / length) ** 2 - (sum_x / length) ** 2)


@njit(nogil=True, cache=True)
def _bending(lengths: Floats, turns: Floats, length: float) -> float:
    """Variance of the angle of the tangent less that of a circle, over the length: by Parseval, all waves together."""
    once = 0.0
    for turn in turns:
        # 2 pi, but where an outline crosses itself
        once += turn
    once /= length
    angle, way, total, square = 0.0, 0.0, 0.0, 0.0
    for i in range(len(lengths)):
        angle += turns[i] if i else 0.0
        # falls along the side, about its middle
        fall = once * lengths[i]
        middle = angle - once * way - fall / 2
        total += lengths[i] * middle
        square += lengths[i] * (middle * middle + fall * fall / 12)
        way += lengths[i]
    return float(square / length - (total / length) ** 2)


@njit(nogil=True, cache=True)
def _sum_waves(weights: Floats, base: Floats, work: Floats, sums: Floats) -> None:
    """Sums over corners of weight times cosine and sine of 1, 2, ... times their angles, into `sums` (2, waves).

    `base` holds cosines and sines of the angles. Corners, weights included, are padded with zeros to a multiple of 16:
    their quarters are added to one another, and once more the quarters of that, so that sums run side by side.
    """
    size = len(weights)
    n, m = size // 4, size // 16
    cosines, sines, real, imag = work[0, :size], work[1, :size], work[2, :n], work[3, :n]
    step_c, step_s = base[0], base[1]
    for i in range(size):
        cosines[i], sines[i] = weights[i], 0.0
    for k in range(sums.shape[1]):
        for i in range(size):
            c = cosines[i] * step_c[i] - sines[i] * step_s[i]
            sines[i] = sines[i] * step_c[i] + cosines[i] * step_s[i]
            cosines[i] = c
        for i in range(n):
            real[i] = (cosines[i] + cosines[i + n]) + (cosines[i + 2 * n] + cosines[i + 3 * n])
            imag[i] = (sines[i] + sines[i + n]) + (sines[i + 2 * n] + sines[i + 3 * n])
        c, s = 0.0, 0.0
        for i in range(m):
            c += (real[i] + real[i + m]) + (real[i + 2 * m] + real[i + 3 * m])
            s += (imag[i] + imag[i + m]) + (imag[i + 2 * m] + imag[i + 3 * m])
        sums[0, k], sums[1, k] = c, s


@njit(nogil=True, cache=True)
def _transform(points: Floats, starts: Ints, lengths: Floats, room: int) -> tuple[Floats, Floats, Floats]:
    """Coefficients (n, 10, 4) as in the paper, energies (6, n) of the tangent's angle, spread (n,)."""
    n = len(lengths)
    raw, bands, spread = np.zeros((n, N_HARMONICS, 4)), np.zeros((N_BANDS, n)), np.zeros(n)
    sides, base, work = np.empty((4, room + 15)), np.empty((2, room + 15)), np.empty((4, room + 15))
    weights = np.empty((3, room + 15))
    turns, steps = np.empty((2, 2 ** (N_BANDS - 1) - 1)), np.empty((2, 2, N_HARMONICS))
    for cell in range(n):
        size, length = starts[cell + 1] - starts[cell], lengths[cell]
        if length == 0:
            continue
        spread[cell] = _sides(points[starts[cell] : starts[cell + 1]], sides)
        padded, once = (size + 15) // 16 * 16, 2 * np.pi / length
        way, before = 0.0, size - 1
        for i in range(size):
            angle = once * way
            base[0, i], base[1, i] = np.cos(angle), np.sin(angle)
            # by parts: a corner counts with the change of direction there
            weights[0, i], weights[1, i] = sides[1, before] - sides[1, i], sides[0, before] - sides[0, i]
            weights[2, i] = sides[3, i]
            way, before = way + sides[2, i], i
        base[:, size:padded], weights[:, size:padded] = 0.0, 0.0
        for axis in range(2):
            _sum_waves(weights[axis, :padded], base, work, steps[axis])
        _sum_waves(weights[2, :padded], base, work, turns)
        for k in range(N_HARMONICS):
            scale = length / (2 * ((k + 1) * np.pi) ** 2)
            for at in range(4):
                raw[cell, k, at] = scale * steps[at // 2, at % 2, k]
        bands[0, cell] = 2 * np.pi**2 * _bending(sides[2, :size], sides[3, :size], length)
        for band in range(1, N_BANDS):
            for k in range(2 ** (band - 1), 2**band):
                # the turns are the angle's derivative but for a constant
                bands[band, cell] += (turns[0, k - 1] ** 2 + turns[1, k - 1] ** 2) / float(k * k)
    return raw, bands, spread
