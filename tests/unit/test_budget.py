"""Tiles and workers follow the memory that a job may take."""

import pytest

from cellseg.budget import NEEDS, Cut, fit_tiles, least_mb


@pytest.mark.parametrize("stage", NEEDS)
def test_plenty_of_memory_changes_nothing(stage: str) -> None:
    for memory_mb in (None, 1_000_000):
        assert fit_tiles(stage, memory_mb, tile_px=2048, workers=8) == Cut(2048, 8)


@pytest.mark.parametrize("stage", NEEDS)
def test_less_memory_never_gives_more_and_what_is_given_fits(stage: str) -> None:
    need = NEEDS[stage]
    expected = [need.megabytes(fit_tiles(stage, mb, tile_px=4096, workers=8)) for mb in range(100, 9000, 50)]
    assert expected == sorted(expected) and expected[0] < expected[-1]
    for memory_mb, megabytes in zip(range(100, 9000, 50), expected, strict=True):
        assert megabytes <= 0.8 * memory_mb or memory_mb <= least_mb(stage)


def test_tiles_shrink_before_workers_go() -> None:
    cuts = [fit_tiles("measure", mb, tile_px=2048, workers=4) for mb in range(900, 3000, 10)]
    assert [cut for n, cut in enumerate(cuts) if n == 0 or cut != cuts[n - 1]] == [
        Cut(256, 1), Cut(512, 1), Cut(1024, 1), Cut(1024, 2), Cut(1024, 3), Cut(1024, 4), Cut(2048, 4),
    ]  # fmt: skip


def test_windows_of_a_network_keep_their_size_and_only_workers_go() -> None:
    need = NEEDS["maskrcnn"]
    assert need.megabytes(Cut(512, 2)) == need.megabytes(Cut(4096, 2))
    assert fit_tiles("maskrcnn", 2500, tile_px=2048, workers=8).workers < 8


def test_no_room_at_all_gives_the_least_there_is() -> None:
    assert fit_tiles("segment", 1, tile_px=2048, workers=8) == Cut(256, 1)
    assert fit_tiles("segment", 1, tile_px=200, workers=2) == Cut(200, 1)


def test_tiles_of_shards_keep_their_size_and_only_workers_go() -> None:
    cuts = [fit_tiles("measure", mb, tile_px=2048, workers=4, same_tiles=True) for mb in range(100, 3000, 10)]
    assert [cut for n, cut in enumerate(cuts) if n == 0 or cut != cuts[n - 1]] == [Cut(2048, n) for n in (1, 2, 3, 4)]
    assert fit_tiles("measure", None, tile_px=2048, workers=4, same_tiles=True) == Cut(2048, 4)
