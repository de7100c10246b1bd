"""The conditions of alarms in profiles: `<point> <op> <value>`, or a point alone.

The point may be an element of an array, `fire.device[17]`, or each of them, `fire.device[*]`. The
value is a number with its unit, `limit.<name>` (a number that each device gives), a text, true or
false. A point alone means: anything but false and 0.
"""

import re
from typing import NamedTuple

from pydantic_core import PydanticCustomError

from rules.quantity import OPERATORS, fault_at, quantity_at, skip

_EXAMPLE = "write e.g. fire.device[*] == fire, or water.level > limit.high"

_POINT = re.compile(
    r"(?:it\.)?(?P<name>[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*)(?P<index>\[(?:\*|[0-9]{1,6})\])?(?![\w.\[])"
)
_LIMIT = re.compile(r"limit\.([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*)(?![\w.])")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_WORD = re.compile(r"[^\W\d][\w-]*")
_NUMBER = re.compile(r"-?[0-9]")
_LATER = re.compile(r"(?:and|or|not|in)(?![\w.])|&&|\|\||[-+*/(!]")


class Number(NamedTuple):
    """As written; `unit` is a UCUM code, None when left out."""

    number: int | float
    unit: str | None


class Limit(NamedTuple):
    """A number that the section of each device gives."""

    name: str


Operand = Number | Limit | str | bool


class Condition(NamedTuple):
    """`element` is `[*]`, `[17]` or nothing."""

    point: str
    element: str
    op: str
    operand: Operand

    @property
    def every(self) -> bool:
        """For each element of the array."""
        return self.element == "[*]"


def parse(text: str) -> Condition:
    """Raises PydanticCustomError that names the character where it fails."""
    text = text.rstrip()
    at = skip(text, 0)
    point = _POINT.match(text, at)
    if later := _later(text, at):
        raise later
    if point is None:
        raise fault_at(text, at, "a condition begins with a point", _EXAMPLE)
    name, index = point["name"], point["index"] or ""
    at = skip(text, point.end())
    if at == len(text):
        return Condition(name, index, "!=", operand=False)
    op = next((op for op in ("==", "!=", "<=", ">=", "<", ">") if text.startswith(op, at)), None)
    if op is None:
        if text.startswith("=", at):
            raise fault_at(text, at, "'=' compares nothing", "use '=='")
        fix = f"write one of {' '.join(OPERATORS)} after the point"
        raise _later(text, at) or fault_at(text, at, "no comparison", fix)
    operand, end = _operand(text, skip(text, at + len(op)), op)
    end = skip(text, end)
    if end < len(text):
        raise _later(text, end) or fault_at(text, end, "not understood", "end the condition there")
    if isinstance(operand, str | bool) and op not in {"==", "!="}:
        fix = "write == or !=, or compare with a number"
        raise fault_at(text, at, f"'{op}' with {operand!r}", fix)
    return Condition(name, index, op, operand)


def _operand(text: str, at: int, op: str) -> tuple[Operand, int]:
    if _NUMBER.match(text, at):
        number = quantity_at(text, at)
        return Number(number.number, number.unit), number.end
    if limit := _LIMIT.match(text, at):
        return Limit(limit[1]), limit.end()
    if quoted := _QUOTED.match(text, at):
        return quoted[1] if quoted[2] is None else quoted[2], quoted.end()
    if word := _WORD.match(text, at):
        if text.startswith(".", word.end()):
            what = "comparing two points is not in this version"
            raise fault_at(text, at, what, "compare with a value")
        return {"true": True, "false": False}.get(word[0], word[0]), word.end()
    fix = "write a number with its unit, limit.NAME, a text, true or false"
    raise _later(text, at) or fault_at(text, at, f"no value after '{op}'", fix)


def _later(text: str, at: int) -> PydanticCustomError | None:
    """Of the rule language, not of this version."""
    later = _LATER.match(text, at)
    if later is None:
        return None
    what = f"'{later[0]}' is not in this version"
    return fault_at(text, at, what, "write one comparison; several are several alarms")
