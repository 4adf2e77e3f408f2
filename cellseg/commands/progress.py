"""How long work shows itself: a bar in a terminal, plain lines in a log. Floor 7."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cellseg.types import Progress

_LINES = 10


@contextmanager
def show_progress(label: str) -> Iterator[Progress]:
    """A progress callback: a bar with the time left in a terminal, elsewhere a line each tenth of the work."""
    if not sys.stderr.isatty():
        yield _lines(label)
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield advance


def _lines(label: str) -> Progress:
    start = time.monotonic()
    shown = 0

    def advance(done: int, total: int) -> None:
        nonlocal shown
        tenth = done * _LINES // max(total, 1)
        if total >= _LINES and tenth > shown:
            shown = tenth
            sys.stderr.write(f"{label}: {done} of {total} tiles, {time.monotonic() - start:.1f} s\n")
            sys.stderr.flush()

    return advance
