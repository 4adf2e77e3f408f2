"""A trained Mask R-CNN looking at one image: from pixels to boxes, scores and masks. Floor 3; torch.

The same parts and figures as the network in evaluation mode, put together for speed on thousands of small objects:
anchors are decoded and boxes judged only where the proposal network sees anything, overlaps are looked up on a grid,
and everything up to the last layers runs in the half precision that the processor has.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import MaskRCNN
from torchvision.ops import box_iou, clip_boxes_to_image

from cellseg.errors import ConfigError, ModelError
from cellseg.io.weights import Weights, fill_network
from cellseg.segment.architecture import STRIDES, Architecture
from cellseg.segment.backbone import fuse_activations
from cellseg.segment.maskrcnn import IMAGE_MEAN, IMAGE_SD, MASK_GRID, build_maskrcnn
from cellseg.segment.nms import suppress_overlaps

Features = dict[str, Tensor]
Image = NDArray[np.uint8]

MIN_OBJECTNESS = 0.02
"""0..1; what the proposal network is less sure of is not looked at again."""
_LEVEL_PROPOSALS_PER_MPX = 16_000
_PROPOSALS_PER_MPX = 12_000
_MIN_PROPOSALS = 2_000
_PROPOSAL_IOU = 0.8
_BOXES_AT_ONCE = 2048
_MASKS_AT_ONCE = 256
_SAME_IOU = 0.5
_FLIP_FLOOR = 0.05
_BYTES_PER_PX = 800
_MAX_BATCH = 16
_VIEWS: dict[str, tuple[tuple[int, ...], ...]] = {"none": ((),), "flips": ((), (3,), (2,))}
"""Axes of (N, C, H, W) along which each view of an image is mirrored."""


@dataclass(frozen=True)
class Limits:
    """What counts as found; fields as in `MaskRcnnSettings`."""

    min_score: float = 0.5
    nms_iou: float = 0.4
    max_detections: int = 5000
    augment: str = "none"


@dataclass(frozen=True)
class Detections:
    """What was found in an image, surest first.

    boxes : (N, 4) float32, x0, y0, x1, y1 in px of the image; scores : (N,) float32, how sure that it is an object of
    any class; classes : (N,) uint8, the likeliest, from 1; masks : (N, 28, 28) float32, probabilities on a grid over
    each box; n_cut : how many more there were than `max_detections`.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.uint8]
    masks: NDArray[np.float32]
    n_cut: int = 0


@dataclass(frozen=True)
class _Candidates:
    boxes: Tensor
    scores: Tensor
    classes: Tensor


def choose_device(name: str) -> torch.device:
    """The device of `compute.device`: auto takes a GPU where there is one.

    Raises
    ------
    ConfigError
        If a GPU is asked for and none is seen.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("compute.device: cuda, but PyTorch sees no GPU here; use auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def choose_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes in it, else float16 on GPUs and float32 on processors."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    native = any(getattr(torch.cpu, name, bool)() for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return torch.bfloat16 if native else torch.float32


def load_network(architecture: Architecture, weights: Weights) -> MaskRCNN:
    """The network of `architecture` with these weights, in float32 and evaluation mode.

    Raises
    ------
    ModelError
        If names or shapes do not fit the architecture, or a weight is not a finite number.
    """
    model = build_maskrcnn(architecture)
    fill_network(model, weights)
    for name, tensor in model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{weights.path}: {name} holds what is no number; take weights from an earlier step")
    return model.eval()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in the calling thread alone: work is shared out by windows, and sums do not depend on the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)


class Detector:
    """Finds objects in images that are at the network's scale; `detect` may be called from any thread.

    Parameters
    ----------
    model : MaskRCNN
        From `build_maskrcnn`; it is taken apart and must not be used afterwards.
    precision : torch.dtype, optional
        Of all but the last layers; that of `choose_precision` if not given.
    """

    def __init__(self, model: MaskRCNN, *, device: torch.device, precision: torch.dtype | None = None) -> None:
        self.device = device
        self.precision = choose_precision(device) if precision is None else precision
        heads, rpn = model.eval().roi_heads, model.rpn
        _flatten_channels_last(heads.box_head.fc6, heads.box_roi_pool.output_size[0])
        for part in (model.backbone, rpn.head.conv, heads.box_head, heads.mask_head, heads.mask_predictor):
            part.to(device=device, dtype=self.precision, memory_format=torch.channels_last)
        for part in (rpn.head.cls_logits, rpn.head.bbox_pred, heads.box_predictor):
            part.to(device=device, dtype=torch.float32)
        if device.type == "cpu":
            for whole in (model.backbone, rpn.head, heads):
                fuse_activations(whole)
        self._backbone, self._rpn, self._heads = model.backbone, rpn, heads
        self._anchors = [anchors.to(device) for anchors in rpn.anchor_generator.cell_anchors]
        self._mean = torch.tensor(IMAGE_MEAN, device=device).mul(255)[:, None, None]
        self._gain = torch.tensor(IMAGE_SD, device=device).mul(255).reciprocal()[:, None, None]
        self._turn = threading.Lock()

    def batch_size(self, side_px: int) -> int:
        """How many images of `side_px` fit into the device's memory at once; 1 on a processor."""
        if self.device.type != "cuda":
            return 1
        free = torch.cuda.mem_get_info(self.device)[0]
        return int(np.clip(0.7 * free / (_BYTES_PER_PX * side_px**2), 1, _MAX_BATCH))

    def detect(self, images: Sequence[Image], limits: Limits) -> list[Detections]:
        """Objects of each of several (H, W, 3) uint8 images of one shape, sides multiples of 32 px.

        A batch that does not fit into a GPU's memory is halved until it does.

        Raises
        ------
        ModelError
            If one image alone does not fit.
        """
        if self.device.type != "cuda":
            with one_thread():
                return self._detect(images, limits)
        try:
            with self._turn, torch.inference_mode():
                return self._detect(images, limits)
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            if len(images) == 1:
                side = max(images[0].shape[:2])
                raise ModelError(
                    f"a window of {side} px does not fit into the GPU's memory; lower segmentation.maskrcnn.window_px, "
                    "or use --device cpu"
                ) from error
        half = len(images) // 2
        return self.detect(images[:half], limits) + self.detect(images[half:], limits)

    def _detect(self, images: Sequence[Image], limits: Limits) -> list[Detections]:
        batch = torch.from_numpy(np.stack(images)).to(self.device).permute(0, 3, 1, 2)
        normal = batch.float().sub_(self._mean).mul_(self._gain)
        x = normal.to(self.precision, memory_format=torch.channels_last)
        views = _VIEWS[limits.augment]
        seen = [self._backbone(x.flip(axes) if axes else x) for axes in views]
        own = ([{name: level[n : n + 1] for name, level in one.items()} for one in seen] for n in range(len(images)))
        return [self._find(features, views, limits) for features in own]

    def _find(self, seen: list[Features], views: Sequence[tuple[int, ...]], limits: Limits) -> Detections:
        """Objects of one image, from the features of each of its views."""
        shape = tuple(int(side) * STRIDES[0] for side in seen[0][str(STRIDES[0])].shape[2:])
        floor = limits.min_score if len(views) == 1 else min(limits.min_score, _FLIP_FLOOR)
        judged = []
        for features, axes in zip(seen, views, strict=True):
            found = self._judge(features, self._propose(features, shape), shape, floor)
            judged.append(_Candidates(_mirror(found.boxes, axes, shape), found.scores, found.classes))
        kept, n_cut = _pool_views(judged, limits)
        masks = torch.stack(
            [
                self._masks(features, _mirror(kept.boxes, axes, shape), kept.classes).flip([a - 1 for a in axes])
                for features, axes in zip(seen, views, strict=True)
            ]
        ).mean(0)
        return Detections(
            kept.boxes.cpu().numpy(), kept.scores.cpu().numpy(), kept.classes.cpu().numpy().astype(np.uint8),
            masks.cpu().numpy(), n_cut,
        )  # fmt: skip

    def _propose(self, features: Features, shape: tuple[int, ...]) -> Tensor:
        """Boxes (P, 4) in which there may be an object."""
        mpx = shape[0] * shape[1] / 2**20
        most = max(_MIN_PROPOSALS, round(mpx * _LEVEL_PROPOSALS_PER_MPX))
        boxes, logits, levels = [], [], []
        for number, (stride, anchors) in enumerate(zip(STRIDES[1:], self._anchors, strict=True)):
            found, sure = self._propose_level(features[str(stride)], stride, anchors, most)
            boxes.append(clip_boxes_to_image(found, shape))
            logits.append(sure)
            levels.append(torch.full_like(sure, number))
        every, sure = torch.cat(boxes), torch.cat(logits)
        kept = suppress_overlaps(
            every.cpu().numpy(), sure.cpu().numpy(), iou=_PROPOSAL_IOU,
            groups=torch.cat(levels).long().cpu().numpy(), limit=max(_MIN_PROPOSALS, round(mpx * _PROPOSALS_PER_MPX)),
        )  # fmt: skip
        return every[torch.from_numpy(kept).to(self.device)]

    def _propose_level(self, level: Tensor, stride: int, anchors: Tensor, most: int) -> tuple[Tensor, Tensor]:
        head, n_anchors = self._rpn.head, len(anchors)
        hidden = head.conv(level).permute(0, 2, 3, 1).reshape(-1, level.shape[1])
        logits = _linear(hidden, head.cls_logits).flatten()
        chosen = torch.nonzero(logits > float(np.log(MIN_OBJECTNESS / (1 - MIN_OBJECTNESS))))[:, 0]
        if len(chosen) > most:
            chosen = chosen[torch.topk(logits[chosen], most).indices]
        place, which = chosen // n_anchors, chosen % n_anchors
        offsets = _linear(hidden[place], head.bbox_pred).view(-1, n_anchors, 4)[torch.arange(len(place)), which]
        y, x = place // level.shape[3], place % level.shape[3]
        middles = torch.stack([x, y, x, y], 1) * stride
        boxes = self._rpn.box_coder.decode_single(offsets, anchors[which] + middles)
        return boxes, logits[chosen]

    def _judge(self, features: Features, proposals: Tensor, shape: tuple[int, ...], floor: float) -> _Candidates:
        """Score, class and better box of each proposal; those of at least `floor`."""
        parts = [
            self._judge_some(features, proposals[start : start + _BOXES_AT_ONCE])
            for start in range(0, max(len(proposals), 1), _BOXES_AT_ONCE)
        ]
        boxes, scores, classes = (torch.cat(part) for part in zip(*parts, strict=True))
        boxes = clip_boxes_to_image(boxes, shape)
        wide = (boxes[:, 2] - boxes[:, 0] >= 1) & (boxes[:, 3] - boxes[:, 1] >= 1)
        kept = wide & (scores >= floor)
        return _Candidates(boxes[kept], scores[kept], classes[kept])

    def _judge_some(self, features: Features, proposals: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        heads = self._heads
        pooled = heads.box_roi_pool.read(features, proposals, torch.zeros_like(proposals[:, 0], dtype=torch.int64))
        hidden = functional.relu(heads.box_head.fc7(functional.relu(heads.box_head.fc6(pooled.flatten(1)))))
        logits = _linear(hidden, heads.box_predictor.cls_score)
        chances = logits.softmax(1)[:, 1:]
        offsets = _linear(hidden, heads.box_predictor.bbox_pred).view(*logits.shape, 4)
        classes = chances.argmax(1) + 1
        boxes = heads.box_coder.decode_single(offsets[torch.arange(len(hidden)), classes], proposals)
        return boxes, chances.sum(1), classes

    def _masks(self, features: Features, boxes: Tensor, classes: Tensor) -> Tensor:
        """(N, 28, 28) probabilities, a few hundred objects at a time."""
        heads = self._heads
        parts = [boxes.new_zeros((0, MASK_GRID, MASK_GRID))]
        for start in range(0, len(boxes), _MASKS_AT_ONCE):
            some = boxes[start : start + _MASKS_AT_ONCE]
            pooled = heads.mask_roi_pool.read(features, some, torch.zeros_like(some[:, 0], dtype=torch.int64))
            logits = heads.mask_predictor(heads.mask_head(pooled.permute(0, 3, 1, 2)))
            own = logits[torch.arange(len(some)), classes[start : start + _MASKS_AT_ONCE]]
            parts.append(own.float().sigmoid())
        return torch.cat(parts)


def _pool_views(judged: Sequence[_Candidates], limits: Limits) -> tuple[_Candidates, int]:
    """One detection an object, over all views; its score is the mean over the views, 0 where one did not see it."""
    each = [_select(found, _suppress(found, limits.nms_iou)) for found in judged]
    if len(each) == 1:
        kept = each[0]
    else:
        every = _Candidates(
            *(torch.cat(part) for part in zip(*((c.boxes, c.scores, c.classes) for c in each), strict=True))
        )
        kept = _select(every, _suppress(every, limits.nms_iou))
        scores = torch.stack([_best_score(kept.boxes, found) for found in each]).mean(0)
        order = torch.argsort(scores, descending=True, stable=True)
        kept = _select(_Candidates(kept.boxes, scores, kept.classes), order[scores[order] >= limits.min_score])
    n_cut = max(len(kept.scores) - limits.max_detections, 0)
    return _select(kept, torch.arange(len(kept.scores) - n_cut, device=kept.scores.device)), n_cut


def _suppress(found: _Candidates, iou: float) -> Tensor:
    kept = suppress_overlaps(found.boxes.cpu().numpy(), found.scores.cpu().numpy(), iou=iou)
    return torch.from_numpy(kept).to(found.boxes.device)


def _select(found: _Candidates, kept: Tensor) -> _Candidates:
    return _Candidates(found.boxes[kept], found.scores[kept], found.classes[kept])


def _best_score(boxes: Tensor, found: _Candidates) -> Tensor:
    """The score of the surest of `found` that lies on each box, 0 where none does."""
    if len(found.boxes) == 0:
        return boxes.new_zeros(len(boxes))
    return torch.where(box_iou(boxes, found.boxes) >= _SAME_IOU, found.scores[None], 0.0).amax(1)


def _mirror(boxes: Tensor, axes: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    """Boxes of an image as those of its mirror image along `axes` of (N, C, H, W)."""
    x0, y0, x1, y1 = boxes.unbind(1)
    if 3 in axes:
        x0, x1 = shape[1] - x1, shape[1] - x0
    if 2 in axes:
        y0, y1 = shape[0] - y1, shape[0] - y0
    return torch.stack([x0, y0, x1, y1], 1)


def _linear(rows: Tensor, layer: nn.Conv2d | nn.Linear) -> Tensor:
    """A last layer (a 1 x 1 convolution or a linear one) on rows of features, in float32."""
    return functional.linear(rows.float(), layer.weight.flatten(1), layer.bias)


def _flatten_channels_last(layer: nn.Linear, side: int) -> None:
    """Let a layer that reads (C, side, side) features in a row read them as (side, side, C), as they are pooled."""
    weight = layer.weight.data
    by_place = weight.view(len(weight), -1, side * side).transpose(1, 2)
    layer.weight = nn.Parameter(by_place.reshape(len(weight), -1).contiguous(), requires_grad=False)
