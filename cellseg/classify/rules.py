"""Bounds on single columns, set by the user. Floor 3: tables in, findings out."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.classify.finding import Finding, float_column
from cellseg.classify.tissues import TISSUE, check_mapped, in_tissues
from cellseg.classify.words import write_apart, write_bound
from cellseg.classify_config import Rule
from cellseg.columns import full_name
from cellseg.errors import ConfigError
from cellseg.types import Stain


def rules_for(rules: Iterable[Rule], stain: Stain) -> tuple[Rule, ...]:
    """The rules that apply to slides of `stain`."""
    return tuple(rule for rule in rules if stain in rule.stains)


def check_rules(rules: Iterable[Rule], schema: pa.Schema, where: str) -> None:
    """Refuse rules on columns that the table lacks or that hold no numbers, or for tissues where there is no map.

    Raises
    ------
    ConfigError
        With all such columns and the nearest that would do.
    """
    rules = tuple(rules)
    if any(rule.tissues for rule in rules):
        check_mapped(schema.names, "a rule", where)
    numeric = [field.name for field in schema if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)]
    faults = [_fault(rule.column, numeric) for rule in rules if full_name(rule.column, numeric) not in numeric]
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
        name = full_name(rule.column, table.column_names)
        values = float_column(table, name)
        applies = in_tissues(table, rule.tissues) if rule.tissues else np.ones(len(values), np.bool_)
        if rule.above is not None:
            rows = np.flatnonzero(applies & (values > rule.above))
            findings.append(_hits(rule, table, name, rows, "above", rule.above))
        if rule.below is not None:
            rows = np.flatnonzero(applies & (values < rule.below))
            findings.append(_hits(rule, table, name, rows, "below", rule.below))
    return findings


def _hits(rule: Rule, table: pa.Table, name: str, rows: NDArray[np.int64], side: str, bound: float) -> Finding:
    words = f"{side} {write_bound(bound)}"
    tissues = table[TISSUE].take(rows).to_pylist() if rule.tissues else [""] * len(rows)
    texts = [
        f"{name} {write_apart(value, bound)} {words} (rule{f' for {tissue}' if tissue else ''})"
        for value, tissue in zip(float_column(table, name)[rows].tolist(), tissues, strict=True)
    ]
    return Finding(rows, rule.status, texts)


def without_rule(table: pa.Table, rules: Iterable[Rule]) -> NDArray[np.int64]:
    """The cells in tissues that no rule is for; all where there is no rule."""
    rules = tuple(rules)
    if any(not rule.tissues for rule in rules):
        return np.zeros(0, np.int64)
    if not rules:
        return np.arange(table.num_rows)
    return np.flatnonzero(~in_tissues(table, [tissue for rule in rules for tissue in rule.tissues]))
