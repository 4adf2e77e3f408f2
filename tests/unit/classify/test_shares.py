"""Shares and their intervals: closed forms, fields by hand, and how often the interval holds the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, t

from cellseg.classify.shares import (
    FIELD_SIDES_UM,
    MIN_FIELDS,
    estimate_share,
    group_into_fields,
    wilson_interval,
)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (2, 7), (15, 100), (1, 1_000_000)])
def test_wilson_is_scipys(k, n):
    interval = binomtest(k, n).proportion_ci(0.95, method="wilson")
    assert wilson_interval(k, n) == pytest.approx((interval.low, interval.high), abs=1e-12)


def test_a_published_wilson_interval():
    # Newcombe 1998, Stat Med 17:857, table I: 81 of 263 gives 0.2553 to 0.3662, 0 of 20 gives 0 to 0.1611
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)


def test_nothing_decided_has_no_share():
    assert all(math.isnan(end) for end in wilson_interval(0, 0))
    none = estimate_share(np.zeros(3, np.int64), np.zeros(3, np.int64))
    assert none.n_clusters == 0
    assert all(math.isnan(value) for value in (none.share, none.low, none.high, none.design_effect))


def test_one_cluster_is_wilsons_and_tells_no_design_effect():
    # a cluster without decided cells is none
    one = estimate_share(np.array([3, 0]), np.array([20, 0]))
    assert (one.share, one.n_clusters) == (0.15, 1)
    assert (one.low, one.high) == pytest.approx(wilson_interval(3, 20))
    assert math.isnan(one.design_effect)


def test_clusters_that_are_all_one_kind_leave_as_many_cells_as_clusters():
    # 12 clusters of 30 cells, 4 all abnormal: every cell repeats its cluster, so 360 cells are worth about 12
    abnormal, decided = np.repeat([30, 0], [4, 8]), np.full(12, 30)
    found = estimate_share(abnormal, decided)
    # correlation 1 gives exactly 30; the bootstrap's variance scatters about 30 * 12 / 11 for the sample's own mean
    assert found.design_effect == pytest.approx(30 * 12 / 11, rel=0.05)
    n, z = 360 / found.design_effect, t.ppf(0.975, 11)
    centre, half = (4 / 12 + z**2 / (2 * n)), z * math.sqrt(4 / 12 * 8 / 12 / n + z**2 / (4 * n**2))
    assert (found.low, found.high) == pytest.approx(
        ((centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n))
    )


def test_clusters_that_agree_have_no_design_effect_but_students_t():
    found = estimate_share(np.full(6, 5), np.full(6, 50))
    assert found.design_effect == 1.0
    low, high = wilson_interval(30, 300)
    assert found.low < low < 0.1 < high < found.high


@pytest.mark.parametrize("abnormal", [0, 40])
def test_cells_that_are_all_the_same_still_have_a_width(abnormal):
    found = estimate_share(np.full(20, abnormal), np.full(20, 40))
    assert math.isnan(found.design_effect)
    assert 0.004 < found.high - found.low < 0.01
    assert found.low == 0 or found.high == 1


def test_the_intraclass_correlation_counts_where_the_bootstrap_is_blind():
    # the large cluster happens to have the mean share, so that draws hardly scatter, but the small ones are all one
    # kind: clusters do differ, and most cells are in one of them
    abnormal, decided = np.array([200, *[20, 0] * 3]), np.array([400, *[20] * 6])
    between = 6 * 20 * 0.5**2 / 6  # of 6 degrees of freedom
    within = 400 * 0.5 * 0.5 / (520 - 7)
    own = (400**2 + 6 * 20**2) / 520
    typical = (520 - own) / 6
    rho = (between - within) / (between + (typical - 1) * within)
    assert estimate_share(abnormal, decided).design_effect == pytest.approx(1 + (own - 1) * rho)


def test_single_cells_cannot_be_alike():
    found = estimate_share(np.array([1, 0] * 10), np.ones(20, np.int64))
    # nothing but what the scatter of 2,000 draws adds to 20 / 19
    assert found.design_effect == pytest.approx(20 / 19, abs=0.1)


def test_the_same_seed_gives_the_same_figures():
    rng = np.random.default_rng(5)
    # clusters alike in size, where the bootstrap's figure is the greater
    decided = np.full(30, 50)
    abnormal = rng.binomial(decided, rng.beta(1, 5, 30))
    assert estimate_share(abnormal, decided) == estimate_share(abnormal, decided)
    assert estimate_share(abnormal, decided) != estimate_share(abnormal, decided, seed=1)


def clustered(rng, n_clusters, *, share, correlation):
    """Beta-binomial counts: clusters of about 50 cells, some of them far richer than others."""
    decided = rng.poisson(rng.gamma(4, 12.5, n_clusters)) + 1
    spread = 1 / correlation - 1
    return rng.binomial(decided, rng.beta(share * spread, (1 - share) * spread, n_clusters)), decided


@pytest.mark.parametrize(("n_clusters", "share"), [(6, 0.4), (20, 0.1), (20, 0.4)])
def test_the_interval_holds_the_truth_as_often_as_it_says_and_wilsons_does_not(n_clusters, share):
    rng = np.random.default_rng(11)
    hits, alone, repeats = 0, 0, 200
    for _ in range(repeats):
        abnormal, decided = clustered(rng, n_clusters, share=share, correlation=0.15)
        found = estimate_share(abnormal, decided)
        low, high = wilson_interval(int(abnormal.sum()), int(decided.sum()))
        hits += found.low <= share <= found.high
        alone += low <= share <= high
    # of 200 repeats 95 % are 190 +- 6 (two standard errors); 400 repeats of these cases gave 92 to 97 %
    assert 0.91 <= hits / repeats <= 0.99
    assert alone / repeats < 0.6


def test_independent_cells_are_not_made_much_less_certain():
    rng = np.random.default_rng(7)
    widths = []
    for _ in range(100):
        decided = rng.poisson(50, 30) + 1
        abnormal = rng.binomial(decided, 0.2)
        found, (low, high) = estimate_share(abnormal, decided), wilson_interval(int(abnormal.sum()), int(decided.sum()))
        widths.append((found.high - found.low) / (high - low))
    assert 1.0 < np.mean(widths) < 1.25


def test_fields_are_blocks_from_the_corner_in_raster_order():
    # at 125 um and wider fewer than ten blocks, at 90 um a cell in each of 4 x 4
    y, x = (at.ravel() for at in np.meshgrid(np.arange(4) * 90.0 + 10, np.arange(4) * 90.0 + 80, indexing="ij"))
    field, side_um = group_into_fields(y, x)
    assert side_um == 90.0
    assert field.tolist() == list(range(16))
    both, same_side = group_into_fields(np.r_[y, y + 1], np.r_[x, x + 9])
    assert same_side == side_um and both.tolist() == field.tolist() * 2


def test_fields_are_as_wide_as_the_image_allows():
    rng = np.random.default_rng(0)
    for extent_um, side_um in [(60_000.0, 2000.0), (5000.0, 1400.0), (1000.0, 250.0), (150.0, 45.0)]:
        field, found = group_into_fields(*rng.uniform(0, extent_um, (2, 5000)))
        assert found == side_um
        assert field.max() + 1 >= MIN_FIELDS


def test_few_cells_close_together_are_in_few_fields():
    field, side_um = group_into_fields(np.array([1.0, 2, 40]), np.array([1.0, 2, 1]))
    assert (field.tolist(), side_um) == ([0, 0, 1], FIELD_SIDES_UM[-1])
    field, side_um = group_into_fields(np.zeros(0), np.zeros(0))
    assert field.size == 0 and math.isnan(side_um)
