"""SegNet is SegNet: 13 separate convolutions, unpooling to the kept places with zeros elsewhere, nothing shared."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from cellseg.segment.segnet import SegNet, build_segnet
from cellseg.segment.tissue_architecture import BLOCKS, GRID_PX, TissueArchitecture, context_px

NARROW = TissueArchitecture(width=0.0625, classes=("stroma", "gland"))


def seeded(architecture: TissueArchitecture = NARROW) -> SegNet:
    torch.manual_seed(0)
    return build_segnet(architecture).eval()


def convolutions(part: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in part.modules() if isinstance(layer, nn.Conv2d)]


def test_encoder_is_the_13_convolutions_of_vgg16_at_width_1() -> None:
    with torch.device("meta"):
        model = SegNet(TissueArchitecture(width=1.0, classes=("a", "b", "c")))
    shapes = [(layer.in_channels, layer.out_channels, layer.kernel_size) for layer in convolutions(model.encoder)]
    channels = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    assert shapes == [(a, b, (3, 3)) for a, b in pairwise(channels)]
    mirrored = [(layer.out_channels, layer.in_channels, layer.kernel_size) for layer in convolutions(model.decoder)]
    # the mirror image, but for its end: the last one makes features rather than colours
    assert mirrored[::-1][1:] == shapes[1:] and mirrored[-1] == (64, 64, (3, 3))
    assert 29.4e6 < sum(weight.numel() for weight in model.parameters()) < 29.5e6


def test_every_convolution_has_its_own_normalisation_and_relu() -> None:
    model = seeded()
    for block in (*model.encoder, *model.decoder):
        kinds = [type(layer) for layer in block]
        assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * (len(kinds) // 3)


def test_no_two_layers_share_weights() -> None:
    model = seeded()
    layers = [*convolutions(model), *(layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d))]
    places = [layer.weight.data_ptr() for layer in layers]
    assert len(set(places)) == len(places) == 13 + 13 + 1 + 26
    named = list(model.named_parameters(remove_duplicate=False))
    assert len({id(weight) for _, weight in named}) == len(named)


def test_unpooled_maps_are_the_pooled_values_at_their_places_and_zero_elsewhere() -> None:
    model = seeded()
    pooled: list[tuple[torch.Tensor, torch.Tensor]] = []
    unpooled: list[torch.Tensor] = []
    model.pool.register_forward_hook(lambda _layer, _given, out: pooled.append(out))
    model.unpool.register_forward_hook(lambda _layer, given, out: unpooled.append((given, out)))
    with torch.no_grad():
        model(torch.rand(2, 3, 64, 96))
    assert len(pooled) == len(unpooled) == len(BLOCKS)
    for (_, places), ((values, used), out) in zip(reversed(pooled), unpooled, strict=True):
        assert torch.equal(places, used)
        flat, at = out.flatten(2), places.flatten(2)
        assert torch.equal(flat.gather(2, at), values.flatten(2))
        elsewhere = torch.ones_like(flat, dtype=torch.bool).scatter(2, at, value=False)
        assert elsewhere.any() and not flat[elsewhere].any()


def test_places_are_those_of_the_highest_values() -> None:
    model = seeded()
    x = torch.rand(1, 2, 8, 8)
    _, places = model.pool(x)
    for channel in range(2):
        for row, column in np.ndindex(4, 4):
            block = x[0, channel, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            y, z = divmod(int(places[0, channel, row, column]), 8)
            assert x[0, channel, y, z] == block.max() and (y // 2, z // 2) == (row, column)


@pytest.mark.parametrize("size", [(1, 1), (31, 33), (64, 64), (70, 100)])
def test_any_size_is_padded_and_cropped_exactly(size: tuple[int, int]) -> None:
    model = seeded()
    pixels = torch.rand(1, 3, *size)
    with torch.no_grad():
        found = model(pixels)
        # by hand: what lies beyond the border is 0 after normalisation, i.e. the mean colour before it
        whole = model.mean.expand(1, 3, size[0] + -size[0] % GRID_PX, size[1] + -size[1] % GRID_PX).clone()
        whole[:, :, : size[0], : size[1]] = pixels
        expected = model(whole)[:, :, : size[0], : size[1]]
    assert found.shape == (1, 2, *size)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("n", [2, 7, 40])
def test_any_number_of_classes(n: int) -> None:
    model = seeded(TissueArchitecture(width=0.0625, classes=tuple(f"c{i}" for i in range(n))))
    with torch.no_grad():
        assert model(torch.rand(1, 3, 32, 32)).shape == (1, n, 32, 32)


def test_what_lies_beyond_the_context_changes_nothing_and_what_lies_within_does() -> None:
    model, context = seeded().double(), context_px()
    # random weights, but every layer listens to all of its surroundings
    for layer in convolutions(model):
        nn.init.uniform_(layer.weight, 0.01, 0.03)
    side = 2 * context + 3 * GRID_PX
    pixels = torch.rand(1, 3, side, side, dtype=torch.float64)
    core = slice(context, side - context)
    other = pixels.clone()
    other[:, :, 0, :], other[:, :, :, -1] = 1, 0
    with torch.no_grad():
        cut = 4 * GRID_PX
        inner = model(pixels[:, :, cut:-cut, cut:-cut])
        one, two = model(pixels), model(other)
    assert torch.equal(one[:, :, core, core], two[:, :, core, core])
    trimmed = slice(context - cut, side - context - cut)
    assert not torch.equal(one[:, :, core, core], inner[:, :, trimmed, trimmed])
