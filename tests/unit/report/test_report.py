"""Outlines, dots, fields, scale bars and sheets, by hand-written pixels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cellseg.report.cells import busiest_field, draw_dots, draw_outlines, outline_pixels
from cellseg.report.palette import DRAW_ORDER, STATUS_RGB, STATUS_RGB_ON_DARK, STATUS_RGB_ON_TISSUE
from cellseg.report.plots import FeaturePlot, plot_features
from cellseg.report.sheet import Panel, compose_sheet, draw_scale_bar, length_label, mark_field, round_length_um
from cellseg.types import STATUSES

CODE = {name: code for code, name in enumerate(DRAW_ORDER)}


def blank(height, width, level=255):
    return np.full((height, width, 3), level, np.uint8)


class TestOutlines:
    def test_the_rim_of_a_square_and_nothing_at_the_image_border(self):
        labels = np.zeros((5, 5), np.uint32)
        labels[0:4, 1:4] = 7
        expected = np.array([[0, 1, 0, 1, 0], [0, 1, 0, 1, 0], [0, 1, 0, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]], bool)
        assert np.array_equal(outline_pixels(labels), expected)

    def test_touching_cells_are_parted_by_both_rims(self):
        labels = np.array([[1, 1, 1, 2, 2, 2]], np.uint32)
        assert outline_pixels(labels).tolist() == [[False, False, True, True, False, False]]
        assert outline_pixels(labels, thickness_px=2).tolist() == [[False, True, True, True, True, False]]

    def test_colours_follow_status_and_ids_may_be_huge(self):
        labels = np.array([[0, 4_294_967_295, 0, 9, 0]], np.uint32)
        picture = blank(1, 5)
        ids = np.array([9, 4_294_967_295], np.uint32)
        draw_outlines(picture, labels, ids, np.array([CODE["abnormal"], CODE["healthy"]], np.uint8), STATUS_RGB)
        assert tuple(picture[0, 1]) == STATUS_RGB["healthy"]
        assert tuple(picture[0, 3]) == STATUS_RGB["abnormal"]
        assert (picture[0, [0, 2, 4]] == 255).all()

    def test_no_cells_leave_the_picture(self):
        picture = blank(3, 3)
        draw_outlines(picture, np.zeros((3, 3), np.uint32), np.empty(0, np.uint32), np.empty(0, np.uint8), STATUS_RGB)
        assert (picture == 255).all()


class TestDots:
    def test_a_cell_is_at_least_a_pixel_and_the_graver_lies_on_top(self):
        picture = blank(5, 5, level=0)
        at = np.array([2.0, 2.0])
        status = np.array([CODE["abnormal"], CODE["healthy"]], np.uint8)
        draw_dots(picture, at, at, np.array([0.0, 1.0]), status, STATUS_RGB)
        drawn = picture.any(axis=2)
        assert drawn.sum() == 5  # a disc of radius 1
        assert picture[2, 2].argmax() == 0  # red over blue
        assert picture[1, 2].argmax() == 2

    def test_dots_are_cut_at_the_border_and_nan_is_a_point(self):
        picture = blank(4, 4)
        at = np.array([0.0, 3.0])
        draw_dots(picture, at, at, np.array([2.0, np.nan]), np.zeros(2, np.uint8), STATUS_RGB)
        assert (picture[3, 3] != 255).all()
        assert (picture[0, 0] != 255).all()


class TestBusiestField:
    def test_finds_the_crowd_and_stays_inside(self):
        rng = np.random.default_rng(0)
        y = np.concatenate([rng.uniform(0, 1000, 200), rng.uniform(880, 980, 300)])
        x = np.concatenate([rng.uniform(0, 1500, 200), rng.uniform(1350, 1480, 300)])
        y0, x0 = busiest_field(y, x, slide=(1000, 1500), field=(200, 300))
        assert (y0, x0) == (800, 1200)

    def test_the_middle_without_points_and_the_slide_itself_when_it_is_small(self):
        nothing = np.empty(0)
        assert busiest_field(nothing, nothing, slide=(1000, 1500), field=(200, 300)) == (400, 600)
        assert busiest_field(np.array([5.0]), np.array([5.0]), slide=(10, 10), field=(10, 10)) == (0, 0)


class TestScaleBar:
    @pytest.mark.parametrize("um_per_px", [0.1, 0.25, 0.5, 3.7])
    def test_the_white_bar_is_as_long_as_its_label_says(self, um_per_px):
        picture = draw_scale_bar(blank(300, 600, level=128), um_per_px=um_per_px, size=14)
        white = (picture == 255).all(axis=2)
        longest = max(_longest_run(row) for row in white)
        length_um = round_length_um(0.22 * 600 * um_per_px)
        assert longest == pytest.approx(length_um / um_per_px, abs=1)

    def test_no_room_no_bar(self):
        picture = blank(20, 20)
        assert np.array_equal(draw_scale_bar(picture, um_per_px=0.5, size=14), picture)

    def test_labels(self):
        assert [length_label(v) for v in (0.2, 50, 1000, 2000)] == ["0.2 µm", "50 µm", "1 mm", "2 mm"]
        assert [round_length_um(v) for v in (0.7, 1, 4.9, 99, 100, 3000)] == [0.5, 1, 2, 50, 100, 2000]


def _longest_run(row):
    best = run = 0
    for value in row:
        run = run + 1 if value else 0
        best = max(best, run)
    return best


class TestSheet:
    def sheet(self, *panels, title="sample"):
        legend = {f"{status} 12,345": STATUS_RGB[status] for status in STATUSES}
        return compose_sheet(panels, title=title, subtitle="he", legend=legend)

    def test_the_picture_is_inside_untouched_but_for_its_bar(self):
        picture = np.random.default_rng(0).integers(0, 255, (400, 500, 3), np.uint8)
        sheet = self.sheet(Panel(picture, 0.5))
        assert sheet.shape[0] > 400
        found = [
            y for y in range(sheet.shape[0] - 400) if np.array_equal(sheet[y : y + 200, 13 : 13 + 500], picture[:200])
        ]
        assert len(found) == 1

    def test_every_status_has_its_colour_in_the_legend(self):
        sheet = self.sheet(Panel(blank(300, 900), 0.5))
        for status in STATUSES:
            assert (sheet == np.array(STATUS_RGB[status])).all(axis=2).sum() > 60, status

    @pytest.mark.parametrize("shape", [(1, 1), (5, 900), (900, 5)])
    def test_odd_shapes_and_long_titles_are_laid_out(self, shape):
        sheet = self.sheet(Panel(blank(*shape), 0.5), title="a_very_long_name_" * 20)
        assert sheet.shape[1] >= 420

    def test_the_frame_surrounds_the_field(self):
        marked = mark_field(blank(100, 100, level=128), y0=20, y1=60, x0=30, x1=70)
        assert (marked[25:55, 35:65] == 128).all()
        assert not (marked[20, 30:70] == 128).any()


def test_statuses_look_different_in_every_palette():
    for palette in (STATUS_RGB, STATUS_RGB_ON_DARK, STATUS_RGB_ON_TISSUE):
        colours = np.array([palette[name] for name in STATUSES], float)
        distance = np.linalg.norm(colours[:, None] - colours[None], axis=2)
        assert distance[~np.eye(4, dtype=bool)].min() > 90


class TestPlots:
    def plot(self, n_cells, *, status=None, healthy=(40.0, 80.0)):
        rng = np.random.default_rng(0)
        names = rng.choice(STATUSES, n_cells).astype(object) if status is None else status
        values = rng.normal(60, 9, n_cells)
        features = [
            FeaturePlot("area_um2", "um2", values, healthy),
            FeaturePlot("od_hematoxylin_mean", "OD", np.full(n_cells, 0.3)),
            FeaturePlot("nearest_neighbor_um", "um", np.full(n_cells, np.nan)),
        ]
        return plot_features(features, names, title="sample")

    @pytest.mark.parametrize("n_cells", [0, 1, 7, 500])
    def test_any_number_of_cells_gives_the_same_png_each_time(self, n_cells):
        first, second = self.plot(n_cells), self.plot(n_cells)
        assert first == second
        assert b"Software" not in first

    def test_nothing_to_plot_is_a_picture_too(self, tmp_path):
        path = tmp_path / "features.png"
        path.write_bytes(plot_features([], np.empty(0, object), title="sample"))
        with Image.open(path) as image:
            assert image.size[0] > 1000
