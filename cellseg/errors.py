"""The one way to fail. Floor 0: imports nothing of ours.

Every message says where, what was found, what was expected and what to do, on one line.
"""

from __future__ import annotations

import errno

_OF_THE_MACHINE = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EROFS", "ESTALE", "ENOMEM", "EMFILE", "ENFILE")
    if hasattr(errno, name)
)


class CellsegError(Exception):
    """Anything that a user can mend: caught only by the command line, which prints it on one line."""


def is_machine_fault(error: BaseException) -> bool:
    """Whether a full or failing disk, or too little memory, is behind an error: no fault of the slide it came up with.

    What an error was raised from counts too; of an `ImageError` that was raised from a `MemoryError`, not: files that
    are damaged may claim any size.
    """
    if isinstance(error, MemoryError):
        return True
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, OSError) and behind.errno in _OF_THE_MACHINE:
            return True
        behind = behind.__cause__ or behind.__context__
    return False


class ConfigError(CellsegError):
    """A setting or a row of the sample sheet is missing, misspelt or out of bounds."""


class ImageError(CellsegError):
    """An image cannot be read, or holds what no stage can use."""


class LabelError(CellsegError):
    """A label image breaks its contract (dtype, shape, ids)."""


class TableError(CellsegError):
    """A table lacks columns, has wrong types or does not match its label image."""


class ModelError(CellsegError):
    """A fitted reference or a weights file does not fit what it is asked to judge."""
