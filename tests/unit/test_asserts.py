"""The assertions fail when they should, and the fields are what they say."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from asserts import assert_canonical_labels, assert_partition, assert_same_labels, assert_table
from fields import blobs, bricks, discs, fluorescence_field, giant, he_field, raster_ids, seam_cells, touching_pairs
from scipy import ndimage


@pytest.mark.parametrize("labels", [discs(), blobs(), bricks(), bricks(mortar_px=2), touching_pairs(), giant()])
def test_fields_are_canonical(labels):
    assert_canonical_labels(labels)


@pytest.mark.parametrize("labels", [discs(), blobs(), seam_cells()])
def test_separate_cells_do_not_touch(labels):
    assert ndimage.label(labels > 0, np.ones((3, 3)))[1] == labels.max()


def test_pairs_touch_in_twos():
    labels = touching_pairs()
    assert ndimage.label(labels > 0, np.ones((3, 3)))[1] * 2 == labels.max()


def test_every_seam_cell_lies_on_a_seam():
    labels = seam_cells(64, n_tiles=3)
    for y, x in ndimage.find_objects(labels):
        assert any(s.start < seam < s.stop for s in (y, x) for seam in (64, 128))


def test_looks_repeat_and_cells_stand_out():
    assert np.array_equal(he_field(seed=1).pixels, he_field(seed=1).pixels)
    dark, bright = he_field(), fluorescence_field(dtype=np.uint16)
    assert dark.pixels[dark.labels > 0].mean() < dark.pixels[dark.labels == 0].mean()
    assert bright.pixels.dtype == np.uint16
    assert bright.pixels[bright.labels > 0].mean() > 4 * bright.pixels[bright.labels == 0].mean()


def test_renaming_is_no_difference_but_joining_and_losing_are():
    labels = blobs((96, 96))
    assert_same_labels(labels, np.where(labels, labels.max() + 1 - labels, 0), labels)
    joined, lost = np.where(labels == 3, 4, labels), np.where(labels == 3, 0, labels)
    for wrong in (joined, lost):
        for pair in ((labels, wrong), (wrong, labels)):
            with pytest.raises(AssertionError):
                assert_same_labels(*pair)
    with pytest.raises(AssertionError, match="shape"):
        assert_same_labels(labels, labels[:-1])


def test_canonical_refuses_gaps_order_and_pieces():
    labels = raster_ids(np.array([[1, 0, 2], [0, 0, 0], [3, 0, 4]]))
    assert_canonical_labels(labels)
    for wrong, message in (
        (np.where(labels == 4, 5, labels), "gaps"),
        (np.where(labels > 0, 5 - labels, 0), "raster order"),
        (np.where(labels == 4, 3, labels), "pieces"),
    ):
        with pytest.raises(AssertionError, match=message):
            assert_canonical_labels(wrong.astype(np.uint32))
    with pytest.raises(AssertionError, match="uint16"):
        assert_canonical_labels(labels.astype(np.uint16))


def test_table_refuses_types_ranges_and_disorder():
    good = {"cell_id": pa.array([1, 3], pa.uint32()), "nucleus_solidity": pa.array([0.5, None], pa.float64())}
    assert_table(pa.table(good), ["cell_id", "nucleus_solidity"])
    for wrong, message in (
        ({"cell_id": pa.array([1, 3], pa.int64())}, "uint32"),
        ({"cell_id": pa.array([3, 1], pa.uint32())}, "rise"),
        ({"nucleus_solidity": pa.array([0.5, 1.5], pa.float64())}, "1.5"),
    ):
        with pytest.raises(AssertionError, match=message):
            assert_table(pa.table(good | wrong))


def test_partition_refuses_a_lost_and_a_doubled_cell(tmp_path):
    def write(healthy, abnormal):
        header = "cell_id,status\n"
        (tmp_path / "cells.csv").write_text(header + "1,healthy\n2,abnormal\n")
        parts = {"healthy": healthy, "abnormal": abnormal, "uncertain": "", "excluded": ""}
        for status, text in parts.items():
            (tmp_path / f"{status}.csv").write_text(header + text)
        table = {"cell_id": pa.array([1, 2], pa.uint32()), "status": pa.array(["healthy", "abnormal"])}
        pq.write_table(pa.table(table), tmp_path / "cells.parquet")

    write("1,healthy\n", "2,abnormal\n")
    assert len(assert_partition(tmp_path)) == 2
    for healthy, abnormal in (
        ("", "2,abnormal\n"),
        ("1,healthy\n", "2,abnormal\n2,abnormal\n"),
        ("1,healthy\n2,abnormal\n", ""),
    ):
        write(healthy, abnormal)
        with pytest.raises(AssertionError):
            assert_partition(tmp_path)
