"""A run's crate read back: which files it knows, and by what. Floor 6."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote

from cellseg.errors import TableError
from cellseg.io.checksum import Checksum
from cellseg.io.samples import is_url
from cellseg.stages.crate_files import CRATE_NAME

_IMAGES, _WEIGHTS, _SHEET = "#input/images/", "#input/weights/", "#input/samples"
_PLACEHOLDER, _FAILED = "#placeholder/", "#failed/"


class KnownInput(NamedTuple):
    """An input by its key and what sheet or settings call it; no checksum if it was not there."""

    key: str
    name: str
    checksum: Checksum | None

    @property
    def is_elsewhere(self) -> bool:
        """Whether it lies in a storage and not in a folder."""
        return is_url(self.name)


class KnownRun(NamedTuple):
    """What a crate knows of a run: files of results by name, placeholders, inputs, samples that failed."""

    results: dict[str, Checksum]
    placeholders: frozenset[str]
    sheet: KnownInput
    images: list[KnownInput]
    weights: list[KnownInput]
    failed: list[str]

    @property
    def samples(self) -> list[str]:
        """Every sample of the run."""
        return [one.key.split("/")[0] for one in self.images if one.key.endswith("/image")]


def read_run(results: Path) -> KnownRun:
    """What the crate in a folder of results knows.

    Raises
    ------
    TableError
        If there is none, or it is none of ours or spoilt.
    """
    path = results / CRATE_NAME
    try:
        graph = json.loads(path.read_text(encoding="utf-8"))["@graph"]
        entities = {str(entity["@id"]): entity for entity in graph}
        sheet = _input(entities.pop(_SHEET), "")
        files = {unquote(key): _checksum(one) for key, one in entities.items() if key[0] != "#" and "sha256" in one}
        run = KnownRun(
            {name: checksum for name, checksum in files.items() if checksum is not None},
            frozenset(key.removeprefix(_PLACEHOLDER) for key in entities if key.startswith(_PLACEHOLDER)),
            sheet, _inputs(entities, _IMAGES), _inputs(entities, _WEIGHTS),
            [key.removeprefix(_FAILED) for key in entities if key.startswith(_FAILED)],
        )  # fmt: skip
    except OSError as error:
        raise TableError(
            f"{path}: no readable crate ({error.strerror}); the workflow, or `cellseg provenance`, writes one"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise TableError(
            f"{path}: not a crate that cellseg wrote ({type(error).__name__}: {error}); run `cellseg provenance` again"
        ) from error
    for name in (*run.results, *run.placeholders):
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise TableError(f"{path}: names {name!r}, which is no file of the results; it was changed since")
    return run


def _inputs(entities: dict[str, Any], start: str) -> list[KnownInput]:
    return [_input(one, key.removeprefix(start)) for key, one in entities.items() if key.startswith(start)]


def _input(entity: dict[str, Any], key: str) -> KnownInput:
    return KnownInput(key, str(entity["name"]), _checksum(entity))


def _checksum(entity: dict[str, Any]) -> Checksum | None:
    return Checksum(int(entity["contentSize"]), str(entity["sha256"])) if "sha256" in entity else None
