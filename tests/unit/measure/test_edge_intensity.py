"""Edge pixels of odd cells, and what a plane holds in them."""

from __future__ import annotations

import numpy as np
import pytest
from patching import patches_of, plane_of, ring

from cellseg.columns.distribution import COLUMNS
from cellseg.measure.edge_intensity import measure_edge_intensity

PICTURE = np.arange(49).reshape(7, 7)


def _one(mask: np.ndarray, image: np.ndarray, *, scale: float = 1.0, offset: float = 0.0) -> dict[str, float]:
    patches = patches_of(np.asarray(mask).astype(np.uint32))
    got = measure_edge_intensity(patches, plane_of(image, patches), scale=scale, offset=offset)
    return {name: float(column[0]) for name, column in got.items()}


def _edge(mask: list[str]) -> list[int]:
    """Places of a cell's edge pixels: those that show when they alone are bright."""
    cell = np.array([[sign == "#" for sign in row] for row in mask])
    spots = [(np.arange(cell.size) == at).reshape(cell.shape) for at in range(cell.size)]
    return [at for at, spot in enumerate(spots) if _one(cell, spot)["edge_max"]]


def test_columns_are_in_the_table() -> None:
    names = [column.name for column in COLUMNS if column.name.startswith("edge_")]
    assert list(_one(np.ones((3, 3)), np.ones((3, 3)))) == names


def test_square() -> None:
    assert _edge([".....", ".###.", ".###.", ".###.", "....."]) == [6, 7, 8, 11, 13, 16, 17, 18]


def test_a_corner_that_is_missing_is_enough() -> None:
    """8 neighbours, not 4: the middle touches the outside by a corner."""
    assert 12 in _edge([".....", ".##..", ".###.", ".###.", "....."])


def test_outside_of_the_image_is_outside_of_the_cell() -> None:
    assert _edge(["###", "###", "###"]) == [0, 1, 2, 3, 5, 6, 7, 8]


def test_holes_have_edges() -> None:
    assert _edge(["#####", "#####", "##.##", "#####", "#####"]) == [at for at in range(25) if at != 12]


def test_statistics() -> None:
    mask = np.zeros((7, 7), bool)
    mask[1:6, 1:6] = True
    image = PICTURE.copy()
    image[0], image[:, 6] = 900, 900
    image[3, 3] = 1000  # inside
    edge = np.concatenate([image[1, 1:6], image[5, 1:6], image[2:5, 1], image[2:5, 5]]).astype(float)
    got = _one(mask, image, scale=0.5, offset=-4.0)
    value = edge * 0.5 - 4
    assert got["edge_mean"] == pytest.approx(value.mean(), rel=1e-15)
    assert got["edge_sd"] == pytest.approx(value.std(), rel=1e-14)
    assert (got["edge_min"], got["edge_max"], got["edge_integrated"]) == (value.min(), value.max(), value.sum())


def test_other_cells_are_outside() -> None:
    labels = np.repeat([[1, 1, 1, 2, 2, 2]], 5, axis=0).astype(np.uint32)
    patches = patches_of(labels)
    got = measure_edge_intensity(patches, plane_of(np.repeat([[1, 5, 2, 3, 7, 4]], 5, axis=0), patches), scale=1.0)
    assert got["edge_max"].tolist() == [5, 7]  # the rows at the image's border
    assert got["edge_mean"].tolist() == [(5 * 3 + 10) / 12, (5 * 7 + 14) / 12]


def test_one_pixel_and_line() -> None:
    one = np.zeros((3, 3))
    one[1, 1] = 1
    assert _one(one, np.full((3, 3), 65535)) == {
        "edge_mean": 65535.0, "edge_sd": 0.0, "edge_min": 65535.0, "edge_max": 65535.0, "edge_integrated": 65535.0,
    }  # fmt: skip
    assert _one(np.ones((1, 9)), np.arange(9)[None])["edge_integrated"] == 36


def test_many_bright_edge_pixels_do_not_overflow() -> None:
    """A sieve of 120,000 pixels, all of them on edges, black and white of 16 bits."""
    mask = np.ones((400, 400), np.uint32)
    mask[1::2, 1::2] = 0
    image = np.where(np.arange(400) < 200, 65535, 0) * np.ones((400, 1), int)
    got = _one(mask, image)
    values = image[mask > 0].astype(float)
    assert got["edge_integrated"] == values.sum()
    assert got["edge_sd"] == pytest.approx(values.std(), rel=1e-9)


def test_no_cells() -> None:
    patches = patches_of(np.zeros((3, 3), np.uint32))
    got = measure_edge_intensity(patches, np.empty(0, np.uint16), scale=1.0)
    assert all(column.shape == (0,) for column in got.values())


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned(turns: int) -> None:
    mask, image = ring(8, 4), np.random.default_rng(0).integers(0, 65536, ring(8, 4).shape)
    assert _one(mask, image) == _one(np.rot90(mask, turns), np.rot90(image, turns))
    assert _one(mask, image) == _one(np.rot90(mask, turns)[::-1], np.rot90(image, turns)[::-1])
