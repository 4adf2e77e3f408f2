"""Results in order, few at a time, and the first error ends the run."""

import threading
import time

import pytest

from cellseg.stream import map_read, map_tiles


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    def work(item: int) -> int:
        time.sleep(0.002 * (item % 3))  # later items finish first
        return item * item

    assert list(map_tiles(work, range(20), workers=workers)) == [item * item for item in range(20)]


@pytest.mark.parametrize("workers", [1, 3])
def test_no_items_no_results(workers: int) -> None:
    assert list(map_tiles(str, [], workers=workers)) == []


def test_workers_run_side_by_side() -> None:
    meeting = threading.Barrier(2, timeout=20)  # broken, hence an error, unless both threads are in it at once
    assert sorted(map_tiles(lambda item: meeting.wait() * 0 + item, range(2), workers=2)) == [0, 1]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_no_more_is_taken_than_workers_and_one(workers: int) -> None:
    taken = 0

    def items():
        nonlocal taken
        for item in range(50):
            taken += 1
            yield item

    for done, _ in enumerate(map_tiles(lambda item: item, items(), workers=workers), start=1):
        assert taken - done <= workers


@pytest.mark.parametrize("workers", [1, 2])
def test_first_error_ends_the_run(workers: int) -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 3:
            raise KeyError("tile 3")
        return item

    results = map_tiles(work, range(1000), workers=workers)
    with pytest.raises(KeyError, match="tile 3"):
        list(results)
    assert max(begun) <= 3 + workers + 1


def test_reader_that_stops_ends_the_run() -> None:
    begun: list[int] = []
    results = map_tiles(lambda item: begun.append(item), range(1000), workers=2)
    next(results)
    results.close()
    assert len(begun) <= 4
    before = threading.active_count()
    time.sleep(0.02)
    assert threading.active_count() <= before


@pytest.mark.parametrize("workers", [1, 3])
def test_items_are_read_while_others_are_worked_on(workers: int) -> None:
    begun = [threading.Event() for _ in range(8)]

    def read(item: int) -> int:
        begun[item].set()
        return 10 * item

    def work(item: int, data: int) -> tuple[int, int]:
        # an error unless the next one is being read by then
        assert begun[min(item + 1, 7)].wait(timeout=20)
        return item, data

    assert list(map_read(read, work, range(8), workers=workers)) == [(item, 10 * item) for item in range(8)]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_no_more_is_read_than_is_soon_worked_on(workers: int) -> None:
    n_read = 0
    lock = threading.Lock()

    def read(item: int) -> int:
        nonlocal n_read
        with lock:
            n_read += 1
        return item

    for done, _ in enumerate(map_read(read, lambda item, data: item, range(60), workers=workers), start=1):
        time.sleep(0.001)
        assert n_read - done <= 2 * workers + 1


@pytest.mark.parametrize("workers", [1, 2])
def test_what_cannot_be_read_ends_the_run_in_its_turn(workers: int) -> None:
    begun: list[int] = []

    def read(item: int) -> int:
        begun.append(item)
        if item == 3:
            raise KeyError("tile 3")
        return item

    seen = []
    with pytest.raises(KeyError, match="tile 3"):
        seen.extend(map_read(read, lambda item, data: item, range(1000), workers=workers))
    assert seen == [0, 1, 2] and max(begun) <= 3 + 2 * workers + 1
