"""TIFF in its many shapes as a slide: which pages are levels, which are channels, and what is refused. Floor 2."""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from cellseg.errors import ImageError
from cellseg.io.closing import Closing
from cellseg.io.ome import TiffPage, parse_ome
from cellseg.io.pixel_size import objective_power_of_tiff, pixel_size_of_tiff
from cellseg.io.raster import check_window
from cellseg.io.reader_faults import what_it_said
from cellseg.io.segments import CACHE_BYTES, STRIP_CACHE_BYTES, PageReader, SegmentCache
from cellseg.types import Level, Pixels, PixelSize, Window

TIFF_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_IMAGE_CODECS = (6, 7, 34892, 33007, 33003, 33004, 33005, 34712, 34933, 34934, 50001, 22610)
_AXIS_NAMES = {"Z": "focus (Z) planes", "T": "time points (T)"}
# what tifffile raises on damaged directories, tags and offsets
_DAMAGED = (
    tifffile.TiffFileError,
    ValueError,
    LookupError,
    TypeError,
    OSError,
    ArithmeticError,
    struct.error,
    RuntimeError,
    MemoryError,
)
_UNNAMED = "pages that nothing tells apart"

# what tifffile warns of is checked here and raised with its cure; its own lines would come twice
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class _Layout:
    """How pages become channels: `pages` is one a channel, or one page that holds them all."""

    pages: tuple[TiffPage, ...]
    n_channels: int
    is_rgb: bool


class TiffSlide(Closing):
    """A TIFF, OME-TIFF or Aperio SVS, of which `read` decodes only the strips and tiles that a window touches.

    Alpha and other extra samples of RGB and gray images are dropped; MinIsWhite is inverted; a palette becomes 8-bit
    RGB; tiles that a scanner left out (no bytes) are white in colour, 0 otherwise. Label and macro pages are never
    levels.
    """

    def __init__(self, path: Path, *, max_decoded_mpx: float) -> None:
        self.path = path
        self._handle = os.open(path, os.O_RDONLY)
        try:
            with open_tiff(path) as tiff:
                self._describe(tiff, max_decoded_mpx)
        except BaseException:
            self.close()
            raise

    def _describe(self, tiff: TiffPage, max_decoded_mpx: float) -> None:
        series = main_series(tiff, self.path)
        layout = _layout(series, self.path)
        first = layout.pages[0].keyframe
        cache = SegmentCache(CACHE_BYTES if first.is_tiled else STRIP_CACHE_BYTES)
        stacks = [layout.pages, *(_layout(level, self.path).pages for level in _lower_levels(tiff, series, layout))]
        self._readers = [
            tuple(PageReader(page, self.path, self._handle, cache, max_decoded_mpx=max_decoded_mpx) for page in pages)
            for pages in stacks
        ]
        self._cache = cache
        self.height, self.width = self._readers[0][0].height, self._readers[0][0].width
        self.is_rgb = layout.is_rgb
        self.levels = tuple(
            Level(r[0].height, r[0].width, (self.height / r[0].height + self.width / r[0].width) / 2)
            for r in self._readers
        )
        self._invert = first.photometric == _MIN_IS_WHITE
        self._palette = _palette(first)
        self.dtype = np.dtype(np.uint8) if self._palette is not None else self._readers[0][0].dtype
        self._refuse_type(first)
        self.channel_names = _channel_names(tiff, layout)
        self.pixel_size: PixelSize | None = pixel_size_of_tiff(tiff.pages.first, self.path)
        self.objective_power = objective_power_of_tiff(tiff.pages.first)
        self.format = _format_name(tiff, first)

    def _refuse_type(self, page: TiffPage) -> None:
        if self._palette is not None or (page.dtype in (np.uint8, np.uint16) and page.bitspersample >= 8):
            return
        found = f"{page.dtype} pixels" if page.bitspersample >= 8 else f"{page.bitspersample}-bit pixels"
        if page.dtype.kind == "f" and self._has_nan():
            found += " with NaN"
        raise ImageError(
            f"{self.path}: {found}; expected 8-bit or 16-bit unsigned integers; rescale the image to 0..65535 (NaN to "
            "0) and save it as 16-bit"
        )

    def _has_nan(self) -> bool:
        reader = self._readers[0][0]
        rows = max(1, min(reader.height, 4_000_000 // reader.width))
        starts = range(0, min(reader.height, 8 * rows), rows)
        return any(
            bool(np.isnan(reader.read(Window(y, min(y + rows, reader.height), 0, reader.width))).any()) for y in starts
        )

    def read(self, window: Window, level: int = 0) -> Pixels:
        """Pixels (h, w, C) of `window`, in pixels of `level`.

        Raises
        ------
        ImageError
            If a strip or tile is damaged.
        """
        check_window(window, self.levels, level, self.path)
        readers = self._readers[level]
        if len(readers) > 1:
            pixels = np.concatenate([reader.read(window) for reader in readers], axis=2)
        elif readers[0].planes > 1:
            wanted = range(min(readers[0].planes, len(self.channel_names)))
            pixels = np.concatenate([readers[0].read(window, plane) for plane in wanted], axis=2)
        else:
            pixels = readers[0].read(window)
        if self._palette is not None:
            colors: Pixels = self._palette[pixels[:, :, 0]]
            return colors
        if self._invert:
            np.subtract(np.iinfo(self.dtype).max, pixels, out=pixels)
        return np.ascontiguousarray(pixels[:, :, : len(self.channel_names)])

    def close(self) -> None:
        """Close the file and let the decoded segments go."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        if hasattr(self, "_cache"):
            self._cache.clear()


@contextmanager
def open_tiff(path: Path) -> Iterator[TiffPage]:
    """The view that tifffile has of a TIFF; what it, or we, stumble over within is a damaged file.

    Raises
    ------
    ImageError
        If the file's directory is damaged or cut off, or has no pixels.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            if len(tiff.pages) == 0 or tiff.pages.first.imagewidth == 0 or tiff.pages.first.imagelength == 0:
                raise ImageError(f"{path}: a TIFF without pixels; expected at least 1 x 1 px; export it again")
            yield tiff
    except _DAMAGED as error:
        raise ImageError(
            f"{path}: truncated or damaged TIFF, says tifffile ({what_it_said(error, path)}); copy or export it again"
        ) from error


def main_series(tiff: TiffPage, path: Path) -> TiffPage:
    """The first image of the file, refused when a later one is larger: nothing says which is meant.

    Raises
    ------
    ImageError
        If the file's pages cannot be understood, or the first image is not the largest.
    """
    series = list(tiff.series)
    if not series:
        raise ImageError(f"{path}: a TIFF without an image; export it again")
    first = series[0].keyframe
    area = first.imagelength * first.imagewidth
    others = (other.keyframe for other in series[1:])
    larger = next((page for page in others if page.imagelength * page.imagewidth > area), None)
    if larger is not None:
        raise ImageError(
            f"{path}: {len(series)} images, of which the first ({first.imagelength} x {first.imagewidth} px) is not "
            f"the largest ({larger.imagelength} x {larger.imagewidth}); export the one that is meant as its own file"
        )
    return series[0]


def _layout(series: TiffPage, path: Path) -> _Layout:
    """Channels of a series by its named axes; nothing is guessed from lengths."""
    page = series.keyframe
    samples = int(page.samplesperpixel)
    sizes = {axis: int(n) for axis, n in zip(series.axes, series.shape, strict=True) if axis not in "YX" and n > 1}
    stacked = int(np.prod(list(sizes.values()))) // (samples if samples > 1 else 1)
    others = [axis for axis in sizes if axis not in "CS"]
    if others or int(page.imagedepth) > 1:
        what = ", ".join(f"{sizes[axis]} {_AXIS_NAMES.get(axis, _UNNAMED)}" for axis in others) or "a volume"
        raise ImageError(
            f"{path}: {what}; expected one plane; export one focus plane or time point (or a projection) a file, and "
            "channels as the C axis of an OME-TIFF"
        )
    _check_coding(page, path)
    is_rgb = _check_colors(page, path)
    if stacked > 1 and (samples > 1 or is_rgb):
        raise ImageError(
            f"{path}: {stacked} channels of {samples} samples each; expected gray channels or one RGB image; split them"
        )
    pages = tuple(series.pages[i] for i in range(max(stacked, 1)))
    if any(page is None for page in pages):
        raise ImageError(f"{path}: {stacked} channels but not a directory for each; save it again as OME-TIFF")
    return _Layout(pages, 3 if is_rgb else _n_channels(page, stacked), is_rgb)


def _check_coding(page: TiffPage, path: Path) -> None:
    """Refuse number formats and compressions that no decoder knows."""
    if page.dtype is None:
        raise ImageError(
            f"{path}: samples of {page.bitspersample} bits in format {page.sampleformat}; expected 8-bit or 16-bit "
            "unsigned integers; export it again"
        )
    if not hasattr(page.compression, "name"):
        raise ImageError(
            f"{path}: unknown compression {page.compression}; expected none, LZW, deflate, zstd, JPEG or JPEG 2000; "
            "save it with one of these"
        )


def _n_channels(page: TiffPage, stacked: int) -> int:
    samples = int(page.samplesperpixel)
    if samples == 1:
        return max(stacked, 1)
    # samples that the file calls alpha are not channels
    return samples - sum(1 for extra in page.extrasamples if int(extra) in (1, 2)) or 1


def _check_colors(page: TiffPage, path: Path) -> bool:
    """Whether the page is colour; refuses colour spaces that would be misread."""
    photometric, samples = int(page.photometric), int(page.samplesperpixel)
    if photometric == _PALETTE or (photometric in (_RGB, _YCBCR) and samples >= 3):
        if photometric == _YCBCR and int(page.compression) not in _IMAGE_CODECS:
            raise ImageError(f"{path}: YCbCr pixels without JPEG compression; expected RGB; save it as RGB")
        return True
    if photometric not in (_MIN_IS_WHITE, _MIN_IS_BLACK):
        raise ImageError(
            f"{path}: colour space {getattr(page.photometric, 'name', photometric)}; expected gray, RGB, "
            "YCbCr (JPEG) or palette; save it as RGB"
        )
    return False


def _lower_levels(tiff: TiffPage, series: TiffPage, layout: _Layout) -> list[TiffPage]:
    """The pyramid's smaller levels: those that tifffile knows, else reduced pages of the same look that follow."""
    base = layout.pages[0].keyframe
    known = [level for level in series.levels[1:] if _is_reduced(level.keyframe, base)]
    if known or len(layout.pages) > 1 or tiff.is_svs:
        return known
    return [
        other
        for other in tiff.series[1:]
        if len(other.pages) == 1
        and _is_reduced(other.keyframe, base)
        and (base.is_tiled or int(other.keyframe.subfiletype) & 1)
    ]


def _is_reduced(page: TiffPage, base: TiffPage) -> bool:
    """Whether `page` shows all of `base`, smaller: the same kind of pixels and proportions (2 px), tiled if it is."""
    ratio = base.imagelength / page.imagelength
    same = (page.dtype, page.samplesperpixel, page.photometric) == (base.dtype, base.samplesperpixel, base.photometric)
    proportional = abs(page.imagewidth * ratio - base.imagewidth) <= 2 * ratio
    no_macro = int(page.subfiletype) in (0, 1)
    return bool(same and ratio > 1 and proportional and no_macro and bool(page.is_tiled) >= bool(base.is_tiled))


def _palette(page: TiffPage) -> NDArray[np.uint8] | None:
    """The colour table (entries, 3) of a palette page; 16-bit tables keep their high byte, as the format says."""
    if int(page.photometric) != _PALETTE:
        return None
    table = np.asarray(page.colormap).T
    return np.ascontiguousarray((table >> 8 if table.max() > 255 else table).astype(np.uint8))


def _channel_names(tiff: TiffPage, layout: _Layout) -> tuple[str, ...]:
    if layout.is_rgb:
        return ("red", "green", "blue")
    if layout.n_channels == 1:
        return ("gray",)
    named: tuple[str | None, ...] = ()
    if tiff.is_ome and (ome := parse_ome(tiff.ome_metadata)):
        named = ome.channel_names
    elif tiff.is_imagej and isinstance(labels := (tiff.imagej_metadata or {}).get("Labels"), (list, tuple)):
        named = tuple(labels)
    names: list[str] = []
    for i in range(layout.n_channels):
        name = (named[i] if i < len(named) else None) or f"channel_{i + 1}"
        names.append(name if name not in names else f"{name}_{i + 1}")
    return tuple(names)


def _format_name(tiff: TiffPage, page: TiffPage) -> str:
    kind = "OME-TIFF" if tiff.is_ome else "Aperio SVS" if tiff.is_svs else "ImageJ TIFF" if tiff.is_imagej else "TIFF"
    big = "BigTIFF, " if tiff.is_bigtiff else ""
    order = "big-endian, " if tiff.byteorder == ">" else ""
    return f"{kind} ({big}{order}{'tiled' if page.is_tiled else 'stripped'}, {page.compression.name.lower()})"
