"""Opening an image by what it holds, whatever its name says. Floor 2."""

from __future__ import annotations

from pathlib import Path

from cellseg.errors import ImageError
from cellseg.io.dicom import DICOM_AT, DICOM_MAGIC, DicomSlide, is_dicom
from cellseg.io.ome_zarr import ZarrSlide, is_zarr
from cellseg.io.raster import JPEG_MAGIC, PNG_MAGIC, RasterSlide
from cellseg.io.tiff import TIFF_MAGICS, TiffSlide
from cellseg.io.vendor import VendorSlide, vendor_of

IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".svs", ".ndpi", ".btf", ".tf8",
    ".mrxs", ".vms", ".vmu", ".scn", ".bif", ".svslide", ".czi",
)  # fmt: skip
"""Endings of the files that `cellseg init` takes for images (lower case)."""
_DECLARED = (".mrxs", ".vms", ".vmu", ".ndpi", ".scn", ".bif", ".svslide", ".czi")
"""Formats of makers: a file so named that OpenSlide does not know is damaged, whatever else could be made of it."""
AnySlide = TiffSlide | RasterSlide | VendorSlide | DicomSlide | ZarrSlide


def open_slide(path: Path, *, max_decoded_mpx: float = 500.0) -> AnySlide:
    """An image that is read window by window, whatever its format. A context manager.

    The format goes by what the file or folder holds: PNG, JPEG, TIFF, OME-TIFF and SVS; DICOM slides (a folder of
    files, or one of them); OME-Zarr (a folder); and what OpenSlide alone knows (Hamamatsu, MIRAX, Leica, Ventana,
    Philips, Trestle ...). `max_decoded_mpx` bounds what has to be decoded at once: a whole PNG or JPEG, one strip or
    tile of a TIFF.

    Raises
    ------
    ImageError
        If the file is missing, empty, truncated, of another type, or holds what no stage can use; it says which reader
        could not read it.
    """
    if path.is_dir():
        return _open_folder(path)
    kind, suffix = _kind(path), path.suffix.lower()
    if kind == "DICOM" or (kind == "other" and suffix == ".dcm"):
        return DicomSlide(path)
    # the file that a MIRAX slide is opened by is a JPEG, or names none of ours
    if kind not in ("PNG", "JPEG") or suffix in _DECLARED:
        if vendor := vendor_of(path):
            return VendorSlide(path, vendor)
        if kind == "other" or suffix in _DECLARED:
            raise _unknown(path)
    if kind == "TIFF":
        return TiffSlide(path, max_decoded_mpx=max_decoded_mpx)
    return RasterSlide(path, max_decoded_mpx=max_decoded_mpx)


def is_slide_folder(path: Path) -> bool:
    """Whether a folder is itself an image: OME-Zarr, or the files of a DICOM slide."""
    return path.is_dir() and (is_zarr(path) or any(is_dicom(file) for file in path.iterdir() if file.is_file()))


def _open_folder(path: Path) -> AnySlide:
    if is_zarr(path):
        return ZarrSlide(path)
    if is_slide_folder(path):
        return DicomSlide(path)
    raise ImageError(
        f"{path}: a folder that is neither OME-Zarr nor a DICOM slide; expected an image; `cellseg init DIR --images "
        "FOLDER` takes a folder of images"
    )


def sniff(path: Path) -> str:
    """`PNG`, `JPEG` or `TIFF`, by the file's first bytes.

    Raises
    ------
    ImageError
        If the file is missing, a folder, unreadable, empty or none of these.
    """
    if path.is_dir():
        raise ImageError(f"{path}: a folder, expected an image file")
    kind = _kind(path)
    if kind in ("other", "DICOM"):
        raise _unknown(path)
    return kind


def _kind(path: Path) -> str:
    """As `sniff`; `DICOM` too, also where its first bytes would pass for a TIFF, and `other` for what is none."""
    try:
        with path.open("rb") as file:
            head = file.read(DICOM_AT + len(DICOM_MAGIC))
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error
    if not head:
        raise ImageError(f"{path}: the file is empty; copy or export it again")
    if head.startswith(PNG_MAGIC):
        return "PNG"
    if head.startswith(JPEG_MAGIC):
        return "JPEG"
    if head[DICOM_AT:] == DICOM_MAGIC:
        return "DICOM"
    if head[:4] in TIFF_MAGICS:
        return "TIFF"
    return "other"


def _unknown(path: Path) -> ImageError:
    with path.open("rb") as file:
        head = file.read(4)
    return ImageError(
        f"{path}: not an image that can be read (first bytes {head.hex(' ')}, which OpenSlide does not know either); "
        "expected PNG, JPEG, TIFF, OME-TIFF, SVS, DICOM, OME-Zarr, or a slide for OpenSlide, whole and with all files "
        "that belong to it; copy it again, or export it as one of these"
    )
