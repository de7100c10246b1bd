"""Entry point of the MQTT driver; imports no MQTT library."""

from collections.abc import Iterable, Sequence

from pydantic import ValidationError

from drivers.mqtt.address import Fault
from drivers.mqtt.check import check_mapped, lamp_faults, unused_sections
from drivers.mqtt.dialect import captures, readers
from drivers.mqtt.native import decode
from drivers.mqtt.settings import MqttDevice, MqttLink, level_of
from gateway.clock import Clock
from gateway.document import suggest
from gateway.driver import Device, Driver, DriverSpec, Finding, LinkSection
from gateway.errors import BadData
from gateway.model import Severity
from gateway.profile import Point, Profile, Vector
from gateway.words.text import fault


def build(name: str, link: LinkSection, devices: Sequence[Device], clock: Clock) -> Driver:
    from drivers.mqtt.driver import MqttDriver  # noqa: PLC0415 -- a gateway without MQTT never imports its library

    if not isinstance(link, MqttLink):
        msg = f"{name}: {type(link).__name__} is no MqttLink"
        raise TypeError(msg)
    return MqttDriver(name, link, devices, clock)


def check(name: str, link: LinkSection, devices: Sequence[Device]) -> Iterable[Finding]:
    """Two devices cannot share topics; each has all parts of its own; an alarm at L1 is worth a word."""
    owners: dict[str, str] = {}
    for device in devices:
        section = device.section
        if not isinstance(section, MqttDevice):
            continue
        yield from _captures(device, section)
        for topic in _topics(device, section):
            owner = owners.setdefault(topic, device.id)
            if owner != device.id:
                same = fault("mqtt.topic", topic=topic, owner=owner, device=device.id)
                yield Finding("devices", device.id, ("topic_id",), *same)
                break
        yield from _check_level(device)
        if isinstance(link, MqttLink) and section.login == link.username:
            key = "user" if section.user is not None else "topic_id"
            ours = fault("mqtt.login", login=section.login, device=device.id)
            yield Finding("devices", device.id, (key,), *ours)


def _topics(device: Device, section: MqttDevice) -> list[str]:
    try:
        return [topic for topic, _reader in readers(device, section)]
    except ValidationError:  # the profile's faults are told where it stands
        return []


def _captures(device: Device, section: MqttDevice) -> Iterable[Finding]:
    wanted = device.profile.captures
    for name in section.captures.keys() - wanted.keys():
        fix = suggest(name, wanted)
        none = fault("mqtt.capture", profile=device.profile.profile, name=name, fix=fix)
        yield Finding("devices", device.id, ("captures", name), *none)
    for name, value in captures(device.profile, section).items():
        if not value:
            yield Finding("devices", device.id, ("topic_id",), *fault("mqtt.needs", name=name))


def _check_level(device: Device) -> Iterable[Finding]:
    vital = [name for name, how in device.profile.alarms.items() if how >= Severity.SAFETY]
    level = level_of(device)
    if level == "L3" and device.profile.dialect != "native":
        cannot = fault("mqtt.cannot_wait", profile=device.profile.profile)
        yield Finding("devices", device.id, ("delivery",), *cannot)
    elif vital and level == "L1":
        path = ("delivery",) if "delivery" in device.section.model_fields_set else ("profile",)
        yield Finding("devices", device.id, path, *fault("mqtt.level", point=vital[0]), note=True)


def check_profile(profile: Profile) -> Iterable[Fault]:
    """What the driver would ignore or could not use, and the vectors."""
    if profile.dialect is None and profile.topics:
        yield from check_mapped(profile)
        return
    if profile.dialect != "native":
        if profile.dialect is None:
            yield ("dialect",), *fault("native.none")
        else:
            yield ("dialect",), *fault("native.dialect", dialect=profile.dialect)
        return
    yield from unused_sections(profile, ("topics", "captures", "defaults"))
    for index, point in enumerate(profile.own_points):
        yield from _unused_keys(index, point, profile)
    for index, command in enumerate(profile.commands):
        if command.at is not None:
            yield ("commands", index, "at"), *fault("native.addresses")
    if not profile.vectors:
        yield ("vectors",), *fault("vector.none_payload")
    for index, vector in enumerate(profile.vectors):
        yield from _run(profile, index, vector)


def _unused_keys(index: int, point: Point, profile: Profile) -> Iterable[Fault]:
    at = ("points", index)
    if isinstance(point.at, dict) and "lit" in point.at:
        yield from lamp_faults((*at, "at"), point.at, profile)
    elif point.at is not None:
        yield (*at, "at"), *fault("native.names")
    for key in ("bits", "unit_from", "units", "contested", "shared"):
        if getattr(point, key):
            yield (*at, key), *fault("native.no_use", key=key)
    if point.formula is not None:
        yield (*at, "scale"), *fault("native.unit")
    if point.scale != 1 or point.offset != 0:
        key = "scale" if point.scale != 1 else "offset"
        yield (*at, key), *fault("native.unit")
    if point.sentinels:
        yield (*at, "sentinels"), *fault("native.null")


def _run(profile: Profile, index: int, vector: Vector) -> Iterable[Fault]:
    at = ("vectors", index)
    if vector.request is not None:
        yield (*at, "request"), *fault("native.asked")
    for key in vector.model_fields_set - {"name", "request", "response", "values"}:
        yield at, *fault("native.no_use", key=key)
    try:
        payload = bytes.fromhex(vector.response)
    except ValueError:
        yield (*at, "response"), *fault("vector.hex")
        return
    try:
        values = decode(profile, payload).values
    except BadData as error:
        yield (*at, "response"), *fault("vector.payload", why=error)
        return
    if values != vector.values:
        wanted = vector.values
        wrong = fault("vector.decodes", name=vector.name, values=values, wanted=wanted)
        yield (*at, "values"), *wrong


SPEC = DriverSpec(
    name="mqtt",
    protocols=frozenset({"mqtt"}),
    link=MqttLink,
    device=MqttDevice,
    build=build,
    check=check,
    check_profile=check_profile,
    announces=True,
)
