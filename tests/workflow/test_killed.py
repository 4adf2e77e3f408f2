"""Killed at any moment and started again: the bytes of an undisturbed run, nothing left over, a ledger that is true.

`kill -9` of everything that a run has started, as when a node is lost; nothing is cleaned by hand before it goes on.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest
from workflow.project import REPOSITORY, TIMES, Project, files_of

from cellseg.stages.outcome import first_failure
from cellseg.stages.results import STAGE_OUTPUTS, stage_outputs

pytestmark = pytest.mark.slow
SAMPLES = {"healthy": "reference", "test": "test"}
TOGETHER = ("--config", "compute={samples_per_job: 2}")
SHARDED = ("--config", "compute={shards: 2, tile_px: 64}")
SEED, LONGEST_S = 20, 20.0
N_STAGE_BY_STAGE, N_TOGETHER, N_SHARDED, N_SUMMARY, N_REPLACED = 8, 4, 4, 3, 1


class Undisturbed(NamedTuple):
    """What a run leaves that nobody disturbs, by name, and the seconds that it takes (without compiling loops)."""

    project: Project
    files: dict[str, bytes]
    seconds: float


def results_of(project: Project) -> dict[str, bytes]:
    """All results but those that hold times, and but the settings of how work is cut, which change no result."""
    found = {name: content for name, content in files_of(project.folder / "results").items() if timeless(name)}
    if config := found.get("provenance/config.json"):
        found["provenance/config.json"] = json.dumps({**json.loads(config), "compute": None}).encode()
    return found


def timeless(name: str) -> bool:
    return not name.startswith(TIMES)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    project = project_in(tmp_path_factory.mktemp("undisturbed"))
    start = time.monotonic()
    done = project.snakemake(*TOGETHER)
    assert done.returncode == 0, done.stdout
    return Undisturbed(project, results_of(project), min(time.monotonic() - start, LONGEST_S))


def project_in(folder: Path) -> Project:
    project = Project(folder / "my project")
    for seed, name in enumerate(SAMPLES):
        project.image(name, seed=seed)
    project.sheet(SAMPLES)
    return project


def kill_after(project: Project, arguments: tuple[str, ...], seconds: float, *, sign: Path | None = None) -> bool:
    """Start the workflow and kill all of it so long after `sign` is there; whether it was still running."""
    (project.folder / "tmp").mkdir(exist_ok=True)
    running = subprocess.Popen(
        project.command(*arguments), cwd=project.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, env=os.environ | {"TMPDIR": str(project.folder / "tmp")},
    )  # fmt: skip
    while sign and not sign.exists() and running.poll() is None:
        time.sleep(0.002)
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.wait(seconds)
    was_running = running.poll() is None
    kill_all(running)
    return was_running


def kill_all(running: subprocess.Popen[bytes]) -> None:
    """Kill a process that leads a session, and every other of that session."""
    if running.poll() is None:
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    deadline = time.monotonic() + 20
    while left := [process for process in processes_of(running.pid) if process != running.pid]:
        for process in left:
            os.kill(process, signal.SIGKILL)
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def processes_of(session: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        try:
            state = (folder / "stat").read_text().rsplit(")", 1)[1].split() if folder.name.isdigit() else []
        except (OSError, IndexError):
            continue
        if state and int(state[3]) == session and state[0] not in "ZX":
            found.append(int(folder.name))
    return found


def check_ledger(project: Project) -> None:
    """A ledger is not there, or what it says holds of the files."""
    results = project.folder / "results"
    if not (results / "slides.tsv").exists():
        return
    rows = project.ledger()
    assert list(rows) == list(SAMPLES)
    for name, row in rows.items():
        outputs = [output for stage in STAGE_OUTPUTS for output in stage_outputs(results, name, stage)]
        if row["outcome"] == "done":
            assert [output.name for output in outputs if not output.is_file()] == [], row
            assert first_failure(outputs) is None
            assert pq.read_metadata(results / "samples" / name / "cells.parquet").num_rows == int(row["n_cells"])
        else:
            assert row["outcome"] == "failed"
            assert first_failure(outputs) is not None or not all(output.is_file() for output in outputs), row


def check_files(project: Project, undisturbed: Undisturbed) -> None:
    """Every file that has its name has all of its bytes; what shards hand on goes when it is put together."""
    for name, content in results_of(project).items():
        if not Path(name).name.startswith(".tmp-") and Path(name).suffix != ".arrow":
            assert content == undisturbed.files[name], name


def check_finished(project: Project, undisturbed: Undisturbed, *arguments: str) -> None:
    done = project.snakemake(*arguments)
    assert done.returncode == 0, done.stdout
    finished = results_of(project)
    assert sorted(finished) == sorted(undisturbed.files)
    assert [name for name, content in finished.items() if content != undisturbed.files[name]] == []
    check_ledger(project)
    assert "Nothing to be done" in project.snakemake(*arguments).stdout
    assert [path for path in (project.folder / "tmp").glob("*") if "cellseg" in path.name] == []


def lifetimes(n: int, longest: float) -> list[float]:
    """Seconds from start to end of so many runs, spread evenly over what is possible, in random order."""
    draw = random.Random(SEED)
    times = [longest * (i + draw.random()) / n for i in range(n)]
    draw.shuffle(times)
    return times


@pytest.mark.parametrize(
    ("arguments", "n_kills", "share"),
    [((), N_STAGE_BY_STAGE, 0.45), (TOGETHER, N_TOGETHER, 0.6), (SHARDED, N_SHARDED, 0.8)],
    ids=["stage_by_stage", "many_samples_a_job", "many_jobs_a_sample"],
)  # fmt: skip
def test_killed_over_and_over_it_ends_as_if_nothing_had_been(undisturbed, tmp_path, arguments, n_kills, share) -> None:
    project, kills = project_in(tmp_path / "0"), 0
    times = lifetimes(n_kills, share * undisturbed.seconds)
    for number in itertools.count(1):
        was_running = kill_after(project, arguments, times[(number - 1) % n_kills])
        kills += was_running
        check_files(project, undisturbed)
        check_ledger(project)
        if kills == n_kills or not was_running:
            check_finished(project, undisturbed, *arguments)
            if kills == n_kills:
                return
            project = project_in(tmp_path / str(number))  # it got to its end between two kills: from the start again


def test_killed_in_the_summary(undisturbed, tmp_path) -> None:
    project = undisturbed.project.copy(tmp_path / "my project")
    log = project.folder / "results" / "logs" / "summary.log"
    with (project.folder / "samples.tsv").open("a") as sheet:
        sheet.write("# a comment, for which the summary is made again\n")
    for seconds in lifetimes(N_SUMMARY, 0.04 * undisturbed.seconds):
        log.unlink(missing_ok=True)
        assert kill_after(project, TOGETHER, seconds, sign=log)
        check_files(project, undisturbed)
        check_ledger(project)
    check_finished(project, undisturbed, *TOGETHER)


def test_ledger_of_an_earlier_run_does_not_outlive_the_results_that_it_tells_of(undisturbed, tmp_path) -> None:
    project = undisturbed.project.copy(tmp_path / "my project")
    image = project.folder / "images" / "test.tif"
    whole = image.read_bytes()
    assert (project.folder / "results" / "slides.tsv").exists()
    project.image("test", seed=9)
    log = project.folder / "results" / "logs" / "segment" / "test.log"
    for _ in range(N_REPLACED):
        log.unlink(missing_ok=True)
        assert kill_after(project, TOGETHER, 0.1, sign=log)
        check_ledger(project)
        assert not any(
            (project.folder / "results" / name).exists() for name in ("slides.tsv", "ro-crate-metadata.json")
        )
    image.write_bytes(whole)
    check_finished(project, undisturbed, *TOGETHER)


# Single commands, killed while they write; {out} is a folder of their own, {in} one with what they need.
IMAGE, RECIPE = "{images}/test.tif", ("--recipe", "{in}/segment/recipe.json")
COMMANDS = {
    "preprocess": ("preprocess", IMAGE, "-o", "{out}", "--stain", "he", "--mpp", "0.5"),
    "segment": ("segment", IMAGE, "-o", "{out}/labels.ome.tif", "--stain", "he", "--mpp", "0.5", "--tile-px", "64"),
    "measure": ("measure", IMAGE, "{in}/cells.geojson.gz", "-o", "{out}/m.parquet", *RECIPE),
    "tables": ("tables", "{in}/measure/measurements.parquet", "{in}/classify/verdicts.parquet", "-o", "{out}"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_command_killed_while_it_writes_leaves_no_half_file_and_the_next_one_cleans_up(
    undisturbed, tmp_path, name
) -> None:
    given, out = undisturbed.project.sample("test"), tmp_path / "out"
    places = {"{images}": undisturbed.project.folder / "images", "{in}": given, "{out}": out}
    words = list(COMMANDS[name])
    for key, path in places.items():
        words = [word.replace(key, str(path)) for word in words]
    command = [sys.executable, "-m", "cellseg", *words]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "TMPDIR": str(tmp_path)}
    killed_while_writing(command, out, environment)
    left = files_of(out)
    assert any(Path(path).parts[0].startswith(".tmp-") for path in left), "killed too late to see it write"
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    whole = files_of(out)
    assert [path for path in whole if ".tmp-" in path] == []
    assert {path: content for path, content in left.items() if not path.startswith(".tmp-")}.items() <= whole.items()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def killed_while_writing(command: list[str], out: Path, environment: dict[str, str]) -> None:
    """Run a command until a temporary file is there, and kill it; over again where it was too quick."""
    for _ in range(5):
        running = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        while running.poll() is None:
            if is_written(out):
                break
        kill_all(running)
        if is_written(out):
            return


def is_written(out: Path) -> bool:
    return any(path.is_file() for path in out.glob(".tmp-*"))
