"""What becomes of a slide that cannot be worked on: a placeholder in place of its results. Floor 6.

A fault of one slide is an answer about that slide, not the end of the batch. In workflow mode the stage that meets it
writes a placeholder to each of its outputs; the stages after it pass it on, the ledger reads it, and the last rule
takes it away so that the next run tries that slide again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from cellseg.errors import TableError
from cellseg.io.atomic import atomic_path

_KEY = "cellseg_failure"
_PREFIX = f'{{"{_KEY}": '.encode()


@dataclass(frozen=True)
class Failure:
    """Which sample failed, at which stage, and why (one line)."""

    sample: str
    stage: str
    reason: str


def read_failure(path: Path) -> Failure | None:
    """The failure that `path` stands for; None for a true result (a few bytes are read) and for no file.

    Raises
    ------
    TableError
        If the file begins like a placeholder but is cut or garbled.
    """
    if not path.is_file():
        return None
    with path.open("rb", buffering=0) as stream:
        if stream.read(len(_PREFIX)) != _PREFIX:
            return None
        stream.seek(0)
        text = stream.read()
    try:
        return Failure(**json.loads(text)[_KEY])
    except (ValueError, TypeError, KeyError) as error:
        raise TableError(f"{path}: a garbled failure placeholder ({error}); delete it and run again") from error


def first_failure(paths: Iterable[Path]) -> Failure | None:
    """The failure of the first of `paths` that is a placeholder, or None when all are true results."""
    return next((failure for path in paths if (failure := read_failure(path)) is not None), None)


def write_failure(outputs: Iterable[Path], failure: Failure) -> None:
    """Write the placeholder of `failure` to each of `outputs`, in place of whatever an earlier run left there.

    Folders are made where missing; the reason is put on one line.
    """
    one_line = Failure(failure.sample, failure.stage, " ".join(failure.reason.split()))
    text = json.dumps({_KEY: asdict(one_line)}, ensure_ascii=False) + "\n"
    for output in outputs:
        output.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(output) as temporary:
            temporary.write_text(text, encoding="utf-8")
