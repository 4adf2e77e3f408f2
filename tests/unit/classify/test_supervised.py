"""A supervised model's probability, sets and reasons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cellseg.classify.calibration import Calibration
from cellseg.classify.supervised import (
    Classifier,
    LinearMember,
    ModelFeature,
    Quoted,
    TreeEnsemble,
    TreeMember,
    check_classifier,
    explain,
    judge_by_model,
    predict_margin,
    predict_probability,
    prediction_sets,
    see_cells,
)
from cellseg.classify.travel import Frame, Travel
from cellseg.errors import ModelError

NAN = float("nan")
NAMES = ("nucleus_area_um2", "nucleus_solidity")


def model(**changes):
    """Log-odds z of the area less z of the solidity; healthy: 50 (38 to 62) um2, 0.95 (0.9 to 1)."""
    member = LinearMember(
        centre=np.array([50.0, 0.95]), scale=np.array([10.0, 0.05]), fill=np.array([50.0, 0.95]),
        weights=np.array([1.0, -1.0]), bias=0.0, clip=5.0,
    )  # fmt: skip
    scores = np.linspace(0.01, 0.4, 40)
    even = np.full(40, 1 / 40)
    made = Classifier(
        features=(
            ModelFeature(NAMES[0], relative=False, healthy_median=50.0, healthy_low=38.0, healthy_high=62.0),
            ModelFeature(NAMES[1], relative=False, healthy_median=0.95, healthy_low=0.9, healthy_high=1.0),
        ),
        members=(member,), member_weights=np.ones(1), calibration=Calibration("platt", 2.0, 0.5), prior=0.5,
        threshold=0.5, conformal_healthy=scores, conformal_healthy_weights=even, conformal_abnormal=scores,
        conformal_abnormal_weights=even, stain="he", classes={"normal": "healthy", "tumour": "abnormal"},
        story={"command": "cellseg train classifier"},
    )  # fmt: skip
    return replace(made, **changes)


TRAVEL = Travel("normal", 0.4, NAMES, np.array([50.0, 0.95]), np.array([10.0, 0.05]))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class TestPredict:
    def test_margin_and_probability_by_hand(self):
        cells = np.array([[70.0, 0.95], [50.0, 0.85], [NAN, 0.95], [500.0, 0.95]])
        assert predict_margin(model(), cells).tolist() == pytest.approx([2.0, 2.0, 0.0, 5.0])
        assert predict_probability(model(), cells)[0] == pytest.approx(sigmoid(4.5))

    def test_members_are_averaged_by_weight(self):
        two = model(members=(model().members[0],) * 2, member_weights=np.array([0.25, 0.5]))
        assert predict_margin(two, np.array([[70.0, 0.95]]))[0] == pytest.approx(1.5)

    def test_linear_contributions_add_up(self):
        cells = np.array([[70.0, 0.85], [41.0, NAN]])
        found = explain(model(), cells)
        assert found[0].tolist() == pytest.approx([2.0, 2.0])
        whole = predict_margin(model(), cells) - predict_margin(model(), np.array([[50.0, 0.95]]))
        assert found.sum(axis=1) == pytest.approx(whole)


class TestSets:
    def test_bounds_are_those_of_each_class(self):
        # scores rise by 0.01 from 0.01 to 0.4: the 37th of 40 is 0.37
        sets = prediction_sets(model(), np.array([0.37, 0.38, 0.65, 0.62, 0.02]), 0.9)
        assert sets.tolist() == [[True, False], [False, False], [False, True], [False, False], [True, False]]

    def test_groups_count_by_their_weight(self):
        heavy = np.zeros(40)
        heavy[-1] = 1.0
        sets = prediction_sets(model(conformal_healthy_weights=heavy), np.array([0.4, 0.41]), 0.9)
        assert sets[:, 0].tolist() == [True, False]

    def test_a_model_without_held_out_cells_finds_both_plausible(self):
        nothing = np.empty(0)
        bare = model(
            conformal_healthy=nothing, conformal_healthy_weights=nothing, conformal_abnormal=nothing,
            conformal_abnormal_weights=nothing,
        )  # fmt: skip
        assert prediction_sets(bare, np.array([0.01, 0.99]), 0.9).all()

    def test_sets_hold_the_truth_as_often_as_asked(self):
        rng = np.random.default_rng(0)
        truth = rng.random(20_000) < 0.5
        probability = sigmoid(np.where(truth, 1.0, -1.0) + rng.normal(size=truth.size))
        seen, new = np.arange(10_000), np.arange(10_000, 20_000)
        wrong = np.where(truth, 1 - probability, probability)
        parts = {side: np.sort(wrong[seen][truth[seen] == side]) for side in (False, True)}
        made = model(
            conformal_healthy=parts[False], conformal_healthy_weights=np.full(parts[False].size, 1 / parts[False].size),
            conformal_abnormal=parts[True], conformal_abnormal_weights=np.full(parts[True].size, 1 / parts[True].size),
        )  # fmt: skip
        sets = prediction_sets(made, probability[new], 0.9)
        # of 5,000 cells each, 4 standard errors are 0.017
        for side in (False, True):
            assert sets[truth[new] == side, int(side)].mean() == pytest.approx(0.9, abs=0.017)


def reasons(said):
    """(row, status) -> texts, in order."""
    told = {}
    for finding in said.findings:
        texts = [finding.texts] * finding.rows.size if isinstance(finding.texts, str) else finding.texts
        for row, text in zip(finding.rows.tolist(), texts, strict=True):
            told.setdefault((row, finding.status), []).append(text)
    return told


class TestJudge:
    def test_status_and_reasons(self):
        # margins 3, 0 and -2.4: abnormal, between, healthy
        cells = np.array([[70.0, 0.9], [50.0, 0.975], [32.0, 0.98]])
        said = judge_by_model(cells, model(), coverage=0.9)
        told = reasons(said)
        assert told[0, "abnormal"] == [
            "nucleus_area_um2 70 um2 (healthy 38-62, high)",
            "nucleus_solidity 0.9 (healthy 0.9-1, lower part)",
        ]
        assert told[1, "uncertain"][0].startswith("abnormal_probability 0.378: neither is plausible at 90 % coverage")
        assert 2 not in {row for row, _ in told}
        assert said.probability[0] == pytest.approx(sigmoid(6.5), abs=1e-6)
        assert said.score[0] == pytest.approx(6.5, abs=1e-5)

    def test_an_answer_against_the_threshold_is_doubt_in_its_own_words(self):
        # probability 0.622
        cells = np.array([[50.0, 0.95]])
        over = model(conformal_healthy=np.full(40, 0.7), conformal_abnormal=np.full(40, 0.1))
        assert reasons(judge_by_model(cells, over, coverage=0.9))[0, "uncertain"] == [
            "abnormal_probability 0.622: healthy alone is plausible, but over the threshold 0.5, at 90 % coverage"
        ]
        under = model(conformal_healthy=np.full(40, 0.1), threshold=0.6226, conformal_abnormal=np.full(40, 0.5))
        assert reasons(judge_by_model(cells, under, coverage=0.9)) == {
            (0, "uncertain"): [
                "abnormal_probability 0.622: abnormal alone is plausible, but not over the threshold 0.6226, "
                "at 90 % coverage"
            ]
        }

    def test_abnormal_without_a_feature_that_says_so_stays_abnormal(self):
        # the median healthy cell itself is over the threshold: no feature moved it
        sure = model(conformal_healthy=np.full(40, 0.1), conformal_abnormal=np.full(40, 0.5))
        cells = np.array([[50.0, 0.95], [49.0, 0.96], [70.0, 0.95]])
        told = reasons(judge_by_model(cells, sure, coverage=0.9))
        assert told == {
            (0, "abnormal"): ["abnormal_probability 0.622 over the threshold 0.5"],
            (2, "abnormal"): ["nucleus_area_um2 70 um2 (healthy 38-62, high)"],
            (1, "uncertain"): told[1, "uncertain"],
        }

    def test_both_plausible(self):
        wide = model(conformal_healthy=np.full(40, 0.9), conformal_abnormal=np.full(40, 0.9))
        assert reasons(judge_by_model(np.array([[50.0, 0.95]]), wide, coverage=0.95))[0, "uncertain"] == [
            "abnormal_probability 0.622: healthy and abnormal are both plausible at 95 % coverage"
        ]

    def test_reasons_quote_what_they_are_handed(self):
        # the model sees values against the slide; the text has units and the slide's own interval
        relative = model(features=tuple(replace(one, relative=True) for one in model().features), travel=TRAVEL)
        seen = np.array([[80.0, 0.95]])
        assert reasons(judge_by_model(seen, relative, coverage=0.9))[0, "abnormal"] == [
            "nucleus_area_um2 relative to the slide 80 (healthy 38-62, high)"
        ]
        quoted = Quoted(np.array([[142.0, 0.9]]), np.array([38.0, 0.8]), np.array([91.0, 1.0]))
        assert reasons(judge_by_model(seen, relative, coverage=0.9, quoted=quoted))[0, "abnormal"] == [
            "nucleus_area_um2 142 um2 (healthy 38-91 on this slide, high)"
        ]
        low = replace(quoted, raw=np.array([[12.0, 0.9]]))
        assert reasons(judge_by_model(seen, relative, coverage=0.9, quoted=low))[0, "abnormal"] == [
            "nucleus_area_um2 12 um2 (healthy 38-91 on this slide, low)"
        ]

    def test_features_that_no_healthy_cell_has(self):
        unknown = replace(model().features[0], healthy_median=NAN, healthy_low=NAN, healthy_high=NAN)
        strange = model(features=(unknown, model().features[1]))
        told = reasons(judge_by_model(np.array([[80.0, 0.95]]), strange, coverage=0.9))
        assert told[0, "abnormal"] == ["nucleus_area_um2 80 um2 (healthy not known)"]

    def test_values_that_are_missing_can_be_reasons(self):
        away = replace(model().members[0], fill=np.array([90.0, 0.95]))
        said = judge_by_model(np.array([[NAN, 0.95], [np.inf, 0.95]]), model(members=(away,)), coverage=0.9)
        expected = ["nucleus_area_um2 not measurable (healthy 38-62)"]
        assert reasons(said) == {(0, "abnormal"): expected, (1, "abnormal"): expected}

    def test_at_most_three_reasons_the_strongest_first(self):
        names = ("nucleus_area_um2", "nucleus_solidity", "nucleus_extent", "nucleus_eccentricity")
        member = LinearMember(np.zeros(4), np.ones(4), np.zeros(4), np.array([1.0, 3.0, 2.0, 4.0]), 0.0, 5.0)
        features = tuple(
            ModelFeature(name, relative=False, healthy_median=0.0, healthy_low=-1.0, healthy_high=0.5) for name in names
        )
        four = model(features=features, members=(member,))
        told = reasons(judge_by_model(np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, -0.5, -0.5]]), four, coverage=0.9))
        assert [text.split()[0] for text in told[0, "abnormal"]] == [
            "nucleus_eccentricity", "nucleus_solidity", "nucleus_extent",
        ]  # fmt: skip
        # only what pushes towards abnormal
        ((_, texts),) = [(key, value) for key, value in told.items() if key[0] == 1]
        assert [text.split()[0] for text in texts if text.startswith("nucleus")] == [
            "nucleus_solidity", "nucleus_area_um2",
        ]  # fmt: skip

    def test_the_prior_moves_the_probability_not_the_score(self):
        cell = np.array([[60.0, 0.95]])
        said = judge_by_model(cell, model(prior=0.1), coverage=0.9)
        assert said.score[0] == pytest.approx(2.5, abs=1e-5)
        assert said.probability[0] == pytest.approx(sigmoid(2.5 - np.log(9)), abs=1e-6)
        assert np.isnan(said.p_value).all()

    def test_half_of_the_features_are_enough(self):
        said = judge_by_model(np.array([[80.0, NAN]]), model(), coverage=0.9)
        assert said.probability[0] == pytest.approx(sigmoid(6.5), abs=1e-6)

    def test_a_cell_without_features_is_not_judged(self):
        said = judge_by_model(np.array([[NAN, NAN]]), model(), coverage=0.9)
        assert np.isnan(said.probability).all()
        assert [(f.status, f.texts) for f in said.findings if f.rows.size] == [
            ("uncertain", "fewer than half of the model's features could be measured")
        ]

    def test_no_cells(self):
        said = judge_by_model(np.empty((0, 2)), model(), coverage=0.9)
        assert said.score.shape == said.probability.shape == (0,)

    def test_other_stains_and_missing_columns_are_refused(self):
        with pytest.raises(ModelError, match="stain is giemsa, the model was trained on he"):
            check_classifier(model(), NAMES, "giemsa", "t")
        with pytest.raises(ModelError, match=r"nucleus_solidity, which this table lacks; add the families shape"):
            check_classifier(model(), NAMES[:1], "he", "t")

    def test_columns_that_only_tell_what_looks_normal_are_asked_for_too(self):
        first, second = model().features
        more = Travel("normal", 0.4, (NAMES[0], "nucleus_extent"), np.zeros(2), np.ones(2))
        relative = model(features=(replace(first, relative=True), second), travel=more)
        assert relative.inputs == (*NAMES, "nucleus_extent")
        with pytest.raises(ModelError, match=r"judges by nucleus_extent, which this table lacks"):
            check_classifier(relative, NAMES, "he", "t")
        check_classifier(relative, relative.inputs, "he", "t")


class TestSeeCells:
    def both(self):
        """Sees the area as measured and against the slide; the second tells more. Healthy: within 1 and 2 of it."""
        area = model().features[0]
        against = ModelFeature(NAMES[0], relative=True, healthy_median=0.0, healthy_low=-1.0, healthy_high=2.0)
        member = LinearMember(
            centre=np.array([50.0, 0.0]), scale=np.array([10.0, 1.0]), fill=np.zeros(2), weights=np.array([0.5, 1.0]),
            bias=0.0, clip=5.0,
        )  # fmt: skip
        return model(features=(area, against), members=(member,), travel=TRAVEL)

    def test_values_and_what_is_quoted_by_hand(self):
        frame = Frame(np.array([70.0, 0.9]), np.array([5.0, 0.1]))
        seen, quoted = see_cells(self.both(), np.array([[80.0, 0.5], [NAN, 0.5], [500.0, 0.5]]), frame)
        np.testing.assert_array_equal(seen, [[80, 2], [NAN, NAN], [500, 20]])
        np.testing.assert_array_equal(quoted.raw[:, 0], quoted.raw[:, 1])
        assert (quoted.low.tolist(), quoted.high.tolist()) == ([38.0, 65.0], [62.0, 80.0])

    def test_without_a_frame_nothing_is_known_against_the_slide(self):
        seen, quoted = see_cells(self.both(), np.array([[80.0, 0.5]]))
        np.testing.assert_array_equal(seen, [[80, NAN]])
        assert np.isnan(quoted.high[1])

    def test_a_model_of_values_as_measured_sees_just_them(self):
        cells = np.array([[80.0, 0.5]])
        assert see_cells(model(), cells) == (cells, None)

    def test_a_column_seen_twice_is_one_reason_told_by_what_moved_more(self):
        both, slide = self.both(), Frame(np.array([70.0, 0.9]), np.array([5.0, 0.1]))
        seen, quoted = see_cells(both, np.array([[90.0, 0.5]]), slide)
        assert reasons(judge_by_model(seen, both, coverage=0.9, quoted=quoted))[0, "abnormal"] == [
            "nucleus_area_um2 90 um2 (healthy 65-80 on this slide, high)"
        ]
        # 0.5 * 4 + 1 * 4 of the area are more than 5 of the solidity, 4 alone are not
        third = LinearMember(
            np.array([50.0, 0.0, 0.95]), np.array([10.0, 1.0, 0.05]), np.zeros(3), np.array([0.5, 1.0, -1.0]), 0.0, 5.0
        )
        three = replace(both, features=(*both.features, model().features[1]), members=(third,))
        seen, quoted = see_cells(three, np.array([[90.0, 0.7]]), slide)
        told = reasons(judge_by_model(seen, three, coverage=0.9, quoted=quoted))[0, "abnormal"]
        assert [text.split()[0] for text in told] == ["nucleus_area_um2", "nucleus_solidity"]
        alike = Frame(np.array([89.0, 0.9]), np.array([5.0, 0.1]))
        seen, quoted = see_cells(both, np.array([[90.0, 0.5]]), alike)
        assert reasons(judge_by_model(seen, both, coverage=0.9, quoted=quoted))[0, "abnormal"] == [
            "nucleus_area_um2 90 um2 (healthy 38-62, high)"
        ]


class TestParts:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"member_weights": np.ones(2)}, "1 members with weights of shape"),
            ({"features": model().features[:1]}, "does not fit 1 features"),
            ({"features": (replace(model().features[0], relative=True), model().features[1])}, "relative to a slide"),
            ({"conformal_healthy": np.zeros(3)}, "scores of healthy cells that do not fit"),
            ({"conformal_abnormal_weights": np.zeros(3)}, "scores of abnormal cells that do not fit"),
        ],
    )
    def test_that_do_not_fit_each_other_are_refused(self, changes, words):
        with pytest.raises(ValueError, match=words):
            model(**changes)

    def test_trees_that_ask_for_more_features_are_refused(self):
        trees = TreeEnsemble(
            np.zeros(1, np.int32), np.array([2, -1, -1], np.int32), np.zeros(3), np.zeros(3, bool),
            np.array([1, 0, 0], np.int32), np.array([2, 0, 0], np.int32), np.array([0.0, -1.0, 1.0]), 0.0,
        )  # fmt: skip
        with pytest.raises(ValueError, match="does not fit 2 features"):
            model(members=(TreeMember(trees),))

    def test_trees_and_lines_add_up_in_reasons(self):
        trees = TreeEnsemble(
            np.zeros(1, np.int32), np.array([0, -1, -1], np.int32), np.array([60.0, 0, 0]), np.zeros(3, bool),
            np.array([1, 0, 0], np.int32), np.array([2, 0, 0], np.int32), np.array([0.0, -1.0, 3.0]), 0.5,
        )  # fmt: skip
        both = model(members=(model().members[0], TreeMember(trees)), member_weights=np.array([0.25, 0.75]))
        cells = np.array([[70.0, 0.85], [41.0, NAN], [NAN, 0.95], [np.inf, 0.95]])
        whole = predict_margin(both, cells)
        assert whole.tolist() == pytest.approx([0.25 * 4 + 0.75 * 3.5, -0.225 - 0.375, 2.625, 2.625])
        found = explain(both, cells)
        assert found[0].tolist() == pytest.approx([0.25 * 2 + 0.75 * 4, 0.25 * 2])
        assert found.sum(axis=1) == pytest.approx(whole - predict_margin(both, np.array([[50.0, 0.95]])))
