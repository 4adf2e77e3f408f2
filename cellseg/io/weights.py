"""Weights of networks: one safetensors file that says what it is, checked before it is used. Floor 2; torch.

Nothing in such a file is run when it is read, unlike a pickled one. All that it says of itself (architecture, classes,
data, licence, figures) is one JSON text in its header, and a sha256 covers that text and every tensor, so that a
damaged or hand-changed file is refused rather than used.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from cellseg.errors import ModelError
from cellseg.io.atomic import atomic_path
from cellseg.io.shipped import SHIPPED, is_path, is_pickled

__all__ = [
    "SHIPPED", "Weights", "fill_network", "find_weights", "read_weights", "shipped_weights", "write_weights",
]  # fmt: skip

_KEY = "cellseg"
_CURE = "give weights made by `cellseg train`, or the name of shipped ones"


@dataclass(frozen=True)
class Weights:
    """A network's weights and what they say of themselves."""

    tensors: dict[str, Tensor]
    """by name, on the CPU, of the type they are stored in (mostly float16)."""
    metadata: dict[str, Any]
    """what the file says of itself, `sha256` left out: at least `format`."""
    sha256: str
    """of metadata and tensors: names the weights in every record."""
    path: Path


def write_weights(path: Path, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> str:
    """Write weights as they are given, whole or not at all; the same bytes for the same weights and metadata.

    Parameters
    ----------
    tensors : dict of Tensor
        By name, on any device; kept in their type.
    metadata : dict
        What JSON can hold; `format` says what kind of network it is, such as "cellseg-maskrcnn-1".

    Returns
    -------
    str
        The sha256 of metadata and tensors.

    Raises
    ------
    ModelError
        If a weight is not a finite number, or the metadata lack `format` or are no JSON.
    CellsegError
        If the file cannot be written.
    """
    kept = {name: tensors[name].detach().cpu().contiguous().clone() for name in sorted(tensors)}
    for name, tensor in kept.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{path}: weights {name!r} are not all finite; training went astray: lower its rate")
    if not isinstance(metadata.get("format"), str):
        raise ModelError(f"{path}: metadata without a format; expected a name such as cellseg-maskrcnn-1")
    digest = _digest(kept, _metadata_text(metadata, path))
    header = {_KEY: _metadata_text(metadata | {"sha256": digest}, path)}
    data = save(kept, header)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return digest


def half_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they are stored: float16 on the CPU, counters as they are."""
    kept = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    return {name: value.half() if value.is_floating_point() else value for name, value in kept.items()}


def read_weights(path: Path, *, expected_format: str | None = None) -> Weights:
    """Read weights and check them against their sha256.

    Parameters
    ----------
    path : Path
        A safetensors file that `write_weights` wrote.
    expected_format : str, optional
        Refuse weights of another `format`.

    Raises
    ------
    ModelError
        If there is no such file, it is pickled, damaged, foreign or of another format.
    """
    data = _read_bytes(path)
    metadata = _read_metadata(data, path)
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise _damaged(path, _one_line(error)) from error
    stored = metadata.pop("sha256", None)
    digest = _digest(tensors, _metadata_text(metadata, path))
    if stored != digest:
        raise _damaged(path, f"sha256 is {digest[:12]}..., its header says {str(stored)[:12]}...")
    if expected_format is not None and metadata.get("format") != expected_format:
        raise ModelError(
            f"{path}: weights of format {metadata.get('format')!r}; expected {expected_format!r}; "
            "give weights of the network that is asked for"
        )
    return Weights(tensors, metadata, digest, path)


def shipped_weights(name: str, folder: Path = SHIPPED) -> Path:
    """The file of weights that come with the package.

    Raises
    ------
    ModelError
        If there are none of that name; the message lists the names there are.
    """
    path = folder / f"{name}.safetensors"
    names = sorted(file.stem for file in folder.glob("*.safetensors"))
    if name not in names:
        there = ", ".join(names) or "none; the installation is incomplete"
        raise ModelError(f"weights {name!r}: not among the shipped ones ({there}); give one of them or a path")
    return path


def find_weights(given: str) -> Path:
    """The file that a setting speaks of: a path if it has a suffix or a folder in it, else the name of shipped weights.

    Raises
    ------
    ModelError
        If it is a name and no such weights are shipped; a path is not looked at.
    """
    return Path(given) if is_path(given) else shipped_weights(given)


def fill_network(network: nn.Module, weights: Weights) -> None:
    """Put weights into a network of their architecture; each takes the type that the network has.

    Raises
    ------
    ModelError
        If a name or a shape does not fit; the message gives the first one.
    """
    state = network.state_dict()
    missing, foreign = sorted(state.keys() - weights.tensors.keys()), sorted(weights.tensors.keys() - state.keys())
    wrong = [name for name in state if name in weights.tensors and state[name].shape != weights.tensors[name].shape]
    if missing:
        fault = f"weights {missing[0]!r} are missing ({len(missing)} in all)"
    elif foreign:
        fault = f"weights {foreign[0]!r} have no place ({len(foreign)} in all)"
    elif wrong:
        found, expected = (tuple(tensors[wrong[0]].shape) for tensors in (weights.tensors, state))
        fault = f"weights {wrong[0]!r} have shape {found}, expected {expected} ({len(wrong)} in all)"
    else:
        network.load_state_dict(weights.tensors)
        return
    raise ModelError(f"{weights.path}: {fault}: they are not of the architecture that the file names; {_CURE}")


def _read_bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such weights file; {_CURE}") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); {_CURE}") from error
    if is_pickled(data[:9]):
        raise ModelError(
            f"{path}: a pickled file (.pt, .pth, .pkl), which could run any code when read; expected safetensors; "
            f"{_CURE}"
        )
    return data


def _read_metadata(data: bytes, path: Path) -> dict[str, Any]:
    """The JSON text in the header; a safetensors file starts with the header's length in 8 bytes."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or not 2 <= length <= len(data) - 8:
        raise _damaged(path, f"{len(data)} bytes that are no whole safetensors file")
    try:
        header = json.loads(data[8 : 8 + length])
        text = header.get("__metadata__", {}).get(_KEY)
        found = None if text is None else json.loads(text)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise _damaged(path, f"its header is no JSON that is known ({_one_line(error)})") from error
    if found is None:
        raise ModelError(f"{path}: a safetensors file that says nothing of its network; {_CURE}")
    if not isinstance(found, dict):
        raise _damaged(path, f"its metadata are a {type(found).__name__}, not an object")
    return found


def _metadata_text(metadata: dict[str, Any], path: Path) -> str:
    try:
        return json.dumps(metadata, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path}: metadata that JSON cannot hold ({_one_line(error)}); give plain values") from error


def _digest(tensors: dict[str, Tensor], metadata_text: str) -> str:
    """Sha256 over the metadata and, by name, every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(metadata_text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        if math.prod(tensor.shape):
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _damaged(path: Path, what: str) -> ModelError:
    return ModelError(f"{path}: damaged or no weights file: {what}; copy it again, or {_CURE}")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
