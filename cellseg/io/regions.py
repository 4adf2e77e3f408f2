"""Regions that people drew, as a class map: polygons with class names, label images, maps of ours. Floor 2.

Polygons are those of GeoJSON as QuPath writes it, in px of the slide with (0, 0) its upper left corner, x first. A
pixel of the map has the class of the smallest polygon that its middle lies in. Everything is drawn block by block of
one grid over the map, so that neither memory nor the answer depends on the windows that are asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.transform import Affine

from cellseg.errors import LabelError
from cellseg.io.annotations import class_name, read_json
from cellseg.io.class_map import MAX_CLASSES, NO_CLASS, TILE_PX, ClassMap, open_class_map
from cellseg.io.labels import LabelImage, open_labels
from cellseg.types import Window

Classes = NDArray[np.uint8]
UNCLASSIFIED = "unclassified"
"""Name of the class of polygons that have none."""
_DETECTIONS = ("cell", "detection", "tile")
_KINDS = ("Polygon", "MultiPolygon")
_STRIP_PX = 1024
_READ_PX = 2**24
_DRAWING = threading.Lock()
_SIZE_CURE = "expected the slide's size, or that of a reduced copy; export the labels of this slide"


class Regions(Protocol):
    """A class map made as it is read: names of the classes 0, 1, ..., size in px of the map; `read` is thread-safe."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def height_px(self) -> int: ...
    @property
    def width_px(self) -> int: ...

    def read(self, window: Window) -> Classes:
        """Class numbers (h, w) of a window of the map, 255 where there is none."""
        ...

    def close(self) -> None:
        """Let files and memory go."""
        ...


def read_annotation(
    path: Path,
    *,
    slide_px: tuple[int, int],
    map_px: tuple[int, int] | None = None,
    scale: float = 1.0,
    label_names: Mapping[str, str] | None = None,
    max_decoded_mpx: float = 500.0,
) -> Regions:
    """What a person drew on a slide, as a class map.

    Parameters
    ----------
    path : Path
        GeoJSON (.geojson, .json); or a label image, PNG or TIFF, of the slide's size or that of a reduced copy; or a
        class map that `cellseg tissue` wrote.
    slide_px, map_px : (int, int)
        Height and width of the slide and of the map; a map of the slide's size times `scale` if not given.
    scale : float
        Pixels of the map per pixel of the slide.
    label_names : mapping
        Value in a label image -> name of its class, "" for no class. Values that are not named are called
        `class_VALUE`, but for 0, which is no class. Names that no pixel has are classes too.
    max_decoded_mpx : float
        Limit of what a PNG may decode to, Mpx.

    Raises
    ------
    LabelError
        If the file cannot be read, holds nothing or too much, or does not fit the slide.
    """
    size = map_px or tuple(max(int(np.ceil(side * scale - 1e-6)), 1) for side in slide_px)
    if path.suffix.lower() in (".geojson", ".json"):
        return DrawnRegions(path, slide_px, (size[0], size[1]), scale)
    return LabelledRegions(path, slide_px, (size[0], size[1]), scale, label_names or {}, max_decoded_mpx)


class DrawnRegions:
    """Polygons of a GeoJSON file as a class map; names in the alphabet's order. See `read_annotation`."""

    def __init__(self, path: Path, slide_px: tuple[int, int], map_px: tuple[int, int], scale: float) -> None:
        self.path = path
        self.height_px, self.width_px = map_px
        named = [(name, _polygon(found, at, path)) for at, name, found in _features(path)]
        _check_place([shape for _, shape in named], slide_px, path)
        self.names = tuple(sorted({name for name, _ in named}))
        if len(self.names) > MAX_CLASSES:
            raise LabelError(f"{path}: {len(self.names)} classes; expected {MAX_CLASSES} at most; join some of them")
        # the smallest is drawn last; of equals the later one
        order = np.argsort([-shape.area for _, shape in named], kind="stable")
        self._shapes = shapely.transform(np.array([named[at][1] for at in order]), lambda points: points * scale)
        self._classes = np.array([self.names.index(named[at][0]) for at in order], np.uint8)
        self._strip = lru_cache(maxsize=4)(self._cut_strip)
        self._turn = threading.Lock()

    def read(self, window: Window) -> Classes:
        """Class numbers (h, w) uint8 of a window of the map."""
        out = np.full((window.height, window.width), NO_CLASS, np.uint8)
        for y in range(window.y0 // TILE_PX * TILE_PX, window.y1, TILE_PX):
            for x in range(window.x0 // TILE_PX * TILE_PX, window.x1, TILE_PX):
                block = Window(y, y + TILE_PX, x, x + TILE_PX)
                part = Window(max(y, window.y0), min(block.y1, window.y1), max(x, window.x0), min(block.x1, window.x1))
                out[part.inside(window)] = self._draw(block)[part.inside(block)]
        return out

    def _draw(self, block: Window) -> Classes:
        with self._turn:
            shapes, classes = self._strip(block.y0 // _STRIP_PX)
        cut, kept = _cut(shapes, block)
        if not cut.size:
            return np.full((block.height, block.width), NO_CLASS, np.uint8)
        # a row and a column more than asked for: the library warns of pictures that begin at (0, 0)
        moved = shapely.transform(cut, lambda points: points - (block.x0, block.y0))
        # one at a time: the library silences another warning in a way that threads undo for each other
        with _DRAWING:
            drawn = rasterize(
                zip(moved, classes[kept].tolist(), strict=True), out_shape=(block.height + 1, block.width + 1),
                fill=NO_CLASS, dtype="uint8", transform=Affine.translation(-1, -1),
            )  # fmt: skip
        return np.asarray(drawn[1:, 1:], np.uint8)

    def _cut_strip(self, number: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """What of the polygons lies in a strip of the map: outlines of a million corners are cut small in two steps."""
        y = number * _STRIP_PX
        shapes, kept = _cut(self._shapes, Window(y, y + _STRIP_PX, 0, self.width_px))
        return shapes, self._classes[kept]

    def close(self) -> None:
        """Let the cut polygons go."""
        self._strip.cache_clear()


def _cut(shapes: NDArray[Any], window: Window) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The parts of polygons within a pixel of a window, and which polygons they are of."""
    x0, y0, x1, y1 = window.x0 - 1, window.y0 - 1, window.x1 + 1, window.y1 + 1
    bounds = shapely.bounds(shapes)
    near = (bounds[:, 0] < x1) & (bounds[:, 2] > x0) & (bounds[:, 1] < y1) & (bounds[:, 3] > y0)
    kept = np.flatnonzero(near)
    whole = ((bounds[:, :2] >= (x0, y0)) & (bounds[:, 2:] <= (x1, y1))).all(axis=1)[kept]
    parts = shapes[kept].copy()
    parts[~whole] = [_polygons_of(part) for part in shapely.intersection(parts[~whole], shapely.box(x0, y0, x1, y1))]
    there = ~shapely.is_empty(parts)
    return parts[there], kept[there]


def _polygons_of(shape: Any) -> Any:  # noqa: ANN401 - shapely has no types
    """The part of a shape that has an area."""
    if shape.geom_type in _KINDS:
        return shape
    parts = shapely.get_parts(shape)
    flat = [part for piece in parts for part in shapely.get_parts(piece) if part.geom_type == "Polygon"]
    return shapely.multipolygons(flat) if flat else shapely.Polygon()


def _features(path: Path) -> list[tuple[int, str, dict[str, Any]]]:
    """Number, class name and geometry of the regions of a file: detections do not count where regions are drawn."""
    found = read_json(path)
    listed = found if isinstance(found, list) else found.get("features", [found]) if isinstance(found, dict) else []
    if not isinstance(listed, list) or not all(
        isinstance(f, dict) and isinstance(f.get("geometry"), dict) for f in listed
    ):
        raise LabelError(f"{path}: not GeoJSON features with a geometry; export the annotations from QuPath as GeoJSON")
    numbered = list(enumerate(listed))
    drawn = [(at, f) for at, f in numbered if (f.get("properties") or {}).get("objectType") not in _DETECTIONS]
    chosen = [(at, class_name(f) or UNCLASSIFIED, f["geometry"]) for at, f in drawn or numbered]
    if not chosen:
        raise LabelError(f"{path}: no polygon in it; draw regions, give each a class, and export them again")
    return chosen


def _polygon(geometry: dict[str, Any], number: int, path: Path) -> Any:  # noqa: ANN401 - shapely has no types
    kind, where = geometry.get("type"), f"{path}: feature {number}"
    if kind not in _KINDS:
        raise LabelError(f"{where} is a {kind}; expected Polygon or MultiPolygon; outline the region, or leave it out")
    try:
        with np.errstate(invalid="ignore"):  # what is no number is refused below
            shape = shapely.force_2d(shapely.geometry.shape(geometry))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, shapely.errors.ShapelyError) as error:
        raise LabelError(f"{where}: coordinates that are no polygon ({error}); draw the region again") from error
    if not np.isfinite(shapely.get_coordinates(shape)).all():
        raise LabelError(f"{where}: a corner that is no number; draw the region again")
    shape = shape if shape.is_valid else _polygons_of(shapely.make_valid(shape))
    if shape.is_empty or not shape.area:
        raise LabelError(f"{where}: a polygon without an area; draw the region again, or leave it out")
    return shape


def _check_place(shapes: Sequence[Any], slide_px: tuple[int, int], path: Path) -> None:
    """Refuse polygons of which no part lies on the slide: their coordinates are of something else."""
    height, width = slide_px
    bounds = shapely.bounds(np.array(shapes))
    off = (bounds[:, 0] >= width) | (bounds[:, 1] >= height) | (bounds[:, 2] <= 0) | (bounds[:, 3] <= 0)
    if off.any():
        at = int(np.argmax(off))
        x, y = bounds[at, :2]
        raise LabelError(
            f"{path}: {int(off.sum())} of {len(shapes)} polygons lie outside of the slide of {height} x {width} px, "
            f"the first at y {y:.0f}, x {x:.0f}; expected px of the slide at full size; export them from this slide"
        )


class LabelledRegions:
    """A label image as a class map, the nearest of its pixels for each of the map's. See `read_annotation`."""

    def __init__(
        self,
        path: Path,
        slide_px: tuple[int, int],
        map_px: tuple[int, int],
        scale: float,
        label_names: Mapping[str, str],
        max_decoded_mpx: float,
    ) -> None:
        self.path = path
        self.height_px, self.width_px = map_px
        self._image: LabelImage | ClassMap = _open(path, max_decoded_mpx)
        try:
            self._steps = _check_size(self._image, slide_px, path, scale)
            if isinstance(self._image, ClassMap):
                self.names = self._image.names
                self._values, self._classes = np.arange(256), np.arange(256, dtype=np.uint8)
            else:
                self._values = _values_of(self._image)
                self.names, self._classes = _name_values(self._values, label_names, path)
        except BaseException:
            self.close()
            raise

    def read(self, window: Window) -> Classes:
        """Class numbers (h, w) uint8 of a window of the map."""
        rows = _nearest(window.y0, window.y1, self._steps[0], self._image.height)
        columns = _nearest(window.x0, window.x1, self._steps[1], self._image.width)
        out = np.full((window.height, window.width), NO_CLASS, np.uint8)
        width = int(columns[-1] - columns[0]) + 1
        step = max(int(_READ_PX / width / self._steps[0]), 1)
        for at in range(0, len(rows), step):
            some = rows[at : at + step]
            source = Window(int(some[0]), int(some[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
            values = self._image.read(source)[np.ix_(some - source.y0, columns - source.x0)]
            out[at : at + step] = self._classes[np.searchsorted(self._values, values)]
        return out

    def close(self) -> None:
        """Close the file."""
        self._image.close()


def _nearest(start: int, stop: int, step: float, size: int) -> NDArray[np.int64]:
    """Which pixels of an image lie under the middles of pixels `start` to `stop` of the map."""
    at = np.floor((np.arange(start, stop) + 0.5) * step).astype(np.int64)
    return np.asarray(np.minimum(at, size - 1), np.int64)


def _open(path: Path, max_decoded_mpx: float) -> LabelImage | ClassMap:
    """A class map of ours if it is one, else a label image."""
    if path.suffix.lower() in (".tif", ".tiff"):
        try:
            return open_class_map(path)
        except LabelError:
            pass
    return open_labels(path, max_decoded_mpx=max_decoded_mpx)


def _check_size(
    image: LabelImage | ClassMap, slide_px: tuple[int, int], path: Path, scale: float
) -> tuple[float, float]:
    """Pixels of the label image per pixel of the map, down and across.

    The sides of a reduced copy are those of the slide divided by one figure, rounded either way.
    """
    sides = list(zip(slide_px, (image.height, image.width), strict=True))
    least = max(full / (own + 1) for full, own in sides)
    most = min(full / (own - 1) if own > 1 else np.inf for full, own in sides)
    if least >= most:
        raise LabelError(
            f"{path}: {image.height} x {image.width} px for a slide of {slide_px[0]} x {slide_px[1]} px; {_SIZE_CURE}"
        )
    down, across = (own / full for full, own in sides)
    return down / scale, across / scale


def _values_of(image: LabelImage) -> NDArray[np.int64]:
    """All values of a label image, read strip by strip."""
    step = max(_READ_PX // image.width, 1)
    found: NDArray[Any] = np.zeros(0, np.uint32)
    for y in range(0, image.height, step):
        found = np.union1d(found, image.read(Window(y, min(y + step, image.height), 0, image.width)))
        if found.size > 4 * MAX_CLASSES:
            break
    return found.astype(np.int64)


def _name_values(
    values: NDArray[np.int64], label_names: Mapping[str, str], path: Path
) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """Names of the classes by rising value, and the class of each of the image's values."""
    try:
        named = {int(value): name for value, name in label_names.items()}
    except ValueError as error:
        raise LabelError(f"{path}: tissue.label_names: {error}; expected whole numbers as keys, as 3: gland") from error
    for value in values.tolist():
        named.setdefault(value, f"class_{value}" if value else "")
    names = tuple(dict.fromkeys(named[value] for value in sorted(named) if named[value]))
    if not 1 <= len(names) <= MAX_CLASSES:
        found = "nothing but 0" if not names else f"over {MAX_CLASSES} values"
        raise LabelError(
            f"{path}: a label image of {found}; expected a value for each class of tissue (not for each cell), 0 where "
            "there is none; name values by tissue.label_names"
        )
    numbers = [names.index(named[value]) if named[value] else NO_CLASS for value in values.tolist()]
    return names, np.array(numbers, np.uint8)
