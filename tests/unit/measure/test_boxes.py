"""Boxes, counts and sums of labels, whole and pieced together."""

import numpy as np
from measuring import odd_shapes

from cellseg.measure.boxes import merge_cells, scan_cells


def test_boxes_counts_and_sums_by_hand():
    labels = np.array([[0, 7, 7, 0], [0, 7, 0, 2], [0, 0, 0, 2]], np.uint32)

    cells = scan_cells(labels, y0=10, x0=20)

    assert cells.ids.tolist() == [2, 7]
    assert cells.boxes.tolist() == [[11, 13, 23, 24], [10, 12, 21, 23]]
    assert cells.n_pixels.tolist() == [2, 3]
    assert np.allclose(cells.centroids_px, [[11.5, 23.0], [10 + 1 / 3, 21 + 1 / 3]])


def test_background_alone_has_no_cells():
    cells = scan_cells(np.zeros((5, 5), np.uint32))

    assert len(cells) == 0 and cells.boxes.shape == (0, 4)
    assert len(merge_cells([cells, cells])) == 0
    assert len(merge_cells([])) == 0


def test_largest_ids_and_many_cells_need_no_table_of_their_size():
    labels = np.zeros((64, 64), np.uint32)
    labels[::2, ::2] = np.arange(1024).reshape(32, 32) * 4_000_000 + 1
    labels[1, 1] = 2**32 - 1

    cells = scan_cells(labels)

    assert np.array_equal(cells.ids, np.unique(labels)[1:])
    assert (cells.n_pixels == 1).all()


def test_tiles_merged_equal_the_whole():
    labels = odd_shapes()
    whole = scan_cells(labels)
    parts = [
        scan_cells(labels[y : y + 50, x : x + 70], y, x)
        for y in range(0, labels.shape[0], 50)
        for x in range(0, labels.shape[1], 70)
    ]

    merged = merge_cells(parts)

    assert np.array_equal(merged.ids, whole.ids)
    assert np.array_equal(merged.table, whole.table)
    ids, counts = np.unique(labels[labels > 0], return_counts=True)
    assert np.array_equal(whole.ids, ids) and np.array_equal(whole.n_pixels, counts)
