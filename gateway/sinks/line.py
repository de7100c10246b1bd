"""InfluxDB's line protocol: what its texts may be, how they are escaped, how values look. Pure.

Numbers are always written as floats: a field that is an integer in one line and a float in the next
is refused for the life of the shard.
"""

import math
from collections.abc import Iterator, Mapping

from gateway.driver import Device
from gateway.model import Value

# What we name the series by, and what InfluxDB itself takes as tag or column.
RESERVED = frozenset({"gateway", "device", "profile", "kind", "lane", "severity", "time"})

PROBE = "gateway_probe"  # measurement of lines that no working server refuses

# What a field can be; InfluxDB lets it be one of them only.
NUMBER, BOOLEAN, TEXT = "number", "boolean", "text"

_SPECIAL = str.maketrans({",": "\\,", "=": "\\=", " ": "\\ "})
_QUOTED = str.maketrans({'"': '\\"', "\\": "\\\\"})


def refuse(text: str) -> str | None:
    """Why `text` cannot be a tag key or value, None if it can. Empty values are left out, not refused.

    A newline would end the line, a backslash at the end would join the next tag; servers differ in
    what they make of other characters that cannot be printed.
    """
    if not text.isprintable():
        return f"{text!r} has a character that cannot be printed"
    return f"'{text}' ends with a backslash" if text.endswith("\\") else None


def faults(device: Device) -> Iterator[tuple[tuple[str, ...], str]]:
    """What of a configured device cannot be written: where below the device it stands, and why."""
    if why := refuse(device.profile.profile):
        yield ("profile",), why
    if "time" in device.profile.by_id:  # a field of that name is dropped without a word
        yield ("profile",), "its point 'time' is a name that InfluxDB uses itself"
    for key, value in device.section.tags.items():
        if why := _refuse_tag(key, value):
            yield ("tags", key), why


def _refuse_tag(key: str, value: str) -> str | None:
    if not key:
        return "a tag without a name"
    if key in RESERVED or key.startswith("_"):  # `_measurement` and `_field` are InfluxDB's own
        return f"'{key}' is a name that InfluxDB or the gateway uses itself"
    return refuse(key) or refuse(value)


def series(measurement: str, tags: Mapping[str, str]) -> str:
    """`measurement,tag=value,...` in the order given; empty values are left out.

    Raises ValueError for a text that cannot be written; a measurement with `#` in front would be
    taken for a comment and dropped with a success.
    """
    wrong = any(refuse(part) for part in (*tags, *tags.values())) or "" in tags
    if wrong or measurement.startswith("#") or not _is_name(measurement):
        raise ValueError(f"no series: {measurement!r} {dict(tags)!r}")
    pairs = [f",{k.translate(_SPECIAL)}={v.translate(_SPECIAL)}" for k, v in tags.items() if v]
    return measurement.translate(_SPECIAL) + "".join(pairs)


def text(value: str) -> str:
    """A string field; a newline in it is legal."""
    return f'"{value.translate(_QUOTED)}"'


def field(value: Value) -> str | None:
    """None for a number that a float cannot hold: it is left out as a BAD point is."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        number = float(value)
    except OverflowError:
        return None
    return repr(number) if math.isfinite(number) else None


def kind(value: Value) -> str:
    """What `field` writes it as."""
    if isinstance(value, str):
        return TEXT
    return BOOLEAN if isinstance(value, bool) else NUMBER


def field_key(point: str) -> str:
    """A field key. Raises ValueError for what no server takes; no profile has such a point name."""
    if not _is_name(point):
        raise ValueError(f"no field key: {point!r}")
    return point.translate(_SPECIAL)


def _is_name(name: str) -> bool:
    """Measurements and field keys have no way to write every backslash."""
    return bool(name) and refuse(name) is None and "\\" not in name
