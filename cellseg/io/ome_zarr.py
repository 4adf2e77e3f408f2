"""OME-Zarr (NGFF 0.4 and 0.5) as a slide: a folder of chunks, of which zarr reads those that a window touches. Floor 2.

Of the metadata, axes, scales, units, channel names and colours are looked at, and the objective of the OME-XML that
bioformats2raw leaves beside the image.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cellseg.errors import ImageError
from cellseg.io.closing import Closing
from cellseg.io.ome import UM_PER_UNIT, parse_ome
from cellseg.io.pixel_size import pixel_size_from, power_from
from cellseg.io.raster import check_window
from cellseg.io.reader_faults import LEFT_OUT, what_it_said
from cellseg.types import Level, Pixels, PixelSize, Window

if TYPE_CHECKING:
    import zarr

ZARR_FILES = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
"""A folder that holds one of these is part of a Zarr hierarchy."""
_AXES = "tczyx"
_VERSIONS = ("0.4", "0.5")
_UM_PER_NAME = UM_PER_UNIT | {
    "meter": 1e6, "decimeter": 1e5, "centimeter": 1e4, "millimeter": 1e3, "nanometer": 1e-3, "picometer": 1e-6,
    "angstrom": 1e-4, "metre": 1e6, "millimetre": 1e3, "micrometre": 1.0, "nanometre": 1e-3,
}  # fmt: skip
_RGB_NAMES = (("red", "green", "blue"), ("r", "g", "b"))
_RGB_COLOURS = ("FF0000", "00FF00", "0000FF")
_NUMBERED = re.compile(r"(channel)?[ _:-]*\d*", re.IGNORECASE)
_CURE = "copy the folder again with everything in it, or export the image as OME-TIFF"


class _Told(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Axis(_Told):
    name: str
    unit: str | None = None


class _Transformation(_Told):
    type: str
    scale: tuple[float, ...] | None = None


class _Dataset(_Told):
    path: str
    transformations: tuple[_Transformation, ...] = Field(default=(), alias="coordinateTransformations")


class Multiscale(_Told):
    """One image of the NGFF specification: its axes and the arrays that are its levels, the largest first."""

    version: str | None = None
    axes: tuple[_Axis, ...]
    datasets: tuple[_Dataset, ...] = Field(min_length=1)
    transformations: tuple[_Transformation, ...] = Field(default=(), alias="coordinateTransformations")

    @model_validator(mode="after")
    def _check_axes(self) -> Self:
        names = [axis.name for axis in self.axes]
        if len(set(names)) != len(names) or not {"y", "x"} <= set(names) or not set(names) <= set(_AXES):
            told = ", ".join(name if name in _AXES else LEFT_OUT for name in names)
            raise ValueError(f"axes {told}; expected y and x, and of t, c, z no others")
        return self

    def um(self, axis: str) -> float | None:
        """Size of a pixel of the largest level along an axis, um; None without a unit or a scale."""
        at = [own.name for own in self.axes].index(axis)
        unit = _UM_PER_NAME.get((self.axes[at].unit or "").strip().lower())
        scales = [one.scale for one in (*self.datasets[0].transformations, *self.transformations) if one.scale]
        if unit is None or not scales or any(len(scale) != len(self.axes) for scale in scales):
            return None
        return float(unit * np.prod([scale[at] for scale in scales]))


class _Channel(_Told):
    label: str | None = None
    color: str | None = None


class _Omero(_Told):
    channels: tuple[_Channel, ...] = ()


class Ngff(_Told):
    """What the attributes of a group say, wherever the version puts it."""

    version: str | None = None
    multiscales: tuple[Multiscale, ...] = ()
    omero: _Omero = _Omero()
    layout: Literal[3] | None = Field(default=None, alias="bioformats2raw.layout")
    series: tuple[str, ...] = ()
    plate: dict[str, Any] | None = None
    well: dict[str, Any] | None = None
    image_label: dict[str, Any] | None = Field(default=None, alias="image-label")


def is_zarr(folder: Path) -> bool:
    """Whether a folder is a Zarr group or array."""
    return any((folder / name).is_file() for name in ZARR_FILES)


class ZarrSlide(Closing):
    """An OME-Zarr image of one focus plane and one time point, of gray channels or of colour.

    It is colour when its three channels of 8 bits are named red, green and blue, or have no names and these colours.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._guarded("opened"):
            folder, told = _find_image(path)
            self._describe(folder, told)

    def _describe(self, folder: Path, told: Ngff) -> None:
        import zarr

        from cellseg.io.whole_chunks import open_array

        if told.image_label is not None:
            raise ImageError(f"{self.path}: a label image of an OME-Zarr; expected the image that it belongs to")
        image = told.multiscales[0]
        version = told.version or image.version or _VERSIONS[0]
        if version not in _VERSIONS:
            told_version = version if re.fullmatch(r"[\d.]{1,8}", version) else "of no known version"
            raise ImageError(
                f"{self.path}: OME-Zarr {told_version}; expected {' or '.join(_VERSIONS)}; convert the image"
            )
        self._axes = tuple(axis.name for axis in image.axes)
        group = zarr.open_group(str(folder), mode="r", use_consolidated=False)
        self._arrays = [open_array(group, dataset.path) for dataset in image.datasets]
        self._check_arrays()
        self.dtype = np.dtype(self._arrays[0].dtype).newbyteorder("=")
        shapes = [self._sizes(array) for array in self._arrays]
        self.height, self.width = shapes[0]["y"], shapes[0]["x"]
        self.levels = tuple(
            Level(own["y"], own["x"], (self.height / own["y"] + self.width / own["x"]) / 2) for own in shapes
        )
        n_channels = shapes[0].get("c", 1)
        self.is_rgb = n_channels == 3 and self.dtype == np.uint8 and _is_colour(told.omero)
        self.channel_names = ("red", "green", "blue") if self.is_rgb else _names(told.omero, n_channels)
        self.pixel_size: PixelSize | None = pixel_size_from(
            image.um("x"), image.um("y"), f"OME-Zarr {version} scale", self.path
        )
        self.objective_power = _power(folder)
        self.format = f"OME-Zarr {version}"

    def _sizes(self, array: zarr.Array[Any]) -> dict[str, int]:
        return dict(zip(self._axes, array.shape, strict=True))

    def _check_arrays(self) -> None:
        """Refuse what is no single plane of pixels, and levels that are not one image's."""
        first = self._arrays[0]
        if any(array.ndim != len(self._axes) or array.dtype != first.dtype for array in self._arrays):
            raise ImageError(f"{self.path}: levels of different axes or types; {_CURE}")
        sizes = [self._sizes(array) for array in self._arrays]
        stacked = {axis: sizes[0][axis] for axis in "tz" if sizes[0].get(axis, 1) > 1}
        if stacked:
            what = ", ".join(f"{n} {'time points' if axis == 't' else 'focus planes'}" for axis, n in stacked.items())
            raise ImageError(
                f"{self.path}: {what}; expected one plane; export one focus plane or time point (or a projection)"
            )
        if any(0 in own.values() for own in sizes):
            raise ImageError(f"{self.path}: a level without pixels; expected at least 1 x 1 px; {_CURE}")
        if any(
            own["y"] > sizes[0]["y"] or own["x"] > sizes[0]["x"] or own.get("c") != sizes[0].get("c") for own in sizes
        ):
            raise ImageError(f"{self.path}: the first level is not the largest, or not of all channels; {_CURE}")
        if first.dtype.kind != "u" or first.dtype.itemsize > 2:
            raise ImageError(
                f"{self.path}: {first.dtype} pixels; expected 8-bit or 16-bit unsigned integers; rescale the image to "
                "0..65535 and save it as 16-bit"
            )

    def read(self, window: Window, level: int = 0) -> Pixels:
        """Pixels (h, w, C) of `window`, in pixels of `level`; a chunk that is not there has the array's fill value.

        Raises
        ------
        ImageError
            If a chunk is damaged.
        ValueError
            If the window does not lie in the image.
        """
        check_window(window, self.levels, level, self.path)
        if not (window.height and window.width):
            return np.zeros((window.height, window.width, len(self.channel_names)), self.dtype)
        part = {"y": slice(window.y0, window.y1), "x": slice(window.x0, window.x1), "c": slice(None)}
        with self._guarded("read"):
            pixels = np.asarray(self._arrays[level][tuple(part.get(axis, 0) for axis in self._axes)])
        kept = [axis for axis in self._axes if axis in part]
        pixels = pixels.transpose([kept.index(axis) for axis in ("y", "x", "c") if axis in kept])
        return np.ascontiguousarray(pixels.reshape(window.height, window.width, -1), self.dtype)

    @contextlib.contextmanager
    def _guarded(self, act: str) -> Iterator[None]:
        """What zarr and its codecs stumble over is a damaged folder, or a kind that they do not know."""
        try:
            yield
        except (ImageError, MemoryError):
            raise
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(str(part) for part in fault["loc"])
            raise ImageError(
                f"{self.path}: the metadata is not that of OME-Zarr 0.4 or 0.5 ({where}: {fault['msg']}); convert the "
                "image again"
            ) from error
        except Exception as error:  # the codecs' and zarr's errors have no common root
            said = what_it_said(error, self.path)
            raise ImageError(f"{self.path}: cannot be {act} by zarr ({said}); {_CURE}") from error

    def close(self) -> None:
        """Let the arrays go; no file stays open between reads."""
        self._arrays = []


def _read_told(folder: Path) -> Ngff:
    import zarr

    attributes = dict(zarr.open_group(str(folder), mode="r", use_consolidated=False).attrs)
    inner = attributes.get("ome")
    return Ngff.model_validate(inner if isinstance(inner, dict) else attributes)


def _find_image(path: Path) -> tuple[Path, Ngff]:
    """The folder of the one image that `path` names, and what it says."""
    told = _read_told(path)
    if told.plate is not None or told.well is not None:
        raise ImageError(f"{path}: a plate or well of many images; name the folder of the one that is meant")
    if told.multiscales:
        if len(told.multiscales) > 1:
            raise ImageError(f"{path}: {len(told.multiscales)} images in one group; expected one; export the one meant")
        return path, told
    if told.layout is None:
        raise ImageError(
            f"{path}: a Zarr group without an OME-Zarr image (no multiscales); name the folder of the image"
        )
    # bioformats2raw numbers its images, or lists them in OME
    listed = _read_told(path / "OME").series if is_zarr(path / "OME") else ()
    names = listed or tuple(sorted(file.name for file in path.iterdir() if file.name.isdigit() and is_zarr(file)))
    if len(names) != 1:
        raise ImageError(
            f"{path}: {len(names)} images ({', '.join(names[:5])}); expected one; name the one that is meant, such as "
            f"{path / '0'}"
        )
    return path / names[0], _read_told(path / names[0])


def _is_colour(omero: _Omero) -> bool:
    names = tuple((channel.label or "").strip().lower() for channel in omero.channels)
    if names in _RGB_NAMES:
        return True
    colours = tuple((channel.color or "").strip().lstrip("#").upper() for channel in omero.channels)
    return colours == _RGB_COLOURS and all(_NUMBERED.fullmatch(name) for name in names)


def _names(omero: _Omero, n_channels: int) -> tuple[str, ...]:
    if n_channels == 1:
        return ("gray",)
    names: list[str] = []
    for i in range(n_channels):
        name = (omero.channels[i].label if i < len(omero.channels) else None) or f"channel_{i + 1}"
        names.append(name if name not in names else f"{name}_{i + 1}")
    return tuple(names)


def _power(folder: Path) -> float | None:
    """The objective of the OME-XML that bioformats2raw writes for its one image; None without it."""
    described = folder.parent / "OME" / "METADATA.ome.xml"
    try:
        told = parse_ome(described.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return power_from(told.power) if told else None
