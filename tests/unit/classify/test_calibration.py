"""From margins to probabilities, and from probabilities to the share of abnormal cells."""

from __future__ import annotations

import numpy as np
import pytest

from cellseg.classify.calibration import Calibration, calibrate, shift_prior

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
