"""What `gateway check` asks of a serial line and the devices on it. Pure."""

import re
from collections.abc import Iterator, Sequence

from drivers.modbus.settings import ModbusDevice, ModbusLink
from gateway.driver import Device, Finding

# Numbered in the order in which the adapters were found.
_NUMBERED = re.compile(r"/dev/tty(USB|ACM)[0-9]+")


def check_line(name: str, link: ModbusLink, devices: Sequence[Device]) -> Iterator[Finding]:
    """A port that may be renumbered, broadcasts, settings that differ from the factory's."""
    if _NUMBERED.fullmatch(link.path):
        what = f"{link.path} is another adapter after a restart"
        fix = "name it by /dev/serial/by-id/ or /dev/serial/by-path/ (ls -l shows them)"
        yield Finding("links", name, ("path",), what, fix, note=True)
    for device in devices if link.framed else ():
        section = device.section
        if isinstance(section, ModbusDevice) and section.unit == 0:
            what = "unit 0 is every device of a bus, and none answers (Serial Line 1.02, 2.1)"
            yield Finding("devices", device.id, ("unit",), what, "write 1 to 247")
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
        what = f"{link.baud} baud, a {profile.profile} comes with {baud}"
        fix = "see that its own setting is the link's: the link's is used"
        yield Finding("links", name, ("baud",), what, fix, note=True)
