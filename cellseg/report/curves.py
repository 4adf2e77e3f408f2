"""How a training went: losses and validation figures over its steps. Floor 3: arrays in, a picture out."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Steps and values (n,)."""
_POINTS = 200


def plot_curves(losses: Mapping[str, Curve], scores: Mapping[str, Curve], *, title: str, best_step: int) -> bytes:
    """A PNG: losses on the left, means over 1/200 of the steps each; validation figures on the right.

    Parameters
    ----------
    losses, scores : mapping of str to Curve
        By name; NaN is left out. May be empty.
    best_step : int
        Step of the weights that are kept; marked if over 0.
    """
    figure = Figure(figsize=(11, 4.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.012, ha="left", fontsize=12, fontweight="bold", color="#222222")
    left, right = figure.subplots(1, 2)
    _draw(left, {name: _thinned(curve) for name, curve in losses.items()}, "loss")
    _draw(right, scores, "validation", marker=".")
    if best_step > 0:
        right.axvline(best_step, color="#999999", lw=1.0, ls=(0, (3, 2)))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw(axes: Axes, curves: Mapping[str, Curve], label: str, marker: str = "") -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=8, colors="#555555", length=3)
    axes.set_xlabel("step", fontsize=9)
    axes.set_ylabel(label, fontsize=9)
    for name, (steps, values) in curves.items():
        known = np.isfinite(values)
        axes.plot(steps[known], values[known], label=name, lw=1.4, marker=marker)
    if curves:
        axes.legend(fontsize=7, frameon=False)
    axes.set_ylim(bottom=0)


def _thinned(curve: Curve) -> Curve:
    """Means of as many neighbouring values as leave at most 200."""
    steps, values = curve
    size = -(-len(steps) // _POINTS)
    if size < 2:
        return curve
    starts = np.arange(0, len(steps), size)
    counts = np.diff(np.append(starts, len(steps)))
    return np.add.reduceat(steps, starts) / counts, np.add.reduceat(values, starts) / counts
