"""What OME-XML says of the first image: channel names and the size of a pixel. Floor 2: text in, values out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias
from xml.etree import ElementTree

TiffPage: TypeAlias = Any
"""A page, series or file of tifffile, which has no types."""
UM_PER_UNIT = {
    "m": 1e6, "dm": 1e5, "cm": 1e4, "mm": 1e3, "um": 1.0, "µm": 1.0, "μm": 1.0, "micron": 1.0, "microns": 1.0,
    "micrometer": 1.0, "nm": 1e-3, "pm": 1e-6, "å": 1e-4, "in": 25400.0, "inch": 25400.0, "inches": 25400.0,
}  # fmt: skip
"""Microns per unit of length, by the lower-case name that microscopes write."""


@dataclass(frozen=True)
class OmeImage:
    """The first image of an OME-XML document; sizes are um per pixel, None where the file does not say, as `power` is.

    `power` is the nominal magnification of the objective that the image names, or of the only one there is.
    """

    channel_names: tuple[str | None, ...]
    x_um: float | None
    y_um: float | None
    power: float | None = None


def parse_ome(xml: str) -> OmeImage | None:
    """The first image that the document describes; None when it is not OME-XML that can be understood.

    Documents with entity definitions are not read: they can grow without bound.
    """
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        return None
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None
    pixels = next((node for node in root.iter() if _plain(node.tag) == "Pixels"), None)
    if pixels is None:
        return None
    names = tuple(node.get("Name") for node in pixels if _plain(node.tag) == "Channel")
    return OmeImage(names, _size_um(pixels, "PhysicalSizeX"), _size_um(pixels, "PhysicalSizeY"), _power(root))


def _power(root: ElementTree.Element) -> float | None:
    objectives = [node for node in root.iter() if _plain(node.tag) == "Objective"]
    image = next((node for node in root.iter() if _plain(node.tag) == "Image"), root)
    settings = next((node.get("ID") for node in image if _plain(node.tag) == "ObjectiveSettings"), None)
    named = [node for node in objectives if node.get("ID") == settings] if settings else objectives
    try:
        return float(named[0].get("NominalMagnification", "")) if len(named) == 1 else None
    except ValueError:
        return None


def _plain(tag: str) -> str:
    return tag.rsplit("}", 1)[-1]


def _size_um(pixels: ElementTree.Element, key: str) -> float | None:
    unit = UM_PER_UNIT.get(pixels.get(key + "Unit", "µm").strip().lower())
    try:
        return None if unit is None else float(pixels.get(key, "")) * unit
    except ValueError:
        return None
