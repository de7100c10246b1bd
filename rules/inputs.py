"""The inputs of a template: what each may be, and how it stands in the rule that is made. Pure."""

import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from gateway.amount import SECONDS
from gateway.document import Plain
from gateway.settings import Section, wrong
from gateway.units import code_of, convert
from gateway.words.text import fault, text
from rules.clause import MAX_TEXT
from rules.kinds import quantity
from rules.quantity import Fault, dimension, near_unit
from rules.tree import RuleError

Kind = Literal["point", "device", "selector", "number", "duration", "text", "enum"]

_POINT = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*(?:\[(?:[0-9]{1,6}|\*)\])?")
_DEVICE = re.compile(r"[a-z0-9{][a-z0-9{}_-]{0,79}")  # `valve-b{building}` too
_DURATION = re.compile(rf"[0-9]{{1,9}}(?:\.[0-9]{{1,3}})?\s*(?:{'|'.join(SECONDS)})")


class Given(NamedTuple):
    """An input as it stands as a value of YAML, and as a literal in an expression: None if it cannot."""

    node: Plain
    literal: str | None


class InputSection(Section):
    """One input. `unit`, `min` and `max` (in `unit`) are for numbers, `values` for an enum."""

    type: Kind
    unit: str | None = None
    default: object = None
    min: int | float | None = None
    max: int | float | None = None
    values: list[str] = Field(default=[], max_length=100)

    @model_validator(mode="after")
    def _fits(self) -> "InputSection":
        bounds = {"unit": self.unit, "min": self.min, "max": self.max}
        for key, value in bounds.items():
            if value is not None and self.type != "number":
                raise wrong(*fault("input.not_for", key=key, type=self.type))
        quoted = any('"' in value for value in self.values)
        if quoted or (self.type == "enum") is not bool(self.values):
            raise wrong(*fault("input.values"))
        if self.unit is not None and code_of(self.unit) is None:
            raise wrong(*fault("unit.unknown", unit=self.unit, fix=near_unit(self.unit)))
        return self


def given(section: InputSection, value: object) -> Given | Fault:
    """`value` as an input of this kind."""
    return _READ[section.type](section, value)


def _point(_: InputSection, value: object) -> Given | Fault:
    if isinstance(value, str) and _POINT.fullmatch(value):
        return Given(value, value)
    return _unfit(value, "input.point")


def _device(_: InputSection, value: object) -> Given | Fault:
    if isinstance(value, str) and _DEVICE.fullmatch(value):
        return Given(value, None)
    return _unfit(value, "input.device")


def _selector(_: InputSection, value: object) -> Given | Fault:
    return Given(value, None) if isinstance(value, dict) else _unfit(value, "input.selector")


def _number(section: InputSection, value: object) -> Given | Fault:
    """In parentheses, so that nothing beside it becomes a part of it."""
    try:
        found = _quantity(value)
    except RuleError as error:
        return Fault(error.what, error.fix)
    if found is None:
        return _unfit(value, "input.number")
    misfit = _misfit(section, *found)
    if misfit is not None:
        return misfit
    if isinstance(value, str):
        return Given(value, f"({value})")
    return Given(found[0], f"({Decimal(repr(found[0])):f})")  # no 1e+16: it is no number here


def _misfit(section: InputSection, number: int | float, unit: str | None) -> Fault | None:
    """Not in the unit of the input, or outside of its bounds."""
    want = code_of(section.unit) if section.unit else None
    if want is not None and unit is None:
        kind = dimension(want)
        return Fault(*fault("unit.missing", kind=kind, number=number, unit=section.unit))
    shown = number if unit is None else f"{number} {unit}"
    if want is not None and unit is not None:
        converted = convert(float(number), unit, want)
        if converted is None:
            have = dimension(unit)
            return Fault(*fault("unit.differs", have=have, want=dimension(want), unit=section.unit))
        number = converted
    low, high = section.min, section.max
    if (low is None or number >= low) and (high is None or number <= high):
        return None
    first, last = (text("rule.any_number") if one is None else one for one in (low, high))
    outside = fault("input.range", value=shown, low=first, high=last, unit=section.unit or "")
    return Fault(*outside)


def _quantity(value: object) -> tuple[int | float, str | None] | None:
    if isinstance(value, str):
        return quantity(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value, None


def _duration(_: InputSection, value: object) -> Given | Fault:
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return Given(value, value)
    return _unfit(value, "input.duration")


def _text(_: InputSection, value: object) -> Given | Fault:
    """No braces: in a text for people they would be expressions."""
    if isinstance(value, str) and value.strip() and len(value) <= MAX_TEXT:
        if not set('"{}\n') & set(value):
            return Given(value, f'"{value}"')
        return _unfit(value, "input.plain_text")
    return _unfit(value, "input.text")


def _enum(section: InputSection, value: object) -> Given | Fault:
    if value in section.values and isinstance(value, str):
        return Given(value, f'"{value}"')
    return Fault(*fault("input.enum", value=repr(value), values=section.values))


def _unfit(value: object, id_: str) -> Fault:
    shown = text("value.this") if isinstance(value, dict | list) else repr(value)[:60]
    return Fault(*fault(id_, value=shown))


_READ: Mapping[Kind, Callable[[InputSection, object], Given | Fault]] = MappingProxyType({
    "point": _point, "device": _device, "selector": _selector, "number": _number,
    "duration": _duration, "text": _text, "enum": _enum,
})  # fmt: skip
