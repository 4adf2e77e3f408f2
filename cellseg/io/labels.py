"""Label images on disk: tiled OME-TIFF of uint32, written strip by strip, read window by window. Floor 2."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import IO, Any, NamedTuple

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from cellseg.errors import ImageError, LabelError
from cellseg.io.atomic import atomic_path
from cellseg.io.closing import Closing
from cellseg.io.pixel_size import pixel_size_of_tiff
from cellseg.io.raster import check_window, decode_raster, read_header
from cellseg.io.segments import CACHE_BYTES, PageReader, SegmentCache
from cellseg.io.slide import sniff
from cellseg.io.tiff import main_series, open_tiff
from cellseg.types import Labels, Level, Window, check_labels

STRIP_PX = 512
"""Rows of a strip that `write_labels` takes, and side of the tiles it writes."""
PART_PX = 8192
"""Columns of a strip that need be in memory at once."""
REDUCTION = 4
"""How much smaller each level of the pyramid is than the one before."""
_SMALLEST_LEVEL_PX = 1024
_SPOOL_BYTES = 16 << 20
_BIGTIFF_BYTES = 2**32 - 2**25
_OME = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation='
    '"http://www.openmicroscopy.org/Schemas/OME/2016-06 http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd">'
    '<Image ID="Image:0" Name="labels"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint32" '
    'SizeX="{width}" SizeY="{height}" SizeC="1" SizeZ="1" SizeT="1" '
    'PhysicalSizeX="{mpp!r}" PhysicalSizeXUnit="&#181;m" PhysicalSizeY="{mpp!r}" PhysicalSizeYUnit="&#181;m">'
    '<Channel ID="Channel:0:0" Name="cell_id" SamplesPerPixel="1"/>'
    '<TiffData IFD="0" PlaneCount="1"/></Pixels></Image></OME>'
)


class EncodedStrip(NamedTuple):
    """A strip of a label image as it goes into the file: its `shape`, its tiles, and every fourth label of it.

    `reduced` is (ceil(h / 4), ceil(w / 4)) uint32, what the strip is on the next level of the pyramid.
    """

    shape: tuple[int, int]
    tiles: tuple[bytes, ...]
    reduced: Labels


def encode_strip(strip: Labels) -> EncodedStrip:
    """Compress a full-width strip (<= 512, W) uint32 for `write_labels`; safe in any thread."""
    check_labels(strip, "strip of labels")
    reduced = np.ascontiguousarray(strip[::REDUCTION, ::REDUCTION])
    return EncodedStrip(strip.shape, tuple(_encode_tiles(strip)), reduced)


def encode_parts(parts: Iterable[Labels]) -> EncodedStrip:
    """As `encode_strip`, from parts of a strip side by side, of which no more than one need be in memory.

    All but the last are `PART_PX` wide.
    """
    encoded = [encode_strip(part) for part in parts]
    height, tiles = encoded[0].shape[0], tuple(tile for part in encoded for tile in part.tiles)
    reduced = np.concatenate([part.reduced for part in encoded], axis=1)
    return EncodedStrip((height, sum(part.shape[1] for part in encoded)), tiles, reduced)


def _encode_tiles(strip: Labels) -> Iterator[bytes]:
    """The compressed 512 x 512 tiles of a strip, the last ones filled up with background."""
    for x in range(0, strip.shape[1], STRIP_PX):
        part = strip[:, x : x + STRIP_PX]
        if not part.any():
            yield _empty_tile()
            continue
        if part.shape != (STRIP_PX, STRIP_PX):
            part = np.pad(part, [(0, STRIP_PX - part.shape[0]), (0, STRIP_PX - part.shape[1])])
        yield bytes(imagecodecs.zlib_encode(part.tobytes()))


@cache
def _empty_tile() -> bytes:
    return bytes(imagecodecs.zlib_encode(bytes(4 * STRIP_PX * STRIP_PX)))


class _ReducedLevel:
    """A smaller level of the pyramid, which grows while the full one is written and waits, compressed, in a file."""

    def __init__(self, folder: Path, height_px: int, width_px: int) -> None:
        self.height_px, self.width_px = height_px, width_px
        self._rows = np.zeros((0, width_px), np.uint32)
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_SPOOL_BYTES, dir=str(folder), prefix=".tmp-level-")  # noqa: SIM115
        self._sizes: list[int] = []

    def add(self, rows: Labels) -> Labels:
        """Take the next rows; gives the whole strips among them, reduced once more."""
        held = np.concatenate([self._rows, rows]) if len(self._rows) else rows
        whole = len(held) - len(held) % STRIP_PX
        self._rows = held[whole:].copy()
        self._keep(held[:whole])
        return held[:whole:REDUCTION, ::REDUCTION]

    def end(self) -> Labels:
        """The last strip, which may be lower than others, reduced."""
        rows, self._rows = self._rows, self._rows[:0]
        self._keep(rows)
        return rows[::REDUCTION, ::REDUCTION]

    def _keep(self, rows: Labels) -> None:
        for y in range(0, len(rows), STRIP_PX):
            for tile in _encode_tiles(rows[y : y + STRIP_PX]):
                self._file.write(tile)
                self._sizes.append(len(tile))

    def tiles(self) -> Iterator[bytes]:
        """The compressed tiles in raster order."""
        self._file.seek(0)
        return (self._file.read(size) for size in self._sizes)

    def close(self) -> None:
        self._file.close()


def reduced_shapes(height_px: int, width_px: int) -> list[tuple[int, int]]:
    """Height and width of the smaller levels of a label image: a quarter each, until both sides are <= 1024 px."""
    shapes = []
    while max(height_px, width_px) > _SMALLEST_LEVEL_PX:
        height_px, width_px = -(-height_px // REDUCTION), -(-width_px // REDUCTION)
        shapes.append((height_px, width_px))
    return shapes


def write_labels(
    path: Path, strips: Iterable[Labels | EncodedStrip], *, height_px: int, width_px: int, mpp: float
) -> None:
    """Write a label image from full-width strips, top to bottom; the same labels give the same bytes.

    Images of more than 1024 px a side get a pyramid, as viewers want it: levels of a quarter of the size each, in
    sub-IFDs, with every fourth label of a row and every fourth row of the level before.

    Parameters
    ----------
    path : Path
        The OME-TIFF; appears when it is whole.
    strips : iterable of (512, width_px) ndarray of uint32, or of what `encode_strip` made of them
        The last one has what is left of `height_px`. One strip is held at a time.
    height_px, width_px : int
        Size of the label image, px; a BigTIFF is written where the uncompressed image passes 4 GiB.
    mpp : float
        Microns per pixel.

    Raises
    ------
    LabelError
        If a strip has another type or shape, or there are too few or too many.
    CellsegError
        If the file cannot be written.
    """
    description = _OME.format(width=width_px, height=height_px, mpp=float(mpp))
    big, source = is_bigtiff(height_px, width_px), iter(strips)
    with ExitStack() as stack:
        temporary = stack.enter_context(atomic_path(path))
        tiff = stack.enter_context(tifffile.TiffWriter(temporary, bigtiff=big, ome=False))
        levels = [_ReducedLevel(path.parent, *shape) for shape in reduced_shapes(height_px, width_px)]
        for level in levels:
            stack.callback(level.close)
        _write_level(
            tiff, _tiles(source, levels, path, height_px, width_px), (height_px, width_px), subifds=len(levels),
            description=description,
        )  # fmt: skip
        # the library takes as many tiles as it needs; what is left is a fault of the caller
        if next(source, None) is not None:
            raise LabelError(f"{path}: more strips than the {height_px} rows hold; one starts at row {height_px}")
        for level in levels:
            _write_level(tiff, level.tiles(), (level.height_px, level.width_px), subfiletype=1)


def _write_level(tiff: tifffile.TiffWriter, tiles: Iterator[bytes], shape: tuple[int, int], **about: Any) -> None:  # noqa: ANN401
    tiff.write(
        tiles, shape=shape, dtype=np.uint32, tile=(STRIP_PX, STRIP_PX), compression="zlib", photometric="minisblack",
        metadata=None, software=False, **about,
    )  # fmt: skip


def is_bigtiff(height_px: int, width_px: int) -> bool:
    """Whether a label image of this size is written as BigTIFF: by shape alone, so that content changes no offset."""
    return height_px * width_px * 4 >= _BIGTIFF_BYTES


def _tiles(
    strips: Iterator[Labels | EncodedStrip], levels: list[_ReducedLevel], path: Path, height_px: int, width_px: int
) -> Iterator[bytes]:
    """The tiles of the full level; the smaller ones grow on the way."""
    y = 0
    for given in strips:
        if not isinstance(given, EncodedStrip):
            check_labels(given, f"{path}: strip at row {y}")
        strip = given if isinstance(given, EncodedStrip) else encode_strip(given)
        rows = min(STRIP_PX, height_px - y)
        if strip.shape != (rows, width_px):
            raise LabelError(
                f"{path}: the strip at row {y} is {strip.shape}, expected {(rows, width_px)} of an image of "
                f"{height_px} x {width_px} px"
            )
        y += rows
        reduced = strip.reduced
        for level in levels:
            reduced = level.add(reduced)
        if y == height_px:
            _end(levels)
        yield from strip.tiles
    if y != height_px:
        raise LabelError(f"{path}: {y} rows of labels were given, expected {height_px}")


def _end(levels: list[_ReducedLevel]) -> None:
    rest: Labels | None = None
    for level in levels:
        more = None if rest is None or not rest.size else level.add(rest)
        last = level.end()
        rest = last if more is None or not more.size else np.concatenate([more, last])


class LabelImage(Closing):
    """A label image, ours or another tool's, read by window as uint32. `mpp` is um per pixel, None where it says none.

    TIFF (also 8-bit and 16-bit, and int32 without negative values) is read tile by tile, PNG as a whole. `read` is
    thread-safe.
    """

    def __init__(self, path: Path, *, max_decoded_mpx: float = 500.0) -> None:
        self.path = path
        self.mpp: float | None = None
        self._handle = -1
        self._reader: PageReader | None = None
        self._pixels: NDArray[Any] | None = None
        self._cache = SegmentCache(CACHE_BYTES)
        try:
            self._open_tiff(max_decoded_mpx) if sniff(path) == "TIFF" else self._open_png(max_decoded_mpx)
        except ImageError as error:
            self.close()
            raise LabelError(str(error)) from error
        except BaseException:
            self.close()
            raise

    def _open_tiff(self, max_decoded_mpx: float) -> None:
        self._handle = os.open(self.path, os.O_RDONLY)
        with open_tiff(self.path) as tiff:
            series = main_series(tiff, self.path)
            page = series.keyframe
            if len(series.pages) > 1 or page.samplesperpixel > 1:
                self._refuse(f"{len(series.pages)} pages of {page.samplesperpixel} samples a pixel")
            self._check_type(page.dtype)
            self._reader = PageReader(page, self.path, self._handle, self._cache, max_decoded_mpx=max_decoded_mpx)
            self.height, self.width = self._reader.height, self._reader.width
            pixel_size = pixel_size_of_tiff(tiff.pages.first, self.path)
            self.mpp = pixel_size.mpp if pixel_size else None

    def _open_png(self, max_decoded_mpx: float) -> None:
        header = read_header(self.path)
        if header.n_bits < 8:
            self._refuse(f"a PNG of {header.n_bits} bits a pixel, whose values readers stretch to 8")
        if header.kind != "PNG" or header.n_colors != 1:
            self._refuse(
                f"a {header.kind} of {header.n_colors} colours" + (" (lossy)" if header.kind == "JPEG" else "")
            )
        if header.height * header.width > max_decoded_mpx * 1e6:
            self._refuse(f"a PNG of {header.height} x {header.width} px, over input.max_decoded_mpx")
        self._pixels = decode_raster(self.path, "PNG")
        self._pixels = self._pixels if self._pixels.ndim == 2 else self._pixels[:, :, 0]
        self.height, self.width = self._pixels.shape
        self.mpp = header.pixel_size.mpp if header.pixel_size else None

    def _check_type(self, dtype: np.dtype[Any] | None) -> None:
        if dtype is None or np.dtype(dtype) not in (np.uint8, np.uint16, np.uint32, np.int32):
            self._refuse(f"{dtype} values")

    def _refuse(self, found: str) -> None:
        raise LabelError(
            f"{self.path}: {found}; expected one plane of whole numbers, 0 for background and one number a cell; save "
            "the labels as 32-bit TIFF"
        )

    def read(self, window: Window) -> Labels:
        """Labels (h, w) uint32 of `window`.

        Raises
        ------
        LabelError
            If the data is damaged or has negative values.
        """
        check_window(window, (Level(self.height, self.width, 1.0),), 0, self.path)
        if self._reader is None:
            if self._pixels is None:
                raise ValueError(f"{self.path}: read after close")
            values = self._pixels[window.y0 : window.y1, window.x0 : window.x1]
        else:
            try:
                values = self._reader.read(window)[:, :, 0]
            except ImageError as error:
                raise LabelError(str(error)) from error
        if values.dtype.kind == "i" and values.size and int(values.min()) < 0:
            self._refuse(f"a negative label ({int(values.min())})")
        return values.astype(np.uint32, copy=self._reader is None)

    def close(self) -> None:
        """Close the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        self._cache.clear()
        self._pixels = None


def open_labels(path: Path, *, max_decoded_mpx: float = 500.0) -> LabelImage:
    """Open a label image for reading by window; a context manager.

    Raises
    ------
    LabelError
        If the file is missing, truncated, not an image, or not one plane of whole numbers.
    """
    return LabelImage(path, max_decoded_mpx=max_decoded_mpx)
