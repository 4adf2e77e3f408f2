"""How good a detector is on labelled images, as it is trained: whole images, cells drawn greedily. Floor 4; torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cellseg.evaluate.matching import Score, figures, score_image
from cellseg.segment.architecture import Architecture
from cellseg.segment.paste import paste_masks
from cellseg.segment.scale import View
from cellseg.train.data import TrainingImage
from cellseg.train.loop import Figures, computes_in_half
from cellseg.types import Labels, Window

MIN_SCORE = 0.5
"""Score from which a detection is a cell here, as in `segmentation.maskrcnn` by default."""
NMS_IOU = 0.4
_IOUS = (0.5, 0.75)


def validate_detector(
    model: nn.Module,
    architecture: Architecture,
    images: Sequence[TrainingImage],
    device: torch.device,
    score_kinds: Sequence[str] = (),
) -> Figures:
    """AP@0.5, AP@0.75, precision and recall per kind of image (and class, where there are several), pooled over cells.

    Each image is looked at in the scale that gives its own median cell the network's size.

    Returns
    -------
    dict of float
        `KIND_ap@0.5` and so on; "score" is the mean of both AP over the kinds of `score_kinds` (all where empty) and
        the classes.
    """
    several = len(architecture.classes) > 1
    scores: dict[tuple[str, str], list[Score]] = {}
    model.eval()
    for image in images:
        predicted, classes = predict_labels(model, architecture, image, device)
        for number, name in enumerate(architecture.classes, start=1):
            true = image.labels.astype(np.uint32)
            own = predicted
            if several:
                ids = [i for i in np.unique(true) if i and image.classes.get(int(i), 1) == number]
                true = np.where(np.isin(true, ids), true, 0).astype(np.uint32)
                own = np.where(classes[predicted] == number, predicted, 0).astype(np.uint32)
            scores.setdefault((image.kind, f"_{name}" if several else ""), []).append(score_image(true, own, _IOUS))
    out: Figures = {}
    counted = []
    for (kind, name), group in sorted(scores.items()):
        found = figures(group, _IOUS)
        out |= {f"{kind}{name}_{key}": found[key] for key in ("ap@0.5", "ap@0.75", "precision@0.5", "recall@0.5")}
        if not score_kinds or kind in score_kinds:
            counted += [found["ap@0.5"], found["ap@0.75"]]
    # a class that neither side has in a kind says nothing
    known = [value for value in counted if value == value]
    return out | {"score": float(np.mean(known)) if known else float("nan")}


def predict_labels(
    model: nn.Module, architecture: Architecture, image: TrainingImage, device: torch.device
) -> tuple[Labels, NDArray[np.int64]]:
    """Labels (H, W) of the cells found in an image, and the class of each id (n + 1,), 0 for background."""
    height, width = image.labels.shape
    whole = Window(0, height, 0, width)
    view = View(architecture.diameter_px / max(image.diameter_px, 1.0), height, width)
    shown = view.look(lambda window: image.pixels[window.inside(whole)], whole)
    pixels = torch.from_numpy(shown).permute(2, 0, 1).float().to(device) / 255
    heads: Any = model.roi_heads
    heads.score_thresh, heads.nms_thresh = MIN_SCORE, NMS_IOU
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=computes_in_half(device)):
        found = {key: value.float().cpu().numpy() for key, value in model([pixels])[0].items()}
    boxes = view.to_slide(found["boxes"], view.patch(whole))
    labels, drawn = paste_masks(found["masks"], boxes, found["scores"], (height, width))
    return labels, np.concatenate([[0], found["labels"][drawn]]).astype(np.int64)
