"""Arithmetic of a profile's `scale`: decimal numbers, variables, + - * / ** and parentheses. Exact.

expression = term {("+" | "-") term}
term       = factor {("*" | "/") factor}
factor     = "-" factor | power
power      = atom ["**" factor]
atom       = number | name | "(" expression ")"
"""

import re
from collections.abc import Callable, Mapping
from decimal import Context, Decimal, DecimalException
from typing import NamedTuple

from gateway.words.text import text as text_

MAX_TEXT = 100  # characters: the longest in use has 20
MAX_POWER = 18  # a 64 bit register has 20 digits
_EXACT = Context(prec=60)
_SYMBOL = re.compile(r"\s*(?:([0-9]+(?:\.[0-9]+)?)|([a-z][a-z0-9_]*)|(\*\*|[-+*/()]))")

Variables = Mapping[str, Decimal]
_Value = Callable[[Variables], Decimal]


class Expression(NamedTuple):
    """`names` are the variables that it needs."""

    text: str
    names: frozenset[str]
    run: _Value

    def value(self, variables: Variables) -> Decimal:
        """Raises ValueError: a division by zero, a power that is no whole number or too large."""
        try:
            value = self.run(variables)
        except DecimalException as error:
            raise ValueError(
                text_("formula.failed", formula=self.text, why=type(error).__name__)
            ) from None
        if not value.is_finite():
            raise ValueError(text_("formula.failed", formula=self.text, why=value))
        return value


def parse(text: str) -> Expression:
    """Raises ValueError, which says what is wrong and where."""
    if len(text) > MAX_TEXT:
        raise ValueError(text_("formula.long", most=MAX_TEXT))
    parser = _Parser(text)
    run = parser.expression()
    if parser.symbol:
        raise ValueError(text_("formula.more", symbol=parser.symbol))
    return Expression(text, frozenset(parser.names), run)


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.names: set[str] = set()
        self.symbol = ""
        self._advance()

    def expression(self) -> _Value:
        left = self._term()
        while self.symbol in {"+", "-"}:
            sign, right = self._take(), self._term()
            left = _binary(_EXACT.add if sign == "+" else _EXACT.subtract, left, right)
        return left

    def _term(self) -> _Value:
        left = self._factor()
        while self.symbol in {"*", "/"}:
            sign, right = self._take(), self._factor()
            left = _binary(_EXACT.multiply if sign == "*" else _EXACT.divide, left, right)
        return left

    def _factor(self) -> _Value:
        if self.symbol != "-":
            return self._power()
        self._take()
        value = self._factor()
        return lambda variables: _EXACT.minus(value(variables))

    def _power(self) -> _Value:
        base = self._atom()
        if self.symbol != "**":
            return base
        self._take()
        return _binary(_power, base, self._factor())

    def _atom(self) -> _Value:
        symbol = self._take()
        if symbol == "(":
            value = self.expression()
            if self._take() != ")":
                raise ValueError(text_("formula.open"))
            return value
        if symbol[:1].isdigit():
            number = Decimal(symbol)
            return lambda _variables: number
        if symbol[:1].isalpha():
            self.names.add(symbol)
            return lambda variables: variables[symbol]
        raise ValueError(text_("formula.atom", symbol=symbol) if symbol else text_("formula.short"))

    def _take(self) -> str:
        symbol = self.symbol
        self._advance()
        return symbol

    def _advance(self) -> None:
        rest = self._text[self._at :]
        match = _SYMBOL.match(rest)
        if match is None and rest.strip():
            raise ValueError(text_("formula.symbol", symbol=rest.strip()[0]))
        self.symbol = "" if match is None else match.group().strip()
        self._at += 0 if match is None else match.end()


def _binary(operate: Callable[[Decimal, Decimal], Decimal], left: _Value, right: _Value) -> _Value:
    return lambda variables: operate(left(variables), right(variables))


def _power(base: Decimal, exponent: Decimal) -> Decimal:
    if exponent != exponent.to_integral_value() or abs(exponent) > MAX_POWER:
        raise ValueError(text_("formula.power", exponent=exponent, most=MAX_POWER))
    return _EXACT.power(base, exponent)
