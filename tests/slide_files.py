"""Small slides in the formats of scanners and archives, written as their makers lay them out.

Pixels are lossless where the format allows it. Every file that has room for them names a patient, a barcode and an
operator (`PLANTED`), and holds a label image whose pixels are all of one colour (`LABEL_COLOUR`): none of it may be
read.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

Image = NDArray[np.uint8]
PATIENT, BARCODE, OPERATOR = "Wintersmoor^Theodolinde", "ZQX-4711-KJW", "Featherstone Quill"
ACCESSION = "ACC/0815/XQJ"
PLANTED = (PATIENT, BARCODE, OPERATOR, ACCESSION)
LABEL_COLOUR = (30, 250, 90)
JPEG, JPEG_2000, NATIVE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.1"
_WSI = "1.2.840.10008.5.1.4.1.1.77.1.6"


def half(image: Image, factor: int = 2) -> Image:
    """The next level of a pyramid: every `factor`-th pixel, so that it can be told without an average."""
    return np.ascontiguousarray(image[::factor, ::factor])


def label_image(height: int = 120, width: int = 100) -> Image:
    """What a scanner's label camera saw."""
    return np.broadcast_to(np.array(LABEL_COLOUR, np.uint8), (height, width, 3)).copy()


def write_dicom(
    folder: Path, image: Image, *, mpp: float = 0.5, power: float | None = 20.0, tile: int = 256, syntax: str = NATIVE,
    n_levels: int = 2, series: str = "1.2.3.1", label: bool = True, name: str = "level", depth: int = 8, paths: int = 1,
) -> list[Path]:  # fmt: skip
    """A DICOM slide, one file a level (TILED_FULL), its label and overview beside them; a gray image is MONOCHROME2."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number in range(n_levels):
        level = half(image, 2**number)
        kind = (
            ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"] if not number else ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
        )
        files.append(folder / f"{name}_{number}.dcm")
        _write_instance(
            files[-1], level, kind, mpp=mpp * 2**number, power=power, tile=tile, syntax=syntax, series=series,
            number=number + 1, extent_um=(image.shape[0] * mpp, image.shape[1] * mpp), depth=depth, paths=paths,
        )  # fmt: skip
    for number, kind in enumerate(("LABEL", "OVERVIEW") if label else (), start=10):
        _write_instance(
            folder / f"{name}_{kind.lower()}.dcm", label_image(), ["ORIGINAL", "PRIMARY", kind, "NONE"], mpp=20.0,
            power=None, tile=120, syntax=NATIVE, series=series, number=number, extent_um=(2400.0, 2400.0),
        )  # fmt: skip
    return files


def _write_instance(
    path: Path, image: Image, kind: list[str], *, mpp: float, power: float | None, tile: int, syntax: str, series: str,
    number: int, extent_um: tuple[float, float], depth: int = 8, paths: int = 1,
) -> None:  # fmt: skip
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID

    colour = image.ndim == 3
    uid = UID(f"{series}.{number}")
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = UID(_WSI), uid, UID(syntax)
    d = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    d.SOPClassUID, d.SOPInstanceUID = UID(_WSI), uid
    d.StudyInstanceUID, d.SeriesInstanceUID, d.FrameOfReferenceUID = "1.2.3", series, f"{series}.99"
    d.ImageType, d.Modality, d.InstanceNumber = kind, "SM", number
    d.PatientName, d.ContainerIdentifier, d.OperatorsName, d.AccessionNumber = PLANTED
    d.BarcodeValue, d.PatientID, d.StudyDate, d.ContentDate = BARCODE, PATIENT, "20240131", "20240131"
    d.ReferringPhysicianName = d.InstitutionName = OPERATOR
    d.PatientComments, d.StudyID, d.SeriesDescription, d.StudyDescription = PATIENT, ACCESSION, BARCODE, PATIENT
    specimen = Dataset()
    specimen.SpecimenIdentifier, specimen.SpecimenUID = ACCESSION, f"{series}.98"
    specimen.SpecimenShortDescription, specimen.SpecimenPreparationSequence = PATIENT, []
    d.SpecimenDescriptionSequence, d.ContainerTypeCodeSequence, d.LabelText = [specimen], [], PATIENT
    d.Manufacturer, d.VolumetricProperties, d.DimensionOrganizationType = "Maker", "VOLUME", "TILED_FULL"
    d.ImagedVolumeHeight, d.ImagedVolumeWidth, d.ImagedVolumeDepth = extent_um[0] / 1000, extent_um[1] / 1000, 0.001
    d.SamplesPerPixel, d.PixelRepresentation = (3, 0) if colour else (1, 0)
    d.PhotometricInterpretation = "MONOCHROME2" if not colour else {JPEG: "YBR_FULL_422", JPEG_2000: "YBR_RCT"}.get(
        syntax, "RGB")  # fmt: skip
    if colour:
        d.PlanarConfiguration = 0
    d.BitsAllocated, d.BitsStored, d.HighBit = depth, depth, depth - 1
    d.Rows = d.Columns = tile
    d.TotalPixelMatrixRows, d.TotalPixelMatrixColumns = image.shape[:2]
    d.TotalPixelMatrixFocalPlanes, d.NumberOfOpticalPaths = 1, paths
    d.ExtendedDepthOfField, d.FocusMethod, d.SpecimenLabelInImage, d.BurnedInAnnotation = "NO", "AUTO", "NO", "NO"
    d.LossyImageCompression = "01" if syntax == JPEG else "00"
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem, origin.YOffsetInSlideCoordinateSystem = 10.0, 20.0
    d.TotalPixelMatrixOriginSequence = [origin]
    d.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    d.OpticalPathSequence = [_optical_path(str(n), power) for n in range(paths)]
    shared, measures, frame_type = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [mpp / 1000, mpp / 1000], 0.001
    frame_type.FrameType = kind
    shared.PixelMeasuresSequence, shared.WholeSlideMicroscopyImageFrameTypeSequence = [measures], [frame_type]
    d.SharedFunctionalGroupsSequence = [shared]
    frames = _frames(image, tile) * paths
    d.NumberOfFrames = len(frames)
    if syntax == NATIVE:
        data = b"".join(frame.tobytes() for frame in frames)
        d.PixelData = data + b"\0" * (len(data) % 2)
        d["PixelData"].VR = "OB" if depth == 8 else "OW"
    else:
        d.PixelData = encapsulate([_encode(frame, syntax) for frame in frames])
        d["PixelData"].VR, d["PixelData"].is_undefined_length = "OB", True
    d.save_as(path, enforce_file_format=True)


def _optical_path(name: str, power: float | None):
    from pydicom.dataset import Dataset

    path, colour = Dataset(), Dataset()
    path.OpticalPathIdentifier = name
    colour.CodeValue, colour.CodingSchemeDesignator, colour.CodeMeaning = "11744", "DCM", "Brightfield illumination"
    path.IlluminationTypeCodeSequence = [colour]
    if power is not None:
        path.ObjectiveLensPower = power
    return path


def _frames(image: Image, tile: int) -> list[Image]:
    """The tiles row by row, the last ones filled up with the pixels at the border."""
    rows, columns = -(-image.shape[0] // tile), -(-image.shape[1] // tile)
    beyond = [(0, rows * tile - image.shape[0]), (0, columns * tile - image.shape[1])]
    full = np.pad(image, beyond + [(0, 0)] * (image.ndim - 2), mode="edge")
    return [
        np.ascontiguousarray(full[y : y + tile, x : x + tile])
        for y in range(0, rows * tile, tile) for x in range(0, columns * tile, tile)
    ]  # fmt: skip


def _encode(frame: Image, syntax: str) -> bytes:
    if syntax == JPEG:
        return bytes(imagecodecs.jpeg8_encode(frame, level=95, subsampling="422" if frame.ndim == 3 else None))
    return bytes(imagecodecs.jpeg2k_encode(frame, codecformat="j2k", reversible=True, level=0))


def plain_tiff(path: Path, image: Image, *, mpp: float = 0.5) -> Path:
    """The same pixels without any maker."""
    tifffile.imwrite(
        path, image, tile=(256, 256), photometric="rgb", resolution=(1e4 / mpp, 1e4 / mpp),
        resolutionunit="CENTIMETER", metadata=None,
    )  # fmt: skip
    return path


def write_ome_zarr(
    folder: Path, image: NDArray[np.unsignedinteger], *, mpp: float = 0.5, unit: str | None = "micrometer",
    version: str = "0.4", axes: str = "tczyx", n_levels: int = 2, chunk: int = 128,
    names: tuple[str, ...] | None = None, colours: tuple[str, ...] | None = None, wrapped: bool = False,
) -> Path:  # fmt: skip
    """An OME-Zarr of (H, W, C) pixels; `wrapped` in the layout of bioformats2raw, where the image is the folder `0`."""
    import zarr

    form = 2 if version == "0.4" else 3
    if wrapped:
        outer = zarr.open_group(str(folder), mode="w", zarr_format=form)
        layout = {"bioformats2raw.layout": 3}
        outer.attrs.update(layout if form == 2 else {"ome": layout | {"version": version}})
        folder = folder / "0"
    group = zarr.open_group(str(folder), mode="w", zarr_format=form)
    datasets = []
    for number in range(n_levels):
        level = half(image, 2**number)
        spread = np.moveaxis(level, 2, 0)[None, :, None]
        spread = np.moveaxis(
            spread[tuple(slice(None) if axis in axes else 0 for axis in "tczyx")],
            [[axis for axis in "tczyx" if axis in axes].index(axis) for axis in axes], range(len(axes)),
        )  # fmt: skip
        array = group.create_array(
            str(number), shape=spread.shape, dtype=spread.dtype,
            chunks=tuple(chunk if axis in "yx" else 1 for axis in axes),
        )  # fmt: skip
        array[...] = spread
        scale = [mpp * 2**number if axis in "yx" else 1.0 for axis in axes]
        datasets.append({"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    kinds = {"t": "time", "c": "channel"}
    told = [{"name": axis, "type": kinds.get(axis, "space")} for axis in axes]
    if unit:
        told = [axis | ({"unit": unit} if axis["name"] in "yx" else {}) for axis in told]
    names = ("Red", "Green", "Blue") if names is None else names
    colours = colours or ("FFFFFF",) * len(names)
    metadata = {
        "multiscales": [
            {"version": version, "name": PATIENT, "axes": told, "datasets": datasets, "metadata": {"method": OPERATOR}}
        ],
        "omero": {"name": BARCODE, "channels": [{"label": n, "color": c} for n, c in zip(names, colours, strict=True)]},
        "operator": OPERATOR,
        "accession": ACCESSION,
    }
    group.attrs.update(metadata if form == 2 else {"ome": metadata | {"version": version}})
    return folder.parent if wrapped else folder


# Slides of scanners' makers. Each writer takes a folder and an image whose sides are multiples of 256, and returns the
# file to open with the pixels that it holds: the image itself, or what JPEG made of it.
Written = tuple[Path, Image]
Writer = Callable[..., Written]
LEICA_CORNER_UM, MIRAX_TILE_PX = (1000, 500), 128


def write_aperio(folder: Path, image: Image, *, mpp: float = 0.5, power: float = 20.0) -> Written:
    """An SVS: tiles, a thumbnail, a smaller level, then label and macro."""
    path = folder / "slide.svs"
    height, width = image.shape[:2]
    said = (
        f"Aperio Image Library v11.2.1 \r\n{width}x{height} [0,0 {width}x{height}] (256x256) |AppMag = {power:g}"
        f"|MPP = {mpp}|User = {OPERATOR}|Barcode = {BARCODE}|Patient = {PATIENT}|Title = {ACCESSION}|Date = 12/29/09"
    )
    with tifffile.TiffWriter(path) as file:
        whole = {"photometric": "rgb", "metadata": None, "software": False}
        file.write(image, tile=(256, 256), description=said, compression="lzw", **whole)
        file.write(half(image, 8), rowsperstrip=16, description=said, **whole)
        file.write(half(image), tile=(256, 256), description=said, compression="lzw", **whole)
        for name, kind in (("label", 1), ("macro", 9)):
            description = f"Aperio Image Library v11.2.1 \r\n{name} 100x120"
            file.write(label_image(), rowsperstrip=16, description=description, subfiletype=kind, **whole)
    return path, image


def write_trestle(folder: Path, image: Image, *, mpp: float = 0.5, power: float = 20.0) -> Written:
    """A pyramid as Trestle's MedScan writes it; its resolution tags are um per pixel."""
    path = folder / "slide.tif"
    with tifffile.TiffWriter(path) as file:
        for level, factor in ((image, 1), (half(image), 2)):
            file.write(
                level, tile=(256, 256), photometric="rgb", software="MedScan 1.0", metadata=None,
                description=f"Background Color=E6E6E6;Objective Power={power:g};Patient={PATIENT};User={OPERATOR};"
                f"Barcode={BARCODE};Case={ACCESSION}",
                resolution=(mpp * factor, mpp * factor), resolutionunit="NONE",
            )  # fmt: skip
    return path, image


def write_philips(folder: Path, image: Image, *, mpp: float = 0.5) -> Written:
    """A Philips TIFF: DICOM-like XML on the first page, no objective; a label page at the end."""
    path = folder / "slide.tiff"

    def attribute(name: str, value: str) -> str:
        return f'<Attribute Name="{name}" Group="0x0028" Element="0x0030" PMSVR="IString">{value}</Attribute>'

    def array(name: str, kind: str, objects: str) -> str:
        return attribute(name, f"<Array>{objects}</Array>").replace("IString", "IDataObjectArray")

    def spacing(factor: int) -> str:
        return attribute("DICOM_PIXEL_SPACING", f"&quot;{mpp * factor / 1000}&quot; &quot;{mpp * factor / 1000}&quot;")

    levels = "".join(
        f'<DataObject ObjectType="PixelDataRepresentation">{spacing(2**n)}'
        f"{attribute('PIIM_PIXEL_DATA_REPRESENTATION_NUMBER', str(n))}</DataObject>"
        for n in range(2)
    )
    scanned = (
        f'<DataObject ObjectType="DPScannedImage">{attribute("PIM_DP_IMAGE_TYPE", "WSI")}{spacing(1)}'
        f"{array('PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE', '', levels)}</DataObject>"
    )
    picture = base64.b64encode(_jpeg(label_image())).decode()
    label = "".join(
        f'<DataObject ObjectType="DPScannedImage">{attribute("PIM_DP_IMAGE_TYPE", kind)}'
        f"{attribute('PIM_DP_IMAGE_DATA', picture)}</DataObject>"
        for kind in ("LABELIMAGE", "MACROIMAGE")
    )
    xml = (
        '<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">'
        f"{attribute('DICOM_MANUFACTURER', 'PHILIPS')}{attribute('PIM_DP_UFS_BARCODE', BARCODE)}"
        f"{attribute('DICOM_OPERATORS_NAME', OPERATOR)}{attribute('DICOM_PATIENT_NAME', PATIENT)}"
        f"{attribute('DICOM_ACCESSION_NUMBER', ACCESSION)}{array('PIM_DP_SCANNED_IMAGES', '', scanned + label)}"
        "</DataObject>"
    )
    with tifffile.TiffWriter(path) as file:
        whole = {"photometric": "rgb", "metadata": None, "software": "Philips DP v1.0"}
        file.write(image, tile=(512, 512), description=xml, **whole)
        file.write(half(image), tile=(512, 512), description="level=1", subfiletype=1, **whole)
        file.write(label_image(), rowsperstrip=120, description="Label", subfiletype=1, **whole)
    return path, image


def write_leica(folder: Path, image: Image, *, mpp: float = 0.5, power: float = 20.0) -> Written:
    """An SCN: one area at `LEICA_CORNER_UM` of a slide of 26 x 76 mm, whose picture (macro with label) comes first."""
    path = folder / "slide.scn"

    def area(
        number: int, size_px: tuple[int, ...], view_nm: tuple[float, ...], objective: float, pages: list[int]
    ) -> str:
        dimensions = "".join(
            f'<dimension sizeX="{size_px[1] // 4**n}" sizeY="{size_px[0] // 4**n}" r="{n}" ifd="{page}"/>'
            for n, page in enumerate(pages)
        )
        y, x, height, width = (int(side) for side in view_nm)
        return (
            f'<image name="image_{number}" uuid="urn:uuid:{number}"><creationDate>2011-01-01T00:00:00Z</creationDate>'
            f'<device model="SCN400" version="1"/><pixels sizeX="{size_px[1]}" sizeY="{size_px[0]}">'
            f"{dimensions}</pixels>"
            f'<view sizeX="{width}" sizeY="{height}" offsetX="{x}" offsetY="{y}"/><scanSettings><objectiveSettings>'
            f"<objective>{objective:g}</objective></objectiveSettings><illuminationSettings><numericalAperture>0.4"
            "</numericalAperture><illuminationSource>brightfield</illuminationSource></illuminationSettings>"
            "</scanSettings></image>"
        )

    sides = (26_000_000, 76_000_000)
    height, width = image.shape[:2]
    corner = [1000 * side for side in LEICA_CORNER_UM]
    xml = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01" uuid="urn:uuid:0">'
        f'<collection name="{PATIENT}" uuid="urn:uuid:1" sizeX="{sides[0]}" sizeY="{sides[1]}"><barcode>'
        f'{BARCODE}</barcode><supplementalImage user="{OPERATOR}" case="{ACCESSION}"/>'
        f"{area(0, (120, 100), (0, 0, sides[1], sides[0]), 0.6, [0])}"
        f"{area(1, (height, width), (*corner, 1000 * height * mpp, 1000 * width * mpp), power, [1, 2])}"
        "</collection></scn>"
    )
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        whole = {"photometric": "rgb", "metadata": None, "software": False, "tile": (256, 256)}
        file.write(label_image(), description=xml, **whole)
        for level, factor in ((image, 1), (half(image, 4), 4)):
            density = (1e4 / mpp / factor,) * 2
            file.write(level, resolution=density, resolutionunit="CENTIMETER", **whole)
    return path, image


def write_ventana(folder: Path, image: Image, *, mpp: float = 0.5, power: float = 20.0) -> Written:
    """A BIF: XML in the tag XMP, the label first, tiles that meet without overlap and are counted from below."""
    path = folder / "slide.bif"
    rows, columns = image.shape[0] // 256, image.shape[1] // 256

    def number(row: int, column: int) -> int:
        from_below = rows - 1 - row
        return from_below * columns + (columns - 1 - column if from_below % 2 else column) + 1

    pairs = [(row, column, row, column + 1, "RIGHT") for row in range(rows) for column in range(columns - 1)]
    pairs += [(row, column, row - 1, column, "UP") for row in range(1, rows) for column in range(columns)]
    joints = "".join(
        f'<TileJointInfo FlagJoined="1" Confidence="100" Direction="{direction}" Tile1="{number(y0, x0)}" '
        f'Tile2="{number(y1, x1)}" OverlapX="0" OverlapY="0"/>'
        for y0, x0, y1, x1, direction in pairs
    )
    scan = (
        f'<iScan Z-layers="1" Magnification="{power:g}" ScanRes="{mpp}" UserName="{OPERATOR}" '
        f'Barcode1D="{BARCODE}" Barcode2D="{ACCESSION}" SlideAnnotation="{PATIENT}"></iScan>'
    )
    areas = (
        '<EncodeInfo Ver="2"><SlideInfo/><SlideStitchInfo><ImageInfo AOIScanned="1" AOIIndex="0" Width="256" '
        f'Height="256" NumRows="{rows}" NumCols="{columns}" Pos-X="0" Pos-Y="0">{joints}</ImageInfo></SlideStitchInfo>'
        '<AoiOrigin><AOI0 OriginX="0" OriginY="0"/></AoiOrigin></EncodeInfo>'
    )
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        whole = {"photometric": "rgb", "metadata": None, "software": False}
        xmp = [[(700, 1, len(said), said.encode(), True)] for said in (scan, areas)]
        file.write(label_image(), rowsperstrip=120, description="Label Image", extratags=xmp[0], **whole)
        said = f"level=0 mag={power:g} quality=90"
        file.write(image, tile=(256, 256), description=said, extratags=xmp[1], **whole)
        file.write(half(image), tile=(256, 256), description=f"level=1 mag={power / 2:g} quality=90", **whole)
    return path, image


def write_hamamatsu(folder: Path, image: Image, *, mpp: float = 0.5, power: float = 20.0) -> Written:
    """An NDPI: one JPEG a level, private tags, the macro (magnification -1) at the end."""
    path = folder / "slide.ndpi"
    with tifffile.TiffWriter(path) as file:
        for level, lens in ((image, power), (half(image), power / 2), (label_image(), -1.0)):
            file.write(
                iter([_jpeg(level)]), shape=level.shape, dtype="uint8", rowsperstrip=level.shape[0], metadata=None,
                photometric="ycbcr", compression="jpeg", subsampling=(1, 1), software=False,
                resolution=(1e4 / mpp * lens / power if lens > 0 else 500.0,) * 2, resolutionunit="CENTIMETER",
                extratags=[
                    (271, "s", 0, "Hamamatsu", True), (272, "s", 0, "C9600-12", True), (65420, 4, 1, 1, True),
                    (65421, 11, 1, lens, True), (65422, 9, 1, 0, True), (65423, 9, 1, 0, True), (65424, 9, 1, 0, True),
                    (65427, "s", 0, BARCODE, True), (65442, "s", 0, OPERATOR, True),
                    (65449, "s", 0, f"Patient={PATIENT}\r\nBarcode={BARCODE}\r\nCase={ACCESSION}\r\n", True),
                ],
            )  # fmt: skip
    return path, np.asarray(imagecodecs.jpeg8_decode(_jpeg(image)))


def write_hamamatsu_vms(folder: Path, image: Image, *, mpp: float = 0.5, power: float = 20.0) -> Written:
    """A VMS: an index of JPEG files side by side, with restart markers; a smaller map and the macro."""
    path = folder / "slide.vms"
    height, width = image.shape[:2]
    cut = width // 32 * 16
    parts = [_jpeg(part, restart=4) for part in (image[:, :cut], image[:, cut:])]
    files = {
        "part0": parts[0],
        "part1": parts[1],
        "map": _jpeg(half(image, 4), restart=4),
        "macro": _jpeg(label_image()),
    }
    for name, data in files.items():
        (folder / f"{name}.jpg").write_bytes(data)
    path.write_text(
        "[Virtual Microscope Specimen]\nNoLayers=1\nNoJpegColumns=2\nNoJpegRows=1\nImageFile=part0.jpg\n"
        "ImageFile(1,0)=part1.jpg\nMapFile=map.jpg\nMacroImage=macro.jpg\n"
        f"PhysicalWidth={round(width * mpp * 1000)}\nPhysicalHeight={round(height * mpp * 1000)}\n"
        f"SourceLens={power:g}\nReference={BARCODE}\nUserName={OPERATOR}\nPatient={PATIENT}\nCase={ACCESSION}\n"
    )
    return path, np.concatenate([imagecodecs.jpeg8_decode(part) for part in parts], axis=1)


def write_mirax(folder: Path, image: Image, *, mpp: float = 0.5, power: float = 20.0) -> Written:
    """A MIRAX slide: PNG tiles in a data file, an index; two rows and columns of tiles above and beside the image are
    empty, so that it begins at its bounds. The file of the name `.mrxs` is a JPEG, here of the label.
    """
    path, inner, px = folder / "slide.mrxs", folder / "slide", MIRAX_TILE_PX
    inner.mkdir()
    rows, columns = image.shape[0] // px + 2, image.shape[1] // px + 2
    full = np.full((rows * px, columns * px, 3), 255, np.uint8)
    full[2 * px :, 2 * px :] = image
    data, pages = bytearray(), []
    for factor in (1, 2):
        level, pages = half(full, factor), [*pages, []]
        for y in range(2, rows, factor):
            for x in range(2, columns, factor):
                top, left = y // factor * px, x // factor * px
                png = imagecodecs.png_encode(np.ascontiguousarray(level[top : top + px, left : left + px]))
                pages[-1].append((y * columns + x, len(data), len(png), 0))
                data += png
    (inner / "Data0000.dat").write_bytes(data)
    identity = "0123456789ABCDEF"
    head = f"01.02{identity}".encode()
    first = len(head) + 8
    at, table, body = first + 4 * len(pages), b"", b""
    for page in pages:
        here = at + len(body)
        table += struct.pack("<i", here)
        body += struct.pack("<4i", 0, here + 8, len(page), 0) + b"".join(struct.pack("<4i", *record) for record in page)
    (inner / "Index.dat").write_bytes(head + struct.pack("<2i", first, 0) + table + body)
    said = [
        f"[GENERAL]\nSLIDE_VERSION=01.02\nSLIDE_ID={identity}\nSLIDE_NAME={PATIENT}\nPROJECT_NAME={ACCESSION}\n"
        f"SLIDE_CREATOR={OPERATOR}\nSLIDE_BARCODE={BARCODE}\nIMAGENUMBER_X={columns}\n"
        f"IMAGENUMBER_Y={rows}\nOBJECTIVE_MAGNIFICATION={power:g}\n[HIERARCHICAL]\nHIER_COUNT=1\nNONHIER_COUNT=0\n"
        "INDEXFILE=Index.dat\nHIER_0_NAME=Slide zoom level\nHIER_0_COUNT=2\nHIER_0_VAL_0_SECTION=LEVEL_0\n"
        "HIER_0_VAL_1_SECTION=LEVEL_1\n[DATAFILE]\nFILE_COUNT=1\nFILE_0=Data0000.dat\n"
    ]
    said += [
        f"[LEVEL_{number}]\nOVERLAP_X=0\nOVERLAP_Y=0\nMICROMETER_PER_PIXEL_X={mpp * 2**number}\n"
        f"MICROMETER_PER_PIXEL_Y={mpp * 2**number}\nIMAGE_FILL_COLOR_BGR=16777215\nIMAGE_FORMAT=PNG\n"
        f"IMAGE_CONCAT_FACTOR={number}\nDIGITIZER_WIDTH={px}\nDIGITIZER_HEIGHT={px}\n"
        for number in range(2)
    ]
    (inner / "Slidedat.ini").write_text("".join(said))
    path.write_bytes(_jpeg(label_image()))
    return path, image


def _jpeg(image: Image, *, restart: int | None = None) -> bytes:
    """A JPEG of full colour resolution; with restart markers every so many blocks of 8 x 8."""
    if restart is None:
        return bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(image), level=95, subsampling="444"))
    how = [
        cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_RST_INTERVAL, restart,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]  # fmt: skip
    return cv2.imencode(".jpg", np.ascontiguousarray(image[:, :, ::-1]), how)[1].tobytes()


def _dicom(folder: Path, image: Image, **about: float) -> Written:
    write_dicom(folder / "dicom", image, **about)
    return folder / "dicom", image


def _ome_zarr(folder: Path, image: Image, *, mpp: float = 0.5) -> Written:
    return write_ome_zarr(folder / "slide.ome.zarr", image, mpp=mpp), image


WRITERS: dict[str, Writer] = {
    "Aperio SVS": write_aperio,
    "OpenSlide trestle": write_trestle,
    "OpenSlide philips": write_philips,
    "OpenSlide leica": write_leica,
    "OpenSlide ventana": write_ventana,
    "OpenSlide hamamatsu": write_hamamatsu,
    "OpenSlide hamamatsu (VMS)": write_hamamatsu_vms,
    "OpenSlide mirax": write_mirax,
    "DICOM": _dicom,
    "OME-Zarr": _ome_zarr,
}
"""By how the reader's format begins, with an addition where one reader has several."""
WITHOUT_POWER = ("OpenSlide philips", "OME-Zarr")
"""Formats that do not say the objective."""
