"""Moments of each cell's mask: spatial, central, normalised, Hu's, and the inertia tensor. Floor 3.

Arrays in, arrays out. The first index is the power of y (rows), the second that of x. Sums are whole numbers; central
moments come from them by the binomial theorem about the middle of the cell's own box, where little cancels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cellseg.measure.patches import Patches
from cellseg.measure.power_sums import middles, shift_powers, sum_powers

_ORDER = 6


def measure_moments(patches: Patches, *, mpp: float) -> dict[str, NDArray[np.float64]]:
    """The columns of family `moments`.

    Those of scikit-image's `regionprops` (Hu 1962, IRE Trans Inf Theory 8:179) in powers of um: spatial moments in the
    cell's own box from the centre of its first pixel, central ones about the centroid, normalised ones over
    area^((p + q) / 2 + 1), Hu's seven invariants, and the inertia tensor with its eigenvalues, largest first.

    Parameters
    ----------
    patches : Patches
        n cells.
    mpp : float
        Microns per pixel.

    Returns
    -------
    dict of str to (n,) ndarray of float64
        Never NaN.
    """
    sums = sum_powers(patches, _ORDER)
    rows, columns = middles(patches)
    n = sums[:, 0, 0]
    one = np.ones(len(n))
    spatial = shift_powers(sums, (1 - rows).astype(np.float64), (1 - columns).astype(np.float64), one)
    central = shift_powers(sums, sums[:, 1, 0] / n, sums[:, 0, 1] / n, one)
    central[:, 1, 0] = central[:, 0, 1] = 0.0  # by definition; rounding leaves some
    out: dict[str, NDArray[np.float64]] = {}
    for name, table in (("spatial", spatial), ("central", central)):
        for p in range(3):
            for q in range(4):
                out[f"{name}_moment_{p}_{q}_um{p + q + 2}"] = table[:, p, q] * mpp ** (p + q + 2)
    normal = {
        (p, q): central[:, p, q] / n ** ((p + q) / 2 + 1) for p in range(4) for q in range(4) if 2 <= p + q <= _ORDER
    }
    out |= {f"normalized_moment_{p}_{q}": column for (p, q), column in normal.items()}
    out |= {f"hu_{k}": column for k, column in enumerate(hu_invariants(normal), start=1)}
    return out | _inertia(central, n, mpp)


def hu_invariants(nu: dict[tuple[int, int], NDArray[np.float64]]) -> tuple[NDArray[np.float64], ...]:
    """Hu's seven invariants (1962) of normalised moments nu[p, q], p the power of y."""
    a, b = nu[3, 0] + nu[1, 2], nu[2, 1] + nu[0, 3]
    c, d = nu[3, 0] - 3 * nu[1, 2], 3 * nu[2, 1] - nu[0, 3]
    plus, minus = nu[2, 0] + nu[0, 2], nu[2, 0] - nu[0, 2]
    return (
        plus,
        minus**2 + 4 * nu[1, 1] ** 2,
        c**2 + d**2,
        a**2 + b**2,
        c * a * (a**2 - 3 * b**2) + d * b * (3 * a**2 - b**2),
        minus * (a**2 - b**2) + 4 * nu[1, 1] * a * b,
        d * a * (a**2 - 3 * b**2) - c * b * (3 * a**2 - b**2),
    )


def _inertia(central: NDArray[np.float64], n: NDArray[np.float64], mpp: float) -> dict[str, NDArray[np.float64]]:
    yy, xx, yx = (central[:, p, q] / n * mpp**2 for p, q in ((0, 2), (2, 0), (1, 1)))
    root = np.hypot(yy - xx, 2 * yx)
    return {
        "inertia_tensor_yy_um2": yy,
        "inertia_tensor_xx_um2": xx,
        "inertia_tensor_yx_um2": 0.0 - yx,
        "inertia_eigenvalue_1_um2": (yy + xx + root) / 2,
        "inertia_eigenvalue_2_um2": np.maximum(yy + xx - root, 0.0) / 2,
    }
