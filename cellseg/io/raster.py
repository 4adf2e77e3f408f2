"""PNG and JPEG: decoded whole when first read, since the formats allow nothing less. Floor 2."""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from cellseg.errors import ImageError
from cellseg.io.closing import Closing
from cellseg.io.pixel_size import pixel_size_of_density
from cellseg.io.reader_faults import what_it_said
from cellseg.types import Level, Pixels, PixelSize, Window

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
_RGB = ("red", "green", "blue")
_CURE_TRUNCATED = "the file is incomplete; copy or export it again"


@dataclass(frozen=True)
class RasterHeader:
    """What a PNG or JPEG says before its pixels; 1 (gray) or 3 `n_colors`, `bits` as decoded and `n_bits` as stored."""

    kind: str
    height: int
    width: int
    n_colors: int
    bits: int
    n_bits: int
    pixel_size: PixelSize | None


def jpeg_frame(data: bytes) -> tuple[int, int, int, int, int] | None:
    """(height, width, components, bits, offset of the first scan) of a JPEG stream; None without a complete header."""
    at, frame = 2, None
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF or 0xD0 <= marker <= 0xD8 or marker == 0x01:
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:
            return None if frame is None else (*frame, at)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and at + 10 <= len(data):
            bits, height, width, components = struct.unpack(">BHHB", data[at + 4 : at + 10])
            frame = (height, width, components, bits)
        at += 2 + length
    return None


def jpeg_is_complete(data: bytes, scan: int) -> bool:
    """Whether the stream has its end marker after the scan at offset `scan`; decoders paint what is missing gray."""
    return data.rfind(b"\xff\xd9") > scan


def read_header(path: Path) -> RasterHeader:
    """The header of a PNG or JPEG file, its structure checked to the end of the file.

    Raises
    ------
    ImageError
        If the file is truncated, or of a kind that no stage can use (CMYK, 12-bit JPEG).
    """
    with path.open("rb") as file:
        if file.read(8) == PNG_MAGIC:
            return _png_header(file, path)
        file.seek(0)
        return _jpeg_header(file.read(), path)


def _png_header(file: BinaryIO, path: Path) -> RasterHeader:
    size, header, density, kind = path.stat().st_size, b"", None, b""
    while kind != b"IEND":
        head = file.read(8)
        length, kind = (int.from_bytes(head[:4], "big"), head[4:]) if len(head) == 8 else (size, b"")
        if file.tell() + length + 4 > size:
            raise ImageError(f"{path}: truncated PNG; {_CURE_TRUNCATED}")
        data = file.read(length) if kind in (b"IHDR", b"pHYs") else b""
        file.seek(length - len(data) + 4, 1)
        if kind == b"IHDR" and length == 13:
            header = data
        if kind == b"pHYs" and length == 9 and data[8] == 1:
            density = struct.unpack(">II", data[:8])
    if not header:
        raise ImageError(f"{path}: PNG without a header; {_CURE_TRUNCATED}")
    width, height, bits, color = struct.unpack(">IIBB", header[:10])
    pixel_size = pixel_size_of_density(density[0], density[1], "PNG pHYs", path) if density else None
    return RasterHeader("PNG", height, width, 3 if color in (2, 3, 6) else 1, 16 if bits == 16 else 8, bits, pixel_size)


def _jpeg_header(data: bytes, path: Path) -> RasterHeader:
    frame = jpeg_frame(data)
    if frame is None or not jpeg_is_complete(data, frame[4]):
        raise ImageError(f"{path}: truncated JPEG; {_CURE_TRUNCATED}")
    height, width, components, bits, _ = frame
    if components not in (1, 3) or bits != 8:
        raise ImageError(
            f"{path}: JPEG of {components} components of {bits} bit; expected 8-bit gray or RGB (CMYK is for print); "
            "save it as RGB"
        )
    return RasterHeader("JPEG", height, width, components, bits, bits, _jfif_pixel_size(data, path))


def _jfif_pixel_size(data: bytes, path: Path) -> PixelSize | None:
    if data[2:4] != b"\xff\xe0" or data[6:11] != b"JFIF\0":
        return None
    unit, x, y = struct.unpack(">BHH", data[13:18])
    per_m = {1: 1 / 0.0254, 2: 100.0}.get(unit)
    return pixel_size_of_density(x * per_m, y * per_m, "JPEG density", path) if per_m else None


def decode_raster(path: Path, kind: str) -> NDArray[Any]:
    """The decoded pixels of a PNG or JPEG, palette expanded, as the codec gives them.

    Raises
    ------
    ImageError
        If the data is damaged.
    """
    try:
        data = path.read_bytes()
        decode = imagecodecs.png_decode if kind == "PNG" else imagecodecs.jpeg8_decode
        pixels: NDArray[Any] = decode(data)
    except (OSError, RuntimeError, ValueError) as error:
        raise ImageError(
            f"{path}: the {kind} data is damaged ({what_it_said(error, path)}); copy or export it again"
        ) from error
    return pixels


class RasterSlide(Closing):
    """A PNG or JPEG as a slide of one level; decoded at the first `read`.

    16-bit PNG stays 16-bit, a palette becomes RGB, 1 to 4 bit gray is spread over 0..255, an alpha channel is dropped
    (not composited), and EXIF orientation is not applied: pixels are as they are stored.
    """

    def __init__(self, path: Path, *, max_decoded_mpx: float) -> None:
        header = read_header(path)
        if header.height == 0 or header.width == 0:
            raise ImageError(f"{path}: the image is {header.height} x {header.width} px; expected at least 1 x 1")
        if header.height * header.width > max_decoded_mpx * 1e6:
            raise ImageError(
                f"{path}: a {header.kind} of {header.height} x {header.width} px would decode to "
                f"{header.height * header.width / 1e6:.0f} Mpx; the limit input.max_decoded_mpx is {max_decoded_mpx:g}"
                "; save it as a tiled TIFF, or raise the limit if memory allows"
            )
        self.path = path
        self.height, self.width = header.height, header.width
        self.is_rgb = header.n_colors == 3
        self.channel_names: tuple[str, ...] = _RGB if self.is_rgb else ("gray",)
        self.dtype: np.dtype[Any] = np.dtype(np.uint16 if header.bits == 16 else np.uint8)
        self.levels = (Level(self.height, self.width, 1.0),)
        self.pixel_size = header.pixel_size
        self.objective_power: float | None = None
        self.format = header.kind
        self._lock = threading.Lock()
        self._pixels: Pixels | None = None

    def _decoded(self) -> Pixels:
        with self._lock:
            if self._pixels is None:
                pixels = decode_raster(self.path, self.format)
                pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
                pixels = pixels[:, :, : len(self.channel_names)]
                if pixels.shape != (self.height, self.width, len(self.channel_names)) or pixels.dtype != self.dtype:
                    raise ImageError(
                        f"{self.path}: decodes to {pixels.shape} {pixels.dtype}, its header says "
                        f"{(self.height, self.width, len(self.channel_names))} {self.dtype}; export it again"
                    )
                self._pixels = pixels
            return self._pixels

    def read(self, window: Window, level: int = 0) -> Pixels:
        """Pixels (h, w, C) of `window`, a copy.

        Raises
        ------
        ImageError
            If the data is damaged.
        """
        check_window(window, self.levels, level, self.path)
        return self._decoded()[window.y0 : window.y1, window.x0 : window.x1].copy()

    def close(self) -> None:
        """Let the decoded pixels go."""
        self._pixels = None


def check_window(window: Window, levels: tuple[Level, ...], level: int, path: Path) -> None:
    """Refuse a window that leaves its level: a caller's bug, not a file's.

    Raises
    ------
    ValueError
        With the window and the level's size.
    """
    if not 0 <= level < len(levels):
        raise ValueError(f"{path}: level {level} of {len(levels)}")
    height, width = levels[level].height, levels[level].width
    if not (0 <= window.y0 <= window.y1 <= height and 0 <= window.x0 <= window.x1 <= width):
        raise ValueError(f"{path}: {window} leaves level {level} of {height} x {width} px")
