"""Files that name a patient wherever their format has room for it, whole or spoilt, and the search for such names."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import tifffile
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin
from slide_files import (
    ACCESSION,
    BARCODE,
    LABEL_COLOUR,
    OPERATOR,
    PATIENT,
    Written,
    label_image,
    write_aperio,
    write_dicom,
    write_leica,
    write_mirax,
    write_ome_zarr,
    write_philips,
    write_trestle,
    write_ventana,
)  # fmt: skip

Pixels = NDArray[np.uint8]
TRACES = (b"wintersmoor", b"theodolinde", b"zqx-4711", b"featherstone", b"acc/0815")
"""A part of each planted word, in lower case; `search` finds them however they are written."""
_ALL = f"Patient={PATIENT};Barcode={BARCODE};Operator={OPERATOR};Case={ACCESSION}"
_COLOUR_REACH = 40


def write_ome_tiff(folder: Path, image: Pixels, *, mpp: float = 0.5) -> Written:
    """An OME-TIFF with experimenter, annotations and plate; its label is a second image."""
    path = folder / "slide.ome.tif"
    size = "".join(f'PhysicalSize{axis}="{mpp}" PhysicalSize{axis}Unit="µm" ' for axis in "XY")

    def described(number: int, pixels: Pixels, name: str) -> str:
        return (
            f'<Image ID="Image:{number}" Name="{name}"><AcquisitionDate>2024-01-31T12:00:00</AcquisitionDate>'
            f'<ExperimenterRef ID="Experimenter:0"/><Description>{_ALL}</Description><Pixels ID="Pixels:{number}" '
            f'DimensionOrder="XYCZT" Type="uint8" SizeX="{pixels.shape[1]}" SizeY="{pixels.shape[0]}" SizeC="3" '
            f'SizeZ="1" SizeT="1" Interleaved="true" {size}><Channel ID="Channel:{number}:0" SamplesPerPixel="3"/>'
            f'<TiffData IFD="{number}" PlaneCount="1"/></Pixels></Image>'
        )

    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Experimenter ID="Experimenter:0" UserName="{OPERATOR}" LastName="{OPERATOR}"/>'
        f"{described(0, image, PATIENT)}{described(1, label_image(), BARCODE)}<StructuredAnnotations>"
        f'<CommentAnnotation ID="Annotation:0"><Value>{_ALL}</Value></CommentAnnotation></StructuredAnnotations></OME>'
    )
    with tifffile.TiffWriter(path) as file:
        whole = {"photometric": "rgb", "metadata": None, "software": OPERATOR, "compression": "zlib"}
        file.write(image, tile=(256, 256), description=xml.encode(), **whole)
        file.write(label_image(), rowsperstrip=120, **whole)
    return path, image


def write_png(folder: Path, image: Pixels, *, mpp: float = 0.5) -> Written:
    """A PNG with text, compressed text and EXIF."""
    path, info = folder / "slide.png", PngImagePlugin.PngInfo()
    for key, value in (("Author", OPERATOR), ("Title", PATIENT), ("Barcode", BARCODE)):
        info.add_text(key, value)
    info.add_itxt("Comment", _ALL, zip=True)
    per_inch = 25400 / mpp
    Image.fromarray(image).save(path, pnginfo=info, exif=_exif(), dpi=(per_inch, per_inch))
    return path, image


def write_jpeg(folder: Path, image: Pixels, *, mpp: float = 0.5) -> Written:
    """A JPEG with a comment, and EXIF with a thumbnail's worth of names."""
    path = folder / "slide.jpg"
    Image.fromarray(image).save(path, quality=95, subsampling=0, exif=_exif(), comment=_ALL.encode())
    return path, np.asarray(Image.open(path))


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x010E], exif[0x013B], exif[0x8298], exif[0x0131] = PATIENT, OPERATOR, BARCODE, ACCESSION
    return exif.tobytes()


def write_tagged_tiff(folder: Path, image: Pixels, *, mpp: float = 0.5) -> Written:
    """A TIFF with every tag for text, and a page with the label after it."""
    path = folder / "slide.tif"
    tags = [(code, "s", 0, text, True) for code, text in (
        (269, PATIENT), (271, OPERATOR), (272, BARCODE), (285, PATIENT), (315, OPERATOR), (316, BARCODE),
        (33432, ACCESSION), (50839, PATIENT),
    )] + [(700, 1, len(_ALL), _ALL.encode(), True)]  # fmt: skip
    with tifffile.TiffWriter(path) as file:
        whole = {"photometric": "rgb", "metadata": None, "software": ACCESSION}
        file.write(
            image, description=_ALL, extratags=tags, resolution=(1e4 / mpp,) * 2, resolutionunit="CENTIMETER", **whole
        )
        file.write(label_image(), **whole)
    return path, image


LAB_WRITERS: dict[str, Callable[..., Written]] = {
    "OME-TIFF": write_ome_tiff, "PNG": write_png, "JPEG": write_jpeg, "TIFF": write_tagged_tiff,
}  # fmt: skip
"""What laboratories save images as, beside the formats of scanners."""


def spoilt(folder: Path, image: Pixels) -> dict[str, Path]:
    """Slides that cannot be read, or not without asking, each for what a reader might quote in its message."""
    made: dict[str, Path] = {}

    def swap(name: str, written: Path, file: Path, old: str, new: str) -> None:
        data = file.read_bytes()
        assert data.count(old.encode()) >= 1, (name, old)
        file.write_bytes(data.replace(old.encode(), new.encode()))
        made[name] = written

    def place(name: str) -> Path:
        (folder / name).mkdir(parents=True)
        return folder / name

    def swap_as_long(name: str, path: Path, old: str, new: str) -> None:
        """In a TIFF, where nothing may move."""
        assert len(new) <= len(old), (name, old)
        swap(name, path, path, old, new.ljust(len(old)))

    path, _ = write_mirax(place("mirax_line"), image)
    swap("mirax_line", path, path.with_suffix("") / "Slidedat.ini", "SLIDE_NAME=", "SLIDE NAME ")
    path, _ = write_mirax(place("mirax_group"), image)
    swap("mirax_group", path, path.with_suffix("") / "Slidedat.ini", "SLIDE_NAME=", f"[{PATIENT}\x01]\nSLIDE_NAME=")
    path, _ = write_mirax(place("mirax_number"), image)
    swap("mirax_number", path, path.with_suffix("") / "Slidedat.ini", "IMAGENUMBER_X=", f"IMAGENUMBER_X={PATIENT}")
    path, _ = write_leica(place("leica"), image)
    swap_as_long("leica", path, 'uuid="urn:uuid:1" sizeX="26000000"', f'sizeX="{PATIENT}"')
    path, _ = write_ventana(place("ventana"), image)
    swap_as_long(
        "ventana", path, 'FlagJoined="1" Confidence="100" Direction="RIGHT"', f'FlagJoined="1" Direction="{OPERATOR}"'
    )
    path, _ = write_ventana(place("ventana_xml"), image)
    swap_as_long("ventana_xml", path, f'Barcode1D="{BARCODE}"', f"<{BARCODE}>")
    path, _ = write_trestle(place("trestle"), image)
    swap_as_long("trestle", path, f"Objective Power=20;Patient={PATIENT}", f"Objective Power={PATIENT}")
    path, _ = write_philips(place("philips"), image)
    swap_as_long("philips", path, "&quot;0.0005&quot; &quot;0.0005&quot;", f"&quot;{PATIENT}&quot;")
    path, _ = write_aperio(place("aperio"), image)
    swap_as_long("aperio", path, "MPP = 0.5|User", "MPP + 0.5|User")
    path, _ = write_ome_tiff(place("ome"), image)
    swap_as_long("ome", path, 'DimensionOrder="XYCZT" Type="uint8"', f'DimensionOrder="{BARCODE}"')
    path, _ = write_ome_tiff(place("ome_xml"), image)
    swap_as_long("ome_xml", path, f'Name="{PATIENT}">', f'Name="{PATIENT}&>')
    for name, key, value in (
        ("dicom_uid", "SeriesInstanceUID", PATIENT), ("dicom_charset", "SpecificCharacterSet", PATIENT[:16]),
        ("dicom_kind", "ImageType", ["ORIGINAL", "PRIMARY", "WINTERSMOOR"]), ("dicom_rows", "Rows", 0),
        ("dicom_colour", "PhotometricInterpretation", BARCODE), ("dicom_frames", "NumberOfFrames", None),
    ):  # fmt: skip
        files = write_dicom(place(name) / "slide", image)
        made[name] = files[0].parent if name != "dicom_kind" else files[0]
        _spoil_dicom(files[0], key, value)
    for name, old, new in (
        ("zarr_version", '"version": "0.4"', f'"version": "{PATIENT}"'),
        ("zarr_axis", '"name": "y"', f'"name": "{PATIENT}"'),
        ("zarr_array", '"path": "1"', f'"path": "{BARCODE}"'),
        ("zarr_json", f'"operator": "{OPERATOR}"', f'"operator": {OPERATOR}'),
    ):
        made[name] = write_ome_zarr(place(name) / "slide.zarr", image)
        swap(name, made[name], made[name] / ".zattrs", old, new)
    return made


def _spoil_dicom(path: Path, key: str, value: object) -> None:
    import warnings

    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = pydicom.dcmread(path)
        if value is None:
            delattr(read, key)
        else:
            setattr(read, key, value)
        read.save_as(path, enforce_file_format=False)


def cut(path: Path, share: float) -> None:
    """Cut the largest file of a slide to a share of its bytes."""
    inside = path if path.is_dir() else path.parent
    whole = max((file for file in inside.rglob("*") if file.is_file()), key=lambda file: file.stat().st_size)
    whole.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])


def search(data: bytes) -> list[str]:
    """The planted words in some bytes, in any case, in UTF-8 or UTF-16."""
    low = data.lower()
    wide = [bytes(trace.decode().encode("utf-16-le")) for trace in TRACES]
    return [t.decode() for t, w in zip(TRACES, wide, strict=True) if t in low or w in low]


def contents(path: Path) -> Iterator[bytes]:
    """A file's bytes, and what lies in it compressed: gzip, Parquet's columns and metadata, TIFF's tags, PNG's text."""
    data = path.read_bytes()
    yield data
    if data[:2] == b"\x1f\x8b":
        yield gzip.decompress(data)
    elif data[:4] == b"PAR1":
        table = pq.read_table(path)
        yield repr((table.schema.to_string(truncate_metadata=False), pq.read_metadata(path).metadata)).encode()
        yield json.dumps(table.to_pydict(), default=str).encode()
    elif data[:4] in (b"II*\0", b"II+\0"):
        with tifffile.TiffFile(path) as tiff:
            for page in tiff.pages:
                yield repr([(tag.name, tag.value) for tag in page.tags]).encode()
    elif data[:8] == PngImagePlugin._MAGIC or data[:3] == b"\xff\xd8\xff":
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            yield repr((picture.info, dict(picture.getexif()))).encode()


def label_share(path: Path) -> float:
    """The share of a picture's pixels that have the colour of the planted label, or nearly so."""
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return float((np.abs(pixels - LABEL_COLOUR).max(axis=2) <= _COLOUR_REACH).mean())
