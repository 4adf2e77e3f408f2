"""A function run over the tiles of a slide, in order, by several threads, in bounded memory. Floor 4.

Workers are threads: the hot loops are compiled and release the interpreter, the slide and its caches are shared, and
a second worker costs one more tile of memory rather than a second process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import cv2

Data = TypeVar("Data")
Item = TypeVar("Item")
Result = TypeVar("Result")


def map_tiles(function: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> Iterator[Result]:
    """The results of `function` for all items, in their order, with at most `workers` + 1 waiting to be taken.

    The first error ends the run: what is not yet begun is cancelled and the error is raised where the results are read.
    """
    cv2.setNumThreads(1)  # `workers` says how many cores are ours; OpenCV would take them all
    if workers <= 1:
        yield from map(function, items)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(max_workers=workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def map_read(
    read: Callable[[Item], Data], function: Callable[[Item, Data], Result], items: Iterable[Item], *, workers: int
) -> Iterator[Result]:
    """As `map_tiles`, with what `read` gives for each item; as many threads read ahead as there are workers.

    So that a slow disk is waited for while other tiles are worked on. At most 2 `workers` + 1 items have been read and
    not yet been given back as results.
    """
    ahead: deque[tuple[Item, Future[Data]]] = deque()
    with ThreadPoolExecutor(max_workers=max(workers, 1), thread_name_prefix="read") as readers:

        def reading() -> Iterator[tuple[Item, Future[Data]]]:
            for item in items:
                ahead.append((item, readers.submit(read, item)))
                if len(ahead) > max(workers, 1):
                    yield ahead.popleft()
            while ahead:
                yield ahead.popleft()

        try:
            yield from map_tiles(lambda begun: function(begun[0], begun[1].result()), reading(), workers=workers)
        finally:
            for _, future in ahead:
                future.cancel()
