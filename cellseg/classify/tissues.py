"""Verdicts that hang on the tissue of a cell: its column, and what a table must have for them. Floor 3.

The tissue of a cell is the class of the slide's tissue map under its centroid, "" where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cellseg.classify.finding import Finding
from cellseg.classify_config import ExcludeSettings, Rule
from cellseg.columns import mapped_tissues, safe_names
from cellseg.errors import ConfigError

TISSUE = "tissue"
"""The column that names the tissue of each cell."""


def in_tissues(table: pa.Table, tissues: Iterable[str]) -> NDArray[np.bool_]:
    """Which cells (n,) of a table lie in one of these tissues."""
    return np.asarray(pc.is_in(table[TISSUE], pa.array(tuple(tissues), pa.string())).to_numpy())


def list_tissues(table: pa.Table) -> list[str]:
    """The tissues that cells of a table lie in, sorted; "" where cells lie in none."""
    return sorted(pc.unique(table[TISSUE]).to_pylist())


def check_mapped(names: Iterable[str], wanted_by: str, where: str) -> None:
    """Refuse a table that was measured without a tissue map, where the settings look at tissues.

    Raises
    ------
    ConfigError
        With what wants them.
    """
    if not mapped_tissues(names):
        raise ConfigError(
            f"{where}: its cells have no tissue, which {wanted_by} looks at; set tissue.enabled: true "
            "(`cellseg measure --tissue MAP`), or take the tissues out"
        )


def unknown_tissues(names: Iterable[str], rules: Iterable[Rule], exclude: ExcludeSettings) -> list[str]:
    """Tissues that the settings name and the map of a table with these columns does not have: misspelt, or not there.

    No fault, for slides may have other maps; but worth a word, since such a rule hits nothing and such a limit excludes
    every cell.
    """
    known = mapped_tissues(names)
    wanted = [("a rule", tissue) for rule in rules for tissue in rule.tissues]
    wanted += [("classify.exclude.tissues", tissue) for tissue in exclude.tissues]
    return [
        f"{by} names tissue {tissue!r}, which is no class of this slide's map ({', '.join(known)})"
        for by, tissue in dict.fromkeys(wanted)
        if safe_names([tissue])[0] not in known
    ]


def find_other_tissues(table: pa.Table, judged: tuple[str, ...]) -> Finding:
    """The cells that lie in none of the tissues whose cells are judged."""
    rows = np.flatnonzero(~in_tissues(table, judged))
    tail = f"not among those judged ({', '.join(judged)})"
    names = table[TISSUE].take(rows).to_pylist()
    return Finding(
        rows, "excluded", [f"tissue {name} is {tail}" if name else f"in no tissue, {tail}" for name in names]
    )
