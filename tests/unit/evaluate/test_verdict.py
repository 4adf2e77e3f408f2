import numpy as np
import pytest

from cellseg.evaluate.bootstrap import bootstrap_intervals
from cellseg.evaluate.matching import count_overlaps, match_instances
from cellseg.evaluate.verdict import JudgedCells, auroc, average_precision, pair_verdicts, verdict_figures


def bools(text):
    return np.array([c == "1" for c in text])


def test_auroc_by_hand():
    # positives 3 and 1, negatives 2 and 0: 3 of the 4 pairs in order
    assert auroc(np.array([3.0, 2, 1, 0]), bools("1010")) == 0.75
    assert auroc(np.array([1.0, 1, 1]), bools("100")) == 0.5
    assert auroc(np.array([0.0, 1]), bools("10")) == 0.0
    assert np.isnan(auroc(np.array([1.0, 2]), bools("11")))
    assert np.isnan(auroc(np.array([]), bools("")))


def test_auroc_counts_pairs():
    rng = np.random.default_rng(1)
    score, positive = rng.integers(0, 10, 80).astype(float), rng.random(80) < 0.3
    pairs = np.sign(score[positive][:, None] - score[~positive][None])
    assert auroc(score, positive) == pytest.approx(float((pairs + 1).mean() / 2), abs=1e-12)


def test_average_precision_by_hand():
    # hits at places 1 and 3: 1/2 * 1/1 + 1/2 * 2/3
    assert average_precision(np.array([4.0, 3, 2, 1]), bools("1010")) == pytest.approx(5 / 6)
    # equal scores are one step: all taken at once
    assert average_precision(np.array([1.0, 1, 1, 1]), bools("1010")) == 0.5
    assert np.isnan(average_precision(np.array([1.0]), bools("0")))


def test_figures_by_hand():
    cells = JudgedCells(
        abnormal=bools("11100"), score=np.array([9.0, 1, np.nan, 2, 0]), called=bools("10010"), judged=bools("11011")
    )
    got = verdict_figures(cells)
    assert (got["n_cells"], got["n_abnormal"], got["n_excluded"]) == (4, 2, 1)
    assert (got["sensitivity"], got["specificity"], got["balanced_accuracy"]) == (0.5, 0.5, 0.5)
    assert got["auroc"] == 0.75


def test_a_cell_without_score_keeps_its_call():
    cells = JudgedCells(bools("110"), np.array([np.nan, 2.0, 1.0]), bools("110"), bools("111"))
    got = verdict_figures(cells)
    assert got["sensitivity"] == 1.0
    assert got["auroc"] == 1.0


def test_verdicts_are_paired_by_overlap_not_by_number():
    truth, prediction = np.array([[1, 1, 0, 2, 2, 3]]), np.array([[2, 2, 0, 1, 1, 0]])
    matching = match_instances(count_overlaps(truth.astype(np.uint32), prediction.astype(np.uint32)))
    cells = pair_verdicts(
        matching,
        np.array([1, 2, 3], np.uint32), bools("100"),
        np.array([1, 2], np.uint32), np.array([0.1, 5.0]), np.array(["healthy", "abnormal"]),
    )  # fmt: skip
    assert cells.abnormal.tolist() == [True, False]
    assert cells.score.tolist() == [5.0, 0.1]
    assert cells.called.tolist() == [True, False]


def test_no_pairs():
    empty = np.zeros((2, 2), np.uint32)
    cells = pair_verdicts(
        match_instances(count_overlaps(empty, empty)),
        np.array([], np.uint32), bools(""), np.array([], np.uint32), np.array([]), np.array([], str),
    )  # fmt: skip
    got = verdict_figures(cells)
    assert got["n_cells"] == 0
    assert np.isnan(got["auroc"])


def test_bootstrap_covers_the_mean_and_repeats():
    values = np.random.default_rng(0).normal(5, 1, 200)

    def mean(index):
        return {"mean": float(values[index].mean()), "nothing": float("nan")}

    low, high = bootstrap_intervals(200, mean)["mean"]
    # the normal interval of a mean of 200 is +- 1.96 / sqrt(200) = 0.139; the bootstrap's own noise is a tenth of it
    assert (high - low) / 2 == pytest.approx(0.139, rel=0.15)
    assert low < 5 < high
    assert bootstrap_intervals(200, mean)["mean"] == (low, high)
    assert np.isnan(bootstrap_intervals(200, mean)["nothing"]).all()
    assert np.isnan(bootstrap_intervals(1, mean)["mean"]).all()
