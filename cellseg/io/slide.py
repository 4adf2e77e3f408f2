"""Opening an image by what it holds, whatever its name says. Floor 2."""

from __future__ import annotations

from pathlib import Path

from cellseg.errors import ImageError
from cellseg.io.raster import JPEG_MAGIC, PNG_MAGIC, RasterSlide
from cellseg.io.tiff import TIFF_MAGICS, TiffSlide
from cellseg.io.vendor import VendorSlide, vendor_of

IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".svs", ".ndpi", ".btf", ".tf8",
    ".mrxs", ".vms", ".vmu", ".scn", ".bif", ".svslide", ".czi",
)  # fmt: skip
"""Endings of the files that `cellseg init` takes for images (lower case)."""


def open_slide(path: Path, *, max_decoded_mpx: float = 500.0) -> TiffSlide | RasterSlide | VendorSlide:
    """An image that is read window by window: PNG, JPEG, TIFF, OME-TIFF, SVS, or a scanner's format. A context manager.

    The format goes by what the file holds. What OpenSlide alone knows (Hamamatsu, MIRAX, Leica, Ventana, Philips,
    Trestle ...) is read by OpenSlide. `max_decoded_mpx` bounds what has to be decoded at once: a whole PNG or JPEG, one
    strip or tile of a TIFF.

    Raises
    ------
    ImageError
        If the file is missing, empty, truncated, of another type, or holds what no stage can use.
    """
    kind, suffix = _kind(path), path.suffix.lower()
    # the file that a MIRAX slide is opened by is a JPEG, or names none of ours
    if kind not in ("PNG", "JPEG") or suffix == ".mrxs":
        if vendor := vendor_of(path):
            return VendorSlide(path, vendor)
        if kind == "other":
            raise _unknown(path)
    if kind == "TIFF":
        return TiffSlide(path, max_decoded_mpx=max_decoded_mpx)
    return RasterSlide(path, max_decoded_mpx=max_decoded_mpx)


def sniff(path: Path) -> str:
    """`PNG`, `JPEG` or `TIFF`, by the file's first bytes.

    Raises
    ------
    ImageError
        If the file is missing, a folder, unreadable, empty or none of these.
    """
    kind = _kind(path)
    if kind == "other":
        raise _unknown(path)
    return kind


def _kind(path: Path) -> str:
    """As `sniff`; `other` for what is none of these."""
    if path.is_dir():
        raise ImageError(f"{path}: a folder, expected an image file; `cellseg init DIR --images FOLDER` takes a folder")
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
    if not head:
        raise ImageError(f"{path}: the file is empty; copy or export it again")
    if head.startswith(PNG_MAGIC):
        return "PNG"
    if head.startswith(JPEG_MAGIC):
        return "JPEG"
    if head[:4] in TIFF_MAGICS:
        return "TIFF"
    return "other"


def _unknown(path: Path) -> ImageError:
    with path.open("rb") as file:
        head = file.read(4)
    return ImageError(
        f"{path}: not an image that can be read (first bytes {head.hex(' ')}, which OpenSlide does not know either); "
        "expected PNG, JPEG, TIFF, OME-TIFF, SVS, or a slide for OpenSlide with all files that belong to it; export it "
        "as one of these"
    )
