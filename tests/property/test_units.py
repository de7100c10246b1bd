"""Laws of unit conversion."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.units import UNITS, convert

numbers = st.floats(min_value=-1e9, max_value=1e9)
alike = st.sampled_from(
    [(a, b) for a, b in product(UNITS, UNITS) if UNITS[a].dimension == UNITS[b].dimension]
)


def converted(number: float, source: str, target: str) -> float:
    result = convert(number, source, target)
    assert result is not None
    return result


@given(numbers, alike)
def test_there_and_back_is_the_same(number: float, pair: tuple[str, str]) -> None:
    there = converted(number, *pair)
    assert converted(there, pair[1], pair[0]) == pytest.approx(number, rel=1e-9, abs=1e-6)


@given(numbers, numbers, alike)
def test_conversion_keeps_the_order(one: float, other: float, pair: tuple[str, str]) -> None:
    low, high = sorted((one, other))
    assert converted(low, *pair) <= converted(high, *pair)


@given(st.integers(-(10**12), 10**12), st.sampled_from(sorted(UNITS)))
def test_a_unit_to_itself_changes_nothing(number: int, unit: str) -> None:
    assert convert(number, unit, unit) == number


@given(numbers, st.sampled_from(sorted(UNITS)), st.sampled_from(sorted(UNITS)))
def test_only_units_of_one_dimension_convert(number: float, source: str, target: str) -> None:
    same = UNITS[source].dimension == UNITS[target].dimension
    assert (convert(number, source, target) is not None) == same
