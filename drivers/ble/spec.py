"""The entry point of the BLE driver; imports neither bleak nor D-Bus."""

from collections.abc import Sequence

from drivers.ble.check import check, check_profile, forgeable, marks
from drivers.ble.settings import BleDevice, BleLink
from gateway.clock import Clock
from gateway.driver import Device, Driver, DriverSpec, LinkSection


def build(name: str, link: LinkSection, devices: Sequence[Device], clock: Clock) -> Driver:
    from drivers.ble.driver import BleDriver  # noqa: PLC0415 -- a gateway without BLE never imports its libraries

    if not isinstance(link, BleLink):
        raise TypeError(f"{name} is no BLE link")
    return BleDriver(name, link, devices, clock)


def owned(link: LinkSection) -> tuple[str, str] | None:
    if not isinstance(link, BleLink):
        return None
    return f"the Bluetooth adapter {link.adapter or 'of this machine'}", "adapter"


SPEC = DriverSpec(
    name="ble",
    protocols=frozenset({"ble"}),
    link=BleLink,
    device=BleDevice,
    build=build,
    check=check,
    check_profile=check_profile,
    owned=owned,
    forgeable=forgeable,
    marks=marks,
)
