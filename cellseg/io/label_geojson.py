"""Labels of cells as QuPath draws them: points, outlines and regions with a class. Floor 2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cellseg.errors import LabelError
from cellseg.io.annotations import class_name
from cellseg.io.cell_labels import UNDECIDED, Marks
from cellseg.io.geojson import PolygonList, read_features

_OBJECTS = ("cell", "detection", "PathCellObject", "PathDetectionObject")
_OURS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
"""The ids of the Features of our own exports, which end in the cell's id."""


def read_geojson_marks(path: Path) -> tuple[Marks, ...]:
    """Points and polygons of a GeoJSON file, with the name of each one's classification (derived classes joined).

    Coordinates are px with (0, 0) the image's upper left corner, as QuPath has it, so that points are half a pixel less
    here. Features without a class decide nothing. Where a file holds cells or detections, regions drawn around them
    are left out. The id of a cell is taken from the Feature where this program exported it (its UUID, or the
    measurement `cell_id`).

    Raises
    ------
    LabelError
        If the file cannot be read or holds lines.
    """
    points: list[list[float]] = []
    named: list[str] = []
    outlines, classes, ids, objects = PolygonList(path), list[str](), list[int](), list[bool]()
    for number, feature in enumerate(read_features(path)):
        name = class_name(feature)
        name = "" if name in UNDECIDED else name.strip()
        if feature["geometry"].get("type") in ("Point", "MultiPoint"):
            places = _points(feature["geometry"], path, number)
            points += places
            named += [name] * len(places)
            continue
        if feature["geometry"].get("type") not in ("Polygon", "MultiPolygon"):
            raise LabelError(
                f"{path}: feature {number} is a {feature['geometry'].get('type')}; expected points or polygons of "
                "cells; leave it out"
            )
        outlines.add(feature["geometry"], number)
        classes.append(name)
        ids.append(_own_id(feature))
        objects.append((feature.get("properties") or {}).get("objectType") in _OBJECTS)
    marks = []
    if named:
        marks.append(Marks(np.array(named, object), points_px=np.array(points)[:, 1::-1] - 0.5))
    if classes:
        marks.append(_outline_marks(outlines, classes, ids, objects))
    return tuple(marks)


def _outline_marks(outlines: PolygonList, classes: list[str], ids: list[int], objects: list[bool]) -> Marks:
    """The outlines; regions around detected objects decide nothing."""
    one_cell = np.array(objects)
    names = np.array(classes, object)
    if one_cell.any():
        names[~one_cell] = ""
    return Marks(names, cell_ids=np.array(ids, np.uint32), polygons=outlines.take(), one_cell=one_cell)


def _points(geometry: Mapping[str, Any], path: Path, number: int) -> list[list[float]]:
    """The points of a geometry, x first."""
    found: Any = geometry.get("coordinates")
    try:
        points = [[float(x), float(y)] for x, y, *_ in ([found] if geometry["type"] == "Point" else found)]
        if not np.isfinite(points).all():
            raise ValueError("no number")
    except (TypeError, ValueError) as error:
        raise LabelError(
            f"{path}: feature {number}: coordinates that are no point ({error}); set the point again"
        ) from error
    return points


def _own_id(feature: Mapping[str, Any]) -> int:
    """The id that our export gave the cell; 0 for Features that come from elsewhere."""
    uuid = feature.get("id")
    if isinstance(uuid, str) and _OURS.fullmatch(uuid):
        return int(uuid[-8:], 16)
    found = (feature.get("properties") or {}).get("measurements")
    if isinstance(found, list):
        found = {entry.get("name"): entry.get("value") for entry in found if isinstance(entry, dict)}
    value = found.get("cell_id") if isinstance(found, dict) else None
    return int(value) if isinstance(value, int | float) and 1 <= value < 2**32 and value == int(value) else 0
