"""Polygons of cells, as QuPath and others export them, drawn into a label image in bounded memory. Floor 2."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from cellseg.errors import LabelError
from cellseg.io.geojson import PolygonList, read_features
from cellseg.io.labels import STRIP_PX, write_labels
from cellseg.io.polygon_raster import PolygonScratch, bounds_of, draw_polygons, scan_polygons
from cellseg.types import Labels

Outline = Literal["cell", "nucleus"]
Ints = NDArray[np.int64]
_CELLS = ("cell", "detection", "PathCellObject", "PathDetectionObject")
_MAX_ID = 2**32 - 1
_BATCH = 4096


@dataclass(frozen=True)
class Drawing:
    """What became of the Features of a file; Features are counted from 0.

    Attributes
    ----------
    n_cells : int
        Labels drawn.
    own_ids : bool
        Whether ids are the measurements `cell_id`; else they are 1, 2, ... in the file's order.
    off_centre, covered, without_nucleus : tuple of int
        Features without a label: those that hold the middle of no pixel, those that lie under smaller ones altogether,
        and those without a nucleus where nuclei were asked for.
    """

    n_cells: int
    own_ids: bool
    off_centre: tuple[int, ...] = ()
    covered: tuple[int, ...] = ()
    without_nucleus: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Cells:
    """The cells of a file: their rows in the scratch, their Features' numbers, the pixels that they cover, own ids.

    `pixels` are as `scan_polygons` gives them; an own id is NaN where there is none.
    """

    rows: Ints
    numbers: Ints
    pixels: Ints
    own: NDArray[np.float64]
    without_nucleus: tuple[int, ...]

    @property
    def own_ids(self) -> bool:
        return not np.isnan(self.own).any()


def draw_cells(
    path: Path, out: Path, *, height_px: int, width_px: int, mpp: float, outline: Outline = "cell"
) -> Drawing:
    """Write the label image of a GeoJSON file's cells; the same file gives the same bytes.

    Where a file holds QuPath's cells or detections, regions drawn around them are no cells and left out. A cell's id is
    its measurement `cell_id` where every cell has one, else its place among the cells of the file, from 1 on. Where
    cells overlap, the one of fewer pixels is on top. Memory is a strip of labels and some 200 bytes a cell; coordinates
    wait in a temporary file beside `out`.

    Parameters
    ----------
    path : Path
        Polygons in px of the image, x first, (0, 0) its upper left corner; compressed or not.
    out : Path
        The label image (OME-TIFF).
    height_px, width_px : int
        Size of the image, px.
    mpp : float
        Microns per pixel.
    outline : str
        cell: each Feature's geometry; nucleus: its `nucleusGeometry`, which QuPath writes for cells.

    Raises
    ------
    LabelError
        If the file cannot be read or holds no polygon, a polygon lies outside of the image, or ids are no whole numbers
        from 1 to 4,294,967,295 or not each cell's own.
    CellsegError
        If the label image cannot be written.
    """
    with PolygonScratch(out.parent) as scratch:
        cells = _read_cells(path, scratch, outline, height_px, width_px)
        ids = _ids(cells, path)
        seen = np.zeros(len(ids), np.bool_)
        # those of many pixels first; of equals the later one on top
        order = np.argsort(-cells.pixels[:, 4], kind="stable")
        tops, ends = cells.pixels[order, 0], cells.pixels[order, 1]

        def strips() -> Iterator[Labels]:
            for y in range(0, height_px, STRIP_PX):
                strip = np.zeros((min(STRIP_PX, height_px - y), width_px), np.uint32)
                here = order[(tops < y + len(strip)) & (ends > y)]
                draw_polygons(scratch.take(cells.rows[here]), strip, y)
                _name_labels(strip, here, ids, seen)
                yield strip

        write_labels(out, strips(), height_px=height_px, width_px=width_px, mpp=mpp)
    empty = cells.pixels[:, 4] == 0
    off_centre, covered = (tuple(cells.numbers[which].tolist()) for which in (empty, ~empty & ~seen))
    return Drawing(int(seen.sum()), cells.own_ids, off_centre, covered, cells.without_nucleus)


@njit(nogil=True, cache=True)
def _name_labels(strip: Labels, here: Ints, ids: Labels, seen: NDArray[np.bool_]) -> None:
    """Turn 1, 2, ... into the ids of the cells `here`, and note which are there."""
    for y in range(strip.shape[0]):
        for x in range(strip.shape[1]):
            if strip[y, x]:
                cell = here[strip[y, x] - 1]
                seen[cell] = True
                strip[y, x] = ids[cell]


def _read_cells(path: Path, scratch: PolygonScratch, outline: Outline, height: int, width: int) -> _Cells:
    """Read the file once; corners go into the scratch.

    Regions are kept until it is known that there are cells.
    """
    numbers: list[int] = []
    own, are_cells, lacking = list[float](), list[bool](), list[int]()
    pixels, bounds = [np.zeros((0, 7), np.int64)], [np.zeros((0, 4))]
    fault: LabelError | None = None
    waiting = PolygonList(path)

    def keep() -> None:
        polygons = waiting.take()
        scratch.put(polygons)
        pixels.append(scan_polygons(polygons, height, width))
        bounds.append(bounds_of(polygons))

    for number, feature in enumerate(read_features(path)):
        is_cell = (feature.get("properties") or {}).get("objectType") in _CELLS
        geometry = feature["geometry"] if outline == "cell" else feature.get("nucleusGeometry")
        if not isinstance(geometry, dict):
            lacking.append(number)
            continue
        try:
            waiting.add(geometry, number)
        except LabelError as error:
            if is_cell:
                raise
            fault = fault or error
            continue
        numbers.append(number)
        own.append(_own_id(feature))
        are_cells.append(is_cell)
        if len(waiting) == _BATCH:
            keep()
    keep()
    chosen = np.flatnonzero(are_cells) if any(are_cells) else np.arange(len(numbers))
    if fault is not None and not any(are_cells):
        raise fault
    if not len(chosen):
        raise LabelError(f"{path}: {_NONE[outline]}")
    cells = _Cells(
        chosen, np.array(numbers)[chosen], np.concatenate(pixels)[chosen], np.array(own)[chosen], tuple(lacking)
    )
    _check_place(cells, np.concatenate(bounds)[chosen], path, height, width)
    return cells


_NONE: dict[Outline, str] = {
    "cell": "no polygon in it; export the cells (in QuPath: File, Export objects as GeoJSON)",
    "nucleus": "no Feature has a nucleusGeometry; export QuPath's cells, or take the geometry itself (outline cell)",
}


def _own_id(feature: dict[str, Any]) -> float:
    """The measurement `cell_id`; NaN for none. QuPath before 0.4 wrote measurements as a list."""
    found = (feature.get("properties") or {}).get("measurements")
    if isinstance(found, list):
        found = {entry.get("name"): entry.get("value") for entry in found if isinstance(entry, dict)}
    value = found.get("cell_id") if isinstance(found, dict) else None
    return float(value) if isinstance(value, int | float) else float("nan")


def _ids(cells: _Cells, path: Path) -> Labels:
    if not cells.own_ids:
        return np.arange(1, len(cells.rows) + 1, dtype=np.uint32)
    own = cells.own
    wrong = (own != np.floor(own)) | (own < 1) | (own > _MAX_ID)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise LabelError(
            f"{path}: feature {cells.numbers[at]}: cell_id {own[at]:g}; expected a whole number from 1 to {_MAX_ID}; "
            "correct it, or take that measurement away for ids in the file's order"
        )
    values, counts = np.unique(own, return_counts=True)
    if (doubled := values[counts > 1]).size:
        first = ", ".join(f"{value:.0f}" for value in doubled[:5])
        raise LabelError(
            f"{path}: {doubled.size} values of cell_id are there more than once (first {first}); give each cell its "
            "own, or take that measurement away for ids in the file's order"
        )
    return own.astype(np.uint32)


def _check_place(cells: _Cells, bounds: NDArray[np.float64], path: Path, height: int, width: int) -> None:
    """Refuse polygons of which no part lies on the image: their coordinates are of something else."""
    off = (bounds[:, 0] >= width) | (bounds[:, 1] >= height) | (bounds[:, 2] <= 0) | (bounds[:, 3] <= 0)
    if off.any():
        at = int(np.argmax(off))
        x, y = bounds[at, :2]
        raise LabelError(
            f"{path}: {int(off.sum())} of {len(off)} polygons lie outside of the image of {height} x {width} px "
            f"(height x width), the first, feature {cells.numbers[at]}, at y {y:.0f}, x {x:.0f}; "
            "coordinates must be px of this image at full resolution; export them from this image"
        )
