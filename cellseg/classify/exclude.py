"""Which cells can be judged, and why others are not: cut, small, blurred, saturated, overlapping, under pen, ...

What the settings of quality hold against a tile of the slide is held against all of its cells.

Floor 3: tables in, arrays and findings out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.classify.finding import Finding, float_column
from cellseg.classify.tissues import TISSUE, check_mapped, find_other_tissues
from cellseg.classify.words import write_apart, write_bound, write_number
from cellseg.classify_config import ExcludeSettings
from cellseg.columns import full_name
from cellseg.errors import ConfigError
from cellseg.types import Stain

SHARPNESS = "edge_sharpness_per_um"
SATURATED = "saturated_fraction"
TILE = "tile_unassessable_by"
_AREA = "area_um2"
_TOUCHING = "touching_share"
_CLUMP = tuple(
    f"cell_{name}"
    for name in (_AREA, "concavity_count", "concavity_depth_mean_um", "concavity_depth_max_um", "radius_mean_um")
)
"""What clumps are told by, in this order; only whole cells make them."""
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Assessment:
    """What speaks against judging each of n cells, a bool (n,) for each criterion.

    False where a criterion is off or its column was not measured. `touches_border` and `seam_joined` are as measured,
    whether or not the settings exclude such cells. `assessable` is true of cells that no criterion of the settings
    speaks against, in tiles that can be judged; in which tissue a cell lies has no part in it.
    """

    touches_border: Flags
    seam_joined: Flags
    out_of_focus: Flags
    overlapping: Flags
    saturated: Flags
    too_small: Flags
    in_flagged_tile: Flags
    assessable: Flags


def exclusion_columns(settings: ExcludeSettings, names: Iterable[str]) -> tuple[str, ...]:
    """The columns that the exclusion looks at, of a table with these names.

    Those of saturation, clumps and the quality of tiles, which are looked at without being asked, only where the table
    has them.
    """
    present = set(names)
    needed = tuple(name for name, _ in _needed_columns(settings, present))
    saturated = (SATURATED,) if settings.max_saturated_fraction < 1 and SATURATED in present else ()
    clump = _CLUMP if settings.clump_area_ratio > 0 and present.issuperset(_CLUMP) else ()
    tile = (TILE,) if TILE in present else ()
    return tuple(dict.fromkeys((*needed, *saturated, *clump, *tile)))


def _needed_columns(settings: ExcludeSettings, names: Iterable[str]) -> list[tuple[str, str]]:
    """The columns that a table must have for these settings, each with the setting that does without it."""
    present = set(names)
    columns = (
        ("touches_border", settings.border, "border: false"),
        ("seam_joined", settings.seam, "seam: false"),
        (full_name(_AREA, present), settings.min_area_um2 > 0, "min_area_um2: 0"),
        (SHARPNESS, settings.min_focus_fraction > 0, "min_focus_fraction: 0"),
        (full_name(_TOUCHING, present), settings.max_overlap_fraction < 1, "max_overlap_fraction: 1"),
        (TISSUE, bool(settings.tissues), "tissues: []"),
    )
    return [(name, off) for name, used, off in columns if used]


def check_exclusion(settings: ExcludeSettings, names: list[str], where: str) -> None:
    """Refuse a table without the columns, or the tissue map, that the exclusion looks at.

    Raises
    ------
    ConfigError
        With the setting that turns the criterion off.
    """
    if settings.tissues:
        check_mapped(names, "classify.exclude.tissues", where)
    for name, off in _needed_columns(settings, names):
        if name not in names:
            raise ConfigError(
                f"{where}: no column {name}, which classify.exclude looks at; measure its family "
                f"(`cellseg columns`) or set classify.exclude.{off}"
            )


def median_sharpness(values: NDArray[np.float64]) -> float:
    """The median of a slide's edge sharpness over the cells that have one; NaN without any."""
    measured = values[np.isfinite(values)]
    return float(np.median(measured)) if measured.size else float("nan")


def clump_column(settings: ExcludeSettings, names: Iterable[str], stain: Stain) -> str:
    """The column whose `median_area` tells clumps on a slide of this stain; empty where none are looked for."""
    looks = settings.clump_area_ratio > 0 and stain in settings.clump_stains and set(names).issuperset(_CLUMP)
    return _CLUMP[0] if looks else ""


def median_area(areas_um2: NDArray[np.float64], settings: ExcludeSettings) -> float:
    """The median area (um2) of a slide's cells that are not too small, so that debris has no say; NaN without any."""
    sound = areas_um2[areas_um2 >= settings.min_area_um2]
    return float(np.median(sound)) if sound.size else float("nan")


def assess_cells(
    table: pa.Table, settings: ExcludeSettings, *, sharpness: float, area_um2: float = float("nan")
) -> Assessment:
    """What speaks against judging each cell of a table.

    A cell is out of focus, too small, saturated or overlapping when its value is beyond the bound of the settings: at
    the bound it is not, and NaN never is. Overlapping are cells whose outline lies against others (`touching_share`),
    and clumps: whole cells larger than `clump_area_ratio` medians with two notches or more, where the mean depth of
    all notches but the deepest is over `clump_notch_fraction` of the mean radius. One notch does not make a clump,
    since bitten and sickled cells have it too.

    Parameters
    ----------
    table : pyarrow.Table
        With the columns of `exclusion_columns`, as far as they were measured; n cells, n >= 0; may be a part of the
        slide's table.
    settings : ExcludeSettings
        The bounds.
    sharpness : float
        `median_sharpness` of the whole slide, 1/um; with NaN no cell is out of focus.
    area_um2 : float
        `median_area` of the whole slide where `clump_column` names a column, um2; with NaN no cell is a clump.
    """
    n = table.num_rows
    border, seam = _flag(table, "touches_border"), _flag(table, "seam_joined")
    small = _values(table, _AREA) < settings.min_area_um2
    blurred = _values(table, SHARPNESS) < settings.min_focus_fraction * sharpness
    saturated = _values(table, SATURATED) > settings.max_saturated_fraction
    overlapping = _touching(table, settings) | _clumped(table, settings, area_um2)
    tile = _tile_flags(table) != ""
    against = small | blurred | saturated | overlapping | tile
    for turned_on, flag in ((settings.border, border), (settings.seam, seam)):
        against = against | flag if turned_on else against
    return Assessment(border, seam, blurred, overlapping, saturated, small, tile, np.ones(n, np.bool_) & ~against)


def find_excluded(
    table: pa.Table, settings: ExcludeSettings, *, sharpness: float, area_um2: float = float("nan")
) -> list[Finding]:
    """The cells of a table that are not to be judged, one finding a criterion that is on and measured.

    The arguments are those of `assess_cells`.
    """
    found = assess_cells(table, settings, sharpness=sharpness, area_um2=area_um2)
    looked_at = set(exclusion_columns(settings, table.column_names)) & set(table.column_names)
    area, touching = (full_name(name, table.column_names) for name in (_AREA, _TOUCHING))
    most = settings.max_overlap_fraction
    findings = {
        TILE: _in_tiles(table, found.in_flagged_tile),
        "touches_border": _plain(found.touches_border, "cut by the image border"),
        "seam_joined": _plain(found.seam_joined, "joined from pieces at a seam"),
        area: _too_small(table, found.too_small, settings.min_area_um2),
        SHARPNESS: _out_of_focus(table, found.out_of_focus, settings.min_focus_fraction, sharpness),
        SATURATED: _over(table, SATURATED, found.saturated, settings.max_saturated_fraction, "at the sensor's limit"),
        touching: _over(table, touching, _touching(table, settings), most, "overlaps other cells"),
        _CLUMP[1]: _clumps(table, _clumped(table, settings, area_um2), settings.clump_area_ratio, area_um2),
    }
    others = [find_other_tissues(table, settings.tissues)] if settings.tissues else []
    return [finding for column, finding in findings.items() if column in looked_at] + others


def _values(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A column (n,) by the name that settings use; NaN where it was not measured."""
    column = full_name(name, table.column_names)
    return float_column(table, column) if column in table.column_names else np.full(table.num_rows, np.nan)


def _flag(table: pa.Table, name: str) -> Flags:
    return np.asarray(_values(table, name) == 1)


def _touching(table: pa.Table, settings: ExcludeSettings) -> Flags:
    return np.asarray(_values(table, _TOUCHING) > settings.max_overlap_fraction)


def _clumped(table: pa.Table, settings: ExcludeSettings, median_um2: float) -> Flags:
    """Cells (n,) that are several: large for their slide, with more than one notch."""
    if settings.clump_area_ratio == 0:
        return np.zeros(table.num_rows, np.bool_)
    area, count, mean_depth, depth, radius = (_values(table, name) for name in _CLUMP)
    others = (count * mean_depth - depth) / np.maximum(count - 1, 1)
    notched = (count >= 2) & (others > settings.clump_notch_fraction * radius)
    return np.asarray(notched & (area > settings.clump_area_ratio * median_um2))


def _plain(flag: Flags, text: str) -> Finding:
    return Finding(np.flatnonzero(flag), "excluded", text)


def _tile_flags(table: pa.Table) -> NDArray[np.object_]:
    """Of each cell the flags that make its tile unassessable; "" where none does, or tiles were not looked at."""
    if TILE not in table.column_names:
        return np.full(table.num_rows, "", object)
    return np.asarray(table[TILE].to_numpy(), object)


def _in_tiles(table: pa.Table, flag: Flags) -> Finding:
    names = _tile_flags(table)[flag].tolist()
    texts = [f"in a tile that cannot be judged ({name.replace(';', ', ')})" for name in names]
    return Finding(np.flatnonzero(flag), "excluded", texts)


def _too_small(table: pa.Table, flag: Flags, least_um2: float) -> Finding:
    name, areas_um2 = full_name(_AREA, table.column_names), _values(table, _AREA)[flag]
    tail = f"under {write_bound(least_um2)} (too small to judge)"
    texts = [f"{name} {write_apart(area, least_um2)} {tail}" for area in areas_um2.tolist()]
    return Finding(np.flatnonzero(flag), "excluded", texts)


def _out_of_focus(table: pa.Table, flag: Flags, fraction: float, median: float) -> Finding:
    bound = fraction * median
    tail = f"under {write_bound(round(100 * fraction, 6))} % of the slide's median {write_number(median)}"
    values = _values(table, SHARPNESS)[flag].tolist()
    texts = [f"out of focus: {SHARPNESS} {write_apart(value, bound)} {tail}" for value in values]
    return Finding(np.flatnonzero(flag), "excluded", texts)


def _over(table: pa.Table, column: str, flag: Flags, most: float, why: str) -> Finding:
    values = _values(table, column)[flag].tolist()
    texts = [f"{column} {write_apart(value, most)} over {write_bound(most)} ({why})" for value in values]
    return Finding(np.flatnonzero(flag), "excluded", texts)


def _clumps(table: pa.Table, flag: Flags, least_ratio: float, median_um2: float) -> Finding:
    areas, counts = _values(table, _CLUMP[0])[flag].tolist(), _values(table, _CLUMP[1])[flag].tolist()
    of = f"times the slide's median {write_number(median_um2)}, over {write_bound(least_ratio)}"
    texts = [
        f"several cells: {_CLUMP[0]} {write_number(area)} is {write_apart(area / median_um2, least_ratio)} {of}, "
        f"with {count:.0f} notches"
        for area, count in zip(areas, counts, strict=True)
    ]
    return Finding(np.flatnonzero(flag), "excluded", texts)
