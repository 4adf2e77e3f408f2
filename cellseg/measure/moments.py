"""Second moments from integer sums without rounding. Floor 3: arrays in, arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def scaled_covariance(
    n: NDArray[np.int64],
    sum_a: NDArray[np.int64],
    sum_b: NDArray[np.int64],
    sum_ab: NDArray[np.int64],
    *,
    large: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """n^2 times the (population) covariance of a and b: `n * sum_ab - sum_a * sum_b`, rounded once at the end.

    Parameters
    ----------
    n, sum_a, sum_b, sum_ab : (k,) ndarray of int64
        Count and sums of k groups.
    large : (k,) ndarray of bool
        Groups whose products may not fit in int64; they are done in Python's integers.

    Returns
    -------
    (k,) ndarray of float64
        Never negative where a is b.
    """
    out = (n * sum_ab - sum_a * sum_b).astype(np.float64)
    rows = np.flatnonzero(large)
    if len(rows):
        m, a, b, ab = (np.asarray(part[rows]).astype(object) for part in (n, sum_a, sum_b, sum_ab))
        exact: NDArray[Any] = m * ab - a * b
        out[rows] = exact.astype(np.float64)
    return out
