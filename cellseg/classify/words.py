"""How numbers are written in reasons. Floor 3: values in, words out."""

from __future__ import annotations

from cellseg.columns import find_measured
from cellseg.errors import TableError


def write_number(value: float) -> str:
    """Three significant digits, whole numbers from 1,000 up; an exponent only where zeros would hide the digits.

    Examples
    --------
    >>> write_number(142.4), write_number(0.5), write_number(12345.6)
    ('142', '0.5', '12346')
    """
    text = f"{value:.3g}"
    return f"{value:.0f}" if "e+" in text and abs(value) < 1e9 else text


def write_bound(bound: float) -> str:
    """A bound from the settings as the user wrote it.

    Examples
    --------
    >>> write_bound(120.0), write_bound(0.875)
    ('120', '0.875')
    """
    return f"{bound:.12g}" if abs(bound) < 1e12 else repr(bound)


def write_apart(value: float, bound: float) -> str:
    """`value` with as many digits as show on which side of `bound` it lies, three at least.

    Examples
    --------
    >>> write_apart(142.4, 120.0), write_apart(120.3, 120.0), write_apart(14.9999, 15.0)
    ('142', '120.3', '14.9999')
    """
    text = write_number(value)
    above = value > bound
    if (float(text) > bound) == above and float(text) != bound:
        return text
    for digits in range(4, 17):
        text = f"{value:.{digits}g}"
        if (float(text) > bound) == above and float(text) != bound:
            return text
    return repr(value)


def write_interval(low: float, high: float) -> str:
    """An interval with three significant digits: "38-91", or "-0.2 to 0.4" where a minus would look like the dash.

    Examples
    --------
    >>> write_interval(38.04, 91.2), write_interval(-0.2, 0.4)
    ('38-91.2', '-0.2 to 0.4')
    """
    dash = " to " if low < 0 else "-"
    return f"{write_number(low)}{dash}{write_number(high)}"


def write_unit(column: str) -> str:
    """The unit of a column after a space; nothing for plain numbers and for columns that are not ours.

    Examples
    --------
    >>> write_unit("nucleus_area_um2"), write_unit("nucleus_solidity"), write_unit("grade")
    (' um2', '', '')
    """
    try:
        unit = find_measured(column).unit
    except TableError:
        return ""
    return f" {unit}" if unit not in ("", "1") else ""
