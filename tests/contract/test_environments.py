"""What the conda environment and the container definition name exists, at the versions of constraints.txt."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from contract.source import REPOSITORY
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ENVS = REPOSITORY / "workflows" / "envs"
DEFINITION = (ENVS / "cellseg.def").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^%(\w+)\n(.*?)(?=^%|\Z)", DEFINITION, re.M | re.S))
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pinned() -> dict[str, str]:
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines if "==" in line)}


def test_conda_environment_is_what_constraints_say() -> None:
    made = subprocess.run([sys.executable, REPOSITORY / ".ci" / "pin-env"], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert (ENVS / "cellseg.yaml").read_text(encoding="utf-8") == made.stdout, "run `make docs`"


def test_conda_environment_pins_every_dependency() -> None:
    *tools, pip = yaml.safe_load((ENVS / "cellseg.yaml").read_text(encoding="utf-8"))["dependencies"]
    assert all(re.fullmatch(r"(python|pip) =[\d.]+", tool) for tool in tools)
    versions = dict(line.split(" ==") for line in pip["pip"])
    assert versions.items() <= pinned().items()
    assert {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]} <= set(versions)


def test_container_has_the_python_of_the_conda_environment() -> None:
    tag = re.search(r"^From: python:([\d.]+)-slim-bookworm$", DEFINITION, re.M)[1]
    assert f"- python ={tag}\n" in (ENVS / "cellseg.yaml").read_text(encoding="utf-8")
    assert tuple(map(int, tag.split("."))) >= tuple(map(int, PROJECT["requires-python"].strip(">=").split(".")))


def test_container_copies_what_is_there() -> None:
    pairs = [line.split() for line in SECTIONS["files"].splitlines() if line.strip()]
    assert {source for source, _ in pairs} >= {"Snakefile", "config.yaml", "workflows", "cellseg", "constraints.txt"}
    for source, target in pairs:
        assert (REPOSITORY / source).exists() and target == f"/opt/cellseg/{source}"
    needed = [PROJECT["readme"], *PROJECT["license-files"]]
    assert set(needed) <= {source for source, _ in pairs}, "what pyproject.toml names has to be copied to be installed"


@pytest.mark.parametrize("name", ["post", "environment", "runscript", "test"])
def test_sections_of_the_container_are_sound_shell(name: str) -> None:
    checked = subprocess.run(["bash", "-n"], input=SECTIONS[name], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_commands_and_extras_of_the_container_exist() -> None:
    extras = re.search(r"-c constraints\.txt -e '\.\[([\w,]+)\]'", SECTIONS["post"])[1].split(",")
    assert set(extras) <= set(PROJECT["optional-dependencies"])
    from cellseg.cli import app

    known = {command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands}
    known |= {group.name for group in app.registered_groups}
    named = re.findall(r"^\s+cellseg ([a-z-]+)", SECTIONS["post"] + SECTIONS["test"], re.M)
    assert "warm-up" in named and set(named) - {"--version"} <= known
