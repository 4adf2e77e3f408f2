"""Mask R-CNN as a task of the training loop, and what it starts from. Floor 4; torch."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cellseg.errors import ModelError
from cellseg.network_config import MaskRcnnTrainSettings
from cellseg.segment.architecture import Architecture
from cellseg.segment.backbone import EfficientNetLite0, load_imagenet_lite0
from cellseg.segment.maskrcnn import build_maskrcnn
from cellseg.train.data import Crop, CropSettings, TrainingImage, draw_crop, sampling_weights
from cellseg.train.loop import Figures
from cellseg.train.validate import validate_detector

_EMPTY_SHARE = 0.1
_TRIES = 10
_BOX, _MASK = "roi_heads.box_predictor.", "roi_heads.mask_predictor.mask_fcn_logits."


class MaskRcnnTask:
    """A Mask R-CNN with random weights, the images it learns from and those it is judged on.

    Raises
    ------
    LabelError
        If no training image has an object.
    """

    def __init__(
        self,
        architecture: Architecture,
        images: Sequence[TrainingImage],
        validation: Sequence[TrainingImage],
        settings: MaskRcnnTrainSettings,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.model: nn.Module = build_maskrcnn(architecture)
        self.architecture, self.images, self.validation, self.settings = architecture, images, validation, settings
        self.weights = sampling_weights(images, settings.kind_weights)
        self.crop = CropSettings(settings.crop_px, architecture.diameter_px)

    def sample(self, seed: int, step: int, index: int) -> Crop:
        """A crop; seldom one without objects."""
        rng = np.random.default_rng([seed, step, index])
        for _ in range(_TRIES):
            image = self.images[int(rng.choice(len(self.images), p=self.weights))]
            crop = draw_crop(image, self.crop, self.settings.augment, rng)
            if len(crop.boxes) or rng.random() < _EMPTY_SHARE:
                break
        return crop

    def losses(self, model: nn.Module, batch: list[Crop], device: torch.device) -> dict[str, Tensor]:
        """Of proposals, classes, boxes and masks."""
        pixels = [torch.from_numpy(crop.pixels).permute(2, 0, 1).to(device) for crop in batch]
        targets = [
            {
                "boxes": torch.from_numpy(crop.boxes).to(device),
                "labels": torch.from_numpy(crop.classes).to(device),
                "masks": torch.from_numpy(crop.masks).to(device),
            }
            for crop in batch
        ]
        losses: dict[str, Tensor] = model(pixels, targets)
        return losses

    def names(self, batch: list[Crop]) -> list[str]:
        """Names of the images that the crops are of."""
        return [crop.name for crop in batch]

    def validate(self, model: nn.Module, device: torch.device) -> Figures:
        """AP per kind of image; "score" is their mean."""
        return validate_detector(model, self.architecture, self.validation, device, self.settings.score_kinds)


def start_from_weights(
    model: nn.Module, classes: Sequence[str], tensors: Mapping[str, Tensor], old_classes: Sequence[str], where: str
) -> None:
    """Fill `model` with a detector's weights, whose classes may be others.

    Each class starts as the old one of its name, or else as the mean of all old ones, so that a network that finds
    nuclei finds them from the first step on, whatever their kinds are to be called.

    Raises
    ------
    ModelError
        If the weights are of another architecture.
    """
    rows = [
        [old_classes.index(name) + 1] if name in old_classes else [*range(1, len(old_classes) + 1)] for name in classes
    ]
    fitted = {name: value.float() for name, value in tensors.items()}
    for name in [name for name in fitted if name.startswith((_BOX, _MASK))]:
        fitted[name] = _of_classes(fitted[name], [[0], *rows], 4 if "bbox_pred" in name else 1)
    # new classes share the chance of the old ones that they come from
    bias = fitted.get(f"{_BOX}cls_score.bias")
    if bias is not None:
        heirs = [sum(own == other for other in rows) for own in rows]
        bias[1:] -= torch.log(torch.tensor(heirs, dtype=torch.float32) / torch.tensor([len(own) for own in rows]))
    try:
        model.load_state_dict(fitted)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{where}: its weights are of another network ({reason}); train from other ones") from error


def _of_classes(values: Tensor, rows: Sequence[Sequence[int]], per_class: int) -> Tensor:
    """The parts of `values` (old classes * per_class, ...) that new classes start from, the mean of several."""
    parts = values.reshape(-1, per_class, *values.shape[1:])
    return torch.stack([parts[list(own)].mean(0) for own in rows]).flatten(0, 1)


def start_from_imagenet(model: nn.Module, data: bytes, where: str) -> None:
    """Fill the trunk of `model` with ImageNet weights: a state dict as timm or torchvision publish it.

    Raises
    ------
    ModelError
        If `data` is none, or of another trunk.
    """
    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        trunk: Any = model.backbone
        trunk = trunk.trunk
        if isinstance(trunk, EfficientNetLite0):
            load_imagenet_lite0(trunk, state)
        else:
            trunk.load_state_dict(_as_resnet_trunk(state))
    except (RuntimeError, ValueError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{where}: no ImageNet weights of this trunk ({reason}); give the state dict of efficientnet_lite0 or "
            "resnet50 as their authors publish it"
        ) from error


def _as_resnet_trunk(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Torchvision's ResNet weights under the names of our trunk, without the classifier."""
    renamed = {}
    for name, value in state.items():
        first, _, rest = name.partition(".")
        place = {"conv1": "stem.0", "bn1": "stem.1"} | {f"layer{at + 1}": f"stages.{at}" for at in range(4)}
        if first in place:
            renamed[f"{place[first]}.{rest}"] = value
    return renamed
