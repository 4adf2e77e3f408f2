"""SegNet as a task of the training loop. Floor 4; torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cellseg.errors import LabelError, ModelError
from cellseg.network_config import SegNetTrainSettings
from cellseg.segment.segnet import build_segnet
from cellseg.segment.tissue_architecture import UNLABELLED, TissueArchitecture
from cellseg.train.loop import Figures, computes_in_half
from cellseg.train.tissue_data import (
    TissueCrop,
    TissueImage,
    draw_tissue_crop,
    median_frequency_weights,
    pixel_counts,
    sampling_weights,
)

AUXILIARY_WEIGHT = 0.4
"""Of the cross-entropy at each coarser resolution, beside that of the map itself."""
_MAX_WEIGHT = 10.0


class SupervisedSegNet(nn.Module):
    """A SegNet and, for training alone, a classifier on the encoder's end and on each resolution of the decoder.

    Without them hardly a gradient finds its way through 26 layers and five unpoolings, which hand on one value in four
    (deep supervision: Lee et al. 2015, AISTATS). They are not part of the weights that are kept.
    """

    def __init__(self, architecture: TissueArchitecture) -> None:
        super().__init__()
        self.network = build_segnet(architecture)
        blocks = architecture.blocks
        channels = (blocks[-1][-1], *(block[-1] for block in reversed(blocks[:-1])))
        self.heads = nn.ModuleList(nn.Conv2d(n, len(architecture.classes), 1) for n in channels)

    def forward(self, pixels: Tensor) -> Tensor | list[Tensor]:
        """Scores (N, K, H, W); in training a list of them and, from the coarsest on, those of the other classifiers."""
        if not self.training:
            return self.network(pixels)  # type: ignore[no-any-return]
        scores, features = self.network.look(pixels)
        return [scores, *(head(level) for head, level in zip(self.heads, features, strict=True))]


class SegNetTask:
    """A SegNet with random weights, the images it learns from and those it is judged on.

    Raises
    ------
    LabelError
        If no training image, or no validation image, has a pixel with a class.
    """

    def __init__(
        self,
        architecture: TissueArchitecture,
        images: Sequence[TissueImage],
        validation: Sequence[TissueImage],
        settings: SegNetTrainSettings,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.model: nn.Module = SupervisedSegNet(architecture)
        self.architecture, self.images, self.validation, self.settings = architecture, images, validation, settings
        n_classes = len(architecture.classes)
        counts = pixel_counts(images, n_classes)
        if not pixel_counts(validation, n_classes).any():
            raise LabelError(f"{len(validation)} validation images: no pixel has a class; look at the labels")
        self.draws = sampling_weights(images, n_classes)
        self.class_weights = torch.ones(n_classes)
        if settings.class_balance == "median_frequency":
            # a class of few pixels in all must not outweigh what the others teach
            self.class_weights = torch.from_numpy(median_frequency_weights(counts)).clamp(max=_MAX_WEIGHT)

    def sample(self, seed: int, step: int, index: int) -> TissueCrop:
        """A crop."""
        rng = np.random.default_rng([seed, step, index])
        image = self.images[int(rng.choice(len(self.images), p=self.draws))]
        return draw_tissue_crop(image, self.settings.crop_px, self.settings.augment, rng)

    def losses(self, model: nn.Module, batch: list[TissueCrop], device: torch.device) -> dict[str, Tensor]:
        """Cross-entropy of the classes and of each level of groups, and Dice of the coarsest level."""
        pixels = torch.stack([torch.from_numpy(crop.pixels).permute(2, 0, 1) for crop in batch]).to(device)
        classes = torch.stack([torch.from_numpy(crop.classes) for crop in batch]).to(device).long()
        scores, *coarser = (level.float() for level in model(pixels))
        known = classes != UNLABELLED
        log_p = functional.log_softmax(scores, dim=1)
        weights = self.class_weights.to(device)
        targets = torch.where(known, classes, -100)
        out = {"class": self._entropy(log_p, targets, weights), "auxiliary": scores.new_zeros(())}
        for level in coarser:
            own = _thinned(targets, level.shape[-2])
            entropy = self._entropy(functional.log_softmax(level, dim=1), own, weights)
            out["auxiliary"] = out["auxiliary"] + AUXILIARY_WEIGHT * entropy
        for number, groups in enumerate(self.architecture.members[:-1]):
            grouped = torch.stack([torch.logsumexp(log_p[:, list(group)], dim=1) for group in groups], dim=1)
            lookup = torch.zeros(len(self.architecture.classes), dtype=torch.long, device=device)
            for at, group in enumerate(groups):
                lookup[list(group)] = at
            own = torch.where(known, lookup[torch.where(known, classes, 0)], -100)
            out[f"level_{number + 1}"] = self._entropy(grouped, own, None)
            if number == 0:
                out["dice"] = self.settings.dice_weight * _dice_loss(grouped.exp(), own)
        if "dice" not in out:
            out["dice"] = self.settings.dice_weight * _dice_loss(log_p.exp(), targets)
        return out

    def _entropy(self, log_p: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
        known = targets != -100
        weight = known.float() if weights is None else weights[torch.where(known, targets, 0)] * known
        # where annotations are sparse, no pixel at all may have a class: that costs nothing
        whole = weight.sum().clamp(min=1e-6)
        if self.settings.focal_gamma == 0:
            return functional.nll_loss(log_p, targets, weight=weights, ignore_index=-100, reduction="sum") / whole
        own = log_p.gather(1, torch.where(known, targets, 0)[:, None])[:, 0]
        return -((1 - own.exp()) ** self.settings.focal_gamma * own * weight).sum() / whole

    def names(self, batch: list[TissueCrop]) -> list[str]:
        """Names of the images that the crops are of."""
        return [crop.name for crop in batch]

    def validate(self, model: nn.Module, device: torch.device) -> Figures:
        """Dice of every class and group, over all pixels; "score" is the mean over levels of their mean Dice."""
        n = len(self.architecture.classes)
        confusion = np.zeros((n, n), np.int64)
        model.eval()
        for image in self.validation:
            pixels = torch.from_numpy(image.pixels).permute(2, 0, 1)[None].float().to(device) / 255
            with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=computes_in_half(device)):
                scores = model(pixels).float()
            probabilities = torch.softmax(scores, 1)[0].cpu().numpy()
            found = self.architecture.decide(self.architecture.smooth(probabilities))
            known = image.classes != UNLABELLED
            np.add.at(confusion, (image.classes[known], found[known]), 1)
        out: Figures = {}
        means = []
        names = [*(list(level) for level in self.architecture.levels), list(self.architecture.classes)]
        for number, (groups, own) in enumerate(zip(self.architecture.members, names, strict=True), start=1):
            table = np.array([[confusion[np.ix_(list(a), list(b))].sum() for b in groups] for a in groups])
            dice = {
                name: 2 * table[at, at] / total if (total := table[at].sum() + table[:, at].sum()) else float("nan")
                for at, name in enumerate(own)
            }
            out |= {f"level{number}_dice_{name}": value for name, value in dice.items()}
            means.append(float(np.nanmean(list(dice.values()))))
        return out | {"score": float(np.mean(means))}


def start_from_segnet(
    model: nn.Module, classes: Sequence[str], tensors: Mapping[str, Tensor], old_classes: Sequence[str], where: str
) -> None:
    """Fill the network of `model` with a SegNet's weights, whose classes may be others.

    Each class starts as the old one of its name, or else as the mean of all old ones. The classifiers that only
    training uses start anew.

    Raises
    ------
    ModelError
        If the weights are of another architecture.
    """
    rows = [[old_classes.index(n)] if n in old_classes else list(range(len(old_classes))) for n in classes]
    fitted = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    for name in [name for name in fitted if name.startswith("classifier.")]:
        fitted[name] = torch.stack([fitted[name][own].mean(0) for own in rows])
    network: nn.Module = model.get_submodule("network")
    try:
        network.load_state_dict(fitted)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{where}: its weights are of another network ({reason}); train from other ones") from error


def _thinned(targets: Tensor, height: int) -> Tensor:
    """The class in the middle of each pixel of a coarser map."""
    step = targets.shape[-2] // height
    return targets[:, step // 2 :: step, step // 2 :: step]


def _dice_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """1 - mean soft Dice over the classes that the batch has (Milletari et al. 2016, 3DV)."""
    known = (targets != -100)[:, None]
    truth = functional.one_hot(torch.where(targets == -100, 0, targets), probabilities.shape[1]).movedim(-1, 1) * known
    inside = (probabilities * truth).sum((0, 2, 3))
    whole = (probabilities * known).sum((0, 2, 3)) + truth.sum((0, 2, 3))
    there = truth.sum((0, 2, 3)) > 0
    dice = (2 * inside + 1) / (whole + 1)
    return 1 - dice[there].mean() if bool(there.any()) else 0 * whole.sum()
