"""overlay.png and features.png from files: small, reduced, dark, empty; and tables that do not fit the labels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from cell_tables import measured, recipe, write_measured
from fields import discs

from cellseg.classify_config import ClassifySettings, Rule
from cellseg.config import ReportSettings
from cellseg.errors import LabelError, TableError
from cellseg.io.labels import write_labels
from cellseg.io.slide import open_slide
from cellseg.report.palette import STATUS_RGB_ON_DARK, STATUS_RGB_ON_TISSUE
from cellseg.stages.classify import classify_cells
from cellseg.stages.overlay import draw_overlay, for_display, read_reduced
from cellseg.stages.reference import fit_reference
from cellseg.stages.tables import write_tables

SETTINGS = ClassifySettings(rules=[Rule(column="area_um2", above=100)])


def labels_file(path, labels):
    height, width = labels.shape
    strips = (labels[y : y + 512] for y in range(0, height, 512))
    write_labels(path, strips, height_px=height, width_px=width, mpp=0.5)
    return path


def centroids(labels):
    ids = np.arange(1, int(labels.max()) + 1)
    y, x = np.indices(labels.shape)
    count = np.bincount(labels.ravel())[1:]
    means = [np.bincount(labels.ravel(), weights=axis.ravel())[1:] / count for axis in (y, x)]
    return ids, *means


def slide_files(folder, labels, *, pixels=None, stain="he", **fields):
    """An image, its labels, and its cells with one abnormal cell in ten; returns what draw_overlay takes."""
    height, width = labels.shape
    pixels = (
        np.where(labels[..., None] > 0, (140, 60, 110), (235, 225, 240)).astype(np.uint8) if pixels is None else pixels
    )
    cv2.imwrite(str(folder / "A.png"), pixels)
    slide = recipe(height_px=height, width_px=width, stain=stain, **fields)
    ids, y, x = centroids(labels)
    area = np.where(ids % 10 == 0, 150.0, 60.0)
    table = measured(
        ids.size, centroid_y_px=y, centroid_x_px=x, area_um2=area, equivalent_diameter_um=np.full(ids.size, 7.0)
    )
    path = write_measured(folder / "measurements.parquet", table)
    classify_cells(path, folder / "verdicts.parquet", reference=None, recipe=slide, settings=SETTINGS)
    write_tables(path, folder / "verdicts.parquet", folder)
    return folder / "A.png", labels_file(folder / "labels.ome.tif", labels), folder / "cells.parquet", slide


def draw(folder, files, *, settings=None, **options):
    image, labels, cells, slide = files
    draw_overlay(image, labels, cells, folder / "out", recipe=slide, settings=settings or ReportSettings(), **options)
    sheet = cv2.imread(str(folder / "out/overlay.png"))[:, :, ::-1]
    assert cv2.imread(str(folder / "out/features.png")) is not None
    return sheet


def count(sheet, colour):
    return int((sheet == np.array(colour)).all(axis=2).sum())


def test_a_small_slide_is_enlarged_and_every_status_outlined(tmp_path):
    sheet = draw(tmp_path, slide_files(tmp_path, discs((256, 256))))
    assert sheet.shape[1] > 3 * 256
    # a disc of radius 7 px, three times enlarged, has a rim of about 2 pi 21 px, two wide
    assert count(sheet, STATUS_RGB_ON_TISSUE["abnormal"]) > 150
    assert count(sheet, STATUS_RGB_ON_TISSUE["healthy"]) > 1500


def test_twice_the_same_bytes(tmp_path):
    files = slide_files(tmp_path, discs((128, 128)))
    draw(tmp_path, files)
    first = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    draw(tmp_path, files)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == first
    assert not any(word in data for data in first.values() for word in (b"tEXt", b"tIME", b"Software"))


def test_a_large_slide_is_reduced_beside_its_busiest_field(tmp_path):
    settings = ReportSettings(overlay_max_px=400)
    sheet = draw(tmp_path, slide_files(tmp_path, discs((700, 900))), settings=settings)
    assert sheet.shape[1] < 500
    # dots are see-through; the outlines of the field at full resolution are not
    assert count(sheet, STATUS_RGB_ON_TISSUE["abnormal"]) > 50


@pytest.mark.parametrize("shape", [(1, 1), (40, 30)])
def test_no_cells(tmp_path, shape):
    sheet = draw(tmp_path, slide_files(tmp_path, np.zeros(shape, np.uint32)))
    assert sheet.shape[1] >= 420


def test_no_cells_on_a_large_slide(tmp_path):
    files = slide_files(tmp_path, np.zeros((300, 500), np.uint32))
    assert draw(tmp_path, files, settings=ReportSettings(overlay_max_px=200)).shape[1] < 500


def test_a_dim_16_bit_fluorescence_slide_is_made_visible(tmp_path):
    labels = discs((128, 128))
    pixels = np.where(labels > 0, 900, 100).astype(np.uint16)
    files = slide_files(
        tmp_path, labels, pixels=pixels, stain="fluorescence", channel_names=("gray",), dtype="uint16", is_rgb=False,
        low=(100.0,), high=(900.0,), background=(0.0,),
    )  # fmt: skip
    sheet = draw(tmp_path, files)
    assert count(sheet, STATUS_RGB_ON_DARK["healthy"]) > 500
    assert count(sheet, (0, 0, 0)) > 10_000  # background at its low level
    assert count(sheet, (255, 255, 255)) > 10_000


def test_the_healthy_interval_is_drawn_from_the_reference(tmp_path):
    files = slide_files(tmp_path, discs((256, 256)))
    draw(tmp_path, files)
    plain = (tmp_path / "out/features.png").read_bytes()
    fit_reference([tmp_path / "measurements.parquet"], tmp_path / "r.json", stain="he", settings=SETTINGS)
    draw(tmp_path, files, reference=tmp_path / "r.json")
    assert (tmp_path / "out/features.png").read_bytes() != plain


class TestIntegrity:
    def test_a_label_without_a_row_is_refused(self, tmp_path):
        labels = discs((96, 96))
        files = slide_files(tmp_path, labels)
        labels[0, 0] = labels.max() + 1
        labels_file(files[1], labels)
        with pytest.raises(TableError, match="is not in the cells table"):
            draw(tmp_path, files)

    def test_a_row_without_a_label_is_refused(self, tmp_path):
        labels = discs((96, 96))
        files = slide_files(tmp_path, labels)
        labels[labels == 3] = 0
        labels_file(files[1], labels)
        with pytest.raises(TableError, match="cell 3 of the table"):
            draw(tmp_path, files)

    def test_labels_of_another_size_are_refused(self, tmp_path):
        files = slide_files(tmp_path, discs((96, 96)))
        labels_file(files[1], discs((96, 95)))
        with pytest.raises(LabelError, match="96 x 95 px"):
            draw(tmp_path, files)


class TestDisplay:
    def test_8_bit_colour_is_shown_as_it_is(self):
        pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
        assert np.array_equal(for_display(pixels, recipe()), pixels)

    def test_16_bit_brightfield_keeps_its_range(self):
        pixels = np.array([[[0], [65535]]], np.uint16)
        slide = recipe(stain="brightfield", dtype="uint16", is_rgb=False, channel_names=("gray",))
        assert for_display(pixels, slide)[0].tolist() == [[0, 0, 0], [255, 255, 255]]

    def test_reduction_is_the_mean_of_the_covered_pixels(self, tmp_path, monkeypatch):
        pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "A.png"), pixels[:, :, ::-1])
        expected = pixels.reshape(16, 4, 24, 4, 3).mean(axis=(1, 3))
        for read_px in (2048, 20):
            monkeypatch.setattr("cellseg.stages.overlay._READ_PX", read_px)
            with open_slide(tmp_path / "A.png") as slide:
                reduced = read_reduced(slide, recipe(height_px=64, width_px=96), 16, 24)
            assert np.abs(reduced - expected).max() <= 1  # rounding
