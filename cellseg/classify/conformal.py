"""How far to trust a probability: which answers are plausible, at a stated coverage. Floor 3: arrays only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def conformal_bound(scores: Floats, weights: Floats, coverage: float) -> float:
    """The least nonconformity that a new cell of the class stays within with probability `coverage`.

    Where all scores count alike the bound is the ceil((n + 1) * coverage)-th score, which is right for any n
    (Vovk, Gammerman & Shafer 2005, Algorithmic Learning in a Random World). Where groups of unlike size count alike it
    is the quantile of the pooled distributions of the groups, right as their number grows (Dunn, Wasserman & Ramdas
    2023, JASA 118:2491): few groups know no bound that a new group is sure to keep.

    Parameters
    ----------
    scores : (n,) ndarray of float64
        Nonconformity of held-out cells of the class, rising.
    weights : (n,) ndarray of float64
        What each counts, > 0 in sum.
    coverage : float
        In (0, 1).

    Returns
    -------
    float
        Infinite without scores, and where there are too few for the coverage.

    Examples
    --------
    >>> scores = np.arange(1.0, 20.0)
    >>> conformal_bound(scores, np.ones(19), 0.9), conformal_bound(scores[:8], np.ones(8), 0.9)
    (18.0, inf)
    """
    if not scores.size:
        return float("inf")
    alike = bool(np.ptp(weights) <= 1e-9 * weights.max())
    asked = coverage * (scores.size + 1) / scores.size if alike else coverage
    reached = np.cumsum(weights) / weights.sum()
    # sums of weights are a few roundings off
    if asked > 1 + 1e-12:
        return float("inf")
    at = int(np.searchsorted(reached, asked - 1e-12))
    return float(scores[min(at, scores.size - 1)])


def plausible_answers(probability: Floats, healthy_bound: float, abnormal_bound: float) -> NDArray[np.bool_]:
    """Which of healthy, abnormal (n, 2) a probability of being abnormal (n,) leaves plausible; NaN leaves neither.

    An answer is plausible where one minus its probability stays within the `conformal_bound` of its class, so that the
    sets hold the truth of the healthy and of the abnormal cells alike as often as asked (Vovk 2012, ACML: 475).
    """
    return np.stack([probability <= healthy_bound, 1 - probability <= abnormal_bound], axis=1)
