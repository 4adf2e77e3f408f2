"""Small Mask R-CNNs that were never trained but find something all the same: what the tests of inference run."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import fields
import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN

from cellseg.io.weights import Weights
from cellseg.segment.architecture import Architecture
from cellseg.segment.maskrcnn import build_maskrcnn

TINY = Architecture(
    diameter_px=28.0,
    pyramid_channels=16, box_units=32, mask_channels=8, mask_layers=1, anchor_px=((12,), (24,), (48,), (96,)),
    anchor_ratios=(1.0,), classes=("round", "long"),
)  # fmt: skip


def eager_network(architecture: Architecture = TINY, *, seed: int = 0) -> MaskRCNN:
    """Random weights, with the last layers set so that objects of all classes are found all over, with many scores."""
    model = build_maskrcnn(architecture).eval()
    model.load_state_dict(_eager_state(architecture, seed))
    return model


@cache
def _eager_state(architecture: Architecture, seed: int) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    model = build_maskrcnn(architecture).eval()
    heads = model.roi_heads
    image = fields.he_look(fields.blobs((96, 128), seed=0), seed=0)
    x = [torch.from_numpy(image).permute(2, 0, 1).float() / 255]
    # one after the other: what a layer sees depends on those before it
    _spread(model, x, model.rpn.head.cls_logits, 2.0)
    _spread(model, x, model.rpn.head.bbox_pred, 0.2)
    _spread(model, x, heads.box_predictor.cls_score, 1.0)
    _spread(model, x, heads.box_predictor.bbox_pred, 0.5)
    _spread(model, x, heads.mask_predictor.mask_fcn_logits, 2.0)
    return dict(model.state_dict())


@torch.no_grad()
def _spread(model: MaskRCNN, images: list[Tensor], layer: nn.Conv2d | nn.Linear, sd: float) -> None:
    """Let each output of a layer have mean 0 and this standard deviation over what it is asked for these images."""
    seen: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _layer, _given, out: seen.append(out.transpose(0, 1).flatten(1)))
    model(images)
    hook.remove()
    out = torch.cat(seen, 1)
    gain = sd / out.std(1)
    layer.weight.mul_(gain.view(-1, *[1] * (layer.weight.dim() - 1)))
    layer.bias.copy_((layer.bias - out.mean(1)) * gain)


def eager_weights(architecture: Architecture = TINY, *, seed: int = 0, **changed: Tensor) -> Weights:
    """The weights of `eager_network`, as they come from a file; `changed` by name wins."""
    tensors = {name: tensor.clone() for name, tensor in _eager_state(architecture, seed).items()}
    metadata = {"format": "cellseg-maskrcnn-1", "architecture": architecture.model_dump(mode="json")}
    return Weights(tensors | changed, metadata, sha256="0" * 64, path=Path("eager.safetensors"))
