"""What the README and the docs tell people to type exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main
from contract.source import REPOSITORY

from cellseg.cli import app

PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def commands(page: Path) -> list[str]:
    """The lines of the page's bash blocks, continued lines joined, comments off."""
    blocks = re.findall(r"^```(?:bash|sh|console)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := line.split(" #")[0].strip().removeprefix("$ ")) and words[0] != "#"]


def cases(program: str) -> list[pytest.param]:
    found = [(page, line) for page in PAGES for line in commands(page) if re.search(rf"(^|/){program} ", line)]
    return [pytest.param(line, id=f"{page.name}: {line}") for page, line in found]


@pytest.mark.parametrize("line", cases("make"))
def test_make_target_exists(line: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(), re.M))
    assert {word for word in shlex.split(line)[1:] if "=" not in word} <= targets


@pytest.mark.parametrize("line", cases("cellseg"))
def test_cellseg_command_is_understood(line: str) -> None:
    words = shlex.split(line)
    words = words[next(i for i, word in enumerate(words) if word.split("/")[-1] == "cellseg") + 1 :]
    command = typer.main.get_command(app)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"no command {words[0]!r}: {sorted(command.commands)}"
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert used <= known | {"--help"}


def test_readme_opens_with_the_two_commands() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert {"make run", "make test"} <= set(commands(REPOSITORY / "README.md"))
    assert text.index("make run") < text.index("snakemake --")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!http|#|mailto)([^)#]+)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]
