"""What cannot work is said at once, all of it, in words; what fails later fails alone and is in the ledger."""

from __future__ import annotations

import subprocess
import sys
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


def test_jobs_are_not_sent_where_the_path_of_python_would_break_them(project: Project, tmp_path: Path) -> None:
    project.image("a")
    project.sheet({"a": "test"})
    (tmp_path / "with blank").symlink_to(sys.prefix)
    python, sent = tmp_path / "with blank" / "bin" / "python", tmp_path / "sent"
    send = ("--executor", "cluster-generic", "--cluster-generic-submit-cmd", f"touch '{sent}'; true", "--jobs", "1")
    done = subprocess.run(
        [python, "-m", "snakemake", *project.command(*send)[1:]], cwd=project.folder, capture_output=True, text=True
    )
    assert done.returncode == 1 and not sent.exists()
    assert f"{python}: jobs on other machines are started by this path" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr


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
