"""Small slides in the formats of scanners and archives, written as their makers lay them out.

Pixels are lossless where the format allows it. Every file that has room for them names a patient, a barcode and an
operator (`PLANTED`), and holds a label image whose pixels are all of one colour (`LABEL_COLOUR`): none of it may be
read.
"""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

Image = NDArray[np.uint8]
PLANTED = ("Roe^Jane", "BARCODE-4711", "Operator Smith")
LABEL_COLOUR = (200, 30, 60)
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
    d.PatientName, d.ContainerIdentifier, d.OperatorsName = PLANTED
    d.BarcodeValue, d.PatientID, d.StudyDate, d.ContentDate = PLANTED[1], PLANTED[0], "20240131", "20240131"
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
        "multiscales": [{"version": version, "name": PLANTED[0], "axes": told, "datasets": datasets}],
        "omero": {"channels": [{"label": n, "color": c} for n, c in zip(names, colours, strict=True)]},
        "operator": PLANTED[2],
    }
    group.attrs.update(metadata if form == 2 else {"ome": metadata | {"version": version}})
    return folder.parent if wrapped else folder
