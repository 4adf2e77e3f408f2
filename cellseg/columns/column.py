"""What is said of a column: name, type, unit, range, meaning, formula, source. Floor 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DType = Literal["string", "uint32", "int32", "int64", "float64", "bool"]
Per = Literal["cell", "compartment", "plane"]
"""How often a column is there: once a cell, once a compartment (`nucleus_NAME`), or once a compartment and plane of
pixels (`nucleus_od_hematoxylin_NAME`)."""


@dataclass(frozen=True)
class Column:
    """One column of a table, or all that differ in compartment, plane or a setting.

    `name` is what the family's function calls it: without compartment and plane, with a placeholder in braces where
    a setting is part of the name (`density_{radius}um_per_mm2`). `meaning` says when it is NaN. Values are stored with 6
    decimals, those of a `significant` column, whose values have no common scale, with 9 significant digits.
    """

    name: str
    dtype: DType
    unit: str
    meaning: str
    formula: str = ""
    source: str = ""
    minimum: float | None = None
    maximum: float | None = None
    family: str = "shape"
    per: Per = "cell"
    significant: bool = False


PLANE_UNIT = "of the plane"
"""Unit of what is measured in a plane's own unit: gray levels, OD, or L* a* b*."""
COMPARTMENTS = ("nucleus", "cytoplasm", "cell")
