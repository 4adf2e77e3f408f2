"""How the main features are spread in cells of each status. Floor 3: arrays in, a picture out."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cellseg.report.palette import STATUS_RGB, hex_colour
from cellseg.types import Status

PLOTTED: tuple[Status, ...] = ("healthy", "uncertain", "abnormal")
"""Excluded cells are left out: their figures cannot be trusted."""
_COLOURS = {status: hex_colour(STATUS_RGB[status]) for status in PLOTTED} | {"uncertain": "#c9a500"}
_MIN_FOR_HISTOGRAM = 20
_BINS = 40
_COLUMNS = 4
_UNITS = {"um": "µm", "um2": "µm²", "1/um": "1/µm", "1/mm2": "1/mm²", "1": ""}


@dataclass(frozen=True)
class FeaturePlot:
    """One feature: its column, unit, values (n,), and what of it is healthy (low, high) where a reference says so."""

    name: str
    unit: str
    values: NDArray[np.float64]
    healthy: tuple[float, float] | None = None


def plot_features(features: list[FeaturePlot], status: NDArray[np.object_], *, title: str) -> bytes:
    """A PNG with one histogram a feature, each status in its colour and scaled to its own number of cells.

    Parameters
    ----------
    features : list of FeaturePlot
        NaN is left out.
    status : (n,) ndarray of str
        Status of each cell.
    title : str
        Name of the sample.
    """
    masks = {name: status == name for name in PLOTTED}
    n_rows = max(-(-len(features) // _COLUMNS), 1)
    figure = Figure(figsize=(3.1 * _COLUMNS, 2.5 * n_rows + 0.9), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.012, ha="left", fontsize=12, fontweight="bold", color="#222222")
    grid = figure.subplots(n_rows, _COLUMNS, squeeze=False)
    for axes, feature in zip(grid.flat, features, strict=False):
        _plot_feature(axes, feature, masks)
    for axes in list(grid.flat)[len(features) :]:
        axes.set_axis_off()
    if not features:
        grid.flat[0].text(0, 0.5, "no column to plot", fontsize=10, color="#666666")
    for row in grid:
        row[0].set_ylabel("share of the status's cells", fontsize=8, color="#444444")
    _legend(figure, masks, shaded=any(feature.healthy for feature in features))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _plot_feature(axes: Axes, feature: FeaturePlot, masks: Mapping[Status, NDArray[np.bool_]]) -> None:
    _style(axes)
    axes.set_xlabel(_label(feature.name, feature.unit), fontsize=9, color="#222222")
    groups = {status: feature.values[mask & np.isfinite(feature.values)] for status, mask in masks.items()}
    pooled = np.concatenate(list(groups.values()))
    if pooled.size == 0:
        axes.text(0.5, 0.5, "no cells", transform=axes.transAxes, ha="center", fontsize=9, color="#888888")
        axes.set_xticks([])
        axes.set_yticks([])
        return
    edges = _edges(pooled)
    if feature.healthy is not None:
        axes.axvspan(*feature.healthy, color=_COLOURS["healthy"], alpha=0.10, lw=0, zorder=0)
    for status, values in groups.items():
        _plot_status(axes, np.clip(values, edges[0], edges[-1]), edges, _COLOURS[status])
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(bottom=0)


def _plot_status(axes: Axes, values: NDArray[np.float64], edges: NDArray[np.float64], colour: str) -> None:
    """A histogram, or one tick a cell where they are too few for one."""
    if values.size == 0:
        return
    if values.size < _MIN_FOR_HISTOGRAM:
        axes.plot(
            values,
            np.zeros(values.size),
            "|",
            color=colour,
            markersize=16,
            markeredgewidth=1.4,
            clip_on=False,
            zorder=3,
        )
        return
    shares = np.histogram(values, edges)[0] / values.size
    axes.stairs(shares, edges, fill=True, color=colour, alpha=0.22, lw=0)
    axes.stairs(shares, edges, color=colour, lw=1.4)
    axes.axvline(float(np.median(values)), color=colour, lw=1.0, ls=(0, (3, 2)))


def _edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bins from the 0.5 % to the 99.5 % quantile; what lies beyond is counted in the outermost."""
    low, high = np.quantile(values, [0.005, 0.995])
    if high <= low:
        room = max(abs(low) * 0.05, 0.5)
        low, high = low - room, high + room
    return np.linspace(low, high, min(_BINS, max(10, int(np.sqrt(values.size)))) + 1)


def _style(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#999999")
    axes.tick_params(labelsize=8, colors="#555555", length=3)
    axes.locator_params(axis="both", nbins=5)


def _label(name: str, unit: str) -> str:
    """A column's name and unit as an axis label: `area_um2` -> "area (µm²)", `od_eosin_mean` -> "eosin OD, mean"."""
    if name.startswith("od_"):
        stain, statistic = name.removeprefix("od_").rsplit("_", 1)
        return f"{stain} OD, {statistic}"
    if name.startswith("intensity_"):
        channel, statistic = name.removeprefix("intensity_").rsplit("_", 1)
        return f"{channel}, {statistic} (gray level)"
    for suffix in ("_per_um", "_per_mm2", "_um2", "_um", "_px", "_rad"):
        name = name.removesuffix(suffix)
    unit = _UNITS.get(unit, unit)
    return name.replace("_", " ") + (f" ({unit})" if unit else "")


def _legend(figure: Figure, masks: Mapping[Status, NDArray[np.bool_]], *, shaded: bool) -> None:
    handles: list[Patch | Line2D] = [
        Patch(facecolor=_COLOURS[status], alpha=0.7, label=f"{status} ({int(mask.sum()):,})")
        for status, mask in masks.items()
    ]
    handles.append(Line2D([], [], color="#666666", lw=1.0, ls=(0, (3, 2)), label="median"))
    if shaded:
        handles.append(Patch(facecolor=_COLOURS["healthy"], alpha=0.15, label="healthy interval"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)
