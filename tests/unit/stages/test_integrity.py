"""Every way in which files of one slide can disagree is met, named and counted."""

from __future__ import annotations

import gzip
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fields import blobs, discs
from measuring import odd_shapes
from polygon_files import write_slide

from cellseg.errors import LabelError, TableError
from cellseg.polygon_config import PolygonSettings
from cellseg.stages.integrity import check_integrity
from cellseg.stages.polygons import write_polygons

SETTINGS = PolygonSettings()


@pytest.fixture
def slide(tmp_path):
    """A folder with labels, tables and polygons that agree."""
    return make(tmp_path / "slide", odd_shapes((150, 160)))


def make(folder, labels, settings=SETTINGS):
    files = write_slide(folder, labels)
    write_polygons(*files, folder / "cells.geojson.gz", settings=settings)
    return folder


def check(folder, *, polygons=True, settings=SETTINGS, **options):
    return check_integrity(
        folder / "labels.ome.tif", folder / "cells.parquet", folder / "integrity.json",
        polygons=folder / "cells.geojson.gz" if polygons else None, settings=settings, **options,
    )  # fmt: skip


def fault_of(folder, **options) -> str:
    with pytest.raises(TableError) as caught:
        check(folder, **options)
    found = json.loads((folder / "integrity.json").read_text())
    assert found["verdict"] == "differ" and found["faults"]
    assert all(fault in str(caught.value) for fault in found["faults"])
    return str(caught.value)


def change_table(folder, **columns):
    table = pq.read_table(folder / "cells.parquet")
    for name, change in columns.items():
        at, values = table.column_names.index(name), table[name].to_pylist()
        change(values)
        table = table.set_column(at, table.field(at), pa.array(values, table.field(at).type))
    pq.write_table(table, folder / "cells.parquet")


def change_features(folder, change):
    path = folder / "cells.geojson.gz"
    found = json.loads(gzip.decompress(path.read_bytes()))
    change(found["features"])
    path.write_bytes(gzip.compress(json.dumps(found).encode()))


@pytest.mark.parametrize("tolerance_px", [0, 0.3, 0.5, 2])
def test_files_of_one_run_agree(tmp_path, tolerance_px):
    settings = PolygonSettings(outline_tolerance_px=tolerance_px)
    folder = make(tmp_path, odd_shapes((150, 160)), settings)
    found = check(folder, settings=settings)
    n = found["counts"]["labels"]
    assert n > 50 and found["counts"]["table"] == found["counts"]["polygons"] == found["counts"]["csv"]["cells"] == n
    assert sum(found["counts"]["by_status"].values()) == n
    assert {name: n for name, n in found["counts"]["csv"].items() if name != "cells"} == found["counts"]["by_status"]
    assert (found["verdict"], found["faults"]) == ("agree", [])
    assert json.loads((folder / "integrity.json").read_text()) == found
    assert any("drawn again" in line for line in found["checks"]) == (tolerance_px <= 0.5)


def test_the_record_does_not_depend_on_tiles_workers_or_place(slide, tmp_path):
    check(slide)
    whole = (slide / "integrity.json").read_bytes()
    other = shutil.copytree(slide, tmp_path / "elsewhere")
    steps = []
    check(other, tile_px=64, workers=2, mpp=0.5, progress=lambda done, total: steps.append((done, total)))
    assert (other / "integrity.json").read_bytes() == whole
    assert steps[-1][0] == steps[-1][1] and steps == sorted(steps)


def test_no_cells_agree_too(tmp_path):
    found = check(make(tmp_path, np.zeros((30, 40), np.uint32)))
    assert found["verdict"] == "agree" and found["counts"]["labels"] == found["counts"]["polygons"] == 0


def test_without_polygons_and_without_csv(slide):
    found = check(slide, polygons=False)
    assert "polygons" not in found["counts"] and "csv" in found["counts"]
    for path in slide.glob("*.csv"):
        path.unlink()
    assert "csv" not in check(slide)["counts"]


def test_a_label_that_the_table_lacks_and_one_too_many(slide):
    other = make(slide.parent / "other", discs((150, 160)))
    shutil.copy(other / "labels.ome.tif", slide)
    message = fault_of(slide)
    assert "cells.parquet: every cell is in labels.ome.tif: not so for" in message
    assert "delete the sample's folder" in message


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("nucleus_n_pixels", "nucleus_n_pixels is the label's in labels.ome.tif: not so for 1 cells"),
        ("nucleus_area_um2", "nucleus_area_um2 is the number of the label's pixels in labels.ome.tif * 0.5^2"),
        ("bbox_x1_px", "its box is the label's"),
    ],
)
def test_figures_of_another_label(slide, column, said):
    def change(values):
        values[3] += 1

    change_table(slide, **{column: change})
    cell_id = pq.read_table(slide / "cells.parquet")["cell_id"][3].as_py()
    assert said in (message := fault_of(slide)) and f"(cell_id {cell_id})" in message


def test_areas_by_another_pixel_size_and_none(slide):
    assert "area_um2" in fault_of(slide, mpp=0.51)

    def lose(values):
        values[0] = float("nan")

    change_table(slide, nucleus_area_um2=lose)
    assert "area_um2" in fault_of(slide)


def test_rows_out_of_order_and_doubled(slide):
    path = slide / "cells.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(2, 1)]), path)
    assert "cell_id rises from row to row" in fault_of(slide)
    pq.write_table(table.slice(1), path)
    first = table["cell_id"][0].as_py()
    assert f"every cell of labels.ome.tif is in it: not so for 1 cells (cell_id {first})" in fault_of(slide)


def test_a_status_of_its_own(slide):
    def change(values):
        values[5] = "ill"

    change_table(slide, status=change)
    assert "status is one of healthy, abnormal, uncertain, excluded" in fault_of(slide)


@pytest.mark.parametrize("name", ["cells", "healthy", "excluded"])
def test_csv_files_that_lost_or_doubled_a_row(slide, name):
    path = slide / f"{name}.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3] + lines[4:]))
    assert f"{name}.csv" in fault_of(slide)
    path.write_text("".join([*lines, lines[2]]))
    assert f"{name}.csv" in fault_of(slide)
    path.write_text("".join([lines[0], *reversed(lines[1:])]))
    if name == "cells":
        assert f"{name}.csv" in fault_of(slide)
    path.unlink()
    if name != "cells":
        with pytest.raises(TableError, match=rf"{name}\.csv"):
            check(slide)


def test_a_cell_in_the_file_of_another_status(slide):
    healthy, abnormal = slide / "healthy.csv", slide / "abnormal.csv"
    lines = healthy.read_text().splitlines(keepends=True)
    healthy.write_text("".join(lines[:-1]))
    abnormal.write_text(abnormal.read_text() + lines[-1])
    message = fault_of(slide)
    assert "healthy.csv: it has the healthy cells" in message and "abnormal.csv: its cells are abnormal" in message


def move(feature, dx):
    text = json.dumps(feature["geometry"]["coordinates"])

    def moved(value):
        return [moved(v) for v in value] if isinstance(value[0], list) else [value[0] + dx, value[1]]

    feature["geometry"]["coordinates"] = moved(json.loads(text))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda features: features.pop(4), "every cell of the label image is in it"),
        (lambda features: features.append(features[4]), "every cell is in it once"),
        (lambda features: features[4]["properties"]["measurements"].update(cell_id=999_999), "is in the label image"),
        (lambda features: features[4]["properties"]["classification"].update(name="odd"), "status is the table's"),
        (lambda features: features[4]["properties"].pop("classification"), "status is the table's"),
        (lambda features: features[4].update(id="1"), "name and id are made of cell_id"),
        (lambda features: features[4]["properties"].update(name="5th"), "name and id are made of cell_id"),
        (lambda features: features[4].update(geometry=features[5]["geometry"]), "drawn again"),
        (lambda features: move(features[4], 1), "drawn again, outlines cover the labels' pixels: not so for 1 cells"),
    ],
)  # fmt: skip
def test_polygons_of_something_else(slide, change, said):
    change_features(slide, change)
    assert said in fault_of(slide)


def test_areas_beyond_the_tolerance(tmp_path):
    settings = PolygonSettings(outline_tolerance_px=2)
    folder = make(tmp_path, blobs((150, 160)), settings)

    def shrink(features):
        ring = np.array(features[4]["geometry"]["coordinates"][0])
        features[4]["geometry"]["coordinates"] = [(ring.mean(0) + 0.1 * (ring - ring.mean(0))).tolist()]

    change_features(folder, shrink)
    assert "areas are those of the labels within 2 px of their length: not so for 1 cells" in fault_of(
        folder, settings=settings
    )


def test_polygons_without_ids_are_no_polygons_of_ours(slide):
    change_features(slide, lambda features: features[4]["properties"].pop("measurements"))
    with pytest.raises(LabelError, match="feature 4 has no whole number"):
        check(slide)
