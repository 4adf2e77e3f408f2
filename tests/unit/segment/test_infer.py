"""The fast way through a Mask R-CNN against torchvision's, half precision against single, mirrors, limits, faults."""

from __future__ import annotations

import copy

import fields
import networks
import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from cellseg.errors import ConfigError, ModelError
from cellseg.segment import infer
from cellseg.segment.infer import Detections, Detector, Limits, choose_device, choose_precision, load_network

CPU = torch.device("cpu")
PIXELS = fields.he_look(fields.blobs((96, 128), seed=1), seed=1)
OPEN = Limits(min_score=0.05, nms_iou=0.5)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no GPU")


def _detector(precision: torch.dtype = torch.float32, device: torch.device = CPU) -> Detector:
    return Detector(networks.eager_network(), device=device, precision=precision)


def _agreement(first: Detections, second: Detections, *, box: float, score: float) -> float:
    """Share of all detections of either that the other has too: boxes at `box` IoU, scores within `score`."""
    overlap = box_iou(torch.from_numpy(first.boxes), torch.from_numpy(second.boxes))
    near = torch.from_numpy(np.abs(first.scores[:, None] - second.scores[None])) <= score
    same = (overlap >= box) & near
    return float((same.any(1).sum() + same.any(0).sum()) / (same.shape[0] + same.shape[1]))


def test_against_torchvision() -> None:
    """Nothing here is limited in number, so torchvision finds the same; scores of one class are its scores."""
    one = networks.TINY.model_copy(update={"classes": ("cell",)})
    model = networks.eager_network(one)
    model.roi_heads.score_thresh, model.roi_heads.nms_thresh = 0.05, 0.5
    with torch.inference_mode():
        theirs = model([torch.from_numpy(PIXELS).permute(2, 0, 1).float() / 255])[0]
    ours = Detector(copy.deepcopy(model), device=CPU, precision=torch.float32).detect([PIXELS], OPEN)[0]
    assert len(ours.boxes) == len(theirs["boxes"]) > 30
    assert np.unique(ours.scores.round(3)).size > 20
    # float32, other order of sums; the order of all but equal scores may differ
    overlap = box_iou(torch.from_numpy(ours.boxes), theirs["boxes"])
    pair = overlap.argmax(1).numpy()
    assert sorted(pair) == list(range(len(pair))) and overlap.amax(1).min() > 0.999
    assert np.allclose(ours.scores, theirs["scores"][pair], atol=1e-4)
    assert np.allclose(ours.masks, theirs["masks"][pair], atol=1e-3)
    assert (ours.classes == 1).all()


def test_classes_are_told_and_objects_judged_over_all_of_them() -> None:
    found = _detector().detect([PIXELS], OPEN)[0]
    assert set(found.classes) == {1, 2}
    assert found.boxes.dtype == found.scores.dtype == found.masks.dtype == np.float32
    assert (np.diff(found.scores) <= 0).all() and found.scores.max() <= 1
    assert found.masks.shape == (len(found.boxes), 28, 28)


def test_no_rescaling() -> None:
    """In evaluation, too: what the network computes on has the sides of the image, and boxes are in its pixels."""
    transform = networks.eager_network().transform
    image = torch.zeros(3, 96, 128)
    assert transform([image])[0].tensors.shape == (1, 3, 96, 128)
    assert transform([image[:, :50, :70]])[0].tensors.shape == (1, 3, 64, 96)
    found = _detector().detect([PIXELS], OPEN)[0]
    assert found.boxes.min() >= 0 and (found.boxes[:, 2] <= 128).all() and (found.boxes[:, 3] <= 96).all()
    assert found.boxes[:, 2].max() > 100 and found.boxes[:, 3].max() > 70


def test_half_precision_finds_the_same() -> None:
    """bfloat16 has 8 bits: scores move by some hundredths, and with them which of two boxes stays."""
    single, half = (_detector(p).detect([PIXELS], OPEN)[0] for p in (torch.float32, torch.bfloat16))
    assert _agreement(single, half, box=0.7, score=0.1) > 0.8
    assert _agreement(single, single, box=1.0, score=0.0) == 1.0


@needs_gpu
def test_gpu_finds_the_same() -> None:
    """Float32 on both: sums in another order; half precision as on the processor; batches as single images."""
    gpu = torch.device("cuda")
    single = _detector().detect([PIXELS], OPEN)[0]
    assert _agreement(single, _detector(torch.float32, gpu).detect([PIXELS], OPEN)[0], box=0.95, score=0.01) > 0.97
    half = _detector(choose_precision(gpu), gpu)
    assert _agreement(single, half.detect([PIXELS], OPEN)[0], box=0.7, score=0.1) > 0.8
    batch = half.detect([PIXELS, PIXELS[:, ::-1].copy()], OPEN)
    assert _agreement(batch[0], half.detect([PIXELS], OPEN)[0], box=0.7, score=0.1) > 0.8


def test_batches_give_what_single_images_do() -> None:
    other = np.ascontiguousarray(PIXELS[::-1])
    detector = _detector()
    together, apart = (
        detector.detect([PIXELS, other], OPEN),
        [detector.detect([image], OPEN)[0] for image in (PIXELS, other)],
    )
    for one, two in zip(together, apart, strict=True):
        assert _agreement(one, two, box=0.99, score=1e-3) > 0.98


def test_more_than_600_objects_in_a_window_and_the_limit_is_told() -> None:
    pixels = fields.he_look(fields.blobs((512, 512), seed=2), seed=2)
    detector = _detector(choose_precision(CPU))
    every = detector.detect([pixels], Limits(min_score=0.05))[0]
    assert len(every.boxes) > 600 and every.n_cut == 0
    some = detector.detect([pixels], Limits(min_score=0.05, max_detections=100))[0]
    assert len(some.boxes) == 100 and some.n_cut == len(every.boxes) - 100
    assert np.array_equal(some.boxes, every.boxes[:100])


def test_same_bytes_in_any_thread_and_order() -> None:
    from concurrent.futures import ThreadPoolExecutor

    images = [np.ascontiguousarray(np.roll(PIXELS, 8 * k, axis=1)) for k in range(6)]
    detector = _detector(choose_precision(CPU))
    alone = [detector.detect([image], OPEN)[0] for image in images]
    before = torch.get_num_threads()
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda image: detector.detect([image], OPEN)[0], images))
    for one, two in zip(alone, together, strict=True):
        assert all(
            np.array_equal(getattr(one, name), getattr(two, name)) for name in ("boxes", "scores", "classes", "masks")
        )
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("axis", [2, 3])
def test_a_mirrored_view_lies_where_the_image_does(axis: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at the mirror image alone is looking at an image that was mirrored by hand."""
    monkeypatch.setitem(infer._VIEWS, "flips", ((axis,),))
    limits = Limits(min_score=0.05, nms_iou=0.5, augment="flips")
    detector = _detector()
    seen = detector.detect([PIXELS], limits)[0]
    by_hand = detector.detect([np.ascontiguousarray(np.flip(PIXELS, axis - 2))], OPEN)[0]
    side, low = (96, 1) if axis == 2 else (128, 0)
    back = by_hand.boxes.copy()
    back[:, [low, low + 2]] = side - by_hand.boxes[:, [low + 2, low]]
    assert len(back) > 30
    assert np.allclose(seen.boxes, back, atol=1e-3) and np.array_equal(seen.scores, by_hand.scores)
    assert np.allclose(seen.masks, np.flip(by_hand.masks, axis - 1), atol=1e-5)


def test_scores_are_pooled_over_views() -> None:
    """A cell that all three views see has the mean of their scores; one that a single view sees has a third."""
    place, other = torch.tensor([[10.0, 10, 30, 30]]), torch.tensor([[50.0, 50, 70, 70]])
    moved = place + torch.tensor([1.0, 0, 1, 0])
    one = torch.ones(1, dtype=torch.int64)
    views = [
        infer._Candidates(torch.cat([place, other]), torch.tensor([0.9, 0.9]), torch.cat([one, one])),
        infer._Candidates(moved, torch.tensor([0.6]), 2 * one),
        infer._Candidates(place, torch.tensor([0.3]), one),
    ]
    kept, n_cut = infer._pool_views(views, Limits(min_score=0.25, nms_iou=0.4))
    assert n_cut == 0 and kept.boxes.tolist() == torch.cat([place, other]).tolist()
    assert kept.scores.tolist() == pytest.approx([0.6, 0.3])
    kept, _ = infer._pool_views(views, Limits(min_score=0.5, nms_iou=0.4))
    assert kept.boxes.tolist() == place.tolist() and kept.classes.tolist() == [1]
    kept, n_cut = infer._pool_views(views, Limits(min_score=0.25, nms_iou=0.4, max_detections=1))
    assert len(kept.boxes) == 1 and n_cut == 1


def test_all_mirrors_together() -> None:
    found = _detector().detect([PIXELS], Limits(min_score=0.3, nms_iou=0.4, augment="flips"))[0]
    assert len(found.boxes) > 20 and (found.scores >= 0.3).all() and (np.diff(found.scores) <= 0).all()
    assert found.masks.shape == (len(found.boxes), 28, 28)


def test_an_empty_image() -> None:
    model = networks.eager_network()
    with torch.no_grad():
        model.rpn.head.cls_logits.bias -= 100
    found = Detector(model, device=CPU, precision=torch.float32).detect([np.zeros((32, 32, 3), np.uint8)], OPEN)[0]
    assert found.boxes.shape == (0, 4) and found.masks.shape == (0, 28, 28) and len(found.scores) == 0


def test_weights_that_do_not_fit() -> None:
    weights = networks.eager_weights()
    assert load_network(networks.TINY, weights).training is False
    with pytest.raises(ModelError, match=r"eager\.safetensors.*architecture"):
        load_network(networks.TINY.model_copy(update={"mask_layers": 2}), weights)
    name = "roi_heads.box_predictor.cls_score.bias"
    wild = networks.eager_weights(**{name: torch.full((3,), float("nan"))})
    with pytest.raises(ModelError, match=f"{name} holds what is no number"):
        load_network(networks.TINY, wild)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there() -> None:
    assert choose_device("auto") == choose_device("cpu") == CPU
    with pytest.raises(ConfigError, match="no GPU"):
        choose_device("cuda")
