"""Numbers with a unit that a device's section gives: limits that alarms of its profile ask for."""

import re
from typing import NamedTuple

from gateway.document import suggest
from gateway.settings import wrong
from gateway.units import SPELLINGS, UNITS, code_of
from gateway.words.text import fault

_QUANTITY = re.compile(r"(-?[0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([^\s0-9].*)?$")


class SiteLimit(NamedTuple):
    """`unit` is a UCUM code, None when left out."""

    number: int | float
    unit: str | None = None


def read_limit(value: object) -> SiteLimit:
    """`4.5 m`, or a number of a point without unit. Raises PydanticCustomError."""
    if isinstance(value, SiteLimit):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return SiteLimit(value)
    match = _QUANTITY.match(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise wrong(*fault("setting.limit", value=repr(value)))
    number = float(match[1]) if "." in match[1] else int(match[1])
    if match[2] is None:
        return SiteLimit(number)
    unit = code_of(match[2].strip())
    if unit is None:
        written = match[2].strip()
        fix = suggest(written, [*UNITS, *SPELLINGS])
        raise wrong(*fault("unit.unknown", unit=written, fix=fix))
    return SiteLimit(number, unit)
