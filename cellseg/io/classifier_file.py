"""Supervised models as files: safetensors that say what they are, checked before use. Floor 2; no torch.

Nothing in such a file is run when it is read. What is no array is one JSON text in the header; a sha256 covers that
text and every array. The definitions of the columns that a model looks at are written down too: a program that measures
one of them otherwise refuses the model by the names of those columns.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from cellseg.columns import find_column
from cellseg.errors import ModelError, TableError
from cellseg.io.atomic import atomic_path
from cellseg.io.shipped import SHIPPED, is_path, is_pickled

FORMAT = "cellseg-classifier-1"
Arrays = dict[str, NDArray[Any]]
_KEY = "cellseg"
_CURE = "give a model made by `cellseg train classifier`, or the name of a shipped one"


def write_classifier_arrays(path: Path, arrays: Arrays, metadata: dict[str, Any]) -> str:
    """Write a model's arrays and what it says of itself, whole or not at all; returns their sha256.

    Raises
    ------
    ModelError
        If the metadata are no JSON.
    """
    kept = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    digest = _digest(kept, _text(metadata, path))
    data = save(kept, {_KEY: _text(metadata | {"sha256": digest}, path)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return digest


def read_classifier_arrays(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """The arrays of a model and what it says of itself, `sha256` among it.

    Raises
    ------
    ModelError
        If there is no such file, it is pickled, damaged, foreign, of another format, or does not measure its columns as
        this version does; the message names those columns.
    """
    try:
        with path.open("rb") as stream:
            if is_pickled(stream.read(9)):
                raise ModelError(f"{path}: a pickled file, which could run anything when read; {_CURE}")
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}); {_CURE}") from error
    except SafetensorError as error:
        raise ModelError(f"{path}: damaged or no model ({error}); copy it again, or {_CURE}") from error
    try:
        metadata = json.loads(header[_KEY])
        stored = metadata.pop("sha256")
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ModelError(f"{path}: a safetensors file of another program; {_CURE}") from error
    if metadata.get("format") != FORMAT:
        raise ModelError(f"{path}: of format {metadata.get('format')!r}; expected {FORMAT!r}; {_CURE}")
    if stored != _digest(arrays, _text(metadata, path)):
        raise ModelError(f"{path}: damaged: its sha256 is not what its header says; copy it again, or {_CURE}")
    if not isinstance(metadata.get("columns"), dict):
        raise ModelError(f"{path}: a model that does not say how its columns are measured; {_CURE}")
    _check_columns(metadata["columns"], path)
    return arrays, metadata | {"sha256": stored}


def shipped_classifier(name: str) -> Path:
    """The file of a model: a path if it has a suffix or a folder in it, else the name of one in the package.

    Raises
    ------
    ModelError
        If the package has no model of that name.
    """
    if is_path(name):
        return Path(name)
    path = SHIPPED / f"{name}.safetensors"
    if not path.is_file():
        raise ModelError(f"no model called {name!r} comes with the package; {_CURE}")
    return path


def column_definitions(names: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """What this version measures under these names; {} for columns of other programs."""
    return {name: _definition(name) for name in names}


def _definition(name: str) -> dict[str, str]:
    try:
        column = asdict(find_column(name))
    except TableError:
        return {}
    return {key: column[key] for key in ("unit", "formula", "family")}


def _check_columns(written: dict[str, dict[str, str]], path: Path) -> None:
    differing = [name for name, definition in written.items() if definition != _definition(name)]
    if differing:
        raise ModelError(
            f"{path}: made by a version that measures {', '.join(differing)} otherwise; train the model again on "
            "tables of this version, or use the version that made it"
        )


def _text(metadata: dict[str, Any], path: Path) -> str:
    try:
        return json.dumps(metadata, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path}: metadata that JSON cannot hold ({error}); give plain values") from error


def _digest(arrays: Arrays, text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"\n{name} {arrays[name].dtype} {arrays[name].shape}\n".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
