"""Cells against their own slide: which look normal, centre and scale, relative values, even draws."""

from __future__ import annotations

import numpy as np
import pytest

from cellseg.classify.travel import EvenDraw, Frame, Travel, fit_travel, presume_normal, relate, slide_frame

NAN = float("nan")


def travel(kind="normal", share=0.4, centre=(0.0, 0.0), scale=(1.0, 1.0)):
    return Travel(kind, share, ("a", "b"), np.array(centre), np.array(scale))


def along(*values):
    """Cells that lie here in the first column and in the middle of the second."""
    return np.column_stack([np.array(values, float), np.zeros(len(values))])


class TestFitTravel:
    def test_median_and_scaled_mad_by_hand(self):
        # medians 3 and 30; deviations 2 1 0 1 97 and 20 10 0 10 20
        healthy = np.array([[1, 10], [2, 20], [3, 30], [4, 40], [100, 50]], float)
        found = fit_travel(healthy, ("a", "b"), kind="slide", share=0.4)
        assert (found.kind, found.share, found.columns) == ("slide", 0.4, ("a", "b"))
        assert found.centre.tolist() == [3, 30]
        assert found.scale.tolist() == pytest.approx([1.4826, 14.826])

    def test_missing_values_are_left_out(self):
        healthy = np.array([[1, 5], [2, 5], [NAN, 5], [4, 5], [5, 6], [np.inf, 7], [3, 5]])
        found = fit_travel(healthy, ("a", "b"), kind="normal", share=0.4)
        assert found.centre.tolist() == [3, 5]
        # more than half share one value: the standard deviation
        assert found.scale.tolist() == pytest.approx([1.4826, healthy[:, 1].std()])

    def test_columns_that_hardly_any_cell_has_or_all_share_do_not_travel(self):
        rng = np.random.default_rng(0)
        healthy = rng.normal(size=(20, 5))
        healthy[:11, 0] = NAN
        healthy[:10, 1] = NAN
        healthy[:, 2] = 7.0
        healthy[:, 3] = 0.0
        names = ("rare", "half", "flat", "zero", "full")
        assert fit_travel(healthy, names, kind="normal", share=0.4).columns == ("half", "full")

    @pytest.mark.parametrize("n_cells", [0, 1, 4])
    def test_too_few_cells_give_no_columns(self, n_cells):
        assert fit_travel(np.arange(2.0 * n_cells).reshape(-1, 2), "ab", kind="normal", share=0.4).columns == ()

    def test_one_of_a_slide_keeps_what_is_asked_for_alone(self):
        made = Travel("slide", 0.4, ("a", "b"), np.array([1.0, 2.0]), np.array([3.0, 4.0]))
        kept = made.needed_for({"b", "z"})
        assert (kept.columns, kept.centre.tolist(), kept.scale.tolist()) == (("b",), [2.0], [4.0])
        assert travel("normal").needed_for({"b"}).columns == ("a", "b")


class TestPresumeNormal:
    def test_the_nearest_share_in_rising_rows(self):
        cells = along(9, 1, -2, 8, 0, 7, -1, 6, 2.5, 5, 3, 10)
        # 0.4 of 12 are 4.8
        assert presume_normal(cells, travel()).tolist() == [1, 2, 4, 6, 8]

    def test_five_at_least_and_all_where_there_are_no_more(self):
        cells = along(5, 1, -2, 4, 0, 3.5, -1, 3)
        assert presume_normal(cells, travel(share=0.1)).tolist() == [1, 2, 4, 6, 7]
        assert presume_normal(cells[:3], travel(share=0.1)).tolist() == [0, 1, 2]
        assert presume_normal(cells[:0], travel()).size == 0

    def test_units_do_not_matter(self):
        cells = np.array([[0, 40], [3, 0], [0, -10], [1, 0], [0, 15], [0, 20], [2, 0]], float)
        assert presume_normal(cells, travel(scale=(1.0, 10.0), share=0.7)).tolist() == [2, 3, 4, 5, 6]

    def test_one_wild_column_counts_as_six(self):
        # alone in one column: far and 6 are alike, so that the other column decides
        cells = np.array([[1000, 0], [6, 1], [6, 2], [6, 3], [6, 4], [6, 5]], float)
        assert presume_normal(cells, travel(share=0.8)).tolist() == [0, 1, 2, 3, 4]

    def test_of_alike_cells_the_first(self):
        assert presume_normal(along(*[2] * 8), travel()).tolist() == [0, 1, 2, 3, 4]

    def test_missing_columns_are_left_out_and_cells_without_half_of_them_never_taken(self):
        three = Travel("normal", 0.01, ("a", "b", "c"), np.zeros(3), np.ones(3))
        cells = np.array(
            [[NAN, NAN, 0], [NAN, 1, 1], [2, 2, 2], [np.inf, 1, 1.5], [3, 3, 3], [4, 4, 4], [5, 5, 5], [NAN] * 3]
        )
        assert presume_normal(cells, three).tolist() == [1, 2, 3, 4, 5]

    def test_order_and_layout_of_cells_do_not_matter(self):
        rng = np.random.default_rng(3)
        cells = rng.normal(size=(101, 2))
        order = rng.permutation(101)
        rows = presume_normal(cells, travel())
        assert sorted(order[presume_normal(np.asfortranarray(cells[order]), travel())].tolist()) == rows.tolist()


class TestSlideFrame:
    def test_of_all_cells_or_of_those_that_look_normal(self):
        cells = along(0, 1, 2, 3, 4, 20, 22, 24, 26, 28, 30, 32)
        frame = slide_frame(cells, travel("slide"))
        assert frame.centre.tolist() == [21, 0]
        # deviations 21 20 19 18 17 1 1 3 5 7 9 11: 10
        assert frame.scale.tolist() == pytest.approx([14.826, 0.3])
        frame = slide_frame(cells, travel("normal"))
        assert frame.centre.tolist() == [2, 0]
        assert frame.scale.tolist() == pytest.approx([1.4826, 0.3])

    def test_cells_that_are_alike_do_not_blow_values_up(self):
        frame = slide_frame(along(1, 1, 1, 1, 1.001, 1, 1), travel("slide", scale=(10.0, 0.5)))
        assert frame.scale.tolist() == [3.0, 0.15]

    @pytest.mark.parametrize("kind", ["slide", "normal"])
    @pytest.mark.parametrize("n_cells", [0, 4, 5])
    def test_five_cells_are_needed(self, kind, n_cells):
        frame = slide_frame(np.ones((n_cells, 2)), travel(kind))
        assert np.isnan(frame.centre).tolist() == [n_cells < 5] * 2
        assert np.isnan(frame.scale).tolist() == [n_cells < 5] * 2

    def test_five_are_needed_of_each_column(self):
        cells = np.column_stack([np.arange(8.0), [NAN, 1, 2, 3, 4, NAN, np.inf, NAN]])
        frame = slide_frame(cells, travel("slide"))
        assert frame.centre[0] == 3.5
        assert np.isnan(frame.centre[1])
        assert np.isnan(frame.scale[1])

    def test_columns_are_taken_in_the_order_asked_for(self):
        frame = Frame(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])).take([2, 0])
        assert (frame.centre.tolist(), frame.scale.tolist()) == ([3, 1], [6, 4])


def test_relative_values_by_hand():
    frame = Frame(np.array([10.0, NAN]), np.array([2.0, NAN]))
    found = relate(np.array([[14, 1], [9, 1], [NAN, 1], [1000, 1], [-1000, 1], [np.inf, 1]], float), frame)
    np.testing.assert_array_equal(found[:, 0], [2, -0.5, NAN, 20, -20, NAN])
    assert np.isnan(found[:, 1]).all()
    assert relate(np.empty((0, 2)), frame).shape == (0, 2)


@pytest.mark.parametrize("n_rows", [0, 1, 9, 10, 11, 20, 21, 500])
@pytest.mark.parametrize("sizes", [(1,), (7,), (3, 40), (1000,)])
def test_even_draws_do_not_depend_on_parts(n_rows, sizes):
    rows = np.arange(2.0 * n_rows).reshape(-1, 2)
    draw, start, turn = EvenDraw(2, 10), 0, 0
    while start < n_rows:
        draw.add(rows[start : start + sizes[turn % len(sizes)]])
        start, turn = start + sizes[turn % len(sizes)], turn + 1
    step = 1
    while len(rows[::step]) > 10:
        step *= 2
    np.testing.assert_array_equal(draw.rows, rows[::step])
    assert draw.rows.shape[1] == 2
