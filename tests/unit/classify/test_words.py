"""Numbers in reasons: short, without exponents, and never seeming to contradict the verdict."""

from __future__ import annotations

import pytest

from cellseg.classify.words import write_apart, write_bound, write_interval, write_number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (142.4, "142"), (9.1, "9.1"), (0.02, "0.02"), (0.0, "0"), (999.6, "1000"), (12345.6, "12346"),
        (0.00012345, "0.000123"), (-3.14159, "-3.14"),
    ],
)  # fmt: skip
def test_three_digits_without_exponent(value, text):
    assert write_number(value) == text


def test_a_bound_is_written_as_the_user_gave_it():
    assert [write_bound(b) for b in (120.0, 120.25, 0.875, 1e-5)] == ["120", "120.25", "0.875", "1e-05"]


@pytest.mark.parametrize(("value", "bound"), [(120.3, 120.0), (120.3, 120.25), (14.9999, 15.0), (0.1 + 0.2, 0.3)])
def test_a_value_is_written_on_its_own_side_of_the_bound(value, bound):
    text = write_apart(value, bound)
    assert float(text) != bound
    assert (float(text) > bound) == (value > bound)


def test_a_value_far_from_its_bound_keeps_three_digits():
    assert write_apart(142.4, 120.0) == "142"


def test_intervals_with_negative_ends_are_not_ambiguous():
    assert write_interval(38.0, 91.0) == "38-91"
    assert write_interval(-0.5, -0.1) == "-0.5 to -0.1"
