"""The one way to fail. Floor 0: imports nothing of ours.

Every message says where, what was found, what was expected and what to do, on one line.
"""

from __future__ import annotations


class CellsegError(Exception):
    """Anything that a user can mend: caught only by the command line, which prints it on one line."""


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
