"""Jobs go into the container that the settings name; here a stand-in for apptainer notes the image and runs them."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

from workflow.project import Project

STAND_IN = """#!/usr/bin/env bash
if [ "$1" = --version ]; then echo "apptainer version 1.4.0"; exit; fi
while [ $# -gt 4 ]; do shift; done  # IMAGE SHELL -c COMMAND are the last
echo "$@" >> asked.txt
shift
exec "$@"
"""


def test_jobs_run_in_the_image_that_the_settings_name(tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.image("a", seed=1)
    project.sheet({"a": "test"})
    programs = tmp_path / "programs"
    programs.mkdir()
    stand_in = programs / "apptainer"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)
    over = project.settings("compute: {container: /images/cellseg.sif}\n")
    recipe = "results/samples/a/preprocess/recipe.json"
    done = subprocess.run(
        project.command(recipe, *over, "--software-deployment-method", "apptainer"),
        cwd=project.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stdout
    assert (project.folder / recipe).exists()
    asked = (project.folder / "asked.txt").read_text()
    assert asked.startswith("/images/cellseg.sif bash -c") and "cellseg preprocess" in asked
