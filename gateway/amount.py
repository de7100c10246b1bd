"""Durations and sizes as people write them, with a unit: `10s`, `64MB`."""

import re
from collections.abc import Mapping

from gateway.words.text import Said, fault

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}  # fmt: skip
_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([A-Za-z]+)$")


class AmountError(ValueError):
    """Not a number with one of the units; `what` is wrong, `fix` mends it."""

    def __init__(self, what: Said, fix: Said) -> None:
        super().__init__(f"{what}: {fix}")
        self.what = what
        self.fix = fix


def duration(value: object) -> float:
    """Seconds of `10s`, `500ms`, `1m`, `2h`, `7d`. Raises AmountError."""
    return _quantity(value, SECONDS, "10s")


def size(value: object) -> int:
    """Bytes of `64MB` (decimal) or `64MiB` (binary). Raises AmountError."""
    return int(_quantity(value, _BYTES, "64MB"))


def _quantity(value: object, units: Mapping[str, float], example: str) -> float:
    match = _QUANTITY.match(value.strip()) if isinstance(value, str) else None
    if match and match[2] in units:
        return float(match[1]) * units[match[2]]
    if isinstance(value, int | float) and not isinstance(value, bool):
        first = next(iter(units))
        raise AmountError(*fault("value.no_unit", value=value, unit=first, example=example))
    unknown = fault("value.quantity", value=repr(value), units=list(units), example=example)
    raise AmountError(*unknown)
