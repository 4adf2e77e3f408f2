"""Cells as GeoJSON, read again by json and gzip alone; and GeoJSON of any kind, feature by feature."""

from __future__ import annotations

import gzip
import json
import uuid
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from patching import patches_of

from cellseg.errors import CellsegError, LabelError
from cellseg.io import geojson
from cellseg.io.cells_geojson import (
    FeatureWriter,
    GeometryScratch,
    Texts,
    cell_uuid,
    feature_text,
    geometry_texts,
)  # fmt: skip
from cellseg.io.geojson import PolygonList, is_geojson, read_features
from cellseg.measure.polygons import trace_outlines

LABELS = np.array([[1, 1, 1, 0, 2], [1, 0, 1, 0, 0], [1, 1, 1, 3, 0]])
COLOURS = {"healthy": (0, 105, 200), "abnormal": (255, 80, 0)}
SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [2, 0], [2, 2], [0, 2], [0, 0]]]}


def texts_of(labels) -> Texts:
    outlines = trace_outlines(patches_of(labels))
    return geometry_texts(outlines.points, outlines.rings, outlines.polygons, outlines.cells)


def table_of(n: int, **columns) -> pa.Table:
    plain = {"sample": ['a "b"'] * n, "status": ["healthy", "abnormal", "healthy"][:n]}
    return pa.table(plain | {"cell_id": pa.array(range(1, n + 1), pa.uint32())} | columns)


def written(path, *pieces: bytes) -> bytes:
    with FeatureWriter(path) as writer:
        for piece in pieces:
            writer.write(piece)
    return path.read_bytes()


def test_geometries_are_json_and_closed():
    texts = texts_of(LABELS)
    ring, dot, _ = [json.loads(bytes(texts.data[a:b])) for a, b in pairwise(texts.starts)]
    assert dot == {"type": "Polygon", "coordinates": [[[4, 0], [5, 0], [5, 1], [4, 1], [4, 0]]]}
    outer, hole = ring["coordinates"]
    assert outer == [[0, 0], [3, 0], [3, 3], [0, 3], [0, 0]]
    assert hole[0] == hole[-1] and len(hole) == 5


def test_pieces_are_a_multipolygon_and_halves_are_written_out():
    texts = texts_of(np.array([[1, 0, 1]]))
    assert json.loads(bytes(texts.data))["type"] == "MultiPolygon"
    ring = np.array([[21, 0], [199, 1], [20, 1001]])
    starts = [np.array([0, n]) for n in (3, 1, 1)]
    (corners,) = json.loads(bytes(geometry_texts(ring, *starts).data))["coordinates"]
    assert corners == [[10.5, 0], [99.5, 0.5], [10, 500.5], [10.5, 0]]


def test_feature_is_what_qupath_reads(tmp_path):
    table = table_of(3, area=[1.5, float("nan"), 1e-7], flag=[True, False, True], count=pa.array([3, 4, 5], pa.int64()))
    written(tmp_path / "a.geojson", feature_text(table, texts_of(LABELS), colours=COLOURS))
    found = json.loads((tmp_path / "a.geojson").read_text())
    assert found["type"] == "FeatureCollection"
    first, second, third = found["features"]
    assert set(first) == {"type", "id", "geometry", "properties"} and first["type"] == "Feature"
    assert first["properties"] == {
        "objectType": "detection", "name": "1", "classification": {"name": "healthy", "color": [0, 105, 200]},
        "measurements": {"cell_id": 1, "area": 1.5, "flag": 1, "count": 3},
    }  # fmt: skip
    assert "area" not in second["properties"]["measurements"]
    assert third["properties"]["measurements"]["area"] == 1e-7
    assert [str(uuid.UUID(f["id"])) for f in found["features"]] == [cell_uuid('a "b"', k) for k in (1, 2, 3)]
    assert uuid.UUID(first["id"]).version == 8 and uuid.UUID(first["id"]).variant == uuid.RFC_4122


def test_uuids_differ_by_sample_and_cell():
    ids = {cell_uuid(sample, cell) for sample in ("a", "b") for cell in (1, 2, 2**32 - 1)}
    assert len(ids) == 6
    assert cell_uuid("a", 2**32 - 1).endswith("ffffffff")


def test_the_compressed_file_is_one_gzip_member_without_a_time(tmp_path):
    piece = feature_text(table_of(3), texts_of(LABELS), colours=COLOURS)
    data = written(tmp_path / "a.geojson.gz", piece, piece)
    assert data[:10] == bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255])
    plain = written(tmp_path / "a.geojson", piece, piece)
    assert gzip.decompress(data) == plain
    assert data[10:].count(b"\x1f\x8b\x08") == 0
    assert len(json.loads(plain)["features"]) == 6
    assert written(tmp_path / "b.geojson.gz", piece, piece) == data


@pytest.mark.parametrize("name", ["a.geojson", "a.geojson.gz"])
def test_no_cells_are_an_empty_collection(tmp_path, name):
    nothing = Texts(np.empty(0, np.uint8), np.zeros(1, np.int64))
    data = written(tmp_path / name, feature_text(table_of(3).slice(0, 0), nothing, colours=COLOURS))
    assert list(read_features(tmp_path / name)) == []
    text = gzip.decompress(data) if name.endswith("gz") else data
    assert json.loads(text) == {"type": "FeatureCollection", "features": []}


def test_nothing_is_left_of_a_file_that_was_not_finished(tmp_path):
    with pytest.raises(RuntimeError), FeatureWriter(tmp_path / "a.geojson.gz") as writer:
        writer.write(b",\n{}")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_scratch_gives_back_by_row_whatever_the_order(tmp_path):
    words = [b"zero", b"", b"two", b"threee", b"4"]
    with GeometryScratch(tmp_path, 5) as scratch:
        for rows in ([3, 0], [4], [2, 1]):
            sizes = np.cumsum([0, *(len(words[row]) for row in rows)])
            data = np.frombuffer(b"".join(words[row] for row in rows), np.uint8)
            scratch.put(np.array(rows), Texts(data, sizes))
        for start, stop in [(0, 5), (1, 3), (2, 2)]:
            texts = scratch.take(start, stop)
            found = [bytes(texts.data[a:b]) for a, b in pairwise(texts.starts)]
            assert found == words[start:stop]
    assert list(tmp_path.iterdir()) == []


def test_scratch_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CellsegError, match="cannot be written"):
        GeometryScratch(tmp_path / "file" / "folder", 1)


FEATURE = {"type": "Feature", "geometry": SQUARE, "properties": {"name": 'é [{"]}'}}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "value",
    [
        {"type": "FeatureCollection", "features": [FEATURE] * 3},
        {"crs": {"features": [1]}, "count": 12, "features": [FEATURE] * 3, "more": [1]},
        [FEATURE] * 3,
        FEATURE,
        {"type": "FeatureCollection", "features": []},
    ],
    ids=["collection", "members before", "list", "one", "none"],
)
def test_features_are_read_one_by_one_wherever_the_text_is_cut(tmp_path, monkeypatch, value, packed):
    expected = [FEATURE] * (1 if value is FEATURE else 3)
    expected = [] if isinstance(value, dict) and value.get("features") == [] else expected
    for indent, characters in [(None, 1), (2, 7), (None, 1 << 20)]:
        monkeypatch.setattr(geojson, "_CHARACTERS", characters)
        text = "\ufeff \n" + json.dumps(value, indent=indent, ensure_ascii=False)
        path = tmp_path / "a.geojson"
        path.write_bytes(gzip.compress(text.encode(), mtime=0) if packed else text.encode())
        assert list(read_features(path)) == expected


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"nonsense", b"[1]", b'{"features": [{"geometry": null}]}', b'{"features": [', b"3",
        b'{"features": [{"geometry": {}} {"geometry": {}}]}', b'{"features" 1}', b"\xff\xfe{}", b"[" * 100_000,
        gzip.compress(b'{"features": [', mtime=0)[:-4], b"\x1f\x8bnonsense",
        b'{"features": [{"a": tru}' + b" " * 200 + b"]}",
    ],
)  # fmt: skip
def test_what_is_no_geojson_is_refused_by_name(tmp_path, text):
    path = tmp_path / "a.geojson"
    path.write_bytes(text)
    with pytest.raises(LabelError, match=r"a\.geojson"):
        list(read_features(path))


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(LabelError, match=r"gone\.geojson.*No such file"):
        list(read_features(tmp_path / "gone.geojson"))


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Point", "coordinates": [1, 2]}, {"type": "Polygon"}, {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[]]}, {"type": "MultiPolygon", "coordinates": [[]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}, {"type": "Polygon", "coordinates": [[[0], [1], [2]]]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, None], [2, 2]]]}, {"type": "Polygon", "coordinates": 3},
        {"type": "Polygon", "coordinates": [[[0, 0], [1, float("nan")], [2, 2]]]},
        {"type": "Polygon", "coordinates": [["ab", "cd", "ef"]]}, {"type": "Polygon", "coordinates": [[1, 2, 3]]},
    ],
)  # fmt: skip
def test_what_is_no_polygon_is_refused_by_number_and_leaves_the_list_as_it_was(tmp_path, geometry):
    polygons = PolygonList(tmp_path / "a.geojson")
    polygons.add(SQUARE, 0)
    with pytest.raises(LabelError, match=r"a\.geojson: feature 7"):
        polygons.add(geometry, 7)
    polygons.add(SQUARE, 8)
    found = polygons.take()
    assert found.points.tolist() == SQUARE["coordinates"][0] * 2
    assert (found.rings.tolist(), found.polygons.tolist(), found.features.tolist()) == (
        [0, 5, 10],
        [0, 1, 2],
        [0, 1, 2],
    )
    assert len(polygons) == 0


def test_heights_are_let_go(tmp_path):
    polygons = PolygonList(tmp_path / "a.geojson")
    polygons.add({"type": "Polygon", "coordinates": [[[0, 0, 5], [2, 0, 5], [2, 2], [0, 0, 5]]]}, 0)
    assert polygons.take().points.tolist() == [[0, 0], [2, 0], [2, 2], [0, 0]]


def test_names_of_geojson_files():
    assert all(is_geojson(Path(name)) for name in ("a.geojson", "a.GeoJSON", "b.json", "c.geojson.gz", "c.json.gz"))
    assert not any(is_geojson(Path(name)) for name in ("a.tif", "a.geojson.tif", "a.gz"))
