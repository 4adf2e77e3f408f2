"""Imports only go down, files stay at the edge, and heavy libraries stay out of what is quick."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from contract.source import (
    FLOORS,
    KNOW_PATHS,
    KNOW_TORCH,
    SHARED_ON_FLOOR_3,
    imports,
    modules,
    part,
    relative,
    tree,
    typing_lines,
)

by_module = pytest.mark.parametrize("module", modules(), ids=relative)


@by_module
def test_module_stands_on_a_floor_and_says_which(module: Path) -> None:
    assert part(module) in FLOORS, f"{relative(module)}: give {part(module)!r} a floor in contract/source.py"
    said = re.search(r"Floor (\d)", ast.get_docstring(tree(module)) or "")
    if relative(module) != "__init__.py":
        assert said, f"{relative(module)}: the module's docstring says what it holds and 'Floor N'"
        assert int(said[1]) == FLOORS[part(module)]


@by_module
def test_imports_only_go_down(module: Path) -> None:
    here = part(module)
    for name, line in imports(module):
        if not name.startswith("cellseg.") or name == "cellseg.__version__":
            continue
        there = name.split(".")[1]
        where = f"{relative(module)}:{line}: imports {name}"
        assert there in FLOORS, f"{where}, which has no floor"
        if there != here and FLOORS[here] == FLOORS[there] == 3 and not shared(name):
            pytest.fail(f"{where}: packages of floor 3 do not know each other")
        elif there != here:
            assert FLOORS[there] <= FLOORS[here], f"{where}: floor {FLOORS[there]} is over floor {FLOORS[here]}"


def shared(name: str) -> bool:
    return any(name == module or name.startswith(module + ".") for module in SHARED_ON_FLOOR_3)


@by_module
def test_only_the_edge_knows_files(module: Path) -> None:
    if part(module) in KNOW_PATHS:
        return
    files = {"pathlib", "os", "shutil", "tempfile", "glob", "tifffile", "pyarrow.parquet"}
    for name, line in imports(module):
        touched = [file for file in files if name == file or name.startswith(file + ".")]
        assert not touched, f"{relative(module)}:{line}: {name}: only io, stages and cli know files"


@by_module
def test_torch_is_where_networks_are(module: Path) -> None:
    if relative(module) in KNOW_TORCH or part(module) in KNOW_TORCH:
        return
    unread = typing_lines(module)
    for name, line in imports(module):
        if line not in unread:
            assert name.split(".")[0] not in ("torch", "torchvision"), f"{relative(module)}:{line}: {name}"


@pytest.mark.parametrize("name", ["cellseg", "cellseg.cli"])
def test_import_is_light(name: str) -> None:
    heavy = ["torch", "torchvision", "safetensors", "pandas", "numba", "matplotlib", "scipy", "skimage", "snakemake"]
    code = f"import sys, {name}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
