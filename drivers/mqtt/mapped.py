"""Devices that do not speak the native dialect: a profile says where each point is. Pure.

A profile is made ready once, before the first message; a message then costs one parse and one
look-up for each point of its topic.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from drivers.mqtt import layout
from drivers.mqtt.address import Place, Topic, parse_place, parse_topic
from drivers.mqtt.convert import Conversion, written
from drivers.mqtt.native import MAX_ID, MAX_PAYLOAD, MAX_TEXT, Reading
from drivers.mqtt.path import MISSING, Path, find, parse
from gateway.errors import BadData
from gateway.model import EMPTY, Level, Quality, Value
from gateway.profile import Point, Profile

TOO_SHORT = Quality(Level.BAD, "too_short")
NOTHING = Reading({}, EMPTY, None, None)


class Condition(NamedTuple):
    """The value at `path` is written as `text`."""

    path: Path
    text: str

    def holds(self, message: object) -> bool:
        found = find(message, self.path)
        return found is not MISSING and written(found) == self.text


class Entry(NamedTuple):
    """One point on one topic: at a path, in a field, or the whole payload."""

    name: str
    path: Path
    field: layout.Field | None
    zero: tuple[Condition, ...]
    convert: Conversion


@dataclass(frozen=True, slots=True)
class Decoder:
    """Reads one topic of a profile."""

    topic: Topic
    entries: tuple[Entry, ...]
    only: tuple[Condition, ...]
    base64: Path
    id: Path
    identity: Path

    def read(self, payload: bytes) -> Reading:
        """What one message says. Raises BadData(reason), never anything else."""
        message, binary = self._open(payload)
        if not all(condition.holds(message) for condition in self.only):
            return NOTHING
        values: dict[str, Value] = {}
        quality: dict[str, Quality] = {}
        for entry in self.entries:
            value, remark = _read(entry, message, binary)
            if value is not None:
                values[entry.name] = value
            if remark is not None:
                quality[entry.name] = remark
        source_id = _source_id(find(message, self.id)) if self.id else None
        sender = _sender(find(message, self.identity)) if self.identity else None
        return Reading(values, quality, source_id, None, (), sender)

    def _open(self, payload: bytes) -> tuple[object, bytes]:
        """The message and, for a binary topic, its bytes."""
        if len(payload) > MAX_PAYLOAD:
            raise BadData("too_large")
        if self.topic.payload == "bytes":
            return None, payload
        if self.topic.payload == "text":
            return _text(payload), b""
        try:
            message = orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            raise BadData("not_json") from error
        return message, self._bytes(message) if self.base64 else b""

    def _bytes(self, message: object) -> bytes:
        text = find(message, self.base64)
        if text is MISSING or text is None:  # LoRaWAN: a frame without payload
            return b""
        if not isinstance(text, str):
            raise BadData("not_base64")
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadData("not_base64") from error


def decoders(profile: Profile) -> dict[str, Decoder]:
    """By name of the topic. Raises ValidationError for what `gateway check` refuses."""
    topics = {name: parse_topic(value) for name, value in profile.topics.items()}
    found: dict[str, list[Entry]] = {name: [] for name in topics}
    for point in profile.points:
        for name, entry in entries(profile, point, topics):
            found[name].append(entry)
    return {name: _decoder(topic, found[name]) for name, topic in topics.items()}


def entries(
    profile: Profile, point: Point, topics: Mapping[str, Topic]
) -> Iterator[tuple[str, Entry]]:
    """Where the point is; nowhere, if the gateway works it out itself."""
    place = parse_place(point.at)
    if point.at is None or not isinstance(place, Place):
        return
    for name in place.topic:
        if name in topics:
            zero = tuple(Condition(parse(p), written(v)) for p, v in place.zero.items())
            steps = parse(place.path) if place.path is not None else ()
            convert = Conversion(profile, point, place.map or point.enum)
            yield name, Entry(point.id, steps, place.field, zero, convert)


def _decoder(topic: Topic, found: list[Entry]) -> Decoder:
    only = tuple(Condition(parse(path), written(value)) for path, value in topic.only.items())
    wanted = (topic.base64, topic.id, topic.identity)
    paths = [parse(text) if text is not None else () for text in wanted]
    return Decoder(topic, tuple(found), only, *paths)


def _read(entry: Entry, message: object, binary: bytes) -> tuple[Value | None, Quality | None]:
    if entry.field is not None:
        number = layout.read(entry.field, binary)
        return (None, TOO_SHORT) if number is None else entry.convert(number)
    if entry.zero and all(condition.holds(message) for condition in entry.zero):
        return 0, None
    raw = find(message, entry.path)
    return (None, None) if raw is MISSING else entry.convert(raw)


def _text(payload: bytes) -> str:
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise BadData("not_text") from error
    if len(text) > MAX_TEXT:
        raise BadData("too_large")
    return text


def _sender(value: object) -> str:
    """Where the profile knows the place, somebody must stand there."""
    if not isinstance(value, str) or not value:
        raise BadData("no_identity")
    return value


def _source_id(value: object) -> bytes | None:
    if value is MISSING or value is None:
        return None
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not 1 <= len(text) <= MAX_ID:
        raise BadData("bad_id")
    try:
        return text.encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair
        raise BadData("bad_id") from error
