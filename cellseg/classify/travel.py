"""Values that travel: a cell against cells of its own slide, so that stain and scanner drop out. Floor 3: arrays only.

The slide of a cell is its sample, which is one image: fields of one glass slide are not pooled. What its cells look
like is a frame, a robust centre and scale of each column; a relative value is how many scales a cell lies from the
centre. The frame is of all cells of the slide, or of those that look normal: a slide that is mostly abnormal is no
measure of what is healthy. No label of the slide has a part in it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MIN_CELLS = 5
"""Cells that a frame needs, of each column; with fewer its relative values are NaN."""
MAD_OF_NORMAL = 1.4826
"""Standard deviation over median absolute deviation of a normal distribution (Rousseeuw & Croux 1993, JASA 88:1273)."""
_FLAT = 1e-12
"""Times the median: a smaller spread is lost in its digits."""
_FAR = 6.0
"""Robust z that counts as the farthest, so that no single column decides which cells look normal."""
_LEAST_SCALE = 0.3
"""Times the scale of healthy cells of the training: a slide's own scale is not taken for less."""
_FARTHEST = 20.0
"""Relative values are kept within + and - this."""
_MEASURED = 0.5
"""Fraction of columns that a cell must have to look normal, and of healthy cells that must have a column."""


@dataclass(frozen=True)
class Travel:
    """How values are made relative to a slide, and what the healthy cells of the training looked like.

    `kind` "slide" is against all cells of the slide, "normal" against the `share` of them that lie nearest to the
    healthy cells of the training. `columns` (q) can be made relative; `centre` (q,) is the median of each among healthy
    cells, `scale` (q,), over 0, their 1.4826 median absolute deviations.
    """

    kind: Literal["slide", "normal"]
    share: float
    columns: tuple[str, ...]
    centre: Floats
    scale: Floats

    def __post_init__(self) -> None:
        if self.kind not in ("slide", "normal") or not 0 < self.share <= 1:
            raise ValueError(f"values relative to {self.share} of the cells of kind {self.kind!r}")
        if not self.centre.shape == self.scale.shape == (len(self.columns),):
            raise ValueError(f"centres and scales that do not fit {len(self.columns)} relative columns")
        if not (np.isfinite(self.centre).all() and np.isfinite(self.scale).all() and (self.scale > 0).all()):
            raise ValueError("relative columns without a centre, or with a scale that is not over 0")

    def needed_for(self, columns: Collection[str]) -> Travel:
        """What values relative to a slide of these columns are made by; which cells look normal is told by all."""
        if self.kind == "normal":
            return self
        at = [place for place, name in enumerate(self.columns) if name in columns]
        return Travel(self.kind, self.share, tuple(self.columns[i] for i in at), self.centre[at], self.scale[at])


@dataclass(frozen=True)
class Frame:
    """Robust centre and scale (q,) of a slide's cells, of each column; NaN where there are too few cells."""

    centre: Floats
    scale: Floats

    def take(self, columns: Sequence[int]) -> Frame:
        """The frame of these columns."""
        at = np.asarray(columns, np.int64)
        return Frame(self.centre[at], self.scale[at])


def fit_travel(healthy: Floats, names: Sequence[str], *, kind: Literal["slide", "normal"], share: float) -> Travel:
    """What healthy cells look like, and which of their columns can be made relative.

    Parameters
    ----------
    healthy : (n, p) ndarray of float64
        Values of healthy cells as measured; what is not finite was not measured.
    names : sequence of str
        Columns, one a value.
    kind, share
        As of `Travel`.

    Returns
    -------
    Travel
        Of the columns that half of the cells have, 5 cells at least, and that are not the same for all of them. The
        scale is the standard deviation where more than half of the cells share one value.
    """
    values = _known(healthy)
    centre, scale = _centre_and_scale(values)
    flat = scale <= _FLAT * np.abs(centre)
    for column in np.flatnonzero(flat).tolist():
        own = values[:, column]
        scale[column] = own[np.isfinite(own)].std()
    often = np.isfinite(values).sum(axis=0) >= _MEASURED * len(values)
    columns = np.flatnonzero(often & (scale > _FLAT * np.abs(centre)))
    kept = tuple(names[column] for column in columns.tolist())
    return Travel(kind, share, kept, centre[columns], scale[columns])


def presume_normal(matrix: Floats, travel: Travel) -> NDArray[np.int64]:
    """The cells (rows, rising, int64) of a slide that look most like the healthy cells of the training.

    These are `travel.share` of the cells with half of the columns, 5 at least: those with the smallest root mean square
    of robust z, each z within +-6 and missing ones left out; of alike cells the first.

    Parameters
    ----------
    matrix : (n, q) ndarray of float64
        `travel.columns` of a slide's cells.
    travel : Travel
        What healthy cells look like.
    """
    # row by row, so that a cell's distance does not depend on how the others lie in memory
    z = np.ascontiguousarray(np.clip((_known(matrix) - travel.centre) / travel.scale, -_FAR, _FAR))
    known = np.isfinite(z)
    n_known = known.sum(axis=1)
    enough = n_known >= max(1.0, _MEASURED * len(travel.columns))
    distance = np.where(known, z * z, 0.0).sum(axis=1) / np.maximum(n_known, 1)
    distance[~enough] = np.inf
    n_cells = int(enough.sum())
    n_normal = min(n_cells, max(MIN_CELLS, round(travel.share * n_cells)))
    return np.sort(np.argsort(distance, kind="stable")[:n_normal])


def slide_frame(matrix: Floats, travel: Travel) -> Frame:
    """The frame of a slide: of all its cells, or of those that look normal, as `travel` says.

    The scale is 1.4826 median absolute deviations, but at least 0.3 of the scale of healthy cells of the training: few
    cells that happen to be alike do not blow values up.

    Parameters
    ----------
    matrix : (n, q) ndarray of float64
        `travel.columns` of cells of the slide that can be judged, labelled or not.
    travel : Travel
        How, and what healthy cells look like.
    """
    rows = presume_normal(matrix, travel) if travel.kind == "normal" else np.arange(len(matrix))
    centre, scale = _centre_and_scale(_known(matrix[rows]))
    return Frame(centre, np.where(np.isnan(scale), np.nan, np.maximum(scale, _LEAST_SCALE * travel.scale)))


def relate(matrix: Floats, frame: Frame) -> Floats:
    """Relative values (n, q) of cells (n, q): scales from the slide's centre, within +-20; NaN stays NaN."""
    return np.asarray(np.clip((_known(matrix) - frame.centre) / frame.scale, -_FARTHEST, _FARTHEST))


def _known(matrix: Floats) -> Floats:
    return np.where(np.isfinite(matrix), matrix, np.nan)


def _centre_and_scale(values: Floats) -> tuple[Floats, Floats]:
    centre = _median(values)
    return centre, MAD_OF_NORMAL * _median(np.abs(values - centre))


def _median(values: Floats) -> Floats:
    """The median (q,) of what is not NaN, the same for any order of rows; NaN where there are fewer than 5 values."""
    n_known = np.isfinite(values).sum(axis=0)
    out = np.full(values.shape[1], np.nan)
    enough = np.flatnonzero(n_known >= MIN_CELLS)
    # NaN is sorted behind all values
    ordered, n_known = np.sort(values[:, enough], axis=0), n_known[enough]
    at = np.arange(enough.size)
    out[enough] = (ordered[(n_known - 1) // 2, at] + ordered[n_known // 2, at]) / 2
    return out


class EvenDraw:
    """Evenly spaced rows of a table that comes in parts: every 2^k-th, the same however the table is parted.

    Parameters
    ----------
    n_columns : int
        Values of a row.
    most : int
        Rows that are kept at most; while there are no more, all are.
    """

    def __init__(self, n_columns: int, most: int) -> None:
        self._most = most
        self._step = 1
        self._seen = 0
        self._rows = np.empty((0, n_columns))

    def add(self, rows: Floats) -> None:
        """The next rows (m, n_columns) of the table."""
        kept = rows[-self._seen % self._step :: self._step]
        self._seen += len(rows)
        self._rows = np.concatenate([self._rows, kept])
        while len(self._rows) > self._most:
            self._rows = self._rows[::2]
            self._step *= 2

    @property
    def rows(self) -> Floats:
        """What was drawn, (k, n_columns), in the table's order."""
        return self._rows
