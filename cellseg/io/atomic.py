"""Writing a file whole or not at all: a temporary name in the same folder, then a move. Floor 2."""

from __future__ import annotations

import errno
import glob
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cellseg.errors import CellsegError

_NUMBERS = itertools.count()
_CURES = {
    errno.ENOSPC: "make room on this disk and start again; what is finished is kept",
    errno.EDQUOT: "make room, or have the quota raised, and start again; what is finished is kept",
    errno.EFBIG: "a file may not grow so large here: raise the limit (ulimit -f), or choose another file system",
    errno.EIO: "the disk, or the server that it is on, fails; start again once it works, or choose another output",
    errno.EMFILE: "a process may not have so many files open here: raise the limit (ulimit -n)",
}


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` with the same suffix; moved to `path` at the end, removed when an error passes.

    The folder is made when it is missing, and the bytes are on the disk before the name is: a machine that goes down
    leaves no empty file of that name. A run that is killed leaves a file whose name starts with `.tmp-`, which the next
    writing of the same path removes.

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
        _bring_to_disk(temporary)
        temporary.replace(path)
    except OSError as error:
        raise writing_fault(path, error) from error
    finally:
        if temporary.parent.is_dir():
            temporary.unlink(missing_ok=True)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """A folder of this process beside `path`, made by who writes into it, removed at the end with what it holds.

    What a killed run left goes with the next writing of `path`, or the next such folder.
    """
    folder = path.with_name(f".tmp-{os.getpid()}-{next(_NUMBERS)}-{path.name}")
    _remove_left_over(path)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def writing_fault(path: Path, error: OSError) -> CellsegError:
    """What to raise for a file or folder that cannot be written: why, and what to do."""
    cure = _CURES.get(error.errno or 0, "check the folder's permissions and the free space, or choose another output")
    # Arrow puts more words of its own around the system's
    reason = os.strerror(error.errno) if error.errno else str(error)
    return CellsegError(f"{path}: cannot be written ({reason}); {cure}")


def _bring_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_left_over(path: Path) -> None:
    """Remove temporary files and folders of `path` whose process is gone."""
    for left in path.parent.glob(f".tmp-*-{glob.escape(path.name)}"):
        if is_left_over(left.name.removeprefix(".tmp-")):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def is_left_over(name: str) -> bool:
    """Whether a name that begins with the number of a process is of one that is gone; False for any other name."""
    process = name.split("-", 1)[0]
    return process.isdigit() and not _is_running(int(process))


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
