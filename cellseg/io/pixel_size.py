"""How many microns a pixel is: what files say of it, and how that is reconciled with the sample sheet. Floor 2."""

from __future__ import annotations

import math
import re
from pathlib import Path

from cellseg.errors import ImageError
from cellseg.io.ome import UM_PER_UNIT, TiffPage, parse_ome
from cellseg.types import PixelSize, Slide

MIN_MPP, MAX_MPP = 0.01, 100.0
"""um per pixel; what a sheet may say."""
MAX_FILE_MPP = 20.0
"""um per pixel; a greater figure in a file is a screen's or a printer's (1270 dpi and less), no microscope's."""
MAX_ANISOTROPY = 0.01
MIN_POWER, MAX_POWER = 1.0, 200.0
"""Magnifications that an objective may have."""
GIVEN = "given by the sample sheet or --mpp"
"""Source of a pixel size that a person wrote."""


def pixel_size_from(x_um: float | None, y_um: float | None, source: str, path: Path) -> PixelSize | None:
    """The pixel size that a file states, um; None where it is absent or no microscope's.

    Raises
    ------
    ImageError
        If width and height of a pixel differ by more than 1 %.
    """
    x_um, y_um = x_um or y_um, y_um or x_um
    if x_um is None or y_um is None or not (math.isfinite(x_um) and math.isfinite(y_um)):
        return None
    if not (MIN_MPP <= x_um <= MAX_FILE_MPP and MIN_MPP <= y_um <= MAX_FILE_MPP):
        return None
    if abs(x_um - y_um) > MAX_ANISOTROPY * min(x_um, y_um):
        raise ImageError(
            f"{path}: pixels are {y_um:g} um high and {x_um:g} um wide ({source}); expected square ones (within 1 %); "
            "resample the image to square pixels"
        )
    # 12 digits: 25400 / (1 / 0.5 per inch) would otherwise be 0.49999999999999994
    mpp = x_um if x_um == y_um else math.sqrt(x_um * y_um)
    return PixelSize(float(f"{mpp:.12g}"), source)


def pixel_size_of_tiff(page: TiffPage, path: Path) -> PixelSize | None:
    """The pixel size of a TIFF's first page: OME-XML, else Aperio's, else ImageJ's description, else resolution tags.

    Raises
    ------
    ImageError
        If width and height of a pixel differ by more than 1 %.
    """
    description = page.description or ""
    if "<OME" in description and (ome := parse_ome(description)):
        found = pixel_size_from(ome.x_um, ome.y_um, "OME-XML PhysicalSizeX", path)
        if found:
            return found
    if match := re.search(r"\bMPP\s*=\s*([0-9.eE+-]+)", description):
        found = pixel_size_from(parse_number(match.group(1)), None, "Aperio MPP", path)
        if found:
            return found
    x_per_unit, y_per_unit = _resolution(page, "XResolution"), _resolution(page, "YResolution")
    if description.startswith("ImageJ="):
        unit = _imagej_unit(description)
        return _from_density(x_per_unit, y_per_unit, unit, "ImageJ description", path)
    unit = {2: 25400.0, 3: 10000.0}.get(int(page.tags.valueof("ResolutionUnit", default=1) or 1))
    return _from_density(x_per_unit, y_per_unit, unit, "TIFF resolution tags", path)


def objective_power_of_tiff(page: TiffPage) -> float | None:
    """The objective's magnification in a TIFF's first page: OME-XML, else Aperio's description; None without one."""
    description = page.description or ""
    if "<OME" in description and (ome := parse_ome(description)):
        return power_from(ome.power)
    match = re.search(r"\bAppMag\s*=\s*([0-9.eE+-]+)", description)
    return power_from(parse_number(match.group(1))) if match else None


def power_from(power: float | None) -> float | None:
    """A magnification that a file states; None where no objective has it."""
    return power if power is not None and MIN_POWER <= power <= MAX_POWER else None


def pixel_size_of_density(x_per_m: float, y_per_m: float, source: str, path: Path) -> PixelSize | None:
    """The pixel size of an image of so many pixels a metre (PNG `pHYs`, JPEG density).

    Raises
    ------
    ImageError
        If width and height of a pixel differ by more than 1 %.
    """
    return _from_density(x_per_m, y_per_m, 1e6, source, path)


def _from_density(
    x_per_unit: float | None, y_per_unit: float | None, unit_um: float | None, source: str, path: Path
) -> PixelSize | None:
    if not unit_um or not x_per_unit or not y_per_unit:
        return None
    return pixel_size_from(unit_um / x_per_unit, unit_um / y_per_unit, source, path)


def parse_number(text: str | None) -> float | None:
    """A figure that a file states; None where it states none, or no number."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _resolution(page: TiffPage, tag: str) -> float | None:
    value = page.tags.valueof(tag)
    if isinstance(value, tuple) and len(value) == 2 and value[0] > 0 and value[1] > 0:
        return float(value[0]) / float(value[1])
    return None


def _imagej_unit(description: str) -> float | None:
    match = re.search(r"^unit=(.*)$", description, re.MULTILINE)
    if not match:
        return None
    name = match.group(1).strip().replace("\\u00B5", "µ").replace("\\u00b5", "µ").lower()
    return UM_PER_UNIT.get(name)


def resolve_pixel_size(
    slide: Slide, sheet_mpp: float | None, *, tolerance: float, where: str
) -> tuple[PixelSize, str | None]:
    """The pixel size in force, and a note where the sheet contradicts the file by more than `tolerance` (a fraction).

    The sheet's figure wins: a person wrote it. `where` names the image in messages.

    Raises
    ------
    ImageError
        If neither says it, or the sheet's is not between 0.01 and 100 um per pixel.
    """
    stated = slide.pixel_size
    if sheet_mpp is None:
        if stated is None:
            power = f" (its objective is {slide.objective_power:g}x)" if slide.objective_power else ""
            raise ImageError(
                f"{where}: no pixel size in the file{power}; write the microns per pixel of this image into the column "
                "mpp of the sample sheet, or give --mpp (20x is often near 0.5, 40x near 0.25; a scale bar tells)"
            )
        return stated, None
    if not MIN_MPP <= sheet_mpp <= MAX_MPP:
        raise ImageError(
            f"{where}: mpp {sheet_mpp:g} is impossible; expected {MIN_MPP} to {MAX_MPP:g} microns per pixel; correct "
            "the column mpp of the sample sheet, or --mpp"
        )
    note = None
    if stated and abs(stated.mpp - sheet_mpp) > tolerance * stated.mpp:
        note = (
            f"the given mpp {sheet_mpp:g} is used; the file says {stated.mpp:g} ({stated.source}): one of them is wrong"
        )
    return PixelSize(sheet_mpp, GIVEN), note
