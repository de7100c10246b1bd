"""GATT characteristics: where a point stands in a connected device, what its bytes mean. Pure.

`at: {service: "180f", characteristic: "2a19", type: u8}`; numbers are little-endian (Bluetooth Core
Specification 5.4, Vol 3, Part G, 2.4). `byte` counts from 0 into the value. `match` (hex): the point
is only told by values that begin with these bytes.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from drivers.ble.place import NO_READING, OUT_OF_RANGE, SILENT_POINT, UNKNOWN_TEXT, AtError
from gateway.errors import BadData
from gateway.model import Level, Quality, Value
from gateway.profile import Point, Profile, Vector
from gateway.words.text import fault

DIALECT = "gatt"
MAX_VALUE = 512  # bytes of an attribute (Core 5.4, Vol 3, Part F, 3.2.9)
_BASE = "-0000-1000-8000-00805f9b34fb"  # Core 5.4, Vol 3, Part B, 2.5.1
_SHORT = re.compile(r"[0-9a-f]{4}|[0-9a-f]{8}")
_LONG = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_KEYS = ("service", "characteristic", "type", "byte", "match")
# Of these keys a characteristic has no use: its numbers are little-endian and complete.
_UNUSED = ("unit_from", "units", "contested", "shared", "bits", "formula")

Fault = tuple[tuple[str | int, ...], str, str]  # (path, what, fix)

TOO_SHORT = Quality(Level.BAD, "too_short")


class Type(StrEnum):
    BOOL = "bool"  # not 0
    U8 = "u8"
    I8 = "i8"
    U16 = "u16"
    I16 = "i16"
    U32 = "u32"
    I32 = "i32"
    TEXT = "text"  # UTF-8 to the end of the value

    @property
    def size(self) -> int:
        """Bytes; 0 for a text."""
        return {"bool": 1, "text": 0}.get(self.value) or int(self.value[1:] or 0) // 8

    @property
    def signed(self) -> bool:
        return self.value.startswith("i")


class Place(NamedTuple):
    service: str  # UUIDs of 128 bits, lower case
    characteristic: str
    type: Type
    byte: int = 0
    match: bytes = b""


class Write(NamedTuple):
    """What a device is told after every connect, e.g. to send the alerts that are unread."""

    service: str
    characteristic: str
    value: bytes


def uuid_of(value: object) -> str:
    """The UUID of 128 bits for a short or a long one. Raises AtError."""
    text = value.lower() if isinstance(value, str) else ""
    if _LONG.fullmatch(text):
        return text
    if _SHORT.fullmatch(text):
        return f"{text:>08}{_BASE}"
    raise AtError(*fault("gatt.uuid", value=repr(value)))


def place_of(at: object) -> Place:
    """Raises AtError."""
    if not isinstance(at, dict):
        raise AtError(*fault("gatt.place", at=repr(at)))
    unknown = [key for key in at if key not in _KEYS]
    if unknown:
        raise AtError(*fault("gatt.key", key=unknown[0], known=list(_KEYS)))
    if at.get("type") not in list(Type):
        raise AtError(*fault("gatt.type", type=repr(at.get("type")), known=[*map(str, Type)]))
    byte = at.get("byte", 0)
    if not isinstance(byte, int) or isinstance(byte, bool) or not 0 <= byte < MAX_VALUE:
        raise AtError(*fault("gatt.byte", byte=repr(byte), last=MAX_VALUE - 1))
    uuids = uuid_of(at.get("service")), uuid_of(at.get("characteristic"))
    return Place(*uuids, Type(at["type"]), byte, _hex(at.get("match", ""), "match"))


def on_connect(profile: Profile) -> list[Write]:
    """`link: {on_connect: [...]}`: what is written after every connect, in order. Raises AtError."""
    listed = profile.link.get("on_connect", [])
    keys = {"service", "characteristic", "value"}
    if not isinstance(listed, list) or not all(isinstance(x, dict) and set(x) == keys for x in listed):  # fmt: skip
        raise AtError(*fault("gatt.writes"))
    return [
        Write(uuid_of(x["service"]), uuid_of(x["characteristic"]), _hex(x["value"], "value"))
        for x in listed
    ]


def places(profile: Profile) -> dict[str, Place]:
    """By point; those that the gateway tells itself have none."""
    return {point.id: place_of(point.at) for point in profile.points if point.at is not None}


def read(
    profile: Profile, where: Mapping[str, Place], characteristic: str, value: bytes
) -> tuple[dict[str, Value], dict[str, Quality]]:
    """What a value of one characteristic tells: values and quality as in `Sample`; never raises."""
    values: dict[str, Value] = {}
    quality: dict[str, Quality] = {}
    for name, place in where.items():
        if place.characteristic != characteristic or not value.startswith(place.match):
            continue
        try:
            values[name] = _judged(profile.by_id[name], _raw(place, value[:MAX_VALUE]))
        except _Bad as bad:
            quality[name] = bad.quality
    return values, quality


def encode(place: Place, raw: Value) -> bytes:
    """The bytes of a write. Raises BadData for what the type cannot hold."""
    if place.type is Type.TEXT:
        return str(raw).encode()
    try:
        return int(raw).to_bytes(place.type.size, "little", signed=place.type.signed)
    except (ValueError, OverflowError) as error:
        raise BadData(f"{raw!r} is no {place.type}") from error


def check_profile(profile: Profile) -> Iterable[Fault]:
    """Every `at`, the writes at connect, the point for a lost link, and the vectors."""
    try:
        on_connect(profile)
    except AtError as error:
        yield ("link", "on_connect"), error.what, error.fix
    lost = profile.by_id.get(SILENT_POINT)
    if lost is None or lost.at is not None:
        yield ("points",), *fault("gatt.no_gone", id=SILENT_POINT)
    faults = [fault for i, point in enumerate(profile.own_points) for fault in _check(i, point)]
    yield from faults
    for index, command in enumerate(profile.commands):
        try:
            place_of(command.at)
        except AtError as error:
            yield ("commands", index, "at"), error.what, error.fix
    if not faults:
        for index, vector in enumerate(profile.vectors):
            yield from _run(profile, index, vector)


class _Bad(Exception):  # noqa: N818 -- no error: a quality on its way out
    def __init__(self, quality: Quality) -> None:
        self.quality = quality


def _hex(value: object, key: str) -> bytes:
    try:
        return bytes.fromhex(value if isinstance(value, str) else "?")
    except ValueError:
        raise AtError(*fault("gatt.hex", key=key, value=repr(value))) from None


def _raw(place: Place, value: bytes) -> Value:
    if place.type is Type.TEXT:
        return value[place.byte :].decode(errors="replace").rstrip("\0")
    part = value[place.byte : place.byte + place.type.size]
    if len(part) < place.type.size:
        raise _Bad(TOO_SHORT)
    number = int.from_bytes(part, "little", signed=place.type.signed)
    return number != 0 if place.type is Type.BOOL else number


def _judged(point: Point, raw: Value) -> Value:
    if isinstance(raw, bool | str):
        return raw
    if raw in point.sentinels:
        raise _Bad(NO_READING)
    if point.enum is not None:
        text = point.enum.get(str(raw))
        if text is None:
            raise _Bad(UNKNOWN_TEXT)
        return text
    exact = point.scale * int(raw) + point.offset
    value = int(exact) if exact == int(exact) else float(exact)
    if (point.min is not None and value < point.min) or (
        point.max is not None and value > point.max
    ):
        raise _Bad(OUT_OF_RANGE)
    return value


def _check(index: int, point: Point) -> Iterable[Fault]:
    if point.at is None:
        if point.id != SILENT_POINT:
            yield ("points", index, "at"), *fault("gatt.no_at")
        return
    try:
        place_of(point.at)
    except AtError as error:
        yield ("points", index, "at"), error.what, error.fix
    for key in _UNUSED:
        if getattr(point, key):
            named = "scale" if key == "formula" else key
            yield ("points", index, named), *fault("gatt.no_use", key=named)


def _run(profile: Profile, index: int, vector: Vector) -> Iterable[Fault]:
    """`request` of a vector is the characteristic, `response` its value."""
    at = ("vectors", index)
    try:
        characteristic = uuid_of(vector.request)
        value = _hex(vector.response, "response")
    except AtError as error:
        yield at, error.what, error.fix
        return
    values, _quality = read(profile, places(profile), characteristic, value)
    if values != vector.values:
        wanted = dict(vector.values)
        wrong = fault("vector.decodes", name=vector.name, values=values, wanted=wanted)
        yield (*at, "values"), *wrong


def subscribed(where: Mapping[str, Place]) -> Sequence[tuple[str, str]]:
    """(service, characteristic) of all points, each once, in their order."""
    return list(dict.fromkeys((p.service, p.characteristic) for p in where.values()))
