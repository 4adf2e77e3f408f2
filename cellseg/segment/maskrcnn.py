"""Mask R-CNN (He et al. 2017, ICCV) for small dense objects, on torchvision's parts. Floor 3; torch.

What differs from torchvision's defaults, and why: no rescaling of what is fed (the scale is the caller's), no cap of
100 objects a tile, proposals from stride 4 on, masks read from stride 2 on so that outlines of small nuclei are not
lost, a Dice term beside the mask's cross-entropy, and masks left in their boxes: pasting them is `segment.paste`'s.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss, project_masks_on_boxes
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from cellseg.segment.architecture import STRIDES, Architecture
from cellseg.segment.backbone import PyramidBackbone
from cellseg.segment.pool import RoiPool

MASK_GRID = 28
"""Side of the grid that a mask is predicted on, in its box."""
_FINEST = str(STRIDES[0])
IMAGE_MEAN = (0.485, 0.456, 0.406)
IMAGE_SD = (0.229, 0.224, 0.225)


class _NoResize(GeneralizedRCNNTransform):  # type: ignore[misc]
    """Normalises and batches; sizes and boxes stay as they are, masks in their boxes."""

    def resize(self, image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
        return image, target

    def postprocess(
        self,
        result: list[dict[str, Tensor]],
        image_shapes: Any,  # noqa: ANN401 - torchvision's
        original_image_sizes: Any,  # noqa: ANN401 - torchvision's
    ) -> list[dict[str, Tensor]]:
        return result


class _ProposalNetwork(RegionProposalNetwork):  # type: ignore[misc]
    """Proposals from stride 4 on; the finest level is for masks alone."""

    def forward(
        self, images: ImageList, features: dict[str, Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        coarse = {name: level.float() for name, level in features.items() if name != _FINEST}
        return cast("tuple[list[Tensor], dict[str, Tensor]]", super().forward(images, coarse, targets))


class _CellHeads(RoIHeads):  # type: ignore[misc]
    """Class, box and mask of every proposal; trained with a mask loss that small outlines count in."""

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        if self.training:
            return [], self._losses(features, proposals, image_shapes, targets or [])
        pooled = self.box_roi_pool(features, proposals, image_shapes)
        class_logits, box_regression = self.box_predictor(self.box_head(pooled))
        boxes, scores, labels = self.postprocess_detections(
            class_logits.float(), box_regression.float(), proposals, image_shapes
        )
        found = []
        for number, (own_boxes, own_scores, own_labels) in enumerate(zip(boxes, scores, labels, strict=True)):
            own = {name: level[number : number + 1] for name, level in features.items()}
            masks = self._masks(own, own_boxes, own_labels, image_shapes[number])
            found.append({"boxes": own_boxes, "scores": own_scores, "labels": own_labels, "masks": masks})
        return found, {}

    def _masks(self, features: dict[str, Tensor], boxes: Tensor, labels: Tensor, shape: tuple[int, int]) -> Tensor:
        """(N, 28, 28) probabilities of each object's own class, a few hundred objects at a time."""
        parts = [boxes.new_zeros((0, MASK_GRID, MASK_GRID))]
        for start in range(0, len(boxes), _MASKS_AT_ONCE):
            some = slice(start, start + _MASKS_AT_ONCE)
            pooled = self.mask_roi_pool(features, [boxes[some]], [shape])
            logits = self.mask_predictor(self.mask_head(pooled)).float()
            parts.append(logits[torch.arange(len(logits)), labels[some]].sigmoid())
        return torch.cat(parts)

    def _losses(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]],
    ) -> dict[str, Tensor]:
        proposals, matched, labels, box_targets = self.select_training_samples(proposals, targets)
        class_logits, box_regression = self.box_predictor(
            self.box_head(self.box_roi_pool(features, proposals, image_shapes))
        )
        loss_class, loss_box = fastrcnn_loss(class_logits.float(), box_regression.float(), labels, box_targets)
        positive = [torch.where(own > 0)[0] for own in labels]
        mask_boxes = [own[at] for own, at in zip(proposals, positive, strict=True)]
        logits = self.mask_predictor(self.mask_head(self.mask_roi_pool(features, mask_boxes, image_shapes)))
        truth = torch.cat(
            [
                project_masks_on_boxes(target["masks"], boxes, own[at], MASK_GRID)
                for target, boxes, own, at in zip(targets, mask_boxes, matched, positive, strict=True)
            ]
        )
        classes = torch.cat([own[at] for own, at in zip(labels, positive, strict=True)])
        loss_mask, loss_dice = mask_losses(logits.float(), truth, classes)
        return {"class": loss_class, "box": loss_box, "mask": loss_mask, "dice": loss_dice}


_MASKS_AT_ONCE = 256


def mask_losses(logits: Tensor, truth: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean binary cross-entropy (He et al. 2017) and Dice loss (Milletari et al. 2016, 3DV) of masks in their boxes.

    Parameters
    ----------
    logits : (N, C, 28, 28) Tensor of float
        Of every class; that of the object's own counts.
    truth : (N, 28, 28) Tensor of float
        Share of each grid cell that the object covers, 0..1.
    classes : (N,) Tensor of int
    """
    if len(truth) == 0:
        return logits.sum() * 0, logits.sum() * 0
    own = logits[torch.arange(len(logits), device=logits.device), classes]
    cross_entropy = functional.binary_cross_entropy_with_logits(own, truth)
    probability = own.sigmoid().flatten(1)
    truth = truth.flatten(1)
    both = 2 * (probability * truth).sum(1)
    dice = 1 - (both + 1) / (probability.sum(1) + truth.sum(1) + 1)
    return cross_entropy, dice.mean()


def build_maskrcnn(architecture: Architecture) -> MaskRCNN:
    """The network with random weights, on the CPU, in training mode.

    It takes a list of (3, H, W) float Tensors, 0..1, of any size. In training it also takes targets as torchvision's
    `MaskRCNN` does and returns losses; in evaluation it returns a dict an image: `boxes` (N, 4) as x0, y0, x1, y1 in
    px, `scores`, `labels` (class numbers from 1) and `masks` (N, 28, 28), probabilities on a grid over each box.
    """
    backbone = PyramidBackbone(architecture.backbone, architecture.pyramid_channels)
    channels, n_classes = architecture.pyramid_channels, len(architecture.classes) + 1
    anchors = AnchorGenerator(architecture.anchor_px, (architecture.anchor_ratios,) * len(architecture.anchor_px))
    model = MaskRCNN(
        backbone,
        rpn_anchor_generator=anchors,
        rpn_head=RPNHead(channels, anchors.num_anchors_per_location()[0]),
        box_head=TwoMLPHead(channels * 49, architecture.box_units),
        box_predictor=FastRCNNPredictor(architecture.box_units, n_classes),
        mask_head=MaskRCNNHeads(channels, (architecture.mask_channels,) * architecture.mask_layers, 1),
        mask_predictor=MaskRCNNPredictor(architecture.mask_channels, architecture.mask_channels, n_classes),
        **_SAMPLING,
    )
    model.transform = _NoResize(0, 0, IMAGE_MEAN, IMAGE_SD, size_divisible=STRIDES[-1])
    model.rpn.__class__ = _ProposalNetwork
    model.roi_heads.__class__ = _CellHeads
    model.roi_heads.box_roi_pool = RoiPool(STRIDES[1:], 7, canonical_px=28)
    model.roi_heads.mask_roi_pool = RoiPool(STRIDES, MASK_GRID // 2, canonical_px=28)
    return model


_SAMPLING: dict[str, Any] = {
    "rpn_pre_nms_top_n_train": 1000, "rpn_post_nms_top_n_train": 1000,
    "rpn_pre_nms_top_n_test": 4000, "rpn_post_nms_top_n_test": 4000,
    "rpn_nms_thresh": 0.8, "rpn_fg_iou_thresh": 0.6, "rpn_bg_iou_thresh": 0.3,
    "rpn_batch_size_per_image": 256, "rpn_positive_fraction": 0.5,
    "box_fg_iou_thresh": 0.5, "box_bg_iou_thresh": 0.5,
    "box_batch_size_per_image": 192, "box_positive_fraction": 0.33,
    "box_score_thresh": 0.05, "box_nms_thresh": 0.5, "box_detections_per_img": 10_000,
}  # fmt: skip
