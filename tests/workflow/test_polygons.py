"""The workflow's polygons and its check that they, the tables and the label images agree."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from polygon_files import features_drawn, read_plainly
from workflow.project import EVERY_TABLE, SIDE_PX, Project, files_of

from cellseg.io.labels import open_labels
from cellseg.types import Window

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Two samples after their run. Tests that change them work on a copy."""
    project = Project(tmp_path_factory.mktemp("polygons") / "my project")
    for seed, name in enumerate(("a", "b")):
        project.image(name, seed=seed)
    project.sheet({"a": "test", "b": "test"})
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    return project


@pytest.fixture
def copy(finished: Project, tmp_path) -> Project:
    return finished.copy(tmp_path / "my project")


def test_polygons_are_the_label_image_and_everything_agrees(finished: Project) -> None:
    for name in ("a", "b"):
        folder = finished.sample(name)
        features = read_plainly(folder / "cells.geojson.gz")
        with open_labels(folder / "segment" / "labels.ome.tif") as labels:
            assert np.array_equal(
                features_drawn(features, (SIDE_PX, SIDE_PX)), labels.read(Window(0, SIDE_PX, 0, SIDE_PX))
            )
        found = json.loads((folder / "integrity.json").read_text())
        rows = {table: len((folder / table).read_text().splitlines()) - 1 for table in EVERY_TABLE}
        assert found["verdict"] == "agree" and found["counts"]["polygons"] == len(features) == rows["cells.csv"] > 20
        assert {f"{table}.csv": n for table, n in found["counts"]["csv"].items()} == rows


def test_another_tolerance_makes_new_polygons_and_nothing_else(copy: Project) -> None:
    planned = copy.planned(*copy.settings("polygons: {outline_tolerance_px: 0}\n"))
    assert planned == {"polygons": 2, "integrity": 2, "summary": 1, "provenance": 1, "check": 1}
    # what goes along with the outlines is not what is checked, but it is in the file that is
    planned = copy.planned(*copy.settings("polygons: {features: [area_um2]}\n"))
    assert planned == {"polygons": 2, "integrity": 2, "summary": 1, "provenance": 1, "check": 1}


def test_switched_off_there_are_none_and_the_rest_is_checked(copy: Project) -> None:
    for name in ("a", "b"):
        (copy.sample(name) / "cells.geojson.gz").unlink()
    done = copy.snakemake(*copy.settings("polygons: {enabled: false}\n"))
    assert done.returncode == 0, done.stdout
    assert {row["outcome"] for row in copy.ledger().values()} == {"done"}
    for name in ("a", "b"):
        assert not (copy.sample(name) / "cells.geojson.gz").exists()
        found = json.loads((copy.sample(name) / "integrity.json").read_text())
        assert found["verdict"] == "agree" and "polygons" not in found["counts"]


def test_a_file_that_was_tampered_with_fails_its_sample_alone(copy: Project) -> None:
    path = copy.sample("a") / "cells.geojson.gz"
    before = files_of(copy.sample("b"))
    found = json.loads(gzip.decompress(path.read_bytes()))
    lost = found["features"].pop(3)["properties"]["name"]
    path.write_bytes(gzip.compress(json.dumps(found).encode()))
    done = copy.snakemake()
    assert done.returncode != 0
    ledger = copy.ledger()
    assert (ledger["a"]["outcome"], ledger["a"]["stage"]) == ("failed", "integrity"), done.stdout
    assert f"every cell of the label image is in it: not so for 1 cells (cell_id {lost})" in ledger["a"]["reason"]
    assert "cells.geojson.gz" in ledger["a"]["reason"] and ledger["b"]["outcome"] == "done"
    assert files_of(copy.sample("b")) == before
    # the cure
    path.unlink()
    done = copy.snakemake()
    assert done.returncode == 0, done.stdout
    assert copy.ledger()["a"]["outcome"] == "done"
