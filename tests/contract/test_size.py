"""Small and flat, named for what it holds, typed and documented."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from contract.source import REPOSITORY, body_lines, functions, modules, relative, tree

by_module = pytest.mark.parametrize("module", modules(), ids=relative)
SLIDE_PROTOCOL = {"read", "close", "path"}
"""Documented once, in `cellseg.types.Slide`; its readers need not repeat it."""


@by_module
def test_file_is_under_400_lines(module: Path) -> None:
    assert len(module.read_text(encoding="utf-8").splitlines()) <= 400


@by_module
def test_functions_are_under_60_lines(module: Path) -> None:
    long = {f"{f.name} (line {f.lineno})": body_lines(f) for f in functions(tree(module)) if body_lines(f) > 60}
    assert not long


@by_module
def test_module_name_is_the_fields(module: Path) -> None:
    assert module.name not in {"utils.py", "helpers.py", "common.py", "misc.py", "util.py"}


@by_module
def test_no_assert_on_input(module: Path) -> None:
    assert not [node.lineno for node in ast.walk(tree(module)) if isinstance(node, ast.Assert)]


@by_module
def test_functions_are_typed(module: Path) -> None:
    bare = []
    for function in functions(tree(module)):
        arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
        untyped = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
        if untyped or function.returns is None:
            bare.append(f"{function.name} (line {function.lineno}): {untyped or 'no return type'}")
    assert not bare


def public(node: ast.Module | ast.ClassDef) -> Iterator[ast.ClassDef | ast.FunctionDef]:
    """Public classes and functions, and public methods of public classes that are no Protocol and no property."""
    for child in node.body:
        if not isinstance(child, ast.ClassDef | ast.FunctionDef) or child.name.startswith("_"):
            continue
        if isinstance(node, ast.ClassDef):
            decorators = {ast.unparse(d) for d in child.decorator_list}
            if child.name in SLIDE_PROTOCOL or any("property" in d or d.endswith(".setter") for d in decorators):
                continue
        yield child
        if isinstance(child, ast.ClassDef) and not any(ast.unparse(base) == "Protocol" for base in child.bases):
            yield from public(child)


@by_module
def test_public_names_are_documented(module: Path) -> None:
    faults = []
    for node in public(tree(module)):
        first = (ast.get_docstring(node) or "").split("\n")[0]
        if not first:
            faults.append(f"{node.name} (line {node.lineno}): no docstring")
        elif not first.rstrip().endswith((".", ":", ";", ")", "`")) or len(first) > 120:
            faults.append(f"{node.name} (line {node.lineno}): the first line is no sentence of its own: {first!r}")
    assert not faults


def test_snakefile_is_thin() -> None:
    assert len((REPOSITORY / "Snakefile").read_text().splitlines()) <= 40
