"""cells.geojson.gz opened again with json and shapely: the labels pixel for pixel, the table's ids and verdicts."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely.geometry
from fields import blobs, bricks, discs, giant
from measuring import odd_shapes
from polygon_files import MPP, features_drawn, read_plainly, write_slide

from cellseg.errors import ConfigError, TableError
from cellseg.polygon_config import PolygonSettings
from cellseg.report.palette import STATUS_RGB_ON_TISSUE
from cellseg.stages import polygons as stage
from cellseg.stages.polygons import write_polygons

EXACT = PolygonSettings(outline_tolerance_px=0)
FIELDS = {"odd": odd_shapes((300, 340)), "bricks": bricks((200, 210)), "giant": giant((300, 340))}


def write(files, out, **options) -> list[dict]:
    n_cells = write_polygons(*files, out, **({"settings": EXACT} | options))
    features = read_plainly(out)
    assert len(features) == n_cells
    return features


@pytest.mark.parametrize("tolerance_px", [0, 0.5])
@pytest.mark.parametrize("labels", FIELDS.values(), ids=FIELDS)
def test_drawn_again_they_are_the_label_image(tmp_path, labels, tolerance_px):
    files = write_slide(tmp_path, labels)
    features = write(files, tmp_path / "cells.geojson.gz", settings=PolygonSettings(outline_tolerance_px=tolerance_px))
    assert np.array_equal(features_drawn(features, labels.shape), labels)


@pytest.mark.parametrize("chunk", [64, 100_000])
def test_ids_areas_verdicts_and_features_are_the_tables(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(stage, "_CHUNK", chunk)
    files = write_slide(tmp_path, odd_shapes((300, 340)), rows_a_group=100)
    features = write(files, tmp_path / "cells.geojson.gz")
    table = pq.read_table(files.cells).to_pylist()
    assert len(features) == len(table) > 200
    for feature, row in zip(features, table, strict=True):
        properties, said = feature["properties"], feature["properties"]["measurements"]
        assert (properties["name"], said["cell_id"]) == (str(row["cell_id"]), row["cell_id"])
        area = shapely.geometry.shape(feature["geometry"]).area
        assert area == row["nucleus_n_pixels"] and area * MPP**2 == row["nucleus_area_um2"]
        colour = list(STATUS_RGB_ON_TISSUE[row["status"]])
        assert properties["classification"] == {"name": row["status"], "color": colour}
        names = ("nucleus_circularity", "nucleus_od_hematoxylin_mean", "nearest_neighbor_um", "score")
        assert {name: said[name] for name in names} == {name: row[name] for name in names}
        assert ("abnormal_score" in said) == (row["abnormal_score"] == row["abnormal_score"])


def test_tile_size_and_workers_do_not_change_a_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "_CHUNK", 64)
    files = write_slide(tmp_path, odd_shapes((300, 340)), rows_a_group=100)
    settings = PolygonSettings()
    whole, out = tmp_path / "whole.geojson.gz", tmp_path / "tiled.geojson.gz"
    write(files, whole, settings=settings)
    for tile_px, workers in [(64, 1), (64, 2), (100, 3), (256, 2)]:
        monkeypatch.setattr(stage, "_BATCH_PX", 500 * workers)
        write(files, out, settings=settings, tile_px=tile_px, workers=workers)
        assert out.read_bytes() == whole.read_bytes()
    other = write_slide(tmp_path / "other", odd_shapes((300, 340)), rows_a_group=7)
    write(other, out, settings=settings)
    assert out.read_bytes() == whole.read_bytes()
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith(".tmp")} == set()


def test_ids_in_no_order_and_uncompressed(tmp_path):
    labels = blobs((200, 220))
    ids = np.random.default_rng(0).permutation(np.arange(1, labels.max() + 1)) * 7 + 60_000
    labels = np.concatenate([[0], ids]).astype(np.uint32)[labels]
    features = write(write_slide(tmp_path, labels), tmp_path / "cells.geojson", tile_px=64)
    assert [feature["properties"]["measurements"]["cell_id"] for feature in features] == sorted(ids)
    assert np.array_equal(features_drawn(features, labels.shape), labels)


def test_no_cells_are_an_empty_collection(tmp_path):
    steps = []
    files = write_slide(tmp_path, np.zeros((40, 50), np.uint32))
    assert write(files, tmp_path / "c.geojson.gz", progress=lambda done, total: steps.append((done, total))) == []
    assert steps[-1][0] == steps[-1][1]


def test_columns_that_a_slide_lacks_are_left_out_and_texts_refused(tmp_path):
    files = write_slide(tmp_path, discs((60, 60)))
    chosen = PolygonSettings(features=("od_dab_mean", "solidity", "solidity"))
    said = write(files, tmp_path / "c.geojson", settings=chosen)[1]["properties"]["measurements"]
    assert list(said) == ["cell_id", "abnormal_score", "score", "nucleus_solidity"]
    with pytest.raises(ConfigError, match=r"polygons\.features: tissue is no number"):
        write(files, tmp_path / "c.geojson", settings=PolygonSettings(features=("tissue",)))


def test_a_table_of_other_labels_is_refused(tmp_path):
    files = write_slide(tmp_path / "a", discs((60, 60)))
    other = write_slide(tmp_path / "b", discs((60, 60), seed=3))
    with pytest.raises(TableError, match=r"cell \d+ has \d+ px in the label image"):
        write((files.labels, other.cells), tmp_path / "c.geojson")
    wide = write_slide(tmp_path / "c", discs((60, 300)))
    with pytest.raises(TableError, match="60 x 60 px"):
        write((files.labels, wide.cells), tmp_path / "c.geojson")
    assert not (tmp_path / "c.geojson").exists()


def test_measurements_without_verdicts_are_refused(tmp_path):
    files = write_slide(tmp_path, discs((60, 60)))
    with pytest.raises(TableError, match="status"):
        write((files.labels, tmp_path / "measurements.parquet"), tmp_path / "c.geojson")
