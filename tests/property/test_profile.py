"""Laws of profiles: names of points, and limits of commands."""

import re

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.profile import CommandSpec, Point

POINT_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
numbers = st.integers(-1000, 1000) | st.floats(-1000, 1000)


def accepted(name: str) -> bool:
    try:
        Point(id=name)
    except ValidationError:
        return False
    return True


@given(st.text(max_size=12) | st.text(alphabet="ab1_.é²Ａ水 -", max_size=12))
def test_exactly_the_documented_names_are_accepted(name: str) -> None:
    assert accepted(name) == (POINT_NAME.fullmatch(name) is not None)


@given(numbers, numbers, st.integers() | st.floats())
def test_a_value_is_taken_exactly_when_it_lies_in_the_range(
    one: float, other: float, value: float
) -> None:
    low, high = sorted((one, other))
    spec = CommandSpec(id="x", point="x", range=[low, high])
    assert (spec.refuse(value) is None) == (low <= value <= high)


@given(st.text() | st.booleans() | st.none())
def test_what_is_no_number_never_passes_a_range(value: str | bool | None) -> None:
    spec = CommandSpec(id="x", point="x", range=[-(10**9), 10**9])
    assert value is None or spec.refuse(value) is not None
