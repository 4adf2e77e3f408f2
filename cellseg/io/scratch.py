"""Labels of tiles kept on disk, compressed, until their cells are known. Floor 2."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple, Self

import imagecodecs
import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.errors import CellsegError
from cellseg.io.atomic import writing_fault
from cellseg.types import Labels, Window


class _Piece(NamedTuple):
    window: Window
    cluster_offset: int
    at: int
    n_bytes: int


@njit(nogil=True, cache=True)
def _look_up(out: Labels, y: int, x: int, local: Labels, offset: int, cell_of: Labels) -> None:
    for i in range(local.shape[0]):
        for j in range(local.shape[1]):
            if local[i, j]:
                cell, there = cell_of[local[i, j] + offset], out[y + i, x + j]
                if cell and (there == 0 or cell < there):
                    out[y + i, x + j] = cell


class ClusterScratch:
    """A temporary file of the labels of all tiles; read back strip by strip of the slide as cells.

    Label images compress about a hundredfold, so 20,000 x 20,000 px take some tens of megabytes.

    Raises
    ------
    CellsegError
        If the folder cannot be written or the disk is full.
    """

    def __init__(self, folder: Path, *, width_px: int, strip_px: int) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder, prefix=".tmp-clusters-")  # noqa: SIM115
        except OSError as error:
            raise self._fault(error) from error
        self._width, self._strip = width_px, strip_px
        self._strips: dict[int, list[_Piece]] = {}
        self._end = 0

    def pack(self, core: Window, labels: Labels) -> list[tuple[Window, bytes]]:
        """The labels of a tile's core, cut at the strips' edges and compressed; safe in any thread."""
        out = []
        y = core.y0
        while y < core.y1:
            end = min((y // self._strip + 1) * self._strip, core.y1)
            piece = np.ascontiguousarray(labels[y - core.y0 : end - core.y0])
            if piece.any():
                window = Window(y, end, core.x0, core.x1)
                out.append((window, bytes(imagecodecs.zstd_encode(piece.tobytes(), level=1))))
            y = end
        return out

    @staticmethod
    def unpack_one(pieces: list[tuple[Window, bytes]], tile: Window) -> Labels:
        """The labels (h, w) uint32 of one tile, from what `pack` gave for it."""
        out = np.zeros((tile.height, tile.width), np.uint32)
        for window, data in pieces:
            local = np.frombuffer(imagecodecs.zstd_decode(data), np.uint32)
            out[window.inside(tile)] = local.reshape(window.height, window.width)
        return out

    def put(self, pieces: list[tuple[Window, bytes]], cluster_offset: int) -> None:
        """Keep what `pack` gave; `cluster_offset` turns the tile's clusters into the slide's."""
        for window, data in pieces:
            try:
                self._file.write(data)
                self._file.flush()  # a full disk is met here rather than when the buffer happens to be emptied
            except OSError as error:
                raise self._fault(error) from error
            self._strips.setdefault(window.y0 // self._strip, []).append(
                _Piece(window, cluster_offset, self._end, len(data))
            )
            self._end += len(data)

    def _fault(self, error: OSError) -> CellsegError:
        return writing_fault(self._folder, error)

    def fetch(self, strip: int) -> list[tuple[_Piece, bytes]]:
        """The compressed pieces of a strip; not safe in several threads."""
        out = []
        for piece in self._strips.get(strip, []):
            self._file.seek(piece.at)
            out.append((piece, self._file.read(piece.n_bytes)))
        return out

    def unpack(
        self,
        strip: int,
        pieces: list[tuple[_Piece, bytes]],
        height_px: int,
        cell_of: NDArray[np.uint32],
        *,
        columns: tuple[int, int] | None = None,
    ) -> Labels:
        """The strip (h, W) uint32 with each cluster replaced by `cell_of` it; safe in any thread.

        Where tiles overlap, the cell with the least number has the pixel. Of `columns`, begin and end, no more than
        these.
        """
        begin, end = columns or (0, self._width)
        out = np.zeros((min(self._strip, height_px - strip * self._strip), end - begin), np.uint32)
        for piece, data in pieces:
            window = piece.window
            if window.x1 <= begin or window.x0 >= end:
                continue
            local = np.frombuffer(imagecodecs.zstd_decode(data), np.uint32).reshape(window.height, window.width)
            seen = local[:, max(begin - window.x0, 0) : end - window.x0]
            at = window.y0 - strip * self._strip, max(window.x0 - begin, 0)
            _look_up(out, *at, seen, piece.cluster_offset, cell_of)
        return out

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # after a fault, closing tries once more to write what did not fit; nobody needs it
        with suppress(OSError):
            self._file.close()
