"""The example of tumour nuclei: what its workflow would run on a folder of tiles, and the groups that it makes."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from workflow.project import REPOSITORY, SNAKEMAKE

EXAMPLE = REPOSITORY / "workflows/tumor_nuclei"
pytestmark = pytest.mark.slow


def run(folder: Path, data: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the workflow in a folder; stdout and stderr together as `stdout`."""
    command = [str(SNAKEMAKE), "-s", str(EXAMPLE / "Snakefile"), "--cores", "1", *more]
    return subprocess.run(
        [*command, "--config", f"data={data}", "results=my results"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        env=os.environ | {"COLUMNS": "200"},
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two tiles, with a label image and another file beside them, in a folder whose name has a space."""
    folder = tmp_path / "my data"
    folder.mkdir()
    for name in ("b_1", "a 2"):
        (folder / f"{name}.png").touch()
        (folder / f"{name}_labels.png").touch()
        (folder / f"{name}_points.csv").write_text("x,y,class\n1,1,tumor\n")
    (folder / "unmarked.png").touch()
    return folder


def test_each_tile_is_a_group(data: Path, tmp_path: Path) -> None:
    done = run(tmp_path, data, "my results/groups.csv")
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "my results/groups.csv").read_text() == "sample,group\na 2,a 2\nb_1,b_1\n"


def test_commands_take_marked_tiles_and_the_settings_of_the_example(data: Path, tmp_path: Path) -> None:
    said = run(tmp_path, data, "-n", "-p").stdout
    lines = {found[1]: found[0] for found in re.finditer(r"\bcellseg ([a-z-]+) .*", said)}
    assert lines.keys() == {"analyze", "label-cells", "train", "evaluate"}, said
    assert "unmarked" not in said
    assert f"'{data}/a 2.png' '{data}/b_1.png' -o 'my results' --stain he --mpp 0.2" in lines["analyze"]
    assert "_labels.png" not in said
    assert f"'{data}/a 2_points.csv' '{data}/b_1_points.csv'" in lines["label-cells"]
    exclude = yaml.safe_load((EXAMPLE / "cellseg.yaml").read_text())["classify"]["exclude"]
    for key, value in exclude.items():
        assert f'"{key}": {value}' in lines["train"].split("--exclude")[1]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, tmp_path / "nowhere")
    assert done.returncode != 0
    assert "Missing input files for rule analyze" in done.stdout
    assert "nowhere" in done.stdout
