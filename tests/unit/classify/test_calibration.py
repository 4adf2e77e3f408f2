"""From margins to probabilities, and from probabilities to the share of abnormal cells."""

from __future__ import annotations

import numpy as np
import pytest

from cellseg.classify.calibration import Calibration, calibrate, estimate_share, shift_prior

NAN = float("nan")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_platt_is_a_sigmoid():
    found = calibrate(Calibration("platt", 2.0, 0.5), np.array([-1.0, 0.0, 3.0, NAN]))
    assert found[:3].tolist() == pytest.approx([sigmoid(-1.5), sigmoid(0.5), sigmoid(6.5)])
    assert np.isnan(found[3])


def test_isotonic_is_linear_between_knots_and_flat_outside():
    steps = Calibration("isotonic", x=np.array([-1.0, 1.0]), y=np.array([0.2, 0.8]))
    assert calibrate(steps, np.array([-3.0, 0.0, 0.5, 9.0])).tolist() == pytest.approx([0.2, 0.5, 0.65, 0.8])
    assert np.isnan(calibrate(steps, np.array([NAN]))).all()


@pytest.mark.parametrize(
    ("kind", "x", "y", "words"),
    [
        ("beta", [], [], "of kind 'beta'; expected platt or isotonic"),
        ("isotonic", [], [], "without rising knots"),
        ("isotonic", [1.0, 0.0], [0.0, 1.0], "without rising knots"),
        ("isotonic", [0.0, 1.0], [0.0], "without rising knots"),
    ],
)
def test_what_is_no_calibration_is_refused(kind, x, y, words):
    with pytest.raises(ValueError, match=words):
        Calibration(kind, x=np.array(x), y=np.array(y))


def test_prior_shift_is_bayes():
    # 0.8 at equal odds is a likelihood ratio of 4; with 1 abnormal in 10 the odds are 4 / 9
    assert shift_prior(np.array([0.8]), 0.5, 0.1)[0] == pytest.approx(4 / 13)
    assert calibrate(Calibration("platt"), np.array([np.log(4)]), 0.1)[0] == pytest.approx(4 / 13)
    assert shift_prior(np.array([0.8]), 0.5, 0.5)[0] == 0.8


def test_prior_shift_there_and_back():
    found = shift_prior(shift_prior(np.array([0.001, 0.3, 0.9]), 0.5, 0.02), 0.02, 0.5)
    assert found.tolist() == pytest.approx([0.001, 0.3, 0.9])
    ends = shift_prior(np.array([0.0, 1.0, NAN]), 0.5, 0.1)
    assert ends[:2].tolist() == pytest.approx([0, 1], abs=1e-7)
    assert np.isnan(ends[2])


class TestEstimateShare:
    @pytest.mark.parametrize("share", [0.03, 0.3, 0.5, 0.9])
    def test_finds_the_share_that_cells_were_drawn_with(self, share):
        rng = np.random.default_rng(0)
        abnormal = np.arange(20_000) < share * 20_000
        # normals one apart on each side of 0: log-odds at equal odds are 2 x
        probability = sigmoid(2 * rng.normal(np.where(abnormal, 1.0, -1.0), 1.0))
        # the estimate's standard error is under 0.006 at 20,000 cells
        assert estimate_share(probability) == pytest.approx(share, abs=0.02)

    def test_is_where_expectation_and_maximisation_end(self):
        probability = sigmoid(np.random.default_rng(1).normal(-0.5, 2.0, 500))
        share = 0.5
        for _ in range(2000):
            share = float(shift_prior(probability, 0.5, share).mean())
        assert estimate_share(probability) == pytest.approx(share, abs=1e-8)

    def test_is_bounded(self):
        assert estimate_share(np.full(50, 0.001)) == 0.01
        assert estimate_share(np.full(50, 0.999)) == 0.99
        assert estimate_share(np.zeros(50), low=0.2) == 0.2
        assert estimate_share(np.ones(50), high=0.7) == 0.7

    def test_certain_cells_are_counted(self):
        assert estimate_share(np.array([0.0, 0.0, 0.0, 1.0])) == pytest.approx(0.25, abs=1e-6)

    def test_without_an_opinion_it_is_one_half(self):
        assert estimate_share(np.empty(0)) == 0.5
        assert estimate_share(np.full(3, NAN)) == 0.5
        assert estimate_share(np.full(3, 0.5)) == 0.5

    def test_order_and_missing_cells_do_not_matter(self):
        probability = np.random.default_rng(2).random(300) ** 2
        mixed = np.concatenate([[NAN], probability[::-1], [NAN]])
        assert estimate_share(mixed) == pytest.approx(estimate_share(probability), abs=1e-10)
