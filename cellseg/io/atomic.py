"""Writing a file whole or not at all: a temporary name in the same folder, then a move. Floor 2."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cellseg.errors import CellsegError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` with the same suffix; moved to `path` at the end, removed when an error passes.

    The folder is made when it is missing. A run that is killed leaves a file whose name starts with `.tmp-`, which the
    next writing of the same path removes.

    Raises
    ------
    CellsegError
        If the folder cannot be written or the disk is full; the message names the path.
    """
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_over(path)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CellsegError(
            f"{path}: cannot be written ({reason}); check the folder's permissions and the free space, or choose "
            "another output"
        ) from error
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)


def _remove_left_over(path: Path) -> None:
    """Remove temporary files of `path` whose process is gone."""
    for left in path.parent.glob(f".tmp-*-{glob.escape(path.name)}"):
        process = left.name.removeprefix(".tmp-").split("-", 1)[0]
        if process.isdigit() and not _is_running(int(process)):
            left.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, whole or not at all.

    Raises
    ------
    CellsegError
        If the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: object) -> None:
    """Write JSON with sorted keys, two spaces of indent and a last line end, whole or not at all.

    NaN and infinities are refused: JSON has none.

    Raises
    ------
    CellsegError
        If the file cannot be written.
    """
    write_text(path, json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
