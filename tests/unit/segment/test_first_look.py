"""Which scale the first look settles on, for slides whose cells have a known size."""

from __future__ import annotations

import numpy as np
import pytest

from cellseg.segment.first_look import Glance, Look, find_scale

WORKS_AT_PX = 28.0


def _slide(true_px: float, *, n: int = 100, blur: float = 0.6, biased: float = 0.0):
    """A glance at cells of `true_px` by a network that works at 28 px: the farther off, the fewer and the less sure.

    `expected_px` of the tests is 28, so that a factor is a scale. `biased`: the network draws what is too large for it
    smaller than it is, and what is too small larger.
    """

    def glance(factor: float) -> Glance:
        off = np.log2(true_px * factor / WORKS_AT_PX)
        seen = round(n * np.exp(-((off / blur) ** 2) / 4))
        return Glance(np.full(seen, true_px * 2 ** (-biased * off)), np.full(seen, np.exp(-(off**2) / 8)))

    return glance


def _look(glance, **changed) -> Look:
    return find_scale(glance, **({"expected_px": 28.0, "tolerance": 1.25, "may_follow": True} | changed))


def test_cells_as_expected_are_looked_at_once() -> None:
    look = _look(_slide(30.0))
    assert look.factor == 1.0 and look.agrees is True and len(look.glances) == 1


@pytest.mark.parametrize("true_px", [9.0, 16.0, 45.0, 80.0])
@pytest.mark.parametrize("biased", [0.0, 0.3])
def test_the_scale_follows_the_cells(true_px: float, biased: float) -> None:
    look = _look(_slide(true_px, blur=1.2, biased=biased))
    assert look.factor == pytest.approx(28 / true_px, rel=0.4 if biased else 0.01)  # biased looks draw near
    assert look.agrees is False
    assert 2 <= len(look.glances) <= 5


def test_it_follows_no_farther_than_four_times_nor_beyond_the_limits() -> None:
    assert _look(_slide(2.0, blur=9.0)).factor == 4.0
    assert _look(_slide(500.0, blur=9.0)).factor == 0.25
    assert _look(_slide(9.0, blur=9.0), limits=(0.5, 2.0)).factor == 2.0


def test_where_few_are_found_other_scales_are_tried() -> None:
    """At the given scale the network is blind; at twice of it, it sees, and follows from there."""
    glance = _slide(9.0, n=60, blur=0.6)
    assert len(glance(1.0).scores) < 10 < len(glance(2.0).scores)
    look = _look(glance)
    assert look.factor == pytest.approx(28 / 9, rel=0.01)
    assert [factor for factor, _ in look.glances][:3] == [1.0, 2.0, 0.5]


def test_few_cells_of_the_expected_size_are_left_alone() -> None:
    """Looking closer always finds a little more; where what is seen fits the scale, the scale stays."""

    def few(factor: float) -> Glance:
        n = round(5 * factor)
        return Glance(np.full(n, 29.0), np.full(n, 0.9))

    look = _look(few)
    assert look.factor == 1.0 and look.agrees is None and len(look.glances) == 1


def test_of_scales_that_were_tried_the_one_that_its_cells_fit_is_taken() -> None:
    """At twice the scale more is seen, but of a size that half the scale would suit."""

    def few(factor: float) -> Glance:
        n = {1.0: 4, 2.0: 9, 0.5: 6}.get(factor, 6)
        return Glance(np.full(n, 56.0), np.full(n, 0.9))

    look = _look(few)
    assert look.factor == 0.5


def test_never_compares_only() -> None:
    look = _look(_slide(45.0, blur=2.0), may_follow=False)
    assert look.factor == 1.0 and look.agrees is False and len(look.glances) == 1


def test_what_is_followed_must_hold() -> None:
    """Specks that vanish when they are looked at closely do not move the scale."""

    def specks(factor: float) -> Glance:
        n = 40 if factor == 1.0 else 2
        return Glance(np.full(n, 7.0), np.full(n, 0.6))

    assert _look(specks).factor == 1.0


def test_nothing_anywhere() -> None:
    look = _look(lambda factor: Glance(np.zeros(0), np.zeros(0)))
    assert look.factor == 1.0 and look.agrees is None
    assert look.record()["tried"][0] == {"factor": 1.0, "n_cells": 0, "diameter_px": None, "sum_of_scores": 0.0}


def test_specks_beside_nuclei_are_not_the_typical_cell() -> None:
    seen = Glance(np.array([4.0] * 30 + [20.0] * 8), np.ones(38))
    assert seen.size_px == 20.0
    assert Glance(np.zeros(0), np.zeros(0)).size_px is None
