"""`cellseg tissue` alone: what it says, where its options go, and what a batch makes of a fault."""

from __future__ import annotations

import json
from pathlib import Path

import fields
import pytest
import tifffile
from segnets import write_tissue_weights
from typer.testing import CliRunner

from cellseg.cli import app
from cellseg.errors import ModelError
from cellseg.io.class_map import open_class_map
from cellseg.stages.outcome import Failure, read_failure
from cellseg.stages.results import MapFiles


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, fields.he_look(fields.blobs((150, 180), seed=0), seed=0), photometric="rgb")
    return path


def test_areas_are_said_one_class_a_line(image: Path, tmp_path: Path) -> None:
    weights, out = write_tissue_weights(tmp_path / "own.safetensors"), tmp_path / "map.ome.tif"
    settings = json.dumps({"weights": "none.safetensors", "level": 2})
    given = ["tissue", str(image), "-o", str(out), "--mpp", "1", "--weights", weights, "--settings", settings]
    done = CliRunner().invoke(app, given, catch_exceptions=False)
    assert done.exit_code == 0
    head, *areas = done.stdout.splitlines()
    assert head == f"{out}: 150 x 180 px of 1 um by the network"
    assert [line.split(":")[0] for line in areas] == ["stroma", "benign", "carcinoma"]
    record = json.loads(MapFiles(out).record.read_text())
    assert areas[0] == (
        f"stroma: {record['areas'][0]['area_mm2']:.4g} mm2, {100 * record['areas'][0]['share']:.1f} % of the map"
    )
    with open_class_map(out) as found:
        assert (found.height, found.width, found.mpp) == (150, 180, 1.0)


def test_a_fault_in_a_batch_stands_in_place_of_the_map(image: Path, tmp_path: Path) -> None:
    out = tmp_path / "tissue" / "tissue.ome.tif"
    given = ["tissue", str(image), "-o", str(out), "--mpp", "1", "--weights", "gone.safetensors"]
    with pytest.raises(ModelError, match=r"gone\.safetensors"):
        CliRunner().invoke(app, given, catch_exceptions=False)
    assert not out.exists()
    done = CliRunner().invoke(app, [*given, "--sample", "S", "--placeholder"], catch_exceptions=False)
    assert done.exit_code == 0
    for path in MapFiles(out).always:
        failure = read_failure(path)
        assert isinstance(failure, Failure) and (failure.sample, failure.stage) == ("S", "tissue")
