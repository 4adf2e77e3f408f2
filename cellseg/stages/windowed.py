"""Stage segment by windows: what a network, or another's segmenter, finds in each, joined over the slide. Floor 6."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import inf, pi, sqrt
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.errors import CellsegError, ConfigError, ModelError
from cellseg.io.labels import STRIP_PX
from cellseg.io.scratch import ClusterScratch
from cellseg.preprocess.tissue_mask import TissueMask
from cellseg.segment.contract import MIN_OVERLAP_PX, FindsMany, LooksFirst, Reader, TileCells, WindowSegmenter
from cellseg.segment.pieces import PieceJoiner, SlidePieces, StripPieces, find_pieces
from cellseg.segment.twins import JoinedCells, WindowJoiner
from cellseg.stages.shard_tiles import Packed, read_cells, tile_of
from cellseg.stages.slide_cells import REACH_BLOCKS, FoundCells, SlideJob
from cellseg.stream import map_read, map_tiles
from cellseg.tiles import Tile, WindowGrid
from cellseg.types import Labels, Pixels, Window

_N_SPREAD = 6
_STRIP_AREA_PX = 1 << 23
_LEAST_STRIP_PX = 32


class WindowedSegmenter:
    """Finds the cells of a slide by a `WindowSegmenter`, which says itself how wide its windows are.

    `foreign`: the segmenter is another package's, whose faults are a slide's failure and not our bug.
    """

    def __init__(
        self,
        segmenter: WindowSegmenter,
        *,
        min_area_um2: float = 0.0,
        max_area_um2: float = inf,
        foreign: bool = False,
    ) -> None:
        self._segmenter = segmenter
        self._area_um2 = (min_area_um2, max_area_um2)
        self._foreign = foreign

    def find(self, job: SlideJob) -> FoundCells:
        """Look at every window with tissue, join what is one cell, and part what overlaps.

        Memory: as many windows as there are workers, what a row of windows shares with the next, one strip of the
        slide a worker, and about 100 bytes a cell.

        Raises
        ------
        ConfigError
            If the segmenter's windows overlap by more than a third, or hardly.
        ModelError
            If a foreign segmenter fails.
        """
        recipe = job.recipe
        grid = self.grid(job)
        strip_px = _strip_px(recipe.width_px)
        total = len(grid) + -(-recipe.height_px // strip_px)
        with ClusterScratch(job.folder, width_px=recipe.width_px, strip_px=strip_px) as windows:
            joined, n_at_limit = self._join(job, grid, windows, lambda done: job.progress(done, total))
            pieces = _settle(job, windows, strip_px, joined, lambda done: job.progress(len(grid) + done, total))
        return self._number(job, joined, pieces, n_at_limit)

    def _look_first(self, job: SlideJob) -> None:
        if isinstance(self._segmenter, LooksFirst) and job.recipe.assessable:
            self._segmenter.look_first(
                job.slide.read,
                lambda side_px: spread_windows(job.tissue, job.recipe.height_px, job.recipe.width_px, side_px),
            )

    def _guard(self, act: Callable[[], Any]) -> Any:  # noqa: ANN401 - what `act` gives
        try:
            return act()
        except CellsegError:
            raise
        except Exception as error:
            if not self._foreign:
                raise
            said = " ".join(str(error).split())
            raise ModelError(
                f"segmenter {self._segmenter.method} failed ({type(error).__name__}: {said}); it is not part of "
                "cellseg: correct it or choose another segmentation.method"
            ) from error

    def _grid(self, height_px: int, width_px: int) -> WindowGrid:
        window, overlap = self._segmenter.window_px, self._segmenter.overlap_px
        if overlap < MIN_OVERLAP_PX or window < 3 * overlap:
            raise ConfigError(
                f"segmenter {self._segmenter.method}: windows of {window} px that overlap by {overlap} px; expected an "
                f"overlap of at least {MIN_OVERLAP_PX} px and windows of at least three times that"
            )
        return WindowGrid(height_px, width_px, window, overlap)

    def _join(
        self, job: SlideJob, grid: WindowGrid, scratch: ClusterScratch, report: Callable[[int], None]
    ) -> tuple[JoinedCells, int]:
        joiner, n_at_limit = WindowJoiner(grid), 0
        seen = self.look_at(job, grid.tiles(), scratch) if job.shards is None else _replayed(job, grid)
        for tile, cells, packed in seen:
            n_at_limit += cells.n_at_limit
            scratch.put(packed, joiner.add(tile, cells))
            report(tile.index + 1)
        report(len(grid))
        return joiner.finish(), n_at_limit

    def look_at(
        self, job: SlideJob, tiles: Iterable[Tile], scratch: ClusterScratch
    ) -> Iterator[tuple[Tile, TileCells, Packed]]:
        """What each of these windows holds, in order, and its labels packed for `scratch`; those off tissue left out.

        Raises
        ------
        ModelError
            If a foreign segmenter fails.
        """
        reach = job.tissue.grown(REACH_BLOCKS)

        def read(tiles: Sequence[Tile]) -> dict[Window, Pixels]:
            return {tile.read: job.slide.read(tile.read) for tile in tiles}

        def work(tiles: Sequence[Tile], seen: dict[Window, Pixels]) -> list[tuple[Tile, TileCells, Packed]]:
            # what a segmenter asks for besides its own windows is read when it does
            found = self._find_cells(
                lambda window: seen[window] if window in seen else job.slide.read(window), [tile.read for tile in tiles]
            )
            return [(t, cells, scratch.pack(t.read, cells.labels)) for t, cells in zip(tiles, found, strict=True)]

        wanted = (tile for tile in tiles if job.recipe.assessable and reach.any_in(tile.read))
        for batch in map_read(read, work, _batches(wanted, self._batch_size()), workers=job.workers):
            yield from batch

    def grid(self, job: SlideJob) -> WindowGrid:
        """The windows of a slide, once the segmenter has had its first look at it.

        Raises
        ------
        ConfigError
            If the segmenter's windows overlap by more than a third, or hardly.
        ModelError
            If a foreign segmenter fails.
        """
        if job.shards is None:
            self._guard(lambda: self._look_first(job))
        return self._grid(job.recipe.height_px, job.recipe.width_px)

    def redo(self, job: SlideJob, grid: WindowGrid, tiles: Sequence[Tile]) -> tuple[Window, Labels]:
        """The cells of a block of windows as if there were no others, and where it lies; at its rims they may differ.

        Parameters
        ----------
        tiles : sequence of Tile
            Neighbours that make a rectangle, in raster order.

        Returns
        -------
        Window, (h, w) ndarray of uint32
            All that these windows read.

        Raises
        ------
        ModelError
            If a foreign segmenter fails.
        """
        first, last = tiles[0].read, tiles[-1].read
        whole, joiner = Window(first.y0, last.y1, first.x0, last.x1), WindowJoiner(grid)
        seen = [
            (tile.read, cells.labels, joiner.add(tile, cells))
            for tile, cells, _ in self.look_at(job, tiles, job.scratch)
        ]
        cell_of = joiner.finish().cell_of
        labels = np.zeros((whole.height, whole.width), np.uint32)
        for window, local, offset in seen:
            claimed, there = cell_of[np.where(local > 0, local + offset, 0)], labels[window.inside(whole)]
            # the most certain has the least number
            there[...] = np.where((there == 0) | ((claimed > 0) & (claimed < there)), claimed, there)
        found, pieces = find_pieces(labels), PieceJoiner()
        pieces.add(found)
        parts = pieces.finish()
        parts = replace(parts, y=parts.y + whole.y0, x=parts.x + whole.x0)
        kept = ~np.any(self._left_out(job, parts), axis=0)
        ids = np.append(np.where(kept, np.arange(1, len(kept) + 1), 0), 0).astype(np.uint32)
        return whole, ids[parts.piece_of[found.pieces]]

    def agreed(self) -> dict[str, Any]:
        """What jobs that look at a part of the slide's windows must agree in; asked for when all windows are done."""
        one = self._segmenter
        return {
            "classes": list(one.classes), "window_px": one.window_px, "overlap_px": one.overlap_px,
            "segmenter": self._guard(one.record),
        }  # fmt: skip

    def _batch_size(self) -> int:
        return self._segmenter.batch_size if isinstance(self._segmenter, FindsMany) else 1

    def _find_cells(self, read: Reader, windows: list[Window]) -> list[TileCells]:
        segmenter = self._segmenter
        if len(windows) > 1 and isinstance(segmenter, FindsMany):
            many = segmenter
            found: list[TileCells] = self._guard(lambda: many.find_many(read, windows))
        else:
            found = [self._guard(lambda: segmenter.find_cells(read, windows[0]))]
        for cells, window in zip(found, windows, strict=True):
            _check_shape(cells, window, segmenter.method)
        return found

    def _number(self, job: SlideJob, joined: JoinedCells, pieces: SlidePieces, n_at_limit: int) -> FoundCells:
        """Ids in raster order for the cells of right size in tissue, and the record of them and the others."""
        small, large, glass = self._left_out(job, pieces)
        kept = np.flatnonzero(~(small | large | glass))
        kept = kept[np.argsort(pieces.first[kept])]
        ids = np.zeros(len(pieces.ids) + 1, np.uint32)
        ids[kept] = np.arange(1, len(kept) + 1)
        cell = pieces.ids[kept].astype(np.int64) - 1
        dropped = {
            "too_small": int(small.sum()),
            "too_large": int(large.sum()),
            "outside_tissue": int(glass.sum()),
            "covered_by_others": len(joined.scores) - len(pieces.ids),
        }
        seam_joined = joined.joined[cell]
        record = {
            "n_cells": len(kept),
            "dropped": dropped,
            "n_seam_joined": int(seam_joined.sum()),
            "n_seam_cut": joined.n_cut,
            "n_at_limit": n_at_limit,
        }
        # piece_of is -1 for what is no cell: the last entry, which is background
        return FoundCells(
            ids[pieces.piece_of], joined.scores[cell].astype(np.float64), joined.classes[cell],
            self._segmenter.classes, seam_joined, self._record(job, record, pieces.count[kept]), pieces.count[~glass],
        )  # fmt: skip

    def _left_out(self, job: SlideJob, pieces: SlidePieces) -> tuple[NDArray[np.bool_], ...]:
        """Which pieces are no cells: too small, too large, off the tissue."""
        area_um2 = pieces.count * job.recipe.mpp**2
        y, x = (np.floor(at + 0.5).astype(np.int64) for at in (pieces.y, pieces.x))
        return area_um2 < self._area_um2[0], area_um2 > self._area_um2[1], ~job.tissue.at(y, x)

    def _record(self, job: SlideJob, counts: dict[str, Any], n_pixels: NDArray[np.int64]) -> dict[str, Any]:
        own: dict[str, Any] = self._guard(self._segmenter.record)
        mpp, diameter = job.recipe.mpp, sqrt(4 / pi * float(np.median(n_pixels))) if len(n_pixels) else None
        notes = []
        if (cut := counts["n_at_limit"]) > 0:
            notes.append(f"{cut} detections over the limit of a window were left out; raise max_detections")
        expected, tolerance = own.get("expected_diameter_px"), own.get("size_tolerance")
        if diameter and expected and tolerance and not 1 / tolerance <= diameter / expected <= tolerance:
            notes.append(
                f"cells measure {diameter * mpp:.3g} um across (median) where {expected * mpp:.3g} um were expected; "
                "check the pixel size, or give diameter_um"
            )
        return {
            "method": self._segmenter.method,
            **counts,
            "median_diameter_um": None if diameter is None else round(diameter * mpp, 6),
            "notes": notes,
            "mpp": mpp,
            "segmenter": own,
        }


@dataclass(frozen=True)
class RecordedSegmenter:
    """Stands in for the segmenter by which other jobs looked at all windows of a slide: says of it what they wrote."""

    method: str
    classes: tuple[str, ...]
    window_px: int
    overlap_px: int
    said: dict[str, Any]

    def find_cells(self, read: Reader, window: Window) -> TileCells:
        """Never asked for: the windows have been looked at."""
        raise NotImplementedError

    def record(self) -> dict[str, Any]:
        """What the segmenter itself said."""
        return self.said


def _replayed(job: SlideJob, grid: WindowGrid) -> Iterator[tuple[Tile, TileCells, Packed]]:
    """What other jobs found in the windows of the slide."""

    def read(batch: pa.RecordBatch) -> tuple[Tile, TileCells, Packed]:
        tile = grid.tile(tile_of(batch))
        return tile, *read_cells(batch, tile.read)

    return map_tiles(read, job.shards.batches() if job.shards else (), workers=job.workers)


def spread_windows(tissue: TissueMask, height_px: int, width_px: int, side_px: int) -> list[Window]:
    """Up to six windows of at most `side_px` a side whose middles are spread over the tissue, in raster order."""
    rows, columns = np.nonzero(tissue.blocks)
    chosen: list[Window] = []
    for k in range(_N_SPREAD if len(rows) else 0):
        at = len(rows) * (2 * k + 1) // (2 * _N_SPREAD)
        spans = []
        for block, length in ((int(rows[at]), height_px), (int(columns[at]), width_px)):
            middle = block * tissue.block_px + tissue.block_px // 2
            begin = max(min(middle - side_px // 2, length - side_px), 0)
            spans.append((begin, min(begin + side_px, length)))
        window = Window(*spans[0], *spans[1])
        if window not in chosen:
            chosen.append(window)
    return chosen


def _batches(tiles: Iterable[Tile], size: int) -> Iterator[list[Tile]]:
    rest = iter(tiles)
    while batch := list(islice(rest, size)):
        yield batch


def _check_shape(cells: TileCells, window: Window, method: str) -> None:
    if cells.labels.shape != (window.height, window.width):
        raise ModelError(
            f"segmenter {method}: labels of shape {cells.labels.shape} for a window of {window.height} x "
            f"{window.width} px; expected its own shape; correct the segmenter"
        )


def _strip_px(width_px: int) -> int:
    """Rows of a strip that is settled at once: a power of two, fewer on wider slides, for memory not to grow."""
    return max(_LEAST_STRIP_PX, min(STRIP_PX, 1 << (_STRIP_AREA_PX // width_px).bit_length() - 1))


def _settle(
    job: SlideJob, windows: ClusterScratch, strip_px: int, joined: JoinedCells, report: Callable[[int], None]
) -> SlidePieces:
    """Give each pixel to the most certain of the cells that claim it; of each cell the largest piece is left.

    The pieces of all strips go into the job's scratch.
    """
    joiner, height = PieceJoiner(), job.recipe.height_px
    numbers = range(-(-height // strip_px))

    def work(item: tuple[int, Any]) -> tuple[StripPieces, Packed]:
        strip, packed = item
        y0 = strip * strip_px
        # cells are numbered from the most certain on, and the scratch lets the least number win
        found = find_pieces(windows.unpack(strip, packed, height, joined.cell_of), y0=y0)
        rows, columns = found.pieces.shape
        again = job.scratch.pack(Window(y0, y0 + rows, 0, columns), found.pieces)
        return replace(found, pieces=found.pieces[[0, -1]]), again  # the rims are all that the joiner looks at

    fetched = ((strip, windows.fetch(strip)) for strip in numbers)
    for done, (found, packed) in enumerate(map_tiles(work, fetched, workers=job.workers), start=1):
        job.scratch.put(packed, joiner.add(found))
        report(done)
    return joiner.finish()
