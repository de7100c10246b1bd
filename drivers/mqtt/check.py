"""Does a profile with `topics` fit together? Every topic, place and command; then its vectors. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from pydantic import ValidationError

from drivers.mqtt import address, template
from drivers.mqtt.address import Fault, Lamp, Place, Target, Topic
from drivers.mqtt.mapped import Decoder, decoders
from drivers.mqtt.publish import mapped_command
from drivers.mqtt.template import TOPIC_ID
from gateway.document import suggest
from gateway.errors import BadData
from gateway.model import Command, Value
from gateway.profile import CommandSpec, Limits, Point, Profile, Vector
from gateway.words.text import fault

_POLLED = ("request", "variant", "variables", "decisions", "exception", "refused")
_OWN = frozenset({"alarm.silent"})  # worked out by the gateway: they have no place
_VECTOR_ID = str(UUID(int=0))


def check_mapped(profile: Profile) -> Iterator[Fault]:
    """The vectors are run when all the rest is right."""
    found = list(_parts(profile))
    yield from found
    if found:
        return
    if not profile.vectors:
        yield ("vectors",), *fault("vector.none_text")
    made = decoders(profile)
    for index, vector in enumerate(profile.vectors):
        yield from _vector(profile, made, ("vectors", index), vector)


def unused_sections(profile: Profile, more: Iterable[str] = ()) -> Iterator[Fault]:
    """Sections that have a meaning for polled devices only."""
    keys = {"link", "identity", "vars", "arrays", "variants", *more}
    names = {"vars": "variables"}
    for key in sorted(keys):
        if getattr(profile, names.get(key, key)):
            yield (key,), *fault("map.no_use", key=key)
    if profile.limits != Limits():
        yield ("limits",), *fault("map.no_use", key="limits")


def lamp_faults(at: tuple[str | int, ...], value: object, profile: Profile) -> Iterator[Fault]:
    """What is wrong with the `at` of an alarm point that is worked out."""
    try:
        place = address.parse_place(value)
    except ValidationError as error:
        yield from address.faults(error, at, value)
        return
    if isinstance(place, Lamp):
        for key, name in (("lit", place.lit), ("power", place.power)):
            if name not in profile.by_id:
                fix = suggest(name, profile.by_id)
                yield (*at, key), *fault("map.point", name=name, fix=fix)


def _parts(profile: Profile) -> Iterator[Fault]:
    yield from unused_sections(profile, ("defaults",))
    topics: dict[str, Topic] = {}
    for name, value in profile.topics.items():
        try:
            topics[name] = address.parse_topic(value)
        except ValidationError as error:
            yield from address.faults(error, ("topics", name), value)
    for name, topic in topics.items():
        yield from _topic(("topics", name), topic, profile)
    for index, point in enumerate(profile.own_points):
        yield from _point(("points", index), point, topics, profile)
    for index, command in enumerate(profile.commands):
        yield from _command(("commands", index), command, profile)


def _names(at: tuple[str | int, ...], text: str, known: Iterable[str]) -> Iterator[Fault]:
    for name in template.parts(text):
        if name not in known:
            yield at, *fault("map.capture", name=name)


def _topic(at: tuple[str | int, ...], topic: Topic, profile: Profile) -> Iterator[Fault]:
    yield from _names((*at, "topic"), topic.topic, (*profile.captures, TOPIC_ID))
    levels = topic.topic.split("/")
    if f"{{{TOPIC_ID}}}" not in levels:
        yield (*at, "topic"), *fault("map.own_level")
    elif sum(TOPIC_ID in level for level in levels) > 1:
        yield (*at, "topic"), *fault("map.two_levels")
    if topic.payload != "json" and (topic.base64 or topic.id or topic.identity or topic.only):
        yield at, *fault("map.no_json")


def _point(
    at: tuple[str | int, ...], point: Point, topics: dict[str, Topic], profile: Profile
) -> Iterator[Fault]:
    for key in ("bits", "unit_from", "units", "contested", "shared"):
        if getattr(point, key):
            yield (*at, key), *fault("map.no_use", key=key)
    if point.formula is not None:
        yield (*at, "scale"), *fault("map.formula")
    if point.scale == 0:
        yield (*at, "scale"), *fault("modbus.scale")
    if point.at is None:
        if point.id not in _OWN:
            yield at, *fault("map.no_place")
        return
    if isinstance(point.at, dict) and "lit" in point.at:
        yield from lamp_faults((*at, "at"), point.at, profile)
        return
    try:
        place = address.parse_place(point.at)
    except ValidationError as error:
        yield from address.faults(error, (*at, "at"), point.at)
        return
    if isinstance(place, Place):
        yield from _place((*at, "at"), place, point, topics)


def _place(
    at: tuple[str | int, ...], place: Place, point: Point, topics: dict[str, Topic]
) -> Iterator[Fault]:
    for name in place.topic:
        if name not in topics:
            unknown = fault("map.no_topic", name=name, fix=suggest(name, topics))
            yield (*at, "topic"), *unknown
            continue
        topic = topics[name]
        if topic.binary is not (place.byte is not None):
            yield at, *fault("map.bytes" if topic.binary else "map.no_bytes", name=name)
        elif topic.payload == "json" and not topic.binary and place.path is None:
            yield at, *fault("map.no_path")
        elif topic.payload == "text" and place.path is not None:
            yield (*at, "path"), *fault("map.text_path")
    if place.map and point.enum is not None:
        yield (*at, "map"), *fault("map.both")
    if place.bit is not None and place.field and place.bit >= 8 * place.field.size:
        yield (*at, "bit"), *fault("map.bit", type=place.type, bit=place.bit)
    if place.bit is not None and place.type[0] == "f":
        yield (*at, "bit"), *fault("map.float_bit")


def _command(at: tuple[str | int, ...], spec: CommandSpec, profile: Profile) -> Iterator[Fault]:
    if spec.at is None:
        yield at, *fault("map.no_target")
        return
    try:
        target = address.parse_target(spec.at)
    except ValidationError as error:
        yield from address.faults(error, (*at, "at"), spec.at)
        return
    known = (*profile.captures, TOPIC_ID)
    yield from _names((*at, "at", "topic"), target.topic, known)
    yield from _names((*at, "at", "group"), target.group or "", (*known, "group"))
    extra = ("value", "raw", "id", *(["base64"] if target.bytes is not None else []))
    yield from _names((*at, "at", "payload"), target.payload, (*known, *extra))
    yield from _bytes(at, spec, target, profile)


def _bytes(
    at: tuple[str | int, ...], spec: CommandSpec, target: Target, profile: Profile
) -> Iterator[Fault]:
    """Both ends of the range must fit what is sent."""
    if target.bytes is not None and spec.range is None:
        yield at, *fault("map.range")
    for value in spec.range or ():
        try:
            _written(profile, spec.point, value)
        except ValueError as error:
            yield (*at, "at"), *fault("map.unsendable", value=value, why=error)


def _written(profile: Profile, point: str, value: Value) -> bytes:
    names = {name: name for name in (*profile.captures, TOPIC_ID)}
    command = Command(_VECTOR_ID, "", point, value, 0, "")
    return mapped_command(profile, names, command).payload


def _vector(
    profile: Profile, made: dict[str, Decoder], at: tuple[str | int, ...], vector: Vector
) -> Iterator[Fault]:
    for key in vector.model_fields_set & set(_POLLED):
        yield (*at, key), *fault("map.no_use", key=key)
    if (vector.text is None) is not bool(vector.response):
        yield at, *fault("map.payload")
        return
    try:
        payload = bytes.fromhex(vector.response) if vector.text is None else vector.text.encode()
    except ValueError:
        yield (*at, "response"), *fault("vector.hex")
        return
    if vector.command is not None:
        yield from _command_vector(profile, at, vector, payload)
    elif vector.topic not in made:
        unknown = fault("map.no_topic", name=vector.topic, fix=suggest(vector.topic, made))
        yield (*at, "topic"), *unknown
    else:
        yield from _message_vector(made[vector.topic], at, vector, payload)


def _message_vector(
    decoder: Decoder, at: tuple[str | int, ...], vector: Vector, payload: bytes
) -> Iterator[Fault]:
    try:
        values = decoder.read(payload).values
    except BadData as error:
        yield at, *fault("vector.unreadable", name=vector.name, why=error)
        return
    if values != vector.values:
        wanted = vector.values
        wrong = fault("vector.decodes", name=vector.name, values=values, wanted=wanted)
        yield (*at, "values"), *wrong


def _command_vector(
    profile: Profile, at: tuple[str | int, ...], vector: Vector, payload: bytes
) -> Iterator[Fault]:
    written: Sequence[tuple[str, Value]] = list(vector.values.items())
    if (
        len(written) != 1
        or vector.command not in profile.by_command
        or written[0][0] != vector.command
    ):
        yield (*at, "command"), *fault("map.command", known=list(profile.by_command))
        return
    try:
        found = _written(profile, *written[0])
    except ValueError as error:
        yield (*at, "values"), *fault("map.value", why=error)
        return
    if found != payload:
        other = fault("map.publishes", name=vector.name, found=found.decode())
        yield (*at, "text"), *other
