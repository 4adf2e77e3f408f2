"""Suppression on a grid against the plain way over all pairs, which is torchvision's."""

from __future__ import annotations

import numpy as np
import pytest

from cellseg.segment.nms import suppress_overlaps


def _boxes(seed: int, n: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    size = np.exp(rng.normal(3.2, 0.7, (n, 2)))
    middle = rng.uniform(0, 400, (n, 2))
    boxes = np.clip(np.concatenate([middle - size / 2, middle + size / 2], axis=1), 0, 400)
    return boxes.astype(np.float32), rng.permutation(n).astype(np.float32) / n


@pytest.mark.parametrize("iou", [0.05, 0.4, 0.8, 1.0])
def test_against_all_pairs(iou: float) -> None:
    torch = pytest.importorskip("torch")
    from torchvision.ops import batched_nms, nms

    boxes, scores = _boxes(int(iou * 100))
    as_tensors = torch.from_numpy(boxes), torch.from_numpy(scores)
    assert suppress_overlaps(boxes, scores, iou=iou).tolist() == nms(*as_tensors, iou).tolist()
    groups = np.arange(len(boxes)) % 3
    apart = batched_nms(*as_tensors, torch.from_numpy(groups), iou)
    assert suppress_overlaps(boxes, scores, iou=iou, groups=groups).tolist() == apart.tolist()


def test_limit_and_ties_and_nothing() -> None:
    boxes, scores = _boxes(1)
    every = suppress_overlaps(boxes, scores, iou=0.4)
    assert suppress_overlaps(boxes, scores, iou=0.4, limit=7).tolist() == every[:7].tolist()
    assert len(suppress_overlaps(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), iou=0.4)) == 0
    equal, turned = np.ones(len(boxes), np.float32), np.random.default_rng(0).permutation(len(boxes))
    first, second = (b[suppress_overlaps(b, equal, iou=0.4)] for b in (boxes, boxes[turned]))
    assert np.array_equal(first, second)


def test_empty_boxes_meet_nothing() -> None:
    boxes = np.array([[5, 5, 5, 5], [5, 5, 5, 5], [0, 0, 10, 10]], np.float32)
    assert len(suppress_overlaps(boxes, np.array([3, 2, 1], np.float32), iou=0.5)) == 3
