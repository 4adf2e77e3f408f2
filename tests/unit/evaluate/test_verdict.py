import numpy as np
import pytest

from cellseg.evaluate.bootstrap import bootstrap_intervals
from cellseg.evaluate.clustered import Units, find_units
from cellseg.evaluate.matching import count_overlaps, match_instances
from cellseg.evaluate.verdict import (
    FIGURES,
    auroc,
    average_precision,
    figures_of_counts,
    judge_cells,
    pair_rows,
    precision_points,
    roc_points,
    tally,
    verdict_figures,
    verdict_intervals,
)


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


def judge(abnormal, status, **columns):
    """Cells of strings: truth as 0 and 1, status as letters h, a, u, x."""
    word = {"h": "healthy", "a": "abnormal", "u": "uncertain", "x": "excluded"}
    n = len(abnormal)
    columns = {"score": np.full(n, np.nan)} | columns
    columns = {key: np.array(value) if isinstance(value, list) else value for key, value in columns.items()}
    return judge_cells(bools(abnormal), np.array([word[c] for c in status], str), **columns)


def test_figures_by_hand():
    cells = judge("11100", "ahxah", score=[9.0, 1, np.nan, 2, 0])
    got = verdict_figures(cells)
    assert (got["n_cells"], got["n_abnormal"], got["n_excluded"]) == (4, 2, 1)
    assert (got["sensitivity"], got["specificity"], got["balanced_accuracy"]) == (0.5, 0.5, 0.5)
    assert got["auroc"] == 0.75
    assert np.isnan([got[name] for name in ("ece", "ece_equal_count", "ece_balanced", "brier", "log_loss")]).all()


def test_a_cell_without_score_keeps_its_call():
    got = verdict_figures(judge("110", "aah", score=[np.nan, 2.0, 1.0]))
    assert got["sensitivity"] == 1.0
    assert got["auroc"] == 1.0


def test_uncertain_cells_are_covered_and_left_out_of_what_is_decided():
    # abnormal cells: right, wrong, uncertain, right; healthy: right, uncertain
    got = verdict_figures(judge("111100", "ahuahu"))
    assert got["share_uncertain"] == pytest.approx(2 / 6)
    assert got["coverage_abnormal"] == 0.75
    assert got["coverage_healthy"] == 1.0
    assert got["coverage"] == pytest.approx(5 / 6)
    assert got["balanced_accuracy_decided"] == pytest.approx((2 / 3 + 1) / 2)
    # a verdict uncertain is no call of abnormal where nothing states a probability
    assert got["sensitivity"] == 0.5


def test_the_default_decision_is_over_the_threshold():
    cells = judge("1100", "uuuu", probability=[0.5, 0.51, 0.2, np.nan])
    assert cells.called.tolist() == [False, True, False, False]
    assert judge("11", "hh", probability=[0.3, 0.3], threshold=np.array([0.2, 0.4])).called.tolist() == [True, False]
    # what the table says wins; where it states neither probability nor threshold, the status decides
    assert judge("10", "hh", probability=[0.9, 0.1], called=bools("01")).called.tolist() == [False, True]
    assert judge("11", "ah", probability=[0.1, 0.9], threshold=np.full(2, np.nan)).called.tolist() == [True, False]
    assert judge("11", "ah").called.tolist() == [True, False]


def test_a_conformal_set_may_be_empty():
    # sets: both, none, abnormal, healthy
    plausible = np.array([[1, 1], [0, 0], [0, 1], [1, 0]], bool)
    got = verdict_figures(judge("1111", "uuah", plausible=plausible))
    assert got["coverage"] == 0.5
    assert got["share_uncertain"] == 0.5


def test_probabilities_rank_where_they_are_stated():
    score, probability = [1.0, 2.0], [0.9, 0.1]
    assert verdict_figures(judge("10", "uu", score=score))["auroc"] == 0.0
    assert verdict_figures(judge("10", "uu", score=score, probability=probability))["auroc"] == 1.0


def test_sensitivity_at_95_specificity_by_hand():
    # 40 healthy cells 0..39: two may lie over the cut, so it is 37; abnormal 36, 37 and 37.5, 50 lie under, on and over
    score = np.concatenate([np.arange(40.0), [36, 37, 37.5, 50]])
    cells = judge("0" * 40 + "1111", "h" * 44, score=score)
    assert verdict_figures(cells)["sensitivity_at_95_specificity"] == 0.5
    # of 19 healthy cells none may: 1 of 19 is over 5 %
    cells = judge("0" * 19 + "11", "h" * 21, score=np.concatenate([np.arange(19.0), [18, 19]]))
    assert verdict_figures(cells)["sensitivity_at_95_specificity"] == 0.5
    # the best cell is healthy: no cut leaves it under without losing all
    cells = judge("011", "hhh", score=[3.0, 2, 1])
    assert verdict_figures(cells)["sensitivity_at_95_specificity"] == 0.0


def test_figures_of_probabilities_by_hand():
    got = verdict_figures(judge("1100", "aahh", probability=[0.8, 0.6, 0.4, 0.2]))
    assert got["brier"] == pytest.approx((0.04 + 0.16 + 0.16 + 0.04) / 4)
    assert got["log_loss"] == pytest.approx(-np.log([0.8, 0.6, 0.6, 0.8]).mean())
    assert got["ece"] == pytest.approx((0.2 + 0.4 + 0.4 + 0.2) / 4)


def test_a_class_that_is_missing_makes_nan_of_what_needs_both():
    got = verdict_figures(judge("11", "ah", probability=[0.9, 0.2]))
    for name in ("auroc", "specificity", "balanced_accuracy", "coverage_healthy", "ece_balanced"):
        assert np.isnan(got[name]), name
    assert np.isnan(got["sensitivity_at_95_specificity"])
    assert (got["sensitivity"], got["coverage"]) == (0.5, 0.5)


def test_excluded_cells_change_nothing():
    with_them = judge("110011", "ahuhxx", score=[3.0, 1, 2, 0, 9, 9], probability=[0.9, 0.2, 0.4, 0.1, 0.0, 0.0])
    without = judge("1100", "ahuh", score=[3.0, 1, 2, 0], probability=[0.9, 0.2, 0.4, 0.1])
    one, other = verdict_figures(with_them), verdict_figures(without)
    assert one.pop("n_excluded") == 2
    assert other.pop("n_excluded") == 0
    assert one == pytest.approx(other)


def many(n=400, seed=0):
    rng = np.random.default_rng(seed)
    abnormal = rng.random(n) < 0.4
    probability = np.round(np.clip(0.3 + 0.4 * abnormal + rng.normal(0, 0.25, n), 0, 1), 2)
    probability[rng.random(n) < 0.05] = np.nan
    status = rng.choice(["healthy", "abnormal", "uncertain", "excluded"], n)
    groups = rng.choice(list("abcde"), n)
    return judge_cells(abnormal, status, np.zeros(n), probability), groups


def test_counts_are_the_same_as_cells_drawn_again():
    cells, groups = many()
    units = find_units(groups, groups)
    counts = np.random.default_rng(1).integers(0, 3, (4, units.n_units)).astype(float)
    counts[3] = [0, 2, 0, 0, 0]
    found = figures_of_counts(tally(cells, units), counts)
    for at, draw in enumerate(counts):
        rows = np.repeat(np.arange(groups.size), draw[units.code].astype(int))
        expected = verdict_figures(cells.take(rows))
        for name in FIGURES:
            # bins of equal counts keep the edges of all cells
            if name != "ece_equal_count":
                assert found[name][at] == pytest.approx(expected[name], abs=1e-12, nan_ok=True), (name, at)


def test_intervals_are_over_units():
    cells, groups = many()
    by_group = verdict_intervals(cells, find_units(groups, groups), n_draws=200)
    assert by_group == verdict_intervals(cells, find_units(groups, groups), n_draws=200)
    assert by_group != verdict_intervals(cells, find_units(groups, groups), n_draws=200, seed=1)
    figures = verdict_figures(cells)
    for name in ("auroc", "sensitivity", "coverage", "brier"):
        low, high = by_group[name]
        assert low < figures[name] < high, name
    one = Units(np.zeros(groups.size, np.int64), 1, "groups")
    assert np.isnan(list(verdict_intervals(cells, one).values())).all()


def test_groups_that_are_alike_inside_make_wide_intervals():
    # each group is all right or all wrong: drawing cells would promise +- 0.04, drawing groups knows better
    rng = np.random.default_rng(0)
    groups = np.repeat(list("abcdefgh"), 200)
    abnormal = rng.random(1600) < 0.5
    right = np.repeat(rng.permutation([True, False] * 4), 200)
    cells = judge_cells(abnormal, np.where(abnormal == right, "abnormal", "healthy"), np.zeros(1600))
    low, high = verdict_intervals(cells, find_units(groups, groups))["sensitivity"]
    cell_low, cell_high = verdict_intervals(cells, find_units(np.full(1600, "a"), np.full(1600, "a")))["sensitivity"]
    assert high - low > 0.5
    assert cell_high - cell_low < 0.09


def test_points_of_the_curves_by_hand():
    score, positive = np.array([4.0, 3, 3, 1]), bools("1100")
    false, true = roc_points(score, positive)
    assert false.tolist() == [0, 0, 0.5, 1]
    assert true.tolist() == [0, 0.5, 1, 1]
    recall, precision = precision_points(score, positive)
    assert recall.tolist() == [0.5, 1, 1]
    assert precision.tolist() == pytest.approx([1, 2 / 3, 0.5])
    assert roc_points(score, bools("1111"))[0].size == 0
    assert precision_points(score, bools("0000"))[0].size == 0


def test_verdicts_are_paired_by_overlap_not_by_number():
    truth, prediction = np.array([[1, 1, 0, 2, 2, 3]]), np.array([[2, 2, 0, 1, 1, 0]])
    matching = match_instances(count_overlaps(truth.astype(np.uint32), prediction.astype(np.uint32)))
    t, p = pair_rows(matching, np.array([3, 2, 1], np.uint32), np.array([1, 2, 9], np.uint32))
    assert sorted(zip(t.tolist(), p.tolist(), strict=True)) == [(1, 0), (2, 1)]


def test_no_pairs():
    empty, none = np.zeros((2, 2), np.uint32), np.array([], np.uint32)
    t, p = pair_rows(match_instances(count_overlaps(empty, empty)), none, none)
    cells = judge_cells(np.zeros(t.size, bool), np.array([], str), np.zeros(p.size))
    got = verdict_figures(cells)
    assert got["n_cells"] == 0
    assert np.isnan([got[name] for name in FIGURES]).all()
    assert np.isnan(list(verdict_intervals(cells, find_units(np.array([], str), np.array([], str))).values())).all()


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
