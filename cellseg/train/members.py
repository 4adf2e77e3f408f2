"""The members of a supervised model, fitted by scikit-learn and kept as plain numbers. Floor 4: arrays only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cellseg.classify.supervised import LinearMember, TreeMember
from cellseg.classify.travel import MAD_OF_NORMAL
from cellseg.classify_config import TrainClassifierSettings
from cellseg.train.tree_arrays import tree_ensemble

_N_BINS = 255
"""Bins of a feature that trees may part, as many as fit a byte."""


def fit_members(
    matrix: NDArray[np.float64],
    abnormal: NDArray[np.bool_],
    weights: NDArray[np.float64],
    settings: TrainClassifierSettings,
) -> tuple[LinearMember | TreeMember, ...]:
    """What `settings.model` names, each giving log-odds of being abnormal; same input and seed, same numbers.

    Parameters
    ----------
    matrix : (n, p) ndarray of float64
        Features, each with two values at least (`usable_features`); NaN is not measured.
    abnormal : (n,) ndarray of bool
        The truth; both must be there.
    weights : (n,) ndarray of float64
        What each cell counts, of mean 1.
    settings : TrainClassifierSettings
        Kind of model and its settings.
    """
    out: list[LinearMember | TreeMember] = []
    if settings.model != "boosting":
        out.append(fit_linear(matrix, abnormal, weights, settings))
    if settings.model != "logistic":
        out.append(fit_trees(matrix, abnormal, weights, settings))
    return tuple(out)


def fit_linear(
    matrix: NDArray[np.float64],
    abnormal: NDArray[np.bool_],
    weights: NDArray[np.float64],
    settings: TrainClassifierSettings,
) -> LinearMember:
    """Logistic regression on robust z, clipped; what was not measured counts as the median.

    See `fit_members` for the parameters. The scale is 1.4826 median absolute deviations, or the standard deviation
    where more than half of the cells share one value.
    """
    from sklearn.linear_model import LogisticRegression

    centre = np.nanmedian(matrix, axis=0)
    scale = MAD_OF_NORMAL * np.nanmedian(np.abs(matrix - centre), axis=0)
    flat = scale <= 1e-12 * np.nanmax(np.abs(matrix), axis=0)
    scale[flat] = np.nanstd(matrix[:, flat], axis=0)
    z = np.clip((np.where(np.isfinite(matrix), matrix, centre) - centre) / scale, -settings.clip, settings.clip)
    strength = 1.0 / (settings.penalty * matrix.shape[0])
    fit = LogisticRegression(C=strength, max_iter=settings.max_steps, tol=1e-4)
    fit.fit(z, abnormal, sample_weight=weights)
    return LinearMember(
        centre=centre, scale=scale, fill=centre, weights=np.asarray(fit.coef_[0], np.float64),
        bias=float(fit.intercept_[0]), clip=settings.clip,
    )  # fmt: skip


def fit_trees(
    matrix: NDArray[np.float64],
    abnormal: NDArray[np.bool_],
    weights: NDArray[np.float64],
    settings: TrainClassifierSettings,
) -> TreeMember:
    """Gradient boosted trees on binned features (Friedman 2001, Ann Stat 29:1189; Ke et al. 2017, NeurIPS 30).

    See `fit_members` for the parameters. The result is the same for any number of threads.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    # scikit-learn's own bins of weighted cells take longer than the trees
    edges = [_bin_edges(column) for column in matrix.T]
    codes = np.column_stack([_bin_codes(column, own) for column, own in zip(matrix.T, edges, strict=True)])
    fit = HistGradientBoostingClassifier(
        max_iter=settings.trees, learning_rate=settings.learning_rate, max_leaf_nodes=settings.max_leaves,
        min_samples_leaf=settings.min_leaf_cells, l2_regularization=settings.l2, max_features=settings.feature_share,
        early_stopping=False, random_state=settings.seed,
    ).fit(codes, abnormal, sample_weight=weights)  # fmt: skip
    trees = tree_ensemble(fit)
    return TreeMember(trees=replace(trees, threshold=_at_edges(trees.feature, trees.threshold, edges)))


def _bin_edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Upper edges (rising, float64) of all bins but the last: bins hold like shares of the cells with a value."""
    known = values[np.isfinite(values)]
    edges = np.unique(np.quantile(known, np.arange(1, _N_BINS) / _N_BINS, method="inverted_cdf"))
    # a bin above the largest value would hold nothing
    return np.asarray(edges[edges < known.max()])


def _bin_codes(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """The bin of each value: `code <= k` where `value <= edges[k]`; NaN stays."""
    codes = np.searchsorted(edges, values, side="left").astype(np.float64)
    codes[np.isnan(values)] = np.nan
    return codes


def _at_edges(
    feature: NDArray[np.int32], threshold: NDArray[np.float64], edges: list[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Thresholds on codes as thresholds on values; those that part only missing values stay infinite."""
    out = threshold.copy()
    for node in np.flatnonzero((feature >= 0) & np.isfinite(threshold)).tolist():
        out[node] = edges[feature[node]][int(threshold[node])]
    return out
