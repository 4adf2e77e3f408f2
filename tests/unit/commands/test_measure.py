"""`cellseg measure` on what other tools write: label images of any whole type, and polygons; and its two companions."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import fields
import numpy as np
import pyarrow.parquet as pq
import pytest
import tifffile
from click.testing import Result
from polygon_files import read_plainly, write_slide
from typer.testing import CliRunner

from cellseg.cli import app
from cellseg.errors import ConfigError, LabelError, TableError
from cellseg.stages.outcome import Failure, read_failure, write_failure

LABELS = fields.discs((120, 140), radius_px=6)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, fields.he_look(LABELS, seed=0), photometric="rgb")
    return path


def run(*given: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in given], catch_exceptions=False)


def measure(image: Path, labels: Path, *options: object):
    """The table, and what was said."""
    out = image.with_name("out.parquet")
    done = run("measure", image, labels, "-o", out, "--mpp", "0.5", *options)
    assert done.exit_code == 0, done.output
    assert not [path for path in image.parent.iterdir() if path.name.startswith(".tmp")]
    return pq.read_table(out), done.output.splitlines()


def write_png(path: Path, labels: np.ndarray) -> Path:
    cv2.imwrite(str(path), labels)
    return path


def write_tiff(path: Path, labels: np.ndarray) -> Path:
    tifffile.imwrite(path, labels)
    return path


@pytest.mark.parametrize(
    ("name", "write", "dtype"),
    [
        ("a.png", write_png, np.uint8), ("a.png", write_png, np.uint16), ("a.tif", write_tiff, np.uint8),
        ("a.tif", write_tiff, np.uint16), ("a.tif", write_tiff, np.uint32), ("a.tif", write_tiff, np.int32),
    ],
)  # fmt: skip
def test_label_images_of_any_whole_type_and_ids_with_gaps(image, name, write, dtype):
    own, _ = measure(image, write_tiff(image.with_name("own.tif"), LABELS))
    n = int(LABELS.max())
    assert own.num_rows == n
    top = min(np.iinfo(dtype).max, 3_000_000_000)
    ids = np.linspace(5, top, n).astype(dtype)
    assert np.unique(ids).size == n
    labels = np.concatenate([[0], ids]).astype(dtype)[LABELS]
    table, _ = measure(image, write(image.with_name(name), labels))
    assert table["cell_id"].to_numpy().tolist() == ids.tolist()
    assert table.drop_columns("cell_id").to_pandas().equals(own.drop_columns("cell_id").to_pandas())


def geojson(path: Path, features: list[dict]) -> Path:
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def circle(x: float, y: float, radius: float, **feature) -> dict:
    angles = np.linspace(0, 2 * np.pi, 33)
    ring = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1).tolist()
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {}} | feature


@pytest.mark.parametrize("name", ["cells.geojson.gz", "cells.geojson"])
@pytest.mark.parametrize("tolerance_px", [0, 0.5])
def test_our_own_polygons_give_our_own_table(image, name, tolerance_px):
    labels = np.where(LABELS > 0, LABELS * 3 + 1, 0).astype(np.uint32)
    files = write_slide(image.parent / "files", labels)
    settings = json.dumps({"outline_tolerance_px": tolerance_px})
    assert run("polygons", *files, "-o", image.with_name(name), "--settings", settings).exit_code == 0
    own, _ = measure(image, files.labels)
    table, said = measure(image, image.with_name(name))
    assert table.to_pandas().equals(own.to_pandas())
    assert said[0] == f"note: {own.num_rows} polygons drawn; cell_id is the measurement cell_id"


def test_polygons_of_other_tools(image):
    cells = [circle(20, 30, 9), circle(60.2, 40.7, 12.5), circle(100, 100, 0.2), circle(60, 40, 4)]
    table, said = measure(image, geojson(image.with_name("a.json"), cells))
    assert table["cell_id"].to_pylist() == [1, 2, 4]
    assert table["centroid_x_px"].to_pylist() == pytest.approx([19.5, 59.7, 59.5], abs=0.2)
    assert said == [
        "note: 3 polygons drawn; cell_id is the place in the file, from 1 on",
        "note: 1 polygons get no row, for they hold the middle of no pixel: features 2 (from 0 on)",
        f"{image.with_name('out.parquet')}: 3 cells",
    ]


def test_nuclei_of_qupaths_cells_on_request(image):
    cell = circle(40, 40, 12, nucleusGeometry=circle(40, 40, 6)["geometry"], properties={"objectType": "cell"})
    path = geojson(image.with_name("a.geojson"), [cell])
    whole, nucleus = (measure(image, path, *options)[0] for options in ((), ("--outline", "nucleus")))
    area = [table["nucleus_n_pixels"][0].as_py() for table in (whole, nucleus)]
    assert area == pytest.approx([np.pi * 144, np.pi * 36], rel=0.03)
    with pytest.raises(ConfigError, match="--outline ring: no such outline; choose cell or nucleus"):
        run("measure", image, path, "-o", "x.parquet", "--outline", "ring")


def test_a_fault_of_polygons_in_a_batch_stands_in_place_of_the_table(image):
    path, out = geojson(image.with_name("a.geojson"), [circle(400, 40, 12)]), image.with_name("out.parquet")
    given = ["measure", image, path, "-o", out, "--mpp", "0.5", "--sample", "S"]
    with pytest.raises(LabelError, match="lie outside of the image"):
        run(*given)
    assert sorted(path.name for path in image.parent.iterdir()) == ["a.geojson", "slide.tif"]
    assert run(*given, "--placeholder").exit_code == 0
    failure = read_failure(out)
    assert isinstance(failure, Failure) and (failure.sample, failure.stage) == ("S", "measure")


def test_integrity_of_what_polygons_wrote(tmp_path):
    files = write_slide(tmp_path, LABELS)
    polygons, out = tmp_path / "cells.geojson.gz", tmp_path / "integrity.json"
    assert run("polygons", *files, "-o", polygons, "--tile-px", 64, "--workers", 2).exit_code == 0
    assert len(read_plainly(polygons)) == LABELS.max()
    done = run("integrity", *files, polygons, "-o", out)
    assert done.stdout.startswith(f"{out}: {LABELS.max()} cells agree in ")
    assert json.loads(out.read_text())["verdict"] == "agree"
    other = write_slide(tmp_path / "other", fields.discs((120, 140), radius_px=5))
    with pytest.raises(TableError, match="labels' pixels"):
        run("polygons", *other, "-o", tmp_path / "other.geojson")
        run("integrity", *files, tmp_path / "other.geojson", "-o", out)


@pytest.mark.parametrize("stage", ["polygons", "integrity"])
def test_failures_are_passed_on_and_made_in_a_batch(tmp_path, stage):
    files = write_slide(tmp_path, LABELS)
    out = tmp_path / "out.json"
    files.labels.write_bytes(files.labels.read_bytes()[:2000])
    assert run(stage, *files, "-o", out, "--sample", "S", "--placeholder").exit_code == 0
    failure = read_failure(out)
    assert isinstance(failure, Failure) and (failure.sample, failure.stage) == ("S", stage)
    write_failure([files.cells], Failure("S", "classify", "why"))
    assert run(stage, *files, "-o", out, "--sample", "S", "--placeholder").exit_code == 0
    assert read_failure(out) == Failure("S", "classify", "why")


def test_a_budget_of_memory_changes_no_result_and_too_small_a_one_is_said(image: Path) -> None:
    labels, tables = image.with_name("labels.tif"), []
    tifffile.imwrite(labels, LABELS.astype(np.uint32))
    for budget in ((), ("--memory-mb", "4000"), ("--memory-mb", "50")):
        _, said = measure(image, labels, "--workers", "2", *budget)
        tables.append(image.with_name("out.parquet").read_bytes())
        assert ("--memory-mb 50: measure takes about" in " ".join(said)) == (budget == ("--memory-mb", "50"))
    assert tables[0] == tables[1] == tables[2]
