"""Pictures of one slide: cells outlined by status, and the spread of the main features. Floor 6."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cellseg.classify.finding import float_column
from cellseg.columns import find_column, full_name
from cellseg.config import ReportSettings
from cellseg.errors import LabelError, TableError
from cellseg.io.atomic import atomic_path
from cellseg.io.labels import LabelImage, open_labels
from cellseg.io.slide import open_slide
from cellseg.io.table import read_schema, read_table
from cellseg.preprocess.normalize import gray_channel
from cellseg.preprocess.recipe import Recipe
from cellseg.report.cells import Picture, busiest_field, draw_dots, draw_outlines
from cellseg.report.palette import DRAW_ORDER, RGB, STATUS_RGB_ON_DARK, STATUS_RGB_ON_TISSUE
from cellseg.report.plots import FeaturePlot, plot_features
from cellseg.report.sheet import Panel, compose_sheet, mark_field
from cellseg.stages.classify import read_reference
from cellseg.types import STATUSES, Pixels, Slide, Status, Window

_READ_PX = 2048
_OVERVIEW_SHARE = 0.62
_ZOOM_TO_PX = 2100
_MAX_ZOOM = 3


@dataclass(frozen=True)
class _Cells:
    """What the pictures need of the cells table, in its order; `status` indexes DRAW_ORDER."""

    ids: NDArray[np.uint32]
    y_px: NDArray[np.float64]
    x_px: NDArray[np.float64]
    radius_px: NDArray[np.float64]
    status: NDArray[np.uint8]
    sample: str

    @property
    def counts(self) -> dict[Status, int]:
        return {name: int((self.status == DRAW_ORDER.index(name)).sum()) for name in STATUSES}


def draw_overlay(
    image: Path,
    labels: Path,
    cells: Path,
    out: Path,
    *,
    recipe: Recipe,
    settings: ReportSettings,
    reference: Path | None = None,
    max_decoded_mpx: float = 500.0,
) -> None:
    """Write overlay.png and features.png of a slide into the folder `out`.

    A slide of up to `settings.overlay_max_px` is shown whole, every cell outlined in the colour of its status; small
    ones are enlarged. A larger one is shown reduced, a dot of its size for each cell, beside the field with the most
    abnormal cells (or the most cells, where none is abnormal) at full resolution. The slide is read window by window.

    Parameters
    ----------
    image, labels, cells : Path
        The slide, its label image and its cells.parquet.
    out : Path
        Folder; made when missing.
    recipe : Recipe
        How fluorescence and 16-bit pictures are scaled for the eye.
    settings : ReportSettings
        Size of the overlay, and which columns are plotted.
    reference : Path or None
        reference.json; its healthy intervals are shaded in the plots.
    max_decoded_mpx : float
        Limit of what an image may decode to at once, Mpx.

    Raises
    ------
    LabelError
        If the label image has another size than the slide.
    TableError
        If the label image shows cells that the table does not have, or lacks cells that it has.
    """
    table = _read_cells(cells, recipe)
    with (
        open_slide(image, max_decoded_mpx=max_decoded_mpx) as slide,
        open_labels(labels, max_decoded_mpx=max_decoded_mpx) as label_image,
    ):
        if (label_image.height, label_image.width) != (slide.height, slide.width):
            raise LabelError(
                f"{labels}: {label_image.height} x {label_image.width} px, the slide {image} has {slide.height} x "
                f"{slide.width}; segment that slide again"
            )
        large = max(slide.height, slide.width) > settings.overlay_max_px
        view = _View(slide, label_image, recipe, table, str(labels))
        panels = view.reduced(settings.overlay_max_px) if large else [view.whole()]
    legend = {f"{status} {count:,}": view.palette[status] for status, count in table.counts.items()}
    sheet = compose_sheet(panels, title=table.sample or image.stem, subtitle=describe_slide(recipe), legend=legend)
    _write_bytes(out / "overlay.png", encode_png(sheet))
    _write_bytes(out / "features.png", _plot(cells, table, settings, reference, title=table.sample or image.stem))


@dataclass(frozen=True)
class _View:
    """A slide with its labels and cells, as something to be drawn."""

    slide: Slide
    labels: LabelImage
    recipe: Recipe
    cells: _Cells
    where: str

    @property
    def palette(self) -> Mapping[Status, RGB]:
        return STATUS_RGB_ON_DARK if self.recipe.stain == "fluorescence" else STATUS_RGB_ON_TISSUE

    def whole(self) -> Panel:
        """The slide with every cell outlined, enlarged where it is small."""
        window = Window(0, self.slide.height, 0, self.slide.width)
        zoom = int(np.clip(_ZOOM_TO_PX // max(window.height, window.width), 1, _MAX_ZOOM))
        return Panel(self._outlined(window, zoom, complete=True), self.recipe.mpp / zoom)

    def reduced(self, longest_px: int) -> list[Panel]:
        """The slide in small with a dot for each cell, and its most telling field at full resolution."""
        height, width = self.slide.height, self.slide.width
        scale = min(longest_px / height, _OVERVIEW_SHARE * longest_px / width)
        shape = (max(round(height * scale), 1), max(round(width * scale), 1))
        overview = read_reduced(self.slide, self.recipe, *shape)
        cells, um_per_px = self.cells, self.recipe.mpp / scale
        draw_dots(overview, cells.y_px * scale, cells.x_px * scale, cells.radius_px * scale, cells.status, self.palette)
        zoom = 2 if self.recipe.mpp > 0.35 else 1
        side = (min(shape[0] // zoom, height), min(max(longest_px - shape[1], 64) // zoom, width))
        field = self._field(*side)
        box = {name: round(value * scale) for name, value in field._asdict().items()}
        marked = mark_field(overview, **box)
        closeup = Panel(self._outlined(field, zoom), self.recipe.mpp / zoom, "the framed field at full resolution")
        return [Panel(marked, um_per_px, "whole slide, one dot a cell"), closeup]

    def _field(self, height: int, width: int) -> Window:
        """The field of this size with the most abnormal cells, or with the most cells."""
        abnormal = self.cells.status == DRAW_ORDER.index("abnormal")
        chosen = abnormal if abnormal.any() else np.ones(abnormal.shape, bool)
        y0, x0 = busiest_field(
            self.cells.y_px[chosen], self.cells.x_px[chosen],
            slide=(self.slide.height, self.slide.width), field=(height, width),
        )  # fmt: skip
        return Window(y0, y0 + height, x0, x0 + width)

    def _outlined(self, window: Window, zoom: int, *, complete: bool = False) -> Picture:
        """A window `zoom` times enlarged with its cells outlined; `complete`: it must hold all cells of the table."""
        labels = self.labels.read(window)
        self._check_ids(labels, complete=complete)
        picture = for_display(self.slide.read(window), self.recipe)
        if zoom > 1:
            size = (window.width * zoom, window.height * zoom)
            picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC), np.uint8)
            labels = np.repeat(np.repeat(labels, zoom, axis=0), zoom, axis=1)
        draw_outlines(
            picture, labels, self.cells.ids, self.cells.status, self.palette, thickness_px=1 if zoom == 1 else 2
        )
        return picture

    def _check_ids(self, labels: NDArray[np.uint32], *, complete: bool) -> None:
        shown = np.unique(labels)
        shown = shown[shown > 0]
        unknown = np.setdiff1d(shown, self.cells.ids, assume_unique=True)
        if unknown.size:
            raise TableError(
                f"{self.where}: cell {unknown[0]} is not in the cells table; measure this label image again"
            )
        if complete and shown.size != self.cells.ids.size:
            lost = np.setdiff1d(self.cells.ids, shown, assume_unique=True)[0]
            raise TableError(f"{self.where}: cell {lost} of the table is not in it; measure this label image again")


def for_display(pixels: Pixels, recipe: Recipe) -> Picture:
    """Pixels (h, w, C) as (h, w, 3) uint8 for the eye.

    Colour of 8 bit stays as it is; fluorescence is spread from its low to its high percentile and bent by the recipe's
    gamma; other pictures of 16 bit are spread over their whole range. Without colour one channel is shown in gray.
    """
    chosen = [0, 1, 2] if recipe.is_rgb else [gray_channel(recipe)] * 3
    if recipe.stain != "fluorescence" and recipe.dtype == "uint8":
        return np.ascontiguousarray(pixels[:, :, chosen]).astype(np.uint8)
    levels = np.arange(recipe.max_level + 1, dtype=np.float64)
    out = np.empty((*pixels.shape[:2], 3), np.uint8)
    for target, channel in enumerate(chosen):
        if recipe.stain == "fluorescence":
            share = (levels - recipe.low[channel]) / max(recipe.high[channel] - recipe.low[channel], 1.0)
            curve = np.clip(share, 0, 1) ** recipe.gamma
        else:
            curve = levels / recipe.max_level
        out[:, :, target] = np.rint(255 * curve).astype(np.uint8)[pixels[:, :, channel]]
    return out


def read_reduced(slide: Slide, recipe: Recipe, height: int, width: int) -> Picture:
    """The slide as a picture (height, width, 3), read window by window from the smallest level that is large enough."""
    index = max(i for i, level in enumerate(slide.levels) if level.height >= height or i == 0)
    level = slide.levels[index]
    step = max(int(_READ_PX * height / level.height), 1), max(int(_READ_PX * width / level.width), 1)
    out = np.empty((height, width, 3), np.uint8)
    for y0 in range(0, height, step[0]):
        rows = slice(y0, min(y0 + step[0], height))
        for x0 in range(0, width, step[1]):
            columns = slice(x0, min(x0 + step[1], width))
            (top, bottom), (left, right) = _span(rows, height, level.height), _span(columns, width, level.width)
            picture = for_display(slide.read(Window(top, bottom, left, right), index), recipe)
            size = (columns.stop - columns.start, rows.stop - rows.start)
            out[rows, columns] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return out


def _span(part: slice, n_out: int, n_in: int) -> tuple[int, int]:
    """Which of `n_in` pixels a part of `n_out` pixels covers, one at least."""
    start = part.start * n_in // n_out
    return start, max(-(-part.stop * n_in // n_out), start + 1)


def describe_slide(recipe: Recipe) -> str:
    """Stain, size and pixel size, for under a title."""
    size = f"{recipe.width_px:,} × {recipe.height_px:,} px"
    return f"{recipe.stain}  ·  {size}  ·  {recipe.mpp:.4g} µm/px"


def _read_cells(path: Path, recipe: Recipe) -> _Cells:
    names = ["sample", "cell_id", "centroid_y_px", "centroid_x_px", "status"]
    present = read_schema(path).names
    size = full_name("equivalent_diameter_um", present)
    has_size = size in present
    table = read_table(path, [*names, *([size] if has_size else [])])
    order = {name: code for code, name in enumerate(DRAW_ORDER)}
    return _Cells(
        ids=np.asarray(table["cell_id"].to_numpy()),
        y_px=float_column(table, "centroid_y_px"),
        x_px=float_column(table, "centroid_x_px"),
        radius_px=float_column(table, size) / (2 * recipe.mpp) if has_size else np.zeros(table.num_rows),
        status=np.array([order[name] for name in table["status"].to_pylist()], np.uint8),
        sample=table["sample"][0].as_py() if table.num_rows else "",
    )


def _plot(cells: Path, table: _Cells, settings: ReportSettings, reference: Path | None, *, title: str) -> bytes:
    """features.png: the columns of the settings that the table has and that were measured in any cell."""
    fit = read_reference(reference).features if reference else {}
    present = set(read_schema(cells).names)
    features = []
    for name in (full_name(name, present) for name in settings.plot_features):
        if name not in present:
            continue
        values = float_column(read_table(cells, [name]), name)
        if values.size == 0 or np.isfinite(values).any():
            healthy = (fit[name].low, fit[name].high) if name in fit else None
            features.append(FeaturePlot(name, find_column(name).unit, values, healthy))
    return plot_features(features, np.array(DRAW_ORDER, object)[table.status], title=title)


def encode_png(picture: Picture) -> bytes:
    """The picture as a PNG file."""
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return bytes(data.tobytes())


def _write_bytes(path: Path, data: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
