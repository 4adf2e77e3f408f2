"""The one truth about tables: every column's name, type, unit, range, meaning, formula and source. Floor 1.

`docs/tables.md` and each run's `columns.json` are made from here. What is measured of a part of the cell has the part's
name before it (`nucleus_area_um2`), what is measured in a plane of pixels the plane's too
(`nucleus_od_hematoxylin_mean`). Columns that exist once a compartment, plane, tissue or value of a setting are written
with placeholders: `{compartment}_{plane}_mean`, `signed_distance_{tissue}_um`, `density_{radius}um_per_mm2`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from difflib import get_close_matches
from functools import lru_cache
from itertools import count, groupby, product

from cellseg.columns import cells, families
from cellseg.columns.column import COMPARTMENTS, PLANE_UNIT, Column, DType, Per
from cellseg.errors import TableError

__all__ = [
    "COLUMNS", "COMPARTMENTS", "Column", "DType", "Per", "columns_of", "describe_columns", "find_column",
    "find_measured", "full_name", "mapped_tissues", "object_names", "safe_names", "signed_distance_name", "written_name",
]  # fmt: skip

COLUMNS: tuple[Column, ...] = (*cells.HEAD, *families.OF_COMPARTMENTS, *families.OF_CELLS, *cells.TAIL)
"""Every column by its bare name, in table order."""
SIGNED_DISTANCE = "signed_distance_{tissue}_um"
"""The column of which there is one for each class of a slide's tissue map."""

_PLANE_NAME = r"(?:intensity|od|lab|hsv)_\w+?"
_PLANE = f"(?P<plane>{_PLANE_NAME})"
_COMPARTMENT = f"(?P<compartment>{'|'.join(COMPARTMENTS)})"
_PLACEHOLDERS = {
    "plane": _PLANE_NAME,
    "distance": r"\d+",
    "direction": r"\d+",
    "ring": r"\d+",
    "k": r"\d+",
    "radius": r"\d+(?:p\d+)?",
    "network": r"[a-z0-9_]+",
}
_PREFIX = {"cell": "", "compartment": f"{_COMPARTMENT}_", "plane": f"{_COMPARTMENT}_{_PLANE}_"}


def _pattern(column: Column) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", column.name)
    body = "".join(
        f"(?P<{part}>{_PLACEHOLDERS.get(part, '.+')})" if at % 2 else re.escape(part) for at, part in enumerate(parts)
    )
    return re.compile(f"{_PREFIX[column.per]}{body}")


_EXACT = {column.name: column for column in COLUMNS if column.per == "cell" and "{" not in column.name}
# longer names first: of `..._edge_mean` and `..._mean`, the former leaves the plane what is its own
_PATTERNS = [
    (_pattern(column), column)
    for column in sorted(COLUMNS, key=lambda column: -len(column.name))
    if column.name not in _EXACT or column.per != "cell"
]
_UNITS = {"intensity": "gray level", "od": "OD", "lab": "1", "hsv": "1"}


@lru_cache(maxsize=8192)
def find_column(name: str) -> Column:
    """The definition of a column by its full name, with that name, what it is of and its unit put in.

    Examples
    --------
    >>> find_column("nucleus_od_eosin_mean").unit
    'OD'

    Raises
    ------
    TableError
        If no column has that name; the message names the nearest.
    """
    if name in _EXACT:
        return _EXACT[name]
    for pattern, column in _PATTERNS:
        if match := pattern.fullmatch(name):
            given = match.groupdict()
            of = ", ".join(value for value in given.values() if value)
            unit = (
                column.unit.replace(PLANE_UNIT, _UNITS[given["plane"].split("_")[0]])
                if column.per == "plane"
                else column.unit
            )
            return replace(column, name=name, unit=unit, meaning=f"{of}: {column.meaning}")
    near = get_close_matches(name, [*_EXACT, *map(written_name, COLUMNS)], n=3)
    raise TableError(
        f"no column is called {name!r}; nearest: {', '.join(near) or 'none'}; `cellseg columns` lists them all"
    )


def find_measured(name: str) -> Column:
    """The definition of a column whose compartment may be left out: `area_um2` is told as `nucleus_area_um2`.

    Raises
    ------
    TableError
        If no column has that name; the message names the nearest.
    """
    for candidate in object_names(name)[1:]:
        if any(pattern.fullmatch(candidate) for pattern, _ in _PATTERNS):
            return find_column(candidate)
    return find_column(name)


def written_name(column: Column) -> str:
    """The name with its placeholders: `{compartment}_{plane}_mean`."""
    return {"cell": "", "compartment": "{compartment}_", "plane": "{compartment}_{plane}_"}[column.per] + column.name


def object_names(name: str) -> tuple[str, ...]:
    """What the column of the outlined object may be called: itself, or of the nucleus, or of the cell."""
    return (name, f"nucleus_{name}", f"cell_{name}")


def full_name(name: str, names: Iterable[str]) -> str:
    """The column of a table with these names that is meant: settings may leave out what was outlined.

    `area_um2` is `nucleus_area_um2` where nuclei were outlined, else `cell_area_um2`; a name that the table does not
    have either way stays as it is.

    Examples
    --------
    >>> full_name("area_um2", ["cell_id", "cell_area_um2"])
    'cell_area_um2'
    """
    present = set(names)
    return next((candidate for candidate in object_names(name) if candidate in present), name)


def columns_of(
    chosen: Iterable[str],
    *,
    compartments: Mapping[str, Iterable[str]] | None = None,
    planes: Mapping[str, Sequence[str]] | Sequence[str] = (),
    tissues: Iterable[str] = (),
    values: Mapping[str, Sequence[str]] | None = None,
) -> tuple[Column, ...]:
    """The columns of a table in its order.

    Parameters
    ----------
    chosen : iterable of str
        Families measured once a cell, and of the head and tail (`identity`, `flags`, ...).
    compartments : mapping, optional
        Compartment -> families measured in it; of the families that stand in `chosen` only what is per cell is taken.
    planes : mapping or sequence of str
        Family -> planes that it is measured in (`intensity_red`, `od_hematoxylin`), or the same for all families.
    tissues : iterable of str
        Classes of the tissue map, as `safe_names` gives them.
    values : mapping, optional
        Placeholder -> texts that stand in its place (`{"radius": ["25", "100"]}`).
    """
    wanted, texts = set(chosen), {"tissue": tuple(tissues)} | dict(values or {})
    inner = [
        column
        for compartment, names in (compartments or {}).items()
        for column in _of_compartment(compartment, set(names), planes, texts)
    ]
    per_cell = [column for column in (*families.OF_COMPARTMENTS, *families.OF_CELLS) if column.per == "cell"]
    head = _expanded((column for column in cells.HEAD if column.family in wanted), texts)
    tail = _expanded((column for column in (*per_cell, *cells.TAIL) if column.family in wanted), texts)
    return (*head, *inner, *tail)


def _of_compartment(
    compartment: str,
    chosen: set[str],
    planes: Mapping[str, Sequence[str]] | Sequence[str],
    texts: Mapping[str, Sequence[str]],
) -> list[Column]:
    """The columns of one compartment; those of a family in a plane stand together."""
    out: list[Column] = []
    mine = [column for column in families.OF_COMPARTMENTS if column.family in chosen and column.per != "cell"]
    for (family, per), rows in groupby(mine, key=lambda column: (column.family, column.per)):
        names = [column.name for column in _expanded_names(rows, texts)]
        seen = planes.get(family, ()) if isinstance(planes, Mapping) else planes
        prefixes = [f"{compartment}_{plane}_" for plane in seen] if per == "plane" else [f"{compartment}_"]
        out.extend(find_column(prefix + name) for prefix in prefixes for name in names)
    return out


def _expanded_names(columns: Iterable[Column], texts: Mapping[str, Sequence[str]]) -> list[Column]:
    """One column for each value of each placeholder in its name; none for a placeholder without values."""
    out: list[Column] = []
    for column in columns:
        keys = re.findall(r"\{(\w+)\}", column.name)
        out.extend(
            replace(column, name=column.name.format(**dict(zip(keys, chosen, strict=True))))
            for chosen in product(*(texts.get(key, ()) for key in keys))
        )
    return out


def _expanded(columns: Iterable[Column], texts: Mapping[str, Sequence[str]]) -> list[Column]:
    return [find_column(column.name) for column in _expanded_names(columns, texts)]


def safe_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names of classes as they stand in names of columns: letters, digits and `_` alone, each name once.

    Examples
    --------
    >>> safe_names(["high grade", "high-grade", "stroma"])
    ('high_grade', 'high_grade_2', 'stroma')
    """
    out: list[str] = []
    for number, name in enumerate(names):
        plain = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_") or f"class_{number}"
        candidates = (plain if copy == 1 else f"{plain}_{copy}" for copy in count(1))
        out.append(next(candidate for candidate in candidates if candidate not in out))
    return tuple(out)


def signed_distance_name(tissue: str) -> str:
    """The column of the signed distance to a tissue, by its safe name."""
    return SIGNED_DISTANCE.replace("{tissue}", tissue)


def mapped_tissues(names: Iterable[str]) -> tuple[str, ...]:
    """The classes (safe names) of the map that a table with these columns was measured with; empty: with none."""
    pattern = next(pattern for pattern, column in _PATTERNS if column.name == SIGNED_DISTANCE)
    return tuple(match.group(1) for name in names if (match := pattern.fullmatch(name)))


def describe_columns(names: Iterable[str]) -> list[dict[str, str | float | None]]:
    """What `columns.json` says of each named column, in order."""
    return [asdict(find_column(name)) for name in names]


VERDICT_COLUMNS: tuple[Column, ...] = tuple(
    find_column(name)
    for name in (
        "cell_id", "status", "abnormal_probability", "abnormal_score", "called_abnormal", "scored_by",
        "healthy_p_value", "n_reasons", "reason_1", "reason_2", "reason_3", "reasons",
        "assessable", "out_of_focus", "overlapping", "saturated", "too_small",
    )
)  # fmt: skip
"""Columns of the verdicts table."""
