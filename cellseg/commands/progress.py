"""How long work shows itself: a bar in a terminal, plain lines in a log. Floor 7."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cellseg.types import Progress

_SECONDS = 5.0


@contextmanager
def show_progress(label: str) -> Iterator[Progress]:
    """A progress callback: a bar with the time left in a terminal, elsewhere a line every 5 s."""
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
    last = start

    def advance(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS:
            last = now
            sys.stderr.write(f"{label}: {done} of {total}, {now - start:.0f} s\n")
            sys.stderr.flush()

    return advance
