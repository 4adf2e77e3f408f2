"""SegNet as a task: losses that mean what they say, unlabelled pixels that count for nothing, learning in seconds."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from training import PLAIN, QUICK_TISSUE, striped_tissue

from cellseg.errors import LabelError, ModelError
from cellseg.io.weights import half_tensors
from cellseg.segment.segnet import build_segnet
from cellseg.segment.tissue_architecture import UNLABELLED, TissueArchitecture
from cellseg.stages.training_run import kept_tensors
from cellseg.train.loop import Crew, train_network
from cellseg.train.segnet import SegNetTask, SupervisedSegNet, start_from_segnet
from cellseg.train.tissue_data import TissueCrop, TissueImage

CPU = torch.device("cpu")
NESTED = TissueArchitecture(
    width=0.0625, classes=("rest", "a", "b"), levels=({"rest": ("rest",), "gland": ("a", "b")},)
)
PAIR = TissueArchitecture(width=0.0625, classes=("pink", "purple"))


def images(n: int, first: int = 0) -> list[TissueImage]:
    made = [striped_tissue(seed) for seed in range(first, first + n)]
    return [TissueImage(f"i{k}", *pair, "he", "he", f"case{k}") for k, pair in enumerate(made)]


def task(architecture: TissueArchitecture = PAIR, **settings: object) -> SegNetTask:
    return SegNetTask(architecture, images(3), images(1, 9), QUICK_TISSUE.model_copy(update=settings))


class Says(torch.nn.Module):
    """Gives the scores it was made with, as a network in training does."""

    def __init__(self, scores: torch.Tensor) -> None:
        super().__init__()
        self.scores = scores

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        return [self.scores, self.scores[:, :, ::2, ::2]]


def crops(classes: np.ndarray) -> list[TissueCrop]:
    return [TissueCrop(np.zeros((*classes.shape, 3), np.float32), classes.astype(np.uint8), "x")]


def test_a_perfect_answer_costs_nothing_and_a_wrong_one_much() -> None:
    classes = np.random.default_rng(0).integers(0, 3, (8, 8))
    right = 50.0 * torch.nn.functional.one_hot(torch.from_numpy(classes), 3).permute(2, 0, 1)[None]
    losses = task(NESTED).losses(Says(right), crops(classes), CPU)
    assert set(losses) == {"class", "auxiliary", "level_1", "dice"}
    # the coarser answer is the upper left pixel of each block, its truth the lower right
    assert max(float(losses[name]) for name in ("class", "level_1", "dice")) < 0.01
    wrong = task(NESTED).losses(Says(right.roll(1, 1)), crops(classes), CPU)
    assert float(wrong["class"]) > 10 and float(wrong["dice"]) > 0.2


def test_focal_loss_is_cross_entropy_at_gamma_0_and_less_above() -> None:
    classes, scores = np.random.default_rng(0).integers(0, 2, (8, 8)), torch.randn(1, 2, 8, 8)
    plain = task(class_balance="none").losses(Says(scores), crops(classes), CPU)["class"]
    tiny = task(class_balance="none", focal_gamma=1e-6).losses(Says(scores), crops(classes), CPU)["class"]
    focal = task(class_balance="none", focal_gamma=2.0).losses(Says(scores), crops(classes), CPU)["class"]
    assert float(tiny) == pytest.approx(float(plain), rel=1e-4)
    assert float(focal) < float(plain)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_unlabelled_pixels_count_for_nothing(gamma: float) -> None:
    classes, scores = np.random.default_rng(0).integers(0, 2, (8, 8)), torch.randn(1, 2, 8, 8)
    classes[:, 4:] = UNLABELLED
    other = scores.clone()
    other[:, :, :, 4:] = torch.randn(1, 2, 8, 4) * 9
    one, two = (task(focal_gamma=gamma).losses(Says(s), crops(classes), CPU) for s in (scores, other))
    assert {name: float(v) for name, v in one.items()} == pytest.approx({name: float(v) for name, v in two.items()})


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_crops_of_hardly_a_label_or_none_cost_something_finite(gamma: float) -> None:
    classes, none = np.full((64, 64), UNLABELLED), np.full((64, 64), UNLABELLED)
    classes[3, 3] = 0  # no coarse resolution looks there
    few, empty = (
        task(focal_gamma=gamma).losses(SupervisedSegNet(PAIR).train(), crops(values), CPU) for values in (classes, none)
    )
    assert float(few["class"].detach()) > 0 and float(few["auxiliary"].detach()) < float("inf")
    assert {name: float(value.detach()) for name, value in empty.items()} == dict.fromkeys(empty, 0.0)


def test_validation_images_without_classes_are_refused() -> None:
    blank = replace(images(1)[0], classes=np.full((64, 64), UNLABELLED, np.uint8))
    with pytest.raises(LabelError, match="1 validation images: no pixel has a class"):
        SegNetTask(PAIR, images(2), [blank], QUICK_TISSUE)


def test_the_encoder_stays_as_it_came_where_its_rate_is_0() -> None:
    settings = QUICK_TISSUE.model_copy(update={"trunk_rate": 0.0, "ema": 0.0})
    learner = SegNetTask(PAIR, images(2), images(1, 9), settings)
    before = {name: value.detach().clone() for name, value in learner.model.named_parameters()}
    after = dict(train_network(learner, settings, crew=Crew(CPU), about={}, loaders=1).model.named_parameters())
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("network.encoder."))
    assert not torch.equal(before["network.classifier.weight"], after["network.classifier.weight"])


def test_class_weights_follow_the_setting() -> None:
    assert task(class_balance="none").class_weights.tolist() == [1, 1]
    assert task(NESTED).class_weights[2] == 0


def test_two_tissues_are_learned() -> None:
    settings = QUICK_TISSUE.model_copy(
        update={"steps": 240, "batch": 4, "learning_rate": 5e-3, "validate_every": 240, "ema": 0.9, "augment": PLAIN}
    )
    learner = SegNetTask(PAIR.model_copy(update={"width": 0.125}), images(6), images(2, 20), settings)
    trained = train_network(learner, settings, crew=Crew(CPU), about={}, loaders=1)
    assert trained.figures["score"] > 0.9


def test_only_the_network_is_kept() -> None:
    model = SupervisedSegNet(PAIR)
    kept = kept_tensors(model.state_dict())
    assert kept.keys() == build_segnet(PAIR).state_dict().keys()
    assert not any("head" in name for name in kept)


def test_classes_start_as_those_of_their_names() -> None:
    torch.manual_seed(1)
    old = half_tensors(build_segnet(NESTED).state_dict())
    new = SupervisedSegNet(TissueArchitecture(width=0.0625, classes=("b", "new", "rest")))
    start_from_segnet(new, ("b", "new", "rest"), old, NESTED.classes, "w")
    rows = new.network.classifier.weight
    expected = old["classifier.weight"].float()
    assert torch.equal(rows[0], expected[2]) and torch.equal(rows[2], expected[0])
    torch.testing.assert_close(rows[1], expected.mean(0))
    wider = SupervisedSegNet(TissueArchitecture(width=0.125, classes=("b", "c")))
    with pytest.raises(ModelError, match="of another network"):
        start_from_segnet(wider, ("b", "c"), old, NESTED.classes, "w")
