"""The stage: an empty slide is an answer, and what does not fit is said in one line."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from asserts import ARROW_TYPES
from fields import blobs, fluorescence_look, he_look
from measuring import measured_bytes, read_columns, recipe_for, write_pair

from cellseg.columns import find_column
from cellseg.errors import ImageError, LabelError, TableError
from cellseg.io.labels import open_labels
from cellseg.measure.layout import measured_columns
from cellseg.measure_config import MeasureSettings
from cellseg.stages import measure as stage
from cellseg.types import Window


def read_labels(path):
    with open_labels(path) as labels:
        return labels.read(Window(0, labels.height, 0, labels.width))


@pytest.fixture
def pair(tmp_path):
    labels = blobs((96, 120))
    pixels = he_look(labels)
    return write_pair(tmp_path, pixels, labels), recipe_for(pixels), tmp_path / "out.parquet"


def test_no_cells_give_a_header_with_types(tmp_path):
    pixels = np.full((40, 50, 3), 240, np.uint8)
    recipe = recipe_for(pixels)
    pair = write_pair(tmp_path, pixels, np.zeros((40, 50), np.uint32))
    calls = []

    measured_bytes(*pair, tmp_path / "t.parquet", recipe, progress=lambda *units: calls.append(units))

    table = pq.read_table(tmp_path / "t.parquet")
    assert table.num_rows == 0
    assert table.column_names == [column.name for column in measured_columns(recipe, MeasureSettings())]
    assert all(field.type == ARROW_TYPES[find_column(field.name).dtype] for field in table.schema)
    assert calls[-1] == (2, 2)


def test_whole_table_has_documented_columns_in_order(pair):
    files, recipe, out = pair
    measured_bytes(*files, out, recipe)

    schema = pq.read_schema(out)

    assert schema.names == [column.name for column in measured_columns(recipe, MeasureSettings())]
    assert schema.names[:2] == ["sample", "cell_id"]
    assert schema.names[-3:] == ["touches_border", "seam_joined", "saturated_fraction"]
    assert all(field.type == ARROW_TYPES[find_column(field.name).dtype] for field in schema)


@pytest.mark.parametrize("families", [(), ("shape",), ("intensity",), ("focus", "neighborhood")])
def test_only_the_families_asked_for(pair, families):
    files, recipe, out = pair
    measured_bytes(*files, out, recipe, settings=MeasureSettings(families=families, ring_um=0))

    found = {find_column(name).family for name in pq.read_schema(out).names}
    assert found == {"identity", "position", "detection", "tissue", "flags", "quality", *families}


def test_flags(pair):
    files, recipe, out = pair
    measured_bytes(*files, out, recipe)
    table = read_columns(out)

    edge = (
        (table["bbox_y0_px"] == 0)
        | (table["bbox_x0_px"] == 0)
        | (table["bbox_y1_px"] == 96)
        | (table["bbox_x1_px"] == 120)
    )
    assert np.array_equal(table["touches_border"], edge) and edge.any() and not edge.all()
    # nothing is known of labels without a table of what was found
    assert not table["seam_joined"].any() and np.isnan(table["score"]).all() and set(table["class"]) == {""}


def _instances(path, ids, **columns):
    n = len(ids)
    given = {"score": np.full(n, 0.5), "class": [""] * n, "seam_joined": np.zeros(n, bool)} | columns
    pq.write_table(pa.table({"cell_id": np.array(ids, np.uint32), **given}), path)
    return path


@pytest.mark.parametrize("tile_px", [64, 2048])
def test_score_class_and_seam_flag_come_from_the_segmentation(pair, tmp_path, tile_px):
    files, recipe, out = pair
    n = int(read_labels(files[1]).max())
    scores, joined = np.linspace(0.1, 0.9, n).round(6), np.arange(n) % 5 == 1
    names = ["nucleus" if i % 2 else "lymphocyte" for i in range(n)]
    said = _instances(tmp_path / "i.parquet", np.arange(1, n + 1), score=scores, seam_joined=joined, **{"class": names})
    measured_bytes(*files, out, recipe, instances=said, tile_px=tile_px)
    table = read_columns(out)
    assert table["score"].tolist() == scores.tolist()
    assert table["class"].tolist() == names
    assert table["seam_joined"].tolist() == joined.tolist()


def test_instances_of_other_labels_are_refused(pair, tmp_path):
    files, recipe, out = pair
    said = _instances(tmp_path / "i.parquet", [1, 2, 3])
    with pytest.raises(
        TableError, match=r"i\.parquet: 3 cells, but the label image has \d+, .* segment the slide again"
    ):
        measured_bytes(*files, out, recipe, instances=said)
    assert not out.exists()


def test_sixteen_bit_levels_are_the_files_own(tmp_path):
    labels = blobs((96, 120))
    pixels = fluorescence_look(labels, dtype=np.uint16)
    measured_bytes(*write_pair(tmp_path, pixels, labels), tmp_path / "t.parquet", recipe_for(pixels))
    table = read_columns(tmp_path / "t.parquet")

    assert [n for n in table if n.endswith("_mean")] == ["nucleus_intensity_gray_mean", "cytoplasm_intensity_gray_mean"]
    for cell in (1, 5, int(labels.max())):
        assert table["nucleus_intensity_gray_max"][cell - 1] == pixels[..., 0][labels == cell].max()
        assert table["nucleus_intensity_gray_q50"][cell - 1] == np.median(pixels[..., 0][labels == cell])


def test_labels_of_another_size_name_both(pair, tmp_path):
    (image, _), recipe, out = pair
    (tmp_path / "other").mkdir()
    _, other = write_pair(tmp_path / "other", np.zeros((96, 119, 3), np.uint8), np.zeros((96, 119), np.uint32))

    with pytest.raises(LabelError, match=r"96 x 119 px.*96 x 120 px.*full resolution") as caught:
        measured_bytes(image, other, out, recipe)
    assert "\n" not in str(caught.value) and not out.exists()


def test_labels_of_another_pixel_size_are_refused(pair):
    files, recipe, out = pair

    with pytest.raises(LabelError, match=r"1 um a pixel.*0\.5"):
        measured_bytes(*files, out, dataclasses.replace(recipe, mpp=0.5))
    measured_bytes(*files, out, dataclasses.replace(recipe, mpp=1.005))  # within the tolerance of 1 %


def test_recipe_of_another_image_is_refused(pair):
    files, recipe, out = pair

    with pytest.raises(ImageError, match=r"96 x 120.*96 x 121.*cellseg preprocess"):
        measured_bytes(*files, out, dataclasses.replace(recipe, width_px=121))


def test_a_label_that_is_a_region_is_refused_by_name(pair, monkeypatch):
    files, recipe, out = pair
    monkeypatch.setattr(stage, "_MAX_CELL_MPX", 100e-6)

    with pytest.raises(LabelError, match=r"label \d+ spans \d+ x \d+ px"):
        measured_bytes(*files, out, recipe)
    assert not out.exists()
