"""Slides in the formats of scanners' makers, read by OpenSlide. Floor 2.

Of what such a file says of itself only pixel size, objective, background and the bounds of what was scanned are looked
at: names, barcodes, dates and the pictures of label and macro stay where they are.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cellseg.errors import ImageError
from cellseg.io.closing import Closing
from cellseg.io.pixel_size import parse_number, pixel_size_from, power_from
from cellseg.io.raster import check_window
from cellseg.io.reader_faults import what_it_said
from cellseg.types import Level, Pixels, PixelSize, Window

if TYPE_CHECKING:
    from openslide import OpenSlide

READ_BY_US = ("aperio", "generic-tiff")
"""Formats that OpenSlide knows and `tiff.py` reads, faster and in all depths and channels."""
_BOUNDS = ("y", "x", "height", "width")


def vendor_of(path: Path) -> str | None:
    """OpenSlide's word for a format that it alone reads here, such as `hamamatsu`; None for all others.

    Raises
    ------
    ImageError
        If OpenSlide cannot be used on this machine.
    """
    try:
        import openslide
    except (ImportError, OSError) as error:
        raise ImageError(
            f"{path}: OpenSlide cannot be loaded ({' '.join(str(error).split())}); install openslide-python and "
            "openslide-bin, or OpenSlide 4 by your system's packages"
        ) from error
    found = openslide.OpenSlide.detect_format(path)
    return None if found in READ_BY_US else found


class VendorSlide(Closing):
    """A slide of a scanner's maker; 8-bit RGB, whatever was not scanned in the maker's background colour, else white.

    Where the file says what part was scanned, this is the image, as QuPath shows it: its corner is pixel (0, 0).
    """

    def __init__(self, path: Path, vendor: str) -> None:
        import openslide

        self.path, self.format = path, f"OpenSlide {vendor}"
        try:
            self._slide: OpenSlide = openslide.OpenSlide(path)
        except (openslide.OpenSlideError, OSError) as error:
            raise self._failed("opened", error) from error
        try:
            self._describe(vendor)
        except BaseException:
            self.close()
            raise

    def _describe(self, vendor: str) -> None:
        told = self._slide.properties
        width, height = self._slide.dimensions
        bounds = [told.get(f"openslide.bounds-{name}") for name in _BOUNDS]
        known = [int(value) for value in bounds if value is not None]
        self._y0, self._x0, self.height, self.width = known if len(known) == len(_BOUNDS) else (0, 0, height, width)
        if not (self.height > 0 and self.width > 0):
            raise ImageError(f"{self.path}: {self.height} x {self.width} px were scanned; scan the slide again")
        self.levels = tuple(
            Level(math.ceil(self.height / factor), math.ceil(self.width / factor), float(factor))
            for factor in self._slide.level_downsamples
        )
        self.channel_names = ("red", "green", "blue")
        self.is_rgb, self.dtype = True, np.dtype(np.uint8)
        x_um, y_um = (parse_number(told.get(f"openslide.mpp-{axis}")) for axis in "xy")
        self.pixel_size: PixelSize | None = pixel_size_from(x_um, y_um, f"OpenSlide mpp ({vendor})", self.path)
        self.objective_power = power_from(parse_number(told.get("openslide.objective-power")))
        colour = told.get("openslide.background-color", "FFFFFF")
        self._background = np.array([int(colour[at : at + 2], 16) for at in (0, 2, 4)], np.float32)

    def read(self, window: Window, level: int = 0) -> Pixels:
        """Pixels (h, w, 3) uint8 of `window`, in pixels of `level`.

        Raises
        ------
        ImageError
            If the file is damaged there.
        ValueError
            If the window does not lie in the image.
        """
        import openslide

        check_window(window, self.levels, level, self.path)
        factor = self.levels[level].downsample
        corner = self._x0 + round(window.x0 * factor), self._y0 + round(window.y0 * factor)
        try:
            picture = self._slide.read_region(corner, level, (window.x1 - window.x0, window.y1 - window.y0))
        except (openslide.OpenSlideError, OSError) as error:
            raise self._failed("read", error) from error
        pixels = np.asarray(picture)
        share = pixels[..., 3:]
        if share.min(initial=255) == 255:
            return np.ascontiguousarray(pixels[..., :3])
        part = share.astype(np.float32) / 255
        mixed = pixels[..., :3] * part + self._background * (1 - part)
        return np.asarray(np.floor(mixed + 0.5), np.uint8)

    def _failed(self, act: str, error: Exception) -> ImageError:
        said = what_it_said(error, self.path)
        return ImageError(
            f"{self.path}: cannot be {act} by OpenSlide ({said}); copy it again with all files that belong to it, or "
            "export it as OME-TIFF"
        )

    def close(self) -> None:
        """Give the file back."""
        self._slide.close()
