"""How one device is heard and told: on which topics, by which reader. Made once, at the start."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Literal, NamedTuple

from drivers.mqtt import native
from drivers.mqtt.address import parse_target
from drivers.mqtt.mapped import Decoder, decoders
from drivers.mqtt.native import Reading
from drivers.mqtt.publish import Outgoing, group_command, mapped_command, native_command
from drivers.mqtt.settings import MqttDevice
from drivers.mqtt.template import TOPIC_ID, fill
from gateway.driver import Device
from gateway.model import EMPTY, Command, Quality, Value
from gateway.profile import Profile

Kind = Literal["state", "event", "online"]
STATE, EVENT, ONLINE = "state", "event", "online"
NATIVE = "native"
ONLINE_POINT = "device.online"


class Reader(NamedTuple):
    """Of one topic. `read` raises BadData, never anything else."""

    kind: Kind
    read: Callable[[bytes], Reading]


def captures(profile: Profile, section: MqttDevice) -> dict[str, str]:
    """What the parts of topics are for this device."""
    return {**profile.captures, **section.captures, TOPIC_ID: section.topic_id}


def readers(device: Device, section: MqttDevice) -> Iterator[tuple[str, Reader]]:
    """(topic, reader) of everything that the device publishes."""
    profile = device.profile
    if profile.dialect == NATIVE:
        yield from _native(profile, section.topic_id)
        return
    places = captures(profile, section)
    same: dict[str, list[Decoder]] = {}
    for decoder in decoders(profile).values():
        same.setdefault(fill(decoder.topic.topic, places), []).append(decoder)
    for topic, found in same.items():
        read = found[0].read if len(found) == 1 else partial(_read_all, found)
        yield topic, Reader(found[0].topic.kind, read)


def patterns(device: Device, section: MqttDevice) -> set[str]:
    """Filters to subscribe to: a wildcard for the topic id, so that strangers are heard too."""
    if device.profile.dialect == NATIVE:
        return set()
    places = {**captures(device.profile, section), TOPIC_ID: "+"}
    return {fill(d.topic.topic, places) for d in decoders(device.profile).values()}


def command_topics(device: Device, section: MqttDevice) -> set[str]:
    """What the gateway publishes for the device and its groups, acknowledgements apart."""
    if device.profile.dialect == NATIVE:
        return {f"d/{section.topic_id}/cmd"}
    places = captures(device.profile, section)
    targets = [parse_target(spec.at) for spec in device.profile.commands]
    groups = [
        fill(target.group, {**places, "group": name})
        for name in section.groups
        for target in targets
        if target.group is not None
    ]
    return {*groups, *(fill(target.topic, places) for target in targets)}


def outgoing(device: Device, section: MqttDevice, command: Command) -> Outgoing:
    """Raises ValueError if the device cannot be told this value."""
    if device.profile.dialect == NATIVE:
        return native_command(section.topic_id, command)
    return mapped_command(device.profile, captures(device.profile, section), command)


def group_outgoing(device: Device, section: MqttDevice, command: Command) -> Outgoing | None:
    """What tells the group `command.device`, in the words of one of its members. Raises ValueError."""
    if device.profile.dialect == NATIVE:
        return None
    return group_command(device.profile, captures(device.profile, section), command)


def topic_id_in(topic: str, known: Iterable[str]) -> str | None:
    """What stands in the place of the topic id; None if `topic` is like none of these filters."""
    found = topic.split("/")
    for pattern in known:
        wanted = pattern.split("/")
        if len(wanted) == len(found) and all(w in ("+", f) for w, f in zip(wanted, found, strict=True)):  # fmt: skip
            return found[wanted.index("+")] if "+" in wanted else topic
    return None


def _native(profile: Profile, topic_id: str) -> Iterator[tuple[str, Reader]]:
    read = partial(native.decode, profile)
    yield f"d/{topic_id}/{STATE}", Reader("state", read)
    yield f"d/{topic_id}/{EVENT}", Reader("event", read)
    yield f"d/{topic_id}/{ONLINE}", Reader("online", _presence)


def _presence(payload: bytes) -> Reading:
    return Reading({ONLINE_POINT: native.decode_online(payload)}, EMPTY, None, None)


def _read_all(found: Iterable[Decoder], payload: bytes) -> Reading:
    """Several descriptions of one topic, each of other messages (`only`)."""
    values: dict[str, Value] = {}
    quality: dict[str, Quality] = {}
    source_id, sender = None, None
    for decoder in found:
        reading = decoder.read(payload)
        values |= reading.values
        quality |= reading.quality
        source_id = reading.source_id or source_id
        sender = reading.sender or sender
    return Reading(values, quality, source_id, None, (), sender)
