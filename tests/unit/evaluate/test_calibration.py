"""Bins of probability and what is made of them, by hand."""

import numpy as np
import pytest

from cellseg.evaluate.calibration import (
    bin_of,
    brier_terms,
    calibration_curve,
    equal_count_edges,
    equal_width_edges,
    expected_calibration_error,
    log_loss_terms,
)
from cellseg.evaluate.clustered import find_units


def test_an_edge_belongs_to_the_bin_under_it():
    assert bin_of(np.array([0.0, 0.1, 0.11, 0.5, 1.0]), equal_width_edges()).tolist() == [0, 0, 1, 4, 9]


def test_bins_of_equal_counts():
    probability = np.linspace(0, 1, 1001)
    counts = np.bincount(bin_of(probability, equal_count_edges(probability)))
    assert counts.size == 10
    assert counts.min() >= 100 and counts.max() <= 101
    # cells that share one probability share one bin
    assert equal_count_edges(np.full(50, 0.3)).tolist() == [0, 0.3, 1]
    assert equal_count_edges(np.array([np.nan])).tolist() == [0, 1]
    assert equal_count_edges(np.zeros(3)).tolist() == [0, 1]


def test_calibration_error_by_hand():
    # first bin: 4 cells say 0.05, 1 is abnormal (apart 0.2); last: 2 say 0.95, both are (apart 0.05)
    probability = np.array([0.05] * 4 + [0.95] * 2)
    abnormal = np.array([1, 0, 0, 0, 1, 1], bool)
    assert expected_calibration_error(probability, abnormal) == pytest.approx((4 * 0.2 + 2 * 0.05) / 6)
    # three of each class: alike already
    assert expected_calibration_error(probability, abnormal, balanced=True) == pytest.approx(0.15)
    # in one bin the errors cancel: promised 2.1, came 3
    assert expected_calibration_error(probability, abnormal, np.array([0.0, 1])) == pytest.approx(0.9 / 6)
    assert expected_calibration_error(np.append(probability, np.nan), np.append(abnormal, True)) == pytest.approx(0.15)
    assert np.isnan(expected_calibration_error(np.array([np.nan]), np.array([True])))


def test_balanced_calibration_error_is_that_of_equal_odds():
    """Probabilities at equal odds are right where cells come at equal odds, and only there."""
    rng = np.random.default_rng(0)
    probability = rng.random(200_000)
    abnormal = rng.random(200_000) < probability
    keep = ~abnormal | (rng.random(200_000) < 0.2)
    assert expected_calibration_error(probability, abnormal) < 0.01
    assert expected_calibration_error(probability[keep], abnormal[keep]) > 0.1
    assert expected_calibration_error(probability[keep], abnormal[keep], balanced=True) < 0.01
    doubled = (
        np.repeat(probability[:60], np.where(abnormal[:60], 3, 1)),
        np.repeat(abnormal[:60], np.where(abnormal[:60], 3, 1)),
    )
    one = expected_calibration_error(probability[:60], abnormal[:60], balanced=True)
    assert expected_calibration_error(*doubled, balanced=True) == pytest.approx(one)
    assert np.isnan(expected_calibration_error(probability[:3], np.ones(3, bool), balanced=True))


def test_terms():
    probability, abnormal = np.array([0.25, 1.0, 1.0]), np.array([True, True, False])
    assert brier_terms(probability, abnormal).tolist() == [0.5625, 0, 1]
    terms = log_loss_terms(probability, abnormal)
    assert terms[0] == pytest.approx(np.log(4))
    assert terms[1] == pytest.approx(0, abs=1e-12)
    assert np.isfinite(terms[2])


def test_the_curve_counts_and_has_intervals_over_groups():
    groups = np.repeat(list("abcd"), 50)
    probability = np.tile([0.25] * 40 + [0.85] * 10, 4)
    abnormal = np.zeros(200, bool)
    abnormal[groups == "a"] = True
    curve = calibration_curve(probability, abnormal, find_units(groups, groups), equal_width_edges())
    assert curve.low.tolist() == pytest.approx([0.2, 0.8])
    assert curve.high.tolist() == pytest.approx([0.3, 0.9])
    assert (curve.n_cells.tolist(), curve.n_abnormal.tolist()) == ([160, 40], [40, 10])
    assert curve.mean_probability.tolist() == pytest.approx([0.25, 0.85])
    assert curve.share_abnormal.tolist() == [0.25, 0.25]
    # one group of four is abnormal: it is drawn 0 to 3 times, practically
    assert curve.share_low.tolist() == [0, 0]
    assert curve.share_high.tolist() == [0.75, 0.75]


def test_a_curve_without_probabilities_is_empty():
    names = np.array(["a", "b"])
    curve = calibration_curve(np.full(2, np.nan), np.ones(2, bool), find_units(names, names), equal_width_edges())
    assert curve.low.size == curve.share_low.size == 0
