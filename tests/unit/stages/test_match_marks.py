"""Points and outlines find their cells, whatever the size of the image, by windows around them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fields
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from cellseg.errors import TableError
from cellseg.io.cell_labels import Marks
from cellseg.io.geojson import PolygonList
from cellseg.io.labels import LabelImage, open_labels, write_labels
from cellseg.stages.match_marks import Pairs, cells_near, cells_under, cut_polygons, match_marks, scan_labels
from cellseg.types import Labels, Window

NUMBERS = np.array([[1, 1, 0, 2, 2], [1, 1, 0, 2, 2], [0, 0, 0, 0, 0], [0, 0, 0, 3, 0]], np.uint32)


def saved(path: Path, labels: Labels) -> Path:
    height, width = labels.shape
    strips = (labels[y : y + 512] for y in range(0, height, 512))
    write_labels(path, strips, height_px=height, width_px=width, mpp=0.5)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Iterator[LabelImage]:
    """Three cells, each pixel of `NUMBERS` 4 x 4 px."""
    with open_labels(saved(tmp_path / "labels.ome.tif", NUMBERS.repeat(4, 0).repeat(4, 1))) as labels:
        yield labels


def points(*places: tuple[float, float], classes: list[str] | None = None) -> Marks:
    named = classes or ["a"] * len(places)
    return Marks(np.array(named, object), points_px=np.array(places, np.float64).reshape(-1, 2))


def outlines(*shapes: shapely.Geometry, one_cell: bool = True, ids: list[int] | None = None, name: str = "a") -> Marks:
    found = PolygonList(Path("x"))
    for number, shape in enumerate(shapes):
        found.add(shapely.geometry.mapping(shape), number)
    own = None if ids is None else np.array(ids, np.uint32)
    named = np.array([name] * len(shapes), object)
    return Marks(named, cell_ids=own, polygons=found.take(), one_cell=np.full(len(shapes), one_cell))


def listed(pairs: Pairs) -> list[tuple[int, int]]:
    return list(zip(pairs.rows.tolist(), pairs.ids.tolist(), strict=True))


def test_points_in_cells(image: LabelImage) -> None:
    pairs = match_marks(points((0, 0), (9, 9), (7.4, 7.4), (13, 13)), image)
    assert listed(pairs) == [(0, 1), (2, 1), (3, 3)]
    assert not pairs.near.any()
    assert listed(match_marks(points(), image, reach_px=3)) == []


def test_points_near_cells_that_hold_no_point(image: LabelImage) -> None:
    # 2 px right of cell 1, which has a point; 2 px left of cell 3, which has none; far from all
    pairs = match_marks(points((0, 0), (0, 9), (13, 10), (11, 3)), image, reach_px=2)
    assert listed(pairs) == [(0, 1), (2, 3)]
    assert pairs.near.tolist() == [False, True]


def test_a_point_outside_of_the_image_is_an_error(image: LabelImage) -> None:
    with pytest.raises(TableError, match="16 x 20 px"):
        match_marks(points((17, 0)), image)


def test_marks_that_name_cells_need_no_image(image: LabelImage) -> None:
    with pytest.raises(ValueError, match="no label image"):
        match_marks(Marks(np.array(["a"], object), cell_ids=np.array([1], np.uint32)), image)


@contextmanager
def counted(image: LabelImage) -> Iterator[list[Window]]:
    """The windows that are read meanwhile."""
    windows: list[Window] = []
    read = image.read

    def watched(window: Window) -> Labels:
        windows.append(window)
        return read(window)

    image.read = watched  # type: ignore[method-assign]
    try:
        yield windows
    finally:
        image.read = read  # type: ignore[method-assign]


def test_of_a_large_image_only_windows_around_points_are_read(tmp_path: Path) -> None:
    labels = fields.ellipses((4300, 4500), np.array([[20.0, 20], [4000, 4100], [2100, 30]]), np.full((3, 2), 6.0))
    places = np.array([[20, 20], [4000, 4100], [2100, 30], [4000, 4115], [20, 60]], np.float64)
    with open_labels(saved(tmp_path / "labels.ome.tif", labels)) as image, counted(image) as windows:
        assert cells_under(places, image).tolist() == [*labels[[20, 4000, 2100], [20, 4100, 30]], 0, 0]
        assert cells_near(places[3:], image, 12).tolist() == [labels[4000, 4100], 0]
    assert sum(w.height * w.width for w in windows) < 3000


def test_every_pixel_of_a_field_by_points_is_that_field(tmp_path: Path) -> None:
    labels = fields.blobs((90, 110), seed=1)
    places = np.stack(np.indices(labels.shape), axis=-1).reshape(-1, 2).astype(float)
    with open_labels(saved(tmp_path / "labels.ome.tif", labels)) as image:
        assert np.array_equal(cells_under(places, image).reshape(labels.shape), labels)


def test_all_cells_of_an_image_strip_by_strip(tmp_path: Path) -> None:
    labels = fields.ellipses((1100, 60), np.array([[1024.0, 20], [500, 40]]), np.full((2, 2), 8.0))
    with open_labels(saved(tmp_path / "labels.ome.tif", labels)) as image:
        cells = scan_labels(image)
    assert cells.ids.tolist() == [1, 2]
    assert np.allclose(cells.centroids_px, [[500, 40], [1024, 20]])


def box(y0: float, y1: float, x0: float, x1: float) -> shapely.Geometry:
    return shapely.box(x0, y0, x1, y1)


def test_an_outline_stands_for_the_cell_whose_centroid_it_alone_holds(image: LabelImage) -> None:
    # around cell 1 and much more; just the middle of cell 2; half of cell 3
    found = outlines(box(0, 16, 0, 11), box(3, 5, 15, 17), box(12, 16, 13, 16))
    assert listed(match_marks(found, image)) == [(0, 1), (1, 2), (2, 3)]


def test_an_outline_of_one_object_over_two_cells_is_of_the_one_that_covers_half_of_it(image: LabelImage) -> None:
    wide, narrow = box(0, 8, 2, 17), box(0, 8, 0, 16.2)
    assert listed(match_marks(outlines(wide), image)) == []
    assert listed(match_marks(outlines(narrow), image)) == [(0, 1)]


def test_outlines_without_a_centroid(image: LabelImage) -> None:
    # a corner of cell 2; a strip of which a quarter is cell 1; background; off the image
    corner, strip, glass, off = box(0, 2, 18, 20), box(6, 14, 0, 3), box(9, 11, 0, 9), box(20, 30, 0, 5)
    for one_cell in (True, False):
        assert listed(match_marks(outlines(corner, strip, glass, off, one_cell=one_cell), image)) == [(0, 2)]


def test_a_large_polygon_is_looked_at_in_strips(image: LabelImage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellseg.stages.match_marks._AREA_PX", 8)
    with counted(image) as windows:
        assert listed(match_marks(outlines(box(0, 8, 4.2, 12)), image)) == [(0, 1)]
    assert len(windows) == 9


def test_a_region_stands_for_all_cells_whose_centroids_it_holds(image: LabelImage) -> None:
    whole, right = box(0, 16, 0, 20), box(0, 16, 10, 20)
    assert listed(match_marks(outlines(whole, right, one_cell=False), image)) == [
        (0, 1), (0, 2), (0, 3), (1, 2), (1, 3),
    ]  # fmt: skip


def test_holes_and_parts_of_regions(image: LabelImage) -> None:
    ring = shapely.difference(box(0, 16, 0, 20), box(2, 7, 2, 7))
    parts = shapely.MultiPolygon([box(3, 5, 3, 5), box(13, 15, 13, 15)])
    assert listed(match_marks(outlines(ring, parts, one_cell=False), image)) == [(0, 2), (0, 3), (1, 1), (1, 3)]


def test_an_id_counts_where_the_outline_lies_on_that_cell(image: LabelImage) -> None:
    on_one, on_two = box(0, 8, 0, 8), box(0, 8, 12, 20)
    # right, of another segmentation, no such cell, off the image
    found = outlines(on_one, on_two, on_two, box(20, 30, 0, 5), ids=[1, 3, 99, 1])
    assert listed(match_marks(found, image)) == [(0, 1), (1, 2), (2, 2)]


def test_an_id_decides_where_the_outline_alone_would_not(image: LabelImage) -> None:
    # all of cell 1, most of cell 2, some glass: no cell covers half
    parts = shapely.MultiPolygon([box(0, 8, 0, 8), box(0, 8, 12.6, 20), box(9, 11, 0, 7)])
    assert listed(match_marks(outlines(parts), image)) == []
    assert listed(match_marks(outlines(parts, ids=[1]), image)) == [(0, 1)]


def test_outlines_without_a_class_are_left_alone(image: LabelImage) -> None:
    assert listed(match_marks(outlines(box(0, 8, 0, 8), ids=[1], name=""), image)) == []


def test_outlines_of_cells_traced_by_hand_are_these_cells(tmp_path: Path) -> None:
    labels = fields.blobs((128, 128), seed=3)
    shapes = [hull(labels == number) for number in range(1, labels.max() + 1)]
    with open_labels(saved(tmp_path / "labels.ome.tif", labels)) as image:
        pairs = match_marks(outlines(*shapes), image)
    assert listed(pairs) == [(at, at + 1) for at in range(len(shapes))]


def hull(mask: NDArray[np.bool_]) -> shapely.Geometry:
    y, x = np.nonzero(mask)
    return shapely.unary_union([shapely.box(a, b, a + 1, b + 1) for a, b in zip(x, y, strict=True)]).buffer(0.3)


def test_features_are_cut_out_of_many() -> None:
    parts = shapely.MultiPolygon([box(0, 1, 0, 1), shapely.difference(box(5, 9, 5, 9), box(6, 7, 6, 7))])
    polygons = outlines(box(0, 2, 0, 2), parts, box(3, 4, 3, 4)).polygons
    assert polygons is not None
    one = cut_polygons(polygons, 1, 2)
    alone = outlines(parts).polygons
    assert alone is not None
    assert all(np.array_equal(a, b) for a, b in zip(one, alone, strict=True))
