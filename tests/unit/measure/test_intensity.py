"""Statistics of cells' values against numpy's own, for every pixel type."""

import numpy as np
import pytest

from cellseg.measure.boxes import scan_cells
from cellseg.measure.intensity import STATISTICS, describe_plane, gather_pixels


def by_numpy(values):
    quantiles = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
    return [values.mean(), values.std(), values.min(), *quantiles, values.max()]


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 4095), (np.uint16, 65535)])
def test_statistics_equal_numpys(dtype, top):
    rng = np.random.default_rng(1)
    cells = [rng.integers(0, top, n, endpoint=True).astype(dtype) for n in (1, 2, 3, 19, 20, 21, 400)]
    cells += [
        np.full(7, top, dtype),
        np.zeros(5, dtype),
        np.array([0, top], dtype),
        np.repeat([3, 200], 21).astype(dtype),
    ]
    starts = np.concatenate([[0], np.cumsum([len(cell) for cell in cells])])

    got = describe_plane(np.concatenate(cells), starts)

    expected = np.array([by_numpy(cell.astype(float)) for cell in cells])
    # sums are whole numbers here and floats in numpy: the last bits may differ
    assert np.allclose(np.stack([got[key] for key in STATISTICS], axis=1), expected, rtol=1e-12, atol=1e-9)


def test_sd_of_large_bright_cell_does_not_overflow():
    values = np.full(200_000, 65535, np.uint16)
    values[::2] = 65533

    got = describe_plane(values, np.array([0, len(values)]), scale=0.5)

    assert got["sd"][0] == 0.5
    assert got["mean"][0] == 65534 / 2


def test_gathers_each_cells_pixels_in_raster_order():
    labels = np.array([[1, 2, 1], [0, 2, 2]], np.uint32)
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 3, 2)
    cells = scan_cells(labels)

    values, starts = gather_pixels(labels, pixels, cells.ids, cells.boxes, cells.n_pixels)

    assert starts.tolist() == [0, 2, 5]
    assert values.tolist() == [[0, 1], [4, 5], [2, 3], [8, 9], [10, 11]]


def test_no_cells():
    got = describe_plane(np.empty(0, np.uint8), np.zeros(1, np.int64))

    assert all(column.shape == (0,) for column in got.values())
