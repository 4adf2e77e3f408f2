"""Fitting what healthy cells look like, and what held-out healthy cells score. Floor 4: arrays only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cellseg.classify.discovery import HeldOut, summarize_held_out
from cellseg.classify.novelty import Covariance, Forest, Nearest, Plain, Scorer, rounded
from cellseg.classify.reference import FeatureFit, ReferenceFit, score_z
from cellseg.classify.travel import MAD_OF_NORMAL
from cellseg.classify.trees import TreeEnsemble
from cellseg.classify_config import ReferenceSettings
from cellseg.train.grouped import grouped_splits
from cellseg.types import Stain

Floats = NDArray[np.float64]
MAX_NEAREST = 2000
"""Healthy cells that a reference of the nearest keeps; of more, an even draw."""
_DIGITS = 9
_SAMPLE = 256
_STEPS = 20
_NO_CELL = "measured in no cell"
_ALIKE = "the same in most cells (MAD 0)"


def fit_feature(values: Floats, *, interval: float) -> FeatureFit:
    """Median, MAD * 1.4826 and the central `interval` of the finite values, 9 significant digits; NaN if none."""
    values = values[np.isfinite(values)]
    if values.size == 0:
        return FeatureFit(np.nan, np.nan, np.nan, np.nan)
    median = np.median(values)
    mad = MAD_OF_NORMAL * np.median(np.abs(values - median))
    low, high = np.quantile(values, [(1 - interval) / 2, (1 + interval) / 2])
    # not decimals: moment invariants and the like have scales of their own
    return FeatureFit(*(float(f"{figure:.{_DIGITS}g}") for figure in (median, mad, low, high)))


def draw_evenly(rows: Sequence[NDArray[np.int64]], n_wanted: int) -> list[NDArray[np.int64]]:
    """Rows of each sample: all, or evenly spaced ones, as many of each as the smallest samples allow."""
    left, share = n_wanted, {}
    for done, at in enumerate(sorted(range(len(rows)), key=lambda at: rows[at].size)):
        share[at] = min(rows[at].size, left // (len(rows) - done))
        left -= share[at]
    return [
        own[np.linspace(0, own.size - 1, share[at]).astype(np.int64)] if share[at] < own.size else own
        for at, own in enumerate(rows)
    ]


def fit_healthy(
    matrix: Floats,
    names: Sequence[str],
    groups: NDArray[np.str_],
    *,
    stain: Stain,
    left_out: Mapping[str, str],
    settings: ReferenceSettings,
) -> ReferenceFit:
    """The reference that healthy cells of one stain give, those of all samples pooled.

    P-values come from cells whose sample was left out of a fit like this one, in `settings.folds` parts at most; where
    there is one sample alone, from cells left out at random, which flatters: the next slide differs by more.

    Parameters
    ----------
    matrix : (n, p) ndarray of float64
        Features of the healthy cells; what is not finite was not measured.
    names : sequence of str
        Columns, one a feature. Those whose MAD is 0, or lost in the median's digits, are left out.
    groups : (n,) ndarray of str
        Sample, slide or patient of each cell.
    stain : str
        The stain of all these cells.
    left_out : mapping
        Features that the settings name and that are not in `names`, with the reason.
    settings : ReferenceSettings
        Score, folds, trimming and interval. Fewer cells than `min_cells` give an unusable reference.
    """
    fit, z = _fit_features(matrix, names, stain=stain, left_out=left_out, settings=settings)
    if fit.fault:
        return fit
    columns = [list(names).index(name) for name in fit.features]
    held_out, parted_by = _held_out(matrix[:, columns], groups, fit, settings)
    if not held_out.scores.size:
        return replace(fit, fault="its features do not vary in the cells that are left where a sample is held out")
    fit = replace(fit, scorer=rounded(fit_scorer(z, settings)), held_out=held_out, parted_by=parted_by)
    cutoff = held_out.score_at(settings.abnormal_p)
    if isinstance(fit.scorer, Plain) and settings.z_clip <= cutoff < float("inf"):
        fault = f"its cut-off reaches z_clip {settings.z_clip:g}: raise z_clip, or take another score"
        return replace(fit, fault=fault, scorer=Plain("rms"))
    return fit


def _fit_features(
    matrix: Floats, names: Sequence[str], *, stain: Stain, left_out: Mapping[str, str], settings: ReferenceSettings
) -> tuple[ReferenceFit, Floats]:
    """The reference without its scorer, and the robust z of its features, not clipped."""
    dropped, features, kept = dict(left_out), {}, []
    for at, name in enumerate(names):
        one = fit_feature(matrix[:, at], interval=settings.interval)
        if one.mad > 10.0**-_DIGITS * abs(one.median):
            features[name] = one
            kept.append(at)
        else:
            dropped[name] = _NO_CELL if np.isnan(one.mad) else _ALIKE
    fault = ""
    if len(matrix) < settings.min_cells:
        fault = f"{len(matrix)} cells, {settings.min_cells} needed"
    elif not features:
        fault = "none of its features is measured and varies"
    fit = ReferenceFit(stain, len(matrix), features, dropped, Plain("rms"), settings.z_clip, fault=fault)
    return fit, fit.robust_z(matrix[:, kept])


def _held_out(
    matrix: Floats, groups: NDArray[np.str_], whole: ReferenceFit, settings: ReferenceSettings
) -> tuple[HeldOut, str]:
    """Scores of each cell by a fit without its sample, and what was left out together."""
    splits = [(split.train, split.test) for split in grouped_splits(groups, max_folds=settings.folds)]
    parted_by = "samples"
    if not splits:
        # every folds-th cell, so that neighbours on the slide are parted alike
        part = np.arange(len(matrix)) % min(settings.folds, len(matrix))
        splits = [(np.flatnonzero(part != one), np.flatnonzero(part == one)) for one in np.unique(part)]
        parted_by = "cells"
    scores = np.full(len(matrix), np.nan)
    names = list(whole.features)
    few = settings.model_copy(update={"min_cells": 1})
    for train, test in splits:
        fit, z = _fit_features(matrix[train], names, stain=whole.stain, left_out={}, settings=few)
        if fit.features:
            columns = [names.index(name) for name in fit.features]
            unseen = fit.robust_z(matrix[test][:, columns])
            scores[test] = score_z(fit_scorer(z, settings), unseen, settings.z_clip)
    _, code = np.unique(groups, return_inverse=True)
    return summarize_held_out(scores, code), parted_by


def fit_scorer(z: Floats, settings: ReferenceSettings) -> Scorer:
    """What makes one score of robust z, fitted on those of healthy cells (n, p), n > 0."""
    if settings.score == "rms" or settings.score == "max":
        return Plain(settings.score)
    known = z[~np.isnan(z).all(axis=1)]
    known = np.nan_to_num(np.clip(known, -settings.z_clip, settings.z_clip), nan=0.0)
    if settings.score == "covariance":
        return fit_covariance(known, trim=settings.trim)
    if settings.score == "isolation_forest":
        return fit_forest(known, n_trees=settings.n_trees, seed=settings.seed)
    even = np.unique(np.linspace(0, len(known) - 1, min(len(known), MAX_NEAREST)).astype(np.int64))
    return Nearest(known[even], min(settings.n_nearest, even.size))


def fit_covariance(z: Floats, *, trim: float) -> Covariance:
    """Centre and covariance of the cells (n, p) but the strangest, shrunk towards a sphere.

    From the cells nearest to the median, steps that take the 1 - `trim` nearest to the last fit until they stay the
    same (the concentration steps of Rousseeuw & Van Driessen 1999, Technometrics 41:212), each with the shrinkage of
    Ledoit & Wolf 2004, J Multivar Anal 88:365. Trimmed tails make the covariance small by about the same factor in all
    directions, which moves scores and held-out scores alike.
    """
    from sklearn.covariance import ledoit_wolf
    from threadpoolctl import threadpool_limits

    n_kept = max(int(np.ceil(len(z) * (1 - trim))), 1)
    kept = np.sort(np.argsort((z * z).sum(axis=1), kind="stable")[:n_kept])
    with threadpool_limits(1):
        for _ in range(_STEPS):
            centre = z[kept].mean(axis=0)
            covariance = ledoit_wolf(z[kept] - centre, assume_centered=True)[0]
            values, vectors = np.linalg.eigh(covariance)
            floor = max(float(values.max()) * 1e-9, 1e-12)
            whitening = vectors / np.sqrt(np.maximum(values, floor))
            fit = Covariance(centre, whitening)
            nearest = np.sort(np.argsort(fit.score(z), kind="stable")[:n_kept])
            if np.array_equal(nearest, kept):
                break
            kept = nearest
    return fit


def fit_forest(z: Floats, *, n_trees: int, seed: int) -> Forest:
    """An isolation forest on cells (n, p), as plain arrays."""
    from sklearn.ensemble import IsolationForest

    model = IsolationForest(n_estimators=n_trees, max_samples=min(_SAMPLE, len(z)), random_state=seed).fit(z)
    parts: dict[str, list[NDArray[np.float64]]] = {
        name: [] for name in ("feature", "threshold", "left", "right", "value")
    }
    roots, n_nodes = [], 0
    for tree in (estimator.tree_ for estimator in model.estimators_):
        leaf = tree.children_left < 0
        roots.append(n_nodes)
        parts["feature"].append(np.where(leaf, -1, tree.feature))
        parts["threshold"].append(np.where(leaf, 0.0, tree.threshold))
        parts["left"].append(np.where(leaf, 0, tree.children_left + n_nodes))
        parts["right"].append(np.where(leaf, 0, tree.children_right + n_nodes))
        parts["value"].append(
            np.where(leaf, _depths(tree.children_left, tree.children_right) + expected_path(tree.n_node_samples), 0.0)
        )
        n_nodes += tree.node_count
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    trees = TreeEnsemble(
        roots=np.array(roots, np.int32), feature=joined["feature"].astype(np.int32), threshold=joined["threshold"],
        missing_left=np.zeros(n_nodes, bool), left=joined["left"].astype(np.int32),
        right=joined["right"].astype(np.int32), value=joined["value"], bias=0.0,
    )  # fmt: skip
    return Forest(trees, float(expected_path(np.array([model.max_samples_]))[0]))


def _depths(left: NDArray[np.int64], right: NDArray[np.int64]) -> Floats:
    """How many steps each node of a tree is from its root; parents come before their children, leaves have -1."""
    depth = np.zeros(left.size)
    for node in np.flatnonzero(left >= 0).tolist():
        depth[left[node]] = depth[right[node]] = depth[node] + 1
    return depth


def expected_path(n_cells: NDArray[np.int64]) -> Floats:
    """Mean steps of a search without success in a binary tree of so many cells (Liu, Ting & Zhou 2008, ICDM: 413)."""
    n = np.asarray(n_cells, np.float64)
    over = np.maximum(n - 1, 1)
    path = 2 * (np.log(over) + np.euler_gamma) - 2 * (n - 1) / np.maximum(n, 1)
    return np.asarray(np.where(n > 2, path, np.where(n == 2, 1.0, 0.0)))
