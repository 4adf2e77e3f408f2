"""What a map of tissue is for people: areas, a picture with a legend, polygons for QuPath. Floor 6."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cellseg.io.atomic import atomic_path
from cellseg.io.class_map import NO_CLASS, ClassMap, open_class_map
from cellseg.preprocess.recipe import Recipe
from cellseg.report.cells import Picture
from cellseg.report.palette import RGB, tissue_colours
from cellseg.report.sheet import Panel, compose_sheet
from cellseg.report.tissue import tint_tissues
from cellseg.stages.overlay import describe_slide, encode_png, for_display, read_reduced
from cellseg.stages.results import MapFiles
from cellseg.types import Slide, Window

MAX_TRACED_MPX = 64
"""Mpx; polygons of larger maps are traced on the map reduced by a whole factor, which the file states."""
_STRIP_PX = 1024
_ZOOM_TO_PX, _MAX_ZOOM = 1400, 3
_DECIMALS = 2


def finish_map(files: MapFiles, slide: Slide, recipe: Recipe, *, max_px: int = 4096) -> list[dict[str, Any]]:
    """Write overlay and polygons of a map; returns the areas of its classes.

    Parameters
    ----------
    files : MapFiles
        The map is there; `overlay` and `polygons` are written.
    slide : Slide
        Open.
    recipe : Recipe
        How the slide is shown.
    max_px : int
        Longer side of the picture; larger slides are shown reduced.

    Returns
    -------
    list of dict
        `tissue`, `area_mm2` and `share` of all pixels with a class (NaN-free: 0 where there are none), by class number.
    """
    with open_class_map(files.map) as tissue:
        areas = measure_areas(tissue, recipe)
        colours = tissue_colours(len(tissue.names))
        panel = _draw(tissue, slide, recipe, colours, max_px)
        words = (f"{row['tissue']}  {row['area_mm2']:.3g} mm²  {row['share']:.0%}" for row in areas)
        legend = dict(zip(words, colours, strict=True))
        sheet = compose_sheet([panel], title=slide.path.stem, subtitle=describe_slide(recipe), legend=legend)
        _write(files, encode_png(sheet), tissue, recipe, colours)
    return areas


def measure_areas(tissue: ClassMap, recipe: Recipe) -> list[dict[str, Any]]:
    """Area and share of each class of a map, counted strip by strip."""
    counts = np.zeros(256, np.int64)
    for y in range(0, tissue.height, _STRIP_PX):
        part = tissue.read(Window(y, min(y + _STRIP_PX, tissue.height), 0, tissue.width))
        counts += np.bincount(part.ravel(), minlength=256)
    mpp = tissue.mpp or recipe.mpp
    own = counts[: len(tissue.names)]
    total = max(int(own.sum()), 1)
    return [
        {"tissue": name, "area_mm2": round(int(n) * mpp**2 / 1e6, 9), "share": round(int(n) / total, 6)}
        for name, n in zip(tissue.names, own, strict=True)
    ]


def _draw(tissue: ClassMap, slide: Slide, recipe: Recipe, colours: Sequence[RGB], max_px: int) -> Panel:
    """The slide, enlarged where it is small and reduced where it is large, with its tissues."""
    longest = max(slide.height, slide.width)
    if longest > max_px:
        scale = max_px / longest
        shape = max(round(slide.height * scale), 1), max(round(slide.width * scale), 1)
        picture = read_reduced(slide, recipe, *shape)
    else:
        scale = float(np.clip(_ZOOM_TO_PX // longest, 1, _MAX_ZOOM))
        shape = round(slide.height * scale), round(slide.width * scale)
        seen = for_display(slide.read(Window(0, slide.height, 0, slide.width)), recipe)
        picture = np.asarray(cv2.resize(seen, shape[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)
    line_px = max(round(max(shape) / 1000), 1)
    return Panel(_tinted(picture, tissue, colours, line_px), recipe.mpp / scale)


def _tinted(picture: Picture, tissue: ClassMap, colours: Sequence[RGB], line_px: int) -> Picture:
    height, width = picture.shape[:2]
    rows, columns = (
        np.minimum((np.arange(n) + 0.5) * side / n, side - 1).astype(np.int64)
        for n, side in ((height, tissue.height), (width, tissue.width))
    )
    classes = np.empty((height, width), np.uint8)
    for y in range(0, height, 256):
        own = rows[y : y + 256]
        part = tissue.read(Window(int(own[0]), int(own[-1]) + 1, 0, tissue.width))
        classes[y : y + 256] = part[(own - own[0])[:, None], columns[None, :]]
    return tint_tissues(picture, classes, colours, line_px=line_px)


def _write(files: MapFiles, picture: bytes, tissue: ClassMap, recipe: Recipe, colours: Sequence[RGB]) -> None:
    with atomic_path(files.overlay) as temporary:
        temporary.write_bytes(picture)
    classes, step = _traced(tissue)
    mpp = tissue.mpp or recipe.mpp
    px = step * mpp / recipe.mpp
    about = json.dumps({"traced_um_per_px": mpp * step})
    with atomic_path(files.polygons) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write(f'{{"type":"FeatureCollection","properties":{about},"features":[')
        for number, feature in enumerate(trace_polygons(classes, tissue.names, colours, px_per_map_px=px)):
            stream.write((",\n" if number else "\n") + json.dumps(feature, separators=(",", ":")))
        stream.write("\n]}\n")


def _traced(tissue: ClassMap) -> tuple[NDArray[np.uint8], int]:
    """The map that polygons are traced on, and by what whole factor it is reduced."""
    step = 1
    while tissue.height * tissue.width / step**2 > MAX_TRACED_MPX * 1e6:
        step += 1
    rows = []
    for y in range(0, tissue.height, _STRIP_PX * step):
        part = tissue.read(Window(y, min(y + _STRIP_PX * step, tissue.height), 0, tissue.width))
        rows.append(np.ascontiguousarray(part[::step, ::step]))
    return np.concatenate(rows), step


def trace_polygons(
    classes: NDArray[np.uint8], names: Sequence[str], colours: Sequence[RGB], *, px_per_map_px: float
) -> Iterator[dict[str, Any]]:
    """A GeoJSON feature, as QuPath knows it, for every 4-connected region of one class; holes are kept.

    Parameters
    ----------
    classes : (H, W) ndarray of uint8
        A map; `NO_CLASS` and numbers without a name give no polygon.
    px_per_map_px : float
        Pixels of the slide per pixel of the map; outlines run along the pixels' edges.

    Yields
    ------
    dict
        Coordinates are x, y in px of the slide, (0, 0) its upper left corner.
    """
    from rasterio.features import shapes
    from rasterio.transform import Affine

    known = (classes != NO_CLASS) & (classes < len(names))
    transform = Affine.scale(px_per_map_px)
    for geometry, value in shapes(classes, mask=known, connectivity=4, transform=transform):
        number = int(value)
        rings = [[[round(x, _DECIMALS), round(y, _DECIMALS)] for x, y in ring] for ring in geometry["coordinates"]]
        yield {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": rings},
            "properties": {
                "objectType": "annotation",
                "classification": {"name": names[number], "color": list(colours[number])},
            },
        }
