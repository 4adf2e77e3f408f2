"""The trunks: strides and widths of their maps, activations made one with convolutions."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from cellseg.segment.architecture import STRIDES
from cellseg.segment.backbone import PyramidBackbone, fuse_activations

X = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet50"])
def test_maps_have_the_strides_that_are_named(name: str) -> None:
    torch.manual_seed(0)
    with torch.inference_mode():
        maps = PyramidBackbone(name, 8).eval()(X)
    assert {key: level.shape for key, level in maps.items()} == {str(s): (1, 8, 64 // s, 96 // s) for s in STRIDES}


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_fused_activations_change_nothing(precision: torch.dtype) -> None:
    torch.manual_seed(0)
    plain = PyramidBackbone("efficientnet_lite0", 8).eval().to(precision, memory_format=torch.channels_last)
    fused = copy.deepcopy(plain)
    fuse_activations(fused)
    n = [sum(isinstance(layer, nn.ReLU6) for layer in model.modules()) for model in (plain, fused)]
    assert n[0] > 30 and n[1] in (0, n[0]), "all of them are fused, or none where the processor cannot"
    x = (4 * X - 2).to(precision)
    with torch.inference_mode():
        for one, two in zip(plain(x).values(), fused(x).values(), strict=True):
            # the same sums; float32 may be added up in another order
            assert torch.allclose(one, two, rtol=1e-3, atol=1e-3 * float(one.abs().max()))
