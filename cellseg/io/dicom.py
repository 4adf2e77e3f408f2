"""DICOM whole slides, read by wsidicom: the files of one slide that show the specimen, and no others. Floor 2.

Of what the files say, the kind of image, the series it belongs to, pixel size and objective are looked at. Files of
label, overview and thumbnail are told by their first bytes and never opened as images; names, numbers and dates stay
where they are.
"""

from __future__ import annotations

import contextlib
import logging
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cellseg.errors import ImageError
from cellseg.io.closing import Closing
from cellseg.io.pixel_size import parse_number, pixel_size_from, power_from
from cellseg.io.raster import check_window
from cellseg.io.reader_faults import what_it_said
from cellseg.types import Level, Pixels, PixelSize, Window

if TYPE_CHECKING:
    from wsidicom import WsiDicom
    from wsidicom.group import Level as DicomLevel

DICOM_AT, DICOM_MAGIC = 128, b"DICM"
"""Every DICOM file has these four bytes there."""
_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_DIRECTORY = "1.2.840.10008.1.3.10"
_OTHER_KINDS = ("LABEL", "OVERVIEW", "THUMBNAIL")
_OPTICAL_PATHS = 0x00480105
_CURE = "copy all files of the slide again, or export it as OME-TIFF"


@dataclass(frozen=True)
class _Header:
    """What tells whether a file belongs to a slide; `series` is an identifier that is compared and never shown."""

    path: Path
    sop_class: str
    kind: str
    series: str
    power: float | None


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its first bytes; False for what cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(DICOM_AT + 4)[DICOM_AT:] == DICOM_MAGIC
    except OSError:
        return False


class DicomSlide(Closing):
    """A DICOM slide of one focus plane and one optical path: 8-bit colour, or gray of 8 or 16 bits.

    What was not scanned is as wsidicom fills it: white in colour. `path` is the folder of its files, or one of these
    files, which stands for all of its series in that folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        headers = _find_files(path)
        self._slide = self._open(headers)
        try:
            with self._guarded("opened"):
                self._describe(headers)
        except BaseException:
            self.close()
            raise

    def _open(self, headers: Sequence[_Header]) -> WsiDicom:
        from wsidicom import WsiDicom
        from wsidicom.config import Settings

        files = [header.path for header in headers]
        # levels may have tiles of different sizes; they would be left out without a word
        with self._guarded("opened"):
            slide = WsiDicom.open(files, settings=Settings(strict_tile_size_check=False))
        # wsidicom leaves out what it cannot open, and would take the next level for the slide
        missing = {file.name for file in files} - {Path(str(file)).name for file in slide.files or ()}
        if missing:
            slide.close()
            raise self._failed("opened", f"{sorted(missing)[0]} is damaged or of a kind that it does not know")
        return slide

    def _describe(self, headers: Sequence[_Header]) -> None:
        if len(self._slide.pyramids) != 1:
            raise ImageError(
                f"{self.path}: {len(self._slide.pyramids)} scanned areas in one DICOM slide; expected one; export the "
                "one that is meant"
            )
        self._levels: list[DicomLevel] = list(self._slide.pyramids[0])
        base = self._levels[0]
        planes, paths = base.focal_planes, base.optical_paths
        if len(planes) > 1 or len(paths) > 1:
            raise ImageError(
                f"{self.path}: {len(planes)} focus planes and {len(paths)} optical paths; expected one of each; export "
                "the one that is meant"
            )
        image = base.default_instance.image_data
        self.is_rgb, self.dtype = image.samples_per_pixel == 3, np.dtype(image.dtype)
        if (self.is_rgb and self.dtype != np.uint8) or self.dtype not in (np.uint8, np.uint16):
            raise ImageError(
                f"{self.path}: {image.samples_per_pixel} samples of {image.bits} bits; expected 8-bit colour, or gray "
                "of 8 or 16 bits; export it as one of these"
            )
        self.height, self.width = base.size.height, base.size.width
        self.levels = tuple(
            Level(own.size.height, own.size.width, (self.height / own.size.height + self.width / own.size.width) / 2)
            for own in self._levels
        )
        self.channel_names = ("red", "green", "blue") if self.is_rgb else ("gray",)
        size = base.mpp
        self.pixel_size: PixelSize | None = pixel_size_from(size.width, size.height, "DICOM PixelSpacing", self.path)
        powers = {header.power for header in headers} - {None}
        self.objective_power = power_from(powers.pop()) if len(powers) == 1 else None
        self.format = f"DICOM ({image.transfer_syntax.name})"

    def read(self, window: Window, level: int = 0) -> Pixels:
        """Pixels (h, w, C) of `window`, in pixels of `level`.

        Raises
        ------
        ImageError
            If the file is damaged there.
        ValueError
            If the window does not lie in the image.
        """
        check_window(window, self.levels, level, self.path)
        shape = (window.height, window.width, len(self.channel_names))
        if 0 in shape:
            return np.zeros(shape, self.dtype)
        with self._guarded("read"):
            pixels = self._slide.read_region(
                (window.x0, window.y0), self._levels[level].level, (window.width, window.height), threads=1,
                as_array=True,
            )  # fmt: skip
        # a window of one tile is the cached tile itself
        return np.array(pixels, self.dtype).reshape(shape)

    @contextlib.contextmanager
    def _guarded(self, act: str) -> Iterator[None]:
        """What wsidicom, pydicom and the decoders stumble over is a damaged file, or a kind that they do not know."""
        try:
            yield
        except (ImageError, MemoryError):
            raise
        except Exception as error:  # the decoders' and wsidicom's errors have no common root
            raise self._failed(act, what_it_said(error, self.path)) from error

    def _failed(self, act: str, reason: str) -> ImageError:
        return ImageError(f"{self.path}: cannot be {act} by wsidicom ({reason}); {_CURE}")

    def close(self) -> None:
        """Give the files back."""
        self._slide.close()


def slide_files(path: Path) -> list[Path]:
    """The files that show the specimen of the one slide that `path`, one of them or their folder, names.

    Raises
    ------
    ImageError
        If there is none, or more than one slide, or a file is damaged.
    """
    return [header.path for header in _find_files(path)]


def _find_files(path: Path) -> list[_Header]:
    """The files that show the specimen of the one slide that `path` names.

    Raises
    ------
    ImageError
        If there is none, or more than one slide, or a file is damaged.
    """
    folder = path if path.is_dir() else path.parent
    own = None if path.is_dir() else _read_header(path)
    if own and own.sop_class == _DIRECTORY:
        raise ImageError(f"{path}: a DICOMDIR, which only lists files; name the slide's folder, or one of its files")
    if own and own.kind != "VOLUME":
        what = f"the {own.kind.lower()}" if own.kind in _OTHER_KINDS else "no image of the specimen"
        raise ImageError(f"{path}: {what} of a DICOM slide; expected one of its VOLUME images, or the slide's folder")
    files = sorted(file for file in folder.iterdir() if file.is_file() and _claims_dicom(file))
    headers = [own if own and file == path else _read_header(file) for file in files]
    volumes = [header for header in headers if header.kind == "VOLUME"]
    if own:
        return [header for header in volumes if header.series == own.series]
    if not volumes:
        raise ImageError(f"{path}: {len(files)} DICOM files, none a VOLUME image of a whole slide; name another folder")
    n_slides = len({header.series for header in volumes})
    if n_slides > 1:
        some = ", ".join(sorted({header.series: header.path.name for header in reversed(volumes)}.values())[:3])
        raise ImageError(
            f"{path}: {n_slides} DICOM slides in one folder; expected one; give each a folder of its own, or name one "
            f"file of the slide that is meant (such as {some})"
        )
    return volumes


def _claims_dicom(path: Path) -> bool:
    """By its first bytes, or by its name: then a file that is none is a damaged one."""
    return not path.name.startswith(".") and (path.suffix.lower() == ".dcm" or is_dicom(path))


def _read_header(path: Path) -> _Header:
    """The few facts of a DICOM file that choose it; `kind` is empty for what is no image of a whole slide."""
    pydicom = _quiet_pydicom()
    try:
        with path.open("rb") as file:
            told = pydicom.filereader.read_partial(file, stop_when=lambda tag, *_: tag > _OPTICAL_PATHS)
        sop_class = str(told.file_meta.get("MediaStorageSOPClassUID", ""))
        if not sop_class or (sop_class == _WHOLE_SLIDE and not {"ImageType", "SeriesInstanceUID"} <= set(told.dir())):
            raise EOFError("the file ends in its header")
        words = list(told.get("ImageType") or [])
        kind = str(words[2]) if sop_class == _WHOLE_SLIDE and len(words) > 2 else ""
        paths = list(told.get("OpticalPathSequence") or [])
        power = parse_number(str(paths[0].get("ObjectiveLensPower", ""))) if paths else None
        return _Header(path, sop_class, kind, str(told.get("SeriesInstanceUID", "")), power)
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, struct.error,
            NotImplementedError, pydicom.errors.InvalidDicomError) as error:  # fmt: skip
        said = what_it_said(error, path)
        raise ImageError(f"{path}: cannot be opened by pydicom, of wsidicom ({said}); {_CURE}") from error


def _quiet_pydicom() -> Any:  # noqa: ANN401  a module
    """pydicom, told to take values as they are: what matters of them is checked here, and their text is not shown."""
    import warnings

    import pydicom
    import pydicom.errors
    import pydicom.filereader

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    for name in ("pydicom", "wsidicom"):
        warnings.filterwarnings("ignore", module=rf"{name}\b")
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return pydicom
