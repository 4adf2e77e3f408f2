"""Class maps on disk: tiled OME-TIFF of uint8 with the names of its classes, read window by window. Floor 2.

A map holds the number of the class of each of its pixels, 255 where there is none. Its pixels are rarely those of the
slide: pixel (i, j) of a map of `scale` map px per slide px covers y from i / scale to (i + 1) / scale of the slide.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import numpy as np
import tifffile
from numpy.typing import NDArray

from cellseg.errors import ImageError, LabelError
from cellseg.io.atomic import atomic_path
from cellseg.io.closing import Closing
from cellseg.io.ome import parse_ome
from cellseg.io.raster import check_window
from cellseg.io.segments import CACHE_BYTES, PageReader, SegmentCache
from cellseg.io.slide import sniff
from cellseg.io.tiff import main_series, open_tiff
from cellseg.types import Level, Window

Classes = NDArray[np.uint8]
MapKind = Literal["tissue", "probability"]

TILE_PX = 512
"""Side of the tiles of a class map."""
NO_CLASS = 255
"""Value of pixels that have no class: glass, and what nobody labelled."""
MAX_CLASSES = 250
_BIGTIFF_BYTES = 2**32 - 2**25
_NAMESPACE = "cellseg/classes"
_CURE = "give a map from `cellseg tissue`"
_OME = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation='
    '"http://www.openmicroscopy.org/Schemas/OME/2016-06 http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd">'
    '<Image ID="Image:0" Name="{kind}"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" '
    'SizeX="{width}" SizeY="{height}" SizeC="1" SizeZ="1" SizeT="1" '
    'PhysicalSizeX="{mpp!r}" PhysicalSizeXUnit="&#181;m" PhysicalSizeY="{mpp!r}" PhysicalSizeYUnit="&#181;m">'
    '<Channel ID="Channel:0:0" Name="{kind}" SamplesPerPixel="1"/>'
    '<TiffData IFD="0" PlaneCount="1"/></Pixels><AnnotationRef ID="Annotation:0"/></Image>'
    '<StructuredAnnotations><MapAnnotation ID="Annotation:0" Namespace="{namespace}"><Value>{names}</Value>'
    "</MapAnnotation></StructuredAnnotations></OME>"
)


def write_class_map(
    path: Path,
    tiles: Iterable[Classes],
    *,
    height_px: int,
    width_px: int,
    mpp: float,
    names: Sequence[str],
    kind: MapKind = "tissue",
) -> None:
    """Write a class map, or the probabilities that belong to one; the same values give the same bytes.

    Parameters
    ----------
    path : Path
        The OME-TIFF; appears when it is whole.
    tiles : iterable of (512, 512) ndarray of uint8
        In raster order, filled up beyond the map's border, as `cut_tiles` gives them. One is held at a time.
    height_px, width_px : int
        Size of the map, px.
    mpp : float
        Microns per pixel of the map.
    names : sequence of str
        Of the classes 0, 1, ...
    kind : str
        tissue: class numbers, 255 where there is none; probability: 0..255 for 0..1.

    Raises
    ------
    LabelError
        If a tile has another type or shape, there are too few or too many, or names are missing or double.
    CellsegError
        If the file cannot be written.
    """
    if not 1 <= len(names) <= MAX_CLASSES or len(set(names)) < len(names) or not all(names):
        raise LabelError(
            f"{path}: {len(names)} names of classes ({', '.join(names)[:100]}); expected 1 to {MAX_CLASSES} that differ"
        )
    n_tiles, source = -(-height_px // TILE_PX) * -(-width_px // TILE_PX), iter(tiles)
    with atomic_path(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=_is_big(n_tiles), ome=False) as tiff:
        tiff.write(
            _checked(source, path, n_tiles),
            shape=(height_px, width_px),
            dtype=np.uint8,
            tile=(TILE_PX, TILE_PX),
            compression="zlib",
            photometric="minisblack",
            description=_describe(height_px, width_px, mpp, names, kind),
            metadata=None,
            software=False,
            # one thread: the library would otherwise take a whole buffer of tiles ahead
            maxworkers=1,
        )
        # the library takes as many tiles as it needs; what is left is a fault of the caller
        if next(source, None) is not None:
            raise LabelError(f"{path}: more tiles than the {n_tiles} expected of {height_px} x {width_px} px")


def cut_tiles(strips: Iterable[Classes], *, height_px: int, width_px: int) -> Iterator[Classes]:
    """Tiles (512, 512) in raster order from strips (h, width_px) of any heights, top to bottom; filled up with 255.

    Raises
    ------
    LabelError
        If the strips do not make up the map.
    """
    rows = np.full((TILE_PX, -(-width_px // TILE_PX) * TILE_PX), NO_CLASS, np.uint8)
    held = done = 0
    for strip in strips:
        if strip.dtype != np.uint8 or strip.ndim != 2 or strip.shape[1] != width_px or done + len(strip) > height_px:
            raise LabelError(
                f"a strip of shape {strip.shape} and type {strip.dtype} at row {done} of a map of {height_px} x "
                f"{width_px} px; expected uint8 strips of its width that end with it"
            )
        done += len(strip)
        while len(strip):
            part = strip[: TILE_PX - held]
            rows[held : held + len(part), :width_px] = part
            held, strip = held + len(part), strip[len(part) :]
            if held == TILE_PX:
                yield from _across(rows)
                rows[:], held = NO_CLASS, 0
    if held:
        yield from _across(rows)
    if done != height_px:
        raise LabelError(f"{done} rows of a map of {height_px} were given; expected all of them")


def _across(rows: Classes) -> Iterator[Classes]:
    return (np.ascontiguousarray(rows[:, x : x + TILE_PX]) for x in range(0, rows.shape[1], TILE_PX))


def _is_big(n_tiles: int) -> bool:
    """Whether a BigTIFF is written: by shape alone, so that content changes no offset."""
    return n_tiles * TILE_PX**2 >= _BIGTIFF_BYTES


def _checked(tiles: Iterable[Classes], path: Path, n_tiles: int) -> Iterator[Classes]:
    number = 0
    for tile in tiles:
        if tile.dtype != np.uint8 or tile.shape != (TILE_PX, TILE_PX):
            raise LabelError(
                f"{path}: tile {number} of {n_tiles} has shape {tile.shape} and type {tile.dtype}; expected "
                f"{n_tiles} of {(TILE_PX, TILE_PX)} and uint8"
            )
        number += 1
        yield tile
    if number < n_tiles:
        raise LabelError(f"{path}: {number} tiles were given, expected {n_tiles}")


def _describe(height_px: int, width_px: int, mpp: float, names: Sequence[str], kind: str) -> bytes:
    """The OME-XML, in ASCII as TIFF wants it."""
    listed = "".join(f'<M K="{number}">{escape(name)}</M>' for number, name in enumerate(names))
    text = _OME.format(
        kind=kind, width=width_px, height=height_px, mpp=float(mpp), namespace=_NAMESPACE, names=listed
    )  # fmt: skip
    return text.encode("ascii", "xmlcharrefreplace")


class ClassMap(Closing):
    """A class map (or its probabilities) read window by window; made by `open_class_map`. `read` is thread-safe.

    height, width : int, px of the map; mpp : float or None, um per pixel of the map; names : tuple of str, of the
    classes 0, 1, ...
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cache = SegmentCache(CACHE_BYTES)
        self._handle = -1
        try:
            self._open()
        except ImageError as error:
            self.close()
            raise LabelError(str(error)) from error
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        if (kind := sniff(self.path)) != "TIFF":
            raise LabelError(f"{self.path}: a {kind}, not a class map; {_CURE}")
        self._handle = os.open(self.path, os.O_RDONLY)
        with open_tiff(self.path) as tiff:
            series = main_series(tiff, self.path)
            page, text = series.keyframe, tiff.pages.first.description or ""
            if len(series.pages) > 1 or page.samplesperpixel > 1 or page.dtype != np.uint8:
                raise LabelError(
                    f"{self.path}: {len(series.pages)} pages of {page.samplesperpixel} {page.dtype} values a pixel; "
                    f"expected one of uint8; {_CURE}"
                )
            self._reader = PageReader(page, self.path, self._handle, self._cache, max_decoded_mpx=500.0)
        described = parse_ome(text)
        self.height, self.width = self._reader.height, self._reader.width
        self.mpp = described.x_um if described else None
        self.names = _class_names(text) if described else ()
        if not self.names:
            raise LabelError(f"{self.path}: a TIFF that names no classes; {_CURE}")

    def read(self, window: Window) -> Classes:
        """Class numbers (h, w) uint8 of `window`, px of the map.

        Raises
        ------
        LabelError
            If the data is damaged.
        """
        check_window(window, (Level(self.height, self.width, 1.0),), 0, self.path)
        try:
            return np.asarray(self._reader.read(window)[:, :, 0], np.uint8)
        except ImageError as error:
            raise LabelError(str(error)) from error

    def close(self) -> None:
        """Close the file."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        self._cache.clear()


def open_class_map(path: Path) -> ClassMap:
    """Open a class map for reading by window; a context manager.

    Raises
    ------
    LabelError
        If the file is missing, damaged, or no class map.
    """
    return ClassMap(path)


def _class_names(text: str) -> tuple[str, ...]:
    """Names of the classes in OME-XML that `parse_ome` understood; empty where it holds none."""
    for node in ElementTree.fromstring(text).iter():
        if node.tag.endswith("}MapAnnotation") and node.get("Namespace") == _NAMESPACE:
            named = {part.get("K"): part.text or "" for part in node.iter() if part.tag.endswith("}M")}
            names = tuple(named.get(str(number), "") for number in range(len(named)))
            return names if all(names) else ()
    return ()
