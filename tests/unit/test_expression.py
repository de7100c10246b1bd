"""Scales that depend on variables: what they come to, and what is no expression."""

import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.expression import MAX_TEXT, parse

NAMES = {"ct": Decimal(40), "pt": Decimal("1.5"), "dec": Decimal(3)}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1 * ct", "4.0"), ("ct*pt", "60"), ("10 ** -dec", "0.001"), ("10**dec", "1000"),
        ("(ct + 2) / 4", "10.5"), ("ct - 1 - 1", "38"), ("2 ** 3 ** 2", "512"), ("-ct", "-40"), ("-2 ** 2", "-4"),
        ("ct / 3 * 3", "39.99999999999999999999999999999999999999999999999999999999999"), ("--ct", "40"),
    ],
)  # fmt: skip
def test_an_expression_is_computed_exactly(text: str, value: str) -> None:
    assert abs(parse(text).value(NAMES) - Decimal(value)) < Decimal("1e-50")


def test_an_expression_names_the_variables_that_it_needs() -> None:
    assert parse("0.1 * ct * (pt + ct)").names == {"ct", "pt"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "ends too early"), ("ct *", "ends too early"), ("(ct", "not closed"), ("ct)", "is too much"),
        ("ct ct", "is too much"), ("ct % 2", "'%' is not allowed"), ("__import__('os')", "'_' is not allowed"),
        ("ct.real", "'.' is not allowed"), ("* ct", "'*' where a number"), ("CT", "'C' is not allowed"),
        ("1 + " * 30 + "1", f"longer than {MAX_TEXT}"), ("²", "'²' is not allowed"),
    ],
)  # fmt: skip
def test_what_is_no_expression_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / (ct - 40)", "cannot be computed"),
        ("2 ** 0.5", "only whole numbers"),
        ("10 ** 19", "only whole numbers from -18 to 18"),
        ("0 ** -1", "cannot be computed"),
    ],
)
def test_what_cannot_be_computed_says_so(text: str, said: str) -> None:
    expression = parse(text)
    with pytest.raises(ValueError, match=re.escape(said)):
        expression.value(NAMES)


@given(
    st.recursive(
        st.integers(0, 99).map(str),
        lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        max_leaves=8,
    )
)  # fmt: skip
def test_it_computes_what_python_computes(text: str) -> None:
    if len(text) <= MAX_TEXT:
        assert Fraction(parse(text).value({})) == eval(text)  # noqa: S307 -- digits and + - * only


@given(st.text(max_size=30) | st.text(alphabet="0123456789.+-*/() ctp", max_size=30))
def test_no_text_makes_it_fail_in_another_way_than_it_says(text: str) -> None:
    try:
        parse(text).value(dict.fromkeys(("c", "t", "p", "ct"), Decimal(7)))
    except (ValueError, KeyError) as error:
        assert str(error)
