"""Regions drawn by people as class maps: which pixel has which class, windows that agree, faults that are told."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from cellseg.errors import LabelError
from cellseg.io.class_map import cut_tiles, write_class_map
from cellseg.io.regions import read_annotation
from cellseg.types import Window


def box(x0, y0, x1, y1):
    return [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]


def feature(rings, name=None, kind="Polygon", object_type="annotation", **classification):
    properties = {"objectType": object_type}
    if name is not None or classification:
        properties["classification"] = {"name": name, "color": [1, 2, 3]} if name is not None else classification
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": rings}, "properties": properties}


def save(path, *features):
    path.write_text(json.dumps({"type": "FeatureCollection", "features": list(features)}))
    return path


def whole(regions):
    return regions.read(Window(0, regions.height_px, 0, regions.width_px))


def test_the_smaller_polygon_is_on_top_and_outside_is_nothing(tmp_path):
    path = save(
        tmp_path / "a.geojson",
        feature([box(2, 1, 6, 4)], "tumour"),
        feature([box(1, 0, 9, 8), box(7, 6, 8, 7)], "stroma"),
        feature([[box(0, 9, 1, 10)], [box(9, 9, 10, 10)]], kind="MultiPolygon"),
    )
    regions = read_annotation(path, slide_px=(10, 12))
    expected = np.full((10, 12), 255, np.uint8)
    expected[0:8, 1:9] = 0
    expected[6, 7] = 255
    expected[1:4, 2:6] = 1
    expected[9, [0, 9]] = 2
    assert regions.names == ("stroma", "tumour", "unclassified")
    assert (regions.height_px, regions.width_px) == (10, 12)
    assert np.array_equal(whole(regions), expected)


def test_a_pixel_is_inside_when_its_middle_is(tmp_path):
    path = save(tmp_path / "a.geojson", feature([box(0.4, 0.6, 2.6, 2.4)], "a"))
    assert np.argwhere(whole(read_annotation(path, slide_px=(4, 4))) == 0).tolist() == [[1, 0], [1, 1], [1, 2]]


@pytest.mark.parametrize("scale", [0.25, 1 / 3, 0.7, 1.9])
def test_any_windows_give_the_same_map_and_it_is_that_of_the_middles(tmp_path, scale):
    rng = np.random.default_rng(3)
    rings, side = [], int(1100 / scale)
    for _ in range(25):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 40))
        radii, middle = rng.uniform(0.02, 0.15, 40) * side, rng.uniform(0, side, 2)
        corners = middle + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
        rings.append([*corners.tolist(), corners[0].tolist()])
    path = save(tmp_path / "a.geojson", *(feature([ring], f"c{at % 4}") for at, ring in enumerate(rings)))
    regions = read_annotation(path, slide_px=(side, side), scale=scale)
    image = whole(regions)
    assert image.shape == (np.ceil(side * scale - 1e-6),) * 2
    for window in (Window(0, 70, 0, 70), Window(96, 400, 130, 470), Window(31, 64, 0, image.shape[1])):
        window = window.clip(*image.shape)
        assert np.array_equal(regions.read(window), image[window.y0 : window.y1, window.x0 : window.x1])
    assert np.array_equal(image, _by_hand(rings, image.shape, scale))


def _by_hand(rings, shape, scale):
    """The smallest polygon that the middle of each pixel lies in, by crossings of a ray."""
    corners = [np.array(ring) for ring in rings]
    areas = [abs(np.sum(c[:-1, 0] * c[1:, 1] - c[1:, 0] * c[:-1, 1])) / 2 for c in corners]
    y, x = ((np.arange(side) + 0.5) / scale for side in shape)
    out = np.full(shape, 255, np.uint8)
    for at in np.argsort([-area for area in areas], kind="stable"):
        inside = np.zeros(shape, bool)
        for (xa, ya), (xb, yb) in zip(corners[at][:-1], corners[at][1:], strict=True):
            crosses = (ya > y) != (yb > y)
            cut = xa + (y - ya) * (xb - xa) / (yb - ya)
            inside ^= crosses[:, None] & (x[None] < cut[:, None])
        out[inside] = at % 4
    return out


def test_qupaths_ways_of_naming(tmp_path):
    path = save(
        tmp_path / "a.json",
        feature([box(0, 0, 2, 2)], names=["Tumor", "Positive"], color=[0, 0, 0]),
        feature([box(2, 0, 4, 2)], names=[]),
        feature([box(0, 0, 1, 1)], "Nucleus", object_type="detection"),
    )
    regions = read_annotation(path, slide_px=(4, 4))
    assert regions.names == ("Tumor: Positive", "unclassified")
    assert whole(regions)[0, 0] == 0
    only = save(tmp_path / "b.json", feature([box(0, 0, 1, 1)], "Nucleus", object_type="detection"))
    assert read_annotation(only, slide_px=(4, 4)).names == ("Nucleus",)


def test_an_outline_that_crosses_itself_is_filled(tmp_path):
    bow = [[0, 0], [8, 8], [8, 0], [0, 8], [0, 0]]
    image = whole(read_annotation(save(tmp_path / "a.geojson", feature([bow], "a")), slide_px=(8, 8)))
    assert image[4, 0] == image[4, 7] == 0
    assert image[0, 4] == image[7, 3] == 255


FAULTS = {
    "no polygon": [],
    "feature 0 is a Point": [feature([1, 1], "a", "Point")],
    "feature 1 is a LineString": [feature([box(0, 0, 2, 2)], "a"), feature([[0, 0], [1, 1]], "a", "LineString")],
    "1 of 2 polygons lie outside of the slide of 10 x 20 px": [
        feature([box(0, 0, 2, 2)], "a"), feature([box(20, 0, 22, 2)], "a"),
    ],
    "no polygon \\(": [feature([[[0, 0], [1, 1]]], "a")],
    "without an area": [feature([box(0, 0, 2, 0)], "a")],
    "no number": [feature([[[0, 0], [float("nan"), 1], [2, 2], [0, 0]]], "a")],
    "251 classes": [feature([box(0, 0, 2, 2)], f"c{at}") for at in range(251)],
}  # fmt: skip


@pytest.mark.parametrize("words", FAULTS)
def test_faults_of_polygons_are_told(tmp_path, words):
    path = save(tmp_path / "a.geojson", *FAULTS[words])
    with pytest.raises(LabelError, match=words):
        read_annotation(path, slide_px=(10, 20))


@pytest.mark.parametrize("text", ["{", "3", '{"features": [3]}', '{"features": {"a": 1}}', '[{"geometry": null}]'])
def test_what_is_no_geojson_is_told(tmp_path, text):
    path = tmp_path / "a.geojson"
    path.write_text(text)
    with pytest.raises(LabelError, match=r"a\.geojson"):
        read_annotation(path, slide_px=(10, 20))
    with pytest.raises(LabelError, match="missing"):
        read_annotation(tmp_path / "missing.geojson", slide_px=(10, 20))


@pytest.mark.parametrize(("suffix", "dtype"), [("png", np.uint8), ("png", np.uint16), ("tif", np.uint32)])
def test_values_of_a_label_image_are_classes(tmp_path, suffix, dtype):
    values = np.array([[0, 2, 2], [7, 7, 255]], dtype)
    path = tmp_path / f"a.{suffix}"
    if suffix == "png":
        imsave(path, values, check_contrast=False)
    else:
        tifffile.imwrite(path, values, photometric="minisblack")
    regions = read_annotation(path, slide_px=(2, 3), label_names={"7": "gland", "9": "fat", "255": ""})
    assert regions.names == ("class_2", "gland", "fat")
    assert whole(regions).tolist() == [[255, 0, 0], [1, 1, 255]]
    named = read_annotation(path, slide_px=(2, 3), label_names={"0": "rest", "2": "gland", "7": "gland"})
    assert named.names == ("rest", "gland", "class_255")
    assert whole(named).tolist() == [[0, 1, 1], [1, 1, 2]]


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.3, 2.0])
@pytest.mark.parametrize("size", [(60, 91), (120, 182), (31, 46)])
def test_a_reduced_label_image_is_looked_up_by_middles(tmp_path, scale, size):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, size).astype(np.uint8)
    path = tmp_path / "a.png"
    imsave(path, labels, check_contrast=False)
    regions = read_annotation(path, slide_px=(121, 182), scale=scale, label_names={"0": "none"})
    image = whole(regions)
    places = [
        (np.arange(n) + 0.5) / scale / full * own for n, full, own in zip(image.shape, (121, 182), size, strict=True)
    ]
    rows, columns = (np.minimum(at.astype(int), own - 1) for at, own in zip(places, size, strict=True))
    # a middle that lies between two pixels may go to either
    sure = [np.abs(at - np.rint(at)) > 1e-9 for at in places]
    assert np.array_equal(image[np.ix_(*sure)], labels[rows[:, None], columns[None]][np.ix_(*sure)])
    window = Window(3, 20, 7, 30)
    assert np.array_equal(regions.read(window), image[3:20, 7:30])


def test_label_images_that_do_not_fit_are_told(tmp_path):
    path = tmp_path / "a.png"
    imsave(path, np.ones((50, 100), np.uint8), check_contrast=False)
    with pytest.raises(LabelError, match="50 x 100 px for a slide of 100 x 100 px"):
        read_annotation(path, slide_px=(100, 100))
    with pytest.raises(LabelError, match=r"label_names.*'gland'"):
        read_annotation(path, slide_px=(50, 100), label_names={"gland": "1"})
    imsave(path, np.zeros((50, 100), np.uint8), check_contrast=False)
    with pytest.raises(LabelError, match="nothing but 0"):
        read_annotation(path, slide_px=(50, 100))
    cells = tmp_path / "cells.tif"
    tifffile.imwrite(cells, np.arange(5000, dtype=np.uint32).reshape(50, 100))
    with pytest.raises(LabelError, match="over 250 values"):
        read_annotation(cells, slide_px=(50, 100))


def test_a_map_of_ours_keeps_its_names(tmp_path):
    classes = np.array([[0, 1], [255, 1]], np.uint8).repeat(20, 0).repeat(30, 1)
    path = tmp_path / "a.ome.tif"
    write_class_map(path, cut_tiles([classes], height_px=40, width_px=60), height_px=40, width_px=60, mpp=2, names="ab")
    regions = read_annotation(path, slide_px=(80, 120), scale=0.5)
    assert regions.names == ("a", "b")
    assert np.array_equal(whole(regions), classes)
    regions.close()


def test_threads_draw_without_a_warning_and_alike(tmp_path):
    path = save(tmp_path / "a.geojson", feature([box(0, 0, 600, 40)], "stroma"))
    regions = read_annotation(path, slide_px=(40, 600))
    windows = [Window(0, 40, x % 500, x % 500 + 90) for x in range(0, 60_000, 100)]
    with ThreadPoolExecutor(4) as pool:
        assert not any(drawn.any() for drawn in pool.map(regions.read, windows))
