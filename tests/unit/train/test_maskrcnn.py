"""Mask R-CNN as a task: it learns, starts from weights of other classes, and is judged per kind and class."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.models import resnet50
from training import PLAIN, QUICK, SMALL, disc_image

from cellseg.errors import ModelError
from cellseg.io.weights import half_tensors
from cellseg.network_config import MaskRcnnTrainSettings
from cellseg.segment.architecture import Architecture
from cellseg.segment.maskrcnn import build_maskrcnn
from cellseg.train.loop import Crew, train_network
from cellseg.train.maskrcnn import MaskRcnnTask, start_from_imagenet, start_from_weights
from cellseg.train.validate import validate_detector

CPU = Crew(torch.device("cpu"))


@pytest.mark.slow
def test_it_learns_four_images_by_heart() -> None:
    images = [disc_image(seed) for seed in range(4)]
    settings = MaskRcnnTrainSettings(
        steps=110, batch=4, warmup_steps=10, crop_px=96, learning_rate=4e-3, ema=0.8, validate_every=110, augment=PLAIN
    )
    task = MaskRcnnTask(SMALL, images, images, settings)
    done = train_network(task, settings, crew=CPU, about={}, loaders=1)
    # random weights find nothing at this score; outlines of discs on a dark ground are easy once boxes are found
    assert done.figures["fluorescence_ap@0.5"] > 0.9
    assert done.figures["fluorescence_ap@0.75"] > 0.6


def test_crops_of_a_step_depend_on_its_number_alone() -> None:
    images = [disc_image(seed) for seed in range(3)]
    one, two = (MaskRcnnTask(SMALL, images, images, QUICK) for _ in range(2))
    one.sample(0, 5, 0)
    first, second = one.sample(0, 7, 1), two.sample(0, 7, 1)
    assert np.array_equal(first.pixels, second.pixels)
    assert not np.array_equal(first.pixels, one.sample(0, 7, 2).pixels)
    for name, value in one.model.state_dict().items():
        assert torch.equal(value, two.model.state_dict()[name])


def test_empty_crops_cost_no_error() -> None:
    blank = disc_image(0)
    blank.labels[:] = 0
    task = MaskRcnnTask(SMALL, [disc_image(1)], [], QUICK)
    task.images, task.weights = [blank], np.ones(1)
    crop = task.sample(0, 0, 0)
    assert crop.boxes.shape == (0, 4)
    task.model.train()
    losses = task.losses(task.model, [crop, crop], torch.device("cpu"))
    assert all(torch.isfinite(value) for value in losses.values())
    assert "score" in task.validate(task.model, torch.device("cpu"))


def answer(network: torch.nn.Module, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    network.eval()
    network.roi_heads.score_thresh = 0.0
    with torch.inference_mode():
        return network([pixels])[0]


def test_weights_of_the_same_classes_give_the_same_answers() -> None:
    torch.manual_seed(1)
    old, new = build_maskrcnn(SMALL), build_maskrcnn(SMALL)
    start_from_weights(new, ("cell",), old.state_dict(), SMALL.classes, "old")
    pixels = torch.rand(3, 64, 64)
    one, other = answer(old, pixels), answer(new, pixels)
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_new_classes_start_as_the_old_one_and_share_its_chance() -> None:
    torch.manual_seed(1)
    old = build_maskrcnn(SMALL)
    new = build_maskrcnn(SMALL.model_copy(update={"classes": ("a", "b", "c")}))
    start_from_weights(new, ("a", "b", "c"), old.state_dict(), ("nucleus",), "old")
    features = torch.rand(5, SMALL.box_units)
    (was, box), (now, boxes) = old.roi_heads.box_predictor(features), new.roi_heads.box_predictor(features)
    assert torch.allclose(was.softmax(1)[:, 0], now.softmax(1)[:, 0], atol=1e-6)
    assert torch.allclose(was.softmax(1)[:, 1:] / 3, now.softmax(1)[:, 1:], atol=1e-6)
    one, three = old.roi_heads.box_predictor.bbox_pred, new.roi_heads.box_predictor.bbox_pred
    for at in (1, 2, 3):
        columns = slice(4 * at, 4 * at + 4)
        assert torch.equal(one.weight[4:8], three.weight[columns]) and torch.equal(one.bias[4:8], three.bias[columns])
        # Another width of product may be summed in another order.
        assert torch.allclose(box[:, 4:8], boxes[:, columns], atol=1e-6)


def test_a_class_of_the_same_name_keeps_its_weights_and_one_class_takes_the_mean() -> None:
    torch.manual_seed(1)
    two = SMALL.model_copy(update={"classes": ("a", "b")})
    old, swapped, one = build_maskrcnn(two), build_maskrcnn(two), build_maskrcnn(SMALL)
    start_from_weights(swapped, ("b", "a"), old.state_dict(), ("a", "b"), "old")
    start_from_weights(one, ("cell",), old.state_dict(), ("a", "b"), "old")
    was, now = old.roi_heads.box_predictor.cls_score, swapped.roi_heads.box_predictor.cls_score
    assert torch.equal(was.weight[[0, 2, 1]], now.weight)
    mean = was.weight[1:].mean(0)
    assert torch.allclose(one.roi_heads.box_predictor.cls_score.weight[1], mean)


def test_weights_of_another_architecture_are_refused() -> None:
    other = build_maskrcnn(SMALL.model_copy(update={"box_units": 32}))
    with pytest.raises(ModelError, match="old: its weights are of another network"):
        start_from_weights(build_maskrcnn(SMALL), ("cell",), other.state_dict(), ("cell",), "old")


def test_imagenet_weights_of_resnet50_fill_the_trunk() -> None:
    whole = resnet50(weights=None)
    buffer = io.BytesIO()
    torch.save(whole.state_dict(), buffer)
    network = build_maskrcnn(Architecture(backbone="resnet50", pyramid_channels=8, box_units=8, mask_channels=8))
    start_from_imagenet(network, buffer.getvalue(), "file.pth")
    pixels = torch.rand(1, 3, 64, 64)
    whole.eval(), network.eval()
    with torch.inference_mode():
        expected = whole.layer4(whole.layer3(whole.layer2(whole.layer1(whole.maxpool(
            whole.relu(whole.bn1(whole.conv1(pixels)))
        )))))  # fmt: skip
        assert torch.equal(network.backbone.trunk(pixels)[-1], expected)
    with pytest.raises(ModelError, match=r"file\.pth: no ImageNet weights of this trunk"):
        start_from_imagenet(build_maskrcnn(SMALL), buffer.getvalue()[:1000], "file.pth")
    with pytest.raises(ModelError, match=r"file\.pth: no ImageNet weights of this trunk"):
        start_from_imagenet(build_maskrcnn(SMALL), buffer.getvalue(), "file.pth")


def test_weights_are_stored_in_half_precision() -> None:
    tensors = half_tensors({"a": torch.ones(2, 2), "n": torch.tensor(3)})
    assert (tensors["a"].dtype, tensors["n"].dtype) == (torch.float16, torch.int64)


class Oracle(torch.nn.Module):
    """Answers with the true masks of an image, of the classes that it is told."""

    def __init__(self, classes: list[int], n_missed: int = 0) -> None:
        super().__init__()
        self.classes, self.n_missed = classes, n_missed
        self.roi_heads = torch.nn.Module()

    def forward(self, images: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        bright = (images[0][0] > 0.5).numpy().astype(np.uint8)
        from cv2 import connectedComponentsWithStats

        _, labels, stats, _ = connectedComponentsWithStats(bright)
        boxes, masks = [], []
        for number, (x, y, w, h, _) in enumerate(stats[1 + self.n_missed :], start=1 + self.n_missed):
            mask = torch.from_numpy((labels[y : y + h, x : x + w] == number).astype(np.float32))
            masks.append(torch.nn.functional.interpolate(mask[None, None], (28, 28), mode="bilinear")[0, 0])
            boxes.append([x, y, x + w, y + h])
        labels_found = [self.classes[at % len(self.classes)] for at in range(len(boxes))]
        return [
            {"boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), "masks": torch.stack(masks),
             "scores": torch.full((len(boxes),), 0.9), "labels": torch.tensor(labels_found)}
        ]  # fmt: skip


def test_figures_are_per_kind_and_their_mean_is_the_score() -> None:
    image = disc_image(0, side=128)
    flat = replace(image, pixels=np.where(image.labels[..., None] > 0, 255, 0).astype(np.uint8).repeat(3, 2))
    images = [flat, replace(flat, kind="other")]
    n = len(np.unique(image.labels)) - 1
    right = validate_detector(Oracle([1]), SMALL, images, torch.device("cpu"))
    assert right["fluorescence_ap@0.5"] == right["other_ap@0.75"] == right["score"] == 1.0
    less = validate_detector(Oracle([1], n_missed=2), SMALL, images, torch.device("cpu"))
    assert less["other_recall@0.5"] == less["score"] == pytest.approx((n - 2) / n)
    assert less["other_precision@0.5"] == 1.0
    chosen = validate_detector(Oracle([1]), SMALL, images, torch.device("cpu"), ["nothing"])
    assert np.isnan(chosen["score"])


def test_a_cell_of_the_wrong_class_is_missed_and_false() -> None:
    image = disc_image(0, side=128)
    flat = replace(image, pixels=np.where(image.labels[..., None] > 0, 255, 0).astype(np.uint8).repeat(3, 2))
    two = SMALL.model_copy(update={"classes": ("a", "b")})
    all_a = replace(flat, classes={int(i): 1 for i in np.unique(image.labels) if i})
    right = validate_detector(Oracle([1]), two, [all_a], torch.device("cpu"))
    assert right["score"] == right["fluorescence_a_ap@0.5"] == 1.0
    wrong = validate_detector(Oracle([2]), two, [all_a], torch.device("cpu"))
    assert (wrong["score"], wrong["fluorescence_a_recall@0.5"]) == (0.0, 0.0)
