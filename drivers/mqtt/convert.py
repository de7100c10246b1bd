"""From what stands in a message to the value of a point. Pure."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from drivers.mqtt import native
from gateway.model import Level, Quality, Value
from gateway.profile import Point, Profile

_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?\Z", re.ASCII)
_DECIMALS = 6  # of a scaled value: 254 * 0.3937007874 is 100
SENTINEL = Quality(Level.BAD, "sentinel")
NOT_A_NUMBER = Quality(Level.BAD, "not_a_number")
NO_READING = native.NO_READING

Read = tuple[Value | None, Quality | None]


@dataclass(frozen=True, slots=True)
class Conversion:
    """Of one point. `table` is from what is written to the value; None: numbers and truth as they are."""

    profile: Profile
    point: Point
    table: Mapping[str, Value] | None

    def __call__(self, raw: object) -> Read:
        """The value, if it may be shown, and what is to be said against it."""
        if raw is None:
            return None, NO_READING
        if self.table is not None:
            value = self.table.get(written(raw))
            return (None, native.UNKNOWN_TEXT) if value is None else self._judged(value)
        number = raw if self.point.kind in {"state", "event"} else _number(raw)
        if isinstance(number, bool) or not isinstance(number, int | float):
            return self._judged(number)
        if not math.isfinite(number) or number in self.point.sentinels:
            return None, SENTINEL if math.isfinite(number) else NOT_A_NUMBER
        return self._judged(self._scaled(number))

    def _scaled(self, number: float) -> float:
        scale, offset = self.point.scale, self.point.offset
        if (scale == 1 and not offset) or abs(number) > native.MAX_EXACT:
            return number
        exact = Decimal(str(number)) * scale + offset
        return int(exact) if exact == exact.to_integral_value() else round(float(exact), _DECIMALS)

    def _judged(self, value: object) -> Read:
        remark = native.judge(self.profile, self.point, value)
        if remark is not None and remark.level is Level.BAD:
            return None, remark
        return value if isinstance(value, bool | int | float | str) else None, remark


def unscaled(point: Point, value: float) -> int:
    """The whole number with which a device counts `value`, the nearest one. Raises ValueError."""
    if not point.scale:
        raise ValueError(f"the scale of {point.id} is 0")
    return round((Decimal(str(value)) - point.offset) / point.scale)


def written(value: object) -> str:
    """How a value is written as a key of `map` and `enum`: `true`, `3`, `2.5`, a text as it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, str | int | float) else ""


def _number(raw: object) -> object:
    """A number that is written as text is a number too."""
    if not isinstance(raw, str):
        return raw
    if not _NUMBER.match(raw):
        return raw
    return float(raw) if "." in raw else int(raw)
