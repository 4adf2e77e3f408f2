"""Models are fitted, calibrated and tested without the group that they are asked about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from labelled_cells import labelled_cells
from sklearn.ensemble import HistGradientBoostingClassifier

from cellseg.classify.calibration import calibrate
from cellseg.classify.supervised import predict_margin, predict_probability
from cellseg.classify.trees import evaluate_trees
from cellseg.classify_config import TrainClassifierSettings
from cellseg.errors import ConfigError
from cellseg.evaluate.verdict import auroc
from cellseg.train.calibrate import fit_calibration
from cellseg.train.classifier import evaluate_left_out, fit_classifier
from cellseg.train.grouped import grouped_splits
from cellseg.train.leaks import group_columns, leak_check, mean_auroc, permutation_test
from cellseg.train.margins import fit_margins, left_out_margins, splits_of
from cellseg.train.members import fit_linear, fit_trees
from cellseg.train.selection import group_aurocs, stable_features, usable_features

FAST = TrainClassifierSettings(trees=15, min_leaf_cells=5, feature_share=1.0)
LINEAR = FAST.model_copy(update={"model": "logistic"})


@pytest.mark.parametrize("model", ["logistic", "boosting", "both"])
def test_every_model_learns_what_parts_cells(model):
    cells = labelled_cells()
    fitted, out = fit_classifier(cells, FAST.model_copy(update={"model": model}), stain="giemsa")
    assert mean_auroc(out.margin, cells.abnormal, cells.groups) > 0.85
    assert (out.fold == np.repeat(np.arange(5), 60)).all()
    assert fitted.stain == "giemsa"
    assert fitted.classes == {"bad": "abnormal", "good": "healthy"}
    assert [feature.name for feature in fitted.features] == list(cells.names)
    assert ((predict_probability(fitted, cells.matrix) > 0.5) == cells.abnormal).mean() > 0.85


def test_both_is_the_mean_of_the_two_margins():
    cells = labelled_cells(n_groups=3)
    margins = [
        predict_margin(fit_classifier(cells, FAST.model_copy(update={"model": model}))[0], cells.matrix)
        for model in ("logistic", "boosting", "both")
    ]
    np.testing.assert_allclose(margins[2], (margins[0] + margins[1]) / 2)


def test_a_group_has_no_part_in_what_is_said_of_it():
    cells = labelled_cells(n_groups=4)
    rows = cells.groups == "g2"
    before = evaluate_left_out(cells, FAST)
    flipped = replace(cells, abnormal=np.where(rows, ~cells.abnormal, cells.abnormal))
    after = evaluate_left_out(flipped, FAST)
    for name in ("margin", "probability", "plausible"):
        assert (getattr(before, name)[rows] == getattr(after, name)[rows]).all()
        assert (getattr(before, name)[~rows] != getattr(after, name)[~rows]).any()


def test_out_of_group_margins_know_nothing_of_the_group():
    cells = labelled_cells(n_groups=4)
    rows = cells.groups == "g2"
    _, before = fit_classifier(cells, LINEAR)
    _, after = fit_classifier(replace(cells, abnormal=np.where(rows, ~cells.abnormal, cells.abnormal)), LINEAR)
    assert (before.margin[rows] == after.margin[rows]).all()
    # the margins of other groups do know it, and by them the calibration
    assert (before.probability[rows] != after.probability[rows]).any()


def test_a_group_is_calibrated_by_the_others():
    cells = labelled_cells(n_groups=4)
    _, out = fit_classifier(cells, LINEAR)
    rows = cells.groups == "g1"
    others = fit_calibration(out.margin[~rows], cells.abnormal[~rows], cells.groups[~rows], "platt")
    np.testing.assert_allclose(out.probability[rows], calibrate(others, out.margin[rows]), rtol=1e-12)


def test_left_out_is_the_model_of_the_others():
    cells = labelled_cells(n_groups=4)
    out = evaluate_left_out(cells, FAST)
    rows = cells.groups == "g1"
    model, _ = fit_classifier(cells.take(np.flatnonzero(~rows)), FAST)
    np.testing.assert_allclose(out.margin[rows], predict_margin(model, cells.matrix[rows]), rtol=1e-12)
    np.testing.assert_allclose(out.probability[rows], predict_probability(model, cells.matrix[rows]), rtol=1e-12)


def test_coverage_is_reached_on_held_out_groups():
    cells = labelled_cells(n_groups=10, n_cells=100, strength=1.0)
    out = evaluate_left_out(cells, LINEAR, coverage=0.8)
    for side in (0, 1):
        covered = out.plausible[cells.abnormal == bool(side), side].mean()
        assert covered == pytest.approx(0.8, abs=0.05)


def test_workers_and_earlier_fits_change_nothing():
    cells = labelled_cells(n_groups=4)
    made = {}
    one = evaluate_left_out(cells, FAST, made=made)
    two = evaluate_left_out(cells, FAST, workers=3)
    np.testing.assert_array_equal(one.probability, two.probability)
    # 4 without one group, 6 without two; the model of all adds one
    assert len(made) == 10
    fit_classifier(cells, FAST, made=made)
    assert len(made) == 11


def test_train_only_groups_are_trained_on_and_never_judged():
    cells = labelled_cells(n_groups=4, shares=[0.5, 0.5, 0.5, 1.0])
    settings = LINEAR.model_copy(update={"train_only_groups": ("g3",)})
    out = evaluate_left_out(cells, settings)
    only = cells.groups == "g3"
    assert np.isnan(out.margin[only]).all()
    assert (out.fold[only] == -1).all()
    assert not out.plausible[only].any()
    assert np.isfinite(out.probability[~only]).all()
    with_it, _ = fit_classifier(cells, settings)
    without, _ = fit_classifier(cells.take(np.flatnonzero(~only)), LINEAR)
    assert with_it.members[0].weights.tolist() != without.members[0].weights.tolist()


def test_ungrouped_cells_are_refused_unless_the_settings_say_so():
    cells = replace(labelled_cells(), groups=np.full(300, ""))
    with pytest.raises(ConfigError, match=r"300 of 300 cells have no group.*flatter.*cells_are_independent"):
        fit_classifier(cells, LINEAR)
    out = evaluate_left_out(cells, LINEAR.model_copy(update={"groups": "cells_are_independent", "random_folds": 3}))
    assert sorted(set(out.fold.tolist())) == [0, 1, 2]


def test_cells_of_one_class_are_refused():
    cells = labelled_cells()
    with pytest.raises(ConfigError, match="0 abnormal and 300 healthy cells"):
        fit_classifier(replace(cells, abnormal=np.zeros(300, bool)), LINEAR)


def test_a_fold_that_leaves_one_class_alone_is_refused():
    cells = labelled_cells(n_groups=3, shares=[0.5, 1.0, 1.0])
    with pytest.raises(ConfigError, match="without g0 there is no healthy cell to train on"):
        fit_classifier(cells, LINEAR)


def test_two_groups_train_and_three_are_needed_to_test():
    cells = labelled_cells(n_groups=2)
    _, out = fit_classifier(cells, LINEAR)
    assert np.isfinite(out.probability).all()
    with pytest.raises(ConfigError, match="three groups to test"):
        evaluate_left_out(cells, LINEAR)


def test_features_that_nobody_measured_or_that_never_vary_are_left_out():
    matrix = np.column_stack([np.full(10, 3.0), np.arange(10.0), np.full(10, np.nan), np.arange(10.0)])
    matrix[:6, 3] = np.nan
    matrix[0, 0] = np.nan
    assert usable_features(matrix, 0.5).tolist() == [1]
    assert usable_features(matrix, 0.7).tolist() == [1, 3]
    cells = labelled_cells(n_groups=3)
    broken = replace(cells, matrix=np.full_like(cells.matrix, np.nan))
    with pytest.raises(ConfigError, match="none of 4 features"):
        fit_classifier(broken, LINEAR)


def test_missing_and_infinite_values_are_not_measured():
    cells = labelled_cells(n_groups=3)
    holes = cells.matrix.copy()
    holes[::7, 0] = np.nan
    infinite = cells.matrix.copy()
    infinite[::7, 0] = np.inf
    one, _ = fit_classifier(replace(cells, matrix=holes), FAST)
    two, _ = fit_classifier(replace(cells, matrix=infinite), FAST)
    assert (predict_margin(one, holes) == predict_margin(two, holes)).all()


def test_healthy_interval_is_of_healthy_training_cells():
    cells = labelled_cells(n_groups=3)
    model, _ = fit_classifier(cells, LINEAR)
    healthy = cells.matrix[~cells.abnormal, 1]
    feature = model.features[1]
    assert feature.healthy_median == pytest.approx(np.median(healthy))
    assert (feature.healthy_low, feature.healthy_high) == pytest.approx(tuple(np.quantile(healthy, [0.025, 0.975])))


def test_linear_member_is_a_logistic_regression_on_robust_z():
    rng = np.random.default_rng(0)
    matrix = rng.normal([5.0, -2.0], [2.0, 0.1], (4000, 2))
    abnormal = rng.random(4000) < 1 / (1 + np.exp(-(matrix[:, 0] - 5)))
    member = fit_linear(matrix, abnormal, np.ones(4000), LINEAR.model_copy(update={"penalty": 1e-6, "clip": 50.0}))
    np.testing.assert_allclose(member.centre, [5, -2], atol=0.1)
    np.testing.assert_allclose(member.scale, [2, 0.1], rtol=0.05)
    # odds rise by e per unit, which is two units of scale
    np.testing.assert_allclose(member.weights, [2.0, 0.0], atol=0.2)


def test_penalty_is_per_cell_and_weights_count():
    cells = labelled_cells(n_groups=2)
    rare = cells.take(np.flatnonzero(~cells.abnormal | (np.arange(120) % 6 == 0)))
    weights = np.where(rare.abnormal, 6.0, 1.0)
    one = fit_linear(rare.matrix, rare.abnormal, weights, LINEAR)
    twice = fit_linear(np.tile(rare.matrix, (2, 1)), np.tile(rare.abnormal, 2), np.tile(weights, 2), LINEAR)
    np.testing.assert_allclose(one.weights, twice.weights, rtol=1e-3)


def test_weights_count():
    # features that say nothing: the bias is the log odds of the weights
    cells = labelled_cells(n_groups=20, strength=0.0, shares=[0.1] * 20)
    matrix = cells.matrix[:, :3]
    for weight in (1.0, 9.0):
        member = fit_linear(matrix, cells.abnormal, np.where(cells.abnormal, weight, 1.0), LINEAR)
        assert member.bias == pytest.approx(np.log(weight / 9), abs=0.1)


def test_scale_of_a_column_that_is_mostly_one_value():
    matrix = np.zeros((20, 1))
    matrix[:4] = 1.0
    member = fit_linear(matrix, np.arange(20) < 4, np.ones(20), LINEAR)
    assert member.scale.tolist() == [matrix.std()]


def test_tree_thresholds_stand_between_the_values_that_they_part():
    values = np.repeat([0.0, 10.0, 20.0, 30.0], 50)
    matrix = np.column_stack([values, np.random.default_rng(0).normal(size=200)])
    member = fit_trees(matrix, values > 10, np.ones(200), FAST.model_copy(update={"trees": 1, "max_leaves": 2}))
    trees = member.trees
    assert trees.feature.tolist()[0] == 0
    assert trees.threshold[0] == 10.0


def test_trees_are_those_of_scikit_learn_on_bins():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(1000, 4))
    matrix[:, 1] = np.round(matrix[:, 1])
    matrix[rng.random(1000) < 0.2, 2] = np.nan
    matrix[500:, 3] = np.nan
    abnormal = np.nansum(matrix[:, :3], axis=1) + (np.arange(1000) < 500) > 0.5
    weights = rng.uniform(0.5, 1.5, 1000)
    member = fit_trees(matrix, abnormal, weights, FAST)
    fit = HistGradientBoostingClassifier(
        max_iter=FAST.trees, learning_rate=FAST.learning_rate, max_leaf_nodes=FAST.max_leaves, min_samples_leaf=5,
        l2_regularization=FAST.l2, early_stopping=False, random_state=0,
    ).fit(matrix, abnormal, sample_weight=weights)  # fmt: skip
    ours, theirs = evaluate_trees(member.trees, matrix), fit.decision_function(matrix)
    # its bins are of weighted cells, ours of cells: the trees differ by single cells at edges
    assert np.corrcoef(ours, theirs)[0, 1] > 0.99
    few = np.round(matrix)
    member = fit_trees(few, abnormal, weights, FAST)
    theirs = fit.fit(few, abnormal, sample_weight=weights).decision_function(few)
    np.testing.assert_allclose(evaluate_trees(member.trees, few), theirs, rtol=1e-9)


def test_stable_features_agree_over_groups():
    cells = labelled_cells(n_groups=6, n_cells=200)
    aurocs, names = group_aurocs(cells.matrix, cells.abnormal, cells.groups)
    assert names == tuple(f"g{i}" for i in range(6))
    assert ((aurocs[:, 3] > 0.5) == (np.arange(6) % 2 == 1)).all()
    wide = np.column_stack([cells.matrix, np.random.default_rng(1).normal(size=(1200, 6))])
    kept = stable_features(wide, cells.abnormal, cells.groups, share=0.8, strength=0.1)
    assert kept.tolist() == [0, 1]
    # strong on one slide and the other way round on the rest: their mean alone would keep it
    wide[:, 4] = np.where(cells.groups == "g0", 9.0, -0.2) * cells.abnormal + wide[:, 5]
    wide[cells.groups == "g1", 4] = 9.0 * cells.abnormal[cells.groups == "g1"]
    effect = group_aurocs(wide, cells.abnormal, cells.groups)[0][:, 4] - 0.5
    assert effect.mean() > 0.05
    assert (effect > 0).mean() < 0.8
    assert 4 not in stable_features(wide, cells.abnormal, cells.groups, share=0.8, strength=0.05)
    (strongest,) = stable_features(wide[:, 5:], cells.abnormal, cells.groups, share=1.0, strength=0.4)
    assert 0 <= strongest < 5


def test_group_aurocs_are_those_of_one_column_at_a_time():
    cells = labelled_cells(n_groups=2)
    matrix = np.round(cells.matrix, 1)
    matrix[::5, 2] = np.nan
    found, _ = group_aurocs(matrix, cells.abnormal, cells.groups)
    for at, name in enumerate(("g0", "g1")):
        for column in range(4):
            rows = (cells.groups == name) & np.isfinite(matrix[:, column])
            assert found[at, column] == pytest.approx(auroc(matrix[rows, column], cells.abnormal[rows]))


def test_groups_with_few_cells_of_a_class_have_no_say():
    cells = labelled_cells(n_groups=2, shares=[0.5, 0.05])
    found, _ = group_aurocs(cells.matrix, cells.abnormal, cells.groups)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()
    lone = stable_features(cells.matrix, cells.abnormal, np.arange(120).astype(str), share=0.8, strength=0.1)
    assert lone.tolist() == [0, 1, 2, 3]


def test_selection_looks_at_training_groups_alone():
    cells = labelled_cells(n_groups=4, n_cells=100)
    cells = replace(
        cells, matrix=np.column_stack([cells.matrix, np.random.default_rng(2).normal(size=(400, 8))]),
        names=(*cells.names, *(f"noise{i}" for i in range(8))),
    )  # fmt: skip
    settings = LINEAR.model_copy(update={"select": "stable"})
    rows = cells.groups == "g0"
    train = grouped_splits(cells.groups, max_folds=9)[0].train
    flipped = replace(cells, abnormal=np.where(rows, ~cells.abnormal, cells.abnormal))
    one, two = (fit_margins(each, [train], settings)[train.tobytes()] for each in (cells, flipped))
    assert one.columns.tolist() == two.columns.tolist()
    assert one.columns.size < 12


def test_a_column_that_tells_the_slide_is_caught():
    # groups differ in their share of abnormal cells, so that knowing the slide helps within it and misleads outside
    cells = labelled_cells(n_groups=8, strength=0.0, shares=[0.05, 0.95] * 4, slide_column=True)
    names = (*cells.names[:3], cells.names[4])
    cells = replace(cells, matrix=cells.matrix[:, [0, 1, 2, 4]], names=names)
    report = leak_check(cells, FAST.model_copy(update={"model": "boosting", "trees": 60}))
    assert report.random_auroc > 0.85
    assert report.grouped_auroc < 0.65
    assert [column.name for column in report.columns] == ["cell_mean_radius_um"]
    assert report.columns[0].accuracy == 1.0
    assert report.columns[0].between == 1.0
    assert "leans on what tells the group" in report.warnings[0]
    assert any("column cell_mean_radius_um tells the group" in text for text in report.warnings)


def test_leaks_are_looked_for_among_cells_that_both_splits_test():
    cells = labelled_cells(n_groups=4, shares=[0.5, 0.5, 0.5, 0.9])
    only = cells.groups == "g3"
    settings = LINEAR.model_copy(update={"train_only_groups": ("g3",)})
    report = leak_check(cells, settings)
    at_random = settings.model_copy(update={"groups": "cells_are_independent"})
    splits = splits_of(cells, np.arange(240), at_random, 10)
    made = fit_margins(cells, [split.train for split in splits], settings)
    margin = left_out_margins(cells, splits, made)
    assert np.isfinite(margin).all()
    assert report.random_auroc == pytest.approx(auroc(margin[~only], cells.abnormal[~only]))
    assert report.random_auroc != pytest.approx(auroc(margin, cells.abnormal), abs=0.001)
    margin[only] = np.nan
    assert report.random_auroc_by_group == pytest.approx(mean_auroc(margin, cells.abnormal, cells.groups))


def test_every_group_counts_alike_in_telling_it():
    # 190 cells of one slide and ten of another: to say "the first" is right for 95 % of the cells, and half right
    cells = labelled_cells(n_groups=2, n_cells=190)
    cells = cells.take(np.arange(200))
    cells.matrix[:, 0] = np.where(cells.groups == "g1", 1.0, 0.0)
    cells.matrix[:190:4, 0] = 1.0
    settings = LINEAR.model_copy(update={"leak_accuracy": 0.85})
    assert [column.name for column in group_columns(cells, settings)] == ["cell_area_um2"]


def test_honest_columns_raise_no_warning():
    report = leak_check(labelled_cells(), LINEAR)
    assert report.warnings == ()
    assert report.random_auroc == pytest.approx(report.grouped_auroc, abs=0.05)


def test_columns_constant_by_scanner_are_named_though_they_do_not_tell_every_slide():
    cells = labelled_cells(n_groups=4)
    scanner = np.isin(cells.groups, ["g0", "g1"]).astype(float)
    cells = replace(cells, matrix=np.column_stack([cells.matrix[:, :3], scanner]))
    (found,) = group_columns(cells, LINEAR)
    assert found.name == "cell_eccentricity"
    assert found.accuracy < 0.9
    assert found.between == pytest.approx(1.0)


def test_small_groups_tell_no_column():
    assert group_columns(labelled_cells(n_groups=3, n_cells=9, slide_column=True), LINEAR) == ()


def test_shuffled_labels_give_one_half():
    cells = labelled_cells(n_groups=4, n_cells=100, shares=[0.2, 0.4, 0.6, 0.8])
    found = permutation_test(cells, LINEAR, 20)
    assert found.auroc > 0.85
    assert found.permuted.mean() == pytest.approx(0.5, abs=0.04)
    assert found.low < 0.5 < found.high
    assert found.p_value == pytest.approx(1 / 21)


def test_mean_auroc_leaves_out_groups_of_one_class():
    margin = np.array([0.0, 1.0, 1.0, 0.0, 5.0, np.nan])
    abnormal = np.array([False, True, False, True, True, False])
    groups = np.array(["a", "a", "b", "b", "c", "a"])
    assert mean_auroc(margin, abnormal, groups) == 0.5
    assert np.isnan(mean_auroc(margin[:1], abnormal[:1], groups[:1]))
