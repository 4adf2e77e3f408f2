"""Trees that scikit-learn fitted, as plain arrays. Floor 4: arrays only."""

from __future__ import annotations

from typing import Any

import numpy as np

from cellseg.classify.trees import TreeEnsemble
from cellseg.errors import ModelError


def tree_ensemble(fit: Any) -> TreeEnsemble:  # noqa: ANN401 - a class of scikit-learn, which is imported when needed
    """The trees of a fitted `HistGradientBoostingClassifier` of two classes, without categories.

    Their sum is its `decision_function`: log-odds of the second class.

    Raises
    ------
    ModelError
        If it tells more classes apart, or splits by categories.
    """
    _check_two_classes(fit)
    parts = [trees[0].nodes for trees in fit._predictors]
    sizes = np.array([len(nodes) for nodes in parts], np.int64)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]) if parts else np.empty(0, np.int64)
    nodes = np.concatenate(parts)
    if nodes["is_categorical"].any():
        raise ModelError("trees that split by categories; expected numbers: fit them without categorical_features")
    first = np.repeat(starts, sizes)
    leaf = nodes["is_leaf"].astype(bool)
    return TreeEnsemble(
        roots=starts.astype(np.int32),
        feature=np.where(leaf, -1, nodes["feature_idx"]).astype(np.int32),
        threshold=np.where(leaf, 0.0, nodes["num_threshold"]).astype(np.float64),
        missing_left=nodes["missing_go_to_left"].astype(bool) & ~leaf,
        left=np.where(leaf, 0, nodes["left"] + first).astype(np.int32),
        right=np.where(leaf, 0, nodes["right"] + first).astype(np.int32),
        value=np.where(leaf, nodes["value"], 0.0).astype(np.float64),
        bias=float(np.ravel(fit._baseline_prediction)[0]),
    )


def _check_two_classes(fit: Any) -> None:  # noqa: ANN401 - a class of scikit-learn
    n_classes = len(fit.classes_)
    if n_classes != 2:
        raise ModelError(f"trees of {n_classes} classes; expected two: map the others to healthy or abnormal")
