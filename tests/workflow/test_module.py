"""Another workflow takes this one in as a Snakemake module, with and without a prefix, and goes on from its tables."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from workflow.project import REPOSITORY, SNAKEMAKE, Project, jobs

DOCS = (REPOSITORY / "docs" / "workflow.md").read_text(encoding="utf-8")
EXAMPLE = re.search(r"```python\n(configfile:.*?)```", DOCS, re.S)[1]
MORE = """

use rule segment from cellseg as cellseg_segment with:
    threads: 2


onstart:
    print("source:", os.environ["CELLSEG_SOURCE"])
"""
SETTINGS = "cellseg: {samples: lab/samples.tsv, results: results, classify: {reference: {enabled: false}}}\n"


def outer(folder: Path, *, prefix: str = "") -> Path:
    """The documented workflow of another's, with its settings; the sheet and its images lie in a folder `lab` of it."""
    lab = Project(folder / "lab")
    lab.image("slide_1", seed=1)
    lab.sheet({"slide_1": "test"})
    (lab.folder / "config.yaml").unlink()  # the module's settings come from the outer workflow alone
    (folder / "config.yaml").write_text(SETTINGS)
    text = EXAMPLE.replace("/path/to/cellseg/Snakefile", str(REPOSITORY / "Snakefile"))
    if prefix:
        text = text.replace('config["cellseg"]', f'config["cellseg"]\n    prefix: "{prefix}"')
        text = text.replace('"results/', f'"{prefix}/results/')
    (folder / "Snakefile").write_text("import os\n" + text + MORE)
    return folder


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(SNAKEMAKE), "--cores", "2", *arguments]
    return subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The outer workflow after its run, its results under a prefix, and what snakemake said."""
    folder = outer(tmp_path_factory.mktemp("outer") / "my workflow", prefix="cells")
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout
    return folder, done.stdout


def test_outer_rule_goes_on_from_the_tables(placed) -> None:
    folder, said = placed
    cells = (folder / "cells" / "results" / "samples" / "slide_1" / "cells.csv").read_text().splitlines()
    assert int((folder / "cells_per_slide.txt").read_text()) == len(cells) - 1 > 20
    assert jobs(said)["cellseg_tables"] == jobs(said)["count"] == 1
    assert "cellseg_overlay" not in jobs(said)  # the outer workflow's own first rule is what is made


def test_images_and_sheet_stay_where_they_are_under_a_prefix(placed) -> None:
    folder, _ = placed
    made = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    assert made == {"Snakefile", "config.yaml", "lab", "cells", "cells_per_slide.txt"}
    planned = snakemake(folder, "-n", "cellseg_all")
    assert planned.returncode == 0, planned.stdout
    assert jobs(planned.stdout)["cellseg_summary"] == 1


def test_package_is_found_beside_its_own_snakefile(placed) -> None:
    assert f"source: {REPOSITORY}" in placed[1]


def test_without_a_prefix_and_with_a_rule_changed(tmp_path: Path) -> None:
    done = snakemake(outer(tmp_path), "-n")
    assert done.returncode == 0, done.stdout
    chain = ["preprocess", "segment", "measure", "classify", "tables"]
    assert jobs(done.stdout) == {f"cellseg_{name}": 1 for name in chain} | {"count": 1}
    assert "threads: 2" in done.stdout.split("rule cellseg_segment:")[1].split("rule ")[0]


def test_faults_of_the_settings_stop_the_outer_workflow(tmp_path: Path) -> None:
    folder = outer(tmp_path)
    (folder / "config.yaml").write_text(SETTINGS.replace("results: results", "reslts: results"))
    done = snakemake(folder, "-n")
    assert done.returncode != 0
    assert "reslts" in done.stdout
