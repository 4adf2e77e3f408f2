"""Training the network that looks at cells, on drawn ones."""

from __future__ import annotations

import numpy as np
import pytest

from cellseg.classify_config import TrainLookSettings
from cellseg.evaluate.verdict import auroc
from cellseg.train.look import fit_look, look_field

SETTINGS = TrainLookSettings(side_px=16, width=4, epochs=12, batch=32)


def drawn(n, seed):
    """Discs; the abnormal ones have a pale middle. Light and colour are each cell's own."""
    rng = np.random.default_rng(seed)
    abnormal = rng.random(n) < 0.5
    y, x = np.mgrid[:16, :16] - 7.5
    far = np.hypot(y, x)
    dark = (far < 6)[None] & ~(abnormal[:, None, None] & (far < 3)[None])
    light = rng.uniform(120, 250, (n, 1, 1, 3))
    pixels = light * np.where(dark, 0.6, 1.0)[..., None] + rng.normal(0, 4, (n, 16, 16, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8), abnormal


def test_it_learns_what_tells_cells_apart():
    look = fit_look(*drawn(400, 0), np.ones(400), SETTINGS, seed=0)
    crops, abnormal = drawn(200, 1)
    assert auroc(look.logits(crops), abnormal) > 0.99
    assert look.field == look_field(SETTINGS)


def test_same_seed_same_network_and_another_gives_another():
    short = SETTINGS.model_copy(update={"epochs": 1})
    crops, abnormal = drawn(64, 0)
    first, again, other = (fit_look(crops, abnormal, np.ones(64), short, seed=seed).logits(crops) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_cells_without_weight_teach_nothing():
    short = SETTINGS.model_copy(update={"epochs": 1})
    crops, abnormal = drawn(64, 0)
    weights = (np.arange(64) < 32).astype(float)
    changed = crops.copy()
    changed[32:] = 0
    one, two = (fit_look(some, abnormal, weights, short, seed=0).logits(crops[:8]) for some in (crops, changed))
    assert np.array_equal(one, two)


@pytest.mark.parametrize("n", [1, 3])
def test_fewer_cells_than_a_batch(n):
    crops, _ = drawn(n, 0)
    look = fit_look(crops, np.arange(n) > 0, np.ones(n), SETTINGS.model_copy(update={"epochs": 1}), seed=0)
    assert np.isfinite(look.logits(crops)).all()
