"""Small SegNets that were never trained but find every class somewhere: what the tests of tissue maps run."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import fields
import torch
from torch import Tensor

from cellseg.io.weights import Weights, write_weights
from cellseg.segment.segnet import SegNet, build_segnet
from cellseg.segment.tissue_architecture import TissueArchitecture

TISSUES = TissueArchitecture(
    width=0.0625,
    classes=("stroma", "normal", "polyp", "carcinoma"),
    levels=(
        {"stroma": ("stroma",), "gland": ("normal", "polyp", "carcinoma")},
        {"stroma": ("stroma",), "benign": ("normal", "polyp"), "carcinoma": ("carcinoma",)},
    ),
    mpp=1.0,
)


def eager_segnet(architecture: TissueArchitecture = TISSUES, *, seed: int = 0) -> SegNet:
    """Random weights, with the last layer set so that every class is likely somewhere."""
    model = build_segnet(architecture).eval()
    model.load_state_dict(_eager_state(architecture, seed))
    return model


@cache
def _eager_state_of(text: str, seed: int) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    model = build_segnet(TissueArchitecture.model_validate_json(text)).eval()
    image = torch.from_numpy(fields.he_look(fields.blobs((128, 160), seed=0), seed=0)).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        # whatever came in, each convolution gives values of about the same size: its normalisation sees to that
        model.train()
        for part in model.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                part.momentum = None
                part.bias.normal_(0, 0.3)
        model(image)
        model.eval()
        scores = model(image)[0].flatten(1)
        gain = 2.0 / scores.std(1)
        model.classifier.weight.mul_(gain.view(-1, 1, 1, 1))
        model.classifier.bias.copy_((model.classifier.bias - scores.mean(1)) * gain)
    return dict(model.state_dict())


def _eager_state(architecture: TissueArchitecture, seed: int) -> dict[str, Tensor]:
    return _eager_state_of(architecture.model_dump_json(), seed)


def eager_tissue_weights(architecture: TissueArchitecture = TISSUES, *, seed: int = 0, **changed: Tensor) -> Weights:
    """The weights of `eager_segnet`, as they come from a file; `changed` by name wins."""
    tensors = {name: tensor.clone() for name, tensor in _eager_state(architecture, seed).items()}
    metadata = {"format": "cellseg-segnet-1", "architecture": architecture.model_dump(mode="json")}
    return Weights(tensors | changed, metadata, sha256="0" * 64, path=Path("eager.safetensors"))


def write_tissue_weights(path: Path, architecture: TissueArchitecture = TISSUES, *, seed: int = 0) -> str:
    """The same as a file; returns its path as a setting has it."""
    made = eager_tissue_weights(architecture, seed=seed)
    write_weights(path, made.tensors, made.metadata)
    return str(path)
