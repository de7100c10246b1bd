"""Which topics the users of a broker may use: a device its own, the gateway those it needs."""

from collections.abc import Iterable
from typing import NamedTuple

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


def of_device(device: Device) -> Grants:
    """What a device may do beyond `EVERYBODY`; its user name is its `topic_id`."""
    if not isinstance(device.section, MqttDevice):
        raise TypeError(f"{device.id}: {type(device.section).__name__} is no MqttDevice")
    return Grants(device.section.topic_id)


def of_gateway(link: MqttLink, devices: Iterable[Grants]) -> Grants:
    """It hears all devices and the broker's counters, commands devices and acknowledges them."""
    known = list(devices)
    write = ("d/+/cmd", "d/+/ack", *(topic for device in known for topic in device.read))
    read = ("d/#", "$SYS/#", *(topic for device in known for topic in device.write))
    return Grants(link.username or GATEWAY_USER, write, read)
