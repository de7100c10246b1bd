"""What `gateway check` asks of a serial line and the devices on it. Pure."""

import re
from collections.abc import Iterator, Sequence

from drivers.modbus.settings import ModbusDevice, ModbusLink
from gateway.driver import Device, Finding
from gateway.words.text import fault

# Numbered in the order in which the adapters were found.
_NUMBERED = re.compile(r"/dev/tty(USB|ACM)[0-9]+")


def check_line(name: str, link: ModbusLink, devices: Sequence[Device]) -> Iterator[Finding]:
    """A port that may be renumbered, broadcasts, settings that differ from the factory's."""
    if _NUMBERED.fullmatch(link.path):
        other = fault("modbus.numbered", path=link.path)
        yield Finding("links", name, ("path",), *other, note=True)
    for device in devices if link.framed else ():
        section = device.section
        if isinstance(section, ModbusDevice) and section.unit == 0:
            yield Finding("devices", device.id, ("unit",), *fault("modbus.broadcast"))
    if link.transport == "rtu":
        yield from _factory(name, link, devices)


def _factory(name: str, link: ModbusLink, devices: Sequence[Device]) -> Iterator[Finding]:
    told = set[str]()
    for device in devices:
        profile = device.profile
        baud = profile.link.get("baud", link.baud)
        if baud == link.baud or profile.profile in told:
            continue
        told.add(profile.profile)
        factory = fault("modbus.factory", baud=link.baud, profile=profile.profile, factory=baud)
        yield Finding("links", name, ("baud",), *factory, note=True)
