"""Which columns of a table are features: by name, pattern or family. Floor 6."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import pyarrow as pa

from cellseg.classify_config import TrainClassifierSettings
from cellseg.columns import find_column, full_name
from cellseg.columns.families import ABOUT
from cellseg.errors import ConfigError, TableError

_DIRECTIONS = ("orientation_rad",)
"""Measured, but of how the cell lies on the glass."""


def choose_features(schema: pa.Schema, settings: TrainClassifierSettings, where: str) -> tuple[str, ...]:
    """The numeric columns of a table that `settings.features` and `without` choose, in the table's order.

    Without a choice: every feature that `cellseg.columns` knows; neither identity, position, flags, nor what the
    segmenter and the map of tissue say, nor orientations, nor what a network makes of pictures, for it may have been
    trained on these very cells.

    Raises
    ------
    ConfigError
        If an entry fits no numeric column.
    """
    numeric = _numeric(schema)
    families = {name: _family(name) for name in numeric}
    learnable = ABOUT.keys() - {"appearance"}
    measured = [name for name in numeric if families[name] in learnable and not name.endswith(_DIRECTIONS)]
    chosen = _matching(settings.features, numeric, families, "features", where) if settings.features else set(measured)
    dropped = _matching(settings.without, numeric, families, "without", where)
    return tuple(name for name in numeric if name in chosen - dropped)


def match_features(entry: str, schema: pa.Schema) -> list[str]:
    """The numeric columns that a name, with or without what it is of, a pattern or a family means, in table order."""
    names = _numeric(schema)
    return sorted(_hits(entry, names, {name: _family(name) for name in names}), key=names.index)


def _numeric(schema: pa.Schema) -> list[str]:
    return [field.name for field in schema if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)]


def _family(name: str) -> str:
    try:
        return find_column(name).family
    except TableError:
        return ""


def _matching(
    wanted: Sequence[str], names: Sequence[str], families: dict[str, str], setting: str, where: str
) -> set[str]:
    out: set[str] = set()
    for entry in wanted:
        hits = _hits(entry, names, families)
        if not hits:
            raise ConfigError(
                f"{where}: {setting} names {entry!r}, which no numeric column, pattern or family here is; "
                "`cellseg columns` lists them"
            )
        out |= hits
    return out


def _hits(entry: str, names: Sequence[str], families: dict[str, str]) -> set[str]:
    full = full_name(entry, names)
    return {name for name in names if name == full or fnmatchcase(name, entry) or families[name] == entry}
