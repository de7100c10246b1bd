"""Numbers in the unit of a point, and the reach of a comparison. Pure."""

import difflib
import math
from typing import NamedTuple

from gateway.profile import Point
from gateway.units import SPELLINGS, UNITS, convert
from gateway.words.text import Said, fault
from gateway.words.text import text as text_


class Fault(NamedTuple):
    what: str
    fix: str


class Comparison(NamedTuple):
    """`<point> <op> <number> <unit>` as written; `unit` is a UCUM code, None when left out."""

    point: str
    op: str
    number: int | float
    unit: str | None


def in_unit_of(point: Point, number: int | float, unit: str | None) -> int | float | Fault:
    """`number` `unit` expressed in the unit of `point`."""
    if unit is None:
        if number == 0 or point.unit == "1":
            return number
        kind = dimension(point.unit)
        return Fault(*fault("unit.missing", kind=kind, number=number, unit=point.unit))
    converted = convert(number, unit, point.unit)
    if converted is None:
        example = f"{number}" if point.unit == "1" else f"{number} {point.unit}"
        return Fault(
            *fault(
                "unit.of_point", number=number, unit=unit, have=dimension(unit),
                point=point.id, want=dimension(point.unit), example=example,
            )
        )  # fmt: skip
    if unit == point.unit:
        return number
    rounded = float(f"{converted:.12g}")  # 1.1 bar is 110 kPa, not 110.00000000000001
    return int(rounded) if rounded.is_integer() else rounded


class Span(NamedTuple):
    """An interval of numbers; the flags say whether each end belongs to it."""

    low: float
    low_in: bool
    high: float
    high_in: bool


def reach(op: str, limit: float) -> list[Span]:
    """The numbers for which `number <op> limit` is true."""
    below, above = Span(-math.inf, False, limit, False), Span(limit, False, math.inf, False)  # noqa: FBT003 -- ends of an interval
    match op:
        case "<":
            return [below]
        case ">":
            return [above]
        case "<=":
            return [below._replace(high_in=True)]
        case ">=":
            return [above._replace(low_in=True)]
        case "!=":
            return [below, above]
    return [Span(limit, True, limit, True)]  # noqa: FBT003 -- as above


def span_of(point: Point) -> Span:
    """The numbers that a good reading of `point` can have."""
    low = -math.inf if point.min is None else point.min
    high = math.inf if point.max is None else point.max
    return Span(low, True, high, True)  # noqa: FBT003 -- as above


def common(*spans: Span) -> bool:
    """Some number belongs to all of `spans`."""
    low, low_out = max((span.low, not span.low_in) for span in spans)
    high, high_in = min((span.high, span.high_in) for span in spans)
    return low < high or (low == high and not low_out and high_in)


def near_unit(word: str) -> Said:
    known = [*UNITS, *SPELLINGS]
    same = [unit for unit in known if unit.lower() == word.lower()]
    near = same or difflib.get_close_matches(word, known, n=1)
    return text_("suggest.near", near=near[0]) if near else text_("unit.examples")


def dimension(unit: str) -> Said:
    """What a number in `unit` is: `a voltage`."""
    return text_(f"dimension.{UNITS[unit].dimension}")
