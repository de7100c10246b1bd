"""The texts of a test case: moments, readings, series of values. Pure."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from gateway.amount import SECONDS
from gateway.document import suggest
from gateway.model import Value
from gateway.point import Point
from gateway.words.text import fault
from gateway.words.text import text as text_
from rules.kinds import numeric, quantity
from rules.quantity import Fault, in_unit_of
from rules.select import DeviceView
from rules.tree import RuleError

SECOND = 1_000_000_000
MAX_SERIES = 100_000  # values: a day of one in a second
BAD = "bad"  # written for a point that could not be read

_PART = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|[smhd])")
_MOMENT = re.compile(rf"\+?(?:{_PART.pattern})+")
_READING = re.compile(r"\s*([^\s=]+)\s*=\s*(.*?)\s*")
_REPEAT = re.compile(r"(-?[0-9.]+|[a-z_]+)(?:([+-][0-9.]+))?x([0-9]{1,6})")


class Given(NamedTuple):
    """What a device says of one point; `value` None: it could not be read."""

    device: str
    point: str
    value: Value | None


def moment_ns(value: object) -> int:
    """Of `+8.2s` or `+1h30m`: nanoseconds after the start of the case. Raises RuleError."""
    text = value.strip() if isinstance(value, str) else repr(value)
    if not _MOMENT.fullmatch(text):
        raise RuleError(*fault("case.moment", value=text), 0, len(text))
    return sum(
        round(float(number) * SECONDS[unit] * SECOND) for number, unit in _PART.findall(text)
    )


def shown(ns: int) -> str:
    """The other way round: +8.2s, +1h0m30s."""
    seconds, rest = divmod(ns, SECOND)
    hours, minutes, left = seconds // 3600, seconds % 3600 // 60, seconds % 60
    fraction = f"{rest / SECOND:.9f}".rstrip("0")[1:].rstrip(".") if rest else ""
    head = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"+{head}{left}{fraction}s"


def reading(text: str, devices: Mapping[str, DeviceView]) -> Given:
    """Of `smoke-1.alarm.smoke = true`. Raises RuleError."""
    match = _READING.fullmatch(text)
    if match is None:
        raise RuleError(*fault("case.reading"), 0, len(text))
    device, point = place(match[1], devices, match.start(1))
    try:
        return Given(device, point.id, value_of(match[2], point, bad=True))
    except RuleError as error:
        raise RuleError(error.what, error.fix, match.start(2), match.end(2)) from None


def place(name: str, devices: Mapping[str, DeviceView], at: int = 0) -> tuple[str, Point]:
    """The device and the point of `smoke-1.alarm.smoke`. Raises RuleError."""
    device, _, point = name.partition(".")
    end = at + len(name)
    if device not in devices:
        unknown = fault("value.no_device", name=device, fix=suggest(device, devices))
        raise RuleError(*unknown, at, at + len(device))
    known = devices[device].profile.by_id
    if point not in known:
        profile = devices[device].profile.profile
        none = fault("case.point", point=point, device=device, profile=profile, fix=suggest(point, known))  # fmt: skip
        raise RuleError(*none, at + len(device) + 1, end)
    return device, known[point]


def value_of(written: object, point: Point, *, bad: bool = False) -> Value | None:
    """`written` as the engine has it: in the unit of the point. With `bad` None for `bad`.

    Raises RuleError.
    """
    text = str(written).lower() if isinstance(written, bool) else str(written)
    if point.enum is not None:
        if text in point.enum.values():
            return text
        wanted = text_("hint.texts", texts=list(point.enum.values()))
    elif numeric(point):
        number = _number(text, point)
        if number is not None:
            return number
        quantity_ = text_("hint.quantity", unit=point.unit)
        wanted = text_("hint.number") if point.unit == "1" else quantity_
    else:
        if text in {"true", "false"}:
            return text == "true"
        wanted = text_("value.state")
    if bad and text == BAD:
        return None
    raise RuleError(*fault("case.value", value=text, point=point.id, fix=wanted), 0, len(text))


def _number(text: str, point: Point) -> int | float | None:
    try:
        found = quantity(text)
    except RuleError as error:
        raise RuleError(error.what, error.fix, 0, len(text)) from None
    if found is None:
        return None
    number = in_unit_of(point, *found)
    if isinstance(number, Fault):
        raise RuleError(*number, 0, len(text))
    if not (point.min is None or number >= point.min) or not (point.max is None or number <= point.max):  # fmt: skip
        raise RuleError(*fault("case.outside", value=text, point=point.id, bad=BAD), 0, len(text))
    return number


def series(text: str, point: Point, unit: str) -> list[tuple[int, Value | None]]:
    """`0x5 1+2x10 _x3 stale`: five zeros; 1, 3, 5, ... ten of them; three times nothing; once BAD.

    What is there is given with its number from 0. Raises RuleError.
    """
    found: list[tuple[int, Value | None]] = []
    number = 0
    for match in re.finditer(r"\S+", text):
        try:
            run, count = _run(match[0], point, unit)
        except RuleError as error:
            raise RuleError(error.what, error.fix, match.start(), match.end()) from None
        found += enumerate(run, number)
        number += count
        if number > MAX_SERIES:
            many = fault("case.many", number=number, most=MAX_SERIES)
            raise RuleError(*many, match.start(), match.end())
    return found


def _run(word: str, point: Point, unit: str) -> tuple[list[Value | None], int]:
    """One part of a series: its values, none where nothing comes, and how many places it takes."""
    match = _REPEAT.fullmatch(word)
    first, step, count = (match[1], match[2], int(match[3])) if match else (word, None, 1)
    if count > MAX_SERIES:
        raise RuleError(*fault("case.many", number=count, most=MAX_SERIES), 0, 0)
    if first == "_":
        return [], count
    if first in {"stale", BAD}:
        return [None] * count, count
    if step is None:
        return [value_of(f"{first} {unit}".strip(), point)] * count, count
    try:
        begin, each = float(first), float(step)
    except ValueError:
        raise RuleError(*fault("case.step", word=word), 0, 0) from None
    numbers = (f"{begin + index * each:.9f}".rstrip("0").rstrip(".") for index in range(count))
    return [value_of(f"{number} {unit}".strip(), point) for number in numbers], count
