"""What a ranking would reach by chance."""

import numpy as np
import pytest

from cellseg.evaluate.permutation import permuted_auroc


def cells(n=600, apart=1.0, seed=0):
    rng = np.random.default_rng(seed)
    groups = rng.choice(list("abc"), n)
    # the group alone says much of the class and of the score: over all cells together chance would do better than 0.5
    share = np.select([groups == "a", groups == "b"], [0.1, 0.5], 0.9)
    abnormal = rng.random(n) < share
    return rng.normal(0, 1, n) + apart * abnormal + 5 * share, abnormal, groups


def test_shuffled_labels_give_one_half_whatever_the_groups_say():
    score, abnormal, groups = cells()
    found = permuted_auroc(score, abnormal, groups, n=400)
    assert found.mean == pytest.approx(0.5, abs=0.005)
    assert found.low < 0.5 < found.high
    # two groups of 20 and 180 and one of 100 and 100: their mean scatters by (0.066^2 * 2 + 0.041^2)^0.5 / 3 = 0.034
    assert found.high - found.low == pytest.approx(4 * 0.034, rel=0.2)
    assert found.observed > 0.7
    assert found.p_value == pytest.approx(1 / 401)


def test_a_score_that_knows_the_group_alone_is_no_better_than_chance():
    score, abnormal, groups = cells(apart=0.0)
    found = permuted_auroc(score, abnormal, groups, n=200)
    assert found.low < found.observed < found.high
    assert found.p_value > 0.05


def test_the_same_seed_shuffles_the_same():
    score, abnormal, groups = cells(90)
    assert permuted_auroc(score, abnormal, groups, n=20) == permuted_auroc(score, abnormal, groups, n=20)
    assert permuted_auroc(score, abnormal, groups, n=20) != permuted_auroc(score, abnormal, groups, n=20, seed=1)


def test_equal_scores_are_one_half_always():
    found = permuted_auroc(np.ones(6), np.array([1, 0, 1, 0, 1, 0], bool), np.full(6, "a"), n=10)
    assert found == (0.5, 0.5, 0.5, 0.5, 1.0)


def test_groups_of_one_class_and_cells_without_score_are_left_out():
    score = np.array([1.0, 2, np.nan, 3])
    found = permuted_auroc(score, np.array([0, 1, 0, 1], bool), np.array(list("aaab")), n=10)
    assert found.observed == 1.0
    assert np.isnan(permuted_auroc(score, np.ones(4, bool), np.full(4, "a"), n=10)).all()
