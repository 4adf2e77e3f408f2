"""Bounds on columns, and conditions made of them, set by the user. Floor 3: tables in, findings out.

NaN is neither above nor below a bound, so that what was not measured never decides: `all` does not hold with it, `any`
is left to its other conditions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cellseg.classify.finding import Finding, float_column
from cellseg.classify.tissues import TISSUE, check_mapped, in_tissues
from cellseg.classify.words import write_apart, write_bound, write_unit
from cellseg.classify_config import Condition, Rule
from cellseg.columns import full_name
from cellseg.errors import ConfigError
from cellseg.types import Stain


class _Met(NamedTuple):
    """A bound that cells are beyond: which of them (n,), and in which words."""

    cells: NDArray[np.bool_]
    column: str
    side: str
    bound: float


def rules_for(rules: Iterable[Rule], stain: Stain) -> tuple[Rule, ...]:
    """The rules that apply to slides of `stain`."""
    return tuple(rule for rule in rules if stain in rule.stains)


def conditions_of(condition: Condition, where: str = "") -> Iterator[tuple[str, Condition]]:
    """The conditions with a column that a rule is made of, in its order, each with the dotted path that leads to it.

    Examples
    --------
    >>> rule = Rule(all=(Condition(column="area_um2", above=120), Condition(column="solidity", below=0.8)))
    >>> [(path, one.column) for path, one in conditions_of(rule, "rules.0")]
    [('rules.0.all.0', 'area_um2'), ('rules.0.all.1', 'solidity')]
    """
    if condition.column:
        yield where, condition
    for name, parts in (("all", condition.all), ("any", condition.any)):
        for at, part in enumerate(parts or ()):
            yield from conditions_of(part, f"{where}.{name}.{at}".lstrip("."))


def rule_columns(rules: Iterable[Rule], names: Iterable[str]) -> tuple[str, ...]:
    """The columns that rules look at, each once, as they are called in a table with these names."""
    present = set(names)
    return tuple(dict.fromkeys(full_name(one.column, present) for rule in rules for _, one in conditions_of(rule)))


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
    named = dict.fromkeys(one.column for rule in rules for _, one in conditions_of(rule))
    faults = [_fault(name, numeric) for name in named if full_name(name, numeric) not in numeric]
    if faults:
        raise ConfigError(
            f"{where}: {'; '.join(faults)}; mend classify.rules, or limit the rule to stains that have it"
        )


def _fault(name: str, numeric: list[str]) -> str:
    near = get_close_matches(name, numeric, n=3, cutoff=0.4) or numeric[:3]
    return f"a rule names {name!r}, which is no numeric column of this table (nearest: {', '.join(near)})"


def apply_rules(table: pa.Table, rules: Iterable[Rule]) -> list[Finding]:
    """The cells that each rule hits, one finding a rule, in words that name every condition which made it hit.

    A condition says its column, value, unit and bound: "nucleus_area_um2 142 um2 above 120 and nucleus_solidity 0.71
    below 0.8 (rule)".

    Parameters
    ----------
    table : pyarrow.Table
        With the columns of `rule_columns`, and `tissue` where a rule has tissues; n cells, n >= 0.
    rules : iterable of Rule
        Those for the slide's stain (`rules_for`).
    """
    findings = []
    for rule in rules:
        hit, met = _ask(table, rule)
        if rule.tissues:
            hit = hit & in_tissues(table, rule.tissues)
        rows = np.flatnonzero(hit)
        findings.append(Finding(rows, rule.status, _write(table, rule, rows, met)))
    return findings


def _ask(table: pa.Table, condition: Condition) -> tuple[NDArray[np.bool_], list[_Met]]:
    """Which cells (n,) a condition holds for, and what of it was met, by cells that it holds for."""
    if condition.column:
        return _compare(table, condition)
    holds = np.ones(table.num_rows, np.bool_)
    met: list[_Met] = []
    for parts, join in ((condition.all, np.logical_and), (condition.any, np.logical_or)):
        if parts is None:
            continue
        asked = [_ask(table, part) for part in parts]
        holds &= join.reduce([part for part, _ in asked], axis=0)
        met += [one for _, ones in asked for one in ones]
    return holds, [one._replace(cells=one.cells & holds) for one in met]


def _compare(table: pa.Table, condition: Condition) -> tuple[NDArray[np.bool_], list[_Met]]:
    name = full_name(condition.column, table.column_names)
    values = float_column(table, name)
    met = []
    if condition.above is not None:
        met.append(_Met(values > condition.above, name, "above", condition.above))
    if condition.below is not None:
        met.append(_Met(values < condition.below, name, "below", condition.below))
    return np.logical_or.reduce([one.cells for one in met]), met


def _write(table: pa.Table, rule: Rule, rows: NDArray[np.int64], met: list[_Met]) -> list[str]:
    """Why each of the cells in `rows` was hit."""
    said: list[dict[str, None]] = [{} for _ in range(len(rows))]
    for one in met:
        places = np.flatnonzero(one.cells[rows])
        tail = f"{write_unit(one.column)} {one.side} {write_bound(one.bound)}"
        values = float_column(table, one.column)[rows[places]]
        for place, value in zip(places.tolist(), values.tolist(), strict=True):
            # a condition may stand in several branches
            said[place][f"{one.column} {write_apart(value, one.bound)}{tail}"] = None
    name = f" {rule.name}" if rule.name else ""
    tissues = table[TISSUE].take(rows).to_pylist() if rule.tissues else [""] * len(rows)
    return [
        f"{' and '.join(words)} (rule{name}{f' for {tissue}' if tissue else ''})"
        for words, tissue in zip(said, tissues, strict=True)
    ]


def without_rule(table: pa.Table, rules: Iterable[Rule]) -> NDArray[np.int64]:
    """The cells in tissues that no rule is for; all where there is no rule."""
    rules = tuple(rules)
    if any(not rule.tissues for rule in rules):
        return np.zeros(0, np.int64)
    if not rules:
        return np.arange(table.num_rows)
    return np.flatnonzero(~in_tissues(table, [tissue for rule in rules for tissue in rule.tissues]))
