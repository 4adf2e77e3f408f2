"""Outlines that people drew: GeoJSON as QuPath writes it, and COCO. Floor 2.

Coordinates are px with (0, 0) the image's upper left corner, x first; a pixel is in an outline when its middle is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon as pixels_inside

from cellseg.errors import LabelError

Mask = NDArray[np.bool_]
_CELLS = ("cell", "detection")


@dataclass(frozen=True)
class Annotation:
    """The objects of one image.

    labels : (H, W) ndarray of int32, 0 = background; where outlines overlap, the smaller object is on top.
    names : class name of each id; "" where the file gives none.
    """

    labels: NDArray[np.int32]
    names: Mapping[int, str]


@dataclass(frozen=True)
class CocoImage:
    """An image of a COCO file: its `file_name`, size, and the annotations of it with the names of their classes."""

    file_name: str
    height: int
    width: int
    annotations: tuple[tuple[str, dict[str, Any]], ...]


def read_json(path: Path) -> Any:  # noqa: ANN401 - whatever JSON holds
    """What a JSON file holds.

    Raises
    ------
    LabelError
        If it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise LabelError(f"{path}: not readable as JSON ({error}); export it again") from error


def read_geojson(path: Path, height: int, width: int) -> Annotation:
    """The polygons of a GeoJSON file on an image of this size; the classification's name is the class.

    Where a file holds QuPath's cells or detections, regions drawn around them are no objects and left out.

    Raises
    ------
    LabelError
        If it is no GeoJSON, holds points or lines, or its polygons lie outside of the image.
    """
    found = read_json(path)
    features = found if isinstance(found, list) else found.get("features", [found]) if isinstance(found, dict) else []
    if not all(isinstance(f, dict) and isinstance(f.get("geometry"), dict) for f in features):
        raise LabelError(f"{path}: not GeoJSON features with a geometry; export the objects from QuPath as GeoJSON")
    cells = [f for f in features if (f.get("properties") or {}).get("objectType") in _CELLS]
    objects = []
    for number, feature in enumerate(cells or features):
        geometry = feature["geometry"]
        kinds = {"Polygon": [geometry.get("coordinates")], "MultiPolygon": geometry.get("coordinates")}
        if geometry.get("type") not in kinds:
            raise LabelError(
                f"{path}: feature {number} is a {geometry.get('type')}; expected Polygon or MultiPolygon; outline the "
                "cells, or leave it out"
            )
        where = f"{path}: feature {number}"
        objects.append((class_name(feature), _fill(kinds[geometry["type"]], height, width, where)))
    return _draw(objects, height, width)


def class_name(feature: Mapping[str, Any]) -> str:
    """The name of a GeoJSON feature's class, QuPath's derived classes joined as it shows them; "" where it has none."""
    named = (feature.get("properties") or {}).get("classification") or {}
    if isinstance(named, dict):
        parts = named.get("names")
        return ": ".join(map(str, parts)) if isinstance(parts, list) else str(named.get("name") or "")
    return str(named)


def read_coco(path: Path) -> tuple[CocoImage, ...]:
    """The images of a COCO file.

    Raises
    ------
    LabelError
        If it is none, or annotations name images or classes that it does not list.
    """
    found = read_json(path)
    try:
        names = {category["id"]: str(category["name"]) for category in found["categories"]}
        of_image: dict[Any, list[tuple[str, dict[str, Any]]]] = {image["id"]: [] for image in found["images"]}
        for annotation in found["annotations"]:
            of_image[annotation["image_id"]].append((names[annotation["category_id"]], annotation))
        return tuple(
            CocoImage(str(i["file_name"]), int(i["height"]), int(i["width"]), tuple(of_image[i["id"]]))
            for i in found["images"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LabelError(
            f"{path}: not COCO ({type(error).__name__}: {error}); expected images (id, file_name, height, width), "
            "annotations (image_id, category_id, segmentation) and categories (id, name)"
        ) from error


def draw_coco(image: CocoImage, where: str) -> Annotation:
    """The objects of a COCO image, of polygons and of run lengths.

    Raises
    ------
    LabelError
        If a segmentation is missing, damaged or of a crowd.
    """
    objects = []
    for name, annotation in image.annotations:
        place = f"{where}: annotation {annotation.get('id', '?')} of {image.file_name}"
        if annotation.get("iscrowd"):
            raise LabelError(
                f"{place}: a crowd (iscrowd 1), whose cells are not outlined one by one; leave that image out"
            )
        outline = annotation.get("segmentation")
        if isinstance(outline, dict):
            mask = _of_runs(outline, image.height, image.width, place)
        elif isinstance(outline, list) and outline:
            rings = [_pairs(flat, place) for flat in outline]
            mask = _fill([[ring] for ring in rings], image.height, image.width, place)
        else:
            raise LabelError(f"{place}: no segmentation; a box alone outlines no cell; export masks or polygons")
        objects.append((name, mask))
    return _draw(objects, image.height, image.width)


def _pairs(flat: Sequence[float], where: str) -> list[list[float]]:
    if len(flat) < 6 or len(flat) % 2:
        raise LabelError(f"{where}: a polygon of {len(flat)} numbers; expected x, y of at least 3 corners")
    return [list(pair) for pair in zip(flat[::2], flat[1::2], strict=True)]


def _fill(polygons: Iterable[Any] | None, height: int, width: int, where: str) -> tuple[int, int, Mask]:
    """Row, column and mask of what the polygons (each an outer ring and holes) cover together."""
    try:
        shapes = [[np.asarray(ring, np.float64)[:, :2] - 0.5 for ring in rings] for rings in polygons or ()]
        corners = np.concatenate([rings[0] for rings in shapes])
    except (IndexError, TypeError, ValueError) as error:
        raise LabelError(f"{where}: coordinates that are no polygon ({error}); outline the cell again") from error
    if not np.isfinite(corners).all():
        raise LabelError(f"{where}: a corner that is no number; outline the cell again")
    low = np.clip(np.floor(corners.min(0)), 0, None).astype(int)
    high = np.clip(np.ceil(corners.max(0)) + 1, None, [width, height]).astype(int)
    if (high <= low).any():
        raise LabelError(
            f"{where}: lies outside of the image of {width} x {height} px; coordinates must be px of this image"
        )
    mask = np.zeros((high[1] - low[1], high[0] - low[0]), bool)
    for outer, *holes in shapes:
        part = _ring(outer - low, mask.shape)
        for hole in holes:
            part &= ~_ring(hole - low, mask.shape)
        mask |= part
    return int(low[1]), int(low[0]), mask


def _ring(corners: NDArray[np.float64], shape: tuple[int, ...]) -> Mask:
    mask = np.zeros(shape, bool)
    mask[pixels_inside(corners[:, 1], corners[:, 0], shape)] = True
    return mask


def _of_runs(runs: Mapping[str, Any], height: int, width: int, where: str) -> tuple[int, int, Mask]:
    """The mask of COCO's run lengths, plain or packed: down the columns, background first."""
    counts = runs.get("counts")
    try:
        lengths = np.array(_unpack(counts) if isinstance(counts, str) else counts, np.int64)
        size = [int(side) for side in runs["size"]]
        total, least = int(lengths.sum()), int(lengths.min())
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise LabelError(f"{where}: damaged run lengths ({error}); export it again") from error
    if size != [height, width] or least < 0 or total != height * width:
        raise LabelError(
            f"{where}: run lengths of {total} px for a size of {size}; expected {height} x {width} px; export it again"
        )
    values = np.arange(len(lengths)) % 2 == 1
    return 0, 0, np.repeat(values, lengths).reshape(width, height).T


def _unpack(text: str) -> list[int]:
    """COCO's packed run lengths: 5 bits a letter, from the fourth on as differences to the one before the last."""
    lengths: list[int] = []
    at = 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more:
            bits = ord(text[at]) - 48
            value |= (bits & 0x1F) << shift
            shift, at, more = shift + 5, at + 1, bool(bits & 0x20)
        if bits & 0x10:
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
    return lengths


def _draw(objects: Sequence[tuple[str, tuple[int, int, Mask]]], height: int, width: int) -> Annotation:
    labels = np.zeros((height, width), np.int32)
    areas = [int(mask.sum()) for _, (_, _, mask) in objects]
    for at in np.argsort([-area for area in areas], kind="stable"):
        y, x, mask = objects[at][1]
        labels[y : y + mask.shape[0], x : x + mask.shape[1]][mask] = at + 1
    return Annotation(labels, {at + 1: name for at, (name, _) in enumerate(objects)})
