"""Whether those who speak of a slide's pixel size agree, and whether its cells have a likely size. Floor 3: numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cellseg.input_config import PixelSizeSettings
from cellseg.types import PixelSize

USUAL_MPP = tuple(2.0**k for k in range(-4, 4))
"""um per pixel; 0.0625 to 8 by steps of 2, as 0.25 of a 40x objective and 0.5 of a 20x."""
OBJECTIVE_UM = 10.0
"""um; pixel size times power of the usual objective: 40x has 0.25, 20x has 0.5 um a pixel."""
_SAME = 1.25
_DRAGGED = 2.0
_DIGITS = 6


class Statement(NamedTuple):
    """What one source says the pixel size is, um: the likeliest figure, and the least and most that it stands for."""

    source: str
    mpp: float
    least: float
    most: float

    @classmethod
    def exact(cls, size: PixelSize) -> Statement:
        """Of a source that names a figure."""
        return cls(size.source, size.mpp, size.mpp, size.mpp)

    @classmethod
    def of_objective(cls, power: float, settings: PixelSizeSettings) -> Statement:
        """Of an objective, whose camera and tube lens may be any usual ones."""
        least, most = (um / power for um in settings.objective_um)
        return cls(f"objective power {power:g}x", OBJECTIVE_UM / power, least, most)

    def disagreement(self, other: Statement) -> float:
        """By what ratio, 1 or more, the two differ at least."""
        return max(1.0, self.least / other.most, other.least / self.most)


@dataclass(frozen=True)
class SizeChoice:
    """The pixel size in force, who spoke, by what ratio they differ, and what was decided.

    `decision`: alone, agree, outvoted (the file's figure and the sheet's agree against the objective's power), or of
    sources that differ by more than is allowed stop, rescale or note. `said` is the disagreement in words.
    """

    size: PixelSize
    statements: tuple[Statement, ...]
    disagreement: float
    decision: str
    said: str | None

    def record(self, settings: PixelSizeSettings) -> dict[str, Any]:
        """Plain values for quality.json."""
        return {
            "mpp": self.size.mpp,
            "source": self.size.source,
            "said": [{"source": one.source, "mpp": round(one.mpp, _DIGITS)} for one in self.statements],
            "disagreement": round(self.disagreement, _DIGITS),
            "max_disagreement": settings.max_disagreement,
            "action": settings.action,
            "decision": self.decision,
        }


def choose_size(
    *, stated: PixelSize | None, given: PixelSize | None, power: float | None, settings: PixelSizeSettings
) -> SizeChoice:
    """Compare the file's figure (`stated`), the sheet's (`given`) and the objective's power; choose the one in force.

    The sheet's figure goes before the file's. An objective's power alone is no pixel size: `stated` or `given` is one.
    """
    size = given or stated
    if size is None:
        raise ValueError("neither file nor sheet names a pixel size")
    figures = tuple(Statement.exact(one) for one in (given, stated) if one)
    voices = (*figures, *([Statement.of_objective(power, settings)] if power else []))
    limit = settings.max_disagreement
    among = _worst(figures)
    worst = _worst(voices)
    said = None
    if len(voices) == 1:
        decision = "alone"
    elif worst <= limit:
        decision = "agree"
    else:
        decision = "outvoted" if len(figures) == 2 and among <= limit else settings.action
        said = f"{', '.join(f'{v.mpp:.6g} ({v.source})' for v in voices)} um per pixel differ {worst:.3g} times"
    return SizeChoice(size, voices, worst, decision, said)


def _worst(voices: Sequence[Statement]) -> float:
    return max((a.disagreement(b) for a in voices for b in voices), default=1.0)


def middle_diameter_px(n_pixels: NDArray[np.int64]) -> float | None:
    """The diameter, px, at which half of the summed diameters lies in smaller cells; None without cells.

    Diameters are of discs of the same areas. Specks, many but small, move it less than a median, and
    clumps, large but few, less than a median by area.

    Parameters
    ----------
    n_pixels : (n,) ndarray of int64
        Pixels of each piece found, whatever bounds on its area say of it: bounds in um2 drop most cells of a slide
        whose pixel size is wrong, and what is left has the size that the bounds let through.
    """
    if not len(n_pixels):
        return None
    rising = np.sort(2 * np.sqrt(n_pixels / np.pi))
    summed = np.cumsum(rising)
    return float(rising[np.searchsorted(summed, summed[-1] / 2)])


@dataclass(frozen=True)
class CellSize:
    """What the cells say of a pixel size: `diameter_um` of `n_cells`, the usual range, and what follows.

    `decision`: not judged (`why` says why), agree, or of cells beyond what is allowed stop, rescale or note. `likely`
    is the pixel size at which they would be of usual size.
    """

    size: PixelSize
    n_cells: int
    diameter_um: float | None
    usual_um: tuple[float, float] | None
    disagreement: float | None
    decision: str
    why: str | None = None
    likely: PixelSize | None = None

    def record(self) -> dict[str, Any]:
        """Plain values for labels.json."""
        values: dict[str, Any] = {
            "mpp": self.size.mpp,
            "source": self.size.source,
            "n_cells": self.n_cells,
            "diameter_um": None if self.diameter_um is None else round(self.diameter_um, _DIGITS),
            "usual_um": None if self.usual_um is None else list(self.usual_um),
            "disagreement": None if self.disagreement is None else round(self.disagreement, _DIGITS),
            "decision": self.decision,
            "why": self.why,
        }
        return values | {"likely_mpp": None if self.likely is None else self.likely.mpp}


def judge_cells(
    n_pixels: NDArray[np.int64],
    size: PixelSize,
    *,
    usual_um: tuple[float, float] | None,
    cells: str,
    said: Sequence[PixelSize] = (),
    settings: PixelSizeSettings,
) -> CellSize:
    """Compare the middle diameter of the cells found with what is usual.

    Parameters
    ----------
    n_pixels : (n,) ndarray of int64
        Pixels of each piece, see `middle_diameter_px`.
    size : PixelSize
        The pixel size in force.
    usual_um : (float, float) or None
        Where the middle diameter of such cells usually lies; None: not known, so nothing is judged.
    cells : str
        What they are called in messages.
    said : sequence of PixelSize
        What the sources say; it is likelier than other usual figures.
    """
    n, middle, usual = len(n_pixels), middle_diameter_px(n_pixels), usual_um
    diameter = None if middle is None else middle * size.mpp
    if usual is None or diameter is None or n < settings.min_cells:
        why = f"no size is known for {cells}" if usual is None else f"fewer than {settings.min_cells} cells"
        return CellSize(size, n, diameter, usual, None, "not judged", why)
    off = max(1.0, usual[0] / diameter, diameter / usual[1])
    likely = likely_size(diameter, size, usual, said)
    if off <= settings.max_disagreement:
        return CellSize(size, n, diameter, usual, off, "agree", likely=likely)
    least, most = usual
    why = (
        f"the cells found measure {diameter:.3g} um across (middle of {n}) at {size.mpp:.6g} um per pixel "
        f"({size.source}), where {least:.3g} to {most:.3g} um are usual for {cells}; they would measure "
        f"{diameter * likely.mpp / size.mpp:.3g} um at {likely.mpp:.6g} um per pixel ({likely.source})"
    )
    return CellSize(size, n, diameter, usual, off, settings.action, why, likely)


def likely_size(
    diameter_um: float, size: PixelSize, usual_um: tuple[float, float], said: Sequence[PixelSize]
) -> PixelSize:
    """The pixel size at which cells of `diameter_um` at `size` would be nearest to the middle of what is usual.

    What is said goes first, where it is nearer than `size` and brings the cells to within twice the usual: settings in
    um drag the sizes found after them by so much. Else the nearest of what is said and the usual figures 0.0625, 0.125,
    0.25 ...; where these are within 1.25 times of what is said, the latter stands for them.
    """
    wanted = size.mpp * math.sqrt(usual_um[0] * usual_um[1]) / diameter_um
    nearer = [
        one
        for one in said
        if _apart(one.mpp, wanted) < _apart(size.mpp, wanted)
        and usual_um[0] / _DRAGGED <= diameter_um * one.mpp / size.mpp <= usual_um[1] * _DRAGGED
    ]
    named = [size, *said]
    free = (mpp for mpp in USUAL_MPP if all(_apart(mpp, one.mpp) > _SAME for one in named))
    others = [PixelSize(mpp, "the nearest usual figure") for mpp in free]
    return min(nearer or [*named, *others], key=lambda one: _apart(one.mpp, wanted))


def _apart(a: float, b: float) -> float:
    return max(a / b, b / a)
