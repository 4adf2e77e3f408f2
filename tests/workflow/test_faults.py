"""What cannot work is said at once, all of it, in words; what fails later fails alone and is in the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest
from workflow.project import Project

from cellseg.stages.outcome import read_failure

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "my project")


def test_all_faults_of_settings_and_sheet_come_in_one_message(project: Project) -> None:
    project.sheet({"a": "test", "=b": "control"})
    text = "segmentation:\n  threshold:\n    smoth_um: 1.0\n    open_um: -3\nmeasures: {}\n"
    done = project.snakemake("-n", *project.settings(text))
    assert done.returncode != 0
    for words in ("segmentation.threshold.smoth_um", "smooth_um", "segmentation.threshold.open_um", "measures"):
        assert words in done.stdout
    for words in ("samples.tsv", "line 3", "=b", "control", "reference"):
        assert words in done.stdout
    assert "Traceback" not in done.stdout


def test_no_sheet_says_how_to_make_one(project: Project) -> None:
    done = project.snakemake("-n")
    assert done.returncode != 0
    assert "samples.tsv" in done.stdout
    assert "cellseg init" in done.stdout


def test_missing_image_fails_alone(project: Project) -> None:
    project.image("there")
    project.sheet({"there": "test", "away": "test"})
    assert project.planned()["preprocess"] == 2
    recipes = [f"results/samples/{name}/preprocess/recipe.json" for name in ("there", "away")]
    done = project.snakemake(*recipes)
    assert done.returncode == 0, done.stdout
    there, away = (read_failure(project.folder / recipe) for recipe in recipes)
    assert there is None
    assert away is not None
    assert (away.sample, away.stage) == ("away", "preprocess")
    assert "away.tif" in away.reason


def test_output_that_cannot_be_written_is_in_the_ledger_and_the_others_finish(project: Project) -> None:
    for seed, name in enumerate(("a", "b")):
        project.image(name, seed=seed)
    project.sheet({"a": "test", "b": "test"})
    blocked = project.sample("a") / "segment" / "labels.json"
    (blocked / "in the way").mkdir(parents=True)
    done = project.snakemake()
    assert done.returncode != 0
    ledger = project.ledger()
    assert ledger["b"]["outcome"] == "done"
    assert (ledger["a"]["outcome"], ledger["a"]["stage"]) == ("failed", "segment")
    assert "labels.json" in ledger["a"]["reason"]


def test_results_folder_that_cannot_be_made_is_said_once(project: Project) -> None:
    project.image("a")
    project.sheet({"a": "test"})
    (project.folder / "file").write_text("in the way")
    done = project.snakemake("--config", "results=file/results")
    assert done.returncode != 0
    assert "file/results" in done.stdout
    assert "Traceback" not in done.stdout
