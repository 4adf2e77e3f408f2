"""The profiles of clusters on a SLURM node of this machine: jobs that are killed change no byte of the results."""

from __future__ import annotations

import os
import shutil
import signal
import string
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from workflow.project import SNAKEMAKE, TIMES, Project, files_of

NEEDED = ("slurmctld", "slurmd", "sbatch", "munged")
# daemons lie in sbin, which not every shell looks through
MISSING = [
    name for name in NEEDED if shutil.which(name, path=f"{os.defpath}:/usr/sbin:/sbin:{os.environ['PATH']}") is None
]
WHY_NOT = f"{', '.join(MISSING)} not installed" if MISSING else "not root" if os.geteuid() else ""
BLANK = set(sys.executable) & set(string.whitespace)
CELLSEG = SNAKEMAKE.with_name("cellseg")
NODE = Path(__file__).with_name("slurm_node.sh")
SAMPLES = {"test_1": "test"}  # one: within a group, each job of each sample takes seconds to start
DEADLINE_S = 240

pytestmark = [
    pytest.mark.slow,
    pytest.mark.slurm,
    pytest.mark.xdist_group("slurm"),
    pytest.mark.skipif(bool(WHY_NOT), reason=f"no SLURM here: {WHY_NOT}; see .ci/install-slurm"),
]
# snakemake does not quote Python's path in the scripts of jobs
quoted = pytest.mark.skipif(bool(BLANK), reason=f"{sys.executable} has a blank, with which no job can be sent")
# What a lab edits of a profile, and no waiting for a slow file system.
LOCAL = ("--cores", "2", "--latency-wait", "5")
PARTITION = ("--default-resources", "slurm_partition=debug", "mem_mb=2000", "runtime=60", "in_a_job=1")
SHORT = ("classify", "tables", "overlay", "polygons", "integrity")
# Two jobs, since every submission takes seconds.
GROUPS = ("--groups", "preprocess=look", "segment=look", "measure=look", *[f"{rule}=judge" for rule in SHORT])


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A node that waits for jobs; it ends with the pipe to it, so also when this process is killed."""
    folder = tmp_path_factory.mktemp("slurm")
    running = subprocess.Popen([NODE, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert running.stdin and running.stdout
    try:
        if (said := running.stdout.readline().strip()) != "ready":
            if "another cluster" in said:
                pytest.skip(said)
            pytest.fail(f"no SLURM node: {said or 'it said nothing'}")
        yield folder
    finally:
        running.stdin.close()
        running.wait(60)
        running.stdout.close()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project after an undisturbed run without a cluster."""
    project = Project(tmp_path_factory.mktemp("local") / "my project")
    for seed, name in enumerate(SAMPLES):
        project.image(name, seed=seed)
    project.sheet(SAMPLES)
    done = project.snakemake("--quiet")
    assert done.returncode == 0, done.stdout
    return project


@pytest.fixture
def project(local: Project, tmp_path: Path) -> Project:
    """The same before any run."""
    project = Project(tmp_path / "my project")
    shutil.copytree(local.folder / "images", project.folder / "images", dirs_exist_ok=True)
    project.sheet(SAMPLES)
    return project


class Submission:
    """A run that submits jobs, and what happens to it."""

    def __init__(self, project: Project, *arguments: str) -> None:
        self.project = project
        self.log = project.folder / "run.log"
        command = [part for part in project.command(*arguments) if part]
        del command[command.index("--cores") : command.index("--cores") + 2]  # the first, which is for one machine
        with self.log.open("w") as stream:
            self.running = subprocess.Popen(
                command, cwd=project.folder, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait_for(self, what, *, said: str) -> object:
        """What `what` returns once that is true, as long as the run runs."""
        deadline = time.monotonic() + DEADLINE_S
        while self.running.poll() is None and time.monotonic() < deadline:
            if found := what():
                return found
            time.sleep(0.05)
        pytest.fail(f"{said} never came:\n{self.log.read_text()}")

    def finish(self) -> str:
        """What it said, when it ended well."""
        try:
            status = self.running.wait(DEADLINE_S)
        finally:
            self.stop()
        said = self.log.read_text()
        assert status == 0, said
        return said

    def stop(self) -> None:
        """Kill it where it still runs; snakemake waits for its jobs on SIGTERM."""
        if self.running.poll() is None:
            os.killpg(self.running.pid, signal.SIGKILL)
            self.running.wait()


def running_jobs(what: str = "%i") -> list[str]:
    """SLURM's words on each of the jobs that run; by default its number."""
    command = ["squeue", "-h", "-t", "running", "-o", what]
    return subprocess.run(command, capture_output=True, text=True, timeout=30).stdout.splitlines()


def processes_of(folder: Path, stages: tuple[str, ...]) -> list[int]:
    """The processes of `cellseg STAGE` that work in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            here = (path / "cwd").resolve() == folder.resolve()
        except OSError:
            continue
        if here and len(words) > 2 and words[1].endswith(b"/cellseg") and words[2].decode() in stages:
            found.append(int(path.name))
    return found


def results_of(project: Project) -> dict[str, bytes]:
    """All results but those that hold times."""
    return {
        name: content for name, content in files_of(project.folder / "results").items() if not name.startswith(TIMES)
    }


@quoted
def test_run_whose_jobs_are_cancelled_and_killed_ends_with_the_bytes_of_a_local_run(node, local, project) -> None:
    run = Submission(
        project, "--workflow-profile", "slurm", *LOCAL, *PARTITION, *GROUPS,
        "--slurm-init-seconds-before-status-checks", "2", "--slurm-keep-successful-logs",
    )  # fmt: skip
    try:
        recipe = project.sample("test_1") / "preprocess" / "recipe.json"
        run.wait_for(recipe.exists, said="the recipe")
        (cancelled,) = running_jobs()
        subprocess.run(["scancel", cancelled], check=True, timeout=30)
        victims = run.wait_for(lambda: processes_of(project.folder, SHORT), said="a job of the second half")
        asked = running_jobs("%C %l")
        os.kill(victims[0], signal.SIGKILL)
        said = run.finish()
    finally:
        run.stop()
    first, second = said.split("Trying to restart job")
    assert "runtime=60," in first and "runtime=120," in second, said
    assert said.count("has been submitted with SLURM jobid") == 3, said
    assert asked == ["1 1:00:00"], "five short rules one after the other: the cores of one, the time of all"
    judge = next(project.folder.glob(".snakemake/slurm_logs/group_judge*/*.log")).read_text(errors="replace")
    assert "Trying to restart job" in judge, judge
    assert results_of(project) == results_of(local)
    assert {row["outcome"] for row in project.ledger().values()} == {"done"}


@quoted
def test_generic_cluster_ends_the_demo_after_a_job_is_cancelled(node, tmp_path: Path) -> None:
    project = Project(tmp_path / "my project")
    subprocess.run([CELLSEG, "demo", project.folder], check=True, capture_output=True, timeout=60)
    # Without a reference there is a submission less to wait for.
    together = ("--config", "compute={samples_per_job: 3}", "classify={reference: {enabled: false}}")
    run = Submission(
        project, "--workflow-profile", "cluster", *LOCAL, "--seconds-between-status-checks", "2", *together,
        "--default-resources", "queue=debug", "mem_mb=2000", "runtime=60", "in_a_job=1",
    )  # fmt: skip
    try:
        run.wait_for((project.folder / "results" / "logs" / "look" / "1.log").exists, said="the first job")
        (cancelled,) = running_jobs()
        subprocess.run(["scancel", cancelled], check=True, timeout=30)
        said = run.finish()
    finally:
        run.stop()
    assert said.count("Trying to restart job") == 1, said
    assert said.count("with external jobid") == 3, said
    assert {row["outcome"] for row in project.ledger().values()} == {"done"}
    on_node = results_of(project)
    shutil.rmtree(project.folder / "results")
    local = project.snakemake(*together)
    assert local.returncode == 0, local.stdout
    assert results_of(project) == on_node
