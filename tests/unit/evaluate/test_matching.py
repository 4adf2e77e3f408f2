"""Matching and figures on cases small enough to work out by hand."""

import numpy as np
import pytest
from fields import bricks

from cellseg.errors import LabelError
from cellseg.evaluate.matching import count_overlaps, figures, match_instances, merge_overlaps, score_image


def row(*ids):
    return np.array([ids], np.uint32)


def test_half_overlap_by_hand():
    # truth 1 covers 4 px, prediction 7 covers 4 px, 3 in common: IoU 3/5
    overlaps = count_overlaps(row(1, 1, 1, 1, 0), row(0, 7, 7, 7, 7))
    assert overlaps.ious.tolist() == [3 / 5]
    assert match_instances(overlaps, 0.6).n_matched == 1
    assert match_instances(overlaps, 0.61).n_matched == 0


def test_figures_by_hand():
    # truth: 1 (4 px), 2 (2 px), 3 (1 px); prediction: 5 (3 px of cell 1 and one beside), 6 = cell 2, 8 on background
    truth = row(1, 1, 1, 1, 0, 2, 2, 0, 3, 0)
    prediction = row(0, 5, 5, 5, 5, 6, 6, 8, 0, 0)
    got = figures([score_image(truth, prediction)])
    # TP 2 (IoU 3/5 and 1), FP 1, FN 1
    assert got["precision@0.5"] == pytest.approx(2 / 3)
    assert got["recall@0.5"] == pytest.approx(2 / 3)
    assert got["f1@0.5"] == pytest.approx(2 / 3)
    assert got["ap@0.5"] == pytest.approx(2 / 4)
    assert got["ap@0.75"] == pytest.approx(1 / 5)
    assert got["sq"] == pytest.approx((3 / 5 + 1) / 2)
    assert got["pq"] == pytest.approx((3 / 5 + 1) / 3)
    # AJI: intersections 3 + 2 over unions 5 + 2 and the two unmatched cells of one px each
    assert got["aji"] == pytest.approx(5 / 9)
    # foreground: 5 common px, 7 true, 7 predicted
    assert got["dice"] == pytest.approx(10 / 14)
    # object Dice: both ways (4/7 * 6/8 + 2/7 * 1 + 1/7 * 0)
    assert got["object_dice"] == pytest.approx(4 / 7 * 6 / 8 + 2 / 7)


def test_the_matching_has_most_pairs_even_at_less_iou():
    # truth 1 with 5 is 3/7, 1 with 6 is 2/5, 2 with 5 is 2/5: greedy takes the best, 1 with 5, and strands 2 and 6
    truth = row(1, 1, 1, 1, 1, 2, 2, 0)
    prediction = row(6, 6, 5, 5, 5, 5, 5, 0)
    overlaps = count_overlaps(truth, prediction)
    assert sorted(overlaps.ious.round(3)) == [0.4, 0.4, 0.429]
    matching = match_instances(overlaps, 0.4)
    assert sorted(zip(matching.true_ids.tolist(), matching.predicted_ids.tolist(), strict=True)) == [(1, 6), (2, 5)]


def test_one_predicted_cell_over_two_matches_once():
    truth, prediction = row(1, 1, 2, 2), row(9, 9, 9, 9)
    got = figures([score_image(truth, prediction)])
    assert got["precision@0.5"] == 1.0
    assert got["recall@0.5"] == 0.5
    # AJI lets 9 serve both: intersections 2 + 2, unions 4 + 4
    assert got["aji"] == 0.5


def test_perfect_up_to_names():
    labels = bricks((64, 64))
    got = figures([score_image(labels, np.where(labels, 1000 - labels, 0).astype(np.uint32))])
    for name in (
        "precision@0.9",
        "recall@0.9",
        "f1@0.9",
        "ap@0.9",
        "ap_mean",
        "pq",
        "sq",
        "aji",
        "dice",
        "object_dice",
    ):
        assert got[name] == 1.0, name


def test_all_wrong():
    got = figures([score_image(row(1, 1, 0, 0), row(0, 0, 3, 3))])
    for name in ("precision@0.5", "recall@0.5", "f1@0.5", "ap@0.5", "pq", "aji", "dice", "object_dice"):
        assert got[name] == 0.0, name
    assert np.isnan(got["sq"])


def test_empty_truth_empty_prediction_and_both():
    cell, none = row(1, 1, 0), row(0, 0, 0)
    no_truth = figures([score_image(none, cell)])
    assert (no_truth["precision@0.5"], no_truth["f1@0.5"], no_truth["aji"]) == (0.0, 0.0, 0.0)
    assert np.isnan(no_truth["recall@0.5"])
    no_prediction = figures([score_image(cell, none)])
    assert (no_prediction["recall@0.5"], no_prediction["ap@0.5"]) == (0.0, 0.0)
    assert np.isnan(no_prediction["precision@0.5"])
    nothing = figures([score_image(none, none)])
    assert np.isnan(nothing["f1@0.5"])
    assert nothing["n_true"] == nothing["n_predicted"] == 0
    assert nothing["object_dice"] == 1.0


def test_a_group_pools_its_cells():
    perfect, missed = score_image(row(1, 1, 0), row(1, 1, 0)), score_image(row(1, 2, 3), row(0, 0, 0))
    got = figures([perfect, missed])
    assert got["recall@0.5"] == 1 / 4
    assert got["ap_by_image@0.5"] == 1 / 2


def test_ids_over_16_bit_keep_apart():
    truth, prediction = row(70_000, 70_001, 4_000_000_000), row(70_001, 4464, 4_000_000_000)
    assert match_instances(count_overlaps(truth, prediction)).n_matched == 3


def test_parts_add_up_to_the_whole():
    rng = np.random.default_rng(0)
    truth, prediction = (rng.integers(0, 9, (20, 30)).astype(np.uint32) for _ in range(2))
    key = truth.astype(np.uint64) << np.uint64(32) | prediction
    parts = [np.unique(part, return_counts=True) for part in (key[:7], key[7:])]
    whole, merged = count_overlaps(truth, prediction), merge_overlaps(parts)
    for name in ("true_ids", "predicted_ids", "true_areas", "predicted_areas", "true_index", "intersections"):
        assert np.array_equal(getattr(whole, name), getattr(merged, name)), name


def test_shapes_that_differ_are_refused():
    with pytest.raises(LabelError, match=r"\(1, 3\).*\(1, 2\)"):
        count_overlaps(row(1, 1), row(1, 1, 1))
