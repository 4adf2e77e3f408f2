"""The sparse figures against a plain second implementation: every pair of masks, the whole assignment at once."""

from itertools import permutations

import numpy as np
import pytest
from fields import blobs, raster_ids
from scipy.optimize import linear_sum_assignment

from cellseg.evaluate.matching import IOU_THRESHOLDS, count_overlaps, figures, match_instances, score_image


def ious_of(truth, prediction):
    t_ids, p_ids = np.unique(truth[truth > 0]), np.unique(prediction[prediction > 0])
    table = np.zeros((t_ids.size, p_ids.size))
    for i, t in enumerate(t_ids):
        for j, p in enumerate(p_ids):
            a, b = truth == t, prediction == p
            table[i, j] = (a & b).sum() / (a | b).sum()
    return table


def object_dice(one, other):
    """Sirinukunwattana's sum, one way: each object with the one that it shares most pixels with, weighted by area."""
    total = 0.0
    for i in np.unique(one[one > 0]):
        mask = one == i
        under = other[mask & (other > 0)]
        if under.size:
            best = other == np.bincount(under).argmax()
            total += mask.sum() * 2 * (mask & best).sum() / (mask.sum() + best.sum())
    return total / (one > 0).sum()


def brute_force(truth, prediction):
    """The figures from dense tables; StarDist's cost matrix for the assignment, Kumar's loop for the AJI."""
    iou, out = ious_of(truth, prediction), {}
    n_true, n_predicted = iou.shape
    for t in IOU_THRESHOLDS:
        cost = -(iou >= t).astype(float) - iou / (2 * min(iou.shape))
        r, c = linear_sum_assignment(cost)
        hit = iou[r, c] >= t
        tp = int(hit.sum())
        out[f"ap@{t:g}"] = tp / (n_true + n_predicted - tp)
        out[f"f1@{t:g}"] = 2 * tp / (n_true + n_predicted)
        out[f"precision@{t:g}"], out[f"recall@{t:g}"] = tp / n_predicted, tp / n_true
        if t == 0.5:
            out["pq"] = iou[r, c][hit].sum() / ((n_true + n_predicted) / 2)
    common = union = 0
    used = set()
    for i, t in enumerate(np.unique(truth[truth > 0])):
        j = int(iou[i].argmax())
        if iou[i, j] == 0:
            union += (truth == t).sum()
            continue
        p = np.unique(prediction[prediction > 0])[j]
        used.add(p)
        common += ((truth == t) & (prediction == p)).sum()
        union += ((truth == t) | (prediction == p)).sum()
    union += sum((prediction == p).sum() for p in np.unique(prediction[prediction > 0]) if p not in used)
    out["aji"] = common / union
    out["ap_mean"] = np.mean([out[f"ap@{t:g}"] for t in IOU_THRESHOLDS])
    out["object_dice"] = (object_dice(truth, prediction) + object_dice(prediction, truth)) / 2
    out["dice"] = 2 * ((truth > 0) & (prediction > 0)).sum() / ((truth > 0).sum() + (prediction > 0).sum())
    return out


def shifted(labels, dy, dx):
    out = np.zeros_like(labels)
    out[dy:, dx:] = labels[: labels.shape[0] - dy, : labels.shape[1] - dx]
    return raster_ids(out)


@pytest.mark.parametrize(("dy", "dx", "seed"), [(0, 1, 0), (2, 1, 0), (3, 3, 0), (0, 0, 5), (9, 2, 3)])
def test_figures_equal_brute_force(dy, dx, seed):
    truth = blobs((96, 96), seed=0)
    prediction = shifted(blobs((96, 96), seed=seed), dy, dx)
    got, expected = figures([score_image(truth, prediction)]), brute_force(truth, prediction)
    # 1e-12: the same integers, divided in another order
    assert {name: got[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_matching_is_optimal(seed):
    """No other one-to-one pairing has more pairs over the threshold, nor as many at a greater sum of IoU."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(rng.integers(0, 5, 12), 3)[None].astype(np.uint32)
    prediction = np.repeat(rng.integers(0, 5, 9), 4)[None].astype(np.uint32)
    iou = ious_of(truth, prediction)
    threshold = 0.2
    if iou.shape[0] > iou.shape[1]:
        iou = iou.T
    best = max(
        ((hit := [v for i, j in enumerate(p) if (v := iou[i, j]) >= threshold]) and (len(hit), sum(hit))) or (0, 0.0)
        for p in permutations(range(iou.shape[1]), iou.shape[0])
    )
    matching = match_instances(count_overlaps(truth, prediction), threshold)
    assert matching.n_matched == best[0]
    assert matching.iou_sum == pytest.approx(best[1], abs=1e-12)
