"""The network of tissue maps: the same as the SegNet it was made from, however the image is cut and who asks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fields
import numpy as np
import pytest
import torch
from segnets import TISSUES, eager_segnet, eager_tissue_weights, write_tissue_weights

from cellseg.errors import ConfigError, ModelError
from cellseg.io.weights import read_weights
from cellseg.segment.segnet import SegNet
from cellseg.segment.tissue import TissueNetwork, load_tissue_network
from cellseg.segment.tissue_architecture import TissueArchitecture, context_px
from cellseg.tiles import TileGrid
from cellseg.types import Window

CPU = torch.device("cpu")


def image(height: int, width: int, seed: int = 0) -> np.ndarray:
    return fields.he_look(fields.blobs((height, width), seed=seed), seed=seed)


def network(*, level: int = 0, precision: torch.dtype = torch.float32) -> TissueNetwork:
    return TissueNetwork(eager_segnet(), TISSUES, level=level, device=CPU, precision=precision)


def probabilities(model: SegNet, pixels: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        return torch.softmax(model(x)[0], dim=0).numpy()


@pytest.mark.parametrize("shape", [(96, 160), (70, 101), (1, 1)])
def test_it_says_what_the_segnet_says(shape: tuple[int, int]) -> None:
    pixels = image(*shape)
    expected = probabilities(eager_segnet(), pixels)
    classes, own = network().look(pixels)
    assert classes.dtype == own.dtype == np.uint8 and classes.shape == own.shape == shape
    decided = TISSUES.decide(expected)
    # sums of floats in another order: only near-ties may differ
    assert (classes == decided).mean() > 0.999
    chosen = np.take_along_axis(expected, classes[None].astype(int), 0)[0]
    assert np.abs(own / 255 - chosen).max() < 0.5 / 255 + 1e-3


def test_every_class_is_found_somewhere() -> None:
    classes, _ = network().look(image(160, 192))
    assert set(np.unique(classes)) == {0, 1, 2, 3}


def test_probabilities_of_half_precision_are_not_rounded_to_a_few_values() -> None:
    _, own = network(precision=torch.bfloat16).look(image(160, 192))
    assert len(np.unique(own)) > 100


def test_a_part_is_cut_from_the_whole_answer() -> None:
    pixels, part = image(96, 128), Window(10, 75, 32, 127)
    whole, own = network().look(pixels)
    classes, probability = network().look(pixels, part)
    np.testing.assert_array_equal(classes, whole[10:75, 32:127])
    np.testing.assert_array_equal(probability, own[10:75, 32:127])


@pytest.mark.parametrize("tile_px", [64, 160])
def test_windows_with_their_context_give_the_map_of_the_whole(tile_px: int) -> None:
    pixels = image(600, 700)
    asked = network()
    whole, own = asked.look(pixels)
    differ = 0
    for tile in TileGrid(600, 700, tile_px, context_px()).tiles():
        read = tile.read
        if (tile.index * 7) % 5:
            continue  # a fifth of them, spread over borders and middle
        core = Window(*(at - read[edge // 2 * 2] for edge, at in enumerate(tile.core)))
        classes, probability = asked.look(pixels[read.y0 : read.y1, read.x0 : read.x1], core)
        inside = tile.core
        differ += int((classes != whole[inside.y0 : inside.y1, inside.x0 : inside.x1]).sum())
        gap = probability.astype(int) - own[inside.y0 : inside.y1, inside.x0 : inside.x1]
        assert np.abs(gap).max() <= 1
    assert differ <= 5


def test_a_window_without_context_does_not() -> None:
    pixels = image(600, 700)
    whole, _ = network().look(pixels)
    alone, _ = network().look(np.ascontiguousarray(pixels[256:320, 256:320]))
    assert (alone != whole[256:320, 256:320]).mean() > 0.01


def test_the_same_from_any_thread() -> None:
    pixels = [image(96, 96, seed) for seed in range(4)]
    asked = network(precision=torch.bfloat16)
    alone = [asked.look(one) for one in pixels]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(asked.look, pixels * 2))
    for (a, p), (b, q) in zip(alone * 2, together, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(p, q)


@pytest.mark.parametrize("level", [1, 2])
def test_groups_are_those_of_the_classes_and_their_probability_is_the_sum(level: int) -> None:
    pixels = image(96, 128)
    classes, _ = network().look(pixels)
    grouped, own = network(level=level).look(pixels)
    groups = TISSUES.levels[level - 1]
    assert network(level=level).names == tuple(groups)
    names = np.array(TISSUES.classes)[classes]
    for number, members in enumerate(groups.values()):
        np.testing.assert_array_equal(grouped == number, np.isin(names, members))
    expected = probabilities(eager_segnet(), pixels)
    sums = np.stack([expected[[TISSUES.classes.index(n) for n in members]].sum(0) for members in groups.values()])
    assert np.abs(own / 255 - np.take_along_axis(sums, grouped[None].astype(int), 0)[0]).max() < 0.5 / 255 + 1e-3


def test_groups_keep_the_order_of_their_classes_through_a_file(tmp_path: Path) -> None:
    made = read_weights(Path(write_tissue_weights(tmp_path / "own.safetensors")))
    assert load_tissue_network(made, level=1, device="cpu").names == ("stroma", "gland")
    assert load_tissue_network(made, level=2, device="cpu").names == ("stroma", "benign", "carcinoma")


def test_loading_from_weights() -> None:
    made = load_tissue_network(eager_tissue_weights(), device="cpu")
    assert made.names == TISSUES.classes and made.architecture.mpp == 1.0
    plain = TissueArchitecture(width=0.0625, classes=("a", "b"))
    with pytest.raises(ConfigError, match=r"tissue\.level 3: eager\.safetensors has no such level; .*1: stroma, gland"):
        load_tissue_network(eager_tissue_weights(), level=3)
    with pytest.raises(ConfigError, match=r"no such level"):
        load_tissue_network(eager_tissue_weights(plain), level=1)
    bias = torch.full((4,), float("nan"))
    with pytest.raises(ModelError, match=r"classifier\.bias holds what is no number"):
        load_tissue_network(eager_tissue_weights(**{"classifier.bias": bias}))
    with pytest.raises(ModelError, match="shape"):
        load_tissue_network(eager_tissue_weights(**{"classifier.bias": torch.zeros(5)}))
