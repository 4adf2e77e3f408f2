"""The package's source as the contract tests read it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "cellseg"

FLOORS = {
    "errors": 0,
    "types": 0,
    "base_config": 1,
    "network_config": 1,
    "config": 1,
    "input_config": 1,
    "classify_config": 1,
    "measure_config": 1,
    "polygon_config": 1,
    "preprocess_config": 1,
    "columns": 1,
    "cohort_columns": 1,
    "budget": 1,
    "tiles": 1,
    "io": 2,
    "preprocess": 3,
    "segment": 3,
    "measure": 3,
    "evaluate": 3,
    "classify": 3,
    "report": 3,
    "simulate": 3,
    "stream": 4,
    "train": 4,
    "stages": 6,
    "cli": 7,
    "commands": 7,
    "__main__": 7,
    "__init__": 8,
}
"""Floor of each module or package right under `cellseg`."""

SHARED_ON_FLOOR_3 = {"cellseg.preprocess.recipe", "cellseg.preprocess.normalize", "cellseg.preprocess.colour"}
"""What a slide's planes are made with: the only modules that another package of floor 3 may import."""

KNOW_PATHS = {"io", "stages", "cli", "commands", "types", "__main__", "__init__"}
KNOW_TORCH = {
    "measure/crop_network.py",
    "segment/backbone.py",
    "segment/pool.py",
    "segment/maskrcnn.py",
    "segment/detect.py",
    "segment/infer.py",
    "segment/segnet.py",
    "segment/tissue.py",
    "io/weights.py",
    "train",
}


def modules() -> list[Path]:
    """Every module of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def relative(path: Path) -> str:
    """The module's path in the package, with forward slashes."""
    return path.relative_to(PACKAGE).as_posix()


def part(path: Path) -> str:
    """The module or package right under `cellseg` that the file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every imported module with its line; `from a import b` gives a.b, which may be a module or a name in one."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: import by full name"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def typing_lines(path: Path) -> set[int]:
    """Lines that only a type checker reads: under `if TYPE_CHECKING:`."""
    blocks = [
        node for node in ast.walk(tree(path)) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    ]
    return {line for block in blocks for line in range(block.lineno, (block.end_lineno or block.lineno) + 1)}


def functions(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method, also those inside of others."""
    for child in ast.walk(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
