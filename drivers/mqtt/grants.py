"""Which topics the users of a broker may use: a device its own, the gateway those it needs."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from drivers.mqtt.dialect import NATIVE, command_topics, patterns, readers
from drivers.mqtt.settings import MqttDevice, MqttLink
from gateway.driver import Device

GATEWAY_USER = "gateway"  # of a link that names none


class Grants(NamedTuple):
    """Of one user: the topic filters that it may publish to and those that it may hear."""

    user: str
    write: tuple[str, ...] = ()
    read: tuple[str, ...] = ()


# Every user, also one that is not configured yet: below its own name, so it is seen and cannot
# speak as another. Mosquitto puts the user name in the place of %u and lets no wildcard be one.
EVERYBODY = Grants("%u", ("d/%u/state", "d/%u/event", "d/%u/online"), ("d/%u/cmd", "d/%u/ack"))


def of_devices(devices: Iterable[Device]) -> list[Grants]:
    """What each user of devices may do beyond `EVERYBODY`; a bridge is the user of several devices."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for device in devices:
        section = _section(device)
        write, read = found.setdefault(section.login, (set(), set()))
        if device.profile.dialect == NATIVE and section.login == section.topic_id:
            continue
        write |= {_own(topic, section) for topic, _reader in readers(device, section)}
        read |= {_own(topic, section) for topic in command_topics(device, section)}
        if device.profile.dialect == NATIVE:
            read.add(_own(f"d/{section.topic_id}/ack", section))
    return [Grants(user, *(tuple(sorted(x)) for x in topics)) for user, topics in found.items()]


def of_gateway(link: MqttLink, devices: Sequence[Device], also: Iterable[str] = ()) -> Grants:
    """It hears all devices and the broker's counters, commands devices and acknowledges them.

    `also`: topics of recipients of notifications.
    """
    sections = [(device, _section(device)) for device in devices]
    write = {t for device, section in sections for t in command_topics(device, section)}
    read = {filter_ for device, section in sections for filter_ in patterns(device, section)}
    own = {topic for topic in write if not topic.startswith("d/")} | {*also}
    return Grants(
        link.username or GATEWAY_USER,
        ("d/+/cmd", "d/+/ack", *sorted(own)),
        ("d/#", "$SYS/#", *sorted(read)),
    )


def _section(device: Device) -> MqttDevice:
    if not isinstance(device.section, MqttDevice):
        raise TypeError(f"{device.id}: {type(device.section).__name__} is no MqttDevice")
    return device.section


def _own(topic: str, section: MqttDevice) -> str:
    """All below the device's own level, and that level itself (MQTT 5.0, 4.7.1.2); for a bridge, all
    beside it too. Devices publish more than profiles read, and Mosquitto ends the connection of
    who publishes what it may not.
    """
    levels = topic.split("/")
    if section.topic_id not in levels:
        return topic
    index = levels.index(section.topic_id)
    kept = levels[: index + (section.login == section.topic_id)]
    return "/".join([*kept, "#"]) if kept else topic
