"""The workflow with tissue maps: by a network, by a person's drawing, and switched off again."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from segnets import TISSUES, write_tissue_weights
from workflow.project import SIDE_PX, Project

from cellseg.io.class_map import open_class_map
from cellseg.stages.results import MapFiles
from cellseg.types import Window

pytestmark = pytest.mark.slow

ON = "tissue: {enabled: true, weights: own.safetensors, level: 1, window_px: 64, max_distance_um: 20}\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "my project")
    for seed, name in enumerate(("seen", "drawn", "lost")):
        made.image(name, seed=seed)
    rows = [("seen", ""), ("drawn", "my drawings/drawn.geojson"), ("lost", "my drawings/lost.geojson")]
    lines = [f"{name}\timages/{name}.tif\t0.5\t{drawing}" for name, drawing in rows]
    (made.folder / "samples.tsv").write_text("\n".join(["sample\tpath\tmpp\ttissue", *lines]) + "\n")
    (made.folder / "my drawings").mkdir()
    ring = [[0, 0], [SIDE_PX / 2, 0], [SIDE_PX / 2, SIDE_PX], [0, SIDE_PX], [0, 0]]
    feature = {
        "type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"objectType": "annotation", "classification": {"name": "left half"}},
    }  # fmt: skip
    drawing = {"type": "FeatureCollection", "features": [feature]}
    (made.folder / "my drawings" / "drawn.geojson").write_text(json.dumps(drawing))
    return made


def cells_of(project: Project, name: str) -> dict[str, np.ndarray]:
    table = pq.read_table(project.sample(name) / "cells.parquet")
    return {column: table[column].to_numpy(zero_copy_only=False) for column in table.column_names}


def test_maps_reach_cells_and_summary_and_go_when_switched_off(project: Project) -> None:
    options = project.settings(ON)
    missing = project.snakemake(*options)
    assert missing.returncode == 1 and "tissue.weights own.safetensors: no such file" in missing.stdout
    write_tissue_weights(project.folder / "own.safetensors")
    done = project.snakemake(*options)
    ledger = project.ledger()
    assert {name: row["outcome"] for name, row in ledger.items()} == {
        "seen": "done", "drawn": "done", "lost": "failed",
    }, done.stdout  # fmt: skip
    assert ledger["lost"]["stage"] == "tissue" and "lost.geojson" in ledger["lost"]["reason"]
    _check_seen(project)
    _check_drawn(project)
    with (project.folder / "results" / "summary_tissue.csv").open(newline="") as stream:
        rows = [(row["sample"], row["tissue"]) for row in csv.DictReader(stream)]
    assert {("seen", "stroma"), ("seen", "gland"), ("drawn", "left half")} <= set(rows)
    # a drawing that comes late is that sample's work alone; other weights leave drawn maps as they are
    assert project.planned(*options)["tissue"] == 1
    write_tissue_weights(project.folder / "own.safetensors", seed=1)
    (project.folder / "my drawings" / "lost.geojson").write_bytes(
        (project.folder / "my drawings" / "drawn.geojson").read_bytes()
    )
    planned = project.planned(*options)
    assert (planned["tissue"], planned["measure"], planned.get("segment", 0)) == (2, 2, 0)
    off = project.snakemake()
    assert off.returncode == 0, off.stdout
    assert {row["outcome"] for row in project.ledger().values()} == {"done"}
    for name in ("seen", "drawn", "lost"):
        cells = cells_of(project, name)
        assert set(cells["tissue"]) == {""} and np.isnan(cells["tissue_probability"]).all()
        assert not [column for column in cells if column.startswith("signed_distance")]
    assert len((project.folder / "results" / "summary_tissue.csv").read_text().splitlines()) == 1


def _check_seen(project: Project) -> None:
    files = MapFiles(project.sample("seen") / "tissue" / "tissue.ome.tif")
    assert all(path.is_file() for path in (*files.always, files.probability))
    cells = cells_of(project, "seen")
    scale = 0.5 / TISSUES.mpp
    with open_class_map(files.map) as classes, open_class_map(files.probability) as probability:
        assert (classes.height, classes.width, classes.names) == (SIDE_PX // 2, SIDE_PX // 2, ("stroma", "gland"))
        whole = Window(0, classes.height, 0, classes.width)
        places = [
            np.floor((cells[f"centroid_{axis}_um"] / 0.5 + 0.5) * scale + 1e-9).astype(int) for axis in ("y", "x")
        ]
        names = np.array(["stroma", "gland"])[classes.read(whole)[tuple(places)]]
        certainty = probability.read(whole)[tuple(places)] / 255
    assert len(names) > 10
    # a centroid on the edge of a pixel may be rounded to either side
    assert (cells["tissue"] == names).mean() > 0.95
    assert (np.abs(cells["tissue_probability"] - certainty) < 0.01).mean() > 0.95
    assert cells["tissue_distance_um"].max() <= 20
    assert {"signed_distance_stroma_um", "signed_distance_gland_um"} <= set(cells)


def _check_drawn(project: Project) -> None:
    files = MapFiles(project.sample("drawn") / "tissue" / "tissue.ome.tif")
    assert all(path.is_file() for path in files.always) and not files.probability.exists()
    cells = cells_of(project, "drawn")
    left = cells["centroid_x_um"] < SIDE_PX / 4
    assert 5 < left.sum() < len(left) - 5
    assert set(cells["tissue"][left]) == {"left half"} and set(cells["tissue"][~left]) == {""}
    assert np.isnan(cells["tissue_probability"]).all()
