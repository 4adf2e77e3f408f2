"""Splits keep groups whole, and groups that cannot be left out are refused with the cure."""

from __future__ import annotations

import numpy as np
import pytest

from cellseg.errors import ConfigError
from cellseg.train.grouped import check_groups, even_weights, grouped_splits, random_splits, training_weights

GROUPS = np.array(list("aabbbccd"))


def test_each_group_is_left_out_once_and_whole():
    splits = grouped_splits(GROUPS, max_folds=10)
    assert [split.left_out for split in splits] == [("a",), ("b",), ("c",), ("d",)]
    assert splits[1].test.tolist() == [2, 3, 4]
    assert splits[1].train.tolist() == [0, 1, 5, 6, 7]


def test_many_groups_are_left_out_in_parts():
    groups = np.repeat([f"g{i:02d}" for i in range(12)], 3)
    splits = grouped_splits(groups, max_folds=4)
    assert len(splits) == 4
    assert sorted(np.concatenate([split.test for split in splits]).tolist()) == list(range(36))
    for split in splits:
        assert not set(groups[split.train]) & set(groups[split.test])
        assert len(split.left_out) == 3


def test_train_only_groups_are_always_trained_on():
    splits = grouped_splits(GROUPS, max_folds=10, train_only=["d"])
    assert [split.left_out for split in splits] == [("a",), ("b",), ("c",)]
    assert all(7 in split.train and 7 not in split.test for split in splits)
    parts = grouped_splits(GROUPS, max_folds=2, train_only=["d"])
    assert len(parts) == 2
    assert all(7 in split.train for split in parts)


def test_one_group_gives_no_split():
    assert grouped_splits(np.array(["a", "a"]), max_folds=5) == []
    assert grouped_splits(np.array(["a", "b"]), max_folds=5, train_only=["b"]) == []


@pytest.mark.parametrize(
    ("groups", "fault"),
    [
        (["a", "", "b"], "1 of 3 cells have no group"),
        (["a", " ", "b", "b"], "1 of 4 cells have no group"),
        (["a", "a"], "1 group of cells to leave out"),
        (["a", "b", "c"], "each of the 3 cells is a group of its own"),
    ],
)
def test_refusal_says_why_and_what_to_do(groups, fault):
    with pytest.raises(ConfigError, match="flatter") as refusal:
        check_groups(np.array(groups), (), "labelled.parquet")
    text = str(refusal.value)
    assert text.startswith("labelled.parquet: ")
    assert fault in text
    assert "cells_are_independent" in text
    assert "\n" not in text


def test_one_group_beside_train_only_ones_is_refused():
    check_groups(GROUPS, ["a"], "t")
    with pytest.raises(ConfigError, match="1 group of cells to leave out"):
        check_groups(GROUPS, ["a", "b", "c"], "t")
    with pytest.raises(ConfigError, match="'x'; known are a, b, c, d"):
        check_groups(GROUPS, ["x"], "t")


def test_random_splits_keep_shares_and_repeat():
    abnormal = np.arange(100) < 20
    splits = random_splits(abnormal, n_folds=10, seed=3)
    assert [int(abnormal[split.test].sum()) for split in splits] == [2] * 10
    again = random_splits(abnormal, n_folds=10, seed=3)
    assert all((one.test == other.test).all() for one, other in zip(splits, again, strict=True))
    assert len(random_splits(np.arange(10) < 3, n_folds=10, seed=0)) == 3
    assert random_splits(np.arange(10) < 1, n_folds=10, seed=0) == []


def test_even_weights_by_hand():
    # healthy: a has 2, b has 1; abnormal: b has 2 alone
    abnormal = np.array([False, False, False, True, True])
    groups = np.array(list("aabbb"))
    assert even_weights(abnormal, groups).tolist() == [0.25, 0.25, 0.5, 0.5, 0.5]


def test_training_weights_by_hand():
    abnormal = np.array([False] * 5 + [True] * 3)
    groups = np.array(list("aaaab" + "aab"))
    classes = np.full(8, "n")
    even = training_weights(abnormal, groups, classes, balance="class", power=0.0)
    np.testing.assert_allclose(even, [0.8] * 5 + [4 / 3] * 3)
    by_group = training_weights(abnormal, groups, classes, balance="class_and_group", power=0.0)
    np.testing.assert_allclose(by_group, [0.5] * 4 + [2] + [1, 1, 2])
    # sqrt(4) : sqrt(1) of the healthy half
    tempered = training_weights(abnormal, groups, classes, balance="class_and_group", power=0.5)
    np.testing.assert_allclose(tempered[:5], [4 * (2 / 3) / 4] * 4 + [4 / 3])
    plain = training_weights(abnormal, groups, classes, balance="class_and_group", power=1.0)
    np.testing.assert_allclose(plain, even)


def test_fine_classes_are_balanced_inside_of_groups():
    abnormal = np.array([False] * 5 + [True] * 3)
    groups = np.full(8, "a")
    classes = np.array([*["n"] * 5, "x", "x", "y"])
    types = training_weights(abnormal, groups, classes, balance="class_group_and_type", power=0.0)
    np.testing.assert_allclose(types, [0.8] * 5 + [1, 1, 2])
