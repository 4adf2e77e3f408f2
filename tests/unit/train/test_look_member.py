"""A network as a member of a model: what pictures alone tell, left out by groups like everything else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from labelled_cells import labelled_cells

from cellseg.classify.supervised import LinearMember, explain, predict_margin, see_cells
from cellseg.classify.travel import slide_frame
from cellseg.classify_config import TrainClassifierSettings, TrainLookSettings
from cellseg.evaluate.verdict import auroc
from cellseg.train.classifier import evaluate_left_out, fit_classifier
from cellseg.train.margins import MarginFits, SlideCells

LOOK = TrainLookSettings(enabled=True, side_px=16, width=4, epochs=6, batch=32)
SETTINGS = TrainClassifierSettings(model="both", trees=10, min_leaf_cells=5, look=LOOK)


@pytest.fixture(scope="module")
def cells():
    """Features that tell nothing, and pictures with a pale middle in abnormal cells."""
    plain = labelled_cells(3, 80, strength=0.0)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:16, :16] - 7.5
    far = np.hypot(y, x)
    dark = (far < 6)[None] & ~(plain.abnormal[:, None, None] & (far < 3)[None])
    pixels = 220 * np.where(dark, 0.6, 1.0)[..., None] + rng.normal(0, 4, (plain.abnormal.size, 16, 16, 3))
    return replace(plain, matrix=rng.normal(size=plain.matrix.shape), crops=np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def fitted(cells):
    made = MarginFits()
    out = evaluate_left_out(cells, SETTINGS, made=made)
    model, _ = fit_classifier(cells, SETTINGS, made=made)
    return out, model, made


def test_pictures_tell_what_features_do_not(cells, fitted):
    out, _, _ = fitted
    assert auroc(out.margin, cells.abnormal) > 0.97
    blind = evaluate_left_out(cells, SETTINGS.model_copy(update={"look": TrainLookSettings()}))
    assert auroc(blind.margin, cells.abnormal) < 0.65


def test_the_network_is_the_last_feature_and_the_last_member(cells, fitted):
    _, model, made = fitted
    assert model.names[:-1] == cells.names and model.names[-1] == "appearance_look_logit"
    assert len(model.members) == 3 and isinstance(model.members[0], LinearMember)
    fit = made[np.arange(cells.abnormal.size).tobytes()]
    logits = fit.look.logits(cells.crops)
    seen = fit.seen(cells, np.arange(cells.abnormal.size))
    assert np.array_equal(seen[:, -1], logits)
    # of three members with the same say, one is the network
    moved = seen.copy()
    moved[:, -1] += 0.3
    inside = np.abs(logits) < 7
    assert np.allclose((predict_margin(model, moved) - predict_margin(model, seen))[inside], 0.1)
    assert np.allclose(explain(model, moved)[:, :-1], explain(model, seen)[:, :-1])


def test_healthy_cells_are_quoted_by_networks_that_had_not_seen_them(cells, fitted):
    _, model, made = fitted
    feature = model.features[-1]
    own = made[np.arange(cells.abnormal.size).tobytes()].look.logits(cells.crops[~cells.abnormal])
    assert feature.healthy_low < feature.healthy_median < feature.healthy_high
    assert feature.healthy_median != pytest.approx(float(np.median(own)), abs=1e-6)


def test_threads_change_nothing(cells, fitted):
    short = SETTINGS.model_copy(update={"look": LOOK.model_copy(update={"epochs": 1})})
    one, two = (evaluate_left_out(cells, short, workers=workers) for workers in (1, 3))
    assert np.array_equal(one.margin, two.margin, equal_nan=True)


def test_beside_values_against_the_slide(cells):
    values = tuple(cells.matrix[cells.groups == name] for name in np.unique(cells.groups))
    code = np.unique(cells.groups, return_inverse=True)[1].astype(np.int64)
    both = replace(cells, slides=SlideCells("normal", 0.5, values, code))
    short = SETTINGS.model_copy(update={"look": LOOK.model_copy(update={"epochs": 1})})
    made = MarginFits()
    model, _ = fit_classifier(both, short, made=made)
    assert model.names == (*cells.names, *cells.names, "appearance_look_logit")
    assert model.inputs == (*cells.names, "appearance_look_logit")
    rows = np.flatnonzero(cells.groups == "g0")
    fit = made[np.arange(cells.abnormal.size).tobytes()]
    raw = np.column_stack([cells.matrix[rows], fit.look.logits(cells.crops[rows])])
    frame = slide_frame(values[0], model.travel)
    seen, quoted = see_cells(model, raw, frame)
    assert np.array_equal(seen, fit.seen(both, rows))
    assert np.array_equal(quoted.raw[:, -1], raw[:, -1])
