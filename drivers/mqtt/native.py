"""The native dialect: what the payloads of our own MQTT devices mean. Pure.

A device publishes `{"id": "...", "time": "...", "values": {"light.level": 60}}` on its topics
`state` and `event`; the keys of `values` are the points of its profile, in the profile's units.
`id` (optional, 1 to 64 characters) is the same on every repeat of a message and never used again
for another one. `time` (optional) is ns since 1970 as decimal text, because a JSON number is not
exact. `device` (optional) is who sends it; unknown keys are ignored.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import orjson

from gateway.errors import BadData
from gateway.model import Command, Level, Quality, Value
from gateway.profile import Point, Profile

MAX_PAYLOAD = 65_536  # bytes, looked at before parsing; a full report of a device is below 2 KB
MAX_POINTS = 256  # keys of `values`: no device model comes near
MAX_ID = 64  # characters
MAX_TEXT = 64  # characters of a text value
MAX_EXACT = 2**53  # beyond, a JSON number is not exact (RFC 8259, 6)

_TIME = re.compile(r"[0-9]{1,19}\Z", re.ASCII)
_ONLINE = {b"1": True, b"true": True, b"0": False, b"false": False}

WRONG_TYPE = Quality(Level.BAD, "wrong_type")
NO_READING = Quality(Level.BAD, "no_reading")
NOT_EXACT = Quality(Level.BAD, "not_exact")
OUT_OF_RANGE = Quality(Level.BAD, "out_of_range")
UNKNOWN_TEXT = Quality(Level.BAD, "unknown_text")
IMPLAUSIBLE = Quality(Level.UNCERTAIN, "implausible")
RETAINED = Quality(Level.UNCERTAIN, "retained")


class Reading(NamedTuple):
    """What one payload says; `values` and `quality` as in `Sample`.

    `time_ns` is the device's own time, None if it gave none. `ignored` names, by reason, what
    was left out without refusing the rest. `sender` is who the payload says it is from.
    """

    values: Mapping[str, Value]
    quality: Mapping[str, Quality]
    source_id: bytes | None
    time_ns: int | None
    ignored: tuple[str, ...] = ()
    sender: str | None = None


def decode(profile: Profile, payload: bytes) -> Reading:
    """Read a payload of `state` or `event`. Raises BadData(reason), never anything else.

    A value that its point cannot have is BAD with a reason; the other values count.
    """
    message = _object(payload)
    source_id = _source_id(message.get("id"))
    raw = message.get("values")
    if not isinstance(raw, dict) or not raw:
        raise BadData("no_values")
    if len(raw) > MAX_POINTS:
        raise BadData("too_many_values")
    values: dict[str, Value] = {}
    quality: dict[str, Quality] = {}
    ignored: list[str] = []
    for name, value in raw.items():
        point = profile.by_id.get(name)
        if point is None:
            ignored.append("unknown_point")
            continue
        remark = judge(profile, point, value)
        if remark is not None:
            quality[name] = remark
        if remark is None or remark.level is Level.UNCERTAIN:
            values[name] = value
    if not values and not quality:
        raise BadData("no_known_point")
    time_ns = _time_ns(message.get("time"))
    if time_ns is None and message.get("time") is not None:
        ignored.append("bad_time")
    sender = _sender(message.get("device"))
    return Reading(values, quality, source_id, time_ns, tuple(ignored), sender)


def retained(reading: Reading) -> Reading:
    """The same, as an old message that the broker kept: every point UNCERTAIN, and no id.

    Without the id a live repeat of the message still counts as the first one.
    """
    quality = {**reading.quality, **dict.fromkeys(reading.values, RETAINED)}
    return reading._replace(quality=quality, source_id=None)


def decode_online(payload: bytes) -> bool:
    """Read a payload of `online`: `1`, `0`, `true` or `false`. Raises BadData."""
    online = _ONLINE.get(payload)
    if online is None:
        raise BadData("bad_online")
    return online


def encode_command(command: Command) -> bytes:
    return orjson.dumps({"id": command.id, "values": {command.point: command.value}})


def encode_ack(source_id: bytes) -> bytes:
    """The application acknowledgement: the device may forget the message with this id."""
    return orjson.dumps({"id": source_id.decode()})


def _object(payload: bytes) -> dict[str, object]:
    if len(payload) > MAX_PAYLOAD:
        raise BadData("too_large")
    try:
        message = orjson.loads(payload)  # refuses NaN, infinity and more than 1,024 levels
    except orjson.JSONDecodeError as error:
        raise BadData("not_json") from error
    if not isinstance(message, dict):
        raise BadData("not_an_object")
    return message


def _source_id(value: object) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID:
        raise BadData("bad_id")
    return value.encode()


def _sender(value: object) -> str | None:
    if value is not None and not (isinstance(value, str) and 1 <= len(value) <= MAX_ID):
        raise BadData("bad_sender")
    return value


def _time_ns(value: object) -> int | None:
    """Decimal text that fits the signed 64 bits of a time stamp, else None."""
    if not isinstance(value, str) or not _TIME.match(value):
        return None
    time_ns = int(value)
    return time_ns if time_ns < 2**63 else None


def judge(profile: Profile, point: Point, value: object) -> Quality | None:
    """What is to be said against `value`; None if nothing."""
    if value is None:
        return NO_READING
    if point.enum is not None:
        return _judge_text(point.enum, value)
    if isinstance(value, int | float) and not isinstance(value, bool) and point.kind != "state":
        return _judge_number(profile, point, value)
    return None if _fits(point, value) else WRONG_TYPE


def _judge_text(enum: Mapping[str, str], value: object) -> Quality | None:
    if not isinstance(value, str):
        return WRONG_TYPE
    return None if value in enum.values() else UNKNOWN_TEXT


def _fits(point: Point, value: object) -> bool:
    """A state is true or false; an event may carry a text too (which key, which card)."""
    if isinstance(value, bool):
        return point.kind in {"state", "event"}
    return point.kind == "event" and isinstance(value, str) and len(value) <= MAX_TEXT


def _judge_number(profile: Profile, point: Point, value: float) -> Quality | None:
    if abs(value) > MAX_EXACT:
        return NOT_EXACT
    if point.integer and value != int(value):
        return WRONG_TYPE
    if not _within(value, point.min, point.max):
        return OUT_OF_RANGE
    limit = profile.plausible_by_id.get(point.id)
    if limit is not None and not _within(value, limit.min, limit.max):
        return IMPLAUSIBLE
    return None


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)
