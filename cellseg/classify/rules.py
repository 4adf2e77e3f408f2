"""Bounds on single columns, set by the user. Floor 3: tables in, findings out."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.classify.finding import Finding, float_column
from cellseg.classify.words import write_apart, write_bound
from cellseg.config import Rule
from cellseg.errors import ConfigError
from cellseg.types import Stain


def rules_for(rules: Iterable[Rule], stain: Stain) -> tuple[Rule, ...]:
    """The rules that apply to slides of `stain`."""
    return tuple(rule for rule in rules if stain in rule.stains)


def check_rules(rules: Iterable[Rule], schema: pa.Schema, where: str) -> None:
    """Refuse rules on columns that the table lacks or that hold no numbers.

    Raises
    ------
    ConfigError
        With all such columns and the nearest that would do.
    """
    numeric = [field.name for field in schema if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)]
    faults = [_fault(rule.column, numeric) for rule in rules if rule.column not in numeric]
    if faults:
        raise ConfigError(
            f"{where}: {'; '.join(faults)}; mend classify.rules, or limit the rule to stains that have it"
        )


def _fault(name: str, numeric: list[str]) -> str:
    near = get_close_matches(name, numeric, n=3, cutoff=0.4) or numeric[:3]
    return f"a rule names {name!r}, which is no numeric column of this table (nearest: {', '.join(near)})"


def apply_rules(table: pa.Table, rules: Iterable[Rule]) -> list[Finding]:
    """The cells that each rule hits, with the value and the bound; NaN is never hit."""
    findings = []
    for rule in rules:
        values = float_column(table, rule.column)
        if rule.above is not None:
            findings.append(_hits(rule, values, np.flatnonzero(values > rule.above), "above", rule.above))
        if rule.below is not None:
            findings.append(_hits(rule, values, np.flatnonzero(values < rule.below), "below", rule.below))
    return findings


def _hits(rule: Rule, values: NDArray[np.float64], rows: NDArray[np.int64], side: str, bound: float) -> Finding:
    tail = f"{side} {write_bound(bound)} (rule)"
    texts = [f"{rule.column} {write_apart(value, bound)} {tail}" for value in values[rows].tolist()]
    return Finding(rows, rule.status, texts)
