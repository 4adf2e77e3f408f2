"""How right a map of classes is, pixel by pixel and along its boundaries. Floor 3: arrays only.

Dice is 2 TP / (2 TP + FP + FN), IoU is TP / (TP + FP + FN), pixel accuracy the share of pixels with their own class.
Boundary F1 (Csurka et al. 2013, BMVC) is the harmonic mean of the shares of a class's found and true boundary pixels
that have one of the other within a tolerance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

ClassMap = NDArray[np.uint8]
TOLERANCE_SHARE = 0.0075
"""Of the image's diagonal: how far apart boundaries may lie and still count as the same, by default."""


@dataclass(frozen=True)
class SemanticScore:
    """Counts of one or more maps; they add up.

    confusion : (K, K + 1) ndarray of int64, true class by found class; the last column is what got no class.
    boundary : (K, 4) ndarray of int64: found boundary pixels, those near a true one, true ones, those near a found one.
    """

    confusion: NDArray[np.int64]
    boundary: NDArray[np.int64]

    def __add__(self, other: SemanticScore) -> SemanticScore:
        return SemanticScore(self.confusion + other.confusion, self.boundary + other.boundary)


def add_scores(scores: Sequence[SemanticScore]) -> SemanticScore:
    """The counts of all of them together."""
    return SemanticScore(sum(s.confusion for s in scores), sum(s.boundary for s in scores))  # type: ignore[arg-type]


def default_tolerance_px(height: int, width: int) -> float:
    """`TOLERANCE_SHARE` of the diagonal, px."""
    return float(TOLERANCE_SHARE * np.hypot(height, width))


def score_map(
    truth: ClassMap,
    found: ClassMap,
    n_classes: int,
    *,
    tolerance_px: float,
    core: tuple[slice, slice] = (slice(None), slice(None)),
) -> SemanticScore:
    """Counts of one map.

    Parameters
    ----------
    truth, found : (H, W) ndarray of uint8
        Class numbers from 0; what is not under `n_classes` in truth is unknown and counts for nothing, in found it is
        no class.
    tolerance_px : float
        How far apart boundary pixels may lie and still be the same.
    core : tuple of slice
        The part that is counted, where the arrays hold its surroundings as well.
    """
    known = truth[core] < n_classes
    pairs = truth[core][known].astype(np.int64) * (n_classes + 1) + np.minimum(found[core][known], n_classes)
    confusion = np.bincount(pairs, minlength=n_classes * (n_classes + 1)).reshape(n_classes, n_classes + 1)
    boundary = np.zeros((n_classes, 4), np.int64)
    unknown = truth >= n_classes
    for number in range(n_classes):
        own, true = _boundary(found == number, unknown), _boundary(truth == number, unknown)
        boundary[number] = (
            own[core].sum(), (own & _near(true, tolerance_px))[core].sum(),
            true[core].sum(), (true & _near(own, tolerance_px))[core].sum(),
        )  # fmt: skip
    return SemanticScore(confusion.astype(np.int64), boundary)


def _boundary(inside: NDArray[np.bool_], unknown: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the class beside one that is not of it, 4-connected; the image's border is no boundary."""
    out = np.zeros_like(inside)
    down, across = inside[1:] != inside[:-1], inside[:, 1:] != inside[:, :-1]
    out[1:] |= down
    out[:-1] |= down
    out[:, 1:] |= across
    out[:, :-1] |= across
    return out & inside & ~unknown


def _near(marked: NDArray[np.bool_], tolerance_px: float) -> NDArray[np.bool_]:
    if not marked.any():
        return np.zeros_like(marked)
    distance = cv2.distanceTransform((~marked).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance <= tolerance_px + 1e-3, np.bool_)


def semantic_figures(score: SemanticScore, names: Sequence[str]) -> dict[str, float]:
    """Figures by name.

    Returns
    -------
    dict of float
        `dice NAME`, `iou NAME`, `boundary_f1 NAME` of each class, NaN where neither side has it; `mean_dice`,
        `mean_iou` and `mean_boundary_f1` over the classes that truth has; `pixel_accuracy`.
    """
    true, n = score.confusion.sum(axis=1), len(names)
    found, right = score.confusion.sum(axis=0)[:n], np.diag(score.confusion[:, :n])
    with np.errstate(invalid="ignore", divide="ignore"):
        dice, iou = 2 * right / (true + found), right / (true + found - right)
        precision, recall = (score.boundary[:, at + 1] / score.boundary[:, at] for at in (0, 2))
        boundary = 2 * precision * recall / (precision + recall)
        # a boundary that one side has and the other lacks is a miss, not unknown
        boundary[(score.boundary[:, 0] + score.boundary[:, 2] > 0) & ~np.isfinite(boundary)] = 0.0
        accuracy = float(right.sum() / true.sum()) if true.sum() else float("nan")
    out: dict[str, float] = {}
    there = true > 0
    for key, values in (("dice", dice), ("iou", iou), ("boundary_f1", boundary)):
        known = values[there & np.isfinite(values)]
        out[f"mean_{key}"] = float(known.mean()) if known.size else float("nan")
        out |= {f"{key} {name}": float(value) for name, value in zip(names, values, strict=True)}
    return out | {"pixel_accuracy": accuracy}


def group_map(classes: ClassMap, names: Sequence[str], groups: Mapping[str, Sequence[str]]) -> ClassMap:
    """The map with each class replaced by the number of the group that holds it; others become 255.

    Examples
    --------
    >>> group_map(np.array([[0, 1, 2, 255]], np.uint8), ("a", "b", "c"), {"x": ("a",), "y": ("b", "c")}).tolist()
    [[0, 1, 1, 255]]
    """
    table = np.full(256, 255, np.uint8)
    for number, members in enumerate(groups.values()):
        for member in members:
            table[list(names).index(member)] = number
    return np.asarray(table[classes], np.uint8)
