"""What a bootstrap draws, and intervals of it."""

import numpy as np
import pytest

from cellseg.evaluate.clustered import draw_counts, find_units, mean_of_draws, nan_mean, percentile_interval


def test_units_are_groups_else_samples_else_cells():
    a, ab, none = np.array(["a"] * 4), np.array(["a", "b", "a", "b"]), np.array([], str)
    units = find_units(ab, a)
    assert (units.code.tolist(), units.n_units, units.over) == ([0, 1, 0, 1], 2, "groups")
    assert find_units(a, ab).over == "samples"
    assert find_units(a, ab).code.tolist() == [0, 1, 0, 1]
    units = find_units(a, a)
    assert (units.code.tolist(), units.n_units, units.over) == ([0, 1, 2, 3], 4, "cells")
    assert find_units(none, none).n_units == 0


def test_a_draw_has_as_many_units_as_there_are():
    (counts,) = draw_counts(7, 500, 3)
    assert counts.shape == (500, 7)
    assert (counts.sum(axis=1) == 7).all()
    # a unit is in none of seven places with (6/7)^7 = 0.34; 3500 tries scatter by 0.008
    assert (counts == 0).mean() == pytest.approx(0.34, abs=0.03)
    assert counts.mean(axis=0) == pytest.approx(np.ones(7), abs=0.15)


def test_draws_do_not_depend_on_the_size_of_the_parts():
    whole = np.concatenate(list(draw_counts(5, 40, 1)))
    parts = list(draw_counts(5, 40, 1, width=300_000))
    assert len(parts) == 7
    assert np.array_equal(np.concatenate(parts), whole)
    assert not np.array_equal(np.concatenate(list(draw_counts(5, 40, 2))), whole)


def test_intervals_leave_out_nan():
    values = np.append(np.arange(101.0), [np.nan] * 20)
    assert percentile_interval(values) == pytest.approx((2.5, 97.5))
    assert percentile_interval(values, 0.5) == (25, 75)
    assert np.isnan(percentile_interval(np.full(3, np.nan))).all()
    assert np.isnan(percentile_interval(np.array([]))).all()


def test_means_over_groups():
    values = np.array([1.0, 2, np.nan, 3])
    drawn = mean_of_draws(values, n_draws=2000, seed=0)
    assert drawn.mean() == pytest.approx(2, abs=0.05)
    # three values of sd 0.816: the mean of three scatters by 0.471
    assert drawn.std() == pytest.approx(0.471, abs=0.03)
    assert np.isnan(mean_of_draws(np.array([1.0, np.nan]), n_draws=5, seed=0)).all()
    assert nan_mean(values) == 2
    assert np.isnan(nan_mean(np.array([])))
    assert np.isnan(nan_mean(np.array([np.nan])))
