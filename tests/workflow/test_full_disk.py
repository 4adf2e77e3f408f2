"""A disk that is full, or takes no large file: said with its cure, no slide blamed; with room, the undisturbed bytes.

A limit on the size of files (as `ulimit -f` sets it) is met by the large ones alone; a tiny file system by all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import tifffile
from fields import he_field
from workflow.project import REPOSITORY, TIMES, Project, files_of

from cellseg.stages.outcome import read_failure

pytestmark = pytest.mark.slow
SAMPLES = {"small": "test", "cut": "test", "large": "test"}
TOGETHER = ("--config", "compute={samples_per_job: 2}")
SMALL_PX, LARGE_PX = 64, 512
KB = 1024
LIMIT = 1024 * KB
"""What the small slide leaves stays below, and of the large one all that is made before the overlay."""


class Undisturbed(NamedTuple):
    """What a run leaves on a disk with room, by name."""

    project: Project
    files: dict[str, bytes]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    project = project_in(tmp_path_factory.mktemp("room"))
    done = project.snakemake(*TOGETHER)
    assert done.returncode == 1, done.stdout  # of the slide that is cut off
    return Undisturbed(project, results_of(project))


def project_in(folder: Path) -> Project:
    """A small slide, one that is cut off, and a larger one, whose samples are in jobs of two."""
    project = Project(folder / "my project")
    for name, side in (("small", SMALL_PX), ("large", LARGE_PX)):
        field = he_field(shape=(side, side), seed=3)
        tifffile.imwrite(project.folder / "images" / f"{name}.tif", field.pixels, photometric="rgb")
    project.truncated_image("cut")
    project.sheet(SAMPLES)
    return project


def results_of(project: Project) -> dict[str, bytes]:
    found = files_of(project.folder / "results")
    return {name: content for name, content in found.items() if not name.startswith(TIMES)}


def limited(command: list[str], limit: int, **options) -> subprocess.CompletedProcess[str]:
    """Run a command that may write no file of more than `limit` bytes, and whose children may not either."""
    return subprocess.run(
        ["bash", "-c", f'ulimit -f {limit // KB}; exec "$@"', "-", *command], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=300, check=False, **options,
    )  # fmt: skip


def check_large_one_is_not_blamed(project: Project) -> None:
    """No file stands for a failure of the large slide, and none of its files, or of the small one's, is half there."""
    found = files_of(project.folder / "results")
    assert [name for name in found if ".tmp-" in name] == []
    large = [path for path in project.sample("large").rglob("*") if path.is_file()]
    assert [path for path in large if read_failure(path) is not None] == []


def test_workflow_fails_the_job_and_ends_with_the_undisturbed_bytes(undisturbed, tmp_path) -> None:
    project = project_in(tmp_path)
    done = limited(project.command(*TOGETHER), LIMIT, cwd=project.folder)
    assert done.returncode == 1
    ledger = project.ledger()
    assert {name: row["outcome"] for name, row in ledger.items()} == {
        "small": "done",
        "cut": "failed",
        "large": "failed",
    }
    assert "truncated" in ledger["cut"]["reason"]
    assert ledger["large"]["stage"] == "overlay"
    for words in ("samples/large/overlay.png", "File too large", "cannot be written", "ulimit -f"):
        assert words in ledger["large"]["reason"], ledger["large"]
    check_large_one_is_not_blamed(project)
    for name, content in files_of(project.sample("small")).items():
        assert content == undisturbed.files[f"samples/small/{name}"]
    done = project.snakemake(*TOGETHER)
    assert project.ledger()["large"]["outcome"] == "done", done.stdout
    assert results_of(project) == undisturbed.files


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Project, Path]]:
    """A project whose results lie on a disk of 1 MB."""
    project = project_in(tmp_path)
    disk = project.folder / "results"
    disk.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if not made or made.returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield project, disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_workflow_on_a_full_disk_goes_on_once_there_is_room(undisturbed, small_disk) -> None:
    project, disk = small_disk
    done = project.snakemake(*TOGETHER)
    assert done.returncode == 1
    said = done.stdout + "".join(path.read_text() for path in (disk / "logs").rglob("*.log"))
    assert "No space left on device" in said and "make room" in said
    check_large_one_is_not_blamed(project)
    if (disk / "slides.tsv").exists():
        assert project.ledger()["large"]["outcome"] == "failed"
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
    done = project.snakemake(*TOGETHER)
    assert project.ledger()["large"]["outcome"] == "done", done.stdout
    assert results_of(project) == undisturbed.files


# Single commands; {in} holds the large slide's results, {out} is a folder of their own.
RECIPE = ("--recipe", "{in}/segment/recipe.json")
LABELS, CELLS = "{in}/segment/labels.ome.tif", "{in}/cells.parquet"
COMMANDS = {
    "preprocess": ("preprocess", "{image}", "-o", "{out}", "--mpp", "0.5"),
    "segment": ("segment", "{image}", "-o", "{out}/labels.ome.tif", *RECIPE),
    "measure": ("measure", "{image}", LABELS, "-o", "{out}/m.parquet", *RECIPE),
    "tables": ("tables", "{in}/measure/measurements.parquet", "{in}/classify/verdicts.parquet", "-o", "{out}"),
    "overlay": ("overlay", "{image}", LABELS, CELLS, "-o", "{out}", *RECIPE),
    "polygons": ("polygons", LABELS, CELLS, "-o", "{out}/cells.geojson.gz"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_command_says_which_file_and_why_and_leaves_no_half_one(undisturbed, tmp_path, name) -> None:
    out = tmp_path / "out"
    places = {
        "{image}": undisturbed.project.folder / "images" / "large.tif",
        "{in}": undisturbed.project.sample("large"), "{out}": out,
    }  # fmt: skip
    words = [sys.executable, "-m", "cellseg", *COMMANDS[name], "--sample", "large", "--placeholder"]
    for key, path in places.items():
        words = [word.replace(key, str(path)) for word in words]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = limited(words, 8 * KB, env=environment)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stdout
    assert f"cellseg: error: {out}" in done.stdout and "cannot be written (File too large)" in done.stdout
    assert "ulimit -f" in done.stdout
    left = files_of(out) if out.exists() else {}
    assert [path for path in left if ".tmp-" in path or read_failure(out / path)] == []
    finished = {
        (path.name, path.read_bytes()) for path in undisturbed.project.sample("large").rglob("*") if path.is_file()
    }
    assert {(Path(path).name, content) for path, content in left.items()} <= finished
