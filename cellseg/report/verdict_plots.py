"""How right verdicts are: curves, calibration, classes, probabilities. Floor 3: arrays in, pictures out."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import StrMethodFormatter
from numpy.typing import NDArray

from cellseg.report.palette import FAINT, INK, STATUS_RGB, hex_colour

Floats = NDArray[np.float64]
_HEALTHY, _ABNORMAL = (hex_colour(STATUS_RGB[status]) for status in ("healthy", "abnormal"))
_INK, _FAINT, _LINE = hex_colour(INK), hex_colour(FAINT), "#bbbbbb"
_GROUP_COLOURS = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#882255", "#999933", "#332288", "#44aa99", "#aa4466",
)  # fmt: skip
"""Of curves, after Okabe & Ito 2008 and Tol 2021; from the eleventh on they come again, dashed."""
_LEGEND = 16
Corner = Literal["lower right", "lower left"]
_PANELS = 40
_COLUMNS = 4


@dataclass(frozen=True)
class RankCurve:
    """The curve of one group: `x`, `y` (k,) from 0 to 1, and the figure that stands for it, NaN where it has none."""

    name: str
    x: Floats
    y: Floats
    figure: float


@dataclass(frozen=True)
class BinnedShares:
    """Bins of probability (k,): edges, what was promised and what came with its interval, and cells of both classes."""

    low: Floats
    high: Floats
    promised: Floats
    share: Floats
    share_low: Floats
    share_high: Floats
    n_healthy: NDArray[np.int64]
    n_abnormal: NDArray[np.int64]


@dataclass(frozen=True)
class ClassDot:
    """One true class: share called right and AUROC against healthy cells, each (value, low, high); NaN: not known."""

    name: str
    abnormal: bool
    n_cells: int
    weak: bool
    called_right: tuple[float, float, float]
    auroc: tuple[float, float, float]


@dataclass(frozen=True)
class GroupValues:
    """Probabilities (or scores) of one group's healthy and abnormal cells, any number each, and what is said of it."""

    name: str
    healthy: Floats
    abnormal: Floats
    text: str = ""


def plot_rank_curves(roc: Sequence[RankCurve], precision: Sequence[RankCurve], *, title: str) -> bytes:
    """A PNG with the ROC curves on the left, precision over recall on the right; the first curve of each is the whole.

    Parameters
    ----------
    roc : sequence of RankCurve
        x is 1 - specificity, y sensitivity, the figure AUROC. May be empty.
    precision : sequence of RankCurve
        x is recall, y precision, the figure average precision. May be empty.
    title : str
        Above both.
    """
    figure = _figure(11.6, 5.2, title)
    left, right = figure.subplots(1, 2)
    _curves(left, roc, "AUROC", corner="lower right")
    left.plot([0, 1], [0, 1], color=_LINE, lw=1.0, ls=(0, (3, 2)), zorder=0)
    left.axvline(0.05, color=_LINE, lw=1.0, zorder=0)
    left.text(0.06, 1.02, "95 % specificity", fontsize=7.5, color=_FAINT)
    _labels(left, "healthy cells called abnormal (1 − specificity)", "abnormal cells found (sensitivity)")
    _curves(right, precision, "average precision", corner="lower left")
    _labels(right, "abnormal cells found (recall)", "truly abnormal among those called (precision)")
    return _png(figure)


def _curves(axes: Axes, curves: Sequence[RankCurve], what: str, *, corner: Corner) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.06)
    axes.set_yticks(np.linspace(0, 1, 6))
    known = [curve for curve in curves if np.isfinite(curve.figure)]
    if not known:
        axes.text(0.5, 0.5, "a class is missing", ha="center", fontsize=10, color=_FAINT)
        return
    # one colour a group in both panels, whatever its rank
    look = {curve.name: at for at, curve in enumerate(curves[1:])}
    whole, groups = known[0], sorted(known[1:], key=lambda curve: -curve.figure)
    lines = axes.plot(whole.x, whole.y, color=_INK, lw=2.2, zorder=3)
    for curve in groups:
        turn, at = divmod(look[curve.name], len(_GROUP_COLOURS))
        width = 2.0 if curve is groups[-1] else 1.2
        style = (0, (4, 1.5)) if turn else "-"
        lines += axes.plot(curve.x, curve.y, color=_GROUP_COLOURS[at], lw=width, ls=style, alpha=0.9)
    texts = [f"{curve.name}  {curve.figure:.3f}" for curve in (whole, *groups)]
    if groups:
        texts[-1] += "  (worst)"
    if len(lines) > _LEGEND:
        half = _LEGEND // 2
        lines, texts = lines[:half] + lines[-half:], texts[:half] + texts[-half:]
    axes.legend(
        lines, texts, title=what, fontsize=8, title_fontsize=9, framealpha=0.9, edgecolor="none", loc=corner,
        handlelength=1.6, alignment="left",
    )  # fmt: skip


def plot_calibration(bins: BinnedShares, *, error: float, brier: float, over: str, title: str) -> bytes:
    """A PNG: share of abnormal cells over what was promised, with intervals, above the number of cells in each bin.

    Parameters
    ----------
    bins : BinnedShares
        May be empty: nothing states a probability.
    error, brier : float
        Expected calibration error and Brier score.
    over : str
        What the intervals are over.
    """
    figure = _figure(6.4, 6.8, title)
    top, bottom = figure.subplots(2, 1, height_ratios=[3, 1], sharex=True)
    top.plot([0, 1], [0, 1], color=_LINE, lw=1.0, ls=(0, (3, 2)), zorder=0)
    if bins.promised.size:
        reach = np.clip(np.stack([bins.share - bins.share_low, bins.share_high - bins.share]), 0, None)
        known = np.isfinite(reach).all(axis=0)
        top.plot(bins.promised, bins.share, color=_HEALTHY, lw=1.4)
        top.errorbar(
            bins.promised[known], bins.share[known], reach[:, known], fmt="none", ecolor=_HEALTHY, elinewidth=1.4,
            capsize=3,
        )  # fmt: skip
        top.plot(bins.promised, bins.share, "o", color=_HEALTHY, ms=6, mec="white", mew=1.0)
        said = f"expected calibration error {error:.3f}\nBrier score {brier:.3f}\nbars: 95 % over {over}"
        top.text(0.03, 0.97, said, transform=top.transAxes, va="top", fontsize=9, color=_INK)
        _stack(bottom, bins)
    else:
        top.text(0.5, 0.6, "no probabilities", ha="center", fontsize=10, color=_FAINT)
    top.set_xlim(-0.01, 1.01)
    top.set_ylim(-0.02, 1.02)
    _labels(top, "", "share of cells that are abnormal")
    _labels(bottom, "probability of being abnormal, as stated", "cells")
    return _png(figure)


def _stack(axes: Axes, bins: BinnedShares) -> None:
    middle, width = (bins.low + bins.high) / 2, (bins.high - bins.low) * 0.94
    axes.bar(middle, bins.n_healthy, width, color=_HEALTHY, alpha=0.75, label="truly healthy")
    axes.bar(middle, bins.n_abnormal, width, bottom=bins.n_healthy, color=_ABNORMAL, alpha=0.75, label="truly abnormal")
    total = bins.n_healthy + bins.n_abnormal
    for x, n in zip(middle, total, strict=True):
        axes.text(x, n, f"{n:,}", ha="center", va="bottom", fontsize=7, color=_FAINT)
    axes.set_ylim(0, total.max() * 1.45)
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.legend(fontsize=8, frameon=False, loc="upper center", ncols=2)


def plot_classes(dots: Sequence[ClassDot], *, bounds: tuple[float, float], title: str) -> bytes:
    """A PNG with a line a class: share called right and AUROC against healthy cells; weak ones stand out.

    Parameters
    ----------
    dots : sequence of ClassDot
        Shown from top to bottom. May be empty.
    bounds : (float, float)
        Of share called right and of AUROC; a class under either is weak.
    """
    figure = _figure(9.6, 1.7 + 0.36 * max(len(dots), 2), title)
    left, right = figure.subplots(1, 2, sharey=True)
    heads = ("called right by the default decision", "AUROC against healthy cells")
    for axes, bound, head in zip((left, right), bounds, heads, strict=True):
        axes.axvline(bound, color=_LINE, lw=1.0, ls=(0, (3, 2)), zorder=0)
        axes.text(bound, -0.75, f"weak under {bound:g}", ha="center", va="bottom", fontsize=7.5, color=_FAINT)
        _labels(axes, head, "")
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(max(len(dots), 1) - 0.4, -0.75)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    for at, dot in enumerate(dots):
        colour = _ABNORMAL if dot.weak else (_HEALTHY if not dot.abnormal else "#444444")
        for axes, (value, low, high) in ((left, dot.called_right), (right, dot.auroc)):
            axes.axhline(at, color="#eeeeee", lw=0.8, zorder=0)
            if np.isfinite(low):
                axes.plot([low, high], [at, at], color=colour, lw=2.2, alpha=0.5, solid_capstyle="round")
            if np.isfinite(value):
                axes.plot(value, at, "o", color=colour, ms=7, mec="white", mew=1.0)
    left.set_yticks(range(len(dots)), [f"{dot.name}  ({dot.n_cells:,})" for dot in dots], fontsize=9)
    for text, dot in zip(left.get_yticklabels(), dots, strict=True):
        text.set_color(_ABNORMAL if dot.weak else _INK)
        text.set_fontweight("bold" if dot.weak else "normal")
    return _png(figure)


def plot_values(
    groups: Sequence[GroupValues], *, what: str, limits: tuple[float, float], decision: float | None, title: str
) -> bytes:
    """A PNG with a panel a group: histograms of healthy and abnormal cells, each scaled to its own number of cells.

    Parameters
    ----------
    groups : sequence of GroupValues
        At most 40 are shown. May be empty.
    what : str
        Name of the values.
    limits : (float, float)
        What the axis shows; values beyond are counted in the outermost bins.
    decision : float, optional
        Value over which a cell is called abnormal; marked.
    """
    shown = groups[:_PANELS]
    n_columns = min(max(len(shown), 1), _COLUMNS if len(shown) % _COLUMNS in (0, 3) else _COLUMNS - 1)
    n_rows = -(-max(len(shown), 1) // n_columns)
    figure = _figure(max(2.9 * n_columns, 5.8), 2.3 * n_rows + 1.0, title)
    grid = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True)
    edges = np.linspace(*limits, 26)
    for axes, group in zip(grid.flat, shown, strict=False):
        for values, colour in ((group.healthy, _HEALTHY), (group.abnormal, _ABNORMAL)):
            if values.size:
                shares = np.histogram(np.clip(values, *limits), edges)[0] / values.size
                axes.stairs(shares, edges, fill=True, color=colour, alpha=0.25, lw=0)
                axes.stairs(shares, edges, color=colour, lw=1.3)
        if decision is not None:
            axes.axvline(decision, color="#666666", lw=1.0, ls=(0, (3, 2)))
        _labels(axes, "", "")
        axes.set_title(group.name, fontsize=9.5, fontweight="bold", color=_INK, loc="left", pad=15)
        said = axes.text(0, 1.03, group.text, transform=axes.transAxes, fontsize=7.5, color=_FAINT)
        said.set_in_layout(False)
        axes.set_xlim(*limits)
        axes.set_ylim(bottom=0)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    for axes in list(grid.flat)[len(shown) :]:
        axes.set_axis_off()
    for axes in list(grid.flat)[max(len(shown) - n_columns, 0) : len(shown)]:
        axes.set_xlabel(what, fontsize=8.5, color=_INK)
        axes.tick_params(labelbottom=True)
    handles: list[Patch | Line2D] = [
        Patch(facecolor=colour, alpha=0.7, label=name)
        for name, colour in (("truly healthy", _HEALTHY), ("truly abnormal", _ABNORMAL))
    ]
    if decision is not None:
        handles.append(Line2D([], [], color="#666666", lw=1.0, ls=(0, (3, 2)), label="called abnormal to the right"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)
    return _png(figure)


def _figure(width: float, height: float, title: str) -> Figure:
    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.012, ha="left", fontsize=12, fontweight="bold", color=_INK)
    return figure


def _labels(axes: Axes, x: str, y: str) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#999999")
    axes.tick_params(labelsize=8, colors="#555555", length=3)
    axes.set_xlabel(x, fontsize=9, color=_INK)
    axes.set_ylabel(y, fontsize=9, color=_INK)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # names of groups and classes may hold a dollar sign, which is no formula
    with matplotlib.rc_context({"text.parse_math": False}):
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
