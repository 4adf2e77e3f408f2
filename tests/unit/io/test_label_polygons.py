"""Polygons drawn into label images, against shapely; what overlaps, lies outside, covers nothing, or brings ids."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import shapely
import shapely.geometry

from cellseg.errors import LabelError
from cellseg.io import label_polygons
from cellseg.io.geojson import PolygonList
from cellseg.io.label_polygons import draw_cells
from cellseg.io.labels import open_labels
from cellseg.io.polygon_raster import PolygonScratch, bounds_of, draw_polygons, measure_polygons, scan_polygons
from cellseg.types import Window


def square(x: float, y: float, side: float = 4, **feature) -> dict:
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}} | feature


def qupath(feature: dict, kind: str = "detection", cell_id: object = None, **measurements) -> dict:
    given = measurements if cell_id is None else measurements | {"cell_id": cell_id}
    return feature | {"properties": {"objectType": kind, "measurements": given}}


def draw(folder: Path, features: list[dict], *, shape=(20, 30), **options):
    """The label image as an array, and what is said of it."""
    path, out = folder / "cells.geojson", folder / "labels.ome.tif"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    said = draw_cells(path, out, height_px=shape[0], width_px=shape[1], mpp=0.5, **options)
    with open_labels(out) as labels:
        assert labels.mpp == 0.5
        found = labels.read(Window(0, shape[0], 0, shape[1]))
    assert sorted(path.name for path in folder.iterdir()) == ["cells.geojson", "labels.ome.tif"]
    assert said.n_cells == len(np.unique(found[found > 0]))
    return found, said


def stars(n: int, shape: tuple[int, int], seed: int = 0) -> list[shapely.Polygon]:
    """Ragged polygons with corners anywhere, some cut by the border."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 17))
        radii = rng.uniform(0.4, 1, 17) * rng.uniform(0.3, 30)
        y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        out.append(shapely.Polygon(np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], axis=1)))
    return out


def holed(shapes: list[shapely.Polygon]) -> list[shapely.Geometry]:
    """The shapes without a disc in their middle; some are several pieces then."""
    left = [shape.difference(shape.centroid.buffer(2)) for shape in shapes]
    return [shape for shape in left if not shape.is_empty]


def polygons_of(shapes: list[shapely.Geometry]):
    listed = PolygonList(Path("a.geojson"))
    for number, shape in enumerate(shapes):
        listed.add(shapely.geometry.mapping(shape), number)
    return listed.take()


def inside(shape: shapely.Geometry, size: tuple[int, int]):
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    return shapely.contains_xy(shape, x, y)


def test_pixels_are_those_whose_middles_are_inside():
    size = (90, 110)
    shapes = holed(stars(60, size))
    table = scan_polygons(polygons_of(shapes), *size)
    for row, shape in zip(table, shapes, strict=True):
        y, x = np.nonzero(inside(shape, size))
        expected = [y.min(), y.max() + 1, x.min(), x.max() + 1, y.size, y.sum(), x.sum()] if y.size else [0] * 7
        assert row.tolist() == expected


def test_areas_lengths_and_bounds():
    shapes = [shapely.transform(shape, lambda points: points + 1e6) for shape in holed(stars(40, (90, 110)))]
    polygons = polygons_of(shapes)
    areas, lengths = measure_polygons(polygons)
    # shapely's own sums lose digits so far out
    assert areas == pytest.approx(shapely.area(shapes), rel=1e-6)
    assert lengths == pytest.approx(shapely.length(shapes), rel=1e-6)
    assert np.array_equal(bounds_of(polygons), shapely.bounds(shapes))


@pytest.mark.parametrize("turn", [0, 1])
def test_neighbours_share_out_the_pixels_along_their_side(turn):
    # a side through the middles of pixels, and a slanted one
    corners = np.array([[0, 0], [5.5, 0], [9.5, 20], [0, 20]]), np.array([[5.5, 0], [20, 0], [20, 20], [9.5, 20]])
    halves = [shapely.Polygon(part[:, ::-1] if turn else part) for part in corners]
    strip = np.zeros((20, 20), np.uint32)
    draw_polygons(polygons_of(halves), strip, 0)
    counts = scan_polygons(polygons_of(halves), 20, 20)[:, 4]
    assert (strip > 0).all() and counts.sum() == 400
    level = [shapely.box(0, 0, 4, 2.5), shapely.box(0, 2.5, 4, 5), shapely.box(1.5, 5, 4, 6), shapely.box(0, 5, 1.5, 6)]
    strip = np.zeros((6, 4), np.uint32)
    draw_polygons(polygons_of(level), strip, 0)
    assert strip[:, 0].tolist() == [1, 1, 2, 2, 2, 4] and strip[5].tolist() == [4, 3, 3, 3]


def test_a_side_through_middles_of_pixels_is_one_side_from_both_sides():
    # tenths are no binary fractions: where a side is walked the other way, its crossings must not be rounded otherwise
    for tenths in range(1, 150):
        top, bottom = (tenths / 10, 0.0), (15 - tenths / 10, 15.0)
        halves = [[(0, 0), top, bottom, (0, 15)], [top, (15, 0), (15, 15), bottom]]
        counts = scan_polygons(polygons_of([shapely.Polygon(half) for half in halves]), 15, 15)[:, 4]
        assert counts.sum() == 15 * 15, tenths


def test_a_strip_shows_what_the_whole_does():
    shapes = stars(80, (100, 90), seed=2)
    polygons = polygons_of(shapes)
    whole = np.zeros((100, 90), np.uint32)
    draw_polygons(polygons, whole, 0)
    for y, height in [(0, 7), (7, 50), (57, 43)]:
        strip = np.zeros((height, 90), np.uint32)
        draw_polygons(polygons, strip, y)
        assert np.array_equal(strip, whole[y : y + height])


def test_scratch_gives_back_what_it_got_in_any_order(tmp_path):
    shapes = [shapely.MultiPolygon([a, b]) for a, b in zip(stars(9, (50, 50)), stars(9, (50, 50), 5), strict=True)]
    with PolygonScratch(tmp_path) as scratch:
        for part in (shapes[:4], [], shapes[4:]):
            scratch.put(polygons_of(part))
        for rows in ([0, 1, 2], [8, 0, 3, 4], []):
            found, expected = scratch.take(np.array(rows, np.int64)), polygons_of([shapes[row] for row in rows])
            assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


def test_ids_are_places_in_the_file_or_the_cells_own(tmp_path):
    features = [qupath(square(1, 1)), qupath(square(10, 10)), qupath(square(20, 3))]
    found, said = draw(tmp_path, features)
    assert (found[2, 2], found[11, 11], found[4, 21]) == (1, 2, 3) and not said.own_ids
    assert found.sum() == 16 * 6
    own = [qupath(feature, cell_id=value) for feature, value in zip(features, (70_000, 2, 9), strict=True)]
    found, said = draw(tmp_path, own)
    assert (found[2, 2], found[11, 11], found[4, 21]) == (70_000, 2, 9) and said.own_ids
    # one without an id: all by place
    found, said = draw(tmp_path, [*own[:2], features[2]])
    assert (found[2, 2], found[11, 11], found[4, 21]) == (1, 2, 3) and not said.own_ids


def test_measurements_of_old_qupath_are_a_list(tmp_path):
    feature = square(1, 1) | {
        "properties": {"objectType": "cell", "measurements": [{"name": "cell_id", "value": 12.0}]}
    }
    assert draw(tmp_path, [feature])[0].max() == 12


def test_the_smaller_is_on_top_whatever_the_order(tmp_path):
    small, large = qupath(square(3, 3, 3), cell_id=1), qupath(square(1, 1, 9), cell_id=2)
    first, _ = draw(tmp_path, [small, large])
    second, _ = draw(tmp_path, [large, small])
    assert np.array_equal(first, second)
    assert (first == 1).sum() == 9 and (first == 2).sum() == 72


def test_what_gets_no_label_is_told(tmp_path):
    features = [
        square(1, 1), square(10.6, 10.6, 0.3), square(12, 3, 4),
        {"type": "Feature", "geometry": {"type": "MultiPolygon", "coordinates": [
            square(12, 3, 2)["geometry"]["coordinates"], square(14, 3, 2)["geometry"]["coordinates"],
        ]}},
        {"type": "Feature", "geometry": {"type": "MultiPolygon", "coordinates": [
            square(12, 5, 2)["geometry"]["coordinates"], square(14, 5, 2)["geometry"]["coordinates"],
        ]}},
    ]  # fmt: skip
    found, said = draw(tmp_path, features)
    assert (said.off_centre, said.covered, said.n_cells) == ((1,), (2,), 3)
    assert np.unique(found).tolist() == [0, 1, 4, 5]


def test_regions_around_cells_are_no_cells(tmp_path):
    region = qupath(square(0, 0, 19), "annotation")
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}, "properties": {}}
    found, said = draw(tmp_path, [region, qupath(square(2, 2), "cell"), point])
    assert found.sum() == 16 and said.n_cells == 1
    # without cells, regions are what was outlined
    assert draw(tmp_path, [region])[0].sum() == 19 * 19
    with pytest.raises(LabelError, match="feature 1 is a Point"):
        draw(tmp_path, [region, point])


def test_nuclei_of_qupaths_cells(tmp_path):
    cell = qupath(square(2, 2, 9, nucleusGeometry=square(4, 4, 3)["geometry"]), "cell")
    assert draw(tmp_path, [cell])[0].sum() == 81
    found, said = draw(tmp_path, [qupath(square(15, 2), "cell"), cell], outline="nucleus")
    assert found.sum() == 9 and said.without_nucleus == (0,)
    with pytest.raises(LabelError, match="nucleusGeometry"):
        draw(tmp_path, [square(2, 2)], outline="nucleus")


def test_cells_cut_by_the_border_are_drawn_and_cells_outside_refused(tmp_path):
    found, _ = draw(tmp_path, [square(-2, -2), square(28, 18)])
    assert (found == 1).sum() == (found == 2).sum() == 4
    for x, y in [(30, 2), (2, 20), (-4, 2), (2, -4), (1e12, 0), (-1e12, 0)]:
        with pytest.raises(LabelError, match=r"1 of 2 polygons lie outside of the image of 20 x 30 px.*feature 1"):
            draw(tmp_path, [square(2, 2), square(x, y)])


@pytest.mark.parametrize("value", [0, -1, 1.5, 2**32, float("inf")])
def test_ids_that_a_label_image_cannot_hold_are_refused(tmp_path, value):
    with pytest.raises(LabelError, match="feature 1: cell_id"):
        draw(tmp_path, [qupath(square(1, 1), cell_id=1), qupath(square(9, 9), cell_id=value)])


def test_doubled_ids_are_refused(tmp_path):
    with pytest.raises(LabelError, match=r"more than once \(first 7\)"):
        draw(tmp_path, [qupath(square(1, 1), cell_id=7), qupath(square(9, 9), cell_id=7)])


def test_no_polygon_is_refused(tmp_path):
    with pytest.raises(LabelError, match="no polygon"):
        draw(tmp_path, [])


def test_batches_and_strips_do_not_show(tmp_path, monkeypatch):
    shape = (1100, 300)
    features = [qupath({"type": "Feature", "geometry": shapely.geometry.mapping(star)}) for star in stars(150, shape)]
    features = [feature for feature in features if feature["geometry"]]
    whole, _ = draw(tmp_path, features, shape=shape)
    monkeypatch.setattr(label_polygons, "_BATCH", 7)
    again, _ = draw(tmp_path, features, shape=shape)
    assert np.array_equal(whole, again)
    # by area the smaller is on top
    table = scan_polygons(polygons_of([shapely.geometry.shape(feature["geometry"]) for feature in features]), *shape)
    expected = np.zeros(shape, np.uint32)
    for at in np.argsort(-table[:, 4], kind="stable"):
        expected[inside(shapely.geometry.shape(features[at]["geometry"]), shape)] = at + 1
    assert np.array_equal(whole, expected)
