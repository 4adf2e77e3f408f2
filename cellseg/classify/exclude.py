"""Which cells are not judged: cut by the border, small, blurred, in other tissue. Floor 3: tables in, findings out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.classify.finding import Finding, float_column
from cellseg.classify.tissues import TISSUE, check_mapped, find_other_tissues
from cellseg.classify.words import write_apart, write_bound, write_number
from cellseg.classify_config import ExcludeSettings
from cellseg.columns import full_name
from cellseg.errors import ConfigError

SHARPNESS = "edge_sharpness_per_um"
_AREA = "area_um2"


def exclusion_columns(settings: ExcludeSettings, names: Iterable[str]) -> tuple[str, ...]:
    """The columns that the exclusion looks at, of a table with these names."""
    wanted = {
        "touches_border": settings.border,
        full_name(_AREA, names): settings.min_area_um2 > 0,
        SHARPNESS: settings.min_focus_fraction > 0,
        TISSUE: bool(settings.tissues),
    }
    return tuple(name for name, used in wanted.items() if used)


def check_exclusion(settings: ExcludeSettings, names: list[str], where: str) -> None:
    """Refuse a table without the columns, or the tissue map, that the exclusion looks at.

    Raises
    ------
    ConfigError
        With the setting that turns the criterion off.
    """
    if settings.tissues:
        check_mapped(names, "classify.exclude.tissues", where)
    area = full_name(_AREA, names)
    off = {"touches_border": "border: false", area: "min_area_um2: 0", SHARPNESS: "min_focus_fraction: 0"}
    for name in exclusion_columns(settings, names):
        if name not in names:
            raise ConfigError(
                f"{where}: no column {name}, which classify.exclude looks at; measure its family "
                f"(`cellseg columns`) or set classify.exclude.{off[name]}"
            )


def median_sharpness(values: NDArray[np.float64]) -> float:
    """The median of a slide's edge sharpness over the cells that have one; NaN without any."""
    measured = values[np.isfinite(values)]
    return float(np.median(measured)) if measured.size else float("nan")


def find_excluded(table: pa.Table, settings: ExcludeSettings, *, sharpness: float) -> list[Finding]:
    """The cells of a table that are not to be judged, one finding a criterion.

    Parameters
    ----------
    table : pyarrow.Table
        With the columns of `exclusion_columns`; NaN excludes nothing.
    settings : ExcludeSettings
        The bounds.
    sharpness : float
        `median_sharpness` of the whole slide, 1/um; NaN excludes nothing.
    """
    findings = []
    if settings.border:
        cut = np.flatnonzero(table["touches_border"].to_numpy())
        findings.append(Finding(cut, "excluded", "cut by the image border"))
    if settings.min_area_um2 > 0:
        name = full_name(_AREA, table.column_names)
        findings.append(_too_small(name, float_column(table, name), settings.min_area_um2))
    if settings.min_focus_fraction > 0:
        findings.append(_out_of_focus(float_column(table, SHARPNESS), settings.min_focus_fraction, sharpness))
    if settings.tissues:
        findings.append(find_other_tissues(table, settings.tissues))
    return findings


def _too_small(name: str, areas_um2: NDArray[np.float64], least_um2: float) -> Finding:
    rows = np.flatnonzero(areas_um2 < least_um2)
    bound = write_bound(least_um2)
    texts = [
        f"{name} {write_apart(area, least_um2)} under {bound} (too small to judge)" for area in areas_um2[rows].tolist()
    ]
    return Finding(rows, "excluded", texts)


def _out_of_focus(values: NDArray[np.float64], fraction: float, median: float) -> Finding:
    bound = fraction * median
    rows = np.flatnonzero(values < bound)
    tail = f"under {write_bound(round(100 * fraction, 6))} % of the slide's median {write_number(median)}"
    texts = [f"out of focus: {SHARPNESS} {write_apart(value, bound)} {tail}" for value in values[rows].tolist()]
    return Finding(rows, "excluded", texts)
