"""The network that looks at pictures: sizes, and that a cell's answer is its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cellseg.measure.crop_network import BATCH, CropNetwork, build_network
from cellseg.measure.crops import CropField


@pytest.fixture(scope="module")
def look():
    return CropNetwork(build_network(8, torch.Generator().manual_seed(0)), CropField(24, 0.3), "x")


def crops(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 24, 24, 3), dtype=np.uint8)


def test_a_cells_answer_does_not_depend_on_company(look):
    some = crops(BATCH + 30)
    whole = look.logits(some)
    assert whole.shape == (BATCH + 30,) and np.ptp(whole) > 0
    order = np.random.default_rng(1).permutation(len(some))
    assert np.array_equal(look.logits(some[order]), whole[order])
    assert np.array_equal(np.concatenate([look.logits(one[None]) for one in some[:5]]), whole[:5])


def test_no_cells(look):
    assert look.logits(crops(0)).shape == (0,)


def test_asking_changes_nothing(look):
    before = {name: value.clone() for name, value in look.tensors().items()}
    look.logits(crops(3))
    assert all(torch.equal(value, before[name]) for name, value in look.tensors().items())


def test_width_is_that_of_the_first_convolution():
    network = build_network(5)
    assert network[0].out_channels == 5 and network[-1].in_features == 20
