"""Scores of strangeness, p-values and their bounds against scikit-learn, SciPy and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import false_discovery_control
from sklearn.covariance import LedoitWolf
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors

from cellseg.classify.discovery import call_slide, summarize_held_out
from cellseg.classify.novelty import rounded
from cellseg.classify_config import ReferenceSettings
from cellseg.train.reference import MAX_NEAREST, fit_covariance, fit_forest, fit_scorer


def healthy(n, p, *, seed=0):
    """Robust z of n cells whose p features hang together, some of them skewed."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, p)) @ rng.normal(size=(p, p))
    z[:, ::2] = np.expm1(z[:, ::2] / 2)
    return np.clip(z, -6, 6)


class TestForest:
    @pytest.mark.parametrize(("n", "p", "n_trees"), [(40, 1, 25), (300, 3, 100), (1500, 8, 50)])
    def test_scores_are_scikit_learns(self, n, p, n_trees):
        z, unseen = healthy(n, p), healthy(200, p, seed=1)
        theirs = IsolationForest(n_estimators=n_trees, max_samples=min(256, n), random_state=7).fit(z)
        ours = fit_forest(z, n_trees=n_trees, seed=7)
        for cells in (z, unseen):
            np.testing.assert_allclose(ours.score(cells), -theirs.score_samples(cells), rtol=0, atol=1e-9)

    def test_values_beside_thresholds_go_the_same_way(self):
        z = healthy(300, 1)
        theirs = IsolationForest(n_estimators=20, max_samples=256, random_state=0).fit(z)
        ours = fit_forest(z, n_trees=20, seed=0)
        cuts = ours.trees.threshold[ours.trees.feature >= 0]
        single = cuts.astype(np.float32)
        # trees look at float32: what lies over a threshold in float64 may lie under it there
        beside = [cuts, np.nextafter(cuts, 9), np.nextafter(cuts, -9)]
        beside += [np.nextafter(single, np.float32(to)).astype(np.float64) for to in (-9, 9)]
        cells = np.concatenate(beside)[:, None]
        np.testing.assert_allclose(ours.score(cells), -theirs.score_samples(cells), rtol=0, atol=1e-9)

    def test_cells_that_are_alike_share_a_leaf(self):
        z = np.round(healthy(200, 2))
        theirs = IsolationForest(n_estimators=30, max_samples=200, random_state=0).fit(z)
        score = fit_forest(z, n_trees=30, seed=0).score(z)
        np.testing.assert_allclose(score, -theirs.score_samples(z), rtol=0, atol=1e-9)
        assert np.unique(score).size < 100

    def test_a_file_keeps_the_scores_to_its_digits(self):
        z, unseen = healthy(500, 4), healthy(300, 4, seed=1)
        theirs = IsolationForest(n_estimators=100, max_samples=256, random_state=0).fit(z)
        ours = rounded(fit_forest(z, n_trees=100, seed=0))
        np.testing.assert_allclose(ours.score(unseen), -theirs.score_samples(unseen), rtol=0, atol=1e-6)


class TestCovariance:
    @pytest.mark.parametrize(("n", "p"), [(1000, 1), (500, 5), (30, 12)])
    def test_untrimmed_distances_are_those_of_ledoit_and_wolf(self, n, p):
        z, unseen = healthy(n, p), healthy(100, p, seed=1)
        expected = np.sqrt(LedoitWolf().fit(z).mahalanobis(unseen) / p)
        np.testing.assert_allclose(fit_covariance(z, trim=0.0).score(unseen), expected, rtol=1e-8)

    def test_a_feature_that_is_a_copy_of_another_gives_numbers(self):
        z = healthy(200, 2)
        score = fit_covariance(np.column_stack([z, z[:, 0]]), trim=0.02).score(np.column_stack([z, -z[:, 0]]))
        assert np.isfinite(score).all()

    def test_trimming_resists_five_percent_of_far_outliers(self):
        clean = np.random.default_rng(0).normal(size=(950, 4)) @ np.array(
            [[1, 0.8, 0.6, 0], [0, 0.6, 0, 0], [0, 0, 0.8, 0], [0, 0, 0, 1]]
        )
        far = np.array([5.0, -5, 5, 5]) + np.random.default_rng(1).normal(0, 0.3, (50, 4))
        together = np.concatenate([clean[:500], far, clean[500:]])
        expected = np.sqrt(LedoitWolf().fit(clean).mahalanobis(together) / 4)
        # a trim that takes the outliers leaves the fit of the clean cells, to the last digits
        np.testing.assert_allclose(fit_covariance(together, trim=0.05).score(together), expected, rtol=1e-8)
        outliers = slice(500, 550)
        trimmed, whole = (fit_covariance(together, trim=trim).score(together) for trim in (0.08, 0.0))
        # without one they make themselves unremarkable
        assert trimmed[outliers].min() > 2 * whole[outliers].max()
        assert np.corrcoef(np.delete(trimmed, outliers), np.delete(expected, outliers))[0, 1] > 0.99

    def test_steps_find_outliers_that_are_near_and_yet_off(self):
        # across a narrow cloud, where no single feature and no distance from the median tells them
        rng = np.random.default_rng(0)
        clean = rng.normal(size=(950, 1)) + rng.normal(0, 0.05, (950, 2))
        off = np.array([0.8, -0.8]) + rng.normal(0, 0.05, (50, 2))
        together = np.concatenate([off, clean])
        expected = np.sqrt(LedoitWolf().fit(clean).mahalanobis(together) / 2)
        np.testing.assert_allclose(fit_covariance(together, trim=0.05).score(together), expected, rtol=1e-8)


class TestNearest:
    @pytest.mark.parametrize("n_nearest", [1, 10, 200])
    def test_distances_are_scikit_learns(self, n_nearest):
        z, unseen = healthy(700, 5), healthy(300, 5, seed=1)
        scorer = fit_scorer(z, ReferenceSettings(score="nearest", n_nearest=n_nearest))
        theirs = NearestNeighbors(n_neighbors=n_nearest).fit(z)
        for cells in (z, unseen):
            expected = theirs.kneighbors(cells)[0][:, -1] / np.sqrt(5)
            np.testing.assert_allclose(scorer.score(cells), expected, rtol=0, atol=1e-12)

    def test_of_many_cells_an_even_draw_is_kept(self):
        z = healthy(2 * MAX_NEAREST - 1, 2)
        scorer = fit_scorer(z, ReferenceSettings(score="nearest"))
        np.testing.assert_array_equal(scorer.cells, z[::2])

    def test_fewer_cells_than_neighbours_ask_for_the_last(self):
        z = healthy(5, 2)
        scorer = fit_scorer(z, ReferenceSettings(score="nearest", n_nearest=10))
        expected = np.linalg.norm(z[:, None] - z, axis=2).max(axis=1) / np.sqrt(2)
        np.testing.assert_allclose(scorer.score(z), expected)


def p_by_brute_force(scores, groups, asked):
    """(1 + n x the mean over samples of their share with this score or more) / (1 + n)."""
    share = np.mean([(scores[groups == one] >= asked[:, None]).mean(axis=1) for one in np.unique(groups)], axis=0)
    return (1 + scores.size * share) / (1 + scores.size)


class TestPValues:
    def test_one_sample_by_its_ranks(self):
        held_out = summarize_held_out(np.array([3.0, 1, 2, 2]), np.zeros(4, np.int64))
        p_values = held_out.p_values(np.array([0.5, 1, 1.5, 2, 2.5, 3, 9, np.nan]))
        np.testing.assert_allclose(p_values, [1, 1, 0.8, 0.8, 0.4, 0.4, 0.2, np.nan], atol=1e-9)

    def test_samples_count_alike_whatever_their_size(self):
        scores, groups = np.array([1.0, 2, 3, 4, 9]), np.array([0, 0, 0, 0, 1])
        # over 3.5: a quarter of one sample and the whole of the other
        assert summarize_held_out(scores, groups).p_values(np.array([3.5]))[0] == pytest.approx((1 + 5 * 0.625) / 6)

    @pytest.mark.parametrize("decimals", [1, 6])
    def test_uneven_samples_by_brute_force(self, decimals):
        rng = np.random.default_rng(0)
        groups = rng.choice([3, 5, 11, 40], 1200, p=[0.7, 0.2, 0.08, 0.02])
        scores = np.round(rng.gamma(2, 1 + groups / 40), decimals)
        asked = np.concatenate([scores, rng.uniform(-1, 20, 500)])
        expected = p_by_brute_force(scores, groups, asked)
        held_out = summarize_held_out(scores, groups)
        assert held_out.scores.size == np.unique(scores).size
        np.testing.assert_allclose(held_out.p_values(asked), expected, rtol=0, atol=2e-9)

    def test_of_many_scores_p_values_are_never_too_small_and_exact_at_the_top(self):
        rng = np.random.default_rng(1)
        groups = rng.choice(5, 30_000, p=[0.6, 0.2, 0.1, 0.05, 0.05])
        scores = np.round(rng.normal(size=30_000) ** 2 + 0.1 * groups, 6)
        asked = np.concatenate([rng.choice(scores, 1000), np.sort(scores)[-1500:], rng.uniform(0, 20, 500)])
        expected = p_by_brute_force(scores, groups, asked)
        held_out = summarize_held_out(scores, groups)
        assert held_out.scores.size == 2000
        told = held_out.p_values(asked)
        assert (told >= expected - 2e-9).all()
        # no step skips more than the cells between two of the thousand that are kept below the top
        assert (told - expected).max() < 0.003
        top = asked >= np.unique(scores)[-1000]
        assert top.sum() > 1000
        np.testing.assert_allclose(told[top], expected[top], rtol=0, atol=2e-9)

    def test_a_cell_over_the_score_at_a_p_value_has_at_most_that(self):
        rng = np.random.default_rng(2)
        scores, groups = rng.normal(size=500), rng.integers(0, 4, 500)
        held_out = summarize_held_out(scores, groups)
        for p in (0.004, 0.05, 0.5):
            cut = held_out.score_at(p)
            below, over = held_out.p_values(np.array([cut, np.nextafter(cut, 99)]))
            assert over <= p < below
        assert held_out.score_at(0.001) == float("inf")


def slide(n_healthy, n_abnormal, *, seed=0, decimals=9):
    rng = np.random.default_rng(seed)
    p_values = np.concatenate([rng.uniform(size=n_healthy), rng.beta(0.2, 8, n_abnormal)])
    return np.maximum(np.round(rng.permutation(p_values), decimals), 10.0**-decimals)


SLIDES = [(1, 0, 9), (40, 0, 9), (300, 30, 9), (300, 200, 2), (10, 400, 3), (2000, 100, 4)]


class TestFalseDiscoveryBounds:
    @pytest.mark.parametrize(("n_healthy", "n_abnormal", "decimals"), SLIDES)
    def test_calls_are_those_of_scipy(self, n_healthy, n_abnormal, decimals):
        p_values = slide(n_healthy, n_abnormal, decimals=decimals)
        settings = ReferenceSettings(abnormal_fdr=0.07, uncertain_fdr=0.23)
        calls = call_slide(np.concatenate([p_values, [np.nan]]), settings)
        adjusted = false_discovery_control(p_values)
        np.testing.assert_array_equal(p_values <= calls.abnormal_at, adjusted <= 0.07)
        np.testing.assert_array_equal(p_values <= calls.uncertain_at, adjusted <= 0.23)

    def test_equality_counts(self):
        calls = call_slide(np.array([0.05, 0.9, 0.1]), ReferenceSettings(abnormal_fdr=0.15, uncertain_fdr=0.15))
        assert calls.abnormal_at == 0.1

    def test_nothing_is_called_where_nothing_is_strange_or_there_is_nothing(self):
        for p_values in (np.linspace(0.3, 1, 50), np.empty(0), np.array([np.nan])):
            calls = call_slide(p_values, ReferenceSettings())
            assert (calls.abnormal_at, calls.uncertain_at) == (-1, -1)
        assert np.isnan(call_slide(np.empty(0), ReferenceSettings()).probabilities(np.array([0.5, np.nan]))).all()

    def test_p_values_by_themselves(self):
        settings = ReferenceSettings(decide="p_value", abnormal_p=0.02, uncertain_p=0.04)
        calls = call_slide(slide(50, 50), settings)
        assert (calls.abnormal_at, calls.uncertain_at) == (0.02, 0.04)


def slopes_by_brute_force(values, reached):
    """Slope left of each value of the least concave line over the distribution: min over starts of max over ends."""
    x, y = np.concatenate([[0], values]), np.concatenate([[0], reached])
    if x[-1] < 1:
        x, y = np.append(x, 1.0), np.append(y, 1.0)
    return np.array(
        [
            min(max((y[b] - y[a]) / (x[b] - x[a]) for b in range(k, x.size)) for a in range(k))
            for k in range(1, values.size + 1)
        ]
    )


class TestProbability:
    @pytest.mark.parametrize(("n_healthy", "n_abnormal", "decimals"), SLIDES[:-1])
    def test_one_minus_local_false_discovery_rate_by_brute_force(self, n_healthy, n_abnormal, decimals):
        p_values = slide(n_healthy, n_abnormal, seed=3, decimals=decimals)[:150]
        n = p_values.size
        values, counts = np.unique(p_values, return_counts=True)
        slope = slopes_by_brute_force(values, np.cumsum(counts) / n)
        healthy_share = min(1.0, ((p_values > 0.5).sum() + 1) / (n / 2))
        expected = np.clip(1 - healthy_share / np.maximum(slope, 1e-12), 0, 1)
        calls = call_slide(p_values, ReferenceSettings())
        np.testing.assert_array_equal(calls.p_values, values)
        np.testing.assert_allclose(calls.probability, expected, rtol=0, atol=1e-6)
        assert (np.diff(calls.probability) <= 0).all()

    def test_a_slide_whose_mixture_is_known(self):
        rng = np.random.default_rng(4)
        n, share = 20_000, 0.2
        abnormal = rng.random(n) < share
        p_values = np.maximum(np.where(abnormal, rng.beta(0.3, 6, n), rng.random(n)), 1e-6)
        told = call_slide(p_values, ReferenceSettings()).probabilities(p_values)
        for low, high in ((0.2, 0.6), (0.6, 0.9), (0.9, 1.0)):
            own = (told > low) & (told <= high)
            assert own.sum() > 300
            # a share of n > 300 cells has a standard error under 0.029, and the density one of n ** (-1/3) at best
            assert told[own].mean() == pytest.approx(abnormal[own].mean(), abs=0.1)

    def test_what_lies_between_two_has_that_of_the_higher(self):
        calls = call_slide(slide(30, 30, seed=5), ReferenceSettings())
        middle = (calls.p_values[1:] + calls.p_values[:-1]) / 2
        np.testing.assert_array_equal(calls.probabilities(middle), calls.probability[1:])
        ends = calls.probabilities(np.array([0.0, 1.0, np.nan]))
        np.testing.assert_array_equal(ends, [calls.probability[0], calls.probability[-1], np.nan])
