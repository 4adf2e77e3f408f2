"""Reference files that are refused, features that were not measured, slides that lie far off, cells in any company."""

from __future__ import annotations

import json
from copy import deepcopy

import numpy as np
import pyarrow as pa
import pytest

from cellseg.classify.discovery import HeldOut, call_slide, summarize_held_out
from cellseg.classify.novelty import Covariance, Nearest, Plain, scorer_from_dict
from cellseg.classify.reference import FeatureFit, ReferenceFit, find_drift
from cellseg.classify.reference_judge import judge_by_reference, score_by_reference
from cellseg.classify_config import ReferenceSettings
from cellseg.errors import ModelError
from cellseg.train.reference import fit_healthy

NAN = float("nan")
SCORES = ["covariance", "isolation_forest", "nearest", "rms", "max"]
LEARNT = SCORES[:3]
FEATURES = {"b": FeatureFit(10.0, 2.0, 6.0, 14.0), "a": FeatureFit(0.0, 1.0, -2.0, 2.0)}


def fitted(score="covariance"):
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(400, 3)) * [1, 5, 0.1] + [0, 60, 0.9]
    groups = np.repeat(np.array(["w", "x", "y", "z"]), 100)
    settings = ReferenceSettings(score=score, n_trees=20)
    return fit_healthy(matrix, ["c", "b", "a"], groups, stain="he", left_out={}, settings=settings)


def read(values, where="r.json"):
    # as files are written
    return ReferenceFit.from_dict(json.loads(json.dumps(values, sort_keys=True)), where)


def changed(values, path, value):
    out = deepcopy(values)
    *parents, last = path
    inner = out
    for key in parents:
        inner = inner[key]
    inner[last] = value
    return out


class TestFiles:
    @pytest.mark.parametrize("score", SCORES)
    def test_what_is_written_is_read(self, score):
        fit = fitted(score)
        back = read(fit.to_dict())
        assert back.to_dict() == fit.to_dict()
        # a scorer knows features by their order, and files sort them
        assert list(back.features) == ["c", "b", "a"]

    def test_fits_of_tissues_come_along(self):
        fit = ReferenceFit(
            "he", 400, FEATURES, {}, Plain("max"), 6.0, HeldOut(np.array([1.0]), np.array([0.1])),
            tissues={"stroma": fitted("rms"), "fat": ReferenceFit("he", 3, {}, {}, Plain("rms"), 6.0, fault="3 cells")},
        )  # fmt: skip
        back = read(fit.to_dict())
        assert back.to_dict() == fit.to_dict()
        assert back.tissues["fat"].fault == "3 cells" and back.tissues["stroma"].usable

    @pytest.mark.parametrize("values", [{}, [], {"format_version": 99}, {"format_version": 2}, {"format_version": 3}])
    def test_another_file_is_refused(self, values):
        with pytest.raises(ModelError, match=r"r\.json: not a reference of this version \(.*run `cellseg reference`"):
            read(values)

    @pytest.mark.parametrize("score", LEARNT)
    def test_a_scorer_of_other_features_is_refused(self, score):
        values = fitted(score).to_dict()
        for order in (["c"], []):
            with pytest.raises(ModelError, match="not a reference"):
                read(values | {"feature_order": order})
        with pytest.raises(ModelError, match="KeyError"):
            read(values | {"feature_order": ["c", "b", "d"]})

    @pytest.mark.parametrize(
        ("score", "path", "value"),
        [
            ("rms", ("features", "b", "median"), NAN),
            ("rms", ("features", "b", "mad"), 0.0),
            ("rms", ("features", "b", "mad"), NAN),
            ("rms", ("features", "b", "low"), None),
            ("rms", ("features", "b", "high"), float("inf")),
            ("rms", ("features", "b"), {"median": 1.0}),
            ("rms", ("z_clip",), NAN),
            ("rms", ("z_clip",), -1),
            ("rms", ("score", "kind"), "novel"),
            ("rms", ("held_out", "scores", 0), NAN),
            ("rms", ("held_out", "scores", 0), 99.0),
            ("rms", ("held_out", "scores"), []),
            ("rms", ("held_out", "scores"), [[1.0]]),
            ("rms", ("held_out", "p_values_beyond", 0), NAN),
            ("rms", ("held_out", "p_values_beyond", -1), 0.0),
            ("rms", ("held_out", "p_values_beyond", -1), 1.0),
            ("rms", ("held_out", "p_values_beyond", 0), 1.5),
            ("covariance", ("score", "centre", 0), NAN),
            ("covariance", ("score", "whitening", 0), [1.0]),
            ("covariance", ("score", "whitening", 0, 0), NAN),
            ("nearest", ("score", "cells", 0), [1.0, 2.0]),
            ("nearest", ("score", "cells", 0, 0), NAN),
            ("nearest", ("score", "cells"), []),
            ("nearest", ("score", "n_nearest"), 0),
            ("nearest", ("score", "n_nearest"), 401),
            ("isolation_forest", ("score", "threshold", 0), NAN),
            ("isolation_forest", ("score", "value", -1), NAN),
            ("isolation_forest", ("score", "feature", 0), 3),
            ("isolation_forest", ("score", "feature", 0), 1e20),
            ("isolation_forest", ("score", "left", 0), 0),
            ("isolation_forest", ("score", "roots", 0), -1),
            ("isolation_forest", ("score", "roots"), []),
            ("isolation_forest", ("score", "right"), [1, 2]),
            ("isolation_forest", ("score", "expected"), 0.0),
            ("isolation_forest", ("score", "expected"), NAN),
        ],
    )
    def test_a_file_that_was_tampered_with_is_refused(self, score, path, value):
        values = fitted(score).to_dict()
        read(values)
        with pytest.raises(ModelError, match=r"r\.json: not a reference"):
            read(changed(values, path, value))

    def test_the_tissue_of_a_wrong_fit_is_named(self):
        values = fitted("rms").to_dict()
        with pytest.raises(ModelError, match=r"r\.json, tissue fat: not a reference"):
            read(values | {"tissues": {"fat": values | {"format_version": 2}}})

    def test_without_features_only_an_unusable_one_is_read(self):
        empty = fitted("rms").to_dict() | {"feature_order": [], "features": {}}
        assert not read(empty | {"reason": "3 cells, 50 needed"}).usable
        with pytest.raises(ModelError, match="no feature"):
            read(empty)

    def test_a_scorer_of_no_kind(self):
        with pytest.raises(ValueError, match="'novel'"):
            scorer_from_dict({"kind": "novel"}, 3)


class TestMissingFeatures:
    def fit(self, scorer):
        return ReferenceFit("he", 100, FEATURES, {}, scorer, 6.0, HeldOut(np.array([1.0, 2.0]), np.array([0.05, 0.01])))

    def score(self, scorer, *rows):
        fit = self.fit(scorer)
        return fit.score(fit.robust_z(np.array(rows)))

    def test_root_mean_square_and_largest_by_hand(self):
        rows = [[16.0, 4.0], [8.0, NAN], [NAN, 60.0], [10.0, -np.inf], [NAN, NAN]]
        np.testing.assert_array_equal(self.score(Plain("rms"), *rows), [3.535534, 1, 6, 0, NAN])
        np.testing.assert_array_equal(self.score(Plain("max"), *rows), [4, 1, 6, 0, NAN])

    def test_a_distance_by_hand(self):
        # z (3, 4) is 2 and 4 off the centre (1, 0), in units of 1 and 0.5
        scorer = Covariance(np.array([1.0, 0.0]), np.diag([1.0, 2.0]))
        assert self.score(scorer, [16.0, 4.0])[0] == pytest.approx(np.sqrt((4 + 64) / 2), abs=1e-6)

    def test_the_second_nearest_by_hand(self):
        scorer = Nearest(np.array([[3.0, 4.0], [0.0, 0.0], [3.0, 0.0]]), 2)
        np.testing.assert_array_equal(
            self.score(scorer, [10.0, 0.0], [16.0, 4.0]), np.round([3 / 2**0.5, 4 / 2**0.5], 6)
        )

    @pytest.mark.parametrize("score", LEARNT)
    def test_what_was_not_measured_counts_as_the_healthy_median(self, score):
        fit = fitted(score)
        medians = [one.median for one in fit.features.values()]
        rows = np.array([[2.0, 75.0, 0.5], [NAN, 75.0, 0.5], [2.0, NAN, np.inf], [NAN, NAN, NAN]])
        scores = fit.score(fit.robust_z(rows))
        filled = np.where(np.isfinite(rows), rows, medians)
        np.testing.assert_array_equal(scores[:3], fit.score(fit.robust_z(filled))[:3])
        assert np.unique(scores[:3]).size == 3
        assert np.isnan(scores[3])

    @pytest.mark.parametrize("score", ["rms", "max"])
    def test_it_is_left_out_of_plain_scores(self, score):
        fit = fitted(score)
        one = ReferenceFit("he", 400, {"b": fit.features["b"]}, {}, fit.scorer, fit.z_clip)
        z = fit.robust_z(np.array([[NAN, 75.0, NAN]]))
        np.testing.assert_array_equal(fit.score(z), one.score(one.robust_z(np.array([[75.0]]))))

    @pytest.mark.parametrize("score", SCORES)
    def test_z_beyond_the_clip_counts_as_the_clip(self, score):
        fit = fitted(score)
        far = np.array([[one.median + z * one.mad for one in fit.features.values()] for z in (6, 60, 1e300)])
        assert np.unique(fit.score(fit.robust_z(far))).size == 1

    @pytest.mark.parametrize("score", SCORES)
    def test_no_cells_have_no_scores(self, score):
        fit = fitted(score)
        assert fit.score(fit.robust_z(np.empty((0, 3)))).shape == (0,)

    @pytest.mark.parametrize("score", SCORES)
    def test_a_cell_without_any_is_uncertain_and_says_so(self, score):
        fit = fitted(score)
        table = pa.table({"a": [NAN, 0.9], "b": [NAN, 60.0], "c": [NAN, 0.0]})
        said = judge_by_reference(table, fit, call_slide(np.array([0.001]), ReferenceSettings()), reason_z=2)
        (finding,) = [one for one in said.findings if one.rows.size]
        assert finding.rows.tolist() == [0]
        assert finding.status == "uncertain"
        assert finding.texts == "none of the reference's features could be measured"
        for values in (said.score, said.p_value, said.probability):
            assert np.isnan(values).tolist() == [True, False]


@pytest.mark.parametrize("score", SCORES)
def test_a_cells_score_does_not_depend_on_company(score):
    fit = fitted(score)
    rng = np.random.default_rng(1)
    table = pa.table({name: rng.normal(size=500) * spread for name, spread in (("a", 0.3), ("b", 60), ("c", 3))})
    scores, p_values = score_by_reference(table, fit)
    order = rng.permutation(500)
    shuffled = score_by_reference(table.take(order), fit)
    np.testing.assert_array_equal(shuffled, [scores[order], p_values[order]])
    for at in (0, 7, 499):
        np.testing.assert_array_equal(score_by_reference(table.slice(at, 1), fit), [[scores[at]], [p_values[at]]])
    z = fit.robust_z(np.stack([table[name].to_numpy() for name in fit.features], axis=1))
    # not only after rounding: a sum over features that changed with the number of cells would do so in its last digits
    clipped = np.clip(z, -fit.z_clip, fit.z_clip)
    whole = fit.scorer.score(clipped)
    np.testing.assert_array_equal(np.concatenate([fit.scorer.score(clipped[at : at + 1]) for at in range(500)]), whole)


def test_sums_over_many_features_do_not_either():
    rng = np.random.default_rng(3)
    z, p = rng.normal(size=(300, 40)), 40
    scorer = Covariance(np.zeros(p), rng.normal(size=(p, p)))
    whole = scorer.score(z)
    for n in (1, 2, 3, 16, 37):
        parts = [scorer.score(z[at : at + n]) for at in range(0, 300, n)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(scorer.score(np.asfortranarray(z)), whole)


def test_more_cells_than_one_chunk_score_alike():
    fit = fitted("covariance")
    z = np.random.default_rng(2).normal(size=(70_000, 3))
    np.testing.assert_array_equal(fit.score(z)[-5000:], fit.score(z[-5000:]))


class TestHeldOut:
    def test_scores_that_are_not_known_are_not_looked_at(self):
        groups = np.array([0, 0, 1, 1, 2])
        with_nan = summarize_held_out(np.array([1.0, NAN, 2.0, 3.0, NAN]), groups)
        without = summarize_held_out(np.array([1.0, 2.0, 3.0]), np.array([0, 1, 1]))
        assert with_nan.to_dict() == without.to_dict()

    def test_none_say_that_every_cell_is_as_a_healthy_one(self):
        empty = summarize_held_out(np.array([NAN]), np.array([0]))
        np.testing.assert_array_equal(empty.p_values(np.array([1.0, NAN])), [1, NAN])
        assert empty.score_at(0.5) == float("inf")

    @pytest.mark.parametrize(
        ("scores", "beyond"),
        [([1.0, 1.0], [0.5, 0.4]), ([1.0, 2.0], [0.4, 0.5]), ([1.0], [0.5, 0.4]), ([NAN], [0.5]), ([1.0], [0.0])],
    )
    def test_what_cannot_be_is_refused(self, scores, beyond):
        with pytest.raises(ValueError, match="held-out scores"):
            HeldOut(np.array(scores), np.array(beyond))


class TestDrift:
    FIT = ReferenceFit("he", 100, FEATURES, {}, Plain("rms"), 6.0)

    def test_the_farthest_comes_first_in_words(self):
        assert find_drift(self.FIT, {"b": 14.0, "a": -2.5}, 1.5) == [
            "a: the slide's median -2.5 is -2.5 robust z from the healthy 0 (interval -2 to 2)",
            "b: the slide's median 14 is +2.0 robust z from the healthy 10 (interval 6-14)",
        ]

    def test_at_the_bound_there_is_none(self):
        assert find_drift(self.FIT, {"b": 13.0, "a": 1.5}, 1.5) == []
        assert len(find_drift(self.FIT, {"b": 13.001}, 1.5)) == 1

    def test_features_without_a_median_and_others_are_passed_over(self):
        assert find_drift(self.FIT, {"z": 1e9}, 1.5) == []
