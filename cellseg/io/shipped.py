"""What comes with the package as files, and what no model file may be. Floor 2; no torch."""

from __future__ import annotations

from pathlib import Path

SHIPPED = Path(__file__).parents[1] / "weights"
"""Folder of the weights and models that come with the package."""

_PICKLED = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""First bytes of what `torch.save` and `pickle` write."""


def is_pickled(start: bytes) -> bool:
    """Whether a file that starts with these bytes (9 of them at least, if it has as many) is a pickle.

    A safetensors file starts with the length of its header: one of 640 bytes looks like a pickle, but its JSON follows.

    Examples
    --------
    >>> is_pickled(bytes([0x80, 4, 0x95, 0, 0, 0, 0, 0, 0])), is_pickled((640).to_bytes(8, "little") + b"{")
    (True, False)
    """
    return start.startswith(_PICKLED) and start[8:9] != b"{"


def is_path(given: str) -> bool:
    """Whether a setting speaks of a file, by a suffix or a folder in it, and not of what comes with the package.

    Examples
    --------
    >>> is_path("redcell"), is_path("redcell.safetensors"), is_path("models/mine")
    (False, True, True)
    """
    path = Path(given)
    return bool(path.suffix) or len(path.parts) > 1
