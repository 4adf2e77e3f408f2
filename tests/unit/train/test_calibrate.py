"""Calibration makes probabilities of margins that hold; conformal scores count every group alike."""

from __future__ import annotations

import numpy as np
import pytest

from cellseg.classify.calibration import calibrate
from cellseg.train.calibrate import fit_calibration, nonconformity


def logistic_cells(n: int, seed: int, slope: float, offset: float):
    """Margins, and truth drawn from sigmoid(slope * margin + offset)."""
    rng = np.random.default_rng(seed)
    margin = rng.normal(0, 2, n)
    return margin, rng.random(n) < 1 / (1 + np.exp(-(slope * margin + offset)))


def test_platt_finds_the_sigmoid_it_was_drawn_from():
    margin, abnormal = logistic_cells(40_000, 1, 0.6, 0.0)
    fit = fit_calibration(margin, abnormal, np.full(margin.size, "a"), "platt")
    assert fit.a == pytest.approx(0.6, abs=0.02)
    assert fit.b == pytest.approx(0.0, abs=0.05)


def test_platt_is_at_equal_odds_of_both_classes():
    rng = np.random.default_rng(0)
    abnormal = np.arange(20_000) < 1000
    margin = rng.normal(np.where(abnormal, 1.0, -1.0), 1.0)
    fit = fit_calibration(margin, abnormal, np.full(margin.size, "a"), "platt")
    # normals of equal spread: log-odds at equal odds are 2 * margin
    assert fit.a == pytest.approx(2.0, abs=0.15)
    assert fit.b == pytest.approx(0.0, abs=0.1)


def test_a_slide_with_many_cells_does_not_rule():
    rng = np.random.default_rng(0)
    groups = np.array(["big"] * 9000 + ["small"] * 300)
    abnormal = rng.random(groups.size) < 0.5
    shift = np.where(groups == "big", 3.0, -3.0)
    margin = rng.normal(np.where(abnormal, 1.0, -1.0), 1.0) + shift
    fit = fit_calibration(margin, abnormal, groups, "platt")
    assert -fit.b / fit.a == pytest.approx(0.0, abs=0.3)


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_margins_that_rank_upside_down_say_nothing(kind):
    margin, abnormal = logistic_cells(2000, 2, -1.0, 0.0)
    fit = fit_calibration(margin, abnormal, np.full(margin.size, "a"), kind)
    found = calibrate(fit, np.array([-3.0, 0.0, 3.0]))
    np.testing.assert_allclose(found, 0.5, atol=0.05)


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_perfect_margins_stay_inside_of_0_and_1(kind):
    margin = np.array([-2.0, -1.0, 1.0, 2.0])
    fit = fit_calibration(margin, margin > 0, np.full(4, "a"), kind)
    found = calibrate(fit, np.array([-50.0, -1.5, 1.5, 50.0])) if kind == "isotonic" else calibrate(fit, margin)
    assert (np.diff(found) >= 0).all()
    assert 0 < found[0] < 0.5 < found[-1] < 1


def test_equal_margins_give_one_half():
    abnormal = np.array([True, False, False])
    fit = fit_calibration(np.zeros(3), abnormal, np.full(3, "a"), "platt")
    assert calibrate(fit, np.zeros(1)).tolist() == [0.5]


def test_isotonic_by_hand():
    # rising but for one pair, whose share is pooled: 1 of 2 abnormal cells counts 1/2, 1 of 2 healthy ones too
    margin = np.array([0.0, 1.0, 2.0, 3.0])
    fit = fit_calibration(margin, np.array([False, True, False, True]), np.full(4, "a"), "isotonic")
    # Platt's softened ends: 1/4 and 3/4 for two cells of each kind
    np.testing.assert_allclose(calibrate(fit, np.array([0.0, 1.0, 2.0, 3.0, 9.0])), [0.25, 0.5, 0.5, 0.75, 0.75])


def test_cells_that_were_never_left_out_have_no_part():
    margin, abnormal = logistic_cells(500, 3, 1.0, 0.0)
    groups = np.full(margin.size, "a")
    fit = fit_calibration(margin, abnormal, groups, "platt")
    more = fit_calibration(
        np.append(margin, np.nan), np.append(abnormal, True), np.append(groups, "train only"), "platt"
    )
    assert (fit.a, fit.b) == (more.a, more.b)


def test_nonconformity_by_hand():
    probability = np.array([0.1, 0.4, 0.2, 0.9, 0.6, np.nan])
    abnormal = np.array([False, False, False, True, True, True])
    groups = np.array(["a", "a", "b", "a", "b", "c"])
    healthy, bad = nonconformity(probability, abnormal, groups)
    np.testing.assert_allclose(healthy.scores, [0.1, 0.2, 0.4])
    np.testing.assert_allclose(healthy.weights, [0.25, 0.5, 0.25])
    np.testing.assert_allclose(bad.scores, [0.1, 0.4])
    np.testing.assert_allclose(bad.weights, [0.5, 0.5])
