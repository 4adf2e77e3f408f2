"""Pooled features against torchvision's RoIAlign with one sample a bin, level by level."""

from __future__ import annotations

import pytest
import torch
from torchvision.ops import roi_align

from cellseg.segment.pool import RoiPool

STRIDES = (2, 4, 8)


def _features(channels: int = 5) -> dict[str, torch.Tensor]:
    chance = torch.Generator().manual_seed(0)
    return {str(s): torch.randn(2, channels, 128 // s, 192 // s, generator=chance) for s in STRIDES}


def _boxes(low: float, high: float, n: int, seed: int) -> torch.Tensor:
    """Inside the image, so that both ways of treating its border agree."""
    chance = torch.Generator().manual_seed(seed)
    size = low + (high - low) * torch.rand(n, 2, generator=chance)
    corner = 8 + torch.rand(n, 2, generator=chance) * (torch.tensor([176.0, 112.0]) - size)
    return torch.cat([corner, corner + size], 1)


@pytest.mark.parametrize(("number", "low", "high"), [(0, 4, 55), (1, 57, 78), (2, 112, 112)])
def test_against_torchvision(number: int, low: float, high: float) -> None:
    features, pool = _features(), RoiPool(STRIDES, 7, canonical_px=28)
    boxes = [_boxes(low, min(high, 104), 9, 1), _boxes(low, min(high, 104), 4, 2)]
    if number == 2:  # larger than any square that fits: 112 px is the root of the area
        boxes = [torch.tensor([[8.0, 8.0, 160.0, 112.0]]), torch.tensor([[10.0, 9.0, 170.0, 105.0]])]
    rows = torch.cat([torch.cat([torch.full((len(b), 1), float(i)), b], 1) for i, b in enumerate(boxes)])
    stride = STRIDES[number]
    expected = roi_align(features[str(stride)], rows, 7, 1 / stride, sampling_ratio=1, aligned=True)
    found = pool(features, boxes, None)
    assert found.shape == expected.shape
    # places of samples are worked out in another order: 1e-5 px off on a slope of a few units a pixel
    assert torch.allclose(found, expected, atol=1e-4)


def test_levels_may_mix_and_order_stays() -> None:
    features, pool = _features(), RoiPool(STRIDES, 7, canonical_px=28)
    mixed = torch.cat([_boxes(4, 20, 3, 1), _boxes(60, 75, 3, 2), torch.tensor([[8.0, 8.0, 160.0, 112.0]])])
    mixed = mixed[torch.tensor([6, 0, 3, 1, 4, 2, 5])]
    alone = torch.cat([pool(features, [box[None], box.new_zeros((0, 4))], None) for box in mixed])
    assert torch.allclose(pool(features, [mixed, mixed[:0]], None), alone, atol=1e-6)


def test_no_boxes_and_maps_of_one_cell() -> None:
    features, pool = _features(), RoiPool(STRIDES, 7, canonical_px=28)
    assert pool(features, [torch.zeros(0, 4)] * 2, None).shape == (0, 5, 7, 7)
    tiny = {"2": torch.full((1, 5, 1, 1), 3.0), "4": torch.full((1, 5, 1, 1), 4.0), "8": torch.zeros(1, 5, 1, 1)}
    assert (pool(tiny, [torch.tensor([[0.0, 0.0, 2.0, 2.0]])], None) == 3.0).all()


def test_gradient_is_that_of_torchvision() -> None:
    features, pool = _features(), RoiPool(STRIDES, 7, canonical_px=28)
    boxes = _boxes(10, 50, 6, 3)
    fine = features["2"].requires_grad_()
    push = torch.randn(6, 5, 7, 7, generator=torch.Generator().manual_seed(5))
    (pool(features, [boxes, boxes[:0]], None) * push).sum().backward()
    ours, fine.grad = fine.grad, None
    rows = torch.cat([torch.zeros(6, 1), boxes], 1)
    (roi_align(fine, rows, 7, 0.5, sampling_ratio=1, aligned=True) * push).sum().backward()
    assert torch.allclose(ours, fine.grad, atol=1e-4)
