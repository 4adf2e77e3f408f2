"""Size and sha256 of files and folders, by which they are known again. Floor 2."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from cellseg.errors import CellsegError


class Checksum(NamedTuple):
    """What a file or a folder holds: bytes, and the sha256 of them as hexadecimal digits."""

    n_bytes: int
    sha256: str


def checksum_of(path: Path) -> Checksum:
    """Size and sha256 of a file, or of all files below a folder; memory does not grow with either.

    Of a folder: the sha256 of a line `sha256 path` for each file, by rising path from the folder with slashes, each
    line with a line end.

    Raises
    ------
    CellsegError
        If it cannot be read.
    """
    try:
        return _of_folder(path) if path.is_dir() else _of_file(path)
    except OSError as error:
        raise CellsegError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error


def files_below(folder: Path) -> list[Path]:
    """Every file below a folder by rising path; those that are hidden, or in a hidden folder, are left out.

    What begins with a dot is what systems and broken writes leave, and no result.
    """
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _of_file(path: Path) -> Checksum:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return Checksum(stream.tell(), digest)


def _of_folder(folder: Path) -> Checksum:
    total, whole = 0, hashlib.sha256()
    # hidden files too: OME-Zarr keeps what it says of itself in .zattrs and .zarray
    for path in sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.as_posix()):
        one = _of_file(path)
        total += one.n_bytes
        whole.update(f"{one.sha256} {path.relative_to(folder).as_posix()}\n".encode())
    return Checksum(total, whole.hexdigest())
