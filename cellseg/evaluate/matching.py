"""How well predicted cells match true ones: IoU matching and the figures that the field quotes. Floor 3: arrays only.

Matching is one to one and optimal at each IoU threshold, as in StarDist (Schmidt et al. 2018, MICCAI); average
precision is TP / (TP + FP + FN), as in the Data Science Bowl 2018 (Caicedo et al. 2019, Nat Methods 16:1247). Overlaps
are counted once, as a sparse list of pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from cellseg.errors import LabelError
from cellseg.types import Labels

IOU_THRESHOLDS: tuple[float, ...] = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)


@dataclass(frozen=True)
class Overlaps:
    """Which cells overlap: pairs of indices into the ascending ids of both sides, with their common pixels.

    `true_ids` (T,) and `predicted_ids` (P,) uint32; `true_areas`, `predicted_areas` int64, px; `true_index`,
    `predicted_index` and `intersections` (K,) int64, one entry a pair that shares at least a pixel.
    """

    true_ids: NDArray[np.uint32]
    predicted_ids: NDArray[np.uint32]
    true_areas: NDArray[np.int64]
    predicted_areas: NDArray[np.int64]
    true_index: NDArray[np.int64]
    predicted_index: NDArray[np.int64]
    intersections: NDArray[np.int64]

    @property
    def unions(self) -> NDArray[np.int64]:
        """Pixels in either cell of each pair."""
        both = self.true_areas[self.true_index] + self.predicted_areas[self.predicted_index]
        return both - self.intersections

    @property
    def ious(self) -> NDArray[np.float64]:
        """Intersection over union of each pair."""
        return np.asarray(self.intersections / self.unions, np.float64)


@dataclass(frozen=True)
class Matching:
    """Counts at one IoU threshold, which add up over images, and the matched pairs as ids."""

    threshold: float
    n_true: int
    n_predicted: int
    n_matched: int
    iou_sum: float
    true_ids: NDArray[np.uint32]
    predicted_ids: NDArray[np.uint32]


@dataclass(frozen=True)
class Score:
    """What one image adds to the figures of its group: sums, so that a group's figure is that of its pooled cells."""

    n_true: int
    n_predicted: int
    n_matched: tuple[int, ...]
    iou_sum: tuple[float, ...]
    aji_intersection: int
    aji_union: int
    object_dice: float
    foreground_intersection: int
    foreground_sum: int


def count_overlaps(truth: Labels, prediction: Labels) -> Overlaps:
    """The overlaps of two label images of one shape.

    Parameters
    ----------
    truth, prediction : (H, W) ndarray of an unsigned type
        Label images, 0 = background.

    Raises
    ------
    LabelError
        If the shapes differ.
    """
    if truth.shape != prediction.shape:
        raise LabelError(
            f"prediction of shape {prediction.shape}, truth of shape {truth.shape}; expected label images of one "
            "image; compare the files that belong together"
        )
    keys = truth.astype(np.uint64).ravel() << np.uint64(32) | prediction.astype(np.uint64).ravel()
    pairs, counts = np.unique(keys, return_counts=True)
    return merge_overlaps([(pairs, counts)])


def merge_overlaps(parts: Iterable[tuple[NDArray[np.uint64], NDArray[np.int64]]]) -> Overlaps:
    """Overlaps from counted pairs (truth id << 32 | predicted id) of any number of parts of one image."""
    listed = list(parts)
    pairs, inverse = np.unique(np.concatenate([p for p, _ in listed]), return_inverse=True)
    counts = np.zeros(pairs.size, np.int64)
    np.add.at(counts, inverse, np.concatenate([c for _, c in listed]))
    true, predicted = (pairs >> np.uint64(32)).astype(np.uint32), (pairs & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    true_ids, true_index = np.unique(true, return_inverse=True)
    predicted_ids, predicted_index = np.unique(predicted, return_inverse=True)
    true_areas = np.bincount(true_index, counts, true_ids.size).astype(np.int64)
    predicted_areas = np.bincount(predicted_index, counts, predicted_ids.size).astype(np.int64)
    # background is id 0, the first of its side if it is there at all
    t0, p0 = int((true_ids[:1] == 0).sum()), int((predicted_ids[:1] == 0).sum())
    cells = (true != 0) & (predicted != 0)
    return Overlaps(
        true_ids[t0:], predicted_ids[p0:], true_areas[t0:], predicted_areas[p0:],
        true_index[cells] - t0, predicted_index[cells] - p0, counts[cells],
    )  # fmt: skip


def match_instances(overlaps: Overlaps, threshold: float = 0.5) -> Matching:
    """The one-to-one matching of cells with IoU >= `threshold` that has most pairs, and among those the greatest IoU.

    Solved exactly, one group of overlapping cells at a time, with the costs of StarDist: a pair counts 1 and its IoU
    over twice the number of pairs that are possible.

    Parameters
    ----------
    overlaps : Overlaps
        Of truth and prediction.
    threshold : float
        Least IoU, over 0 to 1.
    """
    ious = overlaps.ious
    good = np.flatnonzero(ious >= threshold)
    chosen = _assign(overlaps.true_index[good], overlaps.predicted_index[good], ious[good])
    pairs = good[chosen]
    return Matching(
        threshold, overlaps.true_ids.size, overlaps.predicted_ids.size, pairs.size, float(ious[pairs].sum()),
        overlaps.true_ids[overlaps.true_index[pairs]], overlaps.predicted_ids[overlaps.predicted_index[pairs]],
    )  # fmt: skip


def _assign(rows: NDArray[np.int64], columns: NDArray[np.int64], ious: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which of the pairs are matched; pairs that have no rival are, without further ado."""
    rivals = (np.bincount(rows)[rows] > 1) | (np.bincount(columns)[columns] > 1) if rows.size else np.zeros(0, bool)
    chosen = [np.flatnonzero(~rivals)]
    left = np.flatnonzero(rivals)
    if left.size:
        n_rows, n_columns = int(rows.max()) + 1, int(columns.max()) + 1
        graph = coo_array(
            (np.ones(left.size), (rows[left], columns[left] + n_rows)), shape=(n_rows + n_columns, n_rows + n_columns)
        )
        _, groups = connected_components(graph, directed=False)
        order = left[np.argsort(groups[rows[left]], kind="stable")]
        cuts = np.flatnonzero(np.diff(groups[rows[order]])) + 1
        chosen += [part[_assign_group(rows[part], columns[part], ious[part])] for part in np.split(order, cuts)]
    return np.sort(np.concatenate(chosen))


def _assign_group(rows: NDArray[np.int64], columns: NDArray[np.int64], ious: NDArray[np.float64]) -> NDArray[np.int64]:
    row_ids, row = np.unique(rows, return_inverse=True)
    column_ids, column = np.unique(columns, return_inverse=True)
    gain = np.zeros((row_ids.size, column_ids.size))
    pair = np.full(gain.shape, -1, np.int64)
    gain[row, column] = 1.0 + ious / (2 * min(gain.shape))
    pair[row, column] = np.arange(rows.size)
    found = pair[linear_sum_assignment(gain, maximize=True)]
    return np.asarray(found[found >= 0], np.int64)


def score_image(truth: Labels, prediction: Labels, thresholds: Sequence[float] = IOU_THRESHOLDS) -> Score:
    """All that `figures` needs of one image.

    Raises
    ------
    LabelError
        If the shapes differ.
    """
    return score_overlaps(count_overlaps(truth, prediction), thresholds)


def score_overlaps(overlaps: Overlaps, thresholds: Sequence[float] = IOU_THRESHOLDS) -> Score:
    """All that `figures` needs of one image whose overlaps are counted."""
    matchings = [match_instances(overlaps, threshold) for threshold in thresholds]
    aji_intersection, aji_union = _aggregated_jaccard(overlaps)
    return Score(
        n_true=overlaps.true_ids.size,
        n_predicted=overlaps.predicted_ids.size,
        n_matched=tuple(m.n_matched for m in matchings),
        iou_sum=tuple(m.iou_sum for m in matchings),
        aji_intersection=aji_intersection,
        aji_union=aji_union,
        object_dice=_object_dice(overlaps),
        foreground_intersection=int(overlaps.intersections.sum()),
        foreground_sum=int(overlaps.true_areas.sum() + overlaps.predicted_areas.sum()),
    )


def _aggregated_jaccard(overlaps: Overlaps) -> tuple[int, int]:
    """Numerator and denominator of the aggregated Jaccard index (Kumar et al. 2017, IEEE Trans Med Imaging 36:1550).

    Each true cell takes the predicted cell of greatest IoU, which may serve several; unmatched cells of both sides
    count whole in the union.
    """
    best = _best_per_cell(overlaps.true_index, overlaps.ious)
    used = np.unique(overlaps.predicted_index[best])
    missed = np.delete(overlaps.true_areas, overlaps.true_index[best]).sum()
    unused = np.delete(overlaps.predicted_areas, used).sum()
    return int(overlaps.intersections[best].sum()), int(overlaps.unions[best].sum() + missed + unused)


def _best_per_cell(index: NDArray[np.int64], value: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each cell in `index` the pair of greatest value; the first of equals."""
    order = np.lexsort((np.arange(index.size), -value, index))
    first = np.ones(order.size, bool)
    first[1:] = np.diff(index[order]) > 0
    return np.asarray(order[first], np.int64)


def _object_dice(overlaps: Overlaps) -> float:
    """Object-level Dice (Sirinukunwattana et al. 2017, Med Image Anal 35:489); 1 for two empty images, 0 for one.

    The mean of both directions; each cell is compared with the cell of the other side that it shares most pixels with,
    weighted by its area.
    """
    sides = (
        (overlaps.true_index, overlaps.true_areas), (overlaps.predicted_index, overlaps.predicted_areas)
    )  # fmt: skip
    if not overlaps.true_ids.size or not overlaps.predicted_ids.size:
        return float(overlaps.true_ids.size == overlaps.predicted_ids.size)
    areas = overlaps.true_areas[overlaps.true_index] + overlaps.predicted_areas[overlaps.predicted_index]
    dice = 2.0 * overlaps.intersections / areas
    total = 0.0
    for index, own_areas in sides:
        best = _best_per_cell(index, overlaps.intersections.astype(np.float64))
        total += 0.5 * float((own_areas[index[best]] * dice[best]).sum() / own_areas.sum())
    return total


def figures(scores: Sequence[Score], thresholds: Sequence[float] = IOU_THRESHOLDS) -> dict[str, float]:
    """The figures of a group of images, over its pooled cells; NaN where there is nothing to divide by.

    For every threshold t: `precision@t`, `recall@t`, `f1@t`, `ap@t`; `ap_mean` over the thresholds; `ap_by_image@t` at
    the first threshold, the mean over the images that have a cell; `pq`, `sq`, `rq` at the first threshold (Kirillov et
    al. 2019, CVPR); `aji`; `object_dice`, the mean over images; `dice` of the foreground.
    """
    n_true, n_predicted = sum(s.n_true for s in scores), sum(s.n_predicted for s in scores)
    out: dict[str, float] = {"n_true": n_true, "n_predicted": n_predicted}
    for at, threshold in enumerate(thresholds):
        matched = sum(s.n_matched[at] for s in scores)
        out[f"precision@{threshold:g}"] = _ratio(matched, n_predicted)
        out[f"recall@{threshold:g}"] = _ratio(matched, n_true)
        out[f"f1@{threshold:g}"] = _ratio(2 * matched, n_true + n_predicted)
        out[f"ap@{threshold:g}"] = _ratio(matched, n_true + n_predicted - matched)
    out["ap_mean"] = float(np.mean([out[f"ap@{threshold:g}"] for threshold in thresholds]))
    by_image = [_ratio(s.n_matched[0], s.n_true + s.n_predicted - s.n_matched[0]) for s in scores]
    with_cells = [value for value in by_image if value == value]
    out[f"ap_by_image@{thresholds[0]:g}"] = float(np.mean(with_cells)) if with_cells else float("nan")
    iou_sum, matched = sum(s.iou_sum[0] for s in scores), sum(s.n_matched[0] for s in scores)
    out["sq"] = _ratio(iou_sum, matched)
    out["rq"] = out[f"f1@{thresholds[0]:g}"]
    out["pq"] = _ratio(2 * iou_sum, n_true + n_predicted)
    out["aji"] = _ratio(sum(s.aji_intersection for s in scores), sum(s.aji_union for s in scores))
    out["object_dice"] = float(np.mean([s.object_dice for s in scores])) if scores else float("nan")
    out["dice"] = _ratio(2 * sum(s.foreground_intersection for s in scores), sum(s.foreground_sum for s in scores))
    return out


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")
