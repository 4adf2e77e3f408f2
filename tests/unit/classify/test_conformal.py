"""Bounds by hand, and sets that hold the truth as often as asked."""

from __future__ import annotations

import numpy as np
import pytest

from cellseg.classify.conformal import conformal_bound, plausible_answers

EVEN = np.ones(40) / 40
SCORES = np.arange(1, 41) / 100


class TestBound:
    @pytest.mark.parametrize(
        ("coverage", "expected"),
        # ceil(41 * coverage): 37, 33, 21, 40
        [(0.9, 0.37), (0.8, 0.33), (0.5, 0.21), (40 / 41, 0.40)],
    )
    def test_of_cells_that_count_alike_is_the_next_score(self, coverage, expected):
        assert conformal_bound(SCORES, EVEN, coverage) == expected
        assert conformal_bound(SCORES, np.full(40, 7.0), coverage) == expected

    def test_too_few_cells_know_no_bound(self):
        assert conformal_bound(SCORES, EVEN, 0.98) == np.inf
        assert conformal_bound(SCORES[:8], EVEN[:8], 0.9) == np.inf
        assert conformal_bound(SCORES[:9], EVEN[:9], 0.9) == 0.09
        assert conformal_bound(np.empty(0), np.empty(0), 0.9) == np.inf

    def test_of_groups_is_the_quantile_of_their_pooled_distributions(self):
        # a group of two cells and one of eight: half of the weight each
        scores = np.arange(10.0)
        weights = np.array([1 / 16] * 4 + [0.25] * 2 + [1 / 16] * 4)
        assert conformal_bound(scores, weights, 0.7) == 5.0
        assert conformal_bound(scores, weights, 0.75) == 5.0
        assert conformal_bound(scores, weights, 0.76) == 6.0
        assert conformal_bound(scores, weights, 0.99) == 9.0

    def test_weights_need_not_sum_to_one(self):
        weights = np.array([1.0, 2.0, 3.0, 4.0])
        assert conformal_bound(np.arange(4.0), weights, 0.6) == conformal_bound(np.arange(4.0), weights / 10, 0.6) == 2


class TestAnswers:
    def test_by_hand(self):
        # at a bound is within it
        found = plausible_answers(np.array([0.0, 0.25, 0.3, 0.4, 0.5, 1.0, np.nan]), 0.25, 0.625)
        assert found.tolist() == [
            [True, False], [True, False], [False, False], [False, True], [False, True], [False, True], [False, False],
        ]  # fmt: skip

    def test_wide_bounds_leave_both(self):
        assert plausible_answers(np.array([0.0, 0.5, 1.0]), np.inf, np.inf).all()
        assert plausible_answers(np.array([0.5]), 0.5, 0.5).tolist() == [[True, True]]

    def test_no_cells(self):
        assert plausible_answers(np.empty(0), 0.1, 0.1).shape == (0, 2)


def test_few_cells_keep_the_coverage():
    # 10 held-out cells and a new one, 20,000 times: 10 / 11 are within; the 9th score would hold 9 / 11
    draws = np.random.default_rng(0).random((20_000, 11))
    bounds = np.array([conformal_bound(row, np.ones(10), 0.9) for row in np.sort(draws[:, :10], axis=1)])
    # 4 standard errors of a share of 20,000
    assert (draws[:, 10] <= bounds).mean() == pytest.approx(10 / 11, abs=4 * np.sqrt(10 / 121 / 20_000))


def slides(n_slides: int, seed: int):
    """Nonconformity of cells of slides with shifts of their own; large slides are easier. Weights sum to 1 a slide."""
    rng = np.random.default_rng(seed)
    cells = []
    for _ in range(n_slides):
        n = int(rng.choice([5, 200]))
        cells.append(rng.normal(rng.normal(0.0 if n == 5 else -2.0, 0.5), 1.0, n))
    return cells


class TestGroups:
    def test_a_new_slide_is_covered_as_asked(self):
        held_out, new = slides(400, 0), slides(400, 1)
        scores = np.concatenate(held_out)
        weights = np.concatenate([np.full(part.size, 1 / part.size) for part in held_out])
        order = np.argsort(scores, kind="stable")
        covered = []
        for counts in (weights, np.ones(scores.size)):
            bound = conformal_bound(scores[order], counts[order], 0.9)
            covered.append(np.array([(part <= bound).mean() for part in new]))
        # shares of slides spread by about 0.2: 4 standard errors of two means of 400
        tolerance = 4 * covered[0].std() * np.sqrt(2 / 400)
        assert tolerance < 0.07
        assert covered[0].mean() == pytest.approx(0.9, abs=tolerance)
        # cells that count alike are ruled by the large slides
        assert covered[1].mean() < 0.9 - tolerance
