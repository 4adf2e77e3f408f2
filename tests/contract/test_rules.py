"""Every rule is one `cellseg` command, says all that a machine must know of it, and knows nothing of the package."""

from __future__ import annotations

import re
from textwrap import dedent, indent

import pytest
from contract.source import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / "workflows").glob("*.smk"))
RULES = {
    match[1]: match[2]
    for path in WORKFLOWS
    for match in re.finditer(r"^rule (\w+):\n((?:    .*\n|\n)+)", path.read_text(encoding="utf-8") + "\n", re.M)
}
# Rules made in a loop have their name inside: look_1, look_2 ...
RULES |= {
    match[2]: indent(dedent(match[3]), "    ")
    for path in WORKFLOWS
    for match in re.finditer(
        r"^( +)rule:\n +name:\s+f\"(\w+)_\{number\}\"\n((?:\1    .*\n|\n)+)",
        path.read_text(encoding="utf-8") + "\n",
        re.M,
    )
}
each_rule = pytest.mark.parametrize("name", RULES)


def directive(rule: str, name: str) -> str:
    match = re.search(rf"^    {name}:(.*(?:\n        .*)*)", RULES[rule], re.M)
    return match[1] if match else ""


def test_rules_are_found() -> None:
    chain = {"preprocess", "segment", "measure", "reference", "classify", "tables", "overlay", "summary", "check"}
    assert chain | {"look", "judge"} <= set(RULES)


@each_rule
@pytest.mark.parametrize("name_of", ["input", "output", "log", "benchmark", "threads", "resources", "conda", "shell"])
def test_rule_has(name: str, name_of: str) -> None:
    assert directive(name, name_of).strip(), f"rule {name} has no {name_of}:"


@each_rule
def test_rule_is_one_command_with_its_log(name: str) -> None:
    command = "".join(re.findall(r'"(.*)"', directive(name, "shell")))
    assert command.startswith("(set -x; cellseg "), f"rule {name}: {command}"
    assert command.endswith(") > {log:q} 2>&1"), f"rule {name}: {command}"
    assert command.count("cellseg ") == 1
    assert not re.search(r"^    (run|script|notebook|wrapper):", RULES[name], re.M)


@each_rule
def test_rule_names_inputs_and_outputs(name: str) -> None:
    for kind in ("input", "output"):
        for line in directive(name, kind).strip().splitlines():
            assert re.match(r"\w+=|touch\(", line.strip()), f"rule {name}: {kind} {line.strip()!r} has no name"


@each_rule
def test_memory_grows_and_time_is_bounded(name: str) -> None:
    resources, by_tiles = directive(name, "resources"), "--memory-mb" in directive(name, "shell")
    assert ("mem_mb=memory_of_tiles(" if by_tiles else "mem_mb=more_memory(") in resources
    assert "runtime=" in resources
    if by_tiles:
        assert "shrunk=shrunk" in resources and directive(name, "retries").strip() == "2"
        assert "--memory-mb $(({resources.mem_mb} / {resources.shrunk}))" in directive(name, "shell")


def test_what_works_by_tiles_is_cut_to_its_memory() -> None:
    by_tiles = {name for name in RULES if "--memory-mb" in directive(name, "shell")}
    assert by_tiles >= {"preprocess", "segment", "tissue", "measure", "polygons", "integrity", "look", "judge"}


@each_rule
def test_paths_are_quoted(name: str) -> None:
    for field in re.findall(r"\{((?:input|output|log|wildcards)[^}]*)\}", directive(name, "shell")):
        assert field.endswith(":q"), f"rule {name}: {{{field}}} breaks on a path with spaces"


@pytest.mark.parametrize("path", [REPOSITORY / "Snakefile", *WORKFLOWS], ids=lambda path: path.name)
def test_workflow_never_imports_the_package(path) -> None:
    assert not re.search(r"^\s*(import cellseg|from cellseg)", path.read_text(encoding="utf-8"), re.M)
