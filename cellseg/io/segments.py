"""Reading a window of a TIFF page: only the strips or tiles that it touches, by any number of threads. Floor 2."""

from __future__ import annotations

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellseg.errors import ImageError
from cellseg.io.ome import TiffPage
from cellseg.io.raster import jpeg_frame, jpeg_is_complete
from cellseg.io.reader_faults import what_it_said
from cellseg.types import Window

CACHE_BYTES = 64 << 20
STRIP_CACHE_BYTES = 192 << 20
"""Strips span the image's width, so a row of square tiles needs more of them to decode each only once."""
_JPEG = (6, 7, 34892, 33007)
_APERIO_YCBCR = 33003
_CURE = "the file is incomplete or damaged; copy or export it again"


class SegmentCache:
    """The decoded strips and tiles used last, up to `limit_bytes`, always at least one.

    Threads that want the same segment at once wait for one of them to decode it.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()
        self.held_bytes = 0
        self._gates: dict[tuple[int, int], threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: tuple[int, int], decode: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """The segment of that key, decoded if it is not held."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
            gate = self._gates.setdefault(key, threading.Lock())
        with gate:
            with self._lock:
                if key in self._held:
                    return self._held[key]
            segment = decode()
            self._keep(key, segment)
            return segment

    def _keep(self, key: tuple[int, int], segment: NDArray[Any]) -> None:
        with self._lock:
            before = self._held.pop(key, None)
            self._held[key] = segment
            self.held_bytes += segment.nbytes - (0 if before is None else before.nbytes)
            self._gates.pop(key, None)
            while self.held_bytes > self._limit_bytes and len(self._held) > 1:
                self.held_bytes -= self._held.popitem(last=False)[1].nbytes

    def clear(self) -> None:
        """Let all of them go."""
        with self._lock:
            self._held.clear()
            self.held_bytes = 0


class PageReader:
    """One page of a TIFF, read by window. `page` is tifffile's; everything needed is taken from it at once.

    `samples` is the number of values a pixel has in one segment, `planes` the number of sample planes stored apart.
    """

    def __init__(self, page: TiffPage, path: Path, handle: int, cache: SegmentCache, *, max_decoded_mpx: float) -> None:
        kf = page.keyframe
        self._path, self._handle, self._cache = path, handle, cache
        self.height, self.width = int(kf.imagelength), int(kf.imagewidth)
        contiguous = kf.planarconfig == 1
        self.samples = int(kf.samplesperpixel) if contiguous else 1
        self.planes = 1 if contiguous else int(kf.samplesperpixel)
        self.dtype = np.dtype(kf.dtype).newbyteorder("=")
        self.is_tiled = bool(kf.is_tiled)
        self._page_id = int(page.offset)
        self._segment = self._segment_shape(kf)
        self._across = math.ceil(self.width / self._segment[1])
        self._down = math.ceil(self.height / self._segment[0])
        self._offsets = np.asarray(page.dataoffsets, np.int64)
        self._counts = np.asarray(page.databytecounts, np.int64)
        self._max_decoded_mpx = max_decoded_mpx
        self._compression = int(kf.compression)
        # uncompressed strips are read row by row: a file may be one strip of many gigabytes
        self._raw = (
            self._compression == 1 and kf.predictor == 1 and not self.is_tiled and kf.bitspersample in (8, 16, 32)
        )
        self._raw = self._raw and kf.fillorder == 1
        self._stored = self.dtype.newbyteorder(kf.parent.byteorder)
        self._decode = kf.decode
        self._jpeg = {"jpegtables": page.jpegtables, "jpegheader": kf.jpegheader} if self._compression in _JPEG else {}
        self._sparse_value = np.iinfo(self.dtype).max if self.samples >= 3 and self.dtype.kind == "u" else 0
        self._check()

    def _segment_shape(self, kf: TiffPage) -> tuple[int, int]:
        if self.is_tiled:
            return int(kf.tilelength), int(kf.tilewidth)
        return max(1, min(int(kf.rowsperstrip), self.height)), self.width

    def _check(self) -> None:
        """Refuse at opening what would fail, or be made up, at reading."""
        expected = self._across * self._down * self.planes
        if len(self._offsets) != expected or len(self._counts) != expected:
            raise ImageError(
                f"{self._path}: {len(self._offsets)} strips or tiles by tifffile, expected {expected} for "
                f"{self.height} x {self.width} px; {_CURE}"
            )
        size = os.fstat(self._handle).st_size
        ends = self._offsets + self._counts
        if int(ends.max()) > size or int(self._offsets.min()) < 0 or int(self._counts.min()) < 0:
            raise ImageError(
                f"{self._path}: truncated TIFF, its pixels end at byte {int(ends.max())} of a file of {size}; {_CURE}"
            )
        if not self._counts.any() or (not self.is_tiled and not self._counts.all()):
            raise ImageError(f"{self._path}: TIFF with strips or tiles that were never written; {_CURE}")
        if not self._raw:
            self._check_mpx(*self._segment, "strip or tile")
        elif (short := np.flatnonzero(self._counts < self._raw_bytes())).size:
            raise ImageError(f"{self._path}: strip {int(short[0])} holds fewer bytes than its pixels need; {_CURE}")

    def _raw_bytes(self) -> NDArray[np.int64]:
        rows = np.minimum(self._segment[0], self.height - np.arange(self._down) * self._segment[0])
        return np.tile(rows * self.width * self.samples * self.dtype.itemsize, self.planes)

    def _check_mpx(self, height: int, width: int, what: str) -> None:
        mpx = height * width / 1e6
        if mpx > self._max_decoded_mpx:
            raise ImageError(
                f"{self._path}: a {what} of {height} x {width} px would decode to {mpx:.0f} Mpx; the limit "
                f"input.max_decoded_mpx is {self._max_decoded_mpx:g}; save it as a tiled TIFF, or raise the limit if "
                "memory allows"
            )

    def read(self, window: Window, plane: int = 0) -> NDArray[Any]:
        """Values (h, w, samples) of `window` in the file's type, native byte order."""
        out = np.empty((window.height, window.width, self.samples), self.dtype)
        if out.size == 0:
            return out
        if self._raw:
            self._read_raw(window, plane, out)
            return out
        tall, wide = self._segment
        for row in range(window.y0 // tall, -(-window.y1 // tall)):
            for column in range(window.x0 // wide, -(-window.x1 // wide)):
                index = (plane * self._down + row) * self._across + column
                tile = Window(row * tall, (row + 1) * tall, column * wide, (column + 1) * wide)
                part = Window(
                    max(tile.y0, window.y0), min(tile.y1, window.y1), max(tile.x0, window.x0), min(tile.x1, window.x1)
                )
                if self._counts[index] == 0:
                    out[part.inside(window)] = self._sparse_value
                    continue
                key = (self._page_id, index)
                segment = self._cache.get(key, lambda i=index, t=tile: self._segment_pixels(i, t))  # type: ignore[misc]
                out[part.inside(window)] = segment[part.inside(tile)]
        return out

    def _read_raw(self, window: Window, plane: int, out: NDArray[Any]) -> None:
        """Fill `out` from uncompressed strips: whole rows at once where the window spans them, else row by row."""
        pixel = self.samples * self.dtype.itemsize
        stride = self.width * pixel
        stored = out.view(self._stored)
        y = window.y0
        while y < window.y1:
            strip, inner = divmod(y, self._segment[0])
            rows = min(self._segment[0] - inner, window.y1 - y) if window.width == self.width else 1
            offset = int(self._offsets[plane * self._down + strip]) + inner * stride + window.x0 * pixel
            target = memoryview(stored[y - window.y0 : y - window.y0 + rows]).cast("B")
            while target:
                got = os.preadv(self._handle, [target], offset)
                if got <= 0:
                    raise ImageError(f"{self._path}: the file ends at row {y}; {_CURE}")
                target, offset = target[got:], offset + got
            y += rows
        if not self._stored.isnative:
            out.byteswap(inplace=True)

    def _segment_pixels(self, index: int, tile: Window) -> NDArray[Any]:
        """One decoded segment (h, w, samples), at least as large as its part of the image."""
        where = f"{self._path}: {'tile' if self.is_tiled else 'strip'} {index}"
        need = tile.clip(self.height, self.width)
        try:
            data = _pread(self._handle, int(self._counts[index]), int(self._offsets[index]))
            if self._jpeg:
                self._check_jpeg(data, where)
            decoded, _, _ = self._decode(data, index, **self._jpeg)
        except ImageError:
            raise
        # codecs raise their own errors, all of them RuntimeErrors; tifffile raises ValueErrors
        except (RuntimeError, ValueError, OSError, NotImplementedError, TypeError) as error:
            said = what_it_said(error, self._path)
            raise ImageError(f"{where} cannot be decoded by imagecodecs ({said}); {_CURE}") from error
        pixels: NDArray[Any] = decoded.reshape(decoded.shape[-3:])
        if pixels.shape[0] < need.height or pixels.shape[1] < need.width or pixels.shape[2] != self.samples:
            raise ImageError(f"{where} decodes to {pixels.shape}, expected {need.height} x {need.width} px; {_CURE}")
        return _rgb_from_ycbcr(pixels) if self._compression == _APERIO_YCBCR and self.samples == 3 else pixels

    def _check_jpeg(self, data: bytes, where: str) -> None:
        frame = jpeg_frame(data)
        if frame is None or not jpeg_is_complete(data, frame[4]):
            # tables may hold the header of odd files; without an end the codec would paint the rest gray
            if b"\xff\xd9" not in data[-64:]:
                raise ImageError(f"{where}: truncated JPEG data; {_CURE}")
            return
        self._check_mpx(frame[0], frame[1], "JPEG tile")


def _pread(handle: int, count: int, offset: int) -> bytes:
    data = os.pread(handle, count, offset)
    while len(data) < count:
        more = os.pread(handle, count - len(data), offset + len(data))
        if not more:
            raise OSError("the file ends before its data")
        data += more
    return data


def _rgb_from_ycbcr(pixels: NDArray[Any]) -> NDArray[Any]:
    """RGB uint8 of YCbCr uint8 (ITU-T T.871): Aperio's JPEG 2000 codestreams do not name their colour space."""
    y, cb, cr = (pixels[..., i].astype(np.float32) for i in range(3))
    cb, cr = cb - 128.0, cr - 128.0
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    clipped: NDArray[np.uint8] = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)
    return clipped
