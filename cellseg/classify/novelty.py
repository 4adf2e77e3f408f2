"""How strange a cell is among healthy ones, from the robust z of its features. Floor 3: arrays only.

Each kind takes (n, p) robust z, clipped and without NaN (what was not measured counts as the healthy median, 0), and
gives (n,) scores that rise with strangeness. A cell's score does not depend on the others it is scored with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cellseg.classify.trees import TreeEnsemble, evaluate_trees

Floats = NDArray[np.float64]
_DIGITS = 9
_CHUNK = 65_536
_LENGTHS = ("feature", "threshold", "left", "right", "value")


@dataclass(frozen=True)
class Plain:
    """Root mean square or largest of the absolute z of the features that were measured."""

    kind: Literal["rms", "max"]

    def score(self, z: Floats) -> Floats:
        """Scores (n,) of z (n, p); NaN is left out, a row of NaN alone gives NaN."""
        size = np.abs(z)
        measured = ~np.isnan(size)
        if self.kind == "max":
            return np.where(measured.any(axis=1), np.where(measured, size, -1.0).max(axis=1, initial=-1.0), np.nan)
        total = np.where(measured, size * size, 0.0).sum(axis=1)
        counted = measured.sum(axis=1)
        return np.asarray(np.where(counted > 0, np.sqrt(total / np.maximum(counted, 1)), np.nan))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"kind": self.kind}


@dataclass(frozen=True)
class Covariance:
    """Mahalanobis distance over sqrt(p), so that a cell that is 1 sd off in every direction scores 1.

    `centre` (p,) and `whitening` (p, p): (z - centre) @ whitening has the identity as covariance.
    """

    centre: Floats
    whitening: Floats

    def score(self, z: Floats) -> Floats:
        """Scores (n,) of z (n, p)."""
        out = np.empty(len(z))
        for at in range(0, len(z), _CHUNK):
            # einsum, not BLAS: a cell's sum must not depend on how many others there are
            white = np.einsum("ij,jk->ik", z[at : at + _CHUNK] - self.centre, self.whitening)
            out[at : at + _CHUNK] = np.sqrt((white * white).sum(axis=1) / max(z.shape[1], 1))
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"kind": "covariance", "centre": _plain(self.centre), "whitening": _plain(self.whitening)}


@dataclass(frozen=True)
class Forest:
    """2 ** (-mean path / expected path) of an isolation forest (Liu, Ting & Zhou 2008, ICDM: 413).

    The leaves of `trees` hold path lengths; `expected` is that of a search in as many cells as each tree was made of.
    """

    trees: TreeEnsemble
    expected: float

    def score(self, z: Floats) -> Floats:
        """Scores (n,) of z (n, p), within 0 and 1."""
        # the trees were grown on float32
        path = evaluate_trees(self.trees, z.astype(np.float32).astype(np.float64))
        return np.asarray(np.exp2(-path / (self.trees.roots.size * self.expected)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        arrays = {name: _plain(getattr(self.trees, name)) for name in ("roots", *_LENGTHS)}
        return {"kind": "isolation_forest", "expected": float(self.expected)} | arrays


@dataclass(frozen=True)
class Nearest:
    """Distance to the `n_nearest`-th of the healthy cells, over sqrt(p) (Ramaswamy, Rastogi & Shim 2000, SIGMOD: 427).

    `cells` (m, p) are the z of healthy cells, m >= n_nearest.
    """

    cells: Floats
    n_nearest: int

    def score(self, z: Floats) -> Floats:
        """Scores (n,) of z (n, p)."""
        from scipy.spatial import KDTree

        if not len(z):
            return np.empty(0)
        distance = np.asarray(KDTree(self.cells).query(z, k=[self.n_nearest])[0])
        return np.asarray(distance[:, 0] / np.sqrt(max(z.shape[1], 1)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"kind": "nearest", "n_nearest": self.n_nearest, "cells": _plain(self.cells)}


Scorer = Plain | Covariance | Forest | Nearest


def scorer_from_dict(values: Mapping[str, Any], n_features: int) -> Scorer:
    """The scorer that `to_dict` wrote, for cells of `n_features`.

    Raises
    ------
    KeyError, TypeError, ValueError
        If it is none, or of other features.
    """
    kind = values["kind"]
    if kind == "rms" or kind == "max":
        return Plain(kind)
    if kind == "covariance":
        return Covariance(_array(values["centre"], (n_features,)), _array(values["whitening"], (n_features,) * 2))
    if kind == "nearest":
        cells = _array(values["cells"], (len(values["cells"]), n_features))
        if not 1 <= values["n_nearest"] <= len(cells):
            raise ValueError(f"nearest cell {values['n_nearest']} of {len(cells)}")
        return Nearest(cells, int(values["n_nearest"]))
    if kind != "isolation_forest":
        raise ValueError(f"score of kind {kind!r}")
    feature = np.array(values["feature"], np.int32)
    trees = TreeEnsemble(
        roots=np.array(values["roots"], np.int32), feature=feature,
        threshold=np.array(values["threshold"], np.float64), missing_left=np.zeros(feature.size, bool),
        left=np.array(values["left"], np.int32), right=np.array(values["right"], np.int32),
        value=np.array(values["value"], np.float64), bias=0.0,
    )  # fmt: skip
    if trees.n_features > n_features:
        raise ValueError(f"trees on {trees.n_features} features for {n_features}")
    numbers = np.concatenate([trees.threshold, trees.value, [values["expected"]]])
    if not trees.roots.size or not np.isfinite(numbers).all() or not values["expected"] > 0:
        raise ValueError("no trees, or trees whose numbers are none")
    return Forest(trees, float(values["expected"]))


def _array(values: Sequence[Any], shape: tuple[int, ...]) -> Floats:
    array = np.array(values, np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"numbers of shape {array.shape}, expected {shape}")
    return array


def _plain(array: NDArray[Any]) -> list[Any]:
    """Lists of whole numbers, or of floats with so many digits that rounding changes no verdict."""
    if array.dtype.kind in "iu":
        return list(array.tolist())
    if array.ndim == 2:
        return [_plain(row) for row in array]
    return [float(f"{value:.{_DIGITS}g}") for value in array.tolist()]


def rounded(scorer: Scorer) -> Scorer:
    """The scorer as its file will have it, so that what was fitted and what was read judge alike."""
    n_features = 0
    if isinstance(scorer, Covariance):
        n_features = scorer.centre.size
    elif isinstance(scorer, Nearest):
        n_features = scorer.cells.shape[1]
    elif isinstance(scorer, Forest):
        n_features = scorer.trees.n_features
    return scorer_from_dict(scorer.to_dict(), n_features)
